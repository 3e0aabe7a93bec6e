"""Is a judge of one mind with itself? Of three items, all three pairs of which were asked, how many go round in a circle?

A better than B, B better than C, and C better than A: no reward can agree with all three. Coins come to a quarter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 10_000_000
"""Cells of a table of items by items that are in memory at once."""


def triples(pairs: NDArray[np.int64], probability: NDArray[np.float64]) -> dict[str, float | None]:
    """``triples`` with three clear answers, and ``cyclic``, the share of them that is a cycle; None without any.

    ``pairs`` ``(n, 2)`` are numbers of two items, ``probability`` P(first is better), NaN where the judge failed. Of a pair
    that was asked more than once the mean counts.
    """
    from scipy.sparse import coo_array

    known = ~np.isnan(probability)
    items, place = np.unique(pairs[known], return_inverse=True)
    first, second = place.reshape(-1, 2).T
    lean = coo_array((probability[known] - 0.5, (first, second)), shape=(len(items), len(items))).tocsr()
    lean = lean - lean.T
    better = (lean > 0).astype(np.float64).tocsr()
    either = better + better.T
    total = cycles = 0.0
    step = max(1, CELLS // max(1, len(items)))
    for start in range(0, len(items), step):
        rows = slice(start, start + step)
        cycles += ((better[rows] @ better) * better.T.tocsr()[rows]).sum() / 3
        total += ((either[rows] @ either) * either[rows]).sum() / 6
    return {"triples": round(total), "cyclic": float(cycles / total) if total else None}
