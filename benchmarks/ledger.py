"""The ledger's speed: look-ups, inserts, finding what is left to do, and memory; a plain sqlite3 loop as reference.

    python benchmarks/ledger.py                  # a million judgements, some minutes, 2 GB in a temporary folder
    python benchmarks/ledger.py --rows 100000

*Plain* is what a script would write: the same columns, ``executemany`` in batches of the same size, ``SELECT`` by key one
at a time, in a file with SQLite's own settings; both take turns. Keys and JSON are part of the ledger's time.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from plaudit.llms.answers import Ledger
from plaudit.llms.base import Reply, Request
from plaudit.llms.ledger import LedgerLLM
from plaudit.llms.scripted import ScriptedLLM

PROMPT = "Each item tells what somebody has just done, and the goal. Answer whether it brings the goal nearer.\n" * 10
ANSWERS = (" Yes", " No")


def requests(start: int, stop: int) -> list[Request]:
    """Questions as annotate asks them, about 1,000 characters each."""
    return [Request(f"{PROMPT}Event: observation number {i}. Progress?", answers=ANSWERS) for i in range(start, stop)]


REPLY = Reply("ok", logprobs=(-0.5, -1.0), lengths=(1, 1), prompt_tokens=250, new_tokens=2, seconds=0.01)


class Plain:
    """A dictionary of answers as a script would keep it."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path)
        self.db.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, request TEXT, reply TEXT)")

    def add(self, asked: Sequence[Request]) -> None:
        rows = [(r.key("m"), json.dumps(vars(r)), json.dumps(vars(REPLY))) for r in asked]
        with self.db:
            self.db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)

    def find(self, keys: Sequence[str]) -> list[Any]:
        rows = (self.db.execute("SELECT reply FROM answers WHERE key = ?", (key,)).fetchone() for key in keys)
        return [Reply(**json.loads(row[0])) for row in rows if row]


def clock(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="judgements in the large ledger")
    parser.add_argument("--batch", type=int, default=1000, help="answers in one insert")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repetitions; medians are printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        annotating(Path(folder))
        small(Path(folder), options.batch, options.rounds)
        large(Path(folder) / "large.sqlite", options.rows, options.batch)


def small(folder: Path, batch: int, rounds: int, count: int = 10_000) -> None:
    """Inserts and look-ups, beside the plain loop."""
    ours, plain = Ledger(folder / "ours.sqlite"), Plain(folder / "plain.sqlite")
    seconds: dict[str, list[float]] = {name: [] for name in ("insert", "insert plain", "look up", "look up plain")}
    for number in range(rounds):
        asked = requests(number * count, (number + 1) * count)
        parts = [asked[i : i + batch] for i in range(0, count, batch)]
        keys = [request.key("m") for request in asked]
        works: dict[str, Callable[[], Any]] = {
            "insert": lambda parts=parts: [ours.add("m", "choose", [(r, REPLY) for r in part]) for part in parts],
            "insert plain": lambda parts=parts: [plain.add(part) for part in parts],
            "look up": lambda keys=keys: ours.find(keys),
            "look up plain": lambda keys=keys: plain.find(keys),
        }
        for name, work in works.items():
            seconds[name].append(clock(work))
    for name, times in seconds.items():
        print(f"{name:16}{count / statistics.median(times):12,.0f} per s")


def large(path: Path, rows: int, batch: int) -> None:
    """A ledger of ``rows`` judgements: filled, opened, and searched for what is left of a few more."""
    ledger = Ledger(path)
    seconds = clock(
        lambda: [ledger.add("m", "choose", [(r, REPLY) for r in requests(i, i + batch)]) for i in range(0, rows, batch)]
    )
    print(f"{rows:,} inserted at {rows / seconds:,.0f} per s, {path.stat().st_size / 2**30:.2f} GB")
    ledger.close()
    start = time.perf_counter()
    ledger = Ledger(path)
    opened = time.perf_counter()
    spend = ledger.spend()
    summed = time.perf_counter()
    left, searching, keys_s = 0, 0.0, 0.0
    for i in range(0, rows + 1000, 10_000):
        asked = requests(i, min(i + 10_000, rows + 1000))
        begun = time.perf_counter()
        keys = [request.key("m") for request in asked]
        known = time.perf_counter()
        left += len(ledger.missing(keys))
        searching, keys_s = searching + time.perf_counter() - known, keys_s + known - begun
    assert spend.answers == rows and left == 1000, (spend, left)
    print(
        f"open {opened - start:.2f} s, totals {summed - opened:.2f} s, what is left {searching:.2f} s + keys {keys_s:.2f} s"
    )
    ledger.close()


def annotating(folder: Path) -> None:
    """Peak memory of asking more and more items, in parts as annotate does."""
    model = ScriptedLLM(name="m")
    llm, done = LedgerLLM(model, Ledger(folder / "annotating.sqlite")), 0
    for total in (20_000, 50_000, 150_000):
        while done < total:
            llm.choose(requests(done, done + 5000))
            model.asked.clear()
            done += 5000
        print(f"{total:,} asked, peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MB")


if __name__ == "__main__":
    main()
