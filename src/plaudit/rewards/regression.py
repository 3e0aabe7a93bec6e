"""Scalar: fit r to the numbers that a judge gave, by squared error; the same networks as for preferences.

Values are standardised by the mean and spread of the fitted ones. Failed judgements are never used. What is measured is
measured on held-out items; the model that is delivered has then learnt from all.
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
from plaudit.rewards.fitting import (
    FitOptions,
    Observations,
    Segments,
    disagreement,
    held_out_items,
    item_rewards,
    optimise,
)
from plaudit.rewards.reward_net import RewardModel
from plaudit.types import Judgement

MIN_ITEMS = 10
"""Fewer usable values than this on either side of the split, and nothing is held out."""


@dataclass(frozen=True)
class Values:
    """Judgements as arrays over a list of items."""

    item: NDArray[np.int64]
    """Index of the item, ``(n,)``."""
    value: NDArray[np.float32]
    """What it is worth by the judge, ``(n,)``."""

    def __len__(self) -> int:
        return len(self.value)

    def where(self, keep: NDArray[np.bool_]) -> Values:
        """The values of this mask."""
        return Values(self.item[keep], self.value[keep])


@dataclass(frozen=True)
class RegressionReport:
    """How well the reward model learnt the values."""

    items: int
    """Values that the delivered model has learnt from."""
    train_items: int
    """Values that were fitted for the measurement."""
    held_out_items: int
    """Values of items that were not fitted; 0 where there are too few to hold any out."""
    train_r2: float
    """Share of the fitted values' variance that the model explains."""
    held_out_r2: float | None
    """The same on held-out values; 0 is as good as their mean, below 0 worse; None where there are none."""
    held_out_spearman: float | None
    """Rank correlation of model and judge on held-out values; None where either is constant or there are none."""
    disagreement: float
    """Mean over the judged items of the standard deviation between the networks, in units of the reward's own."""


def values(judgements: Sequence[Judgement], index: dict[str, int]) -> Values:
    """Usable judgements as :class:`Values`."""
    kept = [j for j in judgements if j.value is not None]
    return Values(np.array([index[j.text] for j in kept], np.int64), np.array([j.value for j in kept], np.float32))


def split(judged: Values, items: int, held_out: float, rng: np.random.Generator) -> tuple[Values, Values]:
    """(training, held-out) values, by item. Where there are too few for both, all are for training."""
    if not len(judged) or np.ptp(judged.value) == 0:
        given = f"the same value, {judged.value[0]:g}" if len(judged) else "no value"
        raise ConfigError(
            f"the judge gave all {items} observations {given}: there is nothing to fit. Try another protocol "
            "(plaudit calibrate), prompt (--judge.prompt) or model (--llm)."
        )
    is_held = held_out_items(items, held_out, rng)[judged.item]
    train, held = judged.where(~is_held), judged.where(is_held)
    if min(len(train), len(held)) < MIN_ITEMS or np.ptp(train.value) == 0:
        return judged, judged.where(np.zeros(len(judged), bool))
    return train, held


def fit(
    model: RewardModel,
    observations: Observations,
    judged: Values,
    options: FitOptions,
    seed: int,
    segments: Segments = None,
    restart: bool = True,
) -> tuple[float, float]:
    """Fit every network of the model; mean and standard deviation that the values were freed of.

    From the networks' first weights or, without ``restart``, from those that they have.

    The values' indices are of observations; with ``segments``, ``(items, length)``, they are of its rows.
    """
    mean, std = float(judged.value.mean()), float(judged.value.std())
    target = torch.from_numpy((judged.value - mean) / std)

    def loss(rewards: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return F.mse_loss(rewards[judged.item[rows]], target[rows])

    if restart:
        model.restart()
    optimise(model, observations, segments, judged.item[:, None], loss, options, seed)
    return mean, std


def measured_fit(
    model: RewardModel,
    observations: Observations,
    judged: Values,
    held_out: float,
    options: FitOptions,
    seed: int,
    segments: Segments = None,
) -> RegressionReport:
    """Fit to a part of the values, measure on the rest, then fit to all: rare items are too few to learn without them."""
    observations = model.pack(observations)
    items = len(observations) if segments is None else len(segments)
    train, held = split(judged, items, held_out, np.random.default_rng(seed))
    mean, std = fit(model, observations, train, options, seed, segments)
    members = item_rewards(model, observations, segments)
    predicted = members.mean(axis=0) * std + mean
    report = RegressionReport(
        items=len(judged),
        train_items=len(train),
        held_out_items=len(held),
        train_r2=explained(predicted[train.item], train.value),
        held_out_r2=explained(predicted[held.item], held.value) if len(held) else None,
        held_out_spearman=_spearman(predicted[held.item], held.value) if len(held) else None,
        disagreement=disagreement(members),
    )
    if len(held):
        fit(model, observations, judged, options, seed, segments)
    return report


def explained(predicted: NDArray[np.floating], value: NDArray[np.floating]) -> float:
    """R squared: 1 - squared error / variance; 0 where the values do not vary."""
    error, variance = float(((value - predicted) ** 2).mean()), float(value.var())
    return 1 - error / variance if variance else 0.0


def _spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float | None:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if np.ptp(a) and np.ptp(b) else None
