"""The agent's network: logits and value from one encoded observation."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor, nn

from plaudit.encoder import Encoder
from plaudit.errors import ConfigError


class ActorCritic(nn.Module):
    """Logits ``(n, actions)`` and value ``(n,)`` of observations that :meth:`Encoder.pack` has packed."""

    def __init__(self, obs_space: gym.Space[Any], action_space: gym.Space[Any], width: int) -> None:
        super().__init__()
        if not isinstance(action_space, spaces.Discrete):
            raise ConfigError(f"ppo needs a Discrete action space, got {action_space}.")
        self.encoder = Encoder(obs_space, width)
        first = nn.Linear(width, width)
        self.trunk = nn.Sequential(first, nn.ReLU())
        self.policy, self.value = nn.Linear(width, int(action_space.n)), nn.Linear(width, 1)
        # Near-uniform first policy, value near 0 (Andrychowicz et al. 2021, arXiv 2006.05990, section 3.2).
        for layer, gain in ((first, 2**0.5), (self.policy, 0.01), (self.value, 1.0)):
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)

    def forward(self, packed: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(self.encoder(packed))
        return self.policy(hidden), self.value(hidden).squeeze(-1)
