"""Pairwise: which of two observations shows more progress? Log-probabilities of " A" and " B".

Asked in both orders, the two probabilities are averaged; how often the verdict changed with the seats is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from plaudit import prompts
from plaudit.judging.base import Pair
from plaudit.judging.replies import checked, probabilities
from plaudit.judging.seated import Answer, Seated
from plaudit.llms.base import LLM, Arrived, Image, Reply, Request

ANSWERS = (" A", " B")


@dataclass(frozen=True)
class Pairwise(Seated):
    """Which of two shows more progress? Log-probabilities, both orders."""

    fields: ClassVar = ("goal", "first", "second")
    prompt: prompts.Prompt
    """Has the fields ``$goal``, ``$first`` and ``$second``."""
    chat: bool = False
    """Whether to use the model's chat template."""
    both_orders: bool = True
    """Whether each pair is asked with either observation in the first seat; False for ablation."""
    pictures: Mapping[str, Image] | None = None
    """For a judge that sees: the picture of each description. The text is shown where the prompt has a field for it."""

    def ask(self, llm: LLM, goal: str, seated: Sequence[Pair], arrived: Arrived | None) -> list[Answer]:
        # A prompt with pictures is a whole turn of a chat, and an answer that begins a turn has no space before it.
        answers = ANSWERS if self.pictures is None else tuple(answer.strip() for answer in ANSWERS)
        requests = [
            Request(
                self.prompt.fill(goal=goal, first=seats[0], second=seats[1]),
                chat=self.chat,
                answers=answers,
                images=self.shown(seats),
            )
            for seats in seated
        ]
        replies = llm.choose(requests, arrived)
        return [_answer(checked(reply, len(ANSWERS))) for reply in replies]


def _answer(reply: Reply) -> Answer:
    if reply.status != "ok":
        return Answer(reply, reply.status, 0.5, reply.error)
    first = float(probabilities(reply)[0])
    return Answer(reply, "ok", first, f"P(A) = {first:.3f}")
