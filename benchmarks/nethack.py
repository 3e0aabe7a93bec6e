"""Steps per second of processor time, of the worlds ``nethack`` and ``minihack`` beside bare nle and minihack.

    python benchmarks/nethack.py                    # some minutes
    python benchmarks/nethack.py --expert 20        # how often the scripted explorer succeeds, within 800 steps
    python benchmarks/nethack.py --targets 60       # what a random policy earns in each task

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
from plaudit.envs.nethack_tasks import TARGETS
from plaudit.rollout import record_episode
from plaudit.vector import rows, step_observations

CASES: list[tuple[type[NetHack], str]] = [(NetHack, "score"), (NetHack, "staircase"), (MiniHack, "Room-5x5")]
CASES += [(MiniHack, "Corridor-R3"), (MiniHack, "KeyRoom-S5")]

EXPLORED = [(MiniHack, t) for t in ("Room-5x5", "Room-15x15", "Room-Dark-15x15", "Corridor-R3", "MazeWalk-9x9")]
EXPLORED += [(MiniHack, "MultiRoom-N4"), (NetHack, "staircase")]


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


def random_earnings(seconds: float, copies: int) -> None:
    """What a random policy earns in an episode of the tasks that succeed by a target."""
    for task, target in TARGETS.items():
        envs, rng, earned = NetHack.vector(copies, task=task), np.random.default_rng(0), list[float]()
        envs.reset(seed=0)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            before = envs.copies.earned.copy()
            _, _, over, cut, _ = envs.step(rng.integers(envs.single_action_space.n, size=copies))
            earned += before[over | cut].tolist()
        told = f"median {statistics.median(earned):.0f}, most {max(earned):.0f}" if earned else "none ended"
        print(f"{task:10} target {target}: random policy, {len(earned)} episodes: {told}", flush=True)


def expert_success(episodes: int, max_steps: int) -> None:
    """How often the scripted explorer succeeds, on seeds that no training uses."""
    for world, task in EXPLORED:
        one = world(task=task)
        expert, lengths = one.expert(), list[int]()
        for seed in range(episodes):
            steps = record_episode(one, expert, 800_000_000 + seed, max_steps)
            lengths += [len(steps) - 1] if steps[-1].success else []
        told = f", {statistics.median(lengths):.0f} steps (median)" if lengths else ""
        print(f"{world.name}:{task}: {len(lengths)} of {episodes}{told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=64)
    parser.add_argument("--targets", type=float, default=0, metavar="SECONDS", help="random play of each task instead")
    parser.add_argument("--expert", type=int, default=0, metavar="EPISODES", help="the scripted explorer instead")
    options = parser.parse_args()
    if options.expert:
        expert_success(options.expert, 800)
        return
    if options.targets:
        random_earnings(options.targets, options.copies)
        return
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
