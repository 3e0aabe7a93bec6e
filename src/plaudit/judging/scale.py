"""Scale: how far along is this observation, from 1 to 5? The mean of the ratings, weighted by their probabilities.

The score is the expectation of the rating under the probabilities of " 1" to " 5", which share all probability among
themselves. No text is generated; a score between two ratings is as good as a rating.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from plaudit.judging.replies import probabilities
from plaudit.judging.scorer import ChoosingScorer
from plaudit.llms.base import Reply

RATINGS = range(1, 6)


@dataclass(frozen=True)
class Scale(ChoosingScorer):
    """How far along, 1 to 5? Expectation over the ratings' probabilities."""

    answers: ClassVar = tuple(f" {rating}" for rating in RATINGS)

    def score(self, reply: Reply) -> tuple[float, str]:
        shares = probabilities(reply)
        said = ", ".join(f"P({rating}) = {share:.3f}" for rating, share in zip(RATINGS, shares, strict=True))
        return float(shares @ RATINGS), said
