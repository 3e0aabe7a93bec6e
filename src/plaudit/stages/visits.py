"""What an agent meets, counted: distinct observations, descriptions, events and places, and how evenly they are met.

``Visits(envs, world)`` is a vectorised world that behaves as the one it holds. A world says what its places are
(:meth:`plaudit.envs.base.World.places`). For measuring only: no reward reads it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from numpy.typing import NDArray

from plaudit.analysis.coverage import entropy
from plaudit.envs.base import World
from plaudit.vector import observation_keys, rows, step_observations, take

OWN = ("observation", "description", "event")
"""Kinds of things that every world has."""
SIZE = 16
"""Bytes by which a thing is known again."""


class Tally:
    """Numbers for all that was met, by kind, and how often each was."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.counts: dict[str, NDArray[np.int64]] = {}
        """How often each thing of a kind was met, by its number."""
        self._keys: dict[bytes, int] = {}
        self._names: dict[str, dict[bytes, int]] = {}
        self._things: dict[str, list[int]] = {}

    def add(self, observations: Any) -> NDArray[np.int64]:
        """Count a batch; returns the number of each observation, for :meth:`of`."""
        keys = [_digest(key) for key in observation_keys(observations)]
        if new := {key: i for i, key in enumerate(keys) if key not in self._keys}:
            for one in rows(take(observations, list(new.values()))):
                self._name(one)
            self._keys.update(zip(new, range(len(self._keys), len(self._keys) + len(new)), strict=True))
        found = np.array([self._keys[key] for key in keys])
        for kind, things in self.of(found).items():
            size = len(self._names[kind]) if kind != OWN[0] else len(self._keys)
            counts = self.counts.get(kind, np.zeros(0, np.int64))
            if size > len(counts):
                counts = np.concatenate([counts, np.zeros(2 * size - len(counts), np.int64)])
            np.add.at(counts, things, 1)
            self.counts[kind] = counts
        return found

    def of(self, observations: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """By kind, the number of the thing that each of these observations is."""
        others = {kind: np.array(things)[observations] for kind, things in self._things.items()}
        return {OWN[0]: observations} | others

    def _name(self, one: Any) -> None:
        world = self.world
        named = {OWN[1]: world.describe(one), OWN[2]: world.event(one)} | dict(world.places(one))
        for kind, name in named.items():
            known = self._names.setdefault(kind, {})
            self._things.setdefault(kind, []).append(
                known.setdefault(_digest(name.encode("utf-8", "replace")), len(known))
            )

    def get_state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "keys": _table(self._keys),
            "names": {kind: _table(known) for kind, known in self._names.items()},
            "things": {kind: np.array(things) for kind, things in self._things.items()},
            "counts": dict(self.counts),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        self._keys = _numbered(state["keys"])
        self._names = {kind: _numbered(table) for kind, table in state["names"].items()}
        self._things = {kind: np.asarray(things).tolist() for kind, things in state["things"].items()}
        self.counts = {kind: np.array(counts) for kind, counts in state["counts"].items()}


def _digest(key: bytes) -> bytes:
    """16 bytes, so that a checkpoint of a hundred thousand of them stays small."""
    return blake2b(key, digest_size=SIZE).digest()


def _table(known: dict[bytes, int]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(known), np.uint8).reshape(-1, SIZE).copy()


def _numbered(table: NDArray[np.uint8]) -> dict[bytes, int]:
    return {row.tobytes(): i for i, row in enumerate(np.ascontiguousarray(table, np.uint8))}


class Visits(VectorWrapper):
    """A vectorised world that counts what its steps lead to."""

    def __init__(self, env: VectorEnv, world: World) -> None:
        super().__init__(env)
        self.tally = Tally(world)
        self._update: list[NDArray[np.int64]] = []

    def step(self, actions: Any) -> Any:
        observations, reward, terminated, truncated, info = self.env.step(actions)
        led_to = step_observations(observations, info, terminated | truncated)
        self._update.append(self.tally.add(led_to))
        return observations, reward, terminated, truncated, info

    def columns(self) -> dict[str, float]:
        """What the learning curve says of the steps since the last call: things met so far, entropy of these steps."""
        if not self._update:
            return {}
        met, self._update = np.concatenate(self._update), []
        found: dict[str, float] = {}
        for kind, things in self.tally.of(met).items():
            name = kind.replace(" ", "_")
            found[f"met_{name}"] = int((self.tally.counts[kind] > 0).sum())
            found[f"entropy_{name}"] = entropy(np.unique(things, return_counts=True)[1])
        return found
