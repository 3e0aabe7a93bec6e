"""People and other models beside the judge: who agrees with whom, and what the judge's numbers are worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.analysis import authors
from plaudit.analysis.authors import Author, Concord
from plaudit.analysis.sharpness import Calibration, calibration
from plaudit.labels import Label, read_labels
from plaudit.store import Run, read_table
from plaudit.types import Comparison

JUDGE = "the judge"
REWARD = "the fitted reward"


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
    return [Comparison(**row) for row in _table(path)]


def _table(path: Path) -> list[dict[str, Any]]:
    return read_table(path) if path.is_file() else []
