"""What every protocol does with a reply: read it strictly, ask once more, name the failure, count the cost.

A reply that cannot be read is never guessed at. It is ``refused`` where it opens as models decline in English, else
``unparsed``; both are failures, so that a refusal in another language, which counts as unparsed, does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plaudit.llms.base import LLM, Arrived, Reply, Request
from plaudit.llms.reading import declines
from plaudit.types import JudgementStatus


def failure(text: str) -> JudgementStatus:
    """The status of a text that does not hold an answer."""
    return "refused" if declines(text) else "unparsed"


def ask_twice(
    llm: LLM,
    requests: Sequence[Request],
    read: Callable[[str], float | None],
    reminder: str,
    arrived: Arrived | None = None,
) -> list[Reply]:
    """Generated replies; each that ``read`` cannot read is asked once more, with a reminder of the form."""
    replies = llm.generate(requests, arrived)
    unread = [i for i, r in enumerate(replies) if r.status == "ok" and read(r.text) is None]
    again = [replace(requests[i], prompt=requests[i].prompt + reminder) for i in unread]
    for i, second in zip(unread, llm.generate(again) if again else [], strict=True):
        first = replies[i]  # it was paid for, too
        replies[i] = replace(
            second,
            prompt_tokens=first.prompt_tokens + second.prompt_tokens,
            new_tokens=first.new_tokens + second.new_tokens,
            seconds=first.seconds + second.seconds,
            usd=first.usd + second.usd,
        )
    return replies


def checked(reply: Reply, answers: int) -> Reply:
    """A reply of ``choose``, made an error where it does not hold one finite log-probability for each answer."""
    if reply.status == "ok" and (len(reply.logprobs) != answers or not all(map(math.isfinite, reply.logprobs))):
        error = (
            f"{answers} finite log-probabilities were expected, got {', '.join(map(str, reply.logprobs[:9])) or 'none'}"
        )
        return replace(reply, status="error", error=error)
    return reply


def probabilities(reply: Reply) -> NDArray[np.float64]:
    """How the answers of a checked reply share all probability among themselves, ``(answers,)``."""
    weights = np.exp(np.array(reply.logprobs) - max(reply.logprobs))
    return weights / weights.sum()
