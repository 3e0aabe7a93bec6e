"""EPIC: how far two rewards lie apart, whatever their scale and whatever potential was added to them.

    C(R)(s, s') = R(s, s') + g E[R(s', S')] - E[R(s, S')] - g E[R(S, S')]
    distance    = sqrt((1 - Pearson(C(R1), C(R2))) / 2), in [0, 1]: 0 the same up to potential, 0.71 unrelated

with S and S' drawn from all observations that were recorded. A reward that depends on ``s'`` alone is changed by a
constant only, so that the distance is that of Pearson's correlation. A reward without spread (a constant) is related to
nothing: 0.71. Actions are left out: no reward here depends on them but through what they lead to. DARD (arXiv 2201.10081)
compares over transitions that can happen, but needs many successors of each state; recordings seldom have them.

Source: Gleave et al. 2021, "Quantifying Differences in Reward Functions", arXiv 2006.13900, definitions 4.1 and 4.7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.analysis.statistics import percentiles

UNRELATED = float(np.sqrt(0.5))
"""The distance of two rewards whose canonical forms are uncorrelated."""
Pairs = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""Rewards of steps from these observations to those, by their numbers, ``(n,)`` each."""


@dataclass(frozen=True)
class Distance:
    """How far apart two rewards are."""

    value: float
    """The distance."""
    low: float
    """Lower end of its 95% bootstrap interval over episodes."""
    high: float
    """Its upper end."""


def canonical(
    reward: Pairs, before: NDArray[np.int64], after: NDArray[np.int64], pool: NDArray[np.int64], gamma: float
) -> NDArray[np.float64]:
    """The canonically shaped reward of each step, ``(n,)``; ``pool`` are observations drawn from those recorded."""

    def expected(start: NDArray[np.int64]) -> NDArray[np.float64]:
        distinct, place = np.unique(start, return_inverse=True)
        found = reward(np.repeat(distinct, len(pool)), np.tile(pool, len(distinct)))
        return np.asarray(found.reshape(len(distinct), len(pool)).mean(axis=1)[place])

    everywhere = expected(pool).mean()
    return np.asarray(reward(before, after) + gamma * expected(after) - expected(before) - gamma * everywhere)


def distance(
    first: NDArray[np.float64], second: NDArray[np.float64], episode: NDArray[np.int64], seed: int = 0
) -> Distance:
    """EPIC's distance of two canonical rewards ``(n,)``; episodes are drawn for the interval."""
    _, group = np.unique(episode, return_inverse=True)
    x, y = first - first.mean(), second - second.mean()
    columns = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])
    sums = np.stack([np.bincount(group, weights=c) for c in columns], axis=1)  # (episodes, 6)
    rng = np.random.default_rng(seed)
    drawn = np.stack([sums[rng.integers(0, len(sums), len(sums))].sum(axis=0) for _ in range(500)])
    low, high = percentiles(_of_sums(drawn))
    return Distance(float(_of_sums(sums.sum(axis=0)[None])[0]), float(low), float(high))


def _of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    n, x, y, xx, yy, xy = sums.T
    spread_x, spread_y = np.maximum(xx / n - (x / n) ** 2, 0), np.maximum(yy / n - (y / n) ** 2, 0)
    spread = np.sqrt(spread_x * spread_y)
    related = np.where(spread > 1e-12, (xy / n - x * y / n**2) / np.maximum(spread, 1e-12), 0.0)
    return np.asarray(np.sqrt((1 - np.clip(related, -1, 1)) / 2))
