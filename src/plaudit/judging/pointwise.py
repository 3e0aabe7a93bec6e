"""Pointwise: is this observation good progress? Log-probability of yes against no; pairs follow from the scores.

Asks once for each distinct observation instead of once for each pair, has no seats to be biased toward, and generates no
text. The score is s = log P(yes) - log P(no).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from plaudit.judging.scorer import ChoosingScorer
from plaudit.llms.base import Reply


@dataclass(frozen=True)
class Pointwise(ChoosingScorer):
    """Is this observation good progress? Log-probability of yes against no."""

    answers: ClassVar = (" Yes", " No")

    def score(self, reply: Reply) -> tuple[float, str]:
        yes, no = reply.logprobs
        return yes - no, f"log P(Yes) = {yes:.3f}, log P(No) = {no:.3f}"
