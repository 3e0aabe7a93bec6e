"""Protocols that ask about one observation at a time: a score for each, and any number of pairs at no further cost.

P(a > b) = sigmoid(sharpness * (s_a - s_b) / standard deviation of s). Equal scores are a tie.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plaudit.judging.base import Pair
from plaudit.judging.replies import checked
from plaudit.llms.base import LLM, Arrived, Reply, Request
from plaudit.llms.reading import cost
from plaudit.prompts import Prompt
from plaudit.types import Comparison, Judgement

PART = 8192
"""Observations whose prompts are in memory at once."""


class Scorer(ABC):
    """A protocol whose questions are about one observation each."""

    sharpness: float
    """How decided P(a > b) is when two scores lie one standard deviation apart."""

    @abstractmethod
    def judge(self, llm: LLM, goal: str, texts: Sequence[str], arrived: Arrived | None = None) -> list[Judgement]:
        """One judgement for each description, in order."""

    def compare(self, llm: LLM, goal: str, pairs: Sequence[Pair], arrived: Arrived | None = None) -> list[Comparison]:
        """One comparison for each pair; every distinct description is asked about once."""
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        return self.pair_up(self.judge(llm, goal, texts, arrived), pairs)

    def pair_up(self, judgements: Sequence[Judgement], pairs: Sequence[Pair]) -> list[Comparison]:
        """Comparisons out of scores; a pair with a failed judgement fails with it."""
        by_text = {j.text: j for j in judgements}
        scale = self.sharpness / max(float(np.std([j.value for j in judgements if j.value is not None] or [1])), 1e-6)
        paid: set[str] = set()  # each judgement's cost goes to the first pair that uses it
        return [_comparison(by_text[a], by_text[b], scale, paid) for a, b in pairs]

    def requests(self, pairs: Sequence[Pair]) -> int:
        """One for each distinct description."""
        return len({text for pair in pairs for text in pair})


@dataclass(frozen=True)
class ChoosingScorer(Scorer):
    """A scorer that has no text written: its number follows from the probabilities of given answers."""

    fields: ClassVar = ("goal", "observation")
    answers: ClassVar[tuple[str, ...]]
    """The answers that are weighed."""
    prompt: Prompt
    """Has the fields ``$goal`` and ``$observation``."""
    chat: bool = False
    """Whether to use the model's chat template."""
    sharpness: float = 2.0
    """How decided P(a > b) is when two scores lie one standard deviation apart."""

    @abstractmethod
    def score(self, reply: Reply) -> tuple[float, str]:
        """The number, and what was said, of a reply that is whole."""

    def judge(self, llm: LLM, goal: str, texts: Sequence[str], arrived: Arrived | None = None) -> list[Judgement]:
        judged: list[Judgement] = []
        for start in range(0, len(texts), PART):
            part = texts[start : start + PART]
            filled = (self.prompt.fill(goal=goal, observation=text) for text in part)
            asked = [Request(text, chat=self.chat, answers=self.answers) for text in filled]
            judged += (self._judgement(t, r) for t, r in zip(part, llm.choose(asked, arrived), strict=True))
        return judged

    def _judgement(self, text: str, reply: Reply) -> Judgement:
        reply = checked(reply, len(self.answers))
        if reply.status != "ok":
            return Judgement(text, reply.status, None, reply.error, **cost(reply))
        value, said = self.score(reply)
        return Judgement(text, "ok", value, said, **cost(reply))


def _comparison(a: Judgement, b: Judgement, scale: float, paid: set[str]) -> Comparison:
    fresh = [j for j in (a, b) if j.text not in paid]
    paid.update(j.text for j in fresh)
    spent: dict[str, Any] = {k: sum(getattr(j, k) for j in fresh) for k in ("tokens", "seconds", "usd")}
    reply = f"{a.reply} | {b.reply}"
    if a.value is None or b.value is None:
        status = a.status if a.value is None else b.status
        return Comparison(a.text, b.text, status, None, reply=reply, **spent)
    if a.value == b.value:
        return Comparison(a.text, b.text, "tie", 0.5, reply=reply, **spent)
    difference = np.clip(scale * (a.value - b.value), -30, 30)
    return Comparison(a.text, b.text, "ok", float(1 / (1 + np.exp(-difference))), reply=reply, **spent)
