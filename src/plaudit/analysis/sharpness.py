"""What a judge's probabilities are worth, measured on a person's answers: log-loss, Brier score, and a fitted sharpness.

One number is fitted, a factor of the judge's log-odds (temperature scaling, Guo et al. 2017, arXiv 1706.04599, as its
inverse): it keeps the judge's order and its ties, and some dozens of labels are enough for it. A curve through many points
(isotonic regression, say) would need hundreds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.labels import Pair

EPSILON = 1e-4
"""A probability is taken to be at least this and at most one less this: no judge is surer, and logarithms stay finite."""
SHARPEST = 10.0
"""The sharpness that is looked for is at most this."""
FEWEST = 20
"""Pairs with a clear answer below which no sharpness is fitted."""


@dataclass(frozen=True)
class Calibration:
    """How far a judge's probabilities can be believed, measured on a person's answers."""

    pairs: int
    """Pairs that both answered; a person's tie is a target of one half."""
    log_loss: float
    """Mean of -log P(what the person said), nats; a coin has 0.693."""
    brier: float
    """Mean squared gap of probability and answer; a coin has 0.25 without ties."""
    sharpness: float | None
    """What the judge's log-odds must be multiplied by to fit best: below 1 it is too sure, above 1 not sure enough, 0 it
    says nothing. None with too few pairs."""
    low: float | None
    """Lower end of its 95% interval (bootstrap over pairs)."""
    high: float | None
    """Upper end."""
    log_loss_fitted: float | None
    """Log-loss with the fitted sharpness, each tenth of the pairs under the sharpness that the other nine give."""


def calibration(judge: Mapping[Pair, float], person: Mapping[Pair, float], resamples: int = 300) -> Calibration | None:
    """The judge's probabilities against the person's answers; None without a pair that both answered."""
    shared = [p for p in judge if p in person]
    if not shared:
        return None
    odds = log_odds([judge[p] for p in shared])
    target = np.array([person[p] for p in shared])
    sure = _sigmoid(odds)
    scale = low = high = fitted = None
    if np.count_nonzero(target != 0.5) >= FEWEST:
        scale = fitted_sharpness(odds, target)
        rng = np.random.default_rng(0)
        draws = [rng.integers(0, len(odds), len(odds)) for _ in range(resamples)]
        low, high = np.percentile([fitted_sharpness(odds[d], target[d]) for d in draws], [2.5, 97.5]).tolist()
        fitted = _held_out_loss(odds, target, rng)
    return Calibration(
        pairs=len(shared),
        log_loss=log_loss(odds, target),
        brier=float(np.mean((sure - target) ** 2)),
        sharpness=scale,
        low=low,
        high=high,
        log_loss_fitted=fitted,
    )


def log_odds(probabilities: Sequence[float]) -> NDArray[np.float64]:
    """Log-odds, with certainty cut off."""
    p = np.clip(np.asarray(probabilities, np.float64), EPSILON, 1 - EPSILON)
    return np.log(p / (1 - p))


def _sigmoid(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-odds))


def log_loss(odds: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Mean cross-entropy of the targets under these log-odds, nats."""
    return float(np.mean(np.logaddexp(0, odds) - target * odds))


def fitted_sharpness(odds: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """The factor of the log-odds, 0 to ``SHARPEST``, with the least log-loss, which is convex in it."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda s: log_loss(s * odds, target), bounds=(0, SHARPEST), method="bounded")
    return float(found.x) if found.fun < np.log(2) else 0.0


def _held_out_loss(odds: NDArray[np.float64], target: NDArray[np.float64], rng: np.random.Generator) -> float:
    fold = rng.permutation(len(odds)) % 10
    total = 0.0
    for k in range(10):
        held = fold == k
        if held.any():
            total += held.sum() * log_loss(fitted_sharpness(odds[~held], target[~held]) * odds[held], target[held])
    return total / len(odds)
