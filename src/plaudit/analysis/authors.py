"""Who agrees with whom about pairs of observations: the judge, people, other models, the fitted reward, and the world.

An author's opinion of a pair is P(the one is better than the other). Two authors are compared on the pairs of which both
have an opinion. The world's own progress is an author too, for measuring only (:func:`world_author`).

Cohen's kappa counts three answers (the one, the other, a tie) and takes off what chance alone would give; which of a pair
is "the one" is drawn by the pair's own coin, so that chance is what two coins would do.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from plaudit import intervals
from plaudit.analysis.agreement import CLEAR_GAP
from plaudit.labels import Label, Pair, comparisons, oriented
from plaudit.types import FAILED, Comparison

AuthorKind = Literal["judge", "person", "model", "reward", "world"]


@dataclass(frozen=True)
class Author:
    """Somebody with opinions."""

    name: str
    """What it is called."""
    kind: AuthorKind
    """What it is."""
    opinions: dict[Pair, float]
    """P(first of the pair is better), 0.5 for a tie; pairs as :func:`plaudit.labels.oriented` has them."""
    failed: int = 0
    """Pairs that it was asked about without a readable answer."""
    skipped: int = 0
    """Pairs of which it would say nothing."""
    named: tuple[int, int] = (0, 0)
    """(answers that named the first seat, answers that named one)."""
    repeated: tuple[int, int] = (0, 0)
    """(same verdict both times, pairs that were asked twice with the seats swapped)."""

    @property
    def short(self) -> str:
        """The name without a model's back-end, host and hash."""
        return (
            re.sub(r"^(embedded|openai):|@\S+|:[0-9a-f]{12}(?= |$)", "", self.name)
            if self.kind == "model"
            else self.name
        )


@dataclass(frozen=True)
class Concord:
    """How far two authors agree."""

    pairs: int
    """Pairs of which both have an opinion."""
    decided: int
    """Those of which neither says that it is a tie."""
    same: int
    """Those of these of which both say the same."""
    share: float | None
    """Share of these of which both say the same; None without any."""
    low: float | None
    """Lower end of its 95% interval (Wilson)."""
    high: float | None
    """Upper end."""
    half: float | None
    """The same over all pairs, where a tie of one or both counts half."""
    kappa: float | None
    """Cohen's kappa over three answers; None where it has no meaning, as both give one answer only."""


def judge_author(name: str, answered: Sequence[Comparison], kind: AuthorKind = "judge") -> Author:
    """An author out of comparisons."""
    opinions: dict[Pair, float] = {}
    for c in answered:
        if c.probability is not None and c.first != c.second:
            pair = oriented(c.first, c.second)
            opinions.setdefault(pair, c.probability if pair[0] == c.first else 1 - c.probability)
    seated = [c for c in answered if c.forward is not None or c.backward is not None]
    twice = [(c.forward, c.backward) for c in seated if c.forward is not None and c.backward is not None]
    same = sum(_sign(there) == _sign(back) for there, back in twice)
    failed = len({oriented(c.first, c.second) for c in answered if c.status in FAILED} - opinions.keys())
    return Author(name, kind, opinions, failed, named=named_first(seated), repeated=(same, len(twice)))


def named_first(seated: Sequence[Comparison]) -> tuple[int, int]:
    """(answers that named the first seat, answers that named one)."""
    forward = [c.forward for c in seated if c.forward not in (None, 0.5)]
    backward = [c.backward for c in seated if c.backward not in (None, 0.5)]
    first = sum(value > 0.5 for value in forward if value is not None)
    return first + sum(value < 0.5 for value in backward if value is not None), len(forward) + len(backward)


def label_authors(labels: Iterable[Label], selection: str = "uniform") -> list[Author]:
    """One author for each name in the labels. A person's opinion is the first answer: the second is there to tell how far
    the first can be relied on. A model's is the mean of both orders, as the judge's."""
    groups: dict[tuple[str, str], list[Label]] = {}
    for label in labels:
        if label.selection == selection:
            groups.setdefault((label.kind, label.author), []).append(label)
    return [_label_author(name, group) for (_, name), group in groups.items()]


def _label_author(name: str, group: list[Label]) -> Author:
    every = comparisons(group)
    counted = comparisons([x for x in group if x.turn == 0]) if group[0].kind == "person" else every
    opinion = judge_author(name, counted)
    both = judge_author(name, every)
    return Author(
        name=name,
        kind=group[0].kind,
        opinions=opinion.opinions,
        failed=opinion.failed,
        skipped=sum(x.answer == "skip" for x in group),
        named=both.named,
        repeated=both.repeated,
    )


def score_author(
    name: str, kind: AuthorKind, pairs: Iterable[Pair], scores: Mapping[str, float], gap: float = 0
) -> Author:
    """An author who orders by a number; pairs that lie closer together than ``gap`` it has no opinion of."""
    known = [p for p in pairs if p[0] in scores and p[1] in scores]
    apart = [p for p in known if abs(scores[p[0]] - scores[p[1]]) >= gap]
    return Author(name, kind, {(a, b): (1 + float(np.sign(scores[a] - scores[b]))) / 2 for a, b in apart})


def world_author(pairs: Iterable[Pair], progress: Mapping[str, float]) -> Author:
    """The world's own progress; for measuring only."""
    return score_author("the world", "world", pairs, progress, CLEAR_GAP)


def concord(one: Author, other: Author) -> Concord:
    """How far these two agree."""
    shared = [p for p in one.opinions if p in other.opinions]
    said = [(_sign(one.opinions[p]), _sign(other.opinions[p])) for p in shared]
    decided = [a == b for a, b in said if a and b]
    low, high = wilson(sum(decided), len(decided))
    halves = [float(a == b) if a and b else 0.5 for a, b in said]
    return Concord(
        pairs=len(shared),
        decided=len(decided),
        same=sum(decided),
        share=sum(decided) / len(decided) if decided else None,
        low=low,
        high=high,
        half=float(np.mean(halves)) if halves else None,
        kappa=kappa(said),
    )


def matrix(authors: Sequence[Author]) -> dict[tuple[str, str], Concord]:
    """Every two authors, in both orders."""
    found = {}
    for one, other in itertools.combinations(authors, 2):
        found[one.name, other.name] = found[other.name, one.name] = concord(one, other)
    return found


def _sign(probability: float) -> int:
    return int(np.sign(probability - 0.5))


def kappa(said: Sequence[tuple[int, int]]) -> float | None:
    """Cohen's kappa of pairs of answers; None where chance alone would agree always."""
    n = len(said)
    if not n:
        return None
    observed = sum(a == b for a, b in said) / n
    ones, others = Counter(a for a, _ in said), Counter(b for _, b in said)
    chance = sum(ones[c] * others[c] for c in ones) / n**2
    return None if chance >= 1 else (observed - chance) / (1 - chance)


def wilson(successes: int, n: int) -> tuple[float | None, float | None]:
    """Wilson's 95% interval of a share; None without any trial."""
    return intervals.wilson(successes / n, n) if n else (None, None)
