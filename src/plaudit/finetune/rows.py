"""An example before it is put into a prompt: one row of the data set, of whatever kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from plaudit.finetune.gather import Part, Visit, digest
from plaudit.store import read_table


@dataclass(frozen=True)
class Row:
    """One example. Parts that a kind does not have are empty."""

    kind: str
    """compare, progress, next, inverse, action or caption."""
    answer: str
    """The right answer: A or B, Yes or No, an action, a caption."""
    observation: str = ""
    """What is seen; of next and inverse, before the action."""
    action: str = ""
    """next: what is done."""
    allowed: list[str] = field(default_factory=list)
    """action: what could be done, in words; empty where the world does not list it."""
    following: str = ""
    """inverse: what is seen after the action."""
    first: str = ""
    """What stands in the first seat: an observation, what may follow, or an action."""
    second: str = ""
    """What stands in the second seat."""
    value: float = float("nan")
    """How near the goal: of what is seen, or of the nearer one of two; 0 to 1 over the range met in training."""
    gap: float = float("nan")
    """By how much the nearer of two is nearer, or the step that was made came nearer."""
    wording: str = ""
    """Name of the prompt that asks."""
    sources: list[str] = field(default_factory=list)
    """Who acted where each of the states was met, in the order of the parts."""
    seeds: list[int] = field(default_factory=list)
    """Seeds of their episodes."""
    steps: list[int] = field(default_factory=list)
    """Their steps in these."""
    secrets: list[str] = field(default_factory=list)
    """What these had drawn (hidden words, tasks); empty where seeds tell all."""
    ended: list[bool] = field(default_factory=list)
    """Whether their episodes ended there: such a state says by itself that all is won or lost."""
    image: dict[str, Any] | None = None
    """caption, and progress by pictures: what is seen, ``{"bytes": PNG, "path": None}``."""
    first_image: dict[str, Any] | None = None
    """compare by pictures: of the observation in the first seat."""
    second_image: dict[str, Any] | None = None
    """compare by pictures: of the observation in the second seat."""

    def texts(self) -> list[str]:
        """The states that it shows, in words."""
        seated = [self.first, self.second] if self.kind in ("compare", "next") else []
        caption = [self.answer] if self.kind == "caption" else []
        return [text for text in (self.observation, self.following, *seated, *caption) if text]

    def pictures(self) -> list[str]:
        """The pictures that it shows, by their hashes."""
        return [digest(image["bytes"]) for image in map(self.__getattribute__, IMAGES) if image]


IMAGES = ("image", "first_image", "second_image")
"""Columns of a row that hold pictures."""


def shown(visit: Visit) -> dict[str, Any] | None:
    """A state's picture as a row holds it."""
    return {"bytes": visit.image, "path": None} if visit.image else None


def load_rows(folder: Path, part: Part) -> list[dict[str, Any]]:
    """A part's rows as they are on disk, and as :func:`plaudit.finetune.lessons.lesson` takes them."""
    return read_table(folder / f"{part}.parquet")


def of(values: Mapping[str, Any]) -> Row:
    """The row that was read; what a data set says of its world beside is left out."""
    return Row(**{f.name: values[f.name] for f in fields(Row) if values.get(f.name) is not None})


def met(*visits: Visit) -> dict[str, Any]:
    """The columns that say where states were met."""
    return {
        "sources": [v.source for v in visits],
        "seeds": [v.seed for v in visits],
        "steps": [v.step for v in visits],
        "secrets": [v.secret for v in visits if v.secret],
        "ended": [v.ended for v in visits],
    }
