"""States/s of a reward program through the sandbox, beside the same program in plain Python, in the same run.

    python benchmarks/sandbox.py          # about half a minute, one core

The program reads DoorKey's 16 features before and after each step of a random walk. Every batch holds different
transitions only. *As used* is how training asks: equal features are one dictionary and each pair of them comes once.
*By observation* gives every observation a dictionary of its own, *nothing shared* every side of every pair: the most that
a batch can hold. The figures hold all that a batch costs: the features as JSON, the worker's session, both runs of the
program, and the comparison of the two. On a busy machine trust the figures per CPU-second.
"""

from __future__ import annotations

import os
import statistics
import time

import numpy as np

from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.rewards.base import Transitions
from plaudit.rewards.code import CodeReward
from plaudit.rewards.sandbox import BATCH, Pair, Sandbox
from plaudit.vector import observation_keys

PROGRAM = """
def reward(features, next_features):
    value = 0.0
    if next_features["carrying_key"] and not features["carrying_key"]:
        value += 1.0
    if next_features["door_state"] == "open" and features["door_state"] != "open":
        value += 2.0
    if next_features["goal_visible"]:
        value += 0.1 * (10 - next_features["goal_distance"])
    if next_features["event"] == "You reached the goal square.":
        value += 5.0
    return value
"""
COPIES = 64
ROUNDS = 60


def recorded(steps: int = 1000) -> dict[str, list[Pair]]:
    """The same transitions of a random walk, all different, with features that are shared by more or by fewer of them."""
    world, envs = DoorKey(8, render_mode=None), DoorKeyVector(COPIES, 8)
    route, rng = CodeReward(PROGRAM, world.features), np.random.default_rng(0)
    own: dict[bytes, dict] = {}
    observations, _ = envs.reset(seed=0)
    found: dict[tuple[int, int], tuple[Pair, Pair]] = {}
    for _ in range(steps):
        before = {name: np.array(part) for name, part in observations.items()}
        observations, _, _, _, info = envs.step(rng.integers(0, 7, COPIES))
        step = Transitions(info.get("final_obs", observations), np.zeros(COPIES), before)
        keys = zip(observation_keys(before), observation_keys(step.observations), strict=True)
        for (a, b), (x, y) in zip(route.pairs(step), keys, strict=True):
            found.setdefault((id(a), id(b)), ((a, b), (own.setdefault(x, dict(a)), own.setdefault(y, dict(b)))))
    pairs = list(found.values())[:BATCH]
    return {
        "sandbox, as used": [shared for shared, _ in pairs],
        "by observation": [single for _, single in pairs],
        "nothing shared": [(dict(a), dict(b)) for (a, b), _ in pairs],
    }


def measure(name: str, pairs: list[Pair], expected: np.ndarray) -> tuple[float, float]:
    """States per second (median of the rounds) and per CPU-second, the worker's included."""
    namespace: dict = {}
    exec(PROGRAM, namespace)  # our own text, from above
    plain, times = namespace["reward"], []
    cpu = cpu_seconds()
    with Sandbox(PROGRAM) as sandbox:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            rewards = [plain(*pair) for pair in pairs] if name == "plain Python" else sandbox.rewards(pairs)
            times.append(time.perf_counter() - start)
            assert np.array_equal(rewards, expected)
    cpu = cpu_seconds() - cpu  # a worker's counts from when it has ended
    return len(pairs) / statistics.median(times), ROUNDS * len(pairs) / cpu


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the worker inherits it: both on one core
    batches = recorded()
    shared = batches["sandbox, as used"]
    with Sandbox(PROGRAM) as sandbox:
        expected = sandbox.rewards(shared)
        small = []
        for _ in range(200):
            start = time.perf_counter()
            sandbox.rewards(shared[:COPIES])
            small.append(time.perf_counter() - start)
    print(f"{len(shared)} different pairs of 16 features in one batch, one core, median of {ROUNDS} rounds")
    print(f"{'':20}{'states/s':>12}{'plain / this':>14}{'per CPU-s':>14}{'plain / this':>14}")
    base: tuple[float, float] | None = None
    for name, pairs in ({"plain Python": shared} | batches).items():
        found = measure(name, pairs, expected)
        base = base or found
        print(f"{name:20}{found[0]:12,.0f}{base[0] / found[0]:14.1f}{found[1]:14,.0f}{base[1] / found[1]:14.1f}")
    print(f"a batch of {COPIES}: {1000 * statistics.median(small):.2f} ms")


if __name__ == "__main__":
    main()
