"""The reward contract: a function from transitions to numbers, ``(n,)`` float32 and finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Depends = Literal["observation", "transition", "step"]
"""What a reward depends on: on what a step led to; on that and what it started from; on the step as a whole."""


@dataclass(frozen=True)
class Transitions:
    """One step of ``n`` copies of a world."""

    observations: Any
    """What each step led to, batched like the world's observation space; the final one where an episode ended."""
    task_reward: NDArray[np.float64]
    """The world's own reward, ``(n,)``. Only the control that trains on it may read it."""
    previous: Any = None
    """What each step started from, batched like ``observations``; given to rewards of a ``transition``."""


class RewardFn(Protocol):
    """What every route makes."""

    of: Depends
    """``observation`` or ``transition``: asked once for each distinct one, and the run's shaping (mean, quantile, counts)
    applies. ``step``: asked every time and taken as it is, like the controls."""

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        """One reward for each transition, ``(n,)`` float32, finite."""
        ...
