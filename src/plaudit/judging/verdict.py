"""Generated verdict: the LLM writes A, B or neither; parsed strictly, asked once more where it cannot be read.

The form for models that reason in words or give no log-probabilities. Both orders are asked; where they contradict each
other the pair is a tie. An answer that is not one of the three words is ``unparsed``, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from plaudit import prompts
from plaudit.judging.base import Pair
from plaudit.llms.base import LLM, Progress, Reply, Request
from plaudit.types import Comparison, JudgementStatus

VALUES = {"a": 1.0, "b": 0.0, "neither": 0.5}
REMINDER = "\n\nAnswer with exactly one word: A, B, or neither.\nAnswer:"


@dataclass(frozen=True)
class Verdict:
    """Which of two shows more progress? Answered in words, both orders."""

    fields: ClassVar = ("goal", "first", "second")
    prompt: prompts.Prompt
    """Has the fields ``$goal``, ``$first`` and ``$second``."""
    chat: bool = False
    """Whether to use the model's chat template."""
    max_tokens: int = 8
    """New tokens of one answer; more for a model that reasons first."""

    def compare(self, llm: LLM, goal: str, pairs: Sequence[Pair], progress: Progress | None = None) -> list[Comparison]:
        texts = [self.prompt.fill(goal=goal, first=x, second=y) for a, b in pairs for x, y in ((a, b), (b, a))]
        replies = llm.generate([self._request(t) for t in texts], progress)
        unread = [i for i, r in enumerate(replies) if r.status == "ok" and parse(r.text) is None]
        again = llm.generate([self._request(texts[i] + REMINDER) for i in unread], None) if unread else []
        for i, reply in zip(unread, again, strict=True):
            replies[i] = reply
        return [_comparison(p, f, b) for p, f, b in zip(pairs, replies[::2], replies[1::2], strict=True)]

    def requests(self, pairs: Sequence[Pair]) -> int:
        return len({seats for a, b in pairs for seats in ((a, b), (b, a))})

    def _request(self, text: str) -> Request:
        return Request(text, chat=self.chat, max_tokens=self.max_tokens, stop=("\n",))


def parse(text: str) -> float | None:
    """P(first seat) of a verdict: 1, 0, or 0.5 for neither; None for anything else."""
    word = re.sub(r"[\s\"'*.:()]+", " ", text).strip().lower()
    return VALUES.get(word.removeprefix("answer").strip())


def _comparison(pair: Pair, forward: Reply, backward: Reply) -> Comparison:
    both = (forward, backward)
    spent = {
        "tokens": sum(r.prompt_tokens + r.new_tokens for r in both),
        "seconds": sum(r.seconds for r in both),
        "usd": sum(r.usd for r in both),
    }
    said = f"{forward.text.strip()!r}; seats swapped: {backward.text.strip()!r}"
    for reply in both:
        if reply.status != "ok":
            return Comparison(*pair, reply.status, None, reply=reply.error, **spent)  # type: ignore[arg-type]
    there, back = parse(forward.text), parse(backward.text)
    if there is None or back is None:
        return Comparison(*pair, "unparsed", None, reply=said, **spent)  # type: ignore[arg-type]
    probability = (there + 1 - back) / 2
    status: JudgementStatus = "tie" if probability == 0.5 else "ok"
    return Comparison(*pair, status, probability, there, 1 - back, said, **spent)  # type: ignore[arg-type]
