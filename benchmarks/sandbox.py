"""States per second of a reward program in the sandbox, beside the same program in plain Python, in one run.

    python benchmarks/sandbox.py

The pairs are DoorKey's features along a random walk, in batches of 4,096 as a trainer would ask; every batch is run twice
in the sandbox (in two orders, which must agree), and the transport to and from the worker is counted.
"""

from __future__ import annotations

import statistics
import time
from itertools import islice

from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.policies.random import RandomPolicy
from plaudit.rewards.base import Transitions
from plaudit.rewards.code import CodeReward
from plaudit.rewards.sandbox import Pair
from plaudit.rollout import walk

PROGRAM = """def reward(features, next_features):
    value = 0.0
    if next_features["carrying_key"] and not features["carrying_key"]:
        value += 1.0
    if next_features["door_state"] == "open" and features["door_state"] != "open":
        value += 1.0
    if next_features["goal_visible"] and next_features["goal_distance"] < features["goal_distance"]:
        value += 0.1
    return value"""
BATCH, BATCHES, ROUNDS = 4096, 16, 5


def batches(reward: CodeReward) -> list[list[Pair]]:
    """Features before and after each step; equal ones are one dictionary, as in training."""
    world = DoorKey(8, render_mode=None)
    steps = islice(walk(DoorKeyVector(BATCH, 8), RandomPolicy(world.action_space, 0), 700_000_000), BATCHES)
    return [reward.pairs(Transitions(s.after, s.task_reward, s.before)) for s in steps]


def main() -> None:
    """Medians over rounds."""
    reward = CodeReward(PROGRAM, DoorKey(8, render_mode=None).features)
    work = batches(reward)
    count = sum(map(len, work))
    space: dict[str, object] = {}
    exec(PROGRAM, space)  # this one is ours
    plain = space["reward"]
    assert callable(plain)
    reward.sandbox.rewards(work[0])
    sandboxed, native = list[float](), list[float]()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = [value for part in work for value in reward.sandbox.rewards(part).tolist()]
        sandboxed.append(count / (time.perf_counter() - start))
        start = time.perf_counter()
        expected = [plain(before, after) for part in work for before, after in part]
        native.append(count / (time.perf_counter() - start))
        assert found == expected
    a, b = statistics.median(sandboxed), statistics.median(native)
    print(f"sandbox: {a:,.0f} states/s; plain Python: {b:,.0f} states/s; ratio {a / b:.2f}")
    reward.close()


if __name__ == "__main__":
    main()
