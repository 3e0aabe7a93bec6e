"""Recorded steps: what was seen, done and met, episode by episode, each distinct observation stored once.

From these come the transitions that a reward program is tried on, the segments that a judge is shown, and the examples
that an acting LLM is given. The world's own reward and success lie in a file of their own, which nothing opens that a
reward is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.store import load_tree, save_tree
from plaudit.vector import rows


@dataclass(frozen=True)
class Recording:
    """``n`` steps in the order of their episodes, over ``m`` distinct observations."""

    observations: Any
    """Distinct observations, batched, ``(m, ...)``."""
    episode: NDArray[np.int64]
    """Which episode each step belongs to, ``(n,)``."""
    step: NDArray[np.int64]
    """Its number in the episode, from 0."""
    before: NDArray[np.int64]
    """Index of what was seen, into ``observations``."""
    after: NDArray[np.int64]
    """Index of what the step led to."""
    actions: NDArray[Any]
    """What was done, ``(n, ...)`` like the action space."""
    task_reward: NDArray[np.float64] | None = None
    """The world's own reward; None unless it was asked for."""
    success: NDArray[np.bool_] | None = None
    """Whether the world called the step a success; None unless it was asked for."""
    ended: NDArray[np.bool_] | None = None
    """Whether the episode ended with it; None unless it was asked for."""
    terminated: NDArray[np.bool_] | None = None
    """Whether it ended by the world's own rules, not by a limit of steps; None in older recordings too."""

    def __len__(self) -> int:
        return len(self.step)

    def single_observations(self) -> list[Any]:
        """The distinct observations, one by one."""
        return rows(self.observations)

    def starts(self) -> NDArray[np.int64]:
        """Indices of the distinct observations that begin episodes, each once."""
        return np.unique(self.before[self.step == 0])

    def segments(self, length: int) -> NDArray[np.int64]:
        """Indices of what ``length`` steps in a row led to, ``(k, length)``; none crosses the end of an episode."""
        if len(self) < length:
            return np.zeros((0, length), np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(np.arange(len(self)), length)
        whole = self.episode[windows[:, 0]] == self.episode[windows[:, -1]]
        return self.after[windows[whole]]


_TRUTH = ("task_reward", "success", "ended", "terminated")


def save_recording(folder: Path, recording: Recording) -> None:
    """Write ``transitions.safetensors`` and, apart from it, ``truth.safetensors``."""
    fields = {k: v for k, v in vars(recording).items() if v is not None}
    save_tree(folder / "transitions.safetensors", {k: v for k, v in fields.items() if k not in _TRUTH})
    save_tree(folder / "truth.safetensors", {k: v for k, v in fields.items() if k in _TRUTH})


def load_recording(folder: Path, truth: bool = False) -> Recording:
    """What :func:`save_recording` wrote; the world's own reward and success only with ``truth``, for measuring."""
    fields = load_tree(folder / "transitions.safetensors")
    fields |= load_tree(folder / "truth.safetensors") if truth else {}
    arrays = {k: v.numpy() for k, v in fields.items() if k != "observations"}
    batch = fields["observations"]
    observations = {k: v.numpy() for k, v in batch.items()} if isinstance(batch, dict) else batch.numpy()
    return Recording(observations, **arrays)
