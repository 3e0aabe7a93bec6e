"""Running mean and variance of columns of numbers, kept with a network's weights.

Source: Chan, Golub and LeVeque 1979 (how two samples' moments are joined). Leaves out forgetting: every value counts alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LIMIT = 10.0
"""Scaled values are cut off at this many standard deviations."""


class Moments(nn.Module):
    """Mean and variance of ``size`` columns, float64; they change in :meth:`update` alone."""

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Count these rows, ``(n, size)``."""
        values = values.double()
        total = self.count + len(values)
        shift = values.mean(0) - self.mean
        spread = self.variance * self.count + values.var(0, unbiased=False) * len(values)
        self.variance.copy_((spread + shift**2 * self.count * len(values) / total) / total)
        self.mean.add_(shift * len(values) / total)
        self.count.copy_(total)

    def scaled(self, values: Tensor) -> Tensor:
        """Rows ``(n, size)`` with mean 0 and deviation 1, float32, within ``LIMIT``."""
        return ((values - self.mean) / self.deviation).clamp(-LIMIT, LIMIT).float()

    @property
    def deviation(self) -> Tensor:
        """Standard deviation ``(size,)``, kept off 0: a column that never changes is scaled by 1e-4 at least."""
        return (self.variance + 1e-8).sqrt()

    def get_state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return dict(self.state_dict())

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave."""
        self.load_state_dict(state)
