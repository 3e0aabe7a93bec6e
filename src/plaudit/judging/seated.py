"""Protocols that show two observations at once, each in a seat, in both orders or in one.

Both orders, averaged, cancel a preference for a seat (RLAIF, arXiv 2309.00267), and how often the verdict changed with
the seats can be told. One order, for ablation, costs half; who gets the first seat is then drawn by a coin that depends
on the two texts alone, so that the same pair is always asked alike, whichever way round it is given.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plaudit.judging.base import Pair, part_size
from plaudit.llms.base import LLM, Arrived, Image, Reply
from plaudit.llms.reading import cost
from plaudit.prompts import Prompt
from plaudit.types import Comparison, JudgementStatus


@dataclass(frozen=True)
class Answer:
    """What was read from one reply about two seats."""

    reply: Reply
    """The reply."""
    status: JudgementStatus
    """``ok``, or why it could not be read."""
    first: float
    """P(first seat is better); without meaning unless ok."""
    said: str
    """The answer in words, for the record."""


def seatings(pair: Pair, both_orders: bool) -> tuple[Pair, ...]:
    """The orders in which a pair is asked: as given and swapped, or one of the two by the pair's own coin."""
    a, b = pair
    if both_orders:
        return (a, b), (b, a)
    low, high = sorted(pair)
    heads = zlib.crc32("\0".join((low, high)).encode("utf-8", "replace")) & 1
    return ((low, high) if heads else (high, low),)


class Seated(ABC):
    """A protocol whose questions are about two observations each."""

    prompt: Prompt
    """Has the fields ``$goal``, ``$first`` and ``$second``; the last two are optional where pictures are shown."""
    both_orders: bool
    """Whether each pair is asked with either observation in the first seat."""
    pictures: Mapping[str, Image] | None
    """For a judge that sees: the picture of each description."""

    @abstractmethod
    def ask(self, llm: LLM, goal: str, seated: Sequence[Pair], arrived: Arrived | None) -> list[Answer]:
        """One answer for each pair as it is seated, in order."""

    def compare(self, llm: LLM, goal: str, pairs: Sequence[Pair], arrived: Arrived | None = None) -> list[Comparison]:
        """One comparison for each pair, in order."""
        found: list[Comparison] = []
        size = part_size(llm) // 2
        for start in range(0, len(pairs), size):
            part = pairs[start : start + size]
            orders = [self.seatings(pair) for pair in part]
            answers = iter(self.ask(llm, goal, [seats for each in orders for seats in each], arrived))
            found += (_comparison(p, each, [next(answers) for _ in each]) for p, each in zip(part, orders, strict=True))
        return found

    def requests(self, pairs: Sequence[Pair]) -> int:
        """One for each distinct seating."""
        return len({seats for pair in pairs for seats in self.seatings(pair)})

    def seatings(self, pair: Pair) -> tuple[Pair, ...]:
        """The orders in which a pair is asked; both where nothing but the seat tells two pictures apart."""
        return seatings(pair, self.both_orders or self._alike(pair))

    def shown(self, seats: Pair) -> tuple[Image, ...]:
        """The pictures that belong to a question, as they are seated."""
        return () if self.pictures is None else (self.pictures[seats[0]], self.pictures[seats[1]])

    def _alike(self, pair: Pair) -> bool:
        return self.pictures is not None and "first" not in self.prompt.fields and len(set(self.shown(pair))) == 1


def _comparison(pair: Pair, orders: tuple[Pair, ...], answers: list[Answer]) -> Comparison:
    spent = cost(*(a.reply for a in answers))
    # The second of two orders is the swapped one, even where both texts are the same.
    swapped = [False, True][: len(orders)] if len(orders) == 2 else [orders[0] != pair]
    said = "; ".join(("seats swapped: " if back else "") + a.said for a, back in zip(answers, swapped, strict=True))
    for answer in answers:
        if answer.status != "ok":
            return Comparison(*pair, answer.status, None, reply=said, **spent)
    seats = {back: 1 - a.first if back else a.first for a, back in zip(answers, swapped, strict=True)}
    probability = sum(seats.values()) / len(seats)
    status: JudgementStatus = "tie" if probability == 0.5 else "ok"
    return Comparison(*pair, status, probability, seats.get(False), seats.get(True), said, **spent)
