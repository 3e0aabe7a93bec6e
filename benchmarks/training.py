"""Steps/s of training on the fitted reward beside training on the task reward, in one run, updates taken in turn.

Run: python benchmarks/training.py runs/demo. Both trainers see the same number of updates; each figure is the median of
paired ratios, so that a busy machine slows both alike. Also times DoorKey itself beside minigrid's.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.rl.ppo import PPO, PPOConfig
from plaudit.stages.train import wrapped_envs
from plaudit.store import Run

UPDATES = 40


def training(run: Run) -> None:
    config = PPOConfig(steps=10**6, num_envs=run.config.train.num_envs, gamma=run.config.train.gamma)
    trainers = {arm: PPO(wrapped_envs(run, arm), config, seed=0) for arm in ("task", "preference")}
    speeds: dict[str, list[float]] = {arm: [] for arm in trainers}
    for update in range(UPDATES):
        for arm in sorted(trainers, reverse=bool(update % 2)):
            speeds[arm].append(config.num_envs * config.horizon / trainers[arm].update().seconds)
    for arm, values in speeds.items():
        print(f"PPO on {arm:10} {statistics.median(values):10,.0f} steps/s")
    ratios = [a / b for a, b in zip(speeds["preference"], speeds["task"], strict=True)]
    print(f"fitted reward / task reward: {statistics.median(ratios):.2f} (median of {UPDATES} paired updates)")


def worlds() -> None:
    copies, rng = 64, np.random.default_rng(0)
    vector, single = DoorKeyVector(copies, 8), DoorKey(8, render_mode=None)
    vector.reset(seed=0)
    single.reset(seed=0)
    ours, theirs = [], []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(100):
            vector.step(rng.integers(0, 7, copies))
        ours.append(100 * copies / (time.perf_counter() - start))
        start = time.perf_counter()
        for _ in range(500):
            _, _, terminated, truncated, _ = single.grid.step(int(rng.integers(0, 7)))
            if terminated or truncated:
                single.grid.reset()
        theirs.append(500 / (time.perf_counter() - start))
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"DoorKey 8x8, {copies} copies: {a:,.0f} steps/s; minigrid alone: {b:,.0f} steps/s; ratio {a / b:.0f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    worlds()
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    training(Run.open(folder))
