"""Trained policy: an agent that ``plaudit train`` has made, loaded from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plaudit.errors import StoreError
from plaudit.rl.networks import ActorCritic
from plaudit.store import load_tree


class TrainedPolicy:
    """Samples actions as the agent did in training."""

    def __init__(self, net: ActorCritic, seed: int) -> None:
        self.net, self._generator = net, torch.Generator().manual_seed(seed)

    @classmethod
    def load(cls, folder: Path, observation_space: Any, action_space: Any, width: int, seed: int) -> TrainedPolicy:
        """The agent in this folder."""
        path = folder / "agent.safetensors"
        if not path.is_file():
            raise StoreError(f"there is no trained agent in {folder}. Train one: plaudit train RUN")
        weights = load_tree(path)["net"]
        net = ActorCritic(observation_space, action_space, width)
        try:
            net.load_state_dict(weights)
        except RuntimeError as error:
            raise StoreError(f"the agent in {folder} does not fit this world or width: {error}") from None
        return cls(net, seed)

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Remembers nothing."""

    @torch.no_grad()
    def act(self, observations: Any) -> NDArray[np.int64]:
        logits, _ = self.net(self.net.encoder.pack(observations))
        return torch.multinomial(logits.softmax(-1), 1, generator=self._generator).squeeze(1).numpy()
