"""What is sent to a server for one question, and how what comes back is read.

A question is a generator: it yields requests that can be sent side by side, is given what was read from their answers, and
returns the reply. So the same question can be put directly or through the provider's batch API, and is read alike.

How ``choose`` is answered, the first that can be: one-word answers by the log-probabilities of the first token; answers
of several words, where the server repeats a prompt with its log-probabilities, by those of prompt and answer together;
else, or where two answers begin with the same word, by votes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from plaudit.llms import openai_reading as reading
from plaudit.llms.base import Reply, Request
from plaudit.llms.openai_ways import Way


@dataclass(frozen=True)
class Ask:
    """One HTTP request."""

    path: str
    """Behind the base URL."""
    body: dict[str, Any]
    """Its JSON, without the model's name."""
    prompt: str
    """The text in it, for an estimate of its tokens."""
    read: Callable[[Any], Any]
    """What the answer's JSON says; raises :class:`plaudit.llms.openai_reading.Unusable`."""

    def identity(self, server: str) -> str:
        """Hex name of this request to this server and model, short enough for every batch API."""
        return hashlib.sha256(json.dumps([server, self.path, self.body], sort_keys=True).encode()).hexdigest()[:48]


BLIND = "the server has completions only, which take no images. Name a model that sees, or leave them out"
Question = Generator[list[Ask], list[Any], Reply]


def write(way: Way, request: Request) -> Question:
    """A text."""
    if not _shows(way, request):
        return Reply("error", error=BLIND)
    body = way.body(request.prompt, request.max_tokens, images=request.images)
    body |= {"temperature": request.temperature}
    body |= {"stop": list(request.stop)} if request.stop else {}
    body |= {"seed": request.seed} if request.temperature else {}
    (said,) = yield [Ask(way.path, body, request.prompt, lambda got: reading.text(reading.choices(got)[0]))]
    for stop in request.stop:  # not every server keeps to it
        said = said.partition(stop)[0]
    return Reply("ok", said)


def choose(way: Way, request: Request, votes: int) -> Question:
    """Log-probabilities of the answers."""
    if not request.answers:
        return Reply("error", error="choose needs answers, got none")
    if not _shows(way, request):
        return Reply("error", error=BLIND)
    words = reading.first_words(request.answers) if way.listed else None
    if way.echo and (not words or any(len(answer.split()) > 1 for answer in request.answers)):
        return (yield from _score(way, request))
    if words:
        return (yield from _weigh(way, request, words))
    return (yield from _poll(way, request, votes))


def _shows(way: Way, request: Request) -> bool:
    """Whether the request's images, if it has any, can be sent; only a chat can."""
    return not request.images or way.endpoint == "chat"


def _weigh(way: Way, request: Request, words: list[str]) -> Question:
    splits = way.endpoint == "completions" and all(answer.startswith(" ") for answer in request.answers)

    def read(got: Any) -> float | tuple[float, ...]:
        top = reading.first_token(reading.choices(got)[0])
        space = reading.space_first(top, words) if splits else None
        return reading.weigh(top, words) if space is None else space

    def ask(prompt: str, read: Callable[[Any], Any]) -> Ask:
        return Ask(
            way.path, way.body(prompt, 1, logprobs=True, images=request.images) | {"temperature": 0.0}, prompt, read
        )

    (weights,) = yield [ask(request.prompt, read)]
    if isinstance(weights, tuple):
        return Reply("ok", "by log-probabilities of the first token", weights, (1,) * len(words))
    # The model writes the space as a token of its own, as many do before a digit: the word is the second one.
    space, splits = weights, False
    (weights,) = yield [ask(request.prompt + " ", read)]
    return Reply(
        "ok",
        "by log-probabilities of the token after a space",
        tuple(space + weight for weight in weights),
        (2,) * len(words),
    )


def _score(way: Way, request: Request) -> Question:
    """Exact, for any answer; the server reads the prompt once for each."""
    asks = [scoring(way, request.prompt, answer) for answer in request.answers]
    scored = yield asks
    weights, lengths = zip(*scored, strict=True)
    return Reply("ok", "by log-probabilities of whole answers", weights, lengths)


def scoring(way: Way, prompt: str, answer: str) -> Ask:
    """The log-probability of an answer behind a prompt, and its number of tokens."""
    body = way.body(prompt + answer, 1) | {"logprobs": 1, "echo": True, "temperature": 0.0}
    return Ask(way.path, body, prompt + answer, lambda got: reading.answer_logprob(got, answer))


def _poll(way: Way, request: Request, votes: int) -> Question:
    longest = max(map(len, request.answers))
    body = way.body(request.prompt, max(4, longest // 2), images=request.images) | {"temperature": 1.0}

    def ask(count: int, seed: int) -> Ask:
        asked = body | {"n": count, "seed": seed}
        return Ask(way.path, asked, request.prompt, lambda got: list(map(reading.text, reading.choices(got))))

    texts: list[str] = []
    for answer in (yield [ask(votes, request.seed)]):
        texts += answer
    while len(texts) < votes:  # a server that does not know n gives one choice each time
        seeds = range(request.seed + len(texts), request.seed + votes)
        for answer in (yield [ask(1, seed) for seed in seeds]):
            texts += answer
    weights, counted = reading.count_votes(texts[:votes], request.answers)
    return Reply("ok", f"by {counted}", weights, (1,) * len(request.answers))
