"""The only place that steps a world to gather data: observations to judge, and episodes to measure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.recording import Recording
from plaudit.vector import observation_keys, rows, stack, step_observations, step_value, take


@dataclass(frozen=True)
class Steps:
    """One step of every copy."""

    before: Any
    """What each copy saw, batched like the observation space."""
    actions: NDArray[Any]
    """What each did."""
    after: Any
    """What that led to; the final observation where an episode ended."""
    ended: NDArray[np.bool_]
    """Whether the episode ended, ``(num_envs,)``."""
    task_reward: NDArray[np.float64]
    """The world's own reward."""
    progress: NDArray[np.float64]
    """The world's own progress; for measuring only."""
    success: NDArray[np.bool_]
    """Whether the world called it a success."""
    terminated: NDArray[np.bool_]
    """Whether the episode ended by the world's own rules, and not by a limit of steps."""


def walk(envs: VectorEnv, policy: Policy, seed: int) -> Iterator[Steps]:
    """Let the policy act, for ever."""
    observations, _ = envs.reset(seed=seed)
    policy.reset(np.ones(envs.num_envs, bool))
    while True:
        before, actions = observations, policy.act(observations)
        observations, reward, terminated, truncated, infos = envs.step(actions)
        ended = terminated | truncated
        after = step_observations(observations, infos, ended)
        progress, success = (step_value(infos, name, ended) for name in ("progress", "success"))
        task_reward = np.asarray(reward, np.float64)
        yield Steps(before, actions, after, ended, task_reward, progress, success > 0, np.asarray(terminated))
        if ended.any():
            policy.reset(ended)


@dataclass
class Seen:
    """A distinct description, as often as it was met."""

    text: str
    """What an LLM is shown."""
    observation: Any
    """One observation that reads so."""
    count: int = 0
    """How often it was met."""
    progress: float = 0.0
    """Sum of the world's own progress over these times; for measuring only."""


def distinct_descriptions(
    world: World,
    envs: VectorEnv,
    policy: Policy,
    steps: int,
    seed: int,
    advance: Callable[[int], None] | None = None,
    recorder: Recorder | None = None,
) -> list[Seen]:
    """Let the policy act for ``steps`` environment steps; everything that was met, by description, in order."""
    seen: dict[str, Seen] = {}
    texts: dict[bytes, str] = {}
    for made in itertools.islice(walk(envs, policy, seed), max(1, steps // envs.num_envs)):
        for i, key in enumerate(observation_keys(made.after)):
            if key not in texts:
                one = rows(take(made.after, [i]))[0]
                texts[key] = world.describe(one)
                seen.setdefault(texts[key], Seen(texts[key], one))
            entry = seen[texts[key]]
            entry.count += 1
            entry.progress += float(made.progress[i])
        if recorder is not None:
            recorder.add(made)
        if advance is not None:
            advance(envs.num_envs)
    return list(seen.values())


class Recorder:
    """Keeps whole steps, each distinct observation once, up to a number of steps."""

    def __init__(self, num_envs: int, limit: int) -> None:
        self.limit = limit
        self._index: dict[bytes, int] = {}
        self._observations: list[Any] = []
        self._columns: list[tuple[NDArray[Any], ...]] = []
        self._episode, self._step = np.arange(num_envs), np.zeros(num_envs, int)

    def add(self, made: Steps) -> None:
        """One step of every copy; past the limit nothing is kept."""
        if len(self._columns) * len(made.ended) >= self.limit:
            return
        before, after = self._indices(made.before), self._indices(made.after)
        truth = made.task_reward, made.success, made.ended, made.terminated
        column = (self._episode, self._step, before, after, made.actions, *truth)
        self._columns.append(tuple(np.array(c) for c in column))
        self._step = np.where(made.ended, 0, self._step + 1)
        self._episode = np.where(made.ended, self._episode + len(made.ended), self._episode)

    def _indices(self, observations: Any) -> NDArray[np.int64]:
        keys = observation_keys(observations)
        if new := {key: i for i, key in enumerate(keys) if key not in self._index}:
            self._observations += rows(take(observations, list(new.values())))
            self._index.update(zip(new, range(len(self._index), len(self._index) + len(new)), strict=True))
        return np.array([self._index[key] for key in keys])

    def recording(self) -> Recording:
        """What was kept, episode by episode."""
        columns = [np.concatenate(c) for c in zip(*self._columns, strict=True)]
        order = np.lexsort((columns[1], columns[0]))
        return Recording(stack(self._observations), *(c[order] for c in columns))


@dataclass(frozen=True)
class Episode:
    """What one episode came to."""

    success: bool
    """Whether the world called it a success."""
    task_return: float
    """Undiscounted sum of the world's own reward."""
    length: int
    """Steps."""


def run_episodes(envs: VectorEnv, policy: Policy, seed: int, episodes: int, max_steps: int = 0) -> list[Episode]:
    """So many episodes, the first of each copy and reset, with seeds from ``seed`` on: all count alike, short or long.

    With ``max_steps`` an episode that is not over by then is cut off there, and is what the world calls it at that step:
    where success does not end an episode (MetaWorld), one that has been reached counts.
    """
    found = list[Episode]()
    while len(found) < episodes:
        found += _first_episodes(envs, policy, seed + len(found), max_steps)
    return found[:episodes]


def _first_episodes(envs: VectorEnv, policy: Policy, seed: int, max_steps: int) -> list[Episode]:
    """One episode of each copy."""
    running = np.ones(envs.num_envs, bool)
    totals, lengths, success = np.zeros(envs.num_envs), np.zeros(envs.num_envs, int), np.zeros(envs.num_envs, bool)
    for made in walk(envs, policy, seed):
        totals[running] += made.task_reward[running]
        lengths[running] += 1
        success[running] = made.success[running]
        running &= ~made.ended
        if not running.any() or (max_steps and lengths.max() >= max_steps):
            break
    return [Episode(bool(s), float(t), int(n)) for s, t, n in zip(success, totals, lengths, strict=True)]


@dataclass(frozen=True)
class Step:
    """One step of a recorded episode."""

    step: int
    """0 is the start, before any action."""
    action: str
    """What the agent did, in words; empty at the start."""
    text: str
    """What an LLM is shown of the observation that followed."""
    observation: Any
    """That observation."""
    task_reward: float
    """The world's own reward for the step."""
    success: bool
    """Whether the world called the episode a success at this step."""
    frame: Any
    """Picture of the world after the step, ``(height, width, 3)`` uint8, or None."""
    progress: float = float("nan")
    """The world's own progress, for measuring only; NaN where it tells none."""
    ended: bool = False
    """Whether the episode ended here by the world's own rules, and not by a limit of steps."""
    taken: Any = None
    """The action itself, as the world takes it; None at the start."""


def record_episode(world: World, policy: Policy, seed: int, max_steps: int = 200) -> list[Step]:
    """The first ``max_steps`` steps of one episode of one world, each with its picture."""
    return list(itertools.islice(episode_steps(world, policy, seed), max_steps + 1))


def episode_steps(world: World, policy: Policy, seed: int, pictures: bool = True) -> Iterator[Step]:
    """The steps of one episode of one world as they happen, its start first; with ``pictures`` each has its own."""
    before, info = world.reset(seed=seed)
    policy.reset(np.ones(1, bool))
    first = float(info.get("progress", "nan"))
    yield Step(0, "", world.describe(before), before, 0.0, False, world.render() if pictures else None, first)
    for number in itertools.count(1):
        action = policy.act(stack([before]))[0]
        observation, reward, terminated, truncated, info = world.step(action)
        word = world.action_word(action, world.actions(before))
        success, frame = bool(info.get("success", False)), world.render() if pictures else None
        far = float(info.get("progress", "nan"))
        text, ended = world.describe(observation), bool(terminated)
        yield Step(number, word, text, observation, float(reward), success, frame, far, ended, action)
        if terminated or truncated:
            return
        before = observation


def replays(envs: VectorEnv, seed: int, way: Sequence[Any], tails: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """What is seen at the end of this way and behind it, for each of some tails of equal length.

    The way begins with this seed's episode, so a state is come to again and something else can be tried in it. A list is
    shorter where the episode ends, and empty where it ends on the way.
    """
    found = list[list[Any]]()
    for start in range(0, len(tails), envs.num_envs):
        part = tails[start : start + envs.num_envs]
        found += _replay(envs, seed, way, [*part, *[part[-1]] * (envs.num_envs - len(part))])[: len(part)]
    return found


def _replay(envs: VectorEnv, seed: int, way: Sequence[Any], tails: Sequence[Sequence[Any]]) -> list[list[Any]]:
    seen, running = [list[Any]() for _ in tails], np.ones(envs.num_envs, bool)
    alike: Any = [seed] * envs.num_envs  # which Gymnasium takes, though its type says otherwise
    led_to, _ = envs.reset(seed=alike)
    ended = np.zeros(envs.num_envs, bool)
    for number in range(len(way) + len(tails[0]) + 1):
        if number:
            at = number - 1
            actions = [way[at] if at < len(way) else tail[at - len(way)] for tail in tails]
            observations, _, terminated, truncated, infos = envs.step(np.array(actions))
            ended = terminated | truncated
            led_to = step_observations(observations, infos, ended)
        for copy, one in enumerate(rows(led_to) if number >= len(way) else ()):
            if running[copy]:
                seen[copy].append(one)
        running &= ~ended
    return seen
