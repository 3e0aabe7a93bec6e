"""The only place that steps a world to gather data: observations to judge, and episodes to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.vector import observation_keys, rows, stack, step_observations, step_value, take


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


@dataclass
class Trace:
    """The order in which descriptions were met, row by row as the copies step together."""

    seen: list[NDArray[np.int64]] = field(default_factory=list)
    """For each step, which of the distinct descriptions it led to, ``(copies,)``."""
    ended: list[NDArray[np.bool_]] = field(default_factory=list)
    """For each step, whether it ended its copy's episode, ``(copies,)``."""


def distinct_descriptions(
    world: World,
    envs: VectorEnv,
    policy: Policy,
    steps: int,
    seed: int,
    advance: Callable[[int], None] | None = None,
    trace: Trace | None = None,
) -> list[Seen]:
    """Let the policy act for ``steps`` environment steps; everything that was met, by description, in order.

    A ``trace`` is filled with the order, for those who need what came after what.
    """
    observations, _ = envs.reset(seed=seed)
    seen: dict[str, Seen] = {}
    texts: dict[bytes, str] = {}
    numbers: dict[str, int] = {}
    for _ in range(max(1, steps // envs.num_envs)):
        observations, _, terminated, truncated, infos = envs.step(policy.act(observations))
        ended = terminated | truncated
        led_to = step_observations(observations, infos, ended)
        progress = step_value(infos, "progress", ended)
        keys = observation_keys(led_to)
        for i, key in enumerate(keys):
            if key not in texts:
                one = rows(take(led_to, [i]))[0]
                texts[key] = world.describe(one)
                seen.setdefault(texts[key], Seen(texts[key], one))
                numbers.setdefault(texts[key], len(numbers))
            entry = seen[texts[key]]
            entry.count += 1
            entry.progress += float(progress[i])
        if trace is not None:
            trace.seen.append(np.array([numbers[texts[key]] for key in keys]))
            trace.ended.append(ended)
        if advance is not None:
            advance(envs.num_envs)
    return list(seen.values())


@dataclass(frozen=True)
class Episode:
    """What one episode came to."""

    success: bool
    """Whether the world called it a success."""
    task_return: float
    """Undiscounted sum of the world's own reward."""
    length: int
    """Steps."""


def run_episodes(envs: VectorEnv, policy: Policy, seed: int) -> list[Episode]:
    """One episode of each copy: every episode counts the same, however long it is."""
    observations, _ = envs.reset(seed=seed)
    running = np.ones(envs.num_envs, bool)
    totals, lengths, success = np.zeros(envs.num_envs), np.zeros(envs.num_envs, int), np.zeros(envs.num_envs, bool)
    while running.any():
        observations, reward, terminated, truncated, infos = envs.step(policy.act(observations))
        ended = terminated | truncated
        totals[running] += np.asarray(reward)[running]
        lengths[running] += 1
        over = running & ended
        success[over] = step_value(infos, "success", ended)[over] > 0
        running &= ~ended
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


def record_episode(world: World, policy: Policy, seed: int, max_steps: int = 200) -> list[Step]:
    """The first ``max_steps`` steps of one episode of one world, each with its picture."""
    observation, _ = world.reset(seed=seed)
    names = world.actions(observation)
    steps = [Step(0, "", world.describe(observation), observation, 0.0, False, world.render())]
    over = False
    while not over and len(steps) <= max_steps:
        action = policy.act(stack([observation]))[0]
        observation, reward, terminated, truncated, info = world.step(action)
        over = bool(terminated or truncated)
        word = names[int(action)] if names else str(action)
        text = world.describe(observation)
        success = bool(info.get("success", False))
        steps.append(Step(len(steps), word, text, observation, float(reward), success, world.render()))
    return steps
