"""Scores over seeds: interquartile mean and stratified bootstrap intervals, honest where there are too few seeds.

A seed is one whole training; that is the unit that is resampled. Many episodes of one agent tell how good that agent
is, not how good the method is, so an interval over episodes is never given in place of one over seeds. Below
``MIN_SEEDS`` there is no interval either, only the range of what was seen, and it says so.

Use: ``interval([0.97, 0.95, 0.99, 0.96, 0.98])``. Whole distributions are in ``profiles``, what may be said of two arms
in ``claims``.
Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", arXiv 2108.13264
(their library rliable).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_SEEDS = 5
"""Fewer seeds than this carry no claim and get no interval."""
CONFIDENCE = 0.95
"""Share of repetitions whose interval is to hold the true value."""


@dataclass(frozen=True)
class Interval:
    """A score over seeds, with what is known of its spread."""

    point: float
    """Interquartile mean over the seeds; for one to three seeds that is the mean."""
    low: float | None
    """Lower end; None for a single seed."""
    high: float | None
    """Upper end; None for a single seed."""
    seeds: int
    """Trainings that it stands on."""
    kind: Literal["bootstrap", "range", "none"]
    """A 95% bootstrap interval, the lowest and highest seed, or nothing."""

    @property
    def label(self) -> str:
        """What the two ends are, in words."""
        return {
            "bootstrap": f"95% stratified bootstrap interval over {self.seeds} seeds",
            "range": f"lowest and highest of {self.seeds} seeds, not an interval",
            "none": "one seed, no interval",
        }[self.kind]


def interquartile_mean(scores: ArrayLike) -> NDArray[np.float64]:
    """Mean of the middle half along the last axis; a quarter is cut off either end, rounded down (as in rliable)."""
    ordered = np.sort(np.asarray(scores, np.float64), axis=-1)
    n = ordered.shape[-1]
    cut = n // 4
    return np.asarray(ordered[..., cut : n - cut].mean(axis=-1))


def resample(scores: ArrayLike, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """``(resamples, seeds, worlds)``: seeds drawn with replacement within each world, the stratum."""
    table = np.asarray(scores, np.float64)
    table = table.reshape(len(table), -1)
    drawn = rng.integers(0, len(table), (resamples, *table.shape))
    return np.take_along_axis(table[None], drawn, axis=1)


def percentiles(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two ends of the percentile interval, over the first axis."""
    tail = 50 * (1 - CONFIDENCE)
    return np.asarray(np.percentile(samples, [tail, 100 - tail], axis=0))


def stratified_bootstrap(scores: ArrayLike, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the interquartile mean of ``(seeds,)`` or ``(seeds, worlds)`` scores.

    With few seeds a percentile interval comes out too narrow: the least here, five, is not plenty.
    """
    sampled = resample(scores, resamples, np.random.default_rng(seed)).reshape(resamples, -1)
    low, high = percentiles(interquartile_mean(sampled))
    return float(low), float(high)


def checked(scores: ArrayLike) -> NDArray[np.float64]:
    """``(seeds, worlds)`` of ``(seeds,)`` or ``(seeds, worlds)`` finite scores; anything else is refused."""
    table = np.asarray(scores, np.float64)
    if table.ndim not in (1, 2) or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"scores are finite, of shape (seeds,) or (seeds, worlds), at least one; got {table!r}")
    return table.reshape(len(table), -1)


def interval(scores: ArrayLike, resamples: int = 2000, seed: int = 0) -> Interval:
    """The interquartile mean of ``(seeds,)`` or ``(seeds, worlds)`` finite scores and what the seeds allow to say of it."""
    table = checked(scores)
    seeds, point = len(table), float(interquartile_mean(table.ravel()))
    if seeds == 1:
        return Interval(point, None, None, 1, "none")
    if seeds < MIN_SEEDS:
        of_each = table.mean(axis=1)
        return Interval(point, float(of_each.min()), float(of_each.max()), seeds, "range")
    return Interval(point, *stratified_bootstrap(table, resamples, seed), seeds, "bootstrap")


def paired_difference(scores: dict[int, float], others: dict[int, float]) -> Interval | None:
    """``scores - others`` over the seeds that both have: the same seed is the same layouts and first weights."""
    shared = sorted(scores.keys() & others.keys())
    return interval([scores[s] - others[s] for s in shared]) if shared else None
