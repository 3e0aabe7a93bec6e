"""Random policy: every action equally likely; the control that any agent must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from plaudit.errors import ConfigError
from plaudit.spaces import MASK


class RandomPolicy:
    """Uniform over the actions that can be taken, or over the box of a continuous space."""

    def __init__(self, space: Any, seed: int) -> None:
        bounded = isinstance(space, spaces.Box) and space.is_bounded()
        if not isinstance(space, spaces.Discrete) and not bounded:
            raise ConfigError(f"an agent needs a Discrete action space or a bounded Box, got {space}.")
        self._space, self._rng = space, np.random.default_rng(seed)

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Remembers nothing."""

    def act(self, observations: Any) -> NDArray[Any]:
        masks = observations.get(MASK) if isinstance(observations, dict) else None
        if masks is not None:
            # The largest of independent uniform numbers, among the actions that can be taken.
            return self._space.start + np.where(masks > 0, self._rng.random(masks.shape), -1.0).argmax(axis=1)
        parts = observations.values() if isinstance(observations, dict) else [observations]
        n = len(next(iter(parts)))
        if isinstance(self._space, spaces.Discrete):
            return self._rng.integers(0, self._space.n, n) + self._space.start
        low, high = self._space.low, self._space.high
        return self._rng.uniform(low, high, (n, *self._space.shape)).astype(self._space.dtype)
