"""Embedding: reward = similarity of the observation's embedding to the goal's; no question is asked of any LLM.

With unit vectors s (observation), g (goal) and b (baseline: without progress), d = g - b and
P = alpha d d^T / |d|^2 + (1 - alpha) I: r = 1 - |(s - g) P|^2 / 2. alpha = 0 is the plain cosine s . g; alpha = 1 looks
along the line from baseline to goal only, and leaves out what has nothing to do with it (goal-baseline regularisation,
VLM-RM, Rocamonde et al., ICLR 2024). Of several goals the best counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import ConfigError
from plaudit.rewards.base import Depends, Transitions
from plaudit.rewards.embedders import Embedder, Input
from plaudit.vector import rows

MEMO = 1_000_000
"""Distinct descriptions that are remembered; when there are more, the table starts anew."""
SAME = 1e-3
"""A goal nearer to the baseline than this has no direction of its own: float32 rounding would make one up."""


def similarity(
    states: NDArray[np.floating], goals: NDArray[np.floating], baseline: NDArray[np.floating] | None, alpha: float
) -> NDArray[np.float64]:
    """The best over the goals of the regularised similarity, ``(n,)``; all vectors unit, goals ``(k, d)``.

    P keeps the part of s - g along d whole and shrinks the part across it by 1 - alpha: no d x d matrix is made. A state
    of zeros (a text without a known word) counts as a unit vector across everything: its cosine is 0.
    """
    wanted, seen = np.asarray(goals, np.float64), np.asarray(states, np.float64)
    squared = 2 - 2 * seen @ wanted.T
    if alpha > 0:
        directions = _directions(wanted, baseline)
        along = (seen @ directions.T - (wanted * directions).sum(axis=1)) ** 2
        squared = along + (1 - alpha) ** 2 * np.maximum(squared - along, 0)
    return np.max(1 - squared / 2, axis=1)


def _directions(goals: NDArray[np.float64], baseline: NDArray[np.floating] | None) -> NDArray[np.float64]:
    if baseline is None:
        raise ConfigError("the regularised form needs a baseline: --embedding.baseline TEXT, or --embedding.alpha 0")
    directions = goals - baseline
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    if lengths.min() < SAME:
        raise ConfigError(
            "goal and baseline have the same embedding: word one of them otherwise (--embedding.goals, "
            "--embedding.baseline), or take --embedding.alpha 0"
        )
    return directions / lengths


class EmbeddingReward:
    """Similarity of the observation's embedding to the goal's. Repeated observations are the wrapper's memo's.

    Args:
        embedder: the embedding model.
        show: what is embedded of an observation: its description, or its picture.
        goals: texts of the goal; the best counts.
        baseline: unit vector of no progress, ``(d,)``; None where ``alpha`` is 0.
        alpha: strength of the regularisation.
        threshold: a similarity below this counts as this.
        kind: whether ``show`` gives texts or pictures.
    """

    of: Depends = "observation"

    def __init__(
        self,
        embedder: Embedder,
        show: Callable[[Any], Any],
        goals: tuple[str, ...],
        baseline: NDArray[np.floating] | None,
        alpha: float = 0.5,
        threshold: float | None = None,
        kind: Input = "text",
    ) -> None:
        self.show, self.alpha, self.threshold = show, alpha, threshold
        self.embed = embedder.texts if kind == "text" else embedder.images
        self.goals, self.baseline = embedder.texts(goals), baseline
        for text, goal in zip(goals, self.goals, strict=True):
            if not goal.any():
                raise ConfigError(f"the goal {text!r} has no word that {embedder.name} knows: --embedding.goals")
        similarity(self.goals, self.goals, baseline, alpha)  # a degenerate baseline is told now
        self._memo: dict[str, float] = {}

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        return self.score([self.show(o) for o in rows(transitions.observations)]).astype(np.float32)

    def score(self, shown: list[Any]) -> NDArray[np.float64]:
        """Reward of descriptions or pictures, ``(n,)``; each distinct description is embedded once."""
        if not shown or not isinstance(shown[0], str):
            return self._scored(shown)
        if len(self._memo) > MEMO:
            self._memo.clear()
        if new := [t for t in dict.fromkeys(shown) if t not in self._memo]:
            self._memo.update(zip(new, self._scored(new).tolist(), strict=True))
        return np.fromiter(map(self._memo.__getitem__, shown), np.float64, len(shown))

    def _scored(self, shown: list[Any]) -> NDArray[np.float64]:
        if not shown:
            return np.zeros(0)
        values = similarity(self.embed(shown), self.goals, self.baseline, self.alpha)
        return values if self.threshold is None else np.maximum(values, self.threshold)
