"""What a policy says about its actions: a choice among n, or a Gaussian in a box.

A Gaussian's samples live on the scale where the box is [-1, 1], and what leaves it is cut off when it is executed. Chosen
over squashing by tanh: probability and entropy are exact and closed, and no gradient dies or explodes at the border.
Leaves out full covariances and mixed action spaces.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

NEVER = -1e9
"""Logit of an action that cannot be taken: its probability is exactly 0, and its share of the entropy too."""


class Distribution(Protocol):
    """A batch of n distributions over actions."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """Actions as the agent explores, ``(n, ...)``."""
        ...

    def play(self, generator: torch.Generator) -> Tensor:
        """Actions as a trained agent acts."""
        ...

    def log_prob(self, actions: Tensor) -> Tensor:
        """Of these actions, nats ``(n,)``."""
        ...

    def entropy(self) -> Tensor:
        """Nats ``(n,)``; of a Gaussian the differential one, which may be negative."""
        ...


class Choice:
    """One of n actions, by logits ``(batch, n)``; ``mask`` (same shape, bool) says which can be taken.

    Where a mask forbids all, all are as likely.
    """

    def __init__(self, logits: Tensor, mask: Tensor | None = None) -> None:
        self.logits = logits if mask is None else logits.masked_fill(~mask, NEVER)
        self.logprobs = torch.log_softmax(self.logits, dim=-1)

    def sample(self, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self.logprobs.exp(), 1, generator=generator).squeeze(1)

    def play(self, generator: torch.Generator) -> Tensor:
        """Sampled: what was trained is a policy that mixes, and its most likely action alone can walk in circles."""
        return torch.multinomial(self.logits.softmax(-1), 1, generator=generator).squeeze(1)

    def log_prob(self, actions: Tensor) -> Tensor:
        return self.logprobs.gather(1, actions[:, None]).squeeze(1)

    def entropy(self) -> Tensor:
        return -(self.logprobs.exp() * self.logprobs).sum(-1)


class Gaussian:
    """Independent normal numbers with means ``(batch, n)`` and log standard deviations ``(n,)``."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean, self.log_std = mean, log_std

    def sample(self, generator: torch.Generator) -> Tensor:
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + noise * self.log_std.exp()

    def play(self, generator: torch.Generator) -> Tensor:
        """The mean: the noise is the same in every state, a means of exploring and no part of what was learnt."""
        return self.mean

    def log_prob(self, actions: Tensor) -> Tensor:
        z = (actions - self.mean) / self.log_std.exp()
        return (-0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Tensor:
        each = self.log_std + 0.5 * math.log(2 * math.pi * math.e)
        return each.sum().expand(len(self.mean))
