"""Before and after on the same items: intervals of a difference, and what n items can tell apart.

Items of one block share their choices and are not independent, so blocks are resampled. Sources: McNemar 1947,
in its exact form; Efron's percentile bootstrap; Kish's design effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from plaudit.intervals import Z

RESAMPLES = 2000
POWER = 0.84
"""Standard errors more for a power of 80%."""


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided p-value that items are lost as easily as gained."""
    changed = lost + gained
    tail = sum(math.comb(changed, k) for k in range(min(lost, gained) + 1))
    return min(1.0, 2 * tail / 2**changed)


def resolvable(n: int, changed: float) -> float:
    """The smallest difference of two shares that n items would show with 80% power, where a share of them changes."""
    return (Z + POWER) * math.sqrt(changed / n) if n else 1.0


def bootstrap(
    columns: NDArray[np.float64],
    blocks: Sequence[str],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int = 0,
) -> tuple[float, float]:
    """95% interval of a statistic of sums, blocks drawn with replacement.

    ``columns`` is ``(items, sums)``; the statistic gets ``(resamples, sums)`` and gives ``(resamples,)``.
    """
    names, place = np.unique(np.asarray(blocks), return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, place, columns)
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    low, high = np.percentile(statistic(weights @ sums), [2.5, 97.5])
    return float(low), float(high)


def independent(values: Sequence[float], blocks: Sequence[str]) -> int:
    """As many independent items as these tell as much as, by the design effect (Kish 1965); at most all, at least one.

    Where all are the same, blocks: how alike those within a block are cannot be seen then.
    """
    off = np.asarray(values, np.float64) - np.mean(values)
    place = np.unique(np.asarray(blocks), return_inverse=True)[1]
    alone, together = float((off**2).sum()), float((np.bincount(place, off) ** 2).sum())
    if not alone:
        return int(place.max()) + 1
    return max(1, min(len(off), round(len(off) * alone / together) if together else len(off)))


def mean_difference(differences: Sequence[float], blocks: Sequence[str]) -> tuple[float, float]:
    """95% interval of the mean of paired differences."""
    columns = np.column_stack([np.asarray(differences, np.float64), np.ones(len(differences))])
    return bootstrap(columns, blocks, lambda sums: sums[:, 0] / sums[:, 1])
