"""What does a judge beside the training cost the trainer? Steps/s with and without it, in pairs, in one process.

    python benchmarks/online.py                       # DoorKey 8x8, embedded model; makes a small run first
    python benchmarks/online.py --run runs/doorkey    # the reward of a run of one's own
    python benchmarks/online.py --share 0.1 --busy 1  # where the second of two processors is taken, too

Two trainers of the same seed on the same reward are updated in turns, a block of updates each: one alone, one with the
judge's process beside it, which is stopped (SIGSTOP) while the other one's block lasts. Which of a pair comes first
alternates. Its sleep goes on while it is stopped: take blocks (``--updates``) that are long against seconds.
Given are medians over the pairs, the median ratio, and its 95% bootstrap interval over the pairs: of steps a second,
and of steps a second of the trainer's own processor time, which shows what sharing caches and memory costs, without
the waiting for a processor; beside them what the judge got done, how much of a processor it had, and how far it lagged (in
steps; in seconds at the pace beside it). ``--busy`` processes that do nothing but count keep processors taken. On a machine
that others use trust the second ratio only.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plaudit.config import RunConfig, from_dict
from plaudit.rl.agents import make_trainer
from plaudit.routes.beside import annotating, changing_envs
from plaudit.stages import prepare, run_stages
from plaudit.stages.parts import make_envs, make_world
from plaudit.store import Run

SMALL = {
    "world": {"name": "doorkey", "size": 8},
    "collect": {"steps": 40_000},
    "judge": {"items": 100, "pairs": 1000},
    "train": {"seeds": 1, "controls": []},
}


def main() -> None:
    """Parse the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", type=Path, help="a run with the stage fit, of which only the settings and reward are read"
    )
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--updates", type=int, default=16, help="updates of one block")
    parser.add_argument("--share", type=float, help="online.share; the default where none is given")
    parser.add_argument("--busy", type=int, default=0, help="processors that others keep busy")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, taken(options.busy):
        measure(fitted(options.run, Path(folder) / "run", options.share), options.pairs, options.updates)


@contextlib.contextmanager
def taken(processors: int) -> Iterator[None]:
    """So many processes that only count."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processors)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def fitted(given: Path | None, folder: Path, share: float | None) -> Run:
    """A folder of our own with a fitted reward, and the settings of judging beside; what is there is not made again."""
    base = Run.open(given).config if given else from_dict(RunConfig, SMALL)
    online = dataclasses.replace(base.online, beside=True, questions=1_000_000)
    online = dataclasses.replace(online, share=share) if share else online
    run = prepare(dataclasses.replace(base, online=online, train=dataclasses.replace(base.train, controls=())), folder)
    if given:
        for name in ("collect", "annotate", "fit"):
            shutil.copytree(given / name, folder / name)
    run_stages(run, ("collect", "annotate", "fit"))
    return run


def measure(run: Run, pairs: int, updates: int) -> None:
    """Blocks in turns, and what they came to."""
    config, world = run.config, make_world(run.config.world)
    plan = dataclasses.replace(config.train, steps=10**9)
    alone, envs = (changing_envs(run, world, make_envs(config.world, plan.num_envs)) for _ in range(2))
    trainers = make_trainer(plan, alone, 0), make_trainer(plan, envs, 0)
    block, speeds = updates * plan.num_envs * plan.horizon, np.zeros((pairs, 2, 2))
    with annotating(run, run.stage("train/preference-0"), envs, world.goal, 0) as beside:
        judge = beside.judge._process.pid  # type: ignore[attr-defined]
        lags = list[float]()

        told: dict[str, Any] = {}

        def block_of(which: int) -> tuple[float, float]:
            os.kill(judge, signal.SIGCONT if which else signal.SIGSTOP)
            start, used = time.perf_counter(), time.process_time()
            nonlocal told
            for _ in range(updates):
                made = trainers[which].update()
                if which:
                    told = beside.between(made.steps)
                    if told["online_lag_steps"] is not None:
                        lags.append(told["online_lag_steps"])
            return time.perf_counter() - start, time.process_time() - used

        for which in (1, 0):  # the first observations are described, the first questions asked
            block_of(which)
        answers, worked = len(beside.asked), processor_seconds(judge)
        for pair in range(pairs):
            for which in (0, 1) if pair % 2 else (1, 0):
                speeds[pair, which] = block / np.array(block_of(which))
        worked = processor_seconds(judge) - worked
        asked, waiting = len(beside.asked) - answers, told["online_waiting"]
        os.kill(judge, signal.SIGCONT)
    seconds = float((block / speeds[:, 1, 0]).sum())
    print(
        f"{pairs} pairs, online.share {config.online.share:g}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    )
    show(speeds)
    print(
        f"judge          {asked / seconds:>9.1f} answers/s, {worked / seconds:.2f} of a processor, {waiting:,} are waiting"
    )
    if lags:
        lag = float(np.median(lags))
        print(f"lag            {lag:>9,.0f} steps, {lag / np.median(speeds[:, 1, 0]):.1f} s (median)")


def processor_seconds(process: int) -> float:
    """Processor time that it has used; Linux tells it there."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(speeds: np.ndarray) -> None:
    """The table of (pairs, alone or beside, a second or a processor's second)."""
    rng = np.random.default_rng(0)
    print(f"{'':14} {'alone':>9} {'beside':>9}   ratio")
    for i, unit in enumerate(("steps/s", "steps/cpu-s")):
        ratio = speeds[:, 1, i] / speeds[:, 0, i]
        drawn = np.median(ratio[rng.integers(0, len(ratio), (2000, len(ratio)))], axis=1)
        low, high = np.percentile(drawn, [2.5, 97.5])
        alone, beside = np.median(speeds[:, :, i], axis=0)
        print(f"{unit:14} {alone:>9,.0f} {beside:>9,.0f}   {np.median(ratio):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
