"""Any Gymnasium observation space as the input of a small network, for agents and for reward models alike.

Small integer arrays (grids, ids, ``Discrete``) are coded one-hot, float arrays are taken as they are, and one linear
layer reads both. (An embedding table summed over the cells is the same function; its backward pass took three times as
long on a CPU.) Leaves out pixels and memory.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from plaudit.errors import ConfigError

MAX_CODE = 64
"""Integer arrays whose values stay below this count as codes, not as quantities."""


class Encoder(nn.Module):
    """Observations ``dict[str, (n, ...)]`` or ``(n, ...)`` to features ``(n, width)``, of the weights' dtype."""

    def __init__(self, space: gym.Space[Any], width: int) -> None:
        super().__init__()
        parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
        self.codes: dict[str, np.ndarray] = {}
        self.floats: list[str] = []
        table = numbers = 0
        for name, part in parts.items():
            highs = _code_highs(part)
            if highs is not None:
                sizes = highs.ravel().astype(np.int64) + 1
                self.codes[name] = table + np.concatenate([[0], np.cumsum(sizes)[:-1]])
                table += int(sizes.sum())
            elif isinstance(part, spaces.Box):
                self.floats.append(name)
                numbers += int(np.prod(part.shape))
            else:
                raise ConfigError(f"no encoder for the observation part {name!r}: {part}. Wrap it into a Box or Dict.")
        self.table = table
        self.linear = nn.Linear(table + numbers, width)
        # As many inputs are 1 as there are codes: PyTorch's default scale, which counts all inputs, would drown them.
        active = sum(map(len, self.codes.values())) + numbers
        nn.init.normal_(self.linear.weight, std=active**-0.5)
        nn.init.zeros_(self.linear.bias)

    def pack(self, obs: Any) -> dict[str, Tensor]:
        """Numpy observations as the tensors that :meth:`forward` takes: ``codes`` uint8 one-hot, ``floats`` float32."""
        get = obs.__getitem__ if isinstance(obs, dict) else lambda _: obs
        packed = {}
        if self.codes:
            columns = [np.asarray(get(k)).reshape(len(get(k)), -1) + offset for k, offset in self.codes.items()]
            codes = np.concatenate(columns, axis=1)
            hot = np.zeros((len(codes), self.table), np.uint8)
            hot[np.arange(len(codes))[:, None], codes] = 1
            packed["codes"] = torch.from_numpy(hot)
        if self.floats:
            columns = [np.asarray(get(k), np.float32).reshape(len(get(k)), -1) for k in self.floats]
            packed["floats"] = torch.from_numpy(np.concatenate(columns, axis=1))
        return packed

    def forward(self, packed: dict[str, Tensor]) -> Tensor:
        inputs = torch.cat([part.to(self.linear.weight.dtype) for part in packed.values()], dim=1)
        return torch.relu(self.linear(inputs))


def _code_highs(space: gym.Space[Any]) -> np.ndarray | None:
    if isinstance(space, spaces.Discrete) and space.start == 0 and space.n <= MAX_CODE:
        return np.array([space.n - 1])
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.max() <= MAX_CODE:
        return np.asarray(space.nvec - 1)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.integer) and space.low.min() >= 0:
        return space.high if space.high.max() < MAX_CODE else None
    return None
