"""From a reward model's output to the reward that is maximised: normalise, threshold, divide by counts, mix.

n = (r - mean) / std; 0 unless n exceeds its quantile; divided by N^power, N = how often this event has occurred in the
episode; total = task_weight * task reward + llm_weight * that (Motif, arXiv 2310.00166: quantile 0.5, power 3). The
potential-based form gamma * n(s') - n(s) replaces threshold and counts and keeps the best policy (Ng et al. 1999); the
potential of an episode's true end is 0. The difference n(s') - n(s), where the end is worth what the judge says of it, is
for the LLM's reward alone: undiscounted it adds up to what the end is worth more than the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shaping:
    """The switches, with the statistics that they need."""

    mean: float = 0.0
    """Subtracted."""
    std: float = 1.0
    """Divided by."""
    threshold: float | None = None
    """Normalised rewards at or below this become 0; None keeps all."""
    count_power: float = 0.0
    """Divide by N to this power."""
    potential: bool = False
    """Use gamma * n(s') - n(s)."""
    difference: bool = False
    """Use n(s') - n(s), at an episode's end too."""
    gamma: float = 0.99
    """The agent's discount."""
    task_weight: float = 0.0
    """Weight of the world's own reward."""
    llm_weight: float = 1.0
    """Weight of the shaped reward."""

    @classmethod
    def from_rewards(cls, rewards: NDArray[np.floating], normalize: bool, quantile: float, **rest: Any) -> Shaping:
        """Statistics taken over the rewards of the judged observations, ``(n,)``; a negative quantile keeps all."""
        rewards = np.asarray(rewards, np.float64)  # as in value(): else the quantile's own item may pass it
        mean, std = (float(rewards.mean()), max(float(rewards.std()), 1e-6)) if normalize else (0.0, 1.0)
        threshold = float(np.quantile((rewards - mean) / std, quantile)) if quantile >= 0 else None
        return cls(mean=mean, std=std, threshold=threshold, **rest)

    @property
    def compares(self) -> bool:
        """Whether a step is paid by what it changes."""
        return self.potential or self.difference

    def change(
        self, before: NDArray[np.float64], after: NDArray[np.float64], terminated: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """What steps from values to values are paid, same shape; ``terminated``: those that end an episode truly."""
        return after - before if self.difference else self.gamma * np.where(terminated, 0.0, after) - before

    def value(self, rewards: NDArray[np.floating]) -> NDArray[np.float64]:
        """The part that depends on the reward alone: normalised and thresholded, same shape."""
        n = (np.asarray(rewards, np.float64) - self.mean) / self.std
        if self.threshold is None or self.compares:
            return n
        return np.where(n > self.threshold, n, 0.0)


class EpisodicCounts:
    """How often each event has occurred in the running episode of each copy."""

    def __init__(self, num_envs: int) -> None:
        self._ids: dict[str, int] = {}
        self._counts = np.zeros((num_envs, 16), np.int32)
        self._rows = np.arange(num_envs)

    def id(self, event: str) -> int:
        """The event's column."""
        return self._ids.setdefault(event, len(self._ids))

    def add(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Count one event for each copy, by :meth:`id`; returns how often it has occurred now, ``(num_envs,)``."""
        while len(self._ids) > self._counts.shape[1]:
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)], axis=1)
        self._counts[self._rows, ids] += 1
        return self._counts[self._rows, ids]

    def reset(self, ended: NDArray[np.bool_]) -> None:
        """Start anew in the copies whose episode ended."""
        self._counts[ended] = 0

    def get_state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"events": list(self._ids), "counts": self._counts}

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        self._ids = {event: i for i, event in enumerate(state["events"])}
        self._counts = np.array(state["counts"])
