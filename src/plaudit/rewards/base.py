"""The reward contract: a function from transitions to numbers, ``(n,)`` float32 and finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Transitions:
    """One step of ``n`` copies of a world."""

    observations: Any
    """What each step led to, batched like the world's observation space; the final one where an episode ended."""
    task_reward: NDArray[np.float64]
    """The world's own reward, ``(n,)``. Only the control that trains on it may read it."""


class RewardFn(Protocol):
    """What every route makes."""

    of_observation: bool
    """Whether the reward depends on the observation alone. Then it is asked once for each distinct observation, and the
    run's shaping (mean, quantile, counts) applies; controls are taken as they are."""

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        """One reward for each transition, ``(n,)`` float32, finite."""
        ...
