"""AI feedback: the reward model that was fitted to the LLM's preferences, looked up by observation.

Each distinct observation is scored once, then remembered: training pays for a table look-up, not for a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.rewards.base import Transitions, observation_keys, rows
from plaudit.rewards.reward_net import RewardModel

MEMO = 1_000_000
"""Observations that are remembered; when there are more, the table starts anew."""


class PreferenceReward:
    """A fitted reward model as a reward function."""

    shaped = True

    def __init__(self, model: RewardModel, describe: Callable[[Any], str]) -> None:
        self.model, self.describe = model, describe
        self._memo: dict[bytes, float] = {}

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        keys = observation_keys(transitions.observations)
        memo = self._memo
        missing = {key: i for i, key in enumerate(keys) if key not in memo}
        if missing:
            if len(memo) > MEMO:
                memo.clear()
                missing = {key: i for i, key in enumerate(keys)}
            observations = rows(transitions.observations, list(missing.values()))
            items = [self.describe(o) for o in observations] if self.model.kind == "text" else observations
            memo.update(zip(missing, self.model(items).tolist(), strict=True))
        return np.array([memo[key] for key in keys], np.float32)
