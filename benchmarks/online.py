"""What does a judge beside the training cost the trainer? Steps/s with and without it, in pairs, in one process.

    python benchmarks/online.py                       # DoorKey 8x8, embedded model; makes a small run first
    python benchmarks/online.py --run runs/doorkey    # the reward of a run of one's own
    python benchmarks/online.py --share 0.25 --pairs 10

Two trainers of the same seed on the same reward are updated in turns, a block of updates each: one alone, one with the
judge's process beside it, which is stopped (SIGSTOP) while the other one's block lasts. Which of a pair comes first
alternates. Given are medians over the pairs, the median ratio, and its 95% bootstrap interval over the pairs; beside them
how much the judge got done and how far it lagged. Trust ratios of a quiet machine only: on a busy one both sides wait.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import tempfile
import time
from pathlib import Path

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
    parser.add_argument("--updates", type=int, default=4, help="updates of one block")
    parser.add_argument("--share", type=float, help="online.share; the default where none is given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(fitted(options.run, Path(folder) / "run", options.share), options.pairs, options.updates)


def fitted(given: Path | None, folder: Path, share: float | None) -> Run:
    """A folder of our own with a fitted reward, and the settings of judging beside."""
    base = Run.open(given).config if given else from_dict(RunConfig, SMALL)
    online = dataclasses.replace(base.online, beside=True, questions=1_000_000)
    online = dataclasses.replace(online, share=share) if share else online
    run = prepare(dataclasses.replace(base, online=online, train=dataclasses.replace(base.train, controls=())), folder)
    run_stages(run, ("collect", "annotate", "fit"))
    return run


def measure(run: Run, pairs: int, updates: int) -> None:
    """Blocks in turns, and what they came to."""
    config, world = run.config, make_world(run.config.world)
    plan = dataclasses.replace(config.train, steps=10**9)
    alone, envs = (changing_envs(run, world, make_envs(config.world, plan.num_envs)) for _ in range(2))
    trainers = make_trainer(plan, alone, 0), make_trainer(plan, envs, 0)
    block, speeds = updates * plan.num_envs * plan.horizon, list[tuple[float, float]]()
    with annotating(run, run.stage("train/preference-0"), envs, world.goal, 0) as beside:
        judge = beside.judge._process.pid  # type: ignore[attr-defined]
        lags, working = list[tuple[float, float]](), 0.0

        def block_of(which: int) -> float:
            os.kill(judge, signal.SIGCONT if which else signal.SIGSTOP)
            start = time.perf_counter()
            for _ in range(updates):
                made = trainers[which].update()
                if which:
                    told = beside.between(made.steps)
                    if told["online_lag_steps"] is not None:
                        lags.append((told["online_lag_steps"], told["online_lag_seconds"]))
            return time.perf_counter() - start

        while not beside.asked:  # the model is loading
            block_of(1)
        block_of(0)
        answers = len(beside.asked)
        for pair in range(pairs):
            took = [0.0, 0.0]
            for which in (0, 1) if pair % 2 else (1, 0):
                took[which] = block_of(which)
            working += took[1]
            speeds.append((block / took[0], block / took[1]))
        os.kill(judge, signal.SIGCONT)
        asked, waiting = len(beside.asked) - answers, told_waiting(beside)
    show(np.array(speeds), asked / working, lags, waiting, config.online.share)


def told_waiting(beside: object) -> int:
    """Questions that wait."""
    return int(beside.between(0)["online_waiting"])  # type: ignore[attr-defined]


def show(speeds: np.ndarray, rate: float, lags: list[tuple[float, float]], waiting: int, share: float) -> None:
    """The table."""
    ratio = speeds[:, 1] / speeds[:, 0]
    rng = np.random.default_rng(0)
    drawn = np.median(ratio[rng.integers(0, len(ratio), (2000, len(ratio)))], axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    print(f"{len(ratio)} pairs, online.share {share:g}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"alone          {np.median(speeds[:, 0]):>9,.0f} steps/s")
    print(f"judge beside   {np.median(speeds[:, 1]):>9,.0f} steps/s")
    print(f"ratio          {np.median(ratio):>9.3f} ({low:.3f} to {high:.3f})")
    print(f"judged         {rate:>9.1f} /s, {waiting:,} waiting at the end")
    if lags:
        steps, seconds = np.median(np.array(lags, float), axis=0)
        print(f"lag            {steps:>9,.0f} steps, {seconds:.1f} s (median)")


if __name__ == "__main__":
    main()
