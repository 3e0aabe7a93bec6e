"""The routes' rewards over the same recorded trajectories, side by side: pictures, and one line for each route."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from plaudit.report import compare_plots, episodes, plots
from plaudit.report.compare_matrix import TASK
from plaudit.report.compare_ways import REWARD, Comparison
from plaudit.report.tables import Rows, known
from plaudit.report.words import label, slots

SHOWN = 6
"""Trajectories on the page, at most."""


@dataclass(frozen=True)
class Lane:
    """One reward along a trajectory."""

    name: str
    """Its route, or ``task`` for the world's own."""
    slot: int
    """Number of its colour."""
    plot: Markup
    """The line."""


@dataclass(frozen=True)
class Track:
    """One recorded trajectory."""

    number: int
    """From 1."""
    source: str
    """Whose actions they are."""
    slot: int
    """Number of that one's colour."""
    steps: int
    """Steps made."""
    shown: int
    """Number of the last step that is on the page."""
    success: bool
    """Whether the world called it a success."""
    total: float
    """True return."""
    lanes: list[Lane]
    """What each route says of it, and the world."""
    stills: list[episodes.Still]
    """Evenly spaced pictures."""
    width: int
    """Width at which a picture is shown, pixels."""


def tracks(comparison: Comparison) -> tuple[list[Track], list[Track], episodes.Player]:
    """(shown openly, folded away, data of all). Not picked: the first that was solved and the first that was not."""
    player = episodes.Player()
    if not comparison.routes:
        return [], [], player
    numbered = list(enumerate(comparison.steps, 1))
    solved = [pair for pair in numbered if _success(pair[1])]
    failed = [pair for pair in numbered if not _success(pair[1])]
    openly = solved[:1] + failed[:1]
    rest = [pair for pair in numbered if pair not in openly][: SHOWN - len(openly)]
    columns = [*(REWARD + route for route in comparison.routes), TASK]
    every = [row for rows in comparison.steps for row in rows]
    spans = {column: compare_plots.span_of([row.get(column) for row in every]) for column in columns}
    colours = slots(dict.fromkeys([*comparison.routes, "task", *(str(rows[0]["source"]) for rows in comparison.steps)]))
    made = [_track(number, rows, spans, colours, player) for number, rows in openly + rest]
    return made[: len(openly)], made[len(openly) :], player


def _success(rows: Rows) -> bool:
    return any(row["success"] for row in rows)


def _track(
    number: int, every: Rows, spans: dict[str, tuple[float, float]], colours: dict[str, int], player: episodes.Player
) -> Track:
    told = [row | {"step": i, "text": row["text"] or "", "action": row["action"] or ""} for i, row in enumerate(every)]
    rows = episodes.beginning(told)
    pictures, frames = episodes.addresses(rows)
    player.add(rows, frames, list(spans))
    lanes = []
    for i, (column, span) in enumerate(spans.items()):
        name = "task" if column == TASK else column.removeprefix(REWARD)
        values = [row.get(column) for row in rows]
        title = plots.describe(f"{label(name)} along trajectory {number}", [v for v in values if known(v)])
        last = i == len(spans) - 1
        lanes.append(Lane(name, colours[name], compare_plots.lane(values, span, f"c{colours[name]}", title, last)))
    source = str(every[0]["source"])
    return Track(
        number=number,
        source=source,
        slot=colours[source],
        steps=told[-1]["step"],
        shown=rows[-1]["step"],
        success=_success(every),
        total=sum(row[TASK] for row in every if known(row.get(TASK))),
        lanes=lanes,
        stills=episodes.stills(rows, frames),
        width=episodes.shown_width(pictures),
    )
