"""The embedding route: distinct descriptions per second, and repeats from the memo, each beside a reference.

python benchmarks/embedding.py. Wall time is what others leave of the cores; a second of this process (all its threads)
is steadier. Targets: 5,000 distinct descriptions/s on 2 cores, 500,000 repeats/s.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.policies.random import RandomPolicy
from plaudit.rewards.base import Transitions
from plaudit.rewards.embedders import WordLlamaEmbedder
from plaudit.rewards.embedding import EmbeddingReward
from plaudit.rollout import walk

ROUNDS, BATCH = 5, 4096


def main() -> None:
    """Medians over rounds."""
    embedder, world = WordLlamaEmbedder(), DoorKey(8, render_mode=None)
    made = next(walk(DoorKeyVector(BATCH, 8), RandomPolicy(world.action_space, 0), 700_000_000))
    repeats = Transitions(made.after, np.zeros(BATCH))
    base = world.describe({k: v[0] for k, v in made.after.items()})
    speeds: dict[str, list[float]] = {"distinct": [], "one at a time": [], "memo": [], "no memo": []}
    own: dict[str, list[float]] = {name: [] for name in speeds}
    for number in range(ROUNDS):
        texts = [f"{base} Move {number * 10_000 + i} of the day." for i in range(BATCH)]
        reward = EmbeddingReward(embedder, world.describe, (world.goal,), embedder.texts(["You see only walls."])[0])
        for name, work, count in (
            ("distinct", lambda r=reward, t=texts: r.score(t), BATCH),
            ("one at a time", lambda t=texts: [embedder.texts([x]) for x in t[:500]], 500),
            ("no memo", lambda r=reward: r(repeats), BATCH),
            ("memo", lambda r=reward: [r(repeats) for _ in range(20)], 20 * BATCH),
        ):
            start, used = time.perf_counter(), time.process_time()
            work()
            speeds[name].append(count / (time.perf_counter() - start))
            own[name].append(count / (time.process_time() - used))
    for name, beside in (("distinct", "one at a time"), ("memo", "no memo")):
        ratio = statistics.median(a / b for a, b in zip(speeds[name], speeds[beside], strict=True))
        a, b = statistics.median(speeds[name]), statistics.median(speeds[beside])
        c, d = statistics.median(own[name]), statistics.median(own[beside])
        print(f"{name}: {a:,.0f}/s ({c:,.0f} per CPU second); {beside}: {b:,.0f}/s ({d:,.0f}); ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
