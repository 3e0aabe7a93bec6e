"""A corridor whose far end a random policy does not see: who explores gets there. For tests, as a world of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from plaudit.envs.base import World

LENGTH, LIMIT = 40, 60


class Chain(World):
    """One step left or right; episodes last 60 steps, and the end of the corridor is a success."""

    goal = "reach the end of the corridor"
    rules = "Write left or right."
    observation_space = spaces.Discrete(LENGTH)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = self.time = 0
        return np.int64(self.at), {"progress": 0.0, "success": False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.at = max(0, min(LENGTH - 1, self.at + (1 if action else -1)))
        self.time += 1
        there = self.at == LENGTH - 1
        info = {"progress": self.at / (LENGTH - 1), "success": there}
        return np.int64(self.at), float(there), there, self.time >= LIMIT, info

    def describe(self, obs: Any) -> str:
        return f"You stand at lamp {int(obs)}."

    def features(self, obs: Any) -> dict[str, bool | int | float | str]:
        return {"lamp": int(obs)}

    def places(self, obs: Any) -> dict[str, str]:
        return {"part of the corridor": str(int(obs) // 10)}

    def actions(self, obs: Any) -> list[str]:
        return ["left", "right"]

    def parse_action(self, reply: str) -> int | None:
        return {"left": 0, "right": 1}.get(reply.strip())
