"""Bradley-Terry: fit r so that P(a > b) = sigmoid(r(a) - r(b)) matches the judge's answers.

Loss: cross-entropy against a target in [0, 1]. How an answer becomes a target is a switch apart from the loss: soft or
hard, a tie as one half or left out. Failed comparisons are never used. Items are split, not pairs, so that no held-out
pair has a member that was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from plaudit.errors import ConfigError
from plaudit.rewards.fitting import FitOptions as FitOptions
from plaudit.rewards.fitting import Segments, disagreement, held_out_items, item_rewards, optimise
from plaudit.rewards.reward_net import RewardModel
from plaudit.types import Comparison

MIN_PAIRS = 10
"""Fewer usable pairs than this on either side of the split, and the fit is refused."""


@dataclass(frozen=True)
class Pairs:
    """Comparisons as arrays over a list of items."""

    first: NDArray[np.int64]
    """Index of the one item, ``(n,)``."""
    second: NDArray[np.int64]
    """Index of the other, ``(n,)``."""
    target: NDArray[np.float32]
    """P(first preferred), ``(n,)`` in [0, 1]."""

    def __len__(self) -> int:
        return len(self.target)

    def where(self, keep: NDArray[np.bool_]) -> Pairs:
        """The pairs of this mask."""
        return Pairs(self.first[keep], self.second[keep], self.target[keep])


@dataclass(frozen=True)
class FitReport:
    """How well the reward model learnt the preferences."""

    train_pairs: int
    """Pairs that were fitted."""
    held_out_pairs: int
    """Pairs of items that no fitted pair contains."""
    train_accuracy: float
    """Share of fitted pairs with a clear answer on whose better one model and judge agree."""
    held_out_accuracy: float
    """The same on held-out pairs."""
    calibration_error: float
    """Expected calibration error on held-out pairs: mean gap, over ten bins, of predicted and judged probability."""
    disagreement: float
    """Mean over the judged items of the standard deviation between the networks, in units of the reward's own."""


def targets(comparisons: Sequence[Comparison], index: dict[str, int], target: str, ties: str) -> Pairs:
    """Usable comparisons as :class:`Pairs`; see :class:`plaudit.config.FitConfig` for the switches.

    What both orders came to is averaged already: it is the comparison's probability.
    """
    answered = [c for c in comparisons if c.probability is not None]
    kept = [c for c in answered if ties == "half" or c.probability != 0.5]
    values = np.array([c.probability for c in kept], np.float32)
    if target == "hard":
        values = np.where(values == 0.5, 0.5, values > 0.5).astype(np.float32)
    ids = np.array([(index[c.first], index[c.second]) for c in kept], np.int64).reshape(-1, 2)
    return Pairs(ids[:, 0], ids[:, 1], values)


def split(pairs: Pairs, items: int, held_out: float, rng: np.random.Generator) -> tuple[Pairs, Pairs]:
    """(training, held-out) pairs: both members on the same side; pairs across the two sides are left out."""
    is_held = held_out_items(items, held_out, rng)
    first, second = is_held[pairs.first], is_held[pairs.second]
    train, held = pairs.where(~first & ~second), pairs.where(first & second)
    if min(len(train), len(held)) < MIN_PAIRS:
        raise ConfigError(
            f"too few usable comparisons to fit a reward: {len(train)} for training, {len(held)} held out, each needs "
            f"{MIN_PAIRS}. Raise --judge.pairs or --judge.items, or look at why judgements failed."
        )
    return train, held


def fit(
    model: RewardModel,
    observations: Sequence[Any],
    train: Pairs,
    held: Pairs,
    options: FitOptions,
    seed: int,
    segments: Segments = None,
) -> FitReport:
    """Fit every network of the model to the training pairs; measure on the held-out ones.

    The pairs' indices are of observations; with ``segments``, ``(items, length)``, they are of its rows.
    """

    def loss(rewards: Tensor, rows: NDArray[np.int64]) -> Tensor:
        difference = rewards[train.first[rows]] - rewards[train.second[rows]]
        return F.binary_cross_entropy_with_logits(difference, torch.from_numpy(train.target[rows]))

    optimise(model, observations, segments, len(train), loss, options, seed)
    members = item_rewards(model, observations, segments)
    rewards = members.mean(axis=0)
    fitted, unseen = predict(rewards, train), predict(rewards, held)
    return FitReport(
        train_pairs=len(train),
        held_out_pairs=len(held),
        train_accuracy=accuracy(fitted, train.target),
        held_out_accuracy=accuracy(unseen, held.target),
        calibration_error=calibration_error(unseen, held.target),
        disagreement=disagreement(members),
    )


def predict(rewards: NDArray[np.floating], pairs: Pairs) -> NDArray[np.float64]:
    """P(first preferred) under the reward, ``(n,)``."""
    return 1 / (1 + np.exp(-(rewards[pairs.first] - rewards[pairs.second]).astype(np.float64)))


def accuracy(probability: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Share of the pairs with a clear target on which both name the same one."""
    clear = target != 0.5
    return float(np.mean((probability > 0.5)[clear] == (target > 0.5)[clear])) if clear.any() else 0.5


def calibration_error(probability: NDArray[np.floating], target: NDArray[np.floating], bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015): |mean predicted - mean judged| by bin, weighted by size."""
    which = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [
        (which == b).mean() * abs(probability[which == b].mean() - target[which == b].mean())
        for b in range(bins)
        if (which == b).any()
    ]
    return float(sum(gaps))
