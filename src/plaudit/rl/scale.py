"""Rewards by the running deviation of their discounted return, so that one step size fits every world.

The mean is left in place: taking it off would change which policy is best. Source: Engstrom et al. 2020, arXiv 2005.12729.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plaudit.encoder.moments import LIMIT, Moments
from plaudit.rl.base import to_numpy


class RewardScale:
    """Counts the returns of ``num_envs`` copies and scales their rewards."""

    def __init__(self, num_envs: int, gamma: float) -> None:
        self.gamma, self.moments = gamma, Moments(1)
        self.returns = np.zeros(num_envs)

    def __call__(self, rewards: NDArray, ended: NDArray[np.bool_]) -> NDArray[np.float64]:
        """This step's rewards ``(num_envs,)``, scaled and within ``LIMIT``."""
        self.returns = self.gamma * self.returns + rewards
        self.moments.update(torch.from_numpy(self.returns)[:, None])
        self.returns[ended] = 0
        return (rewards / self.moments.deviation.item()).clip(-LIMIT, LIMIT)

    def forget(self) -> None:
        """The episodes in flight begin anew."""
        self.returns[:] = 0

    def get_state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"moments": self.moments.get_state(), "returns": self.returns}

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        self.moments.set_state(state["moments"])
        self.returns = np.asarray(to_numpy(state["returns"]), np.float64)
