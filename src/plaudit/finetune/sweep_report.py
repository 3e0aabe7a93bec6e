"""The page of a sweep: what each cell gains and loses over its seeds, drawn against each other.

Written again after every cell, so that a sweep under way can be looked at. Statistics: :mod:`plaudit.analysis.statistics`,
whose unit is the seed; below five seeds it gives the range of what was seen and no interval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from plaudit.analysis.statistics import MIN_SEEDS, Interval, interval, paired_difference
from plaudit.config import to_dict
from plaudit.finetune.report import NO_EPISODES
from plaudit.report import teaching_plots as plots
from plaudit.report.page import page
from plaudit.report.words import percent, signed
from plaudit.store import read_json
from plaudit.world_file import title

if TYPE_CHECKING:
    from plaudit.finetune.sweep import Axis, Figures, Sweep

LOST = (
    ("perplexity", "perplexity of English", 0.05, "%"),
    ("general", "general sets", -0.02, " points"),
    ("worlds", "judging other worlds", -0.03, " points"),
)
"""Column, name, the most that may be lost, unit."""
DAMAGE = tuple(name for name, *_ in LOST)
"""What is asked of all cells alike."""
MEASURED = ("skill_before", "skill_after", "unended_after", "gained", *DAMAGE)
"""What is put together over seeds."""


@dataclass(frozen=True)
class Summed:
    """A cell over its seeds."""

    name: str
    """The cell's."""
    short: str
    """The same without the setting's section."""
    slot: int
    """Number of its colour: one for each setting."""
    rows: tuple[Figures, ...]
    """A row for each seed, failed ones too."""
    over: dict[str, Interval | None]
    """Each of :data:`MEASURED` over the seeds that are done; None where it was not measured."""
    against: dict[str, Interval | None]
    """The same less the centre's, by seed; of skill None where other kinds are taught, which are other questions."""

    @property
    def done(self) -> list[Figures]:
        """Seeds that are finished."""
        return [row for row in self.rows if row.status == "done"]

    def mean(self, name: str) -> float | None:
        """Of a column, over the seeds that are done."""
        values = [value for row in self.done if (value := getattr(row, name)) is not None]
        return sum(values) / len(values) if values else None


def summed(work: Sweep, rows: Sequence[Figures]) -> list[Summed]:
    """Every cell, the centre first."""
    slots = {each.path: number + 1 for number, each in enumerate(work.axes)}
    found = list[Summed]()
    centre: dict[str, dict[int, float]] = {}
    for cell in work.cells:
        own = tuple(row for row in rows if row.cell == cell.name)
        values = {name: _values(own, name) for name in MEASURED}
        centre = centre or values
        path, alike = cell.name.partition("=")[0], cell.config.lora.kinds == work.centre.lora.kinds
        found.append(
            Summed(
                cell.name,
                cell.name.removeprefix(path.partition(".")[0] + ".").replace("=", " "),
                slots.get(path, 0),
                own,
                {name: interval(list(of.values())) if of else None for name, of in values.items()},
                {
                    name: paired_difference(of, centre[name]) if alike or name in DAMAGE else None
                    for name, of in values.items()
                },
            )
        )
    return found


def _values(rows: Sequence[Figures], name: str) -> dict[int, float]:
    return {row.seed: value for row in rows if row.status == "done" and (value := getattr(row, name)) is not None}


def render(work: Sweep, rows: Sequence[Figures]) -> str:
    """The page."""
    every, config = summed(work, rows), work.centre
    first = every[0]
    return page(
        "sweep.html",
        name=work.folder.name,
        record=read_json(work.folder / "sweep.json"),
        player=NO_EPISODES,
        config=config,
        config_text=json.dumps(to_dict(config), indent=2, ensure_ascii=False),
        world_name=":".join(filter(None, (title(config.world.name), config.world.task))),
        headline=headline(first, len(every), len(work.seeds)),
        cells=every,
        axes=work.axes,
        lost=LOST,
        failed=[row for row in rows if row.status == "failed"],
        waiting=sum(row.status == "waiting" for row in rows),
        total=len(rows),
        seeds=list(work.seeds),
        whiskers=whiskers(every),
        trades=[trade(every, *of, small=of != LOST[0]) for of in LOST if any(cell.over[of[0]] for cell in every)],
        lines=[(each, of_axis(each, every)) for each in work.axes],
        unseen=[cell for cell in every if (cell.mean("seen") or 0.0) < (cell.mean("examples") or 0.0)],
        kinds_differ=len({cell.config.lora.kinds for cell in work.cells}) > 1,
    )


def headline(centre: Summed, cells: int, seeds: int) -> str:
    """What the centre came to."""
    gained = centre.over["gained"]
    many = f"{cells} cells, {seeds} seed{'s' * (seeds > 1)}"
    if gained is None:
        return f"Teaching with one setting changed at a time: {many}"
    said = f"The centre gains {signed(gained.point)} points on held-out examples"
    perplexity = centre.over["perplexity"]
    if perplexity is not None:
        said += f" and changes the perplexity of English by {signed(perplexity.point)}%"
    return f"{said}; {many}"


def whiskers(every: Sequence[Summed]) -> str:
    """What is drawn around the dots: of a sweep under way, cells may stand on fewer seeds than were asked for."""
    kinds = {of.kind for cell in every for of in cell.over.values() if of is not None} - {"none"}
    if not kinds:
        return "One seed at most: no spread is known."
    few = f"with fewer than {MIN_SEEDS} seeds done the lowest and the highest seed, which is no interval"
    told = {"bootstrap": "95% bootstrap intervals over seeds", "range": few}
    said = "; ".join(text for kind, text in told.items() if kind in kinds)
    return f"Whiskers and small figures: {said}. Dots and figures are interquartile means, of one to three seeds means."


def trade(every: Sequence[Summed], key: str, name: str, limit: float, unit: str, small: bool) -> tuple[str, Markup]:
    """Skill gained over a kind of skill lost."""
    spots = list[plots.Spot]()
    for cell in every:
        gained, lost = cell.over["gained"], cell.over[key]
        if gained is not None and lost is not None:
            said = f"{cell.name}: gained {signed(gained.point)} points, {name} {signed(lost.point)}{unit}"
            ends = _ends(lost), _ends(gained)
            spots.append(plots.Spot(cell.slot, cell.short, said, lost.point, gained.point, *ends))
    axis_name = f"change of {name}, {'%' if limit > 0 else 'points'}"
    told = "; ".join(spot.told for spot in spots)
    drawn = plots.gained_and_lost(spots, f"Points gained over the {axis_name}. {told}", plots.points, limit, small)
    return axis_name, drawn


def of_axis(each: Axis, every: Sequence[Summed]) -> list[tuple[str, Markup]]:
    """Skill and each loss over the values of one setting; the centre is among them."""
    from plaudit.finetune.sweep import CENTRE, told

    names = {value: CENTRE if value == each.own else f"{each.path}={told(value)}" for value in each.values}
    of = [next(cell for cell in every if cell.name == name) for name in names.values()]
    shown: list[tuple[str, str, Callable[[float], str], Callable[[float | None], str]]] = [
        ("skill_after", "right after teaching, held out", plots.percents, lambda v: percent(v, 1)),
        *(
            (key, f"change of {name}, {'%' if limit > 0 else 'points'}", plots.points, signed)
            for key, name, limit, _ in LOST
        ),
    ]
    found = []
    for key, name, label, say in shown:
        spots = [
            plots.Spot(0, "", f"{each.path} {told(value)}: {say(got.point)}", place, got.point, None, _ends(got))
            for place, (value, cell) in enumerate(zip(each.values, of, strict=True))
            if (got := cell.over[key]) is not None
        ]
        if len(spots) > 1:  # one alone has no scale
            title_ = f"{name} over {each.path}: " + "; ".join(spot.told for spot in spots)
            found.append((name, plots.over_values([told(value) for value in each.values], spots, title_, label)))
    return found


def _ends(of: Interval) -> tuple[float, float] | None:
    return (of.low, of.high) if of.low is not None and of.high is not None else None
