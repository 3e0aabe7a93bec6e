"""Control: novelty by random network distillation. What a network has not learnt to predict yet is new.

A predictor learns the output of a fixed network with random weights on what is met; its squared error is the reward,
divided by the running standard deviation of its own discounted sum, as the paper has it, so that its scale is about 1
whatever the world. What was met often is predicted well and rewards little: novelty over the whole training, where the
control ``count`` begins anew with each episode. Source: Burda et al. 2018, arXiv 1810.12894, sections 2.2 to 2.4. Leaves
out its two value heads: this reward is maximised alone, in episodes, by the same agent as every other.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plaudit.encoder import Encoder
from plaudit.encoder.moments import Moments
from plaudit.rewards.base import Depends, Transitions

EVERY = 4
"""Steps of all copies between two gradient steps of the predictor."""
BATCH = 256
"""Observations in one of them."""


class DistillationReward:
    """Control: the error of a network that learns to predict a random one."""

    of: Depends = "step"

    def __init__(self, space: gym.Space[Any], num_envs: int, gamma: float, width: int = 64, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.target, self.predictor = (
                nn.Sequential(Encoder(space, width, normalize=True), nn.Linear(width, width)) for _ in range(2)
            )
            self.predictor.append(nn.ReLU()).append(nn.Linear(width, width))
        self.target.requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.predictor.parameters(), lr=1e-3)
        self.gamma, self.scale = gamma, Moments(1)
        self._generator = torch.Generator().manual_seed(seed)
        self._running = torch.zeros(num_envs, dtype=torch.float64)
        self._seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        both = self._packed(transitions.observations)
        with torch.no_grad():
            errors = self._errors(*both).double()
        # The sum goes on over the ends of episodes: what is new does not end with one (section 2.3).
        self._running = self.gamma * self._running + errors
        self.scale.update(self._running[:, None])
        self._seen.append(both)
        if len(self._seen) >= EVERY:
            self._learn()
        return (errors / self.scale.deviation).float().numpy()

    def _packed(self, observations: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        found = []
        for net in (self.target, self.predictor):
            encoder: Any = net[0]
            encoder.observe(observations)
            found.append(encoder.pack(observations))
        return found[0], found[1]

    def _errors(self, for_target: dict[str, Tensor], for_predictor: dict[str, Tensor]) -> Tensor:
        return ((self.target(for_target) - self.predictor(for_predictor)) ** 2).mean(dim=1)

    @torch.enable_grad()
    def _learn(self) -> None:  # a trainer collects without gradients
        columns = [
            {k: torch.cat([part[k] for part in parts]) for k in parts[0]} for parts in zip(*self._seen, strict=True)
        ]
        self._seen.clear()
        count = len(next(iter(columns[0].values())))
        some = torch.randperm(count, generator=self._generator)[:BATCH]
        loss = self._errors(*({k: v[some] for k, v in part.items()} for part in columns)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def get_state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "target": dict(self.target.state_dict()),
            "predictor": dict(self.predictor.state_dict()),
            "optimizer": {str(k): v for k, v in self.optimizer.state_dict()["state"].items()},
            "scale": self.scale.get_state(),
            "generator": self._generator.get_state(),
            "running": self._running,
            "seen": [{"target": a, "predictor": b} for a, b in self._seen],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        tensors = _tensors(state)
        self.target.load_state_dict(tensors["target"])
        self.predictor.load_state_dict(tensors["predictor"])
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {int(k): v for k, v in tensors["optimizer"].items()}
        self.optimizer.load_state_dict(optimizer)
        self.scale.set_state(tensors["scale"])
        self._generator.set_state(tensors["generator"])
        self._running = tensors["running"]
        self._seen = [(each["target"], each["predictor"]) for each in tensors["seen"]]


def _tensors(tree: Any) -> Any:
    """A tree of arrays with tensors in their place."""
    if isinstance(tree, dict):
        return {k: _tensors(v) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_tensors(v) for v in tree]
    return torch.from_numpy(np.array(tree)) if isinstance(tree, np.ndarray | np.generic) else tree
