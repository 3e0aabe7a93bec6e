"""What the checks of a world look at: the world, and one random walk in it that they share."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from plaudit.envs.base import World
from plaudit.vector import observation_keys, stack

STEPS = 50
"""Steps of a walk."""
SEEDS = (0, 1)
"""Seeds of the walks."""


class Fault(Exception):
    """What is wrong, and what to do."""


class Skip(Exception):
    """Why a check cannot be asked."""


@dataclass(frozen=True)
class Check:
    """One question."""

    ask: Callable[[Subject], str]
    """Returns what it found; raises :class:`Fault` or :class:`Skip`. Any other error counts as a fault."""
    needs: tuple[str, ...] = ()
    """Checks that must not have failed."""


@dataclass(frozen=True)
class Walked:
    """One step of a walk; at the start of an episode ``action`` is None."""

    action: Any
    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return bool(self.terminated or self.truncated)


@dataclass
class Subject:
    """A world under test."""

    make: Callable[[], World]
    vector: Callable[[int], VectorEnv]
    context: int
    _worlds: list[World] = field(default_factory=list)

    def new(self) -> World:
        """A further copy, which is closed at the end."""
        self._worlds.append(self.make())
        return self._worlds[-1]

    @cached_property
    def world(self) -> World:
        """The copy that all may ask; it has been made by the first check."""
        return self.new()

    @cached_property
    def walk(self) -> list[Walked]:
        """A random walk of the first copy with the first seed."""
        return walk(self.world, SEEDS[0])

    @property
    def observations(self) -> list[Any]:
        """The distinct observations of two walks, in order; copies, for a world may change what it is given."""
        return copy.deepcopy(self._observations)

    @cached_property
    def _observations(self) -> list[Any]:
        walked = [*self.walk, *walk(self.new(), SEEDS[1])]
        found: dict[bytes, Any] = {}
        for step in walked:
            found.setdefault(key(step.observation), step.observation)
        return list(found.values())

    def close(self) -> None:
        """Close all copies."""
        while self._worlds:
            with contextlib.suppress(Exception):  # there is a check for it
                self._worlds.pop().close()


def walk(world: World, seed: int, steps: int = STEPS) -> list[Walked]:
    """Random actions, the same for the same seed; goes on with new episodes."""
    world.action_space.seed(seed)
    observation, info = world.reset(seed=seed)
    made = [Walked(None, copy.deepcopy(observation), 0.0, False, False, info)]
    for _ in range(steps):
        if made[-1].ended:
            observation, info = world.reset()
            made.append(Walked(None, copy.deepcopy(observation), 0.0, False, False, info))
        action = draw(world, made[-1].observation)
        observation, *rest = world.step(action)
        made.append(Walked(action, copy.deepcopy(observation), *rest))
    return made


def draw(world: World, observation: Any) -> Any:
    """A random action among those that can be taken."""
    mask = observation.get("action_mask") if isinstance(observation, dict) else None
    return world.action_space.sample(None if mask is None else np.asarray(mask, np.int8))


def key(observation: Any) -> bytes:
    """Equal for equal observations."""
    return observation_keys(stack([observation]))[0]


def same(a: Any, b: Any) -> bool:
    """Whether two observations are equal, and of the same parts."""
    if isinstance(a, dict) or isinstance(b, dict):
        return isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(np.array_equal(a, b))
