"""Generated rating: the LLM writes a number from 1 to 5; parsed strictly, asked once more where it cannot be read.

The form for models that reason in words or give no log-probabilities. A text that is not one number within the range is
a failure, never a guess. Few distinct numbers come back, so many pairs are ties.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from plaudit import prompts
from plaudit.judging.replies import ask_twice, failure
from plaudit.judging.scorer import Scorer
from plaudit.llms.base import LLM, Arrived, Image, Reply, Request
from plaudit.llms.reading import cost, quote
from plaudit.types import Judgement

LOW, HIGH = 1.0, 5.0
REMINDER = "\n\nAnswer with exactly one number from 1 to 5.\nRating:"
NUMBER = re.compile(
    r"(?:(?:rating|answer)\b)?[\s\"'*:()]*([+-]?[0-9]{1,6}(?:\.[0-9]{1,6})?)[\s\"'*.()]*", re.IGNORECASE
)


@dataclass(frozen=True)
class Rating(Scorer):
    """How far along is this observation, 1 to 5? A number in generated text."""

    fields: ClassVar = ("goal", "observation")
    prompt: prompts.Prompt
    """Has the fields ``$goal`` and ``$observation``."""
    chat: bool = False
    """Whether to use the model's chat template."""
    sharpness: float = 2.0
    """How decided P(a > b) is when two scores lie one standard deviation apart."""
    max_tokens: int = 8
    """New tokens of one answer; more for a model that reasons first."""
    pictures: Mapping[str, Image] | None = None
    """For a judge that sees: the picture of each description. The text is shown where the prompt has a field for it."""

    def judge_part(self, llm: LLM, goal: str, texts: Sequence[str], arrived: Arrived | None) -> list[Judgement]:
        requests = [
            Request(
                self.prompt.fill(goal=goal, observation=text),
                chat=self.chat,
                max_tokens=self.max_tokens,
                stop=("\n",),
                images=self.shown(text),
            )
            for text in texts
        ]
        replies = ask_twice(llm, requests, parse, REMINDER, arrived)
        return [_judgement(t, r) for t, r in zip(texts, replies, strict=True)]


def parse(text: str) -> float | None:
    """The one number that a reply consists of, if it lies within the range; None for anything else."""
    found = NUMBER.fullmatch(text.strip())
    value = float(found.group(1)) if found else None
    return value if value is not None and LOW <= value <= HIGH else None


def _judgement(text: str, reply: Reply) -> Judgement:
    if reply.status != "ok":
        return Judgement(text, reply.status, None, reply.error, **cost(reply))
    value = parse(reply.text)
    status = "ok" if value is not None else failure(reply.text)
    return Judgement(text, status, value, quote(reply.text), **cost(reply))
