"""How far one number follows another over episodes, and how it moves before success; an episode is what is resampled.

Steps of an episode hang together, so that intervals are bootstraps over whole episodes. Spearman's rho is Pearson's
correlation of mid-ranks; for a resample both are weighted by how often each episode was drawn, which is the same as
repeating its steps. A first number that is the same everywhere, where the second is not, says nothing of it and counts as a
correlation of 0, so that a sparse reward is measured on the same episodes as a dense one. Where the second is the same
everywhere there is nothing to say, and the episode is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.analysis.statistics import percentiles

Series = Sequence[NDArray[np.float64]]
"""One array for each episode, ``(steps,)``; NaN where nothing is known."""
RESAMPLES = 300
LEAST = 5
"""Episodes below which no interval is given."""
SHORTEST = 3
"""Observations below which an episode has no correlation of its own."""
BIN = 5
"""Steps before success that are looked at together, at most, to tell how far ahead a number speaks."""


@dataclass(frozen=True)
class Rank:
    """A rank correlation over episodes."""

    rho: float | None
    """-1 to 1; None where there was nothing to say."""
    low: float | None
    """Lower end of its 95% interval; None with too few episodes."""
    high: float | None
    """Upper end."""
    episodes: int
    """Episodes that it stands on."""


NOTHING = Rank(None, None, None, 0)


def pooled(x: Series, y: Series, resamples: int = RESAMPLES) -> Rank:
    """Spearman's rho of ``x`` and what it may say, ``y``, over all steps of all episodes: between episodes too."""
    kept = [(a, b) for a, b in (_known(a, b) for a, b in zip(x, y, strict=True)) if len(a)]
    if not kept:
        return NOTHING
    first, second = (np.unique(np.concatenate([pair[i] for pair in kept]), return_inverse=True)[1] for i in (0, 1))
    episode = np.repeat(np.arange(len(kept)), [len(a) for a, _ in kept])
    rho = weighted_spearman(first, second, np.ones(len(first)))
    if rho is None or len(kept) < LEAST:
        return Rank(rho, None, None, len(kept))
    rng, found = np.random.default_rng(0), list[float]()
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, len(kept), len(kept)), minlength=len(kept))
        one = weighted_spearman(first, second, times[episode].astype(np.float64))
        found += [] if one is None else [one]
    low, high = percentiles(np.array(found))
    return Rank(rho, float(low), float(high), len(kept))


def weighted_spearman(x: NDArray[np.int64], y: NDArray[np.int64], weights: NDArray[np.float64]) -> float | None:
    """Spearman's rho of two columns of codes in the order of their values, each row as often as it weighs.

    0 where only ``x`` is the same everywhere, None where ``y`` is.
    """
    total = weights.sum()
    ranks = []
    for codes in (x, y):
        count = np.bincount(codes, weights)
        rank = (np.cumsum(count) - count / 2)[codes]
        ranks.append(rank - (weights @ rank) / total)
    a, b = ranks
    # Ranks are multiples of one half: what is smaller than this is rounding.
    spread_x, spread_y = float(weights @ a**2), float(weights @ b**2)
    if spread_y < 1e-6:
        return None
    return 0.0 if spread_x < 1e-6 else float(weights @ (a * b)) / (spread_x * spread_y) ** 0.5


def within(x: Series, y: Series, resamples: int = 2000) -> Rank:
    """Mean over episodes of Spearman's rho inside each: what an agent can learn from in one."""
    of_each = [rho for a, b in zip(x, y, strict=True) if (rho := _one(a, b)) is not None]
    if not of_each:
        return NOTHING
    values, mean = np.array(of_each), float(np.mean(of_each))
    if len(values) < LEAST:
        return Rank(mean, None, None, len(values))
    drawn = np.random.default_rng(0).integers(0, len(values), (resamples, len(values)))
    low, high = percentiles(values[drawn].mean(axis=1))
    return Rank(mean, float(low), float(high), len(values))


def _one(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    a, b = _known(x, y)
    if len(a) < SHORTEST:
        return None
    first, second = (np.unique(values, return_inverse=True)[1] for values in (a, b))
    return weighted_spearman(first, second, np.ones(len(a)))


def _known(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def differences(x: Series) -> list[NDArray[np.float64]]:
    """What each step changed, inside each episode."""
    return [np.diff(each) for each in x]


def percentiles_of(x: Series) -> list[NDArray[np.float64]]:
    """The share of all steps that have less (half of those that have the same), 0 to 1: one half on average."""
    if not len(x):
        return []
    every = np.concatenate(list(x))
    known = np.isfinite(every)
    codes, count = np.unique(every[known], return_inverse=True, return_counts=True)[1:]
    shares = np.full(len(every), np.nan)
    shares[known] = ((np.cumsum(count) - count / 2) / max(1, known.sum()))[codes]
    return list(np.split(shares, np.cumsum([len(each) for each in x])[:-1]))


@dataclass(frozen=True)
class Moment:
    """So many steps before success."""

    ahead: int
    """Steps before success; 0 is the step that succeeds."""
    mean: float
    """Mean over the episodes that succeed and are that long."""
    low: float
    """Lower end of its 95% band."""
    high: float
    """Upper end."""
    episodes: int
    """How many they are."""


@dataclass(frozen=True)
class Level:
    """Steps of a like value."""

    middle: float
    """Mean of the value over them."""
    mean: float
    """Mean of the other number over them."""
    low: float | None
    """Lower end of its 95% band; None with too few episodes."""
    high: float | None
    """Upper end."""


def by_level(x: Series, y: Series, levels: int = 10) -> list[Level]:
    """The mean of ``x`` where ``y`` is low, where it is higher, and so on: ``levels`` bins of about as many steps."""
    kept = [(a, b) for a, b in (_known(a, b) for a, b in zip(x, y, strict=True)) if len(a)]
    if not kept:
        return []
    first, second = (np.concatenate([pair[i] for pair in kept]) for i in (0, 1))
    episode = np.repeat(np.arange(len(kept)), [len(a) for a, _ in kept])
    edges = np.unique(np.quantile(second, np.linspace(0, 1, levels + 1)))[1:-1]
    place, rng = np.searchsorted(edges, second, side="right"), np.random.default_rng(0)
    times = rng.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), RESAMPLES)
    found = []
    for number in np.unique(place):
        inside = place == number
        sums = np.bincount(episode[inside], first[inside], len(kept))
        counts = np.bincount(episode[inside], minlength=len(kept))
        drawn = (times @ sums)[times @ counts > 0] / (times @ counts)[times @ counts > 0]
        low, high = percentiles(drawn).tolist() if (counts > 0).sum() >= LEAST else (None, None)
        found.append(Level(float(second[inside].mean()), float(first[inside].mean()), low, high))
    return found


def before_success(x: Series, success: Sequence[bool], longest: int, start: int = 0, width: int = 1) -> list[Moment]:
    """The mean by time to success, ``width`` steps together; moments that few episodes reach are left out."""
    chosen, found = [each[::-1] for each, won in zip(x, success, strict=True) if won], []
    rng = np.random.default_rng(0)
    for ahead in range(start, longest, width):
        parts = [each[ahead : ahead + width] for each in chosen]
        parts = [part[np.isfinite(part)] for part in parts]
        values = np.array([part.mean() for part in parts if len(part)])
        if len(values) < LEAST:
            break
        drawn = rng.integers(0, len(values), (RESAMPLES, len(values)))
        low, high = percentiles(values[drawn].mean(axis=1))
        found.append(Moment(ahead, float(values.mean()), float(low), float(high), len(values)))
    return found


def reach(x: Series, success: Sequence[bool], longest: int) -> int:
    """How many steps ahead of success a number lies above what it is on average, without a gap, and not by chance.

    A few steps are taken together, a sixth of a usual episode or ``BIN``; the step that succeeds does not count. By
    :func:`percentiles_of`, so that one large value is no more than a larger one.
    """
    lengths = [len(each) for each, won in zip(x, success, strict=True) if won]
    width, steps = max(1, min(BIN, int(np.median(lengths)) // 6)) if lengths else 1, 0
    for moment in before_success(percentiles_of(x), success, longest + 1, 1, width):
        if moment.low <= 0.5:
            break
        steps = min(longest, moment.ahead + width - 1)
    return steps
