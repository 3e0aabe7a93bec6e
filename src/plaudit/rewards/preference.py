"""AI feedback: the reward model that was fitted to the LLM's preferences.

Many observations read alike, so each description is scored once, then remembered: training pays for a look-up, not for
a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.rewards.base import Depends, Transitions
from plaudit.rewards.reward_net import RewardModel
from plaudit.vector import rows


class PreferenceReward:
    """AI feedback: a reward model fitted to the LLM's preferences.

    ``known`` are descriptions whose reward is known already.
    """

    of: Depends = "observation"

    def __init__(
        self, model: RewardModel, describe: Callable[[Any], str], known: dict[str, float] | None = None
    ) -> None:
        self.model, self.describe = model, describe
        self._known = dict(known or {})

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        observations = rows(transitions.observations)
        if self.model.kind != "text":
            return self.model(observations)
        texts = [self.describe(o) for o in observations]
        new = [t for t in dict.fromkeys(texts) if t not in self._known]
        if new:
            self._known.update(zip(new, self.model(new).tolist(), strict=True))
        return np.array([self._known[t] for t in texts], np.float32)
