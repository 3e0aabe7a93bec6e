"""The stages annotate and fit with many items: rate and peak memory, each in a process of its own.

    python benchmarks/annotate.py                    # 10^5 and 10^6 items, a scripted model; some minutes, 4 GB of disk
    python benchmarks/annotate.py --items 20000 --pairs 20000

The run folder is made up: distinct descriptions of about 150 characters, as collect leaves them. All else is the real
stage: prompts, ledger, tables. The scripted model answers at once, so that what is measured is the engine.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from plaudit.config import RunConfig, from_dict
from plaudit.llms.base import Arrived, Reply, Request
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages import parts, run_stages
from plaudit.store import Run


class Quick(ScriptedLLM):
    """Answers by the prompt's length and end, and forgets what it was asked."""

    window = 512

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        replies = [Reply("ok", logprobs=(-(hash(r.prompt) % 97) / 50, -1.0), lengths=(1, 1)) for r in requests]
        for place, reply in enumerate(replies):
            (arrived or (lambda *_: None))(place, reply)
        return replies


def descriptions(items: int) -> Iterator[str]:
    """Distinct ones, in sentences as a world's."""
    for i in range(items):
        yield (
            f"You see the locked door {i % 97} steps ahead and {i % 89} to the right. You hold key number {i} of "
            f"{items}. The goal lies behind wall {i // 97}. You {('turned', 'bumped into a wall', 'moved')[i % 3]}."
        )


def make(folder: Path, items: int, pairs: int) -> Run:
    """A run folder whose stage collect is finished."""
    sections = {"judge": {"items": items, "pairs": pairs}, "fit": {"steps": 300}}
    run = Run.create(folder, from_dict(RunConfig, sections))
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"text": pa.string(), "event": pa.string(), "count": pa.int64()})
    every = descriptions(items)
    with pq.ParquetWriter(run.stage("collect") / "observations.parquet", schema) as table:
        for _ in range(0, items, 8192):
            texts = list(islice(every, 8192))
            events = [text.rsplit(". ", 1)[1] for text in texts]
            table.write_table(pa.table([texts, events, [1] * len(texts)], schema=schema))
    run.finish("collect", 0.0)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--pairs", type=int, default=4000, help="pairs for the fit, as --judge.pairs")
    parser.add_argument("--stage", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        one(Path(options.stage[0]), options.stage[1])
        return
    print(
        f"{'items':>10}  {'stage':10}{'seconds':>9}{'processor':>11}{'items/s':>10}{'peak MB':>9}{'folder GB':>11}",
        flush=True,
    )
    for items in options.items:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder) / "run", items, options.pairs)
            for stage in ("annotate", "fit"):
                command = [sys.executable, __file__, "--stage", str(Path(folder) / "run"), stage]
                subprocess.run(command, check=True)


def one(folder: Path, stage: str) -> None:
    """Run a stage and print its row."""
    parts.make_llm = lambda config: Quick()
    run, start = Run.open(folder), time.perf_counter()
    run_stages(run, (stage,))
    seconds, items = time.perf_counter() - start, run.config.judge.items
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    disk = sum(path.stat().st_size for path in folder.rglob("*")) / 2**30
    used = f"{seconds:>9.1f}{time.process_time():>11.1f}{items / seconds:>10,.0f}"
    print(f"{items:>10,}  {stage:10}{used}{peak:>9,.0f}{disk:>11.2f}", flush=True)


if __name__ == "__main__":
    main()
