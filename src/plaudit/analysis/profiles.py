"""What one number hides: the whole distribution of an arm's scores, how it grows with training, and how often it wins.

Use: ``performance_profile([0.9, 1.0, 0.8, 1.0, 0.9], taus)``. As everywhere here a run is one seed in one world, seeds
are what is resampled, and below ``MIN_SEEDS`` there are points but no intervals. Leaves out scores in other units than
their own: nothing is normalised.
Source: Agarwal et al. 2021, arXiv 2108.13264; the test suite holds every function against their library, rliable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaudit.analysis.statistics import MIN_SEEDS, Interval, checked, interval, percentiles, resample


@dataclass(frozen=True)
class Profile:
    """Share of runs that score above each threshold: the higher the line, the better, over its whole length."""

    taus: NDArray[np.float64]
    """Thresholds."""
    share: NDArray[np.float64]
    """Share of the runs with a score > tau, for each tau; 0 to 1."""
    low: NDArray[np.float64] | None
    """Lower end of the band, at each tau by itself; None below ``MIN_SEEDS``."""
    high: NDArray[np.float64] | None
    """Upper end."""
    seeds: int
    """Seeds that it stands on."""


@dataclass(frozen=True)
class Improvement:
    """P(a run of the one arm scores higher than a run of the other), a draw counting half."""

    probability: float
    """0 to 1; one half where neither is better."""
    low: float | None
    """Lower end of the bootstrap interval; None where either arm has less than ``MIN_SEEDS``."""
    high: float | None
    """Upper end."""
    seeds: int
    """Seeds of the arm that has fewer."""


def performance_profile(scores: ArrayLike, taus: ArrayLike, resamples: int = 2000, seed: int = 0) -> Profile:
    """The profile of ``(seeds,)`` or ``(seeds, worlds)`` scores, every run counting alike, with a 95% band."""
    table, thresholds = checked(scores), np.asarray(taus, np.float64)
    share = _above(table.reshape(1, -1), thresholds)[0]
    if len(table) < MIN_SEEDS:
        return Profile(thresholds, share, None, None, len(table))
    sampled = resample(table, resamples, np.random.default_rng(seed)).reshape(resamples, -1)
    low, high = percentiles(_above(sampled, thresholds))
    return Profile(thresholds, share, low, high, len(table))


def _above(runs: NDArray[np.float64], taus: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(samples, taus)``: share of each sample's runs above each threshold; one threshold at a time to save memory."""
    return np.stack([(runs > tau).mean(axis=1) for tau in taus], axis=1)


def probability_of_improvement(
    scores: ArrayLike, others: ArrayLike, resamples: int = 2000, seed: int = 0
) -> Improvement:
    """Mann and Whitney's U over n m, the mean over worlds; seeds of the two arms are drawn apart from each other.

    That two arms share their seeds is not used, so nothing is lost where one arm lacks some; ``paired_difference``
    uses it. Where every run of one arm beats every run of the other no resample can differ and the interval has no
    width, whatever the number of seeds: read it together with the p-value in ``claims``.
    """
    x, y = checked(scores), checked(others)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"both arms need the same worlds, got {x.shape[1]} and {y.shape[1]}")
    point, seeds = float(_wins(x[None], y[None])[0]), min(len(x), len(y))
    if seeds < MIN_SEEDS:
        return Improvement(point, None, None, seeds)
    rng = np.random.default_rng(seed)
    low, high = percentiles(_wins(resample(x, resamples, rng), resample(y, resamples, rng)))
    return Improvement(point, float(low), float(high), seeds)


def _wins(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(samples,)``: mean over all pairs of runs in the same world of 1, one half or 0."""
    gap = np.sign(x[:, :, None] - y[:, None])
    return np.asarray((0.5 + 0.5 * gap).mean(axis=(1, 2, 3)))


def optimality_gap(scores: ArrayLike, best: float = 1.0) -> float:
    """How far the runs fall short of ``best`` on average; what exceeds it does not make up for what falls short."""
    return float(best - np.minimum(checked(scores), best).mean())


def sample_efficiency(curves: Sequence[Mapping[int, float]], most: int = 120) -> list[tuple[int, Interval]]:
    """(environment steps, score over seeds) where every seed has a value; ``curves`` is steps -> score of each seed.

    At most ``most`` points, evenly, the last one always among them.
    """
    if not curves:
        return []
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    every = max(1, -(-len(shared) // most))
    return [(x, interval([curve[x] for curve in curves], resamples=1000)) for x in shared[::-1][::every][::-1]]
