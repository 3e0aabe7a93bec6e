"""A second model's comparisons as labels: one for each order that was asked, so that it is measured as a person is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from plaudit.labels import Answer, Label, Pair, oriented
from plaudit.types import Comparison


def labels(
    author: str, answers: Sequence[Comparison], drawn: Mapping[Pair, Literal["uniform", "disputed"]]
) -> list[Label]:
    """Labels of a model; ``drawn`` says how each pair was chosen."""
    found: list[Label] = []
    for c in answers:
        seated = c.forward is not None or c.backward is not None
        asked = seats(c)
        for turn, (left, right, probability) in enumerate(asked):
            found.append(
                Label(
                    id=len(found) + 1,
                    author=author,
                    kind="model",
                    left=left,
                    right=right,
                    answer=answer(c, probability),
                    probability=probability,
                    turn=turn,
                    seated=seated,
                    selection=drawn[oriented(c.first, c.second)],
                    seconds=round(c.seconds / len(asked), 4),
                    reply=c.reply,
                )
            )
    return found


def seats(c: Comparison) -> list[tuple[str, str, float | None]]:
    """(left, right, P(left is better)) of each order in which the pair was asked."""
    if c.forward is None and c.backward is None:
        return [(c.first, c.second, c.probability)]
    there = (c.first, c.second, c.forward)
    back = (c.second, c.first, None if c.backward is None else 1 - c.backward)
    return [seat for seat in (there, back) if seat[2] is not None]


def answer(c: Comparison, probability: float | None) -> Answer:
    """The better seat in a word, or what became of the question."""
    if probability is None:
        return cast(Answer, c.status)
    return "tie" if probability == 0.5 else "left" if probability > 0.5 else "right"
