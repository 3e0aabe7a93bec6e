"""The embedding route: distinct descriptions per second, repeats from the memo per second, and how often it is right.

    python benchmarks/embedding.py                       # about a minute; wordllama
    python benchmarks/embedding.py --model FOLDER        # a transformers text encoder

Speed. Descriptions are DoorKey's as a random policy meets them. *Distinct*: an :class:`EmbeddingReward` that has seen
nothing is given each of them once; beside it, in turns, the plain loop that embeds one description at a time. *Repeats*:
batches of observations that were all seen before go through the whole :class:`RewardWrapper` step, shaping and episodic
counts included; beside it the same reward without any memo, which describes and embeds what it is given. Medians.

Accuracy. Pairs whose progress is known, as in ``plaudit calibrate``: its layouts, a random policy. The better of a pair
should get the larger reward; equal rewards count half. The pairs share descriptions (few show a door that is open), so
they are not independent: compare several ``--seed`` before calling a difference one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from plaudit.config import WorldConfig
from plaudit.judging.calibrate import known_pairs
from plaudit.policies.random import RandomPolicy
from plaudit.rewards.embedders import Embedder, make_embedder, unit
from plaudit.rewards.embedding import EmbeddingReward, similarity
from plaudit.rewards.shaping import Shaping
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.rollout import Seen, distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import cores, make_envs, make_world
from plaudit.vector import rows, take

ROUNDS = 9
BATCHES = 16
"""Batches of observations that are replayed."""
PAIRS = 1000
TYPED = (
    "You see only walls and floor. Your hands are empty. You have just begun.",
    "Nothing happened.",
    "You stand before the locked door without the key.",
)
"""Baselines a person might type, written before any was measured; the last takes knowledge of the world."""


class Replay(VectorEnv):
    """Steps through recorded batches for ever, so that the wrapper's own work is what is measured."""

    def __init__(self, batches: list[Any], num_envs: int) -> None:
        self.batches, self.num_envs, self.made = batches, num_envs, 0
        self._none, self._zeros = np.zeros(num_envs, bool), np.zeros(num_envs)

    def reset(self, **arguments: Any) -> Any:
        return self.batches[0], {}

    def step(self, actions: Any) -> Any:
        self.made += 1
        return self.batches[self.made % len(self.batches)], self._zeros, self._none, self._none, {}


def speed(count: int, run: Callable[[], object]) -> tuple[float, float]:
    """Items per second of wall time and per second of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return count / (time.perf_counter() - wall), count / (time.process_time() - cpu)


def line(what: str, speeds: list[tuple[float, float]], reference: list[tuple[float, float]]) -> None:
    cells = ""
    for ours, theirs in zip(zip(*speeds, strict=True), zip(*reference, strict=True), strict=True):
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        cells += f"{statistics.median(ours):12,.0f}{statistics.median(theirs):12,.0f}{ratio:8.1f}"
    print(f"{what:40}{cells}")


def plainly(reward: EmbeddingReward, shown: list[str]) -> NDArray[np.float64]:
    """Embed them as they come: nothing is remembered."""
    return similarity(reward.embed(shown), reward.goals, reward.baseline, reward.alpha)


def distinct(make: Callable[[], EmbeddingReward], texts: list[str]) -> None:
    batched, alone, single, few = [], [], make(), texts[:200]
    for _ in range(ROUNDS):
        fresh = make()
        batched.append(speed(len(texts), lambda r=fresh: r.score(texts)))
        alone.append(speed(len(few), lambda: [plainly(single, [text]) for text in few]))
    line(f"distinct descriptions, {len(texts):,} at once", batched, alone)


def repeats(reward: EmbeddingReward, copies: int) -> None:
    envs, rng, world = make_envs(WorldConfig(), copies), np.random.default_rng(0), make_world(WorldConfig())
    envs.reset(seed=CALIBRATION_SEED)
    batches = [envs.step(rng.integers(0, 7, copies))[0] for _ in range(BATCHES)]
    shaping = Shaping.from_rewards(np.linspace(0, 1, 100), True, 0.5)
    wrapped = RewardWrapper(Replay(batches, copies), reward, shaping, world.event)
    wrapped.reset()
    for _ in batches:
        wrapped.step(None)
    steps, few = max(BATCHES, 200_000 // copies), rows(take(batches[0], list(range(64))))
    replayed, plain = [], []
    for _ in range(ROUNDS):
        replayed.append(speed(steps * copies, lambda: [wrapped.step(None) for _ in range(steps)]))
        plain.append(speed(len(few), lambda: plainly(reward, [reward.show(o) for o in few])))
    line(f"repeats, batches of {copies:,}", replayed, plain)


def accuracy(embedder: Embedder, goal: str, seen: list[Seen], begun: list[str], seed: int) -> None:
    pairs = known_pairs([s.text for s in seen], [s.progress / s.count for s in seen], PAIRS, seed)
    print(
        f"\n{len(pairs)} pairs with known progress, of {len({t for p in pairs for t in p})} descriptions; a coin: 50%"
    )
    baselines = {"mean of the beginnings (default)": unit(embedder.texts(begun).mean(axis=0))}
    baselines |= {text: embedder.texts([text])[0] for text in TYPED}
    alphas = (0.0, 0.25, 0.5, 0.75, 1.0)
    print(f"{'baseline':74}" + "".join(f"{f'alpha {a:g}':>12}" for a in alphas))
    for name, baseline in baselines.items():
        shares = []
        for alpha in alphas:
            reward = EmbeddingReward(embedder, str, (goal,), baseline, alpha)
            better, worse = (reward.score([p[i] for p in pairs]) for i in (0, 1))
            shares.append(np.mean((better > worse) + 0.5 * (better == worse)))
        print(f"{name:74}" + "".join(f"{share:12.1%}" for share in shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="wordllama", help="'wordllama' or the folder of a transformers text encoder")
    parser.add_argument("--seed", type=int, default=0, help="which of the calibration layouts, and which pairs")
    options = parser.parse_args()
    embedder, world = make_embedder(options.model, "text"), make_world(WorldConfig())
    envs, layouts = make_envs(WorldConfig(), 64), CALIBRATION_SEED + 10_000 * options.seed
    begun = [world.describe(o) for o in rows(envs.reset(seed=layouts)[0])]
    seen = distinct_descriptions(world, envs, RandomPolicy(world.action_space, options.seed), 400_000, layouts)
    baseline = unit(embedder.texts(begun).mean(axis=0))

    def make() -> EmbeddingReward:
        return EmbeddingReward(embedder, world.describe, (world.goal,), baseline)

    print(f"{embedder.name}, {cores()} cores")
    print(f"{'':40}{'per second':>12}{'reference':>12}{'x':>8}{'per CPU-s':>12}{'reference':>12}{'x':>8}")
    distinct(make, [s.text for s in seen])
    for copies in (64, 4096):
        repeats(make(), copies)
    accuracy(embedder, world.goal, seen, begun, options.seed)


if __name__ == "__main__":
    main()
