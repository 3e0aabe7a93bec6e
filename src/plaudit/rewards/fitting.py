"""What all fits of a reward model share: numbers of the optimisation, the held-out split, the loop, the ensemble's spread.

What is judged is an *item*: one observation, or a segment of several whose reward is the mean over its members. Segments
come as ``(items, length)`` indices into the observations; None means that each observation is an item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plaudit.rewards.reward_net import Packed, RewardModel

Segments = NDArray[np.int64] | None
Observations = Sequence[Any] | Packed
"""Descriptions or observations; packed once where they are used more than once."""
Loss = Callable[[Tensor, NDArray[np.int64]], Tensor]
"""From the rewards of all items ``(items,)`` and the rows of a batch to a number."""
WHOLE = 2048
"""Observations up to which all rewards are computed in every step; of more, only those that the batch is about."""


@dataclass(frozen=True)
class FitOptions:
    """Numbers of the optimisation."""

    steps: int
    """Gradient steps of each network."""
    batch: int
    """Labels in one step."""
    learning_rate: float
    """AdamW's step size."""
    weight_decay: float
    """AdamW's decay."""


def held_out_items(items: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which items no training label contains, ``(items,)``.

    Segments are held out as a whole: such a sequence is new to the model, but not each observation in it.
    """
    is_held = np.zeros(items, bool)
    is_held[rng.permutation(items)[: max(1, round(share * items))]] = True
    return is_held


def optimise(
    model: RewardModel,
    observations: Observations,
    segments: Segments,
    labels: NDArray[np.int64],
    loss: Loss,
    options: FitOptions,
    seed: int,
) -> None:
    """Fit every network, each in an order of its own, on batches of labels; ``labels`` are each one's items, ``(n, k)``."""
    packed = model.pack(observations)
    members = None if segments is None else torch.from_numpy(segments)
    count = len(labels)
    for number, net in enumerate(model.nets):
        generator = torch.Generator().manual_seed(1000 * seed + number)
        optimizer = torch.optim.AdamW(net.parameters(), options.learning_rate, weight_decay=options.weight_decay)
        for _ in range(options.steps):
            rows = torch.randint(count, (min(options.batch, count),), generator=generator).numpy()
            rewards = _rewards(net, packed, labels[rows] if segments is None else segments[labels[rows]])
            value = loss(rewards if members is None else rewards[members].mean(dim=1), rows)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()


def _rewards(net: nn.Module, packed: Packed, needed: NDArray[np.int64]) -> Tensor:
    """Rewards of all observations; where they are many, only the needed ones, and 0 for the rest."""
    if len(packed) <= WHOLE:
        return net(packed.tensors)
    numbers = np.unique(needed)
    return torch.zeros(len(packed)).index_put((torch.from_numpy(numbers),), net(packed.rows(numbers).tensors))


def item_rewards(model: RewardModel, observations: Observations, segments: Segments = None) -> NDArray[np.float32]:
    """Reward of each item by each network, ``(networks, items)``."""
    rewards = model.members(observations)
    return rewards if segments is None else rewards[:, segments].mean(axis=2)


def disagreement(rewards: NDArray[np.floating]) -> float:
    """Mean over the items of the standard deviation between the networks, in units of the reward's own.

    Each network's mean is taken off first: preferences leave it open.
    """
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    return float(centred.std(axis=0).mean() / max(float(rewards.mean(axis=0).std()), 1e-6))
