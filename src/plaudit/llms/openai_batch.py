"""Questions through a provider's batch API: /v1/files and /v1/batches, at half the price, within 24 hours.

    plaudit run doorkey --llm openai:MODEL --llm.batch 500      # calls of 500 questions and more go this way

The requests of a call are written as JSON lines, uploaded, made into batches, waited for and read as direct answers are.
What a batch leaves open (expired, failed at the provider, missing, unusable) goes into another one, twice. Requests are
named by their contents: a process that was killed finds its batches in the ledger (:mod:`plaudit.llms.batches`), and takes
their answers instead of asking again. A batch that may or may not have been made is looked for at the provider by its tag.

Left out: cancelling a batch (it goes on when a run is ended, and the same command picks it up), and deleting files at the
provider, which does it after 30 days. Source: https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from plaudit.errors import LLMError
from plaudit.llms import openai_reading as reading
from plaudit.llms.base import Reply, Request
from plaudit.llms.batches import Batch, Batches
from plaudit.llms.openai_asking import Ask, Question
from plaudit.llms.openai_batch_files import MOST_REQUESTS, Outcome, Provider, error_list, errors, files, read_line
from plaudit.llms.openai_reading import Failed

T = TypeVar("T")
log = logging.getLogger(__name__)
WINDOW = 4 * MOST_REQUESTS
"""Questions of one call."""
ROUNDS = 3
"""Batches that one request may be in before it counts as failed."""
FIRST_PAUSE, LONGEST_PAUSE, PAUSE_GROWTH = 1.0, 60.0, 1.3
PATIENCE = 60
"""Times in a row that a provider may fail to say how a batch stands."""
ENDED = {"completed", "failed", "expired", "cancelled", "gone"}
"""The provider's words; ``gone`` is ours for a batch that it no longer has."""
TOO_MANY = {"token_limit_exceeded", "request_limit_exceeded", "batch_limit_exceeded"}
"""Codes of a batch that was not taken because too much is waiting already."""


@dataclass
class _Course:
    """A question on its way."""

    request: Request
    question: Question
    asks: list[tuple[str, Ask]]
    read: int = 0
    written: int = 0


class BatchRunner:
    """Questions through batches.

    Args:
        provider: where to.
        server: the server's and model's names, part of each request's identity.
        model: the model's name, as requests hold it.
        batches: what is under way.
        waiting: called while there is nothing to do but wait.
    """

    def __init__(
        self, provider: Provider, server: str, model: str, batches: Batches, waiting: Callable[[], None]
    ) -> None:
        self.provider, self.server, self.model, self.batches, self.waiting = provider, server, model, batches, waiting
        self.most = MOST_REQUESTS
        self._over: list[str] = []

    def settle(self) -> None:
        """Forget the batches of calls that have ended: their answers are stored by now."""
        self.batches.forget(self._over)
        self._over = []

    def begun(self, requests: Iterable[Request], question: Callable[[Request], Question]) -> bool:
        """Whether any of these is in a batch already."""
        if not self.batches.any():
            return False
        names = {name for request in requests for name, _ in self._named(next(question(request), []))}
        return bool(self.batches.with_any(names))

    def answer(
        self, requests: Sequence[Request], question: Callable[[Request], Question]
    ) -> Iterator[tuple[Request, Reply, int, int]]:
        """Requests with their replies and tokens, as they come in."""
        tags: list[str] = []
        going, over = self._advance([_Course(request, question(request), []) for request in requests], {})
        yield from over
        while going:
            outcomes: dict[str, Outcome] = {}
            asks = dict(pair for course in going for pair in course.asks)
            for _ in self._round(asks, outcomes, tags):
                ready = [c for c in going if all(name in outcomes for name, _ in c.asks)]
                waiting = [c for c in going if any(name not in outcomes for name, _ in c.asks)]
                more, over = self._advance(ready, outcomes)
                yield from over
                going = waiting + more
        self._over += tags

    def _advance(
        self, courses: list[_Course], outcomes: dict[str, Outcome]
    ) -> tuple[list[_Course], list[tuple[Request, Reply, int, int]]]:
        """Tell each question what was read: those that go on, and those that have their reply."""
        going, over = [], []
        for course in courses:
            got = [outcomes[name] for name, _ in course.asks]
            course.read += sum(each.read for each in got)
            course.written += sum(each.written for each in got)
            for each in got:
                each.read = each.written = 0  # a request that two questions share is paid for once
            reply: Reply | None = None
            try:
                if fault := next((each.fault for each in got if each.fault), None):
                    reply = _failure(fault)
                else:
                    course.asks = self._named(course.question.send([each.value for each in got] if got else None))  # type: ignore[arg-type]
                    going.append(course)
            except StopIteration as end:
                reply = end.value
            except reading.Unusable as problem:
                reply = _failure(reading.fault(problem))
            if reply is not None:
                over.append((course.request, reply, course.read, course.written))
        return going, over

    def _named(self, asks: list[Ask]) -> list[tuple[str, Ask]]:
        return [(ask.identity(self.server), ask) for ask in asks]

    def _round(self, asks: dict[str, Ask], outcomes: dict[str, Outcome], tags: list[str]) -> Iterator[None]:
        """Fill ``outcomes`` with what becomes of these requests; yields after each batch."""
        left = {name: Outcome() for name in asks}

        batches = [known for batch in self.batches.with_any(asks) if (known := self._certain(batch))]
        while left:
            for batch in batches:
                tags.append(batch.tag)
                self._take(batch, asks, left)
                for name in [name for name, each in left.items() if each.tries >= ROUNDS or each.settled]:
                    outcomes[name] = left.pop(name)
                yield
            batches = self._submit({name: asks[name] for name in left})

    def _certain(self, batch: Batch) -> Batch | None:
        """A batch whose process died while it was submitted: found at the provider, or known not to be there."""
        if batch.id:
            log.warning("taking up batch %s of %d requests, made before", batch.id, len(batch.asks))
            return batch
        found = self._try(lambda: self.provider.find(batch.tag))
        if not found:
            self.batches.forget([batch.tag])
            return None
        self.batches.note(replace(batch, id=found))
        log.warning("taking up batch %s of %d requests, found by its tag", found, len(batch.asks))
        return replace(batch, id=found)

    def _submit(self, asks: dict[str, Ask]) -> list[Batch]:
        """Make batches of these requests; each is noted before it can exist."""
        made = []
        for path in dict.fromkeys(ask.path for ask in asks.values()):  # a batch has one endpoint
            lines = ((name, self._line(name, ask)) for name, ask in asks.items() if ask.path == path)
            for names, data in files(lines, self.most):
                batch = Batch(uuid.uuid4().hex, "", names)
                self.batches.note(batch)
                file = self._try(partial(self.provider.upload, f"plaudit-{batch.tag}.jsonl", data))
                batch = replace(batch, id=self._create(file, f"/v1{path}", batch.tag))
                self.batches.note(batch)
                made.append(batch)
                log.warning(
                    "batch %s of %d requests is made; it goes on where this command is ended, and the same command "
                    "takes it up",
                    batch.id,
                    len(names),
                )
        return made

    def _line(self, name: str, ask: Ask) -> bytes:
        line = {"custom_id": name, "method": "POST", "url": f"/v1{ask.path}", "body": {"model": self.model} | ask.body}
        return json.dumps(line).encode() + b"\n"

    def _create(self, file: str, endpoint: str, tag: str) -> str:
        """Never made twice: after a failure that leaves it open whether it was made, it is looked for first."""
        for failures, pause in enumerate(_pauses()):
            try:
                return self.provider.create(file, endpoint, tag)
            except Failed as failed:
                if failed.fault.kind != "again":
                    self.batches.forget([tag])
                if failed.fault.kind != "again" or failures >= PATIENCE:
                    raise LLMError(f"the server makes no batch: {failed.fault.words}. Leave out --llm.batch.") from None
                log.warning("the batch could not be made: %s", failed.fault.words)
            self._wait(pause)
            if found := self._try(lambda: self.provider.find(tag)):
                return found
        raise AssertionError("there is always another pause, or an error")

    def _wait(self, seconds: float) -> None:
        self.waiting()
        time.sleep(seconds)

    def _try(self, call: Callable[[], T], gone: T | None = None) -> T:
        """A call that may be repeated, until the provider has failed too often; ``gone`` for what it no longer has."""
        for failures, pause in enumerate(_pauses()):
            try:
                return call()
            except Failed as failed:
                if gone is not None and failed.fault.words.startswith("HTTP 404"):
                    return gone
                if failed.fault.kind != "again" or failures >= PATIENCE:
                    raise LLMError(
                        f"the batch API fails: {failed.fault.words}. What was submitted goes on, and the same command "
                        "takes it up."
                    ) from None
            self._wait(pause)
        raise AssertionError("the last failure raises")

    def _take(self, batch: Batch, asks: dict[str, Ask], left: dict[str, Outcome]) -> None:
        """Wait for a batch and read its answers."""
        state = self._until_ended(batch)
        status, why = state.get("status"), errors(state)
        if status == "failed":
            self.batches.forget([batch.tag])
            self._refused(batch, state, why)
        held = [name for name in batch.asks if name in left]
        words = f"the batch {batch.id} ended as {status}" + (f" ({why})" if why else "") + " without an answer to it"
        for name in held:
            left[name].fault = reading.Fault("final" if status == "cancelled" else "again", words)
            left[name].tries += status != "failed"
        for file in (state.get("output_file_id"), state.get("error_file_id")):
            if isinstance(file, str) and file:
                for line in self._try(partial(self.provider.content, file), gone="").split("\n"):
                    read_line(line, asks, left)
        open_ = sum(left[name].fault is not None for name in held)
        log.warning("batch %s is %s: %d answers, %d without a usable one", batch.id, status, len(held) - open_, open_)

    def _until_ended(self, batch: Batch) -> dict[str, Any]:
        said = ""
        for pause in _pauses():
            state: dict[str, Any] = self._try(
                partial(self.provider.state, batch.id), gone=dict[str, Any](status="gone")
            )
            if state.get("status") in ENDED:
                return state
            counts = state.get("request_counts") or {}
            now = f"{state.get('status')}, {counts.get('completed', 0)} of {len(batch.asks)} answered"
            now += f", {counts['failed']} failed" if counts.get("failed") else ""
            if now != said:
                log.warning("batch %s: %s", batch.id, now)
            said = now
            self._wait(pause)
        raise AssertionError("a batch ends, or its waiting does")

    def _refused(self, batch: Batch, state: dict[str, Any], why: str) -> None:
        """A batch that was not taken: too much at once, or something that every batch would have."""
        codes = {str(error.get("code")) for error in error_list(state)}
        if not codes & TOO_MANY or len(batch.asks) == 1:
            raise LLMError(f"the provider did not take the batch {batch.id}: {why or 'it says no reason'}.")
        self.most = max(1, len(batch.asks) // 2)
        log.warning("batch %s was not taken: %s. The next have %d requests at most", batch.id, why, self.most)
        self._wait(LONGEST_PAUSE)


def _failure(fault: reading.Fault) -> Reply:
    return Reply("refused" if fault.kind == "refused" else "error", error=fault.words)


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, PAUSE_GROWTH * pause)
