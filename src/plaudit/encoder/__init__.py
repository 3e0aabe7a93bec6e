"""Any Gymnasium observation space as the input of a small network, for agents and for reward models alike.

Each part of an observation is read in its own way, by its space:

* small integer arrays (grids, ``Discrete``): coded one-hot, one linear layer. (An embedding table summed over the cells is
  the same function; its backward pass took three times as long on a CPU.)
* ``spaces.Codes`` with many ids: a table of vectors, then a linear layer (``grids.py``)
* ``spaces.Text``: its words and word pairs, hashed into a table (``words.py``)
* pictures (uint8, height and width of 32 and more): a small convolutional network (``grids.py``)
* other boxes: numbers as they are, or by their running mean and deviation (``moments.py``)

The features are the rectified sum of what the parts give. A part named ``action_mask`` is
none of them, nor a text that is ``told_only``. Leaves out memory.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from plaudit.encoder.grids import Ids, Picture
from plaudit.encoder.moments import Moments
from plaudit.encoder.words import Words
from plaudit.errors import ConfigError
from plaudit.spaces import MASK, Codes, Text

MAX_CODE = 64
"""Integer arrays whose values stay below this count as codes, not as quantities."""
MAX_HOT = 8192
"""``Codes`` whose one-hot form is longer than this are read through a table of vectors."""
PICTURE = 32
"""Least height and width of a picture."""


class Encoder(nn.Module):
    """Observations ``dict[str, (n, ...)]`` or ``(n, ...)`` to features ``(n, width)``, of the weights' dtype.

    With ``normalize`` numbers are scaled by what :meth:`observe` has seen.
    """

    def __init__(self, space: gym.Space[Any], width: int, normalize: bool = False) -> None:
        super().__init__()
        parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
        read = {name: part for name, part in parts.items() if name != MASK and not getattr(part, "told_only", False)}
        kinds = {name: _kind(name, part) for name, part in read.items()}
        named = {
            kind: [name for name, k in kinds.items() if k == kind] for kind in ("floats", "text", "ids", "picture")
        }
        self.codes: dict[str, np.ndarray] = {}
        self.spans: dict[str, slice] = {}
        self.floats, self.ids, self.pictures = named["floats"], named["ids"], named["picture"]
        table = 0
        for name in (name for name, kind in kinds.items() if kind == "codes"):
            sizes = _code_highs(parts[name]).ravel().astype(np.int64) + 1
            self.codes[name] = table + np.concatenate([[0], np.cumsum(sizes)[:-1]])
            self.spans[name] = slice(table, table + int(sizes.sum()))
            table += int(sizes.sum())
        self.sizes = {name: int(np.prod(parts[name].shape or ())) for name in self.floats}
        numbers = sum(self.sizes.values())
        self.table = table
        self.linear = nn.Linear(table + numbers, width) if table + numbers else None
        if self.linear is not None:
            # As many inputs are 1 as there are codes: PyTorch's default scale, which counts all inputs, would drown them.
            active = sum(map(len, self.codes.values())) + numbers
            nn.init.normal_(self.linear.weight, std=active**-0.5)
            nn.init.zeros_(self.linear.bias)
        lengths = {name: int(np.prod(parts[name].shape or ())) for name in named["text"]}
        self.words = Words(lengths, width) if lengths else None
        self.tables = nn.ModuleList(Ids(*_ids(parts[name]), width) for name in self.ids)
        self.eyes = nn.ModuleList(Picture(parts[name].shape or (), width) for name in self.pictures)
        self.moments = Moments(numbers) if normalize and numbers else None
        summands = (self.linear is not None) + (self.words is not None) + len(self.ids) + len(self.pictures)
        if not summands:
            raise ConfigError(f"there is nothing to read in the observations {space}.")
        self.share = summands**-0.5

    def observe(self, obs: Any) -> None:
        """Count these numpy observations for the scale of numbers; does nothing without ``normalize``."""
        if self.moments is not None:
            self.moments.update(self._numbers(obs))

    def pack(self, obs: Any) -> dict[str, Tensor]:
        """Numpy observations as the tensors that :meth:`forward` takes, each ``(n, ...)``.

        ``codes`` uint8 one-hot, ``floats`` float32 (scaled, where they are), ``words`` int16 rows, and ids and pictures.
        """
        get = obs.__getitem__ if isinstance(obs, dict) else lambda _: obs
        packed = {}
        if self.codes:
            columns = [np.asarray(get(k)).reshape(len(get(k)), -1) + offset for k, offset in self.codes.items()]
            codes = np.concatenate(columns, axis=1)
            hot = np.zeros((len(codes), self.table), np.uint8)
            hot[np.arange(len(codes))[:, None], codes] = 1
            packed["codes"] = torch.from_numpy(hot)
        if self.floats:
            numbers = self._numbers(obs)
            packed["floats"] = numbers if self.moments is None else self.moments.scaled(numbers)
        if self.words is not None:
            packed["words"] = torch.cat([self.words.pack(name, get(name)) for name in self.words.slots], dim=1)
        for name in self.ids:
            packed[f"ids {name}"] = torch.from_numpy(np.array(get(name)))
        for name, eye in zip(self.pictures, self.eyes, strict=True):
            packed[f"picture {name}"] = eye.pack(get(name))  # type: ignore[operator]
        return packed

    def forward(self, packed: dict[str, Tensor]) -> Tensor:
        parts = []
        if self.linear is not None:
            inputs = [packed[k].to(self.linear.weight.dtype) for k in ("codes", "floats") if k in packed]
            parts.append(self.linear(torch.cat(inputs, dim=1)))
        if self.words is not None:
            parts.append(self.words(packed["words"]))
        parts += [table(packed[f"ids {name}"]) for name, table in zip(self.ids, self.tables, strict=True)]
        parts += [eye(packed[f"picture {name}"]) for name, eye in zip(self.pictures, self.eyes, strict=True)]
        return torch.relu(parts[0] if len(parts) == 1 else torch.stack(parts).sum(0) * self.share)

    def hot(self, packed: dict[str, Tensor], name: str) -> Tensor:
        """The one-hot codes of one part, ``(n, codes)`` uint8, out of what :meth:`pack` gave."""
        return packed["codes"][:, self.spans[name]]

    def _numbers(self, obs: Any) -> Tensor:
        get = obs.__getitem__ if isinstance(obs, dict) else lambda _: obs
        columns = [np.asarray(get(k), np.float32).reshape(len(get(k)), -1) for k in self.floats]
        return torch.from_numpy(np.concatenate(columns, axis=1))


def _kind(name: str, space: gym.Space[Any]) -> str:
    if isinstance(space, Text):
        return "text"
    if isinstance(space, Codes) and space.count * int(np.prod(space.shape)) > MAX_HOT:
        return "ids"
    if _code_highs(space) is not None:
        return "codes"
    if isinstance(space, Codes) or (isinstance(space, spaces.Discrete) and space.start == 0):
        return "ids"
    if isinstance(space, spaces.Box):
        shape = space.shape
        is_picture = space.dtype == np.uint8 and len(shape) == 3 and min(shape[:2]) >= PICTURE
        return "picture" if is_picture else "floats"
    raise ConfigError(f"no encoder for the observation part {name!r}: {space}. Wrap it into a Box or Dict.")


def _ids(space: gym.Space[Any]) -> tuple[int, tuple[int, ...]]:
    return (space.count, space.shape) if isinstance(space, Codes) else (int(space.n), ())  # type: ignore[attr-defined]


def _code_highs(space: gym.Space[Any]) -> Any:
    """Greatest value of each number of a space that is coded one-hot; None for another."""
    if isinstance(space, spaces.Discrete) and space.start == 0 and space.n <= MAX_CODE:
        return np.array([space.n - 1])
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.max() <= MAX_CODE:
        return np.asarray(space.nvec - 1)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.integer) and space.low.min() >= 0:
        return space.high if space.high.max() < MAX_CODE else None
    return None
