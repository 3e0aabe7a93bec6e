"""Reward models: an ensemble of small networks over a description's words or over the observation's own arrays.

Text is read as a bag of words and word pairs, hashed into a fixed table: no vocabulary to keep, unseen words do no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plaudit.encoder import Encoder
from plaudit.encoder.words import BUCKETS, word_rows
from plaudit.vector import stack


def hashed_words(text: str) -> list[int]:
    """Rows of the words and neighbouring word pairs of a text, each once; row 0 of an empty one."""
    return sorted(word_rows(text)) or [0]


class TextNet(nn.Module):
    """Descriptions to rewards ``(n,)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(BUCKETS, width, mode="mean")
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(width, 1))

    def forward(self, packed: dict[str, Tensor]) -> Tensor:
        return self.head(self.embed(packed["words"], packed["offsets"])).squeeze(-1)


class ObservationNet(nn.Module):
    """Encoded observations to rewards ``(n,)``."""

    def __init__(self, space: gym.Space[Any], width: int) -> None:
        super().__init__()
        self.encoder = Encoder(space, width)
        self.head = nn.Linear(width, 1)

    def forward(self, packed: dict[str, Tensor]) -> Tensor:
        return self.head(self.encoder(packed)).squeeze(-1)


class RewardModel:
    """Several networks of one kind, fitted to the same preferences from different first weights."""

    def __init__(self, kind: str, space: gym.Space[Any], width: int, members: int, seed: int) -> None:
        self.kind = kind
        self._make = lambda: TextNet(width) if kind == "text" else ObservationNet(space, width)
        self._members, self._seed = members, seed
        self.restart()

    def restart(self) -> None:
        """Every network back to its first weights."""
        self.nets: list[nn.Module] = []
        for member in range(self._members):
            with torch.random.fork_rng():
                torch.manual_seed(1000 * self._seed + member)
                self.nets.append(self._make())

    def pack(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Descriptions (kind ``text``) or observations as the networks take them."""
        if self.kind != "text":
            return self.nets[0].encoder.pack(stack(list(items)))  # type: ignore[union-attr, operator]
        bags = [hashed_words(text) for text in items]
        offsets = np.cumsum([0] + [len(b) for b in bags[:-1]])
        return {"words": torch.tensor([w for b in bags for w in b]), "offsets": torch.from_numpy(offsets)}

    @torch.no_grad()
    def members(self, items: Sequence[Any]) -> NDArray[np.float32]:
        """Reward by each network, ``(members, n)``."""
        packed = self.pack(items)
        # In double precision a reward, given as float32, does not depend on which others it is computed with.
        return np.stack([net.double()(packed).numpy() for net in self.nets]).astype(np.float32)

    def __call__(self, items: Sequence[Any]) -> NDArray[np.float32]:
        """Mean over the networks, ``(n,)``."""
        return self.members(items).mean(axis=0)

    def state(self) -> dict[str, Any]:
        """Weights, for :func:`plaudit.store.save_tree`."""
        return {str(i): dict(net.state_dict()) for i, net in enumerate(self.nets)}

    def load_state(self, state: dict[str, Any]) -> None:
        """What :meth:`state` gave."""
        for i, net in enumerate(self.nets):
            net.load_state_dict(state[str(i)])
