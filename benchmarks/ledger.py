"""The ledger's speed: look-ups, inserts, finding what is left to do, and memory; a plain sqlite3 loop as reference.

    python benchmarks/ledger.py                  # a million judgements, some minutes, 5 GB in a temporary folder
    python benchmarks/ledger.py --rows 100000

*Plain* is what a script would write: the same columns, ``executemany`` in batches of the same size, ``SELECT`` by key one
at a time, in a file with SQLite's own settings; both take turns, batch by batch, up to the full size. Keys and JSON are
part of the ledger's time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
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


class Clock:
    """Wall and processor seconds by name; on a busy machine the two differ."""

    def __init__(self) -> None:
        self.wall, self.processor = defaultdict[str, float](float), defaultdict[str, float](float)

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall[name] += time.perf_counter() - wall
        self.processor[name] += time.process_time() - processor

    def rate(self, name: str, count: int) -> None:
        """Print how many in a second."""
        print(f"{name:24}{count / self.wall[name]:12,.0f} per s{count / self.processor[name]:12,.0f} by processor time")

    def time(self, name: str) -> None:
        """Print how long it took."""
        print(f"{name:24}{self.wall[name]:12.2f} s    {self.processor[name]:12.2f} by processor time", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="judgements in the large ledger")
    parser.add_argument("--batch", type=int, default=1000, help="answers in one insert")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        filled_in_turns(Path(folder), options.rows, options.batch)
        annotating(Path(folder))


def filled_in_turns(folder: Path, rows: int, batch: int) -> None:
    """A ledger of ``rows`` judgements and a plain file: filled in turns, opened, looked into, what is left found."""
    path, clock = folder / "ours.sqlite", Clock()
    ours, plain = Ledger(path), Plain(folder / "plain.sqlite")
    for start in range(0, rows, batch):
        asked = requests(start, start + batch)
        with clock("insert"):
            ours.add("m", "choose", [(request, REPLY) for request in asked])
        with clock("insert plain"):
            plain.add(asked)
    clock.rate("insert", rows)
    clock.rate("insert plain", rows)
    print(f"{rows:,} judgements, {path.stat().st_size / 2**30:.2f} GB")
    ours.close()
    with clock("open"):
        ours = Ledger(path)
    with clock("add up"):
        spend = ours.spend()
    left, looked = list[str](), 0
    for start in range(0, rows + 1000, 10_000):
        asked = requests(start, min(start + 10_000, rows + 1000))
        with clock("keys"):
            keys = [request.key("m") for request in asked]
        with clock("find what is left"):
            left += ours.missing(keys)
        some = keys[:: max(1, rows // 100_000)]  # reading all answers would take as long as all else
        with clock("look up"):
            found = ours.find(some)
        with clock("look up plain"):
            assert len(plain.find(some)) == len(found)
        looked += len(some)
    assert spend.answers == rows and len(left) == 1000, (spend, len(left))
    for name in ("open", "add up", "keys", "find what is left"):
        clock.time(name)
    clock.rate("look up", looked)
    clock.rate("look up plain", looked)
    ours.close()


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
