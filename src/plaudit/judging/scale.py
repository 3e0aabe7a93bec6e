"""Scale: how far along is this observation, from 1 to 5? The mean of the ratings, weighted by their probabilities.

The score is the expectation of the rating under the probabilities of " 1" to " 5", which share all probability among
themselves. No text is generated; a score between two ratings is as good as a rating.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from plaudit import prompts
from plaudit.judging.replies import checked, probabilities
from plaudit.judging.scorer import Scorer
from plaudit.llms.base import LLM, Progress, Reply, Request
from plaudit.llms.reading import cost
from plaudit.types import Judgement

RATINGS = range(1, 6)
ANSWERS = tuple(f" {rating}" for rating in RATINGS)


@dataclass(frozen=True)
class Scale(Scorer):
    """How far along, 1 to 5? Expectation over the ratings' probabilities."""

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
    shares = probabilities(reply)
    said = ", ".join(f"P({rating}) = {share:.3f}" for rating, share in zip(RATINGS, shares, strict=True))
    return Judgement(text, "ok", float(shares @ RATINGS), said, **cost(reply))
