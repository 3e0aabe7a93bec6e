"""Pairwise in both orders: which of two observations shows more progress? Log-probabilities of " A" and " B".

Every pair is asked with either observation in the first seat and the two probabilities are averaged, which cancels a
preference for a seat (RLAIF, arXiv 2309.00267); how often the verdict changed with the seats is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from plaudit import prompts
from plaudit.judging.base import Pair
from plaudit.llms.base import LLM, Progress, Reply, Request
from plaudit.types import Comparison

ANSWERS = (" A", " B")


@dataclass(frozen=True)
class Pairwise:
    """Which of two shows more progress? Log-probabilities, both orders."""

    fields: ClassVar = ("goal", "first", "second")
    prompt: prompts.Prompt
    """Has the fields ``$goal``, ``$first`` and ``$second``."""
    chat: bool = False
    """Whether to use the model's chat template."""

    def compare(self, llm: LLM, goal: str, pairs: Sequence[Pair], progress: Progress | None = None) -> list[Comparison]:
        asked = [self._request(goal, *seats) for a, b in pairs for seats in ((a, b), (b, a))]
        replies = llm.choose(asked, progress)
        return [_comparison(p, f, b) for p, f, b in zip(pairs, replies[::2], replies[1::2], strict=True)]

    def requests(self, pairs: Sequence[Pair]) -> int:
        return len({seats for a, b in pairs for seats in ((a, b), (b, a))})

    def _request(self, goal: str, first: str, second: str) -> Request:
        return Request(self.prompt.fill(goal=goal, first=first, second=second), chat=self.chat, answers=ANSWERS)


def _first_seat(reply: Reply) -> float:
    """P(first seat) among the two answers: softmax of their log-probabilities."""
    a, b = reply.logprobs
    return float(1 / (1 + np.exp(np.clip(b - a, -30, 30))))


def _comparison(pair: Pair, forward: Reply, backward: Reply) -> Comparison:
    spent = {
        "tokens": sum(r.prompt_tokens + r.new_tokens for r in (forward, backward)),
        "seconds": forward.seconds + backward.seconds,
        "usd": forward.usd + backward.usd,
    }
    for reply in (forward, backward):
        if reply.status != "ok":
            return Comparison(*pair, reply.status, None, reply=reply.error, **spent)  # type: ignore[arg-type]
    there, back = _first_seat(forward), 1 - _first_seat(backward)
    said = f"P(A) = {there:.3f}; seats swapped: P(A) = {1 - back:.3f}"
    return Comparison(*pair, "ok", (there + back) / 2, there, back, said, **spent)  # type: ignore[arg-type]
