"""People and other models beside the judge: who agrees with whom, and what the judge's numbers are worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.analysis import authors
from plaudit.analysis.authors import Author, Concord
from plaudit.analysis.sharpness import Calibration, calibration
from plaudit.labels import Label, read_labels
from plaudit.report.words import NONE, number, percent
from plaudit.store import Run, read_table
from plaudit.types import Comparison

JUDGE = "the judge"
REWARD = "the fitted reward"
DRAWN = {
    "uniform": "pairs drawn at random among the judged ones",
    "disputed": "disputed pairs: chosen because the judge is unsure of them, so no measure of the judge",
}
"""Ways in which labelled pairs were drawn."""


@dataclass(frozen=True)
class Standing:
    """Everything about one way of drawing pairs."""

    selection: str
    """``uniform`` or ``disputed``."""
    authors: list[Author]
    """The judge first, then people, models, the fitted reward and the world, as far as there are."""
    concord: dict[tuple[str, str], Concord]
    """Every two of them."""
    calibration: dict[str, Calibration]
    """The judge's probabilities against each person's answers."""
    fitted_to: str
    """Whose labels the reward was fitted to: ``judge``, ``person`` or ``both``."""


@dataclass(frozen=True)
class Row:
    """One author in the table."""

    author: Author
    """Who."""
    pairs: int
    """Labelled pairs of which it has an opinion."""
    ties: int
    """Those of them that it calls a tie."""


def labelled(standing: Standing) -> list[Row]:
    """The authors, each on the pairs that people or second models have labelled."""
    asked = {pair for a in standing.authors if a.kind in ("person", "model") for pair in a.opinions}
    rows = []
    for author in standing.authors:
        said = [value for pair, value in author.opinions.items() if pair in asked]
        rows.append(Row(author, len(said), sum(value == 0.5 for value in said)))
    return rows


def standings(run: Run) -> list[Standing]:
    """One for each way in which labelled pairs were drawn; none without labels."""
    labels = read_labels(run.folder)
    drawn = [name for name in ("uniform", "disputed") if any(label.selection == name for label in labels)]
    return [_standing(run, labels, name) for name in drawn]


def _standing(run: Run, labels: list[Label], selection: str) -> Standing:
    said = authors.label_authors(labels, selection)
    pairs = {pair for author in said for pair in author.opinions}
    judge = authors.judge_author(JUDGE, judged(run))
    everybody = [judge, *sorted(said, key=lambda a: (a.kind != "person", a.name))]
    if run.finished("fit") is not None:
        rewards = {row["text"]: row["reward"] for row in _table(run.folder / "fit" / "rewards.parquet")}
        everybody.append(authors.score_author(REWARD, "reward", pairs, rewards))
    rows = _table(run.folder / "collect" / "truth.parquet")
    progress = {row["text"]: row["progress"] for row in rows if row["progress"] == row["progress"]}
    world = authors.world_author(pairs, progress)
    everybody += [world] if world.opinions else []
    people = [author for author in said if author.kind == "person"]
    found = {person.name: calibration(judge.opinions, person.opinions) for person in people}
    return Standing(
        selection,
        everybody,
        authors.matrix(everybody),
        {name: value for name, value in found.items() if value is not None},
        run.config.fit.labels,
    )


def judged(run: Run) -> list[Comparison]:
    """What the run's judge has answered."""
    path = run.folder / "annotate" / "comparisons.parquet"
    # Without the replies, which take up most of the room.
    return [
        Comparison(**row) for row in _table(path, ("first", "second", "status", "probability", "forward", "backward"))
    ]


def _table(path: Path, columns: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
    return read_table(path, columns) if path.is_file() else []


def share(hits: int, n: int, brief: bool = False) -> str:
    """A share with its 95% interval (Wilson) and its number; a dash where there is none."""
    if not n:
        return NONE
    low, high = authors.wilson(hits, n)
    interval = (
        f"±{percent(((high or 0) - (low or 0)) / 2, 0)}" if brief else f"({percent(low, 0)} to {percent(high, 0)})"
    )
    return f"{percent(hits / n, 0)} {interval}" + ("" if brief else f" of {n}")


def seat_rate(author: Author, brief: bool = False) -> str:
    """How often it named the first seat."""
    return share(*author.named, brief)


def seat_warning(author: Author) -> str | None:
    """What to say of an author who names one seat more often than a coin would; seats are drawn by a coin."""
    first, n = author.named
    low, high = authors.wilson(first, n)
    if low is None or high is None or low <= 0.5 <= high:
        return None
    which, often = ("first", first) if first > n - first else ("second", n - first)
    return f"{author.short} prefers the {which} seat: it was named in {percent(often / n, 0)} of {n} answers."


def steadiness(author: Author, brief: bool = False) -> str:
    """How often it said the same with the seats swapped."""
    return share(*author.repeated, brief)


def agreement(concord: Concord | None, brief: bool = False) -> str:
    """How often both said the same, where both decided."""
    return NONE if concord is None else share(concord.same, concord.decided, brief)


def sharpness(found: Calibration) -> str:
    """What the fitted sharpness means, in words."""
    if found.sharpness is None or found.low is None or found.high is None:
        return "too few clear answers to fit a sharpness"
    span = f"{number(found.sharpness)} ({number(found.low)} to {number(found.high)})"
    if found.low <= 1 <= found.high:
        return f"log-odds fit best times {span}: about as sure as it may be"
    if found.high < 0.05 or found.low <= 0:
        return f"log-odds fit best times {span}: its probabilities tell little or nothing"
    return f"log-odds fit best times {span}: {'too sure' if found.sharpness < 1 else 'not sure enough'}"
