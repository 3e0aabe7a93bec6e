"""Which pairs a person is shown, in which seats, and which come back with the seats swapped.

The pairs are those that the run's judge has answered. ``uniform``: drawn at random among them, each once, so that what is
measured on them is true of all of them. ``disputed``: first those about which the judge's two orders, or the ensemble of
fitted networks, are least of one mind: worth most as labels, but no sample to measure a judge on.

What comes next follows from the labels given so far and from nothing else: there is no other state to lose.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.errors import ConfigError
from plaudit.labels import Label, Pair, heads, oriented
from plaudit.types import Comparison

REPEATED = 0.15
"""Share of the pairs that come back with the seats swapped."""
GAP = 8
"""Answers between a pair and its return, so that it is judged anew and not remembered."""


@dataclass(frozen=True)
class Task:
    """One question to a person."""

    key: str
    """Its name: the pair's and the turn's."""
    left: str
    """What is shown in the first seat."""
    right: str
    """What is shown in the second."""
    turn: int
    """1 where the pair comes back."""


def distinct(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """What the judge has answered, each pair once whichever way round."""
    found: dict[Pair, Comparison] = {}
    for c in comparisons:
        if c.probability is not None and c.first != c.second:
            found.setdefault(oriented(c.first, c.second), c)
    return list(found.values())


def ordered(
    comparisons: Sequence[Comparison], selection: str, seed: int, spread: Mapping[Pair, float] | None = None
) -> list[Pair]:
    """All distinct answered pairs in the order in which they are to be shown.

    ``spread``: how far apart the ensemble's opinions of a pair are, where there is an ensemble.
    """
    answered = distinct(comparisons)
    if not answered:
        raise ConfigError("the judge has answered no pair of different observations: there is nothing to label.")
    mixed = [answered[i] for i in np.random.default_rng(seed).permutation(len(answered))]
    if selection == "disputed":
        mixed.sort(key=lambda c: -dispute(c, (spread or {}).get(oriented(c.first, c.second))))
    return [oriented(c.first, c.second) for c in mixed]


def dispute(comparison: Comparison, spread: float | None) -> float:
    """How little one can rely on the judge here, 0 to 1: the larger of the gap between its two orders and the ensemble's
    spread; where neither is known, how close its probability is to one half."""
    known = [spread] if spread is not None else []
    if comparison.forward is not None and comparison.backward is not None:
        known.append(abs(comparison.forward - comparison.backward))
    if known:
        return max(known)
    assert comparison.probability is not None
    return 1 - abs(2 * comparison.probability - 1)


class Plan:
    """What comes next.

    Args:
        pairs: in the order in which they are to be shown.
        target: how many of them, those of earlier sittings counted.
        seed: of the seats' coin, and of the choice of pairs that come back.
    """

    def __init__(self, pairs: Sequence[Pair], target: int, seed: int) -> None:
        self.pairs = [oriented(*pair) for pair in pairs]
        self.target, self.seed = min(target, len(pairs)), seed

    def more(self, count: int) -> None:
        """Raise the target."""
        self.target = min(self.target + count, len(self.pairs))

    def task(self, pair: Pair, turn: int) -> Task:
        """The pair in its seats: by a coin the first time, then the other way round."""
        left, right = pair if heads(self.seed, "seats", *pair) ^ bool(turn) else pair[::-1]
        name = hashlib.sha256("\0".join(pair).encode("utf-8", "replace")).hexdigest()[:16]
        return Task(f"{name}-{turn}", left, right, turn)

    def returns(self, pair: Pair) -> bool:
        """Whether this pair comes back."""
        drawn = hashlib.sha256("\0".join((str(self.seed), "return", *pair)).encode("utf-8", "replace")).digest()
        return int.from_bytes(drawn[:4], "big") < REPEATED * 2**32

    def next(self, labels: Sequence[Label], taken: Collection[str] = ()) -> Task | None:
        """The task to show after these labels; None at the end. ``taken``: tasks that another page is showing.

        Where all that is left is taken, one of these is given out again: the first answer will count.
        """
        open_tasks = self._open(labels)
        return next((task for task in open_tasks if task.key not in taken), open_tasks[0] if open_tasks else None)

    def _open(self, labels: Sequence[Label]) -> list[Task]:
        """All tasks, the next one first: returns that are due, fresh pairs, returns that are not due yet."""
        given: dict[Pair, Label] = {}
        back: set[Pair] = set()
        when: dict[Pair, int] = {}
        for number, label in enumerate(labels):
            if label.turn:
                back.add(label.pair)
            else:
                given[label.pair], when[label.pair] = label, number
        waiting = [p for p, label in given.items() if p not in back and label.answer != "skip" and self.returns(p)]
        due = [p for p in waiting if len(labels) - when[p] > GAP]
        room = max(0, self.target - len(given))
        fresh = list(itertools.islice((p for p in self.pairs if p not in given), room))
        order = [(p, 1) for p in due] + [(p, 0) for p in fresh] + [(p, 1) for p in waiting if p not in due]
        # A return takes the other seats than the pair had, even where another seed would have drawn other ones.
        return [self._returned(given[p]) if turn else self.task(p, 0) for p, turn in order]

    def _returned(self, label: Label) -> Task:
        task = self.task(label.pair, 1)
        return Task(task.key, label.right, label.left, 1)

    def counts(self, labels: Sequence[Label]) -> tuple[int, int]:
        """(answers given, answers there will be) of this target."""
        return len(labels), len(labels) + len(self._open(labels)) + self._to_return(labels)

    def _to_return(self, labels: Sequence[Label]) -> int:
        given = {label.pair for label in labels}
        room = max(0, self.target - len({label.pair for label in labels if not label.turn}))
        return sum(map(self.returns, itertools.islice((p for p in self.pairs if p not in given), room)))
