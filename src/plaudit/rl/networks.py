"""The agent's network: a distribution over actions and a value, from encoded observations and a memory of them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from plaudit.encoder import Encoder
from plaudit.errors import ConfigError
from plaudit.rl.distributions import Choice, Distribution, Gaussian
from plaudit.rl.pointer import Pointer
from plaudit.rl.recurrent import Memory
from plaudit.spaces import MASK, Rows


class ActorCritic(nn.Module):
    """Actor and critic on one trunk.

    ``memory``: units of a GRU between encoder and trunk, 0 for none. ``normalize``: numbers by their running scale.
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        width: int,
        memory: int = 0,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.action_space, outputs = action_space, _outputs(action_space)
        self.masked = isinstance(obs_space, spaces.Dict) and MASK in obs_space.spaces
        if self.masked and (obs_space[MASK].shape != (outputs,) or isinstance(action_space, spaces.Box)):  # type: ignore[index]
            raise ConfigError(f"the observation's {MASK!r} must have one number for each action of a Discrete space.")
        self.encoder = Encoder(obs_space, width, normalize)
        self.memory = Memory(width, memory) if memory else None
        first = nn.Linear(width + memory, width)
        self.trunk = nn.Sequential(first, nn.ReLU())
        self.pointed = self._pointed(obs_space)
        self.pointer = Pointer(obs_space[self.pointed], width) if self.pointed else None  # type: ignore[index]
        self.policy, self.value = nn.Linear(width, outputs), nn.Linear(width, 1)
        # Near-uniform first policy, value near 0 (Andrychowicz et al. 2021, arXiv 2006.05990, section 3.2).
        for layer, gain in ((first, 2**0.5), (self.policy, 0.01), (self.value, 1.0)):
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)
        if isinstance(action_space, spaces.Box):
            self.log_std = nn.Parameter(torch.zeros(outputs))

    def pack(self, obs: Any) -> dict[str, Tensor]:
        """Numpy observations as the tensors that :meth:`forward` takes; the ``mask`` as bool ``(n, actions)``."""
        packed = self.encoder.pack(obs)
        return packed | {"mask": torch.from_numpy(np.asarray(obs[MASK], bool))} if self.masked else packed

    def forward(
        self, packed: dict[str, Tensor], state: Tensor | None = None, begun: Tensor | None = None
    ) -> tuple[Distribution, Tensor, Tensor | None]:
        """Actions, values ``(n,)`` and the memory after each row, for one step or a stretch: see :class:`Memory`."""
        features = self.encoder(packed)
        if self.memory is not None:
            state = self.memory(features, state, begun)
            features = torch.cat([features, state], dim=1)
        hidden = self.trunk(features)
        outputs, values = self.policy(hidden), self.value(hidden).squeeze(-1)
        if self.pointer is not None:
            outputs = outputs + self.pointer(self.encoder.hot(packed, self.pointed), hidden)
        if isinstance(self.action_space, spaces.Box):
            return Gaussian(outputs, self.log_std), values, state
        return Choice(outputs, packed.get("mask")), values, state

    def _pointed(self, space: gym.Space[Any]) -> str:
        """Name of the observation part whose rows actions point at; empty where there is none."""
        parts = space.spaces if isinstance(space, spaces.Dict) else {}
        return next((k for k, part in parts.items() if isinstance(part, Rows) and part.pointers[:, 0].max() >= 0), "")

    def executed(self, actions: Tensor) -> NDArray[Any]:
        """Actions of a distribution as the world takes them, ``(n, ...)``."""
        space = self.action_space
        if not isinstance(space, spaces.Box):
            return actions.numpy() + int(space.start)  # type: ignore[attr-defined]
        inside = (actions.numpy().clip(-1, 1).reshape(-1, *space.shape) + 1) / 2
        return (space.low + inside * (space.high - space.low)).astype(space.dtype)

    @torch.no_grad()
    def act(
        self, observations: Any, state: Tensor | None, generator: torch.Generator
    ) -> tuple[NDArray[Any], Tensor | None]:
        """Actions as a trained agent takes them, ``(n, ...)``, and its memory after them."""
        actions, _, state = self(self.pack(observations), state)
        return self.executed(actions.play(generator)), state


def _outputs(space: gym.Space[Any]) -> int:
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        if space.is_bounded():
            return int(np.prod(space.shape))
        raise ConfigError(
            f"ppo needs bounds of the actions, got {space}. Give it bounds: gymnasium.wrappers.TransformAction"
        )
    raise ConfigError(f"ppo needs a Discrete action space or a bounded Box of floats, got {space}.")
