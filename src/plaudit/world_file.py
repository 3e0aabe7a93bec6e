"""A world from a file of one's own: ``plaudit run ./my_world.py``; and whose fault it is when a world fails.

The file holds one subclass of :class:`plaudit.World` (usually of :class:`plaudit.Wrapped`). Bases of another class in the
file and names that begin with an underscore do not count. Modules beside the file can be imported.

Leaves out: noticing that such a neighbour has changed. A run goes on only with the same file; see ``store.py``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from plaudit.errors import ConfigError, MissingExtraError


def is_path(name: str) -> bool:
    """Whether a world's name is a file's."""
    return name.endswith(".py")


def split_task(word: str) -> tuple[str, str]:
    """``WORLD:TASK`` as the world (a file's path made absolute) and its task."""
    if found := re.fullmatch(r"(.+\.py)(?::(.*))?", word):
        return str(Path(found[1]).expanduser().resolve()), found[2] or ""
    world, _, task = word.partition(":")
    return world, task


def title(name: str) -> str:
    """A world's name where it stands in a path or a heading: a file's without folder and ending."""
    return Path(name).stem if is_path(name) else name


def find(name: str) -> Path:
    """The file, or an error where there is none."""
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise ConfigError(f"there is no file {name}. Give the path of a .py file that holds one World.")
    return path


def load(name: str) -> Any:
    """The file's world class; the file is run once, and again when it has changed."""
    from plaudit.envs.base import World

    path = find(name)
    module = _module(path)
    own = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, World)]
    own = [c for c in dict.fromkeys(own) if c.__module__ == module.__name__ and not c.__name__.startswith("_")]
    worlds = [c for c in own if not any(c is not other and issubclass(other, c) for other in own)]
    if not worlds:
        raise ConfigError(
            f"{path.name} holds no World. Write in it: from plaudit import Wrapped, then class MyWorld(Wrapped): ..."
        )
    if len(worlds) > 1:
        names = ", ".join(c.__name__ for c in worlds)
        raise ConfigError(
            f"{path.name} holds several worlds: {names}. Keep one, or put an underscore before the others."
        )
    return worlds[0]


def _module(path: Path) -> ModuleType:
    source = path.read_bytes()
    name = f"plaudit_world_{path.stem}_{hashlib.sha256(str(path).encode() + source).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # behind all else, so that no file there hides a package
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except BaseException as error:
        del sys.modules[name]
        raise _explained(path, error) from error
    return module


def _explained(path: Path, error: BaseException) -> BaseException:
    """Why a file cannot be run, in one line; what is no error (Ctrl-C) stays as it is."""
    if isinstance(error, SyntaxError):
        return ConfigError(f"{path.name}, line {error.lineno}: {error.msg}. Correct it: {path}")
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f"{path.name}, line {lines[-1] if lines else 1}"
    if isinstance(error, ModuleNotFoundError):
        return MissingExtraError(f"{where} needs the package {error.name!r}. Install it: pip install {error.name}")
    if isinstance(error, Exception):
        return ConfigError(f"{where}: {type(error).__name__}: {error}. Correct it: {path}")
    return error


def blame(error: BaseException) -> str:
    """Which world of the user's own failed, and where; empty where none was at work."""
    from plaudit.envs.base import World

    name = place = source = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        world, code = frame.f_locals.get("self"), frame.f_code
        if isinstance(world, World) and not (module := type(world).__module__).startswith("plaudit."):
            source = getattr(sys.modules.get(module), "__file__", "") or ""
            name, place = type(world).__name__, code.co_name
        if name and code.co_filename == source:
            place = f"{code.co_name}, line {line} of {Path(source).name}"
    return name and f"the world {name} failed in {place}: {type(error).__name__}: {error}"
