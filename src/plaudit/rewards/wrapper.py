"""The one place where a world's reward is replaced: what the agent gets is ours, the true reward rides in ``info``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from plaudit.errors import PlauditError
from plaudit.rewards.base import RewardFn, Transitions
from plaudit.rewards.shaping import EpisodicCounts, Shaping
from plaudit.vector import observation_keys, rows, step_observations, take

MEMO = 1_000_000
"""Distinct observations that are remembered; when there are more, the table starts anew."""


class RewardWrapper(VectorWrapper):
    """A vectorised world that hands out ``shaping(reward_fn(transitions))``.

    ``event`` names what happened in an observation, for the episodic counts. ``info["task_reward"]`` is the world's own.
    """

    def __init__(self, env: VectorEnv, reward_fn: RewardFn, shaping: Shaping, event: Callable[[Any], str]) -> None:
        super().__init__(env)
        self.reward_fn, self.shaping, self.event = reward_fn, shaping, event
        self._counts = EpisodicCounts(env.num_envs)
        self._potential = np.zeros(env.num_envs)
        self._previous: Any = None
        # Rows of the two arrays by observation (or transition): shaped value, and column of its event in the counts.
        self._memo: dict[bytes, int] = {}
        self._values, self._events = np.zeros(1024), np.zeros(1024, np.int64)

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        observations, info = self.env.reset(**arguments)
        self._counts.reset(np.ones(self.num_envs, bool))
        self._previous = observations
        if self._uses_potential:
            self._potential = self._values[self._look_up(self._transitions(observations))]
        return observations, info

    def step(self, actions: Any) -> Any:
        observations, task_reward, terminated, truncated, info = self.env.step(actions)
        ended = terminated | truncated
        led_to = step_observations(observations, info, ended)
        transitions = Transitions(led_to, np.asarray(task_reward, np.float64), self._previous)
        reward = self._shaped(transitions, terminated) if self.reward_fn.of != "step" else self._ask(transitions)
        self._counts.reset(ended)
        self._previous = observations
        if self._uses_potential and ended.any():
            starts = self._values[self._look_up(self._transitions(observations))]
            self._potential = np.where(ended, starts, self._potential)
        return observations, reward, terminated, truncated, info | {"task_reward": transitions.task_reward}

    @property
    def _uses_potential(self) -> bool:
        # A reward of a transition is no potential: it is maximised as it is.
        return self.shaping.compares and self.reward_fn.of == "observation"

    def _transitions(self, observations: Any) -> Transitions:
        return Transitions(observations, np.zeros(self.num_envs))

    def _shaped(self, transitions: Transitions, terminated: NDArray[np.bool_]) -> NDArray[np.float64]:
        shaping, found = self.shaping, self._look_up(transitions)
        value = self._values[found]
        if self._uses_potential:
            value, self._potential = shaping.change(self._potential, value, terminated), value
        elif shaping.count_power:
            value = value / self._counts.add(self._events[found]) ** shaping.count_power
        return shaping.task_weight * transitions.task_reward + shaping.llm_weight * value

    def _look_up(self, transitions: Transitions) -> NDArray[np.int64]:
        """Rows of these transitions in the memo, ``(n,)``; new ones are put to the reward function first."""
        keys = observation_keys(transitions.observations)
        if self.reward_fn.of == "transition":
            keys = [before + after for before, after in zip(observation_keys(transitions.previous), keys, strict=True)]
        found = [self._memo.get(key, -1) for key in keys]
        if -1 in found:
            if len(self._memo) > MEMO:
                self._memo.clear()
            self._remember({key: i for i, key in enumerate(keys) if key not in self._memo}, transitions)
            found = [self._memo[key] for key in keys]
        return np.array(found)

    def _remember(self, new: dict[bytes, int], transitions: Transitions) -> None:
        chosen = list(new.values())
        fresh = take(transitions.observations, chosen)
        before = take(transitions.previous, chosen) if self.reward_fn.of == "transition" else None
        start, end = len(self._memo), len(self._memo) + len(new)
        while end > len(self._values):
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
            self._events = np.concatenate([self._events, np.zeros_like(self._events)])
        # The world's own reward is withheld here: a route's reward may depend on the observation alone.
        rewards = self._ask(Transitions(fresh, np.zeros(len(new)), before))
        self._values[start:end] = self.shaping.value(rewards)
        self._events[start:end] = [self._counts.id(self.event(one)) for one in rows(fresh)]
        self._memo.update(zip(new, range(start, end), strict=True))

    def _ask(self, transitions: Transitions) -> NDArray[np.float64]:
        rewards = np.asarray(self.reward_fn(transitions), np.float64)
        if not np.isfinite(rewards).all():
            raise PlauditError(f"{type(self.reward_fn).__name__} gave a reward that is not finite. Fit it anew.")
        return rewards

    def get_state(self) -> dict[str, Any]:
        """For a checkpoint: counts, potentials and the world's own state; empty where a world cannot give its own."""
        if not hasattr(self.env, "get_state"):
            return {}
        state = {"counts": self._counts.get_state(), "potential": self._potential, "world": self.env.get_state()}
        if learns := getattr(self.reward_fn, "get_state", None):  # a reward that changes with what it meets
            state["reward"] = learns()
        return state | ({"previous": self._previous} if self.reward_fn.of == "transition" else {})

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        self._memo.clear()  # its rows point at the counts' columns, which change here
        self._counts.set_state(state["counts"])
        self._potential = np.array(state["potential"])
        self._previous = state.get("previous")
        if "reward" in state:
            self.reward_fn.set_state(state["reward"])  # type: ignore[attr-defined]
        self.env.set_state(state["world"])  # type: ignore[attr-defined]
