"""Where the learned return goes on rising while the true return falls, or never leaves the ground.

Use: ``parting(steps, learned, true, scale)`` with one curve of each agent. The rule, which no figure has shaped: let ``k``
be the step at which the true return, averaged over agents, is highest. The curves part

* at ``k``, where behind it the learned return rises and the true return falls by more than ``MARGIN`` of ``scale``;
* at the first step, where the true return never rises by more than ``MARGIN`` of ``scale`` above its beginning and ends
  nearer to ``floor`` than to ``floor + scale``, while the learned return rises.

A true return that stays at its height is no parting: the learned one may still rise with skill. Rising and falling are
differences between the ends, agent by agent, whose 95% bootstrap interval over agents leaves out zero (with one agent,
the difference itself). ``scale`` is what there is to win: the best true return that was seen less a random player's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plaudit.analysis.statistics import percentiles

MARGIN = 0.2
"""Share of what there is to win that a fall or a rise must exceed to count."""
RESAMPLES = 2000
"""Draws of agents."""


@dataclass(frozen=True)
class Parting:
    """What the curves show."""

    kind: Literal["fell", "hardly rose", "together"]
    """How they part; ``together`` where they do not."""
    at: float
    """Environment steps at which they part; the true return's highest point where they do not."""
    low: float
    """Lower end of the 95% bootstrap interval of ``at`` over agents."""
    high: float
    """Its upper end."""
    learned: tuple[float, float, float]
    """Change of the learned return behind ``at``: mean over agents, lower end, upper end."""
    true: tuple[float, float, float]
    """The same of the true return."""

    @property
    def parted(self) -> bool:
        """Whether they part."""
        return self.kind != "together"


def parting(
    steps: NDArray[np.float64],
    learned: NDArray[np.float64],
    true: NDArray[np.float64],
    scale: float,
    floor: float = 0.0,
    seed: int = 0,
) -> Parting:
    """``steps`` is ``(n,)``; ``learned`` and ``true`` are ``(agents, n)``, smoothed, finite."""
    if learned.shape != true.shape or learned.shape[1:] != steps.shape or not learned.size:
        raise ValueError(f"curves are (agents, {len(steps)}), got {learned.shape} and {true.shape}")
    agents, scale = len(learned), max(scale, 1e-9)
    draws = np.random.default_rng(seed).integers(0, agents, (RESAMPLES if agents > 1 else 1, agents))
    peak = int(np.argmax(true.mean(axis=0)))
    peaks = np.argmax(true[draws].mean(axis=1), axis=1)
    low, high = (float(steps[round(at)]) for at in percentiles(peaks.astype(float)))
    gain, loss = _change(learned, peak, draws), _change(true, peak, draws)
    if peak < len(steps) - 1 and gain[1] > 0 and loss[0] < -MARGIN * scale and loss[2] < 0:
        return Parting("fell", float(steps[peak]), low, high, gain, loss)
    all_gain, all_rise = _change(learned, 0, draws), _change(true, 0, draws)
    average = true.mean(axis=0)
    grounded = average.max() - average[0] <= MARGIN * scale and average[-1] < floor + 0.5 * scale
    if grounded and all_gain[1] > 0:
        start = float(steps[0])
        return Parting("hardly rose", start, start, start, all_gain, all_rise)
    return Parting("together", float(steps[peak]), low, high, gain, loss)


def _change(curves: NDArray[np.float64], since: int, draws: NDArray[np.int64]) -> tuple[float, float, float]:
    """From ``since`` to the end: mean over agents with the ends of its bootstrap interval."""
    change = curves[:, -1] - curves[:, since]
    low, high = percentiles(change[draws].mean(axis=1))
    return float(change.mean()), float(low), float(high)
