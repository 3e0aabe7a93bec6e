"""Pointwise: is this observation good progress? Log-probability of yes against no; pairs follow from the scores.

Asks once for each distinct observation instead of once for each pair, has no seats to be biased toward, and generates no
text. P(a > b) = sigmoid(sharpness * (s_a - s_b) / standard deviation of s), with s = log P(yes) - log P(no).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from plaudit import prompts
from plaudit.judging.base import Pair
from plaudit.llms.base import LLM, Progress, Reply, Request
from plaudit.types import Comparison, Judgement

ANSWERS = (" Yes", " No")


@dataclass(frozen=True)
class Pointwise:
    """Is this observation good progress? Log-probability of yes against no."""

    fields: ClassVar = ("goal", "observation")
    prompt: prompts.Prompt
    """Has the fields ``$goal`` and ``$observation``."""
    chat: bool = False
    """Whether to use the model's chat template."""
    sharpness: float = 2.0
    """How decided P(a > b) is when two scores lie one standard deviation apart."""

    def judge(self, llm: LLM, goal: str, texts: Sequence[str], progress: Progress | None = None) -> list[Judgement]:
        """One judgement for each description, in order."""
        asked = [
            Request(self.prompt.fill(goal=goal, observation=text), chat=self.chat, answers=ANSWERS) for text in texts
        ]
        return [_judgement(t, r) for t, r in zip(texts, llm.choose(asked, progress), strict=True)]

    def compare(self, llm: LLM, goal: str, pairs: Sequence[Pair], progress: Progress | None = None) -> list[Comparison]:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        return self.pair_up(self.judge(llm, goal, texts, progress), pairs)

    def pair_up(self, judgements: Sequence[Judgement], pairs: Sequence[Pair]) -> list[Comparison]:
        """Comparisons out of scores; a pair with a failed judgement fails with it."""
        by_text = {j.text: j for j in judgements}
        scale = self.sharpness / max(float(np.std([j.value for j in judgements if j.value is not None] or [1])), 1e-6)
        paid: set[str] = set()  # each judgement's cost goes to the first pair that uses it
        return [_comparison(by_text[a], by_text[b], scale, paid) for a, b in pairs]

    def requests(self, pairs: Sequence[Pair]) -> int:
        return len({text for pair in pairs for text in pair})


def _judgement(text: str, reply: Reply) -> Judgement:
    spent = {"tokens": reply.prompt_tokens + reply.new_tokens, "seconds": reply.seconds, "usd": reply.usd}
    if reply.status != "ok":
        return Judgement(text, reply.status, None, reply.error, **spent)  # type: ignore[arg-type]
    yes, no = reply.logprobs
    if not (math.isfinite(yes) and math.isfinite(no)):
        return Judgement(text, "error", None, f"log-probabilities that are not finite: {yes}, {no}", **spent)  # type: ignore[arg-type]
    return Judgement(text, "ok", yes - no, f"log P(Yes) = {yes:.3f}, log P(No) = {no:.3f}", **spent)  # type: ignore[arg-type]


def _comparison(a: Judgement, b: Judgement, scale: float, paid: set[str]) -> Comparison:
    fresh = [j for j in (a, b) if j.text not in paid]
    paid.update(j.text for j in fresh)
    spent: dict[str, Any] = {k: sum(getattr(j, k) for j in fresh) for k in ("tokens", "seconds", "usd")}
    reply = f"{a.reply} | {b.reply}"
    if a.value is None or b.value is None:
        status = a.status if a.value is None else b.status
        return Comparison(a.text, b.text, status, None, reply=reply, **spent)
    difference = np.clip(scale * (a.value - b.value), -30, 30)
    return Comparison(a.text, b.text, "ok", float(1 / (1 + np.exp(-difference))), reply=reply, **spent)
