"""What the seeds allow to say of two arms, and a loud sentence where they allow nothing.

Use: ``contest({0: 0.9, 1: 1.0}, {0: 0.1, 1: 0.2})``. Two things have to agree before an arm is called ahead: the 95%
interval of the paired difference leaves out zero, and an exact rank test over the seeds has p < 0.05. The interval alone
is too narrow with few seeds (five seeds, two equal arms: it leaves out zero in 10% of draws, both together in 3%; a test
measures that); the test alone says nothing of the size.

The best of many arms is picked by looking, which flatters it. It is therefore held against the runner-up, whichever that
is: to be called the best by mistake it would have to look far better than an arm that was flattered just as much.
Where several claims are made at once their number counts: ``too_few(seeds, claims)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from plaudit.analysis.profiles import Improvement, probability_of_improvement
from plaudit.analysis.statistics import MIN_SEEDS, Interval, checked, paired_difference

LEVEL = 0.05
"""A claim has to be less likely than this where there is nothing to claim."""
EXACT = 20_000
"""Splits of the seeds that are all tried; beyond it the test is asymptotic."""


@dataclass(frozen=True)
class Contest:
    """One arm against another."""

    difference: Interval | None
    """Of the seeds that both have; None without any."""
    wins: int
    """Shared seeds in which the first is higher."""
    draws: int
    """Shared seeds in which both are equal."""
    shared: int
    """Shared seeds."""
    improvement: Improvement
    """Over all pairs of seeds."""
    p: float
    """Two-sided, of the rank test over all seeds; 1 where it can tell nothing."""

    @property
    def order(self) -> Literal["ahead", "behind", "open"]:
        """Whether the first is ahead; with fewer than ``MIN_SEEDS`` it is what was seen, and no claim."""
        if self.difference is None or self.difference.low is None or self.difference.high is None:
            points = self.improvement.probability if self.difference is None else 0.5 + self.difference.point
            return "open" if points == 0.5 else "ahead" if points > 0.5 else "behind"
        if self.difference.kind == "bootstrap" and self.p >= LEVEL:
            return "open"
        return "ahead" if self.difference.low > 0 else "behind" if self.difference.high < 0 else "open"

    @property
    def is_claim(self) -> bool:
        """Whether the seeds carry it: an order, and enough seeds on both sides."""
        return self.order != "open" and self.improvement.seeds >= MIN_SEEDS and self.p < LEVEL


def contest(scores: Mapping[int, float], others: Mapping[int, float]) -> Contest:
    """Compare two arms; both map seed -> score."""
    shared = sorted(scores.keys() & others.keys())
    x, y = list(scores.values()), list(others.values())
    return Contest(
        difference=paired_difference(dict(scores), dict(others)),
        wins=sum(bool(scores[s] > others[s]) for s in shared),
        draws=sum(bool(scores[s] == others[s]) for s in shared),
        shared=len(shared),
        improvement=probability_of_improvement(x, y),
        p=rank_test(x, y),
    )


def rank_test(scores: ArrayLike, others: ArrayLike) -> float:
    """Two-sided p of Mann and Whitney's test; over all splits of the seeds where these can be tried, ties and all."""
    from scipy.stats import PermutationMethod, mannwhitneyu

    x, y = checked(scores).ravel(), checked(others).ravel()
    if min(len(x), len(y)) < 2 or len({*x.tolist(), *y.tolist()}) == 1:
        return 1.0  # a single seed has no spread to hold anything against
    splits = math.comb(len(x) + len(y), len(x))
    method = PermutationMethod(n_resamples=EXACT) if splits <= EXACT else "auto"
    return min(1.0, float(mannwhitneyu(x, y, alternative="two-sided", method=method).pvalue))


def by_chance(seeds: int) -> float:
    """How often, of two equally good arms of so many seeds each, all seeds of one are ahead of all of the other."""
    return 2 / math.comb(2 * seeds, seeds) if seeds > 0 else 1.0


def too_few(seeds: int, claims: int = 1) -> str | None:
    """Why so many seeds of each arm carry no claim (or not so many claims at once); None where they can."""
    chance = min(1.0, claims * by_chance(seeds))
    if seeds >= MIN_SEEDS and chance < LEVEL:
        return None
    if seeds < 1:
        return "Nothing was finished, so there is nothing to claim."
    what = "a claim" if claims == 1 else f"{claims} claims at once"
    if seeds == 1:
        return f"1 seed is too few for {what}: another seed may turn the order around, and nothing here can tell."
    one = "two that are equally good" if claims == 1 else f"{claims} pairs that are equally good"
    which = "one comes" if claims == 1 else "in at least one of them one comes"
    often = f"{100 * chance:.0f}%" if chance >= 0.0095 else f"{100 * chance:.1f}%"
    return f"{seeds} seeds are too few for {what}: of {one}, {which} out wholly ahead in up to {often} of cases."
