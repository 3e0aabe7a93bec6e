"""Means with intervals where the things that are counted belong together: questions of one episode, pairs that share a text.

Questions about one episode are no independent draws, so whole episodes are drawn anew (the cluster bootstrap: Cameron,
Gelbach and Miller 2008, "Bootstrap-Based Improvements for Inference with Clustered Errors"). Pairs that share an item are
handled by drawing the items; a pair counts as often as both of its items were drawn, multiplied (Davezies,
D'Haultfoeuille and Guyonvarch 2021, "Empirical Process Results for Exchangeable Arrays", the pigeonhole bootstrap).
Pure functions on arrays; leaves out scores over seeds: :mod:`plaudit.analysis.statistics`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaudit.intervals import wilson

RESAMPLES = 2000
ENOUGH = 10
"""Fewer clusters than this give intervals that are too narrow; a warning says so."""


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


def clustered(
    values: ArrayLike, clusters: ArrayLike, weights: ArrayLike | None = None, share: bool = True, seed: int = 0
) -> Mean:
    """The mean of these values, at least one, with the percentile interval of the cluster bootstrap.

    Args:
        values: ``(n,)`` finite numbers.
        clusters: ``(n,)`` numbers of what each belongs to.
        weights: ``(n,)`` how much each counts; equally where None.
        share: whether values are rights and wrongs; where all are the same, resampling has nothing to vary, and the
            interval is Wilson's, with as many trials as there are clusters.
        seed: of the draws.
    """
    numbers, weight, row = _checked(values, weights, clusters)
    groups = int(row.max()) + 1
    total, mass = (np.bincount(row, each, groups) for each in (weight * numbers, weight))
    value = float(total.sum() / mass.sum())
    if share and len(np.unique(numbers)) == 1 and numbers[0] in (0.0, 1.0):
        return Mean(value, *wilson(value, groups), len(numbers), groups)
    drawn = np.random.default_rng(seed).integers(0, groups, (RESAMPLES, groups))
    means = total[drawn].sum(axis=1) / mass[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Mean(value, float(low), float(high), len(numbers), groups)


def of_pairs(values: ArrayLike, first: ArrayLike, second: ArrayLike, seed: int = 0) -> Mean:
    """The mean over pairs of items, with an interval that knows which pairs share one.

    ``first`` and ``second`` are ``(n,)`` numbers of the items of each pair.
    """
    numbers, weight, _ = _checked(values, None, first)
    _, places = np.unique(np.concatenate([np.asarray(first), np.asarray(second)]), return_inverse=True)
    one, other = places[: len(numbers)], places[len(numbers) :]
    items, value = int(places.max()) + 1, float(numbers.mean())
    if len(np.unique(numbers)) == 1:
        return Mean(value, *wilson(value, items // 2), len(numbers), items)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(items, np.full(items, 1 / items), RESAMPLES)
    weight = counts[:, one] * counts[:, other]
    kept = weight.sum(axis=1) > 0
    means = (weight[kept] @ numbers) / weight[kept].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Mean(value, float(low), float(high), len(numbers), items)


def _checked(
    values: ArrayLike, weights: ArrayLike | None, clusters: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    numbers = np.asarray(values, np.float64)
    weight = np.ones(len(numbers)) if weights is None else np.asarray(weights, np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"values are finite, of shape (n,), at least one; got {numbers!r}")
    return numbers, weight, np.unique(np.asarray(clusters), return_inverse=True)[1]
