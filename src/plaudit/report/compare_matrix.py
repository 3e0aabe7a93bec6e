"""The two square tables of a comparison: how often each way wins against each other, and how alike the rewards are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.analysis.claims import LEVEL, contest
from plaudit.report.compare_ways import REWARD, Comparison, Way
from plaudit.report.tables import Rows, known
from plaudit.report.words import label, number, percent, signed

MIN_TRAJECTORIES = 5
"""Over fewer trajectories no rank correlation is given: with four every order has a chance of 1 in 24."""
TASK = "task_reward"
"""Column of the world's own reward."""


@dataclass(frozen=True)
class Cell:
    """One field of a table that is coloured by its value."""

    text: str
    """What stands in it."""
    title: str
    """What a pointer gets."""
    weight: int
    """Strength of the colour, 0 to 100."""
    side: str
    """``for`` or ``against``; empty for none."""
    strong: bool = False
    """Whether it is told apart from nothing."""


def _cell(text: str, title: str, value: float, strong: bool = False) -> Cell:
    """A cell coloured by ``value``, -1 to 1."""
    side = "for" if value > 0 else "against" if value < 0 else ""
    return Cell(text, title, round(100 * min(1.0, abs(value))), side, strong)


def improvements(ways: Sequence[Way]) -> list[tuple[Way, list[Cell | None]]]:
    """For each way its row: P(it beats the column's). None on the diagonal. Strong where the seeds tell the two apart."""
    return [(way, [None if way is other else _improvement(way, other) for other in ways]) for way in ways]


def _improvement(way: Way, other: Way) -> Cell:
    found = contest(way.by_seed, other.by_seed)
    p = found.improvement
    title = f"P({label(way.name)} beats {label(other.name)}) = {percent(p.probability, 0)}"
    if p.low is not None and p.high is not None:
        title += f", 95% interval {percent(p.low, 0)} to {percent(p.high, 0)}, rank test p = {number(found.p, 3)}"
    else:
        title += f", {p.seeds} {'seed' if p.seeds == 1 else 'seeds'}, no interval"
    title += f"; ahead in {found.wins} of {found.shared} shared seeds"
    if found.difference is not None:
        title += f", difference {signed(found.difference.point)} points"
    strong = p.low is not None and found.p < LEVEL
    return _cell(f"{100 * p.probability:.0f}", title, 2 * p.probability - 1, strong)


@dataclass(frozen=True)
class Agreements:
    """Rank correlations between the rewards of the same recorded steps."""

    routes: list[str]
    """Rows and columns."""
    steps: list[list[Cell]]
    """Row by row: with each route, then with the world's own reward, step by step."""
    returns: list[list[Cell]]
    """Row by row: sum and mean along a trajectory, with the trajectory's true return."""
    count: int
    """Steps."""
    trajectories: int
    """Trajectories."""
    needed: float | None
    """Size that a correlation over so many trajectories has to exceed to be more than chance (5% level), about."""


def agreements(comparison: Comparison) -> Agreements | None:
    """None without recorded rewards."""
    routes, trajectories = comparison.routes, comparison.steps
    if not routes:
        return None
    every = [row for rows in trajectories for row in rows]
    columns = [_column(every, REWARD + route) for route in routes]
    task = _column(every, TASK)
    names = [*map(label, routes), "the world's own reward"]
    steps = [
        [
            _correlation(x, y, f"{label(route)} and {name}, step by step", "steps")
            for y, name in zip([*columns, task], names, strict=True)
        ]
        for route, x in zip(routes, columns, strict=True)
    ]
    true = np.array([np.nansum(_column(rows, TASK)) for rows in trajectories])
    return Agreements(
        routes=routes,
        steps=steps,
        returns=[_returns(trajectories, route, true) for route in routes],
        count=len(every),
        trajectories=len(trajectories),
        needed=needed(len(trajectories)),
    )


def _returns(trajectories: list[Rows], route: str, true: np.ndarray) -> list[Cell]:
    columns = [_column(rows, REWARD + route) for rows in trajectories]
    whole = [c[np.isfinite(c)] for c in columns]
    sums = np.array([c.sum() if len(c) else np.nan for c in whole])
    means = np.array([c.mean() if len(c) else np.nan for c in whole])
    return [
        _correlation(values, true, f"{kind} of {label(route)} and true return", "trajectories", MIN_TRAJECTORIES)
        for kind, values in (("sum", sums), ("mean", means))
    ]


def _column(rows: Rows, name: str) -> np.ndarray:
    values = [row.get(name) for row in rows]
    return np.array([value if known(value) else np.nan for value in values], float)


def _correlation(x: np.ndarray, y: np.ndarray, what: str, unit: str, least: int = 3) -> Cell:
    """Spearman's rho where both are known and vary."""
    from scipy.stats import spearmanr

    both = np.isfinite(x) & np.isfinite(y)
    n = int(both.sum())
    if n < least:
        return Cell("–", f"{what}: {n} {unit} are too few", 0, "")
    if len(set(x[both])) < 2 or len(set(y[both])) < 2:
        return Cell("–", f"{what}: one of them is the same in all {n} {unit}", 0, "")
    rho = float(spearmanr(x[both], y[both]).statistic)
    return _cell(number(rho), f"{what}: Spearman's ρ = {number(rho, 3)} over {n} {unit}", rho)


def needed(n: int) -> float | None:
    """The critical rank correlation of n independent pairs at 5%, two-sided, by Student's approximation."""
    from scipy.stats import t

    if n < MIN_TRAJECTORIES:
        return None
    limit = float(t.ppf(1 - LEVEL / 2, n - 2))
    return limit / float(np.sqrt(n - 2 + limit**2))
