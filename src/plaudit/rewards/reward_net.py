"""Reward models: an ensemble of small networks over a description's words or over the observation's own arrays.

Text is read as a bag of words and word pairs, hashed into a fixed table: no vocabulary to keep, unseen words do no harm.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plaudit.encoder import Encoder
from plaudit.encoder.words import BUCKETS, word_rows
from plaudit.vector import stack

PART = 16_384
"""Items that are computed at once where all are wanted."""


@dataclass(frozen=True)
class Packed:
    """Items as the networks take them."""

    tensors: dict[str, Tensor]
    """``words`` and ``offsets`` of texts, or the parts of observations, each ``(n, ...)``."""
    count: int
    """How many items."""

    def __len__(self) -> int:
        return self.count

    def rows(self, numbers: NDArray[np.int64]) -> Packed:
        """Some of them."""
        if "offsets" not in self.tensors:
            return Packed({name: part[numbers] for name, part in self.tensors.items()}, len(numbers))
        words, starts = self.tensors["words"], self.tensors["offsets"].numpy()
        lengths = np.append(starts, len(words))[numbers + 1] - starts[numbers]
        offsets = np.cumsum(lengths) - lengths
        where = np.repeat(starts[numbers] - offsets, lengths) + np.arange(lengths.sum())
        return Packed({"words": words[where], "offsets": torch.from_numpy(offsets)}, len(numbers))


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

    def pack(self, items: Sequence[Any] | Packed) -> Packed:
        """Descriptions (kind ``text``) or observations as the networks take them."""
        if isinstance(items, Packed):
            return items
        if self.kind != "text":
            return Packed(self.nets[0].encoder.pack(stack(list(items))), len(items))  # type: ignore[union-attr, operator]
        words, ends = array("i"), array("i", [0])
        for text in items:
            words.extend(hashed_words(text))
            ends.append(len(words))
        tensors = {"words": torch.from_numpy(np.array(words)), "offsets": torch.from_numpy(np.array(ends[:-1]))}
        return Packed(tensors, len(items))

    @torch.no_grad()
    def members(self, items: Sequence[Any] | Packed) -> NDArray[np.float32]:
        """Reward by each network, ``(members, n)``."""
        found = [np.zeros((len(self.nets), 0), np.float32)]
        for start in range(0, len(items), PART):
            part = range(start, min(start + PART, len(items)))
            packed = items.rows(np.array(part)) if isinstance(items, Packed) else self.pack(items[start : part.stop])
            # In double precision a reward, given as float32, does not depend on which others it is computed with.
            found.append(np.stack([net.double()(packed.tensors).numpy() for net in self.nets]).astype(np.float32))
        return np.concatenate(found, axis=1)

    def __call__(self, items: Sequence[Any] | Packed) -> NDArray[np.float32]:
        """Mean over the networks, ``(n,)``."""
        return self.members(items).mean(axis=0)

    def state(self) -> dict[str, Any]:
        """Weights, for :func:`plaudit.store.save_tree`."""
        return {str(i): dict(net.state_dict()) for i, net in enumerate(self.nets)}

    def load_state(self, state: dict[str, Any]) -> None:
        """What :meth:`state` gave."""
        for i, net in enumerate(self.nets):
            net.load_state_dict(state[str(i)])
