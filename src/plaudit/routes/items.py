"""What may be judged: single observations or segments of consecutive ones, in the order in which they are drawn.

The texts lie on disk, so that a million of them take some megabytes. A segment's members are kept in memory; there are at
most ``collect.recorded`` segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.judging import segments, selection
from plaudit.llms.base import Image
from plaudit.recording import load_recording
from plaudit.routes.pictures import CollectedPictures
from plaudit.stages.parts import make_world
from plaudit.store import Run, read_batches
from plaudit.texts import Texts

Members = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Items:
    """Distinct texts by number: evenly over what has happened, so that any first ones are a fair draw."""

    stored: Texts
    """As the judge is shown them, in the order of the collected table."""
    order: NDArray[np.int64]
    """Where each item lies in it, ``(n,)``."""
    members: Members | None
    """The descriptions that each text consists of; None where each is one."""
    pictures: CollectedPictures | None = None
    """Of the collected observations, where the judge is shown them."""

    def __len__(self) -> int:
        return len(self.order)

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        """The texts of these items."""
        return self.stored.take(self.order[numbers].tolist())

    def show(self, numbers: NDArray[np.int64]) -> dict[str, Image] | None:
        """These texts with their pictures; None where the judge is shown none."""
        if self.pictures is None:
            return None
        return self.pictures.of(dict(zip(self.take(numbers), self.order[numbers].tolist(), strict=True)))


def draw_items(run: Run, texts: Texts, rng: np.random.Generator) -> Items:
    """All items of a run, written to ``texts``, shuffled so that each event comes equally often as far as there are."""
    table = run.require("collect") / "observations.parquet"
    kinds: dict[str, int] = {}
    if run.config.judge.segment == 1:
        happened = [np.zeros(0, np.int64)]
        for rows in read_batches(table, ("text", "event")):
            texts.add(rows["text"])
            happened.append(np.array([kinds.setdefault(event, len(kinds)) for event in rows["event"]], np.int64))
        pictures = None if run.config.judge.input == "text" else CollectedPictures(run)
        return Items(texts, selection.evenly(np.concatenate(happened), rng), None, pictures)
    events = {t: e for rows in read_batches(table, ("text", "event")) for t, e in zip(*rows.values(), strict=True)}
    world, recording = make_world(run.config.world), load_recording(run.folder / "collect")
    said = [world.describe(o) for o in recording.single_observations()]
    rows_ = (tuple(said[i] for i in row) for row in recording.segments(run.config.judge.segment).tolist())
    members = {segments.join(m): m for m in rows_}
    texts.add(members)
    codes = [kinds.setdefault(events.get(m[-1], ""), len(kinds)) for m in members.values()]
    return Items(texts, selection.evenly(np.array(codes, np.int64), rng), members)
