"""Opinions of pairs held against known orders: accuracy by distance, a calibration curve, and how much the seat decides.

Pairs share observations, so that their outcomes hang together and Wilson's interval alone would be too narrow: see
:func:`plaudit.analysis.clustered.of_pairs`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.analysis.clustered import of_pairs, pair_weights
from plaudit.analysis.sharpness import log_odds
from plaudit.analysis.statistics import percentiles
from plaudit.labels import Pair
from plaudit.types import Comparison

RESAMPLES = 400
"""Times that observations are drawn anew."""


@dataclass(frozen=True)
class Share:
    """A share of pairs."""

    share: float | None
    """0 to 1; None without any pair."""
    low: float | None
    """Lower end of its 95% interval."""
    high: float | None
    """Upper end."""
    pairs: int
    """Pairs that it is a share of."""


@dataclass(frozen=True)
class Bin:
    """Pairs that are alike in something."""

    low: float
    """Least of what they are alike in."""
    high: float
    """Most of it."""
    middle: float
    """Its mean over the pairs."""
    right: Share
    """Share of them ordered rightly, half for an undecided one."""


@dataclass(frozen=True)
class Answers:
    """Opinions of pairs whose order is known, side by side."""

    pairs: Sequence[Pair]
    """The pairs."""
    said: NDArray[np.float64]
    """P(the first is better), ``(n,)``."""
    true: NDArray[np.float64]
    """1 where the first is better, 0 where the second is, ``(n,)``."""

    @classmethod
    def of(cls, opinions: Mapping[Pair, float], order: Mapping[Pair, float]) -> Answers:
        """Those that both know and of which ``order`` says no tie."""
        pairs = [p for p in opinions if order.get(p, 0.5) != 0.5]
        said, true = [opinions[p] for p in pairs], [float(order[p] > 0.5) for p in pairs]
        return cls(pairs, np.array(said, np.float64), np.array(true, np.float64))

    @property
    def right(self) -> NDArray[np.float64]:
        """1, 0, or one half where it could not decide, ``(n,)``."""
        return np.where(self.said == 0.5, 0.5, (self.said > 0.5) == (self.true > 0.5))

    @property
    def sure(self) -> NDArray[np.float64]:
        """Said probability of the one that it prefers, one half to 1, ``(n,)``."""
        return np.maximum(self.said, 1 - self.said)

    def only(self, chosen: NDArray[np.bool_]) -> Answers:
        """Some of them."""
        return Answers([self.pairs[i] for i in np.flatnonzero(chosen).tolist()], self.said[chosen], self.true[chosen])


def _members(pairs: Sequence[Pair]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the first and of the second observations, each ``(pairs,)``."""
    number = {text: i for i, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair))}
    first, second = (np.array([number[pair[i]] for pair in pairs], np.int64) for i in (0, 1))
    return first, second


def share_of(pairs: Sequence[Pair], values: NDArray[np.float64]) -> Share:
    """Mean of ``values``, 0 to 1, over pairs that share observations."""
    if not len(pairs):
        return Share(None, None, None, 0)
    found = of_pairs(values, *_members(pairs))
    return Share(found.value, found.low, found.high, found.n)


def accuracy(answers: Answers) -> Share:
    """Share of the known orders that are told rightly."""
    return share_of(answers.pairs, answers.right)


def by_distance(answers: Answers, distance: Mapping[Pair, float], bins: int) -> list[Bin]:
    """Accuracy by how far apart the two are, in bins of about as many pairs each."""
    far = np.array([distance[p] for p in answers.pairs], np.float64)
    return _bins(answers, far, np.unique(np.quantile(far, np.linspace(0, 1, bins + 1)))) if len(far) else []


def calibration_curve(answers: Answers, bins: int) -> list[Bin]:
    """Said probability against the share that is right, in bins of equal width from one half to 1."""
    return _bins(answers, answers.sure, np.linspace(0.5, 1, bins + 1))


def _bins(answers: Answers, values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[Bin]:
    inner = edges[1:-1]
    place, found = np.searchsorted(inner, values, side="right"), []
    for number in range(len(inner) + 1):
        inside = place == number
        if inside.any():
            part = values[inside]
            right = accuracy(answers.only(inside))
            found.append(Bin(float(part.min()), float(part.max()), float(part.mean()), right))
    return found


def expected_calibration_error(answers: Answers, bins: int, weights: NDArray[np.float64] | None = None) -> float:
    """Mean gap of said probability and share right over the bins, weighted by their pairs (Guo et al. 2017, eq. 3)."""
    place = np.clip(((answers.sure - 0.5) * 2 * bins).astype(int), 0, bins - 1)
    w = np.ones(len(place)) if weights is None else weights
    gaps = np.bincount(place, w * (answers.right - answers.sure), bins)
    return float(np.abs(gaps).sum() / w.sum())


def corrected_error(answers: Answers, bins: int) -> float:
    """The calibration error without what chance adds to it.

    A mean of absolute gaps is too large, the more so the fewer the pairs. Chance adds to it about as one side of a right
    triangle to the other: the square of the plain error is that of the true one and that of the calibrated one's. Nearly
    right where there is no true error and where it is large; ``tests/test_reliability.py`` tries it in between.
    """
    return _without_chance(expected_calibration_error(answers, bins), error_of_the_calibrated(answers, bins))


def error_interval(answers: Answers, bins: int) -> tuple[float, float]:
    """The interval of the corrected error, observations resampled.

    Each resample adds chance once more, so that their mean lies above the plain error: their spread about that mean is laid
    round the plain error, and both ends are corrected as it is.
    """
    plain, floor = expected_calibration_error(answers, bins), error_of_the_calibrated(answers, bins)
    found = [expected_calibration_error(answers, bins, w) for w in pair_weights(*_members(answers.pairs), RESAMPLES)]
    low, high = percentiles(np.array(found)) - np.mean(found)
    return _without_chance(plain - float(high), floor), _without_chance(plain - float(low), floor)


def _without_chance(error: float, floor: float) -> float:
    return math.sqrt(max(error, floor) ** 2 - floor**2)


def error_of_the_calibrated(answers: Answers, bins: int, seed: int = 0) -> float:
    """What the calibration error comes to for one whose probabilities are true, with as few pairs: it is never 0."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(100):
        true = (rng.random(len(answers.said)) < answers.said).astype(np.float64)
        found.append(expected_calibration_error(Answers(answers.pairs, answers.said, true), bins))
    return float(np.mean(found))


@dataclass(frozen=True)
class Seating:
    """How much the seat decides where both orders were asked."""

    pairs: int
    """Pairs with two answers."""
    flips: Share
    """Share of them whose verdict changed with the seats."""
    bias: float | None
    """What the first seat is worth, in nats of log-odds; 0 without a preference, None without a pair."""
    bias_low: float | None
    """Lower end of its 95% interval."""
    bias_high: float | None
    """Upper end."""


def seating(comparisons: Sequence[Comparison]) -> Seating:
    """With s for what the pair is worth and b for the seat, one order is answered s + b and the other s - b."""
    both = [(c, c.forward, c.backward) for c in comparisons if c.forward is not None and c.backward is not None]
    if not both:
        return Seating(0, Share(None, None, None, 0), None, None, None)
    pairs = [(c.first, c.second) for c, _, _ in both]
    flips = share_of(pairs, np.array([bool(c.flipped) for c, _, _ in both], np.float64))
    seat = (log_odds([there for _, there, _ in both]) - log_odds([back for _, _, back in both])) / 2
    worth = of_pairs(seat, *_members(pairs), share=False)
    return Seating(len(both), flips, worth.value, worth.low, worth.high)
