"""What the comparison report reads of its folder: ``compare.json`` and three tables, each of which may be missing.

A *way* is one arm of the comparison: a way of using the LLM, or a control. Ways that failed, were stopped or never began
are ways too; they have no scores, and that is different from a score of zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plaudit.analysis.statistics import Interval, interval
from plaudit.errors import StoreError
from plaudit.report.tables import Rows, known
from plaudit.report.words import CONTROLS, label, slots
from plaudit.store import COMPARISON_FORMAT, read_json, read_table

REWARD = "reward:"
"""Columns of the recorded trajectories that hold what a route says."""
STATUSES = ("done", "stopped", "failed", "waiting")
"""What became of a way, in the order of the table."""


@dataclass(frozen=True)
class Way:
    """One way of using the LLM, or a control."""

    name: str
    """As it is called on the command line; a technique of the direct policy stands behind a colon."""
    slot: int
    """Number of its colour."""
    route: str
    """Where its reward, or its actions, come from."""
    status: Literal["done", "stopped", "failed", "waiting"]
    """What became of it."""
    record: dict[str, Any]
    """Its entry in ``compare.json``."""
    success: Interval | None = None
    """Success over seeds; None without a finished seed."""
    by_seed: dict[int, float] = field(default_factory=dict)
    """Success rate of each finished seed."""
    returns: dict[int, float] = field(default_factory=dict)
    """Mean return of the world's own reward, of each finished seed."""
    length: float | None = None
    """Mean steps of an episode."""
    episodes: int = 0
    """Episodes of all seeds together."""

    @property
    def is_control(self) -> bool:
        """Whether no language model has a part in it."""
        return self.name in CONTROLS

    @property
    def css(self) -> str:
        """Classes of its lines and dots."""
        return f"c{self.slot}{' control' if self.is_control else ' technique' if self.is_technique else ''}"

    @property
    def is_technique(self) -> bool:
        """Whether it is the direct policy with one of its switches turned."""
        return ":" in self.name

    @property
    def task_return(self) -> float | None:
        """Mean over seeds."""
        return float(np.mean(list(self.returns.values()))) if self.returns else None

    @property
    def order(self) -> tuple[float, ...]:
        """What the table is sorted by, largest first."""
        if self.success is None:
            return (-1.0 - STATUSES.index(self.status),)
        return self.success.point, float(np.mean(list(self.by_seed.values()))), self.task_return or 0.0

    def number(self, key: str) -> float | None:
        """A number of its entry; None where there is none."""
        value = self.record.get(key)
        return value if isinstance(value, int | float) and known(value) else None

    def text(self, key: str) -> str:
        """A text of its entry; empty where there is none."""
        value = self.record.get(key)
        return value if isinstance(value, str) else ""

    def rows(self, key: str) -> Rows:
        """A list of its entry."""
        value = self.record.get(key)
        return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


@dataclass(frozen=True)
class Comparison:
    """A comparison folder, read."""

    folder: Path
    """Where it is."""
    record: dict[str, Any]
    """``compare.json``."""
    ways: list[Way]
    """All of them, the best first, those without scores last."""
    curves: dict[str, dict[int, Rows]]
    """Way -> seed -> updates of its training."""
    steps: list[Rows]
    """Recorded trajectories, each in the order of its steps."""
    routes: list[str]
    """Routes whose reward of these steps is known."""

    @property
    def scored(self) -> list[Way]:
        """Those with at least one finished seed."""
        return [way for way in self.ways if way.success is not None]

    def setting(self, section: str, key: str) -> Any:
        """A setting of the base configuration; None where it is not recorded."""
        values = self.record.get("config", {}).get(section, {})
        return values.get(key) if isinstance(values, dict) else None

    @property
    def world(self) -> str:
        """The world and its task, as they are typed."""
        name, task = self.setting("world", "name") or "WORLD", self.setting("world", "task")
        return f"{name}:{task}" if task else name

    def part(self, key: str) -> dict[str, Any]:
        """A table of ``compare.json``; empty where it is missing."""
        value = self.record.get(key)
        return value if isinstance(value, dict) else {}


def read(folder: Path) -> Comparison:
    """Everything that there is."""
    record = _record(folder)

    def table(name: str) -> Rows:
        return read_table(folder / name) if (folder / name).is_file() else []

    episodes, curves, steps = (table(f"{name}.parquet") for name in ("episodes", "curves", "trajectories"))
    names = [str(entry.get("name", "?")) for entry in record["arms"]]
    colours = slots(dict.fromkeys(names))
    ways = [_way(name, colours[name], entry, episodes) for name, entry in zip(names, record["arms"], strict=True)]
    by_way: dict[str, dict[int, Rows]] = {}
    for row in sorted(curves, key=lambda row: row["steps"]):
        by_way.setdefault(row["arm"], {}).setdefault(row["seed"], []).append(row)
    trajectories: dict[int, Rows] = {}
    for row in sorted(steps, key=lambda row: row["step"]):
        trajectories.setdefault(row["trajectory"], []).append(row)
    return Comparison(
        folder=folder,
        record=record,
        ways=sorted(ways, key=lambda way: way.order, reverse=True),
        curves=by_way,
        steps=[trajectories[number] for number in sorted(trajectories)],
        routes=_routes(steps, names),
    )


def _record(folder: Path) -> dict[str, Any]:
    path = folder / "compare.json"
    if not path.is_file():
        raise StoreError(f"{folder} is no comparison: it has no compare.json. Make one: plaudit compare doorkey")
    record = read_json(path)
    arms = record.get("arms") if isinstance(record, dict) else None
    if not isinstance(arms, list) or not all(isinstance(entry, dict) for entry in arms):
        raise StoreError(
            f"{path} is not the record of a comparison. Run plaudit compare again, with another --out NAME."
        )
    if not isinstance(record.get("format"), int) or record["format"] > COMPARISON_FORMAT:
        raise StoreError(f"{path} was made by a newer plaudit ({record.get('plaudit')}). Type: pip install -U plaudit")
    return record


def _way(name: str, slot: int, entry: dict[str, Any], episodes: Rows) -> Way:
    rows = [row for row in episodes if row["arm"] == name]
    seeds = sorted({row["seed"] for row in rows})
    by_seed = {s: float(np.mean([bool(r["success"]) for r in rows if r["seed"] == s])) for s in seeds}
    status = entry.get("status")
    route = str(entry.get("route") or name.partition(":")[0])
    way = Way(name, slot, route, status if status in STATUSES else "waiting", entry)
    if not rows:
        return way
    returns = {s: [r["task_return"] for r in rows if r["seed"] == s and known(r["task_return"])] for s in seeds}
    return Way(
        **vars(way)
        | {
            "success": interval(list(by_seed.values())),
            "by_seed": by_seed,
            "returns": {s: float(np.mean(values)) for s, values in returns.items() if values},
            "length": float(np.mean([row["length"] for row in rows])),
            "episodes": len(rows),
        }
    )


def _routes(steps: Rows, names: list[str]) -> list[str]:
    """Routes with at least one known reward, those of the arms first and in their order."""
    columns = dict.fromkeys(column for row in steps for column in row if column.startswith(REWARD))
    filled = [c.removeprefix(REWARD) for c in columns if any(known(row.get(c)) for row in steps)]
    return sorted(filled, key=lambda route: (names.index(route) if route in names else len(names), label(route)))
