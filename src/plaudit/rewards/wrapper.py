"""The one place where a world's reward is replaced: what the agent gets is ours, the true reward rides in ``info``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from plaudit.errors import PlauditError
from plaudit.rewards.base import RewardFn, Transitions, observation_keys, rows
from plaudit.rewards.shaping import EpisodicCounts, Shaping


class RewardWrapper(VectorWrapper):
    """A vectorised world that hands out ``shaping(reward_fn(transitions))``.

    ``event`` names what happened in an observation, for the episodic counts. ``info["task_reward"]`` is the world's own.
    """

    def __init__(self, env: VectorEnv, reward_fn: RewardFn, shaping: Shaping, event: Callable[[Any], str]) -> None:
        super().__init__(env)
        self.reward_fn, self.event = reward_fn, event
        self.shaping = shaping if reward_fn.shaped else None
        self._counts = EpisodicCounts(env.num_envs)
        self._events: dict[bytes, str] = {}
        self._potential = np.zeros(env.num_envs)

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        observations, info = self.env.reset(**arguments)
        self._counts.reset(np.ones(self.num_envs, bool))
        if self.shaping is not None and self.shaping.potential:
            self._potential = self._values(observations, np.zeros(self.num_envs))
        return observations, info

    def step(self, actions: Any) -> tuple[Any, NDArray, NDArray, NDArray, dict[str, Any]]:
        observations, task_reward, terminated, truncated, info = self.env.step(actions)
        ended = terminated | truncated
        led_to = info.get("final_obs", observations) if ended.any() else observations
        task_reward = np.asarray(task_reward, np.float64)
        reward = self._reward(led_to, task_reward, terminated)
        if not np.isfinite(reward).all():
            raise PlauditError(f"{type(self.reward_fn).__name__} gave a reward that is not finite. Fit it anew.")
        self._counts.reset(ended)
        if self.shaping is not None and self.shaping.potential and ended.any():
            self._potential = np.where(ended, self._values(observations, task_reward), self._potential)
        return observations, reward, terminated, truncated, info | {"task_reward": task_reward}

    def _values(self, observations: Any, task_reward: NDArray) -> NDArray[np.float64]:
        assert self.shaping is not None
        return self.shaping.value(self.reward_fn(Transitions(observations, task_reward)))

    def _reward(self, led_to: Any, task_reward: NDArray, terminated: NDArray[np.bool_]) -> NDArray[np.float64]:
        shaping = self.shaping
        if shaping is None:
            return self.reward_fn(Transitions(led_to, task_reward)).astype(np.float64)
        value = self._values(led_to, task_reward)
        if shaping.potential:
            value = np.where(terminated, 0.0, value)
            value, self._potential = shaping.gamma * value - self._potential, value
        elif shaping.count_power:
            value = value / self._counts.add(self._named_events(led_to)) ** shaping.count_power
        return shaping.task_weight * task_reward + shaping.llm_weight * value

    def _named_events(self, observations: Any) -> list[str]:
        keys = observation_keys(observations)
        missing = {key: i for i, key in enumerate(keys) if key not in self._events}
        if len(self._events) > 1_000_000:
            self._events.clear()
            missing = {key: i for i, key in enumerate(keys)}
        for key, observation in zip(missing, rows(observations, list(missing.values())), strict=True):
            self._events[key] = self.event(observation)
        return [self._events[key] for key in keys]

    def get_state(self) -> dict[str, Any]:
        """For a checkpoint: counts, potentials, and the world's own state where it has one."""
        state = {"counts": self._counts.get_state(), "potential": self._potential}
        return state | ({"world": self.env.get_state()} if hasattr(self.env, "get_state") else {})

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        self._counts.set_state(state["counts"])
        self._potential = np.array(state["potential"])
        if "world" in state:
            self.env.set_state(state["world"])
