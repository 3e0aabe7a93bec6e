"""What an OpenAI-compatible server sent, read strictly: a text, top log-probabilities, votes, usage, or what went wrong.

Everything here takes plain JSON and trusts none of it: an answer that is not what it should be raises
:class:`Unusable`, and never becomes a number. Sources: https://platform.openai.com/docs/api-reference (completions,
chat, errors); llama-server answers completions with the chat form of log-probabilities, so both forms are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import openai

from plaudit.budget import CHARACTERS
from plaudit.llms.reading import declines

LONGEST_WAIT = 300.0
"""Seconds; a server that asks to wait longer is given up."""
FILTERED = {"content_filter", "content_policy_violation", "responsible_ai_policy_violation"}
LOGPROB_SLACK = 1e-3
"""Probabilities are computed in low precision, so that a sum may pass 1 by a little."""


class Unusable(Exception):
    """A reply that cannot be used; ``refused`` where the model or its server declined."""

    def __init__(self, words: str, refused: bool = False) -> None:
        super().__init__(words)
        self.refused = refused


@dataclass(frozen=True)
class Fault:
    """What a failed request means."""

    kind: Literal["again", "final", "refused", "fatal"]
    """Worth repeating; this request fails; declined; every request will fail."""
    words: str
    throttled: bool = False
    """429 or 503: the server has too much to do."""
    wait: float | None = None
    """Seconds that the server asked to wait."""


class Failed(Exception):
    """A request came to nothing."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


def fault(error: Exception) -> Fault:
    """What an exception of the client means."""
    if isinstance(error, Unusable):
        return Fault("refused" if error.refused else "again", str(error))
    if isinstance(error, openai.APITimeoutError):
        return Fault("again", "no answer within the time-out")
    if isinstance(error, openai.APIStatusError):
        words = message(error.body) or error.response.reason_phrase
        return status_fault(error.status_code, error.code, words, error.response.headers)
    if isinstance(error, openai.APIConnectionError):
        return Fault("again", f"the connection failed: {error.__cause__ or error}")
    return Fault("again", f"the answer could not be read: {type(error).__name__}: {error}")


def status_fault(status: int, code: Any, message: str, headers: Mapping[str, str]) -> Fault:
    """What an HTTP status other than 200 means."""
    words = f"HTTP {status}: {message}"
    if status in (401, 403) or code == "insufficient_quota":
        return Fault("fatal", words)
    if code in FILTERED:
        return Fault("refused", words)
    if status in (408, 409, 429) or (status >= 500 and status != 501):
        wait = _retry_after(headers)
        if wait is not None and wait > LONGEST_WAIT:
            return Fault("final", f"{words} (it asks to wait {wait:.0f} s)", status in (429, 503))
        return Fault("again", words, status in (429, 503), wait)
    return Fault("final", words)


def message(body: Any) -> str:
    """The words of an error's body, however it is nested."""
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error") or body
    if isinstance(body, Mapping):
        body = body.get("message") or body
    return " ".join(str(body).split())[:300] if body else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number of seconds or a date."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            now = parsedate_to_datetime(headers.get("date", "")).timestamp()
            seconds = parsedate_to_datetime(value).timestamp() - now  # by the server's own clock
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def usage(body: Any, prompt: str) -> tuple[int, int]:
    """Tokens read and written, as the server counts them; estimated from the length where it does not."""
    counts = body.get("usage") if isinstance(body, dict) else None
    if isinstance(counts, dict):
        read, written = counts.get("prompt_tokens"), counts.get("completion_tokens", 0)
        if isinstance(read, int) and isinstance(written, int) and min(read, written) >= 0:
            return read, written
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list):
        return 0, 0
    return math.ceil(len(prompt) / CHARACTERS), sum(len(str(_said(c))) for c in choices) // CHARACTERS + len(choices)


def _said(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return None
    message = choice.get("message")
    return message.get("content") if isinstance(message, dict) else choice.get("text")


def choices(body: Any) -> list[dict[str, Any]]:
    """The choices of an answer, at least one."""
    if not isinstance(body, dict):
        raise Unusable(f"the answer is no JSON object but {type(body).__name__}")
    found = body.get("choices")
    if not isinstance(found, list) or not found:
        raise Unusable("the answer has no choices")
    if not all(isinstance(choice, dict) for choice in found):
        raise Unusable("a choice of the answer is no JSON object")
    return found


def text(choice: dict[str, Any]) -> str:
    """What was written."""
    message = choice.get("message")
    refusal = message.get("refusal") if isinstance(message, dict) else None
    if choice.get("finish_reason") == "content_filter":
        raise Unusable("the server's content filter stopped the answer", refused=True)
    if refusal:
        raise Unusable(f"the model declined: {str(refusal)[:200]}", refused=True)
    said = _said(choice)
    if not isinstance(said, str):
        raise Unusable(f"the content is no text but {type(said).__name__}")
    return said


def first_token(choice: dict[str, Any]) -> list[tuple[str, float]]:
    """The likeliest first tokens with their log-probabilities, in either form that servers use."""
    text(choice)  # a filtered answer says so, though it may carry numbers
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        raise Unusable("the answer has no log-probabilities")
    content, older = logprobs.get("content"), logprobs.get("top_logprobs")
    pairs: list[tuple[Any, Any]] = []
    if isinstance(content, list) and content and isinstance(content[0], dict):
        listed = content[0].get("top_logprobs")
        if isinstance(listed, list):
            pairs = [(t.get("token"), t.get("logprob")) for t in listed if isinstance(t, dict)]
    elif isinstance(older, list) and older and isinstance(older[0], dict):
        pairs = list(older[0].items())
    if not pairs:
        raise Unusable("the answer has no log-probabilities of its first token")
    for token, value in pairs:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(token, str) or not number or not value <= LOGPROB_SLACK:  # NaN is not below anything
            raise Unusable(f"no log-probability: {token!r}: {value!r}")
    if sum(math.exp(value) for _, value in pairs) > 1 + 10 * LOGPROB_SLACK:
        raise Unusable("the log-probabilities add up to more than 1")
    return pairs


def has_logprobs(body: Any) -> bool:
    """Whether an answer that was asked for them carries log-probabilities; the rest of it must be sound."""
    choice = choices(body)[0]
    text(choice)
    try:
        return bool(first_token(choice))
    except Unusable:
        return False


def answer_logprob(body: Any, answer: str) -> tuple[float, int]:
    """Log-probability of the answer at the end of a repeated prompt, and its number of tokens.

    The answer's tokens are found from the end, because servers differ in how they count a text's beginning.
    """
    choice = choices(body)[0]
    text(choice)
    logprobs = choice.get("logprobs")
    tokens, values = (logprobs.get(k) if isinstance(logprobs, dict) else None for k in ("tokens", "token_logprobs"))
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values) or len(tokens) < 3:
        raise Unusable("the answer does not repeat the prompt with its log-probabilities")
    counts = body.get("usage")
    read = counts.get("prompt_tokens") if isinstance(counts, dict) else None
    end = read if isinstance(read, int) and 1 < read <= len(tokens) else len(tokens) - 1  # one more token was written
    spelt = [str(token).replace("▁", " ").replace("Ġ", " ") for token in tokens]
    found, total = "", 0.0
    for start in range(end - 1, 0, -1):
        value = values[start]
        if not isinstance(value, int | float) or isinstance(value, bool) or not value <= LOGPROB_SLACK:
            raise Unusable(f"no log-probability: {tokens[start]!r}: {value!r}")
        found, total = spelt[start] + found, total + min(0.0, float(value))
        space_before = answer[:1].isspace() and not found[:1].isspace() and spelt[start - 1].isspace()
        if found.strip() == answer.strip() and not space_before:  # else the space is a token of the answer, too
            return total, end - start
        if len(found) > len(answer) + 1:
            break
    raise Unusable(f"the repeated prompt does not end in the tokens of {answer!r} but in {found!r}")


def first_words(answers: Sequence[str]) -> list[str] | None:
    """The first word of each answer; None where two answers begin with the same."""
    words = [answer.split()[0] if answer.split() else "" for answer in answers]
    return words if len(set(words)) == len(words) and all(words) else None


def weigh(top: Sequence[tuple[str, float]], words: Sequence[str]) -> tuple[float, ...]:
    """Log-probability of each word among the likeliest tokens, with and without the space before it.

    The list is cut off by the server. A word below its end has at most the log-probability of its last token, and at
    most what the list leaves over; it is given that bound if the listed words have half of the probability. Otherwise
    the model is answering something else: that is a failure.
    """
    found = dict.fromkeys(words, 0.0)
    for token, value in top:
        if (word := token.replace("▁", " ").replace("Ġ", " ").strip()) in found:
            found[word] += math.exp(value)
    if sum(found.values()) < 0.5 and not all(found.values()):
        raise Unusable(f"the log-probabilities are of other tokens: {', '.join(repr(t) for t, _ in top[:5])}")
    rest = max(1e-9, 1 - sum(math.exp(value) for _, value in top))
    bound = math.log(min(rest, *(max(1e-9, math.exp(value)) for _, value in top)))
    return tuple(min(0.0, math.log(p)) if p > 0 else bound for p in found.values())


def space_first(top: Sequence[tuple[str, float]], words: Sequence[str]) -> float | None:
    """Log-probability of a single space as the first token, where it comes before the words; None where it does not."""
    spelt = [(token.replace("▁", " ").replace("Ġ", " "), value) for token, value in top]
    space = [value for token, value in spelt if token == " "]
    if not space or any(value > space[0] for _, value in spelt):
        return None
    found = sum(math.exp(value) for token, value in spelt if token.strip() in words)
    return min(0.0, space[0]) if found < math.exp(space[0]) else None


def vote(said: str, answers: Sequence[str]) -> int | None:
    """Which answer a text begins with, the longest if several; None for none."""
    plain = said.strip().strip("\"'*`").casefold()
    order = sorted(range(len(answers)), key=lambda i: -len(answers[i]))
    for i in order:
        answer = answers[i].strip().casefold()
        if answer and re.match(re.escape(answer) + r"(?!\w)", plain):
            return i
    return None


def count_votes(texts: Sequence[str], answers: Sequence[str]) -> tuple[tuple[float, ...], str]:
    """Log of each answer's share of the votes, half a vote added to each, and the count in words."""
    votes = [vote(said, answers) for said in texts]
    valid = [v for v in votes if v is not None]
    if 2 * len(valid) <= len(votes):
        refused = sum(map(declines, texts)) > len(valid)
        raise Unusable(f"only {len(valid)} of {len(votes)} votes are one of the answers: {texts[0][:80]!r}", refused)
    counts = [valid.count(i) for i in range(len(answers))]
    shares = tuple(math.log((n + 0.5) / (len(valid) + 0.5 * len(answers))) for n in counts)
    said = ", ".join(f"{a.strip()} {n}" for a, n in zip(answers, counts, strict=True))
    return shares, f"{len(votes)} votes: {said}, none of them {len(votes) - len(valid)}"
