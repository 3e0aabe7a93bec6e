"""Ids on a grid through a table of vectors, and pictures through a small convolutional network.

Sized for a processor: a 9 x 9 crop of ids costs one matrix product, a picture two convolutions with large strides (Mnih
et al. 2013, arXiv 1312.5602). Leaves out stacking of frames: see ``train.memory``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

VECTOR = 16
"""Numbers that stand for one id."""
CELLS = 256
"""A grid of ids with more cells than this is shrunk by convolutions first."""
SIDE = 84
"""Pictures of twice this side and more are shrunk to whole-numbered fractions of it before they are read."""


class Ids(nn.Module):
    """Ids below ``count``, ``(n, *shape)``, to features ``(n, width)``.

    Each place has weights of its own, as befits a crop that is centred on the agent.
    """

    def __init__(self, count: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(count, VECTOR)
        self.shrink: nn.Module = nn.Identity()
        if len(shape) == 2 and np.prod(shape) > CELLS and min(shape) >= 7:
            self.shrink = nn.Sequential(
                nn.Conv2d(VECTOR, VECTOR, 3, stride=2), nn.ReLU(), nn.Conv2d(VECTOR, VECTOR, 3, stride=2), nn.ReLU()
            )
        with torch.no_grad():
            inputs = self._shrunk(torch.zeros(1, *shape, dtype=torch.int64)).shape[1]
        self.linear = scaled_linear(inputs, width)

    def _shrunk(self, ids: Tensor) -> Tensor:
        vectors = self.table(ids.long())
        if isinstance(self.shrink, nn.Sequential):
            vectors = self.shrink(vectors.permute(0, 3, 1, 2))
        return vectors.flatten(1)

    def forward(self, ids: Tensor) -> Tensor:
        return self.linear(self._shrunk(ids))


class Picture(nn.Module):
    """Pictures ``(n, height, width, channels)`` uint8 to features ``(n, width)``."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.factor = max(1, min(shape[:2]) // SIDE)
        self.look = nn.Sequential(
            nn.Conv2d(shape[2], 16, 8, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2), nn.ReLU(), nn.Flatten()
        )
        small = torch.zeros(1, shape[2], shape[0] // self.factor, shape[1] // self.factor)
        with torch.no_grad():
            self.linear = scaled_linear(self.look(small).shape[1], width)

    def pack(self, raw: NDArray[np.uint8]) -> Tensor:
        """The same pictures with means over squares of ``factor`` pixels in place of pixels, uint8."""
        n, height, width, channels = raw.shape
        f = self.factor
        if f > 1:
            cut = raw[:, : height // f * f, : width // f * f]
            squares = cut.reshape(n, height // f, f, width // f, f, channels)
            raw = squares.mean(axis=(2, 4), dtype=np.float32).astype(np.uint8)
        return torch.from_numpy(np.ascontiguousarray(raw))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.linear(self.look(pixels.permute(0, 3, 1, 2).to(self.linear.weight.dtype) / 255))


def scaled_linear(inputs: int, width: int) -> nn.Linear:
    """A linear layer whose outputs have a deviation of about 1 where its inputs have."""
    linear = nn.Linear(inputs, width)
    nn.init.normal_(linear.weight, std=inputs**-0.5)
    nn.init.zeros_(linear.bias)
    return linear
