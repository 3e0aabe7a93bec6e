"""Random policy: every action equally likely; the control that any agent must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from plaudit.errors import ConfigError


class RandomPolicy:
    """Uniform over a Discrete action space."""

    def __init__(self, space: Any, seed: int) -> None:
        if not isinstance(space, spaces.Discrete):
            raise ConfigError(f"the random policy needs a Discrete action space, got {space}.")
        self._n, self._rng = int(space.n), np.random.default_rng(seed)

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Remembers nothing."""

    def act(self, observations: Any) -> NDArray[np.int64]:
        parts = observations.values() if isinstance(observations, dict) else [observations]
        return self._rng.integers(0, self._n, len(next(iter(parts))))
