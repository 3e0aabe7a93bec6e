"""Means with intervals where what is counted belongs together: questions of one episode, pairs that share a text.

Questions about one episode are no independent draws. Their mean's interval comes from the spread of whole episodes'
residuals, with Student's t of as many degrees of freedom as there are episodes but one (Cameron and Miller 2015, "A
Practitioner's Guide to Cluster-Robust Inference", equations 11 and 24): with the ten or twenty episodes of a probe the
percentile bootstrap over episodes holds the truth too seldom. It is never narrower than for independent draws.

Pairs that share an item are handled by drawing the items; a pair counts as often as both of its items were drawn,
multiplied (Davezies, D'Haultfoeuille and Guyonvarch 2021, "Empirical Process Results for Exchangeable Arrays", the
pigeonhole bootstrap): with a dozen items it holds the truth more often than the dyadic sandwich variance. Pure functions on
arrays; leaves out scores over seeds: :mod:`plaudit.analysis.statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from plaudit.intervals import wilson

RESAMPLES = 1000
ENOUGH = 10
"""Fewer clusters than this give rough intervals; a warning says so."""


@dataclass(frozen=True)
class Mean:
    """A mean over clusters."""

    value: float
    """The mean."""
    low: float
    """Lower end of the 95% interval."""
    high: float
    """Its upper end."""
    n: int
    """Things that were counted."""
    clusters: int
    """What they belong to, counted."""


def clustered(values: ArrayLike, clusters: ArrayLike, weights: ArrayLike | None = None, share: bool = True) -> Mean:
    """The mean of these values, at least one, with a 95% interval that knows which of them belong together.

    Args:
        values: ``(n,)`` finite numbers.
        clusters: ``(n,)`` numbers of what each belongs to.
        weights: ``(n,)`` how much each counts; equally where None.
        share: whether they are rights and wrongs, between 0 and 1. Where all are the same they have no spread to go by, and
            the interval is Wilson's, with as many trials as there are clusters.
    """
    numbers, weight, row = _checked(values, weights, clusters)
    groups, mass = int(row.max()) + 1, weight.sum()
    value = float((weight * numbers).sum() / mass)
    if share and len(np.unique(numbers)) == 1 and numbers[0] in (0.0, 1.0):
        return Mean(value, *wilson(value, groups), len(numbers), groups)
    half = max(
        _half(weight * (numbers - value), row, mass), _half(weight * (numbers - value), np.arange(len(row)), mass)
    )
    low, high = value - half, value + half
    return Mean(value, max(0.0, low) if share else low, min(1.0, high) if share else high, len(numbers), groups)


def _half(residuals: NDArray[np.float64], row: NDArray[np.int64], mass: float) -> float:
    """Half width of the interval, from the sums of the residuals of each cluster; without end for one cluster."""
    sums = np.bincount(row, residuals)
    if len(sums) < 2:
        return float("inf")
    deviation = np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / mass
    return float(stats.t.ppf(0.975, len(sums) - 1) * deviation)


def of_pairs(values: ArrayLike, first: ArrayLike, second: ArrayLike, share: bool = True, seed: int = 0) -> Mean:
    """The mean over pairs of items, at least one, with a 95% interval that knows which pairs share an item.

    Args:
        values: ``(n,)`` finite numbers.
        first: ``(n,)`` numbers of the one item of each pair.
        second: ``(n,)`` numbers of the other.
        share: whether the values are rights and wrongs, between 0 and 1. The interval is then the wider of this and
            Wilson's; where all are the same, Wilson's with as many trials as there can be pairs that share nothing.
        seed: of the draws.
    """
    numbers, _, _ = _checked(values, None, first)
    n, count = len(numbers), len(np.unique(np.concatenate([np.asarray(first), np.asarray(second)])))
    value = float(numbers.mean())
    if share and len(np.unique(numbers)) == 1:
        return Mean(value, *wilson(value, max(1, min(n, count // 2))), n, count)
    drawn = [weights @ numbers / weights.sum() for weights in pair_weights(first, second, RESAMPLES, seed)]
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist() if drawn else (-np.inf, np.inf)
    if not share:
        return Mean(value, low, high, n, count)
    least, most = wilson(value, n)
    return Mean(value, max(0.0, min(low, least)), min(1.0, max(high, most)), n, count)


def pair_weights(first: ArrayLike, second: ArrayLike, resamples: int, seed: int = 0) -> Iterator[NDArray[np.float64]]:
    """How often each pair counts, ``(n,)``, with the items drawn anew: the product of its two; empty draws left out."""
    _, places = np.unique(np.concatenate([np.asarray(first), np.asarray(second)]), return_inverse=True)
    one, other = np.split(places, 2)
    count, rng = int(places.max()) + 1, np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        weights = drawn[one] * drawn[other]
        if weights.any():
            yield weights


def _checked(
    values: ArrayLike, weights: ArrayLike | None, clusters: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    numbers = np.asarray(values, np.float64)
    weight = np.ones(len(numbers)) if weights is None else np.asarray(weights, np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"values are finite, of shape (n,), at least one; got {numbers!r}")
    return numbers, weight, np.unique(np.asarray(clusters), return_inverse=True)[1]
