"""Controls, without any LLM: the world's own reward, a constant +1, a constant -1.

In a world whose episodes end early a constant is not neutral: +1 rewards staying alive, -1 rewards ending soon. An LLM's
reward must beat both to be worth anything. A random policy, the fourth control, needs no reward and no training.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plaudit.rewards.base import Transitions


class TaskReward:
    """Control: the world's own reward."""

    of_observation = False

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        return transitions.task_reward.astype(np.float32)


class PlusReward:
    """Control: +1 for every step."""

    of_observation = False
    value = 1.0

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        return np.full(len(transitions.task_reward), self.value, np.float32)


class MinusReward(PlusReward):
    """Control: -1 for every step."""

    value = -1.0
