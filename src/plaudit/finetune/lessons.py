"""From a row to what a model is asked: the judge's own prompt, or the acting model's, filled in exactly as they fill it.

    data = datasets.load_dataset("runs/finetune-wordle/data")
    lessons = [lesson(row, "pointwise") for row in data["train"]]

A pair becomes one question for a protocol that shows two observations; for one that scores observations it becomes two,
of which the first is to score higher. Leaves out chat templates and tokens, which are the trainer's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from plaudit import prompts, registry
from plaudit.finetune.settings import WORDINGS, AskConfig
from plaudit.judging.rating import HIGH, LOW
from plaudit.judging.scorer import ChoosingScorer, Scorer
from plaudit.llms.base import Image
from plaudit.policies import questions
from plaudit.prompts import Block, Prompt

LETTERS = (" A", " B")
RATINGS = tuple(f" {number}" for number in range(int(LOW), int(HIGH) + 1))
OWN = {"next": "next", "inverse": "inverse", "action": "act", "caption": "caption"}
"""Prompts of the kinds that no protocol asks."""
FIELDS: dict[str, tuple[str, ...]] = {
    "compare": ("goal", "first", "second"),
    "next": ("goal", "observation", "action", "first", "second"),
    "inverse": ("goal", "observation", "following", "first", "second"),
    "action": questions.FIELDS,
    "caption": ("goal",),
}
"""What is filled into a kind's prompt; a judge that scores observations is shown one of them."""


@dataclass(frozen=True)
class Lesson:
    """What a model is to learn from one row."""

    kind: str
    """The row's kind."""
    prompts: tuple[str, ...]
    """One question; or two about one observation each, the nearer one first, of which the first is to score higher."""
    answers: tuple[str, ...]
    """The answers that are weighed, as they follow the prompt; of action and caption the right one alone."""
    right: int | None
    """Index of the right answer; None where there are two questions."""
    images: tuple[tuple[Image, ...], ...] = ()
    """The pictures of each question, before which they stand; empty where there are none."""
    choices: tuple[str, ...] = ()
    """Of an action: all that could be done, as the acting model chooses among it; empty where it has to write one."""


def scores(protocol: str) -> bool:
    """Whether the protocol asks about one observation at a time."""
    return issubclass(registry.load("protocols", protocol), Scorer)


def rates(protocol: str) -> bool:
    """Whether it asks for a rating from 1 to 5 and not for one of two answers."""
    return scores(protocol) and _answers(protocol) == RATINGS


def wordings(kind: str, ask: AskConfig, count: int) -> list[str]:
    """Names of the prompts that a kind is asked in, the one that is asked later first."""
    usual = _usual(kind, ask)
    own = {"action": ask.act}.get(kind, ask.prompt if kind in ("compare", "progress") else "") or usual
    if kind == "progress" and not scores(ask.protocol):
        own = usual  # the judge's prompt shows two observations, this kind is about one
    others = [name for name in (usual + end for end in WORDINGS) if name != own and name in prompts.names()]
    return [own, *others][:count]


def fields(kind: str, protocol: str, shown: str = "text") -> tuple[str, ...]:
    """What a prompt of this kind has filled in; where pictures are ``shown`` alone, nothing of what they show."""
    judged = kind in ("compare", "progress")
    if judged and shown == "image":
        return ("goal",)
    if kind == "progress" or (kind == "compare" and scores(protocol)):
        return ("goal", "observation")
    return FIELDS[kind]


def lesson(row: Mapping[str, Any], protocol: str) -> Lesson:
    """What the model is asked about this row, a dictionary as the data set holds it."""
    kind, prompt = row["kind"], _prompt(row["wording"])
    goal, answer = row["goal"], row["answer"]
    if kind == "compare" and scores(protocol):
        seats = ("first", "second") if answer == "A" else ("second", "first")
        asked = tuple(prompt.fill(goal=goal, observation=row[seat]) for seat in seats)
        seen = [picture for seat in seats for picture in _pictures(row, f"{seat}_image")]
        return _pictured(Lesson(kind, asked, _answers(protocol), None), *((picture,) for picture in seen))
    if kind == "progress":
        weighed = _answers(protocol if scores(protocol) else "pointwise")
        right = " " + answer if weighed[0] == " Yes" else _rating(row["value"])
        asked = (prompt.fill(goal=goal, observation=row["observation"]),)
        return _pictured(Lesson(kind, asked, weighed, weighed.index(right)), _pictures(row, "image"))
    if kind == "action":
        empty = {name: Block() for name in ("examples", "history", "reasoning")}
        text = prompt.fill(goal=goal, rules=row["rules"], observation=row["observation"], **empty)
        allowed = dict.fromkeys(row.get("allowed") or ())
        choices = tuple(f" {word}" for word in allowed) if len(allowed) > 1 and answer in allowed else ()
        return Lesson(kind, (text,), (f" {answer}",), 0, choices=choices)
    if kind == "caption":
        return _pictured(Lesson(kind, (prompt.fill(goal=goal),), (f" {answer}",), 0), _pictures(row, "image"))
    text = prompt.fill(**{name: row[name] for name in fields(kind, protocol)})
    made = Lesson(kind, (text,), LETTERS, LETTERS.index(f" {answer}"))
    return _pictured(made, _pictures(row, "first_image", "second_image"))


def _pictures(row: Mapping[str, Any], *columns: str) -> tuple[Image, ...]:
    """What these columns hold, where they hold anything."""
    cells = [row[column] for column in columns if row.get(column)]
    return tuple(Image.read(cell["bytes"]) for cell in cells)


def _pictured(made: Lesson, *images: tuple[Image, ...]) -> Lesson:
    """With pictures a question is a whole turn of a chat, and an answer that begins a turn has no space before it."""
    if not any(images):
        return made
    return replace(made, images=images, answers=tuple(answer.strip() for answer in made.answers))


def _usual(kind: str, ask: AskConfig) -> str:
    end = "" if ask.input == "text" else f"-{ask.input}"
    if kind == "compare" or (kind == "progress" and scores(ask.protocol)):
        return ask.protocol + end
    return "pointwise" + end if kind == "progress" else OWN[kind]


def _answers(protocol: str) -> tuple[str, ...]:
    cls = registry.load("protocols", protocol)
    return cls.answers if issubclass(cls, ChoosingScorer) else RATINGS


def _rating(value: float) -> str:
    """How near the goal, as a rating; what is held out may lie beyond the range that was met in training."""
    return RATINGS[round(min(max(value, 0.0), 1.0) * (len(RATINGS) - 1))]


@cache
def _prompt(name: str) -> Prompt:
    return prompts.load(name)
