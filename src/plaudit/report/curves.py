"""Training curves over environment steps, with episodes that are still running kept in mind.

An update reports the episodes that *ended* in it. An agent that succeeds ends its episodes early, one that fails runs
into the clock: so the first episodes to end are all successes, and a rate over few updates is too good. Rates are
therefore pooled, weighted by episodes, over a trailing window in which every copy of the world had the time for one
full episode, and nothing is drawn before the first such window is full.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plaudit.analysis.statistics import interval
from plaudit.config import RunConfig
from plaudit.report.results import Arm
from plaudit.report.tables import Rows, Tables, known

MAX_POINTS = 120
"""Points drawn for each curve."""


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


def window(tables: Tables, config: RunConfig) -> int:
    """Environment steps in which every copy can finish an episode of the greatest length that was seen."""
    lengths = [row["length"] for row in tables.episodes]
    lengths += [row["length"] for curve in tables.curves.values() for row in curve if known(row["length"])]
    return round(max(lengths, default=0)) * config.train.num_envs


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


def over_seeds(tables: Tables, arm: Arm, key: str, span: int) -> list[Point]:
    """The curve of one arm: where every seed has a value, their interquartile mean and its spread."""
    curves = [pooled(curve, key, span) for (name, _), curve in tables.curves.items() if name == arm.name]
    if not curves:
        return []
    shared = sorted(set.intersection(*(set(c) for c in curves)))
    every = max(1, -(-len(shared) // MAX_POINTS))
    points = []
    for x in shared[::-1][::every][::-1]:
        spread = interval([curve[x] for curve in curves], resamples=1000)
        points.append(Point(x, spread.point, spread.low, spread.high))
    return points
