"""What a judge has answered: the tables, written as answers come in, and what is counted of them on the way.

A table appears whole when asking has ended. While asking goes on, judgements can be taken up again by number (from disk),
and their values are an array.
"""

from __future__ import annotations

import contextlib
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from plaudit.store import table_writer
from plaudit.texts import Texts
from plaudit.types import FAILED, Comparison, Judgement, Seats


class Labels:
    """Judgements and comparisons of a stage; ``folder`` gets their tables when it is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.item, self._values = array("q"), array("d")
        """``item``: number of the item that each judgement is about."""
        self.pairs, self._probabilities = array("q"), array("d")
        self.by_status, self.last_failure = Counter[str](), ""
        self.seats = Seats()

    def __enter__(self) -> Self:
        for left in self.folder.glob(".*.parquet.*"):  # of a process that was killed; the run's lock is ours
            left.unlink()
        self._stack = contextlib.ExitStack()
        self._judged = self._stack.enter_context(contextlib.closing(Texts(self.folder)))
        self._tables: dict[type, Any] = {}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    def judge(self, items: Sequence[int], judgements: Sequence[Judgement]) -> None:
        """Add judgements of items of these numbers."""
        self.item.extend(items)
        self._values.extend(np.nan if j.value is None else j.value for j in judgements)
        self._judged.add(json.dumps(vars(j)) for j in judgements)
        self._count(judgements)
        self._write(judgements)

    def compare(self, pairs: NDArray[np.int64], comparisons: Sequence[Comparison], asked: bool) -> None:
        """Add comparisons of items of these numbers; ``asked`` unless they follow from judgements."""
        self.pairs.extend(pairs.ravel().tolist())
        self._probabilities.extend(np.nan if c.probability is None else c.probability for c in comparisons)
        self.seats.add(comparisons)
        if asked:
            self._count(comparisons)
        self._write(comparisons)

    def _count(self, records: Sequence[Judgement | Comparison]) -> None:
        self.by_status.update(r.status for r in records)
        self.last_failure = next((r.reply for r in reversed(records) if r.status in FAILED), self.last_failure)

    def _write(self, records: Sequence[Any]) -> None:
        if not records:
            return
        kind = type(records[0])
        if kind not in self._tables:
            path = self.folder / f"{kind.__name__.lower()}s.parquet"
            self._tables[kind] = self._stack.enter_context(table_writer(path, kind))
        self._tables[kind](records)

    @property
    def values(self) -> NDArray[np.float64]:
        """Each judgement's value, NaN where it failed, ``(judgements,)``."""
        return np.array(self._values)

    @property
    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Items of each comparison, ``(n, 2)``, and P(first is better), NaN where it failed, ``(n,)``."""
        return np.array(self.pairs, np.int64).reshape(-1, 2), np.array(self._probabilities)

    def take(self, numbers: NDArray[np.int64]) -> dict[int, Judgement]:
        """These judgements by number."""
        wanted = np.unique(numbers).tolist()
        return {i: Judgement(**json.loads(t)) for i, t in zip(wanted, self._judged.take(wanted), strict=True)}

    def statistics(self) -> dict[str, object]:
        """Counts by status and what is known of the judge's seat preference."""
        seats = self.seats.statistics
        return {
            "judged": sum(self.by_status.values()),
            "pairs": len(self._probabilities),
            "by_status": {s: self.by_status[s] for s in sorted(self.by_status)},
            "flip_rate": seats.flip_rate,
            "first_rate": seats.first_rate,
        }

    @property
    def failures(self) -> float:
        """Share of what was asked that failed."""
        return sum(self.by_status[kind] for kind in FAILED) / max(1, sum(self.by_status.values()))


def parts(numbers: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Rows, so many at a time."""
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
