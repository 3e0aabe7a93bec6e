"""Two further looks at a run's reward: its training curves, and its distance to the task reward.

Each reads finished stages and gives numbers; what they come to is said in :mod:`plaudit.analyze.hacking`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.analysis import reward_distance
from plaudit.analysis.reward_distance import Distance
from plaudit.recording import Recording
from plaudit.report.curves import pooled, window
from plaudit.rewards.base import RewardFn, Transitions
from plaudit.store import Run, read_table
from plaudit.vector import stack

if TYPE_CHECKING:
    from plaudit.envs.base import World

NETWORKS = 5
"""Untrained networks beside the fitted one."""
POOL = 64
"""Observations that stand for all of them in the canonical form."""
DEAR = 16
"""The same where the reward looks at both ends of a step and has to be computed for each pair."""


@dataclass(frozen=True)
class Curves:
    """The subject's training, agent by agent, over the steps at which every agent had ended episodes."""

    steps: NDArray[np.float64]
    """Environment steps, ``(n,)``."""
    learned: NDArray[np.float64]
    """Mean return of the reward that was maximised, ``(agents, n)``."""
    true: NDArray[np.float64]
    """Mean return of the world's own."""


def curves(run: Run, arm: str) -> Curves | None:
    """Rates pooled over a window in which every copy can end an episode; None where there is no such window."""
    tables = [read_table(path) for path in sorted((run.folder / "train").glob(f"{arm}-[0-9]*/curve.parquet"))]
    span = window((row["length"] for table in tables for row in table), run.config.train.num_envs)
    # The peak of a noisy curve lies too high: an eighth of the training is averaged at least. Long episodes leave short
    # trainings without a full window; then less must do.
    smooth = run.config.train.steps // 8
    for width in (max(span, smooth), smooth, 1):
        found = [[pooled(table, key, width) for key in ("reward_return", "task_return")] for table in tables]
        shared = sorted(set.intersection(*(set(each) for pair in found for each in pair))) if found else []
        if len(shared) >= 4:
            learned, true = (np.array([[pair[i][at] for at in shared] for pair in found]) for i in (0, 1))
            return Curves(np.array(shared, float), learned, true)
    return None


@dataclass(frozen=True)
class Steps:
    """Recorded steps of several recordings over one list of distinct observations."""

    observations: list[Any]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    episode: NDArray[np.int64]
    task: NDArray[np.float64]


def join(recordings: list[Recording], most: int, rng: np.random.Generator) -> Steps:
    """Whole episodes of these, drawn until there are so many steps, an even share from each recording."""
    observations, columns, episodes = list[Any](), list[tuple[NDArray[Any], ...]](), 0
    for recording in recordings:
        assert recording.task_reward is not None
        lengths = np.bincount(recording.episode)
        numbers = rng.permutation(np.flatnonzero(lengths))
        kept = numbers[: max(1, int(np.searchsorted(np.cumsum(lengths[numbers]), most / len(recordings))))]
        rows = np.isin(recording.episode, kept)
        used, place = np.unique(np.concatenate([recording.before[rows], recording.after[rows]]), return_inverse=True)
        single = recording.single_observations()
        before, after = np.split(place + len(observations), 2)
        columns.append((before, after, recording.episode[rows] + episodes, recording.task_reward[rows]))
        observations += [single[i] for i in used]
        episodes += int(recording.episode.max()) + 1
    return Steps(observations, *(np.concatenate(c) for c in zip(*columns, strict=True)))


def distances(
    run: Run, world: World, rewards: dict[str, tuple[RewardFn, Any]], steps: Steps, seed: int = 0
) -> dict[str, Distance]:
    """EPIC's distance to the task reward of each reward, of untrained networks and of a constant."""
    gamma, rng = run.config.train.gamma, np.random.default_rng(seed)
    pool = rng.choice(np.concatenate([steps.before, steps.after]), POOL)
    count = np.bincount(steps.after, minlength=len(steps.observations))
    mean_task = np.bincount(steps.after, steps.task, len(steps.observations)) / np.maximum(count, 1)

    def canonical(reward: reward_distance.Pairs, pool: NDArray[np.int64] = pool) -> NDArray[np.float64]:
        return reward_distance.canonical(reward, steps.before, steps.after, pool, gamma)

    # What a step pays is what the observation it led to paid on average: only that is known of steps nobody made.
    task = canonical(lambda before, after: mean_task[after])
    found = {}
    for name, (reward_fn, shaping) in rewards.items():
        if reward_fn.of == "observation":
            table = _table(reward_fn, shaping, steps)
            values = canonical(lambda before, after, table=table: table[after])  # type: ignore[misc]
        else:
            values = canonical(_pairwise(reward_fn, shaping, steps), pool[:DEAR])
        found[name] = reward_distance.distance(values, task, steps.episode, seed)
    found["random network"] = _untrained(run, world, steps, task, canonical, seed)
    found["constant"] = reward_distance.distance(np.ones(len(steps.task)), task, steps.episode, seed)
    return found


def novelty(steps: Steps, world: World, power: float) -> NDArray[np.float64]:
    """1 / N^power along each recorded episode: what counting alone pays."""
    events = [world.event(o) for o in steps.observations]
    seen, paid = dict[tuple[int, str], int](), np.zeros(len(steps.after))
    for i, (episode, after) in enumerate(zip(steps.episode.tolist(), steps.after.tolist(), strict=True)):
        key = (episode, events[after])
        seen[key] = seen.get(key, 0) + 1
        paid[i] = seen[key] ** -power
    return paid


def _table(reward_fn: RewardFn, shaping: Any, steps: Steps) -> NDArray[np.float64]:
    values = [
        reward_fn(Transitions(stack(steps.observations[i : i + 1024]), np.zeros(len(steps.observations[i : i + 1024]))))
        for i in range(0, len(steps.observations), 1024)
    ]
    return np.asarray(shaping.value(np.concatenate(values)))


def _pairwise(reward_fn: RewardFn, shaping: Any, steps: Steps) -> reward_distance.Pairs:
    def reward(before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.float64]:
        distinct, place = np.unique(np.stack([before, after], axis=1), axis=0, return_inverse=True)
        ends = [stack([steps.observations[i] for i in column]) for column in distinct.T]
        values = reward_fn(Transitions(ends[1], np.zeros(len(distinct)), ends[0]))
        return np.asarray(shaping.value(values))[place.ravel()]

    return reward


def _untrained(run: Run, world: World, steps: Steps, task: NDArray[np.float64], canonical: Any, seed: int) -> Distance:
    """The mean over networks with first weights, and the least and greatest of them."""
    from plaudit.rewards.reward_net import RewardModel

    inputs = [world.describe(o) for o in steps.observations] if run.config.fit.input == "text" else steps.observations
    model = RewardModel(run.config.fit.input, world.observation_space, run.config.fit.width, NETWORKS, 1 + seed)
    found = [
        reward_distance.distance(canonical(lambda b, a, t=table: t[a]), task, steps.episode, seed).value
        for table in model.members(inputs).astype(float)
    ]
    return Distance(float(np.mean(found)), min(found), max(found))
