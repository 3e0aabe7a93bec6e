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


def observation_keys(observations: Any) -> list[bytes]:
    """One key for each observation of a batch, equal exactly when the observations are equal."""
    parts = observations.values() if isinstance(observations, dict) else [observations]
    rows = [np.ascontiguousarray(p).reshape(len(p), -1).view(np.uint8) for p in parts]
    joined = np.ascontiguousarray(np.concatenate(rows, axis=1))
    return joined.view(f"V{joined.shape[1]}").ravel().tolist()  # type: ignore[no-any-return]


def rows(observations: Any, indices: list[int]) -> list[Any]:
    """Single observations out of a batch."""
    if isinstance(observations, dict):
        return [{k: v[i] for k, v in observations.items()} for i in indices]
    return [observations[i] for i in indices]


def stack(observations: list[Any]) -> Any:
    """Single observations as a batch."""
    if isinstance(observations[0], dict):
        return {k: np.stack([np.asarray(o[k]) for o in observations]) for k in observations[0]}
    return np.stack([np.asarray(o) for o in observations])
