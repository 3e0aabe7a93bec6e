"""Bradley-Terry: fit r so that P(a > b) = sigmoid(r(a) - r(b)) matches the judge's answers.

Loss: cross-entropy against a target in [0, 1]. How an answer becomes a target is a switch apart from the loss: soft or
hard, a tie as one half or left out. Failed comparisons are never used. What is measured is measured on held-out pairs,
split by item so that no such pair has a member that was trained on; the model that is delivered has then learnt from all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from plaudit.errors import ConfigError
from plaudit.rewards.fitting import FitOptions as FitOptions
from plaudit.rewards.fitting import Observations, Segments, disagreement, held_out_items, item_rewards, optimise
from plaudit.rewards.reward_net import RewardModel
from plaudit.types import Comparison

MIN_PAIRS = 10
"""Fewer usable pairs than this, and the fit is refused; fewer on either side of the split, and nothing is held out."""


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

    pairs: int
    """Pairs that the delivered model has learnt from."""
    train_pairs: int
    """Pairs that were fitted for the measurement."""
    held_out_pairs: int
    """Pairs of items that no fitted pair contains; 0 where the items are too few to hold any out."""
    train_accuracy: float
    """Share of fitted pairs with a clear answer on whose better one model and judge agree."""
    held_out_accuracy: float | None
    """The same on held-out pairs; None where there are none."""
    calibration_error: float | None
    """Expected calibration error on held-out pairs: mean gap, over ten bins, of predicted and judged probability."""
    disagreement: float
    """Mean over the judged items of the standard deviation between the networks, in units of the reward's own."""


def targets(comparisons: Sequence[Comparison], index: dict[str, int], target: str, ties: str) -> Pairs:
    """Usable comparisons as :class:`Pairs`; see :class:`plaudit.config.FitConfig` for the switches.

    What both orders came to is averaged already: it is the comparison's probability.
    """
    items = np.array([(index[c.first], index[c.second]) for c in comparisons], np.int64).reshape(-1, 2)
    probability = [np.nan if c.probability is None else c.probability for c in comparisons]
    return usable(items, np.array(probability, np.float64), target, ties)


def usable(items: NDArray[np.int64], probability: NDArray[np.float64], target: str, ties: str) -> Pairs:
    """The same of numbers of two items each, ``(n, 2)``, and P(first preferred), NaN where it is not known."""
    kept = ~np.isnan(probability) & ((ties == "half") | (probability != 0.5))
    values = probability[kept].astype(np.float32)
    if target == "hard":
        values = np.where(values == 0.5, 0.5, values > 0.5).astype(np.float32)
    return Pairs(items[kept, 0], items[kept, 1], values)


def split(pairs: Pairs, items: int, held_out: float, rng: np.random.Generator) -> tuple[Pairs, Pairs]:
    """(training, held-out) pairs: both members on the same side; pairs across the two sides are left out.

    Where the items are too few for both, all pairs are for training and none is held out.
    """
    if len(pairs) < MIN_PAIRS:
        raise ConfigError(
            f"too few usable comparisons to fit a reward: {len(pairs)}, of {MIN_PAIRS} that are needed. Raise "
            "--judge.pairs or --judge.items, or look at why judgements failed."
        )
    is_held = held_out_items(items, held_out, rng)
    first, second = is_held[pairs.first], is_held[pairs.second]
    train, held = pairs.where(~first & ~second), pairs.where(first & second)
    if min(len(train), len(held)) < MIN_PAIRS:
        return pairs, pairs.where(np.zeros(len(pairs), bool))
    return train, held


def fit(
    model: RewardModel,
    observations: Observations,
    pairs: Pairs,
    options: FitOptions,
    seed: int,
    segments: Segments = None,
    restart: bool = True,
) -> None:
    """Fit every network of the model to these pairs, from its first weights or, without ``restart``, from those it has.

    The pairs' indices are of observations; with ``segments``, ``(items, length)``, they are of its rows.
    """

    def loss(rewards: Tensor, rows: NDArray[np.int64]) -> Tensor:
        difference = rewards[pairs.first[rows]] - rewards[pairs.second[rows]]
        return F.binary_cross_entropy_with_logits(difference, torch.from_numpy(pairs.target[rows]))

    if restart:
        model.restart()
    optimise(model, observations, segments, np.stack([pairs.first, pairs.second], axis=1), loss, options, seed)


def measured_fit(
    model: RewardModel,
    observations: Observations,
    pairs: Pairs,
    held_out: float,
    options: FitOptions,
    seed: int,
    segments: Segments = None,
) -> FitReport:
    """Fit to a part of the pairs, measure on the rest, then fit to all: rare items are too few to learn without them."""
    observations = model.pack(observations)
    items = len(observations) if segments is None else len(segments)
    train, held = split(pairs, items, held_out, np.random.default_rng(seed))
    fit(model, observations, train, options, seed, segments)
    members = item_rewards(model, observations, segments)
    fitted, unseen = predict(members.mean(axis=0), train), predict(members.mean(axis=0), held)
    report = FitReport(
        pairs=len(pairs),
        train_pairs=len(train),
        held_out_pairs=len(held),
        train_accuracy=accuracy(fitted, train.target),
        held_out_accuracy=accuracy(unseen, held.target) if len(held) else None,
        calibration_error=calibration_error(unseen, held.target) if len(held) else None,
        disagreement=disagreement(members),
    )
    if len(held):
        fit(model, observations, pairs, options, seed, segments)
    return report


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
