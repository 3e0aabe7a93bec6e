"""Controls, without any LLM: the world's own reward, a constant +1, a constant -1, counts alone.

In a world whose episodes end early a constant is not neutral: +1 rewards staying alive, -1 rewards ending soon. An LLM's
reward must beat both to be worth anything. A random policy, the fourth control, needs no reward and no training.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plaudit.rewards.base import Depends, Transitions


class TaskReward:
    """Control: the world's own reward."""

    of: Depends = "step"

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        return transitions.task_reward.astype(np.float32)


class ConstantReward:
    """Control: the same reward for every step."""

    of: Depends = "step"

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        return np.full(len(transitions.task_reward), self.value, np.float32)


class CountReward:
    """Control: 1 for every observation, which the episodic counts then divide: novelty alone."""

    of: Depends = "observation"

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        return np.ones(len(transitions.task_reward), np.float32)
