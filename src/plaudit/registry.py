"""What there is by name: worlds, LLM back-ends, judging protocols, reward routes and analyses.

Nothing is imported until it is used. Third parties add their own by an entry point in the group ``plaudit.worlds`` (and
so on) that names a class. A world may also be the path of a file: see :mod:`plaudit.world_file`.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from plaudit import world_file
from plaudit.errors import ConfigError, MissingExtraError, did_you_mean


@dataclass(frozen=True)
class Entry:
    """Where a named part lives."""

    target: str
    """``module:attribute``, or the path of a world's file."""
    extra: str = ""
    """The extra of ``pip install 'plaudit[...]'`` that it needs; empty for the core."""


KINDS: dict[str, dict[str, Entry]] = {
    "worlds": {
        "doorkey": Entry("plaudit.envs.gridworld:DoorKey"),
        "miniwob": Entry("plaudit.envs.miniwob:MiniWoB", extra="miniwob"),
        "wordle": Entry("plaudit.envs.wordle:Wordle"),
        "nethack": Entry("plaudit.envs.nethack:NetHack", extra="nethack"),
        "minihack": Entry("plaudit.envs.minihack:MiniHack", extra="nethack"),
        "metaworld": Entry("plaudit.envs.metaworld:MetaWorld", extra="metaworld"),
    },
    "llms": {
        "embedded": Entry("plaudit.llms.embedded:EmbeddedLLM", extra="embedded"),
        "transformers": Entry("plaudit.llms.transformers_model:TransformersLLM", extra="transformers"),
        "openai": Entry("plaudit.llms.openai_server:OpenAIServer", extra="openai"),
    },
    "protocols": {
        "pointwise": Entry("plaudit.judging.pointwise:Pointwise"),
        "pairwise": Entry("plaudit.judging.pairwise:Pairwise"),
        "verdict": Entry("plaudit.judging.verdict:Verdict"),
        "scale": Entry("plaudit.judging.scale:Scale"),
        "rating": Entry("plaudit.judging.rating:Rating"),
    },
    "routes": {
        "llm": Entry("plaudit.routes.direct:Direct"),
        "scalar": Entry("plaudit.routes.scalar:Scalar"),
        "preference": Entry("plaudit.routes.preference:Preference"),
        "code": Entry("plaudit.routes.code:Code", extra="code"),
        "embedding": Entry("plaudit.routes.embedding:Embedding", extra="embedding"),
        "task": Entry("plaudit.routes.controls:Task"),
        "constant": Entry("plaudit.routes.controls:Constant"),
        "constant-minus": Entry("plaudit.routes.controls:ConstantMinus"),
        "random": Entry("plaudit.routes.controls:Random"),
        "count": Entry("plaudit.routes.controls:Count"),
        "rnd": Entry("plaudit.routes.controls:RandomNetwork"),
        "expert": Entry("plaudit.routes.controls:Expert"),
    },
    "analyses": {
        "dynamics": Entry("plaudit.analyze.dynamics:Dynamics"),
        "agreement": Entry("plaudit.analyze.agreement:Agreement"),
        "credit": Entry("plaudit.analyze.credit:Credit"),
        "exploration": Entry("plaudit.analyze.exploration:Exploration"),
        "granularity": Entry("plaudit.analyze.granularity:Granularity"),
        "hacking": Entry("plaudit.analyze.hacking:Hacking"),
    },
}


def entries(kind: str) -> dict[str, Entry]:
    """All parts of a kind by name, ours first."""
    found = metadata.entry_points(group=f"plaudit.{kind}")
    return KINDS[kind] | {e.name: Entry(e.value) for e in found if e.name not in KINDS[kind]}


def find(kind: str, name: str) -> Entry:
    """The part of this name, not imported; an unknown name is answered with the nearest known one."""
    if kind == "worlds" and world_file.is_path(name):
        return Entry(str(world_file.find(name)))
    known = entries(kind)
    if name not in known:
        one = kind.removesuffix("es") + "is" if kind == "analyses" else kind.removesuffix("s")
        file = f" Your file {name}.py: ./{name}.py" if kind == "worlds" and Path(f"{name}.py").is_file() else ""
        raise ConfigError(f"there is no {one} {name!r}.{did_you_mean(name, known)}{file}")
    return known[name]


def load(kind: str, name: str) -> Any:
    """The class of this name, imported."""
    if kind == "worlds" and world_file.is_path(name):
        return world_file.load(name)
    entry = find(kind, name)
    module, attribute = entry.target.split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if not entry.extra:
            raise
        raise MissingExtraError(
            f"{name!r} needs the package {error.name!r}. Type: pip install 'plaudit[{entry.extra}]'"
        ) from None


def summary(kind: str, name: str) -> str:
    """First line of the part's class docstring, read without importing it."""
    module, attribute = find(kind, name).target.split(":")
    spec = util.find_spec(module)
    if spec is None or spec.origin is None:
        return "(not installed)"
    nodes = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    docstrings = [ast.get_docstring(n) or "" for n in nodes if isinstance(n, ast.ClassDef) and n.name == attribute]
    return docstrings[0].split("\n")[0] if docstrings else ""
