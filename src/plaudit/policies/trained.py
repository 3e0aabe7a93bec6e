"""Trained policy: an agent that ``plaudit train`` has made, loaded from its folder.

It chooses among listed actions as in training, by chance; of continuous ones it takes the mean (``rl/distributions.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plaudit.errors import StoreError
from plaudit.rl.agents import make_agent
from plaudit.rl.base import Agent
from plaudit.store import load_tree


class TrainedPolicy:
    """Acts for as many copies as it is asked, and remembers each one's episode where the agent has a memory."""

    def __init__(self, net: Agent, seed: int) -> None:
        self.net, self._generator = net, torch.Generator().manual_seed(seed)
        self._state: Tensor | None = None

    @classmethod
    def load(cls, folder: Path, observation_space: Any, action_space: Any, seed: int) -> TrainedPolicy:
        """The agent in this folder."""
        path = folder / "agent.safetensors"
        if not path.is_file():
            raise StoreError(f"there is no trained agent in {folder}. Train one: plaudit train RUN")
        saved = load_tree(path)
        try:
            net = make_agent(saved["agent"], observation_space, action_space)
            net.load_state_dict(saved["net"])
        except (KeyError, RuntimeError) as error:
            raise StoreError(f"the agent in {folder} does not fit this world: {error}") from None
        return cls(net, seed)

    def reset(self, begun: NDArray[np.bool_]) -> None:
        if self._state is not None:
            fits = len(self._state) == len(begun)
            self._state = self._state * torch.from_numpy(~begun)[:, None] if fits else None

    @torch.no_grad()
    def act(self, observations: Any) -> NDArray[Any]:
        actions, self._state = self.net.act(observations, self._state, self._generator)
        return actions
