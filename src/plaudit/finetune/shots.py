"""In-context against teaching: the lessons as worked examples in the prompt of the model that was not taught.

Written by ``plaudit finetune WORLD --measure.shots 1 2 4 8 16`` as ``measure/shots.parquet``: a row for each kind, number
of examples and draw, beside the same held-out questions without an example (``shots`` 0) and to the taught model. An
example of a pair is both of its observations with their answers, in either order; of questions, all answers come equally
often. A draw's larger sets hold its smaller ones. Where a prompt is longer than the context, that is said and left out.

Leaves out examples that are chosen to be like the question (``--policy.examples`` does that for an acting model).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.finetune import skill
from plaudit.finetune.lessons import Lesson
from plaudit.finetune.paired import of_two, share
from plaudit.finetune.skill import Told
from plaudit.judging.selection import evenly
from plaudit.llms.base import LLM, Request
from plaudit.llms.local import LocalLLM
from plaudit.store import write_table

HEAD = ("kind", "model", "shots", "right (95%)", "chance", "tokens", "per s")


@dataclass(frozen=True)
class Shots:
    """One row of ``shots.parquet``: the held-out questions of a kind, asked once."""

    kind: str
    """compare, progress, next, inverse or action."""
    model: str
    """base or taught."""
    shots: int
    """Worked examples in the prompt."""
    draw: int
    """Number of the draw of examples, from 0."""
    asked: int
    """Held-out examples."""
    right: float
    """How many were answered rightly; a tie is shared."""
    chance: float
    """Share that a model without knowledge has right."""
    tokens: int
    """Tokens of all questions and answers."""
    seconds: float
    """Wall time of the model."""


@dataclass(frozen=True)
class Asked:
    """The same with each question's outcome, for intervals."""

    row: Shots
    """What is written."""
    right: tuple[float, ...]
    """Of each held-out example, in the same order every time."""
    blocks: tuple[str, ...]
    """What each is about: examples that share a text are not independent."""


def with_examples(lesson: Lesson, shown: Sequence[Lesson], rng: np.random.Generator) -> Lesson:
    """The lesson behind worked ones; everyday examples that its own prompt has stay in front of all."""
    worked = [text for each in shown for text in _worked(each, rng)]
    return replace(lesson, prompts=tuple(_behind(prompt, worked) for prompt in lesson.prompts))


def _behind(prompt: str, worked: Sequence[str]) -> str:
    # An observation is one line, and a prompt with a gap in its question was refused (refusals.refuse_gap).
    head, gap, question = prompt.rpartition("\n\n")
    return head + gap + "\n\n".join([*worked, question])


def _worked(lesson: Lesson, rng: np.random.Generator) -> list[str]:
    """An example's questions with their answers."""
    questions = [prompt.rpartition("\n\n")[2] for prompt in lesson.prompts]
    if lesson.right is not None:
        return [questions[0] + lesson.answers[lesson.right]]
    first, last = lesson.answers[0], lesson.answers[-1]
    nearer, other = (
        (first, last) if len(lesson.answers) == 2 else (last, first)
    )  # Yes and No; else ratings, the best last
    both = [questions[0] + nearer, questions[1] + other]
    return both if rng.random() < 0.5 else both[::-1]


def draw(lessons: Sequence[Lesson], count: int, seed: Sequence[int]) -> list[Lesson]:
    """So many lessons, all answers equally often; of the same seed, a smaller draw is the beginning of a larger one."""
    rng = np.random.default_rng(seed)
    said = [each.answers[each.right] if each.right is not None else "" for each in lessons]
    numbers = np.unique(said, return_inverse=True)[1]
    return [lessons[i] for i in evenly(numbers, rng)[:count]]


def measure(
    llm: LLM,
    model: str,
    lessons: Sequence[Lesson],
    questions: Sequence[Lesson],
    plan: Sequence[tuple[int, int]],
    seed: int,
    told: Callable[[str], None],
    advance: Callable[[int], None] = lambda done: None,
) -> list[Asked]:
    """One kind's questions, asked once for each (examples, draw) of the plan, smallest first.

    ``told`` gets a note for each number of examples that could not be asked with; what is larger is not tried.
    """
    found = list[Asked]()
    kind = questions[0].kind
    for count, number in plan:
        if count > len(lessons):
            told(f"{kind}: there are no {count} examples to put into the prompt, only {len(lessons)}")
            return found
        shown = draw(lessons, count, [seed, number, 11])
        # Seeded anew each time: the same text before every question, so that it is evaluated once.
        asked = [with_examples(each, shown, np.random.default_rng([seed, number, 13])) for each in questions]
        outcomes = list[Told]()
        if not (fault := unfit(llm, [request for each in asked for request in skill.requests(each)])):
            outcomes = skill.asked(llm, asked, advance)
            fault = next((each.error for each in outcomes if each.right is None), "")
        if fault:
            told(f"{kind}: {count} examples in the prompt cannot be asked with: {fault}")
            return [each for each in found if each.row.shots < count]
        found.append(_asked(model, questions, count, number, outcomes))
    return found


def unfit(llm: LLM, requests: Sequence[Request]) -> str:
    """Why the longest of these has no room in the context; empty where it has, or where only asking can tell.

    A model of this machine would leave out the middle of an observation, and what is asked would no longer be the lesson.
    """
    inner = getattr(llm, "llm", llm)  # behind a ledger, which would not tell a shortened one from a whole one
    if not isinstance(inner, LocalLLM):
        return ""
    tokens, longest = max(((len(inner.prompt_tokens(each)), each) for each in requests), key=lambda each: each[0])
    before = inner.stats.shortened
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        (reply,) = inner.choose([longest]) if longest.answers else inner.generate([longest])
    short = f"its {tokens:,} tokens do not fit into the context of {inner.context:,}"
    return reply.error or (short if inner.stats.shortened > before else "")


def _asked(model: str, questions: Sequence[Lesson], count: int, number: int, outcomes: Sequence[Told]) -> Asked:
    right = tuple(float(each.right or 0) for each in outcomes)
    tokens, seconds = sum(each.tokens for each in outcomes), sum(each.seconds for each in outcomes)
    kind, chance = questions[0].kind, skill.chance(questions)
    row = Shots(kind, model, count, number, len(right), sum(right), chance, tokens, seconds)
    return Asked(row, right, tuple(map(block, questions)))


def write(found: Sequence[Asked], folder: Path) -> list[dict[str, Any]]:
    """``shots.parquet``; returns a summary of each kind, model and number of examples."""
    write_table(folder / "shots.parquet", [each.row for each in found])
    groups: dict[tuple[str, str, int], list[Asked]] = {}
    for each in found:
        groups.setdefault((each.row.kind, each.row.model, each.row.shots), []).append(each)
    return [_summary(*key, group) for key, group in groups.items()]


def _summary(kind: str, model: str, count: int, draws: Sequence[Asked]) -> dict[str, Any]:
    """The interval is Wilson's, on as many questions as are independent, draws that differ counted against it."""
    right = np.array([each.right for each in draws])
    asked = right.size
    seconds = sum(each.row.seconds for each in draws)
    return {
        "kind": kind,
        "model": model,
        "shots": count,
        "draws": len(draws),
        "asked": right.shape[1],
        "right": float(right.mean()),
        "interval": list(share(right, draws[0].blocks)),
        "draws_right": [float(each.mean()) for each in right],
        "chance": draws[0].row.chance,
        "tokens": sum(each.row.tokens for each in draws) / asked,
        "per_second": asked / seconds if seconds > 0 else None,
    }


def block(lesson: Lesson) -> str:
    """What a held-out example is about; of a pair, both texts."""
    own = [prompt.rpartition("\n\n")[2] for prompt in lesson.prompts]
    return of_two(*own) if len(own) == 2 else own[0]


def show(summary: Sequence[dict[str, Any]]) -> None:
    """The table, for the terminal."""
    from rich.table import Table

    from plaudit.console import console

    table = Table(title="in the prompt, or taught: held-out examples")
    for column in HEAD:
        table.add_column(column, justify="left" if column in HEAD[:2] else "right")
    for row in summary:
        low, high = row["interval"]
        speed = "-" if row["per_second"] is None else f"{row['per_second']:.1f}"
        table.add_row(
            row["kind"],
            row["model"],
            str(row["shots"]),
            f"{row['right']:.1%} ({100 * low:.0f} to {100 * high:.0f})",
            f"{row['chance']:.1%}",
            f"{row['tokens']:,.0f}",
            speed,
        )
    console.print(table)
