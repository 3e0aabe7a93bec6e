"""A scripted model for tests: replies from a list or a function, with planted faults.

    ScriptedLLM(["A", "B"])                                                     # generate: these, in this order
    ScriptedLLM(score=lambda request: (0.0, -1.0), position_bias=2.0, noise=0.5)   # choose: prefers the first answer
    ScriptedLLM(lambda request: request.prompt[-1], failure_rate=0.1)              # every tenth request fails

Faults depend on the request and the seed only, never on the order or the company in which it is asked.
Left out: faults in the text itself (garbage, refusals): write them into the list or the function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from plaudit.errors import LLMError
from plaudit.llms.base import Arrived, Reply, Request, unheard

Say = Callable[[Request], str]
Score = Callable[[Request], Sequence[float]]


class ScriptedLLM:
    """Replies by script, for tests: texts from ``say``, log-probabilities from ``score``.

    Args:
        say: texts in the order in which they will be asked for, or a function of the request.
        score: function of the request: one log-probability (or any log-weight) for each of its answers.
        position_bias: nats added to the first answer of ``choose``, whatever it says.
        noise: standard deviation, in nats, of what is added to every answer.
        failure_rate: share of the requests whose status is ``error``.
        delay: seconds that each batch takes.
        seed: of noise and failures.
        name: identity for the ledger.
    """

    def __init__(
        self,
        say: Sequence[str] | Say = (),
        score: Score | None = None,
        *,
        position_bias: float = 0.0,
        noise: float = 0.0,
        failure_rate: float = 0.0,
        delay: float = 0.0,
        seed: int = 0,
        name: str = "scripted",
    ) -> None:
        self.name, self.seed, self.delay = name, seed, delay
        self.position_bias, self.noise, self.failure_rate = position_bias, noise, failure_rate
        self._say: Say = say if callable(say) else _in_order(iter(say))
        self._score: Score = score or (lambda request: [0.0] * len(request.answers))
        self.asked: list[Request] = []
        """Every request so far."""

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`. A token is a word."""
        return self._ask(requests, arrived, self._write)

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`. A token is a word."""
        return self._ask(requests, arrived, self._weigh)

    def close(self) -> None:
        """Nothing to free."""

    def _ask(
        self,
        requests: Sequence[Request],
        arrived: Arrived | None,
        answer: Callable[[Request, np.random.Generator], Reply],
    ) -> list[Reply]:
        self.asked += requests
        time.sleep(self.delay)
        replies = []
        for request in requests:
            random = np.random.default_rng([self.seed, int(request.key(self.name)[:12], 16)])
            failed = random.random() < self.failure_rate
            replies.append(Reply("error", error="scripted failure") if failed else answer(request, random))
            (arrived or unheard)(len(replies) - 1, replies[-1])
        return replies

    def _write(self, request: Request, random: np.random.Generator) -> Reply:
        text = self._say(request)
        return Reply("ok", text, prompt_tokens=len(request.prompt.split()), new_tokens=len(text.split()))

    def _weigh(self, request: Request, random: np.random.Generator) -> Reply:
        if not request.answers:
            return Reply("error", error="choose needs answers, got none")
        weights = np.array(self._score(request), dtype=float) + self.noise * random.normal(size=len(request.answers))
        weights[0] += self.position_bias
        # Log-probabilities as given; weights that are more than probabilities can be are scaled down to sum to 1.
        weights -= max(0.0, float(np.logaddexp.reduce(weights)))
        lengths = tuple(len(answer.split()) for answer in request.answers)
        words = len(request.prompt.split())
        return Reply("ok", "", tuple(weights.tolist()), lengths, prompt_tokens=words, new_tokens=sum(lengths))


def _in_order(texts: Iterator[str]) -> Say:
    def say(request: Request) -> str:
        for text in texts:
            return text
        raise LLMError("the script has run out of replies; give ScriptedLLM more texts, or a function")

    return say
