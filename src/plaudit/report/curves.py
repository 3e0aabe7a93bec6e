"""Training curves over environment steps, with episodes that are still running kept in mind.

An update reports the episodes that *ended* in it. An agent that succeeds ends its episodes early, one that fails runs
into the clock: so the first episodes to end are all successes, and a rate over few updates is too good. Rates are
therefore pooled, weighted by episodes, over a trailing window in which every copy of the world had the time for one
full episode, and nothing is drawn before the first such window is full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.analysis.profiles import sample_efficiency
from plaudit.report.tables import Rows, known


@dataclass(frozen=True)
class Point:
    """One x of a curve."""

    x: float
    """Environment steps."""
    y: float
    """Interquartile mean over seeds."""
    low: float | None
    """Lower end of the band; None for one seed."""
    high: float | None
    """Upper end."""


def window(lengths: Iterable[float | None], num_envs: int) -> int:
    """Environment steps in which every copy can finish an episode of the greatest length that was seen."""
    return round(max((length for length in lengths if known(length)), default=0)) * num_envs


def pooled(curve: Rows, key: str, span: int) -> dict[int, float]:
    """Steps -> mean of ``key`` over the episodes that ended in the ``span`` steps before; none without an episode."""
    steps = np.array([row["steps"] for row in curve])
    ended = np.array([row["episodes"] if known(row[key]) else 0 for row in curve], float)
    total = np.array([row["episodes"] * row[key] if known(row[key]) else 0 for row in curve], float)
    episodes, sums = (np.concatenate([[0], np.cumsum(values)]) for values in (ended, total))
    first = np.searchsorted(steps, steps - span, side="right")
    points = {}
    for i, at in enumerate(steps):
        n = episodes[i + 1] - episodes[first[i]]
        if at >= span and n:
            points[int(at)] = float((sums[i + 1] - sums[first[i]]) / n)
    return points


def over_seeds(curves: Sequence[Rows], key: str, span: int) -> list[Point]:
    """The curve of one arm from those of its seeds: interquartile mean and spread, where every seed has a value."""
    found = sample_efficiency([pooled(curve, key, span) for curve in curves])
    return [Point(x, spread.point, spread.low, spread.high) for x, spread in found]
