"""Generated verdict: the LLM writes A, B or neither; parsed strictly, asked once more where it cannot be read.

The form for models that reason in words or give no log-probabilities. Where the two orders contradict each other the
pair is a tie. An answer that is not one of the three words is a failure, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from plaudit import prompts
from plaudit.judging.base import Pair
from plaudit.judging.replies import ask_twice, failure
from plaudit.judging.seated import Answer, Seated
from plaudit.llms.base import LLM, Arrived, Image, Reply, Request
from plaudit.llms.reading import quote

VALUES = {"a": 1.0, "b": 0.0, "neither": 0.5}
REMINDER = "\n\nAnswer with exactly one word: A, B, or neither.\nAnswer:"


@dataclass(frozen=True)
class Verdict(Seated):
    """Which of two shows more progress? Answered in words, both orders."""

    fields: ClassVar = ("goal", "first", "second")
    prompt: prompts.Prompt
    """Has the fields ``$goal``, ``$first`` and ``$second``."""
    chat: bool = False
    """Whether to use the model's chat template."""
    both_orders: bool = True
    """Whether each pair is asked with either observation in the first seat; False for ablation."""
    max_tokens: int = 8
    """New tokens of one answer; more for a model that reasons first."""
    pictures: Mapping[str, Image] | None = None
    """For a judge that sees: the picture of each description. The text is shown where the prompt has a field for it."""

    def ask(self, llm: LLM, goal: str, seated: Sequence[Pair], arrived: Arrived | None) -> list[Answer]:
        requests = [
            Request(
                self.prompt.fill(goal=goal, first=seats[0], second=seats[1]),
                chat=self.chat,
                max_tokens=self.max_tokens,
                stop=("\n",),
                images=self.shown(seats),
            )
            for seats in seated
        ]
        return [_answer(reply) for reply in ask_twice(llm, requests, parse, REMINDER, arrived)]


def parse(text: str) -> float | None:
    """P(first seat) of a verdict: 1, 0, or 0.5 for neither; None for anything else."""
    word = re.sub(r"[\s\"'*.:()]+", " ", text).strip().lower()
    return VALUES.get(word.removeprefix("answer").strip())


def _answer(reply: Reply) -> Answer:
    if reply.status != "ok":
        return Answer(reply, reply.status, 0.5, reply.error)
    first, said = parse(reply.text), repr(quote(reply.text))
    return Answer(reply, failure(reply.text), 0.5, said) if first is None else Answer(reply, "ok", first, said)
