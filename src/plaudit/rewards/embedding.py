"""Embedding: reward = similarity of the observation's embedding to the goal's; no question is asked of any LLM.

With unit vectors s (observation), g (goal) and b (baseline: without progress), d = g - b and
P = alpha d d^T / |d|^2 + (1 - alpha) I: r = 1 - |(s - g) P|^2 / 2. alpha = 0 is the plain cosine s . g; alpha = 1 looks
along the line from baseline to goal only, and leaves out what has nothing to do with it (goal-baseline regularisation,
VLM-RM, Rocamonde et al., ICLR 2024). Of several goals the best counts. What has no embedding (an empty description: a
vector of zeros) is taken for the baseline, or where there is none for as far from the goal as what is unlike it (0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import ConfigError
from plaudit.rewards.base import Depends, Transitions
from plaudit.rewards.embedders import Embedder, Input
from plaudit.vector import observation_keys, rows, take

MEMO = 1_000_000
"""Distinct observations, and descriptions, that are remembered; when there are more, the table starts anew."""


def similarity(
    states: NDArray[np.floating], goals: NDArray[np.floating], baseline: NDArray[np.floating] | None, alpha: float
) -> NDArray[np.float64]:
    """The best over the goals of the regularised similarity, ``(n,)``; all vectors unit, goals ``(k, d)``.

    P keeps the part of s - g along d whole and shrinks the part across it by 1 - alpha: no d x d matrix is made.
    """
    found = []
    for goal in np.asarray(goals, np.float64):
        away = np.asarray(states, np.float64) - goal
        squared = (away**2).sum(axis=1)
        if alpha > 0:
            along = (away @ _direction(goal, baseline)) ** 2
            squared = along + (1 - alpha) ** 2 * np.maximum(squared - along, 0)
        found.append(1 - squared / 2)
    return np.max(found, axis=0)


def _direction(goal: NDArray[np.float64], baseline: NDArray[np.floating] | None) -> NDArray[np.float64]:
    if baseline is None:
        raise ConfigError("the regularised form needs a baseline: --embedding.baseline TEXT, or --embedding.alpha 0")
    direction = goal - baseline
    length = float(np.linalg.norm(direction))
    if length < 1e-6:
        raise ConfigError(
            "goal and baseline have the same embedding: word one of them otherwise (--embedding.goals, "
            "--embedding.baseline), or take --embedding.alpha 0"
        )
    return direction / length


class EmbeddingReward:
    """Similarity of the observation's embedding to the goal's.

    Args:
        embedder: the embedding model.
        show: what is embedded of an observation: its description, or its picture.
        goals: texts of the goal; the best counts.
        baseline: unit vector of no progress, ``(d,)``; None where ``alpha`` is 0.
        alpha: strength of the regularisation.
        threshold: a similarity below this counts as this.
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
        self.name, self.goals, self.baseline = embedder.name, embedder.texts(goals), baseline
        for goal, vector in zip(goals, self.goals, strict=True):
            if not np.isfinite(vector).all() or not vector.any():
                raise ConfigError(f"{embedder.name} makes nothing of the goal {goal!r}: --embedding.goals TEXT")
        if baseline is not None and not np.isfinite(baseline).all():
            raise ConfigError(f"{embedder.name} makes nothing of the baseline: --embedding.baseline TEXT")
        similarity(self.goals, self.goals, baseline, alpha)  # a degenerate baseline is told now
        self._texts: dict[str, float] = {}
        self._memo: dict[bytes, float] = {}

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        keys = observation_keys(transitions.observations)
        if new := {key: i for i, key in enumerate(keys) if key not in self._memo}:
            if len(self._memo) > MEMO:
                self._memo.clear()
                new = {key: i for i, key in enumerate(keys)}
            shown = [self.show(o) for o in rows(take(transitions.observations, list(new.values())))]
            self._memo.update(zip(new, self.score(shown).tolist(), strict=True))
        return np.fromiter(map(self._memo.__getitem__, keys), np.float32, len(keys))

    def score(self, shown: list[Any]) -> NDArray[np.float64]:
        """Reward of descriptions or pictures, ``(n,)``; each distinct description is embedded once."""
        if not shown or not isinstance(shown[0], str):
            return self._scored(shown)
        if len(self._texts) > MEMO:
            self._texts.clear()
        if new := [t for t in dict.fromkeys(shown) if t not in self._texts]:
            self._texts.update(zip(new, self._scored(new).tolist(), strict=True))
        return np.fromiter(map(self._texts.__getitem__, shown), np.float64, len(shown))

    def _scored(self, shown: list[Any]) -> NDArray[np.float64]:
        if not shown:
            return np.zeros(0)
        states = self.embed(shown)
        values = similarity(states, self.goals, self.baseline, self.alpha)
        if not np.isfinite(values).all():
            raise ConfigError(f"{self.name} gave a vector that is not finite: take another (--embedding.model)")
        if (nothing := ~states.any(axis=1)).any():
            blank = self.baseline
            values[nothing] = 0 if blank is None else similarity(blank[None], self.goals, blank, self.alpha)[0]
        return values if self.threshold is None else np.maximum(values, self.threshold)
