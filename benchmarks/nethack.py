"""Steps per second of processor time, of the worlds ``nethack`` and ``minihack`` beside bare nle and minihack.

    python benchmarks/nethack.py                    # about two minutes
    python benchmarks/nethack.py --seconds 5 --rounds 9

*Bare* is a plain list of nle's (minihack's) own environments in this process that read the same arrays, stepped with the
same random actions and reset when they end; what they see is thrown away. *World* is our vector form: batched, copied,
with success, progress and final observations. *World in words* describes every observation too. The three take turns
in every round; medians, and the share of bare in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from plaudit.envs.minihack import MiniHack
from plaudit.envs.nethack import NetHack
from plaudit.envs.nethack_games import KEYS, TASKS, minihack_ids
from plaudit.vector import rows, step_observations

CASES: list[tuple[type[NetHack], str]] = [(NetHack, "score"), (NetHack, "staircase"), (MiniHack, "Room-5x5")]
CASES += [(MiniHack, "Corridor-R3"), (MiniHack, "KeyRoom-S5")]


def bare(world: type[NetHack], task: str, copies: int) -> Callable[[np.ndarray], None]:
    """A step of a plain list of the benchmark's own environments."""
    if world is NetHack:
        envs: list[Any] = [TASKS[task](observation_keys=KEYS) for _ in range(copies)]
    else:
        envs = [gym.make(minihack_ids()[task], observation_keys=KEYS).unwrapped for _ in range(copies)]
    for i, env in enumerate(envs):
        env.seed(i, i, reseed=False)
        env.reset()

    def step(actions: np.ndarray) -> None:
        for env, action in zip(envs, actions.tolist(), strict=True):
            _, _, over, cut, _ = env.step(action)
            if over or cut:
                env.reset()

    return step


def ours(world: type[NetHack], task: str, copies: int, told: bool) -> Callable[[np.ndarray], None]:
    """A step of our vector form; with ``told`` every observation is described."""
    envs, one = world.vector(copies, task=task), world(task=task)
    envs.reset(seed=0)

    def step(actions: np.ndarray) -> None:
        observations, _, over, cut, infos = envs.step(actions)
        if told:
            for row in rows(step_observations(observations, infos, over | cut)):
                one.describe(row)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=16)
    options = parser.parse_args()
    print(
        f"{'':24}{'bare':>9}{'world':>9}{'share':>7}{'in words':>10}{'share':>7}   (steps per second of processor time)"
    )
    for world, task in CASES:
        forms = [bare(world, task, options.copies)]
        forms += [ours(world, task, options.copies, told) for told in (False, True)]
        actions = world(task=task).action_space.n
        speeds: list[list[float]] = [[], [], []]
        for round_ in range(options.rounds):
            for step, found in zip(forms, speeds, strict=True):
                rng, start, steps = np.random.default_rng(round_), time.process_time(), 0
                while (spent := time.process_time() - start) < options.seconds:
                    step(rng.integers(actions, size=options.copies))
                    steps += options.copies
                found.append(steps / spent)
        shares = [statistics.median(a / b for a, b in zip(found, speeds[0], strict=True)) for found in speeds]
        plain, batched, words = (statistics.median(found) for found in speeds)
        name = f"{world.name}:{task}"
        print(f"{name:24}{plain:9.0f}{batched:9.0f}{shares[1]:7.0%}{words:10.0f}{shares[2]:7.0%}")


if __name__ == "__main__":
    main()
