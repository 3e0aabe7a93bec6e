"""The actor of SAC, without the library that trains it, and observations of numbers as rows of floats.

Leaves out text, ids, pictures and memory: for those there is PPO.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from plaudit.errors import ConfigError
from plaudit.spaces import MASK, Codes, Text

MOST = 1024
"""Numbers of one observation; more are a picture or a map, and every one would be stored twice for each step."""


class Flat:
    """Batches of an observation space of boxes as ``(n, size)`` float32, and back."""

    def __init__(self, space: gym.Space[Any]) -> None:
        parts: dict[str, Any] = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
        for name, part in parts.items():
            if not isinstance(part, spaces.Box) or isinstance(part, Text | Codes) or name == MASK:
                raise ConfigError(f"sac reads numbers only, not the observation part {name!r}: {part}. Use ppo.")
        self.parts = parts
        self.named = isinstance(space, spaces.Dict)
        self.ends = np.cumsum([int(np.prod(part.shape)) for part in self.parts.values()])
        self.size = int(self.ends[-1])
        if self.size > MOST:
            raise ConfigError(f"sac reads at most {MOST} numbers, and an observation has {self.size}. Use ppo.")

    def flatten(self, obs: Any) -> NDArray[np.float32]:
        """Batched observations as rows."""
        columns = [np.asarray(obs[k] if self.named else obs, np.float32) for k in self.parts]
        return np.concatenate([c.reshape(len(c), -1) for c in columns], axis=1)

    def unflatten(self, rows: NDArray[np.float32]) -> Any:
        """What :meth:`flatten` was given, exact to float32."""
        columns = zip(self.parts.items(), np.split(rows, self.ends[:-1], axis=1), strict=True)
        found = {name: c.reshape(-1, *part.shape).astype(part.dtype) for (name, part), c in columns}
        return found if self.named else found[""]


class Actor(nn.Module):
    """Observations to a Gaussian before tanh; names of the weights as in Stable-Baselines3."""

    def __init__(self, obs_space: gym.Space[Any], action_space: gym.Space[Any], width: int) -> None:
        super().__init__()
        if not isinstance(action_space, spaces.Box) or not action_space.is_bounded():
            raise ConfigError(f"sac needs a bounded Box of actions, got {action_space}. Use ppo, or other actions.")
        self.flat, self.action_space = Flat(obs_space), action_space
        size = int(np.prod(action_space.shape))
        self.latent_pi = nn.Sequential(nn.Linear(self.flat.size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.mu, self.log_std = nn.Linear(width, size), nn.Linear(width, size)

    @torch.no_grad()
    def act(self, observations: Any, state: Tensor | None, generator: torch.Generator) -> tuple[NDArray[Any], None]:
        """The mean action ``(n, ...)``; the noise served to explore."""
        means = self.mu(self.latent_pi(torch.from_numpy(self.flat.flatten(observations)))).tanh().numpy()
        return unscaled(self.action_space, means), None


def unscaled(space: spaces.Box, actions: NDArray[Any]) -> NDArray[Any]:
    """Actions in [-1, 1], ``(n, size)``, in the box ``(n, ...)``; what lies beyond is cut off."""
    inside = (actions.clip(-1, 1).reshape(-1, *space.shape) + 1) / 2
    return (space.low + inside * (space.high - space.low)).astype(space.dtype)
