"""Observations of any fixed size as one flat dictionary of boxes, or one box: what networks and stored runs hold.

Used by :mod:`plaudit.envs.wrapped`. Each change can be undone (a text that is longer than its room loses its end).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from plaudit.errors import ConfigError
from plaudit.spaces import Codes, Text, to_bytes, to_text

SMALL = 64
"""A ``Discrete`` space of more values than this is one of codes."""
LISTED = 64
"""Numbers of an array that become features, at most."""


@dataclass(frozen=True)
class Part:
    """A leaf of an observation space."""

    path: tuple[str | int, ...]
    """Where it is in the environment's own observation."""
    space: gym.Space[Any]
    """The space that holds it here."""
    to: Callable[[Any], Any]
    """Own form to the form here."""
    back: Callable[[Any], Any]
    """The form here to the own form."""

    @property
    def name(self) -> str:
        """The path in one word."""
        return "/".join(map(str, self.path))


@dataclass(frozen=True)
class Parts:
    """An observation space taken apart."""

    own: gym.Space[Any]
    """The environment's own space."""
    leaves: tuple[Part, ...]
    """Its leaves, in order."""

    @property
    def single(self) -> bool:
        """Whether the space has no parts at all."""
        return len(self.leaves) == 1 and not self.leaves[0].path

    def original(self, obs: Any) -> Any:
        """An observation in its own form."""
        back = {leaf.path: leaf.back(obs if self.single else obs[leaf.name]) for leaf in self.leaves}
        return _build(self.own, (), back)


def take_apart(space: gym.Space[Any], text_bytes: int) -> Parts:
    """The leaves of a space; a kind that has no fixed size is refused."""
    return Parts(space, tuple(_leaves(space, (), text_bytes)))


def join(parts: Parts) -> gym.Space[Any]:
    """The space of flattened observations."""
    return parts.leaves[0].space if parts.single else spaces.Dict({leaf.name: leaf.space for leaf in parts.leaves})


def flatten(parts: Parts, obs: Any) -> Any:
    """An observation as :func:`join`'s space holds it."""
    if parts.single:
        return parts.leaves[0].to(obs)
    found = {}
    for leaf in parts.leaves:
        value = obs
        for key in leaf.path:
            value = value[key]
        found[leaf.name] = leaf.to(value)
    return found


def features(parts: Parts, obs: Any) -> dict[str, bool | int | float | str]:
    """The numbers and texts of a flattened observation by name; arrays of more than 64 numbers are left out."""
    found: dict[str, bool | int | float | str] = {}
    for leaf in parts.leaves:
        name = leaf.name.replace("/", "_") or "observation"
        value = leaf.back(obs if parts.single else obs[leaf.name])
        if isinstance(value, str | int | float):
            found[name] = value
            continue
        numbers = np.asarray(value).ravel().tolist()
        if np.ndim(value) == 0:
            found[name] = numbers[0]
        elif len(numbers) <= LISTED:
            found |= {f"{name}_{i}": number for i, number in enumerate(numbers)}
    return found


def _leaves(space: gym.Space[Any], path: tuple[str | int, ...], text_bytes: int) -> list[Part]:
    if isinstance(space, spaces.Dict):
        return [leaf for key, part in space.spaces.items() for leaf in _leaves(part, (*path, key), text_bytes)]
    if isinstance(space, spaces.Tuple):
        return [leaf for i, part in enumerate(space.spaces) for leaf in _leaves(part, (*path, i), text_bytes)]
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        if start == 0 and space.n <= SMALL:
            return [Part(path, space, np.int64, int)]
        codes = Codes(int(space.n), ())
        dtype: Any = codes.dtype
        return [
            Part(path, codes, lambda value: np.asarray(int(value) - start, dtype), lambda value: int(value) + start)
        ]
    if isinstance(space, spaces.MultiBinary):
        binary = spaces.Box(0, 1, space.shape, np.int8)
        return [Part(path, binary, lambda value: np.asarray(value, np.int8), np.asarray)]
    if isinstance(space, spaces.Box | spaces.MultiDiscrete):
        kind: Any = space.dtype
        return [Part(path, space, lambda value: np.asarray(value, kind), np.asarray)]
    if isinstance(space, spaces.Text) or type(space.sample()) is str:
        most = 4 * space.max_length if isinstance(space, spaces.Text) else text_bytes  # a character has up to 4 bytes
        length = min(most, text_bytes)
        return [Part(path, Text(length), lambda value: to_bytes(value, length), to_text)]
    where = f"the part {'/'.join(map(str, path))!r} of the observation" if path else "the observation"
    raise ConfigError(f"{where} has no fixed size: {space}. Turn it into a Box in make(), by a gymnasium wrapper.")


def _build(space: gym.Space[Any], path: tuple[str | int, ...], leaves: dict[tuple[str | int, ...], Any]) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _build(part, (*path, key), leaves) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_build(part, (*path, i), leaves) for i, part in enumerate(space.spaces))
    return leaves[path]
