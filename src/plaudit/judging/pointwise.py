"""Pointwise: is this observation good progress? Log-probability of yes against no; pairs follow from the scores.

Asks once for each distinct observation instead of once for each pair, has no seats to be biased toward, and generates no
text. The score is s = log P(yes) - log P(no).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from plaudit import prompts
from plaudit.judging.replies import checked
from plaudit.judging.scorer import Scorer
from plaudit.llms.base import LLM, Progress, Reply, Request
from plaudit.llms.reading import cost
from plaudit.types import Judgement

ANSWERS = (" Yes", " No")


@dataclass(frozen=True)
class Pointwise(Scorer):
    """Is this observation good progress? Log-probability of yes against no."""

    fields: ClassVar = ("goal", "observation")
    prompt: prompts.Prompt
    """Has the fields ``$goal`` and ``$observation``."""
    chat: bool = False
    """Whether to use the model's chat template."""
    sharpness: float = 2.0
    """How decided P(a > b) is when two scores lie one standard deviation apart."""

    def judge(self, llm: LLM, goal: str, texts: Sequence[str], progress: Progress | None = None) -> list[Judgement]:
        asked = [
            Request(self.prompt.fill(goal=goal, observation=text), chat=self.chat, answers=ANSWERS) for text in texts
        ]
        return [_judgement(t, r) for t, r in zip(texts, llm.choose(asked, progress), strict=True)]


def _judgement(text: str, reply: Reply) -> Judgement:
    reply = checked(reply, len(ANSWERS))
    if reply.status != "ok":
        return Judgement(text, reply.status, None, reply.error, **cost(reply))
    yes, no = reply.logprobs
    return Judgement(text, "ok", yes - no, f"log P(Yes) = {yes:.3f}, log P(No) = {no:.3f}", **cost(reply))
