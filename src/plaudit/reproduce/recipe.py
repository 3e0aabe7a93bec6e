"""An experiment as a recipe: what is claimed, the steps that look, and the directions that decide.

One TOML file each in ``recipes/paper``; read by :func:`load`. A step is a plaudit command without ``--out``; in it
``{NAME}`` stands for the folder of another step. Experiments may share a step: the same name is the same command and is
done once. Unknown keys are errors. Leaves out what the results are: :mod:`plaudit.reproduce.rules`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from plaudit.config import from_dict, recipe_files
from plaudit.errors import ConfigError, did_you_mean

Size = Literal["small", "full"]
PLACE = re.compile(r"\{([\w-]+)\}")
"""Another step's folder in a command."""
PAPER = "paper"
"""The one collection that there is."""


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    """Its folder under ``steps/``; the same in another experiment is the same step."""
    command: str
    """What stands behind ``plaudit``, without ``--out``."""
    minutes: float
    """What it is reckoned to take on 2 quiet cores with the embedded model."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Steps whose folders it reads."""
        return tuple(match[1] for match in PLACE.finditer(self.command))


@dataclass(frozen=True)
class Check:
    """One direction that the claim foretells."""

    what: str
    """It in words."""
    kind: Literal["ahead", "not behind", "ahead somewhere", "above", "below", "within", "over"]
    """How it is decided: see :mod:`plaudit.reproduce.rules`."""
    step: str = ""
    """The step that tells."""
    steps: tuple[str, ...] = ()
    """ahead somewhere: the steps of which one must tell so."""
    other: str = ""
    """The step of the second, where it is another one."""
    first: str = ""
    """An arm; or of a result a measure's name (a regular expression) or a path into its facts."""
    second: str = ""
    """What it is held against."""
    column: str = "success"
    """ahead, not behind: what of an arm's agents; of exploration also what they met (``met description``)."""
    than: float = 0.0
    """above, below: the number; not behind: the margin, of anything but success as a share of the second's mean."""
    low: float = 0.0
    """within: lower end."""
    high: float = 0.0
    """within: upper end."""
    size: Literal["", "small", "full"] = ""
    """The only size in which it is asked; empty for both."""


@dataclass(frozen=True)
class Recipe:
    """One experiment."""

    name: str
    """The file's."""
    title: str
    """For people."""
    claim: str
    """What the paper says, its direction only."""
    source: str
    """How much of the paper that rests on."""
    rule: str
    """When it counts as reproduced, partly, or not; in words."""
    differs: str
    """What is otherwise here than in the paper."""
    steps: tuple[Step, ...]
    """Commands of the chosen size."""
    about: str
    """What this size is."""
    checks: tuple[Check, ...]
    """The directions of the chosen size; all of them make the status."""


def names(collection: str = PAPER) -> dict[str, Path]:
    """The experiments by name, in the order of their files."""
    return recipe_files(collection)


def load(size: Size, only: tuple[str, ...] = (), collection: str = PAPER) -> list[Recipe]:
    """The experiments of this size, by default all."""
    known = names(collection)
    for name in only:
        if name not in known:
            raise ConfigError(f"there is no experiment {name!r}.{did_you_mean(name, known)}")
    found = [read(path, size) for name, path in known.items() if not only or name in only]
    commands: dict[str, str] = {}
    for recipe in found:
        for step in recipe.steps:
            if commands.setdefault(step.name, step.command) != step.command:
                raise ConfigError(f"{recipe.name}: the step {step.name!r} is another command in another experiment.")
            if missing := [name for name in step.needs if name not in commands]:
                raise ConfigError(
                    f"{recipe.name}: the step {step.name!r} needs {missing[0]!r}, which is no earlier step."
                )
    return found


def read(path: Path, size: Size) -> Recipe:
    """One file."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the experiment {path} cannot be read: {error}.") from None
    sized = values.get(size, {})
    try:
        parts = {key: values["about"][key] for key in ("title", "claim", "source", "rule", "differs")}
        steps = tuple(from_dict(Step, step, f"{path.stem}.{size}.") for step in sized["steps"])
        every = [from_dict(Check, check, f"{path.stem}.") for check in values["checks"]]
        checks = tuple(check for check in every if check.size in ("", size))
        recipe = Recipe(path.stem, steps=steps, checks=checks, about=sized["about"], **parts)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"the experiment {path.stem} lacks something: {error}.") from None
    told = {step.name for step in steps}
    for check in checks:
        for name in (*check.steps, check.step, check.other):
            if name and name not in told:
                raise ConfigError(f"{path.stem}: {check.what!r} asks the step {name!r}, which {size} does not have.")
    return recipe
