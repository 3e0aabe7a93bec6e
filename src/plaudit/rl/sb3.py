"""Our vectorised worlds as Stable-Baselines3 wants them, and its replay buffer with the world's own reward beside.

Needs the extra ``sac``. Leaves out rendering and methods of single copies, which its trainers do not call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecEnv

from plaudit.rl.actor import Flat
from plaudit.rl.base import Episodes
from plaudit.vector import step_observations, step_value


class Copies(VecEnv):
    """``num_envs`` copies whose observations are rows of numbers."""

    def __init__(self, envs: VectorEnv, seed: int) -> None:
        self.envs, self.flat = envs, Flat(envs.single_observation_space)
        seen = spaces.Box(-np.inf, np.inf, (self.flat.size,), np.float32)
        super().__init__(envs.num_envs, seen, envs.single_action_space)
        self.episodes, self.ended = Episodes(envs.num_envs), list[dict[str, float]]()
        self.rows = self.flat.flatten(envs.reset(seed=seed)[0])

    def reset(self) -> NDArray[np.float32]:
        """Where the copies stand: they begin when this is made."""
        return self.rows

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        obs, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        over = terminated | truncated
        self.ended += self.episodes.add(rewards, over, infos)
        own = step_value(infos, "task_reward", over)
        told: list[dict[str, Any]] = [{"task_reward": float(r)} for r in own]
        if over.any():
            final = self.flat.flatten(step_observations(obs, infos, over))
            for i in np.flatnonzero(over):
                cut = bool(truncated[i] and not terminated[i])
                told[i] |= {"terminal_observation": final[i], "TimeLimit.truncated": cut}
        self.rows = self.flat.flatten(obs)
        return self.rows, np.asarray(rewards, np.float32), over, told

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.envs, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("the copies are one world")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **options: Any) -> list[Any]:
        raise NotImplementedError("the copies are one world")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class Replay(ReplayBuffer):
    """Transitions that also know the world's own reward."""

    KEPT = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts", "task_rewards")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.task_rewards = np.zeros((self.buffer_size, self.n_envs), np.float32)

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]) -> None:
        self.task_rewards[self.pos] = [info["task_reward"] for info in infos]
        super().add(obs, next_obs, action, reward, done, infos)

    @property
    def filled(self) -> int:
        """Rows that hold something, of ``n_envs`` transitions each."""
        return self.buffer_size if self.full else self.pos

    def get_state(self) -> dict[str, Any]:
        """What is stored."""
        stored = {name: getattr(self, name)[: self.filled] for name in self.KEPT}
        return stored | {"position": self.pos, "full": self.full}

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        self.pos, self.full = state["position"], state["full"]
        for name in self.KEPT:
            getattr(self, name)[: self.filled] = state[name]
