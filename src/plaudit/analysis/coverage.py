"""How much of a world was met, and how evenly: pure functions of how often each thing was met.

Use: ``entropy([3, 3, 0, 1])``, ``rarefied(counts, 1000)``. Two agents are compared at an equal number of steps, for more
steps meet more; where their numbers differ, the longer walk is thinned out (rarefied).
Sources: Shannon 1948 (entropy); Miller 1955 (its bias in a small sample); Hurlbert 1971, eq. 3 (rarefaction). Leaves out
estimates of what was never met.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln


def distinct(counts: ArrayLike) -> int:
    """How many different things were met."""
    return int((np.asarray(counts) > 0).sum())


def entropy(counts: ArrayLike, corrected: bool = False) -> float:
    """Entropy of the visits, nats: 0 where always the same was met, log k where k things were met equally often.

    ``corrected`` adds (k - 1) / 2n, by which n visits to k things come out too low on average (Miller 1955).
    """
    met = np.asarray(counts, np.float64)
    met = met[met > 0]
    if not len(met):
        return 0.0
    share = met / met.sum()
    found = -float((share * np.log(share)).sum())
    return max(0.0, found + ((len(met) - 1) / (2 * met.sum()) if corrected else 0.0))


def rarefied(counts: ArrayLike, visits: int) -> float:
    """How many different things so many of these visits meet on average, drawn without replacement.

    Sum over the things of 1 - C(n - n_i, m) / C(n, m) (Hurlbert 1971, eq. 3).
    """
    met = np.asarray(counts, np.float64)
    met, total = met[met > 0], float(np.sum(counts))
    if visits > total:
        raise ValueError(f"of {total:.0f} visits no {visits} can be drawn")
    with np.errstate(divide="ignore", invalid="ignore"):
        left = total - met
        missed = gammaln(left + 1) - gammaln(left - visits + 1) - gammaln(total + 1) + gammaln(total - visits + 1)
        return float((1 - np.where(left >= visits, np.exp(missed), 0.0)).sum())
