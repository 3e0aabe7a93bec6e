"""Protocols that ask about one observation at a time: a score for each, and any number of pairs at no further cost.

P(a > b) = sigmoid(sharpness * (s_a - s_b) / standard deviation of s). Equal scores are a tie.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from plaudit.judging.base import Pair, part_size
from plaudit.judging.replies import checked
from plaudit.llms.base import LLM, Arrived, Image, Reply, Request
from plaudit.llms.reading import cost
from plaudit.prompts import Prompt
from plaudit.types import Comparison, Judgement


class Scorer(ABC):
    """A protocol whose questions are about one observation each."""

    sharpness: float
    """How decided P(a > b) is when two scores lie one standard deviation apart."""
    pictures: Mapping[str, Image] | None
    """For a judge that sees: the picture of each description."""

    @abstractmethod
    def judge_part(self, llm: LLM, goal: str, texts: Sequence[str], arrived: Arrived | None) -> list[Judgement]:
        """One judgement for each of a few descriptions, in order."""

    def judge(self, llm: LLM, goal: str, texts: Sequence[str], arrived: Arrived | None = None) -> list[Judgement]:
        """One judgement for each description, in order."""
        judged: list[Judgement] = []
        size = part_size(llm)
        for start in range(0, len(texts), size):
            judged += self.judge_part(llm, goal, texts[start : start + size], arrived)
        return judged

    def compare(self, llm: LLM, goal: str, pairs: Sequence[Pair], arrived: Arrived | None = None) -> list[Comparison]:
        """One comparison for each pair; every distinct description is asked about once."""
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        return self.pair_up(self.judge(llm, goal, texts, arrived), pairs)

    def pair_up(self, judgements: Sequence[Judgement], pairs: Sequence[Pair]) -> list[Comparison]:
        """Comparisons out of scores; a pair with a failed judgement fails with it."""
        number = {j.text: i for i, j in enumerate(judgements)}
        numbers = np.array([(number[a], number[b]) for a, b in pairs], np.int64).reshape(-1, 2)
        scale = self.scale(j.value for j in judgements if j.value is not None)
        by_number = dict(enumerate(judgements))
        return list(paired(by_number, numbers, scale, np.zeros(len(judgements), bool)))

    def scale(self, values: Iterable[float]) -> float:
        """Log-odds for each unit by which two of these scores differ."""
        return self.sharpness / max(float(np.std(list(values) or [1])), 1e-6)

    def requests(self, pairs: Sequence[Pair]) -> int:
        """One for each distinct description."""
        return len({text for pair in pairs for text in pair})

    def shown(self, text: str) -> tuple[Image, ...]:
        """The pictures that belong to the question about this description."""
        return () if self.pictures is None else (self.pictures[text],)


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
    pictures: Mapping[str, Image] | None = None
    """For a judge that sees: the picture of each description. The text is shown where the prompt has a field for it."""

    @abstractmethod
    def score(self, reply: Reply) -> tuple[float, str]:
        """The number, and what was said, of a reply that is whole."""

    def judge_part(self, llm: LLM, goal: str, texts: Sequence[str], arrived: Arrived | None) -> list[Judgement]:
        # A prompt with a picture is a whole turn of a chat, and an answer that begins a turn has no space before it.
        answers = self.answers if self.pictures is None else tuple(answer.strip() for answer in self.answers)
        asked = [
            Request(
                self.prompt.fill(goal=goal, observation=text),
                chat=self.chat,
                answers=answers,
                images=self.shown(text),
            )
            for text in texts
        ]
        return [self._judgement(t, r) for t, r in zip(texts, llm.choose(asked, arrived), strict=True)]

    def _judgement(self, text: str, reply: Reply) -> Judgement:
        reply = checked(reply, len(self.answers))
        if reply.status != "ok":
            return Judgement(text, reply.status, None, reply.error, **cost(reply))
        value, said = self.score(reply)
        return Judgement(text, "ok", value, said, **cost(reply))


def preferences(first: NDArray[np.float64], second: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """P(first is better) of these scores, ``(n,)``; NaN where either is."""
    with np.errstate(invalid="ignore"):
        return 1 / (1 + np.exp(-np.clip(scale * (first - second), -30, 30)))


def paired(
    judged: Mapping[int, Judgement], pairs: NDArray[np.int64], scale: float, paid: NDArray[np.bool_]
) -> Iterator[Comparison]:
    """Comparisons of judgements by number; a judgement's cost goes to the first pair that uses it, then it is ``paid``."""
    for a, b in pairs.tolist():
        fresh = [judged[i] for i in (a, b) if not paid[i]]
        paid[[a, b]] = True
        yield _comparison(judged[a], judged[b], scale, fresh)


def _comparison(a: Judgement, b: Judgement, scale: float, fresh: Sequence[Judgement]) -> Comparison:
    spent: dict[str, Any] = {k: sum(getattr(j, k) for j in fresh) for k in ("tokens", "seconds", "usd")}
    reply = f"{a.reply} | {b.reply}"
    if a.value is None or b.value is None:
        status = a.status if a.value is None else b.status
        return Comparison(a.text, b.text, status, None, reply=reply, **spent)
    if a.value == b.value:
        return Comparison(a.text, b.text, "tie", 0.5, reply=reply, **spent)
    difference = np.clip(scale * (a.value - b.value), -30, 30)
    return Comparison(a.text, b.text, "ok", float(1 / (1 + np.exp(-difference))), reply=reply, **spent)
