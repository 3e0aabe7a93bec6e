"""How many lessons a model answers rightly when it is asked as it will be used: by log-probabilities, or in its own words.

    told = asked(llm, lessons)           # any back-end; behind a ledger nothing is asked twice
    share = float(np.mean([each.right for each in told]))

A judge's question is right by its answer, a pair by its order. An action is the likeliest of all that could be done, per
token, as the acting model chooses it; where the world does not list that, it is written and has to be the expert's word
for word. An action that is as good as the expert's counts as wrong. Leaves out sampling, thoughts, history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.finetune.lessons import Lesson
from plaudit.judging.replies import checked
from plaudit.llms.base import LLM, Reply, Request

MOST_WORDS = 48
"""Tokens of an action that has to be written."""


@dataclass(frozen=True)
class Told:
    """What became of one lesson."""

    right: float | None
    """1 where it was answered rightly, a share of that for a tie; None where the model failed."""
    tokens: int
    """Tokens of its questions and answers; of prompts that begin alike, counted in full."""
    seconds: float
    """Wall time, also where a ledger knew the answer."""
    error: str = ""
    """Why the model failed."""


def requests(lesson: Lesson) -> list[Request]:
    """What is asked about a lesson."""
    if lesson.kind == "action" and not lesson.choices:
        return [Request(prompt, max_tokens=MOST_WORDS, stop=("\n",)) for prompt in lesson.prompts]
    return [Request(prompt, answers=lesson.choices or lesson.answers) for prompt in lesson.prompts]


def chance(lessons: Iterable[Lesson]) -> float:
    """Share that a model without knowledge has right."""
    each = [0.5 if one.right is None else _chance(one) for one in lessons]
    return float(np.mean(each)) if each else float("nan")


def _chance(lesson: Lesson) -> float:
    weighed = len(lesson.choices or lesson.answers)
    return 1 / weighed if weighed > 1 else 0.0  # an answer that has to be written


def asked(llm: LLM, lessons: Sequence[Lesson], advance: Callable[[int], None] = lambda done: None) -> list[Told]:
    """Each lesson's outcome, in order; ``advance`` is told how many questions more are answered."""
    questions = [request for lesson in lessons for request in requests(lesson)]
    replies = answers(llm, questions, advance)
    return list(read(lessons, replies))


def answers(llm: LLM, questions: Sequence[Request], advance: Callable[[int], None]) -> list[Reply]:
    """Replies in order, of questions that have answers and of those that have none."""
    found: dict[int, Reply] = {}
    for ask, wanted in ((llm.choose, True), (llm.generate, False)):
        places = [place for place, request in enumerate(questions) if bool(request.answers) == wanted]
        if places:
            told = ask([questions[place] for place in places], lambda place, reply: advance(1))
            found |= dict(zip(places, told, strict=True))
    return [found[place] for place in range(len(questions))]


def read(lessons: Sequence[Lesson], replies: Iterable[Reply]) -> Iterator[Told]:
    """What the replies to the lessons' questions, one after the other, come to."""
    left = iter(replies)
    for lesson in lessons:
        asked_ = requests(lesson)
        own = [checked(next(left), len(one.answers)) if one.answers else next(left) for one in asked_]
        tokens = sum(reply.prompt_tokens + reply.new_tokens for reply in own)
        failed = next((reply.error or reply.status for reply in own if reply.status != "ok"), "")
        right = None if failed else _right(lesson, own)
        yield Told(right, tokens, sum(reply.seconds for reply in own), failed)


def _right(lesson: Lesson, replies: Sequence[Reply]) -> float:
    if lesson.kind != "action":
        import torch

        from plaudit.finetune import losses

        return losses.right(torch.tensor([reply.logprobs for reply in replies]), lesson.right)
    (reply,) = replies
    if not lesson.choices:
        said = reply.text.strip().removeprefix("Action:").strip().rstrip(".").lower()
        return float(said == lesson.answers[0].strip().lower())
    means = np.asarray(reply.logprobs) / np.maximum(1, reply.lengths or 1)
    best = means == means.max()
    return float(best[lesson.choices.index(lesson.answers[0])]) / int(best.sum())
