"""What every trainer has in common: the contract, what an update reports, and the count of episodes behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plaudit.vector import step_value


class Agent(Protocol):
    """A trained network that acts."""

    def act(
        self, observations: Any, state: Tensor | None, generator: torch.Generator
    ) -> tuple[NDArray[Any], Tensor | None]:
        """Actions ``(n, ...)`` for the world, and the memory ``(n, units)`` after them; None without a memory."""
        ...


class Trainer(Protocol):
    """An agent that learns; :class:`plaudit.rl.ppo.PPO` is the model of one."""

    net: Any
    """The :class:`Agent`, a ``torch.nn.Module``."""
    steps: int
    """Environment steps so far."""

    def train(self, on_update: Callable[[Progress], None] | None = None) -> None:
        """Update until all steps are done; ``on_update`` may save or raise to stop."""
        ...

    def update(self) -> Progress:
        """Some steps and the learning from them."""
        ...

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on from here, as a tree for ``store.save_tree``."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        ...


@dataclass(frozen=True)
class Progress:
    """What one update reports; averages are over the episodes that ended in it, NaN-free: None without one."""

    steps: int
    """Environment steps so far."""
    episodes: int
    """Episodes that ended in this update."""
    success: float | None
    """Share of them that the world called a success."""
    task_return: float | None
    """Their mean undiscounted return of the world's own reward."""
    reward_return: float | None
    """Their mean undiscounted return of the reward that was maximised."""
    length: float | None
    """Their mean number of steps."""
    entropy: float
    """Mean entropy of the policy, nats."""
    seconds: float
    """Wall time of this update."""


class Episodes:
    """Sums over the episodes in flight, ``(num_envs,)`` each."""

    def __init__(self, num_envs: int) -> None:
        self.totals = {k: np.zeros(num_envs) for k in ("task_return", "reward_return", "length")}

    def add(self, rewards: NDArray, ended: NDArray[np.bool_], infos: dict[str, Any]) -> list[dict[str, float]]:
        """Count a step of all copies; a row for each episode that ended in it."""
        success = step_value(infos, "success", ended)
        self.totals["task_return"] += step_value(infos, "task_reward", ended)
        self.totals["reward_return"] += rewards
        self.totals["length"] += 1
        rows = [
            {k: float(v[i]) for k, v in self.totals.items()} | {"success": float(success[i])}
            for i in np.flatnonzero(ended)
        ]
        for total in self.totals.values():
            total[ended] = 0
        return rows


def means(ended: list[dict[str, float]]) -> dict[str, float | None]:
    """What :class:`Progress` says of these episodes."""
    keys = ("success", "task_return", "reward_return", "length")
    return {k: float(np.mean([e[k] for e in ended])) if ended else None for k in keys}


def to_numpy(tree: Any) -> Any:
    """A checkpoint's tree with arrays in place of tensors."""
    if isinstance(tree, dict):
        return {k: to_numpy(v) for k, v in tree.items()}
    if isinstance(tree, list):
        return [to_numpy(v) for v in tree]
    return tree.numpy().copy() if isinstance(tree, Tensor) else tree
