"""The drawn part of a comparison: learning, profiles, success over cost. Of many techniques the best stands for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from plaudit.analysis.profiles import optimality_gap, performance_profile
from plaudit.report import compare_plots, curves, plots
from plaudit.report.canvas import short
from plaudit.report.compare_ways import Comparison, Way
from plaudit.report.words import count, duration, label, money, number, percent

POWERS = [factor * 10.0**power for power in range(-6, 13) for factor in (1, 3)]
"""Marks of an axis of counts or money."""
TIMES = [1.0, 3, 10, 30, 60, 180, 600, 1800, 3600, 10_800, 36_000, 108_000, 360_000, 1_080_000]
"""Marks of an axis of seconds."""
TAUS = np.linspace(0, 1, 101)
"""Thresholds of a profile."""


@dataclass(frozen=True)
class Learning:
    """Sample-efficiency curves."""

    window: int
    """Environment steps that one point counts the episodes of."""
    trained: bool
    """Whether anything was."""
    ways: list[Way]
    """Those with a curve."""
    acting: Way | None
    """The best of those that act without training, drawn as a level."""
    success: Markup | None
    """Success over environment steps; None where no training was long enough."""
    returns: Markup | None
    """Task return over environment steps."""


def shown(comparison: Comparison) -> list[Way]:
    """Ways that are drawn: every scored one, but of the direct policy and its techniques the best and the plain one."""
    direct = [way for way in comparison.scored if way.name.partition(":")[0] == "llm"]
    left_out = {way.name for way in direct[1:] if way.is_technique}
    return [way for way in comparison.scored if way.name not in left_out]


def learning(comparison: Comparison) -> Learning:
    """Where the seeds stood after so many environment steps."""
    trained = [way for way in comparison.scored if comparison.curves.get(way.name)]
    lengths = [way.length for way in comparison.scored]
    lengths += [row.get("length") for seeds in comparison.curves.values() for rows in seeds.values() for row in rows]
    span = curves.window(lengths, int(comparison.setting("train", "num_envs") or 1))
    acting = next((way for way in comparison.scored if way.route == "llm"), None)

    def drawn(key: str) -> list[tuple[Way, list[curves.Point]]]:
        points = [(way, curves.over_seeds(list(comparison.curves[way.name].values()), key, span)) for way in trained]
        return [(way, found) for way, found in points if found]

    success, returns = drawn("success"), drawn("task_return")
    steps = max((found[-1].x for _, found in [*success, *returns]), default=0)
    levels = [(f"{acting.css} level", acting.success.point)] if acting and acting.success else []
    gains = [(f"{acting.css} level", acting.task_return)] if acting and acting.task_return is not None else []
    return Learning(
        window=span,
        trained=bool(trained),
        ways=[way for way, _ in success or returns],
        acting=acting,
        success=_curves(success, steps, "Success rate", levels, shares=True) if success else None,
        returns=_curves(returns, steps, "Task return", gains, shares=False) if returns else None,
    )


def _curves(
    drawn: Sequence[tuple[Way, list[curves.Point]]],
    steps: float,
    what: str,
    levels: Sequence[tuple[str, float]],
    shares: bool,
) -> Markup:
    say = percent if shares else number
    ends = ", ".join(f"{label(way.name)} {say(found[-1].y)}" for way, found in drawn)
    title = f"{what} over environment steps; at the end: {ends}"
    return plots.curves([(way.css, found) for way, found in drawn], steps, title, shares=shares, levels=levels)


def profile(comparison: Comparison) -> Markup | None:
    """Share of the seeds above each success rate."""
    ways = shown(comparison)
    if not ways:
        return None
    gaps = ", ".join(f"{label(w.name)} {percent(gap(w))}" for w in ways)
    title = f"Share of seeds above each success rate; what they fall short of 100% on average: {gaps}"
    return compare_plots.profiles([(w.css, performance_profile(list(w.by_seed.values()), TAUS)) for w in ways], title)


def gap(way: Way) -> float | None:
    """How far its seeds fall short of solving every episode, on average."""
    return optimality_gap(list(way.by_seed.values())) if way.by_seed else None


def costs(comparison: Comparison) -> list[tuple[str, Markup]]:
    """(what it cost, success over it), for each kind of cost that anything had."""
    kinds = [
        ("Tokens read and written by the LLM", "tokens", POWERS, short, count),
        ("Money", "usd", POWERS, money, money),
        ("Wall time, all seeds", "seconds", TIMES, _time, duration),
    ]
    named = {way.name for way in shown(comparison)}
    found = []
    for what, key, marks, unit, say in kinds:
        ways = [way for way in comparison.scored if way.number(key) is not None]
        if any(way.number(key) for way in ways):
            spots = [_spot(way, way.number(key) or 0.0, say(way.number(key)), way.name in named) for way in ways]
            best = "; ".join(spot.told for spot in spots[:8])
            found.append((what, compare_plots.over_cost(spots, marks, unit, f"Success over cost. {what}: {best}")))
    return found


def _time(seconds: float) -> str:
    """A mark of the time axis, without needless digits."""
    seconds = round(seconds)
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"


def _spot(way: Way, cost: float, said: str, named: bool) -> compare_plots.Spot:
    spread = way.success
    assert spread is not None, "only scored ways are drawn"
    told = f"{label(way.name)}: {percent(spread.point)} for {said}"
    name = label(way.name) if named and not way.is_control else ""
    return compare_plots.Spot(way.css, name, told, cost, spread.point, spread.low, spread.high)
