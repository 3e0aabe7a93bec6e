"""What a folder of ``plaudit finetune`` came to, in numbers: what was gained, and what was lost, with intervals.

    found = outcome(Finetune.open(Path("runs/finetune-wordle")))

Read by the report and by sweeps. Whatever is not there (a stage that has not run, a column of an older folder) is empty
or None, never a guess. Leaves out what an agent makes of the judge: that is a run's report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit.finetune import forgetting
from plaudit.finetune.paired import mean_difference, of_two, share
from plaudit.finetune.rows import load_rows
from plaudit.store import read_table

if TYPE_CHECKING:
    from plaudit.finetune.run import Finetune

GENERAL = ("knowledge", "reasoning", "statements", "instructions")
"""Sets that are taken together as general skill; the base is near chance in the others, and has nothing to lose there."""
EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Ends of the ranges of how far apart a pair is, as shares of the range that was met."""


@dataclass(frozen=True)
class Gain:
    """The same held-out examples before and after."""

    name: str
    """Which of them."""
    n: int
    """How many."""
    before: float
    """Share right before; where there is nothing to choose from, the right answer's probability per token."""
    before_interval: tuple[float, float]
    """Its 95% interval: Wilson's, on as many as are independent (:mod:`paired`); of probabilities by bootstrap."""
    after: float
    """The same, after."""
    after_interval: tuple[float, float]
    """Its interval."""
    interval: tuple[float, float]
    """95% interval of after less before, each example with itself."""
    gained: int
    """Wrong before, right after."""
    lost: int
    """Right before, wrong after."""
    choice: bool = True
    """Whether each example is right or wrong; False where its value is a probability."""

    @property
    def difference(self) -> float:
        """After less before."""
        return self.after - self.before


@dataclass(frozen=True)
class Loss:
    """One kind of what is not to be forgotten, against the most that may be lost."""

    name: str
    """What was measured."""
    change: float
    """Of perplexity after / before - 1, else after less before, as a share."""
    interval: tuple[float, float]
    """Its 95% interval, paired."""
    limit: float
    """The worst change that is within bounds."""
    items: int
    """Items, or passages."""

    @property
    def verdict(self) -> str:
        """``kept`` or ``broken`` where the whole interval is on that side of the limit, else ``not settled``.

        Where no item was lost the bootstrap's interval ends at 0; then up to 3 / n of all items may still be lost (95%).
        """
        sign = 1 if self.limit > 0 else -1
        best, worst = sorted(sign * end for end in self.interval)
        unseen = 3 / self.items if self.limit < 0 and worst == 0 else 0.0
        if max(worst, unseen) <= sign * self.limit:
            return "kept"
        return "broken" if best > sign * self.limit else "not settled"


@dataclass(frozen=True)
class Outcome:
    """All of it."""

    answers: list[dict[str, Any]]
    """Each held-out example with its texts and how it was answered before and after."""
    gains: tuple[Gain, ...]
    """A row for each kind that was taught, the first one of ``lora.kinds`` first."""
    open_gains: tuple[Gain, ...] | None
    """The same without examples that show the end of an episode; None where the data do not tell."""
    apart: tuple[Gain, ...]
    """Pairs, by how far apart they are."""
    losses: tuple[Loss, ...]
    """English, general sets, other worlds; none where nothing was measured."""
    forgotten: forgetting.Summary | None
    """Every set."""
    curve: list[dict[str, Any]]
    """A row for each step of teaching."""


def outcome(run: Finetune) -> Outcome:
    """Read it."""
    trained = run.finished("train")
    measured = run.finished("measure") is not None and (run.folder / "measure" / "summary.json").is_file()
    found = list[dict[str, Any]]()
    if trained is not None:
        answers = read_table(run.folder / "train" / "answers.parquet")
        kept = load_rows(run.folder / "data", "held_out")
        found = [kept[row["place"]] | row if "place" in row else row for row in answers]
    kinds = run.config.lora.kinds
    unended = [row for row in found if row.get("ended") is False]
    return Outcome(
        answers=found,
        gains=tuple(gain(kind, of) for kind in kinds if (of := _of(found, kind))),
        open_gains=tuple(gain(kind, of) for kind in kinds if (of := _of(unended, kind)))
        if any(row.get("ended") is not None for row in found)
        else None,
        apart=by_distance(_of(found, "compare")),
        losses=losses(run) if measured else (),
        forgotten=forgetting.read(run.folder / "measure") if measured else None,
        curve=read_table(run.folder / "train" / "curve.parquet") if trained is not None else [],
    )


def gain(name: str, rows: Sequence[dict[str, Any]]) -> Gain:
    """These examples before and after."""
    before, after = ([float(row[f"right_{when}"]) for row in rows] for when in ("before", "after"))
    blocks = [_block(row, place) for place, row in enumerate(rows)]
    return Gain(
        name,
        len(rows),
        float(np.mean(before)),
        _interval(before, blocks),
        float(np.mean(after)),
        _interval(after, blocks),
        mean_difference([b - a for a, b in zip(before, after, strict=True)], blocks),
        sum(a <= 0.5 < b for a, b in zip(before, after, strict=True)),
        sum(b <= 0.5 < a for a, b in zip(before, after, strict=True)),
        set(before) | set(after) <= {0.0, 0.5, 1.0},
    )


def by_distance(rows: Sequence[dict[str, Any]]) -> tuple[Gain, ...]:
    """Pairs by how far apart they are; ranges without any are left out."""
    found = []
    for low, high in pairwise(EDGES):
        of = [row for row in rows if row.get("gap") is not None and low <= row["gap"] < (high if high < 1 else 2)]
        if of:
            found.append(gain(f"{low:g} to {high:g}", of))
    return tuple(found)


def losses(run: Finetune) -> tuple[Loss, ...]:
    """English, the general sets together and the other worlds, each against the most that may be lost."""
    summary = forgetting.read(run.folder / "measure")
    found = list[Loss]()
    passages = read_table(run.folder / "measure" / "text.parquet") if summary.text else []
    for row in summary.text[:1]:
        found.append(Loss("perplexity of English", row.change, row.interval, 0.05, len(passages)))
    items = read_table(run.folder / "measure" / "items.parquet")
    items = [item for item in items if item["before"] is not None and item["after"] is not None]
    for name, sets, limit in (("general sets", GENERAL, -0.02), ("judging other worlds", ("worlds",), -0.03)):
        of = [item for item in items if item["set"] in sets]
        if of:
            changes = [item["after"] - item["before"] for item in of]
            interval = mean_difference(changes, [item["block"] for item in of])
            found.append(Loss(name, float(np.mean(changes)), interval, limit, len(of)))
    return tuple(found)


def _of(rows: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def _block(row: dict[str, Any], place: int) -> str:
    """Pairs that share either of their texts are not independent, nor are questions about one text."""
    if row["kind"] == "compare" and row.get("first") and row.get("second"):
        first, second = row["first"], row["second"]
        return of_two(first, second) if row["answer"] == "A" else of_two(second, first)
    return row.get("observation") or str(place)


def _interval(values: Sequence[float], blocks: Sequence[str]) -> tuple[float, float]:
    right_or_wrong = set(values) <= {0.0, 0.5, 1.0}
    return share(values, blocks) if right_or_wrong else mean_difference(values, blocks)
