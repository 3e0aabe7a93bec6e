"""Does a judge, or a reward, order observations as the world's own progress does? For measuring only.

The world's progress never enters a reward; it is looked at here, afterwards, to tell a good judge from a bad one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CLEAR_GAP = 0.05
"""Two observations whose progress differs by less than this have no known order: progress is a mean over occurrences."""


@dataclass(frozen=True)
class Agreement:
    """How well one ordering follows the world's."""

    pairs: int
    """Pairs with a known order."""
    accuracy: float | None
    """Share of them ordered as the world does; an undecided one counts half; chance is one half."""
    items: int
    """Observations with a score and a known progress."""
    spearman: float | None
    """Rank correlation of score and progress; None where either is constant."""


def pair_accuracy(pairs: Sequence[tuple[str, str, float]], progress: Mapping[str, float]) -> tuple[int, float | None]:
    """(pairs with a known order, share ordered rightly) of ``(first, second, P(first is better))``."""
    rights = []
    for first, second, probability in pairs:
        gap = progress.get(first, np.nan) - progress.get(second, np.nan)
        if abs(gap) >= CLEAR_GAP:  # NaN, an unknown progress, is never a known order
            rights.append(0.5 if probability == 0.5 else float((probability > 0.5) == (gap > 0)))
    return len(rights), float(np.mean(rights)) if rights else None


def score_pairs(pairs: Sequence[tuple[str, str]], scores: Mapping[str, float]) -> list[tuple[str, str, float]]:
    """The same pairs as a score orders them, those without a score left out."""
    known = [(a, b) for a, b in pairs if a in scores and b in scores]
    return [(a, b, (1 + float(np.sign(scores[a] - scores[b]))) / 2) for a, b in known]


def rank_correlation(scores: Mapping[str, float], progress: Mapping[str, float]) -> tuple[int, float | None]:
    """(observations, Spearman's rho) over those that both know."""
    from scipy.stats import spearmanr

    shared = [t for t in scores if t in progress]
    x, y = [scores[t] for t in shared], [progress[t] for t in shared]
    if len(set(x)) < 2 or len(set(y)) < 2:
        return len(shared), None
    return len(shared), float(spearmanr(x, y).statistic)
