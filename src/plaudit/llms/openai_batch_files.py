"""What goes to a provider's batch API and what comes from it: its calls, files of requests, lines of answers.

Used by :mod:`plaudit.llms.openai_batch`. Left out: batches with the requests inside the call, which some providers have.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import openai

from plaudit.llms import openai_reading as reading
from plaudit.llms.openai_asking import Ask

MOST_REQUESTS = 50_000
MOST_BYTES = 100_000_000
"""Of one file: OpenAI takes 200 MB, others 100."""
FILE_SECONDS = 900.0
"""Time that sending or fetching a file may take."""
LISTED = 1000
"""Batches among which one is looked for by its tag, the youngest first."""


class Call(Protocol):
    """Runs a call of the client, once or with repeats; raises :class:`plaudit.llms.openai_reading.Failed`."""

    def __call__(self, send: Callable[[], Awaitable[Any]], once: bool = False) -> Any:
        """What it returns."""
        ...


def _id(made: Any) -> str:
    if not isinstance(name := getattr(made, "id", None), str) or not name:
        raise reading.Unusable("the answer has no id")
    return name


class Provider:
    """A provider's batch API, by the client of its server."""

    def __init__(self, client: openai.AsyncOpenAI, call: Call) -> None:
        self._client, self._call = client, call

    def upload(self, name: str, data: bytes) -> str:
        """Store a file for a batch; its id."""
        files = self._client.with_options(timeout=FILE_SECONDS).files

        async def send() -> str:
            return _id(await files.create(file=(name, data), purpose="batch"))

        return str(self._call(send))

    def create(self, file: str, endpoint: Any, tag: str) -> str:
        """Make a batch, trying once; its id."""

        async def send() -> str:
            batches, labels = self._client.batches, {"plaudit": tag}
            return _id(
                await batches.create(input_file_id=file, endpoint=endpoint, completion_window="24h", metadata=labels)
            )

        return str(self._call(send, once=True))

    def find(self, tag: str) -> str:
        """The id of the batch with this tag, or nothing."""

        async def search() -> str:
            seen = 0
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get("plaudit") == tag:
                    return batch.id
                if (seen := seen + 1) >= LISTED:
                    break
            return ""

        return str(self._call(search))

    def state(self, batch: str) -> dict[str, Any]:
        """How it stands."""
        return dict(self._call(lambda: self._client.batches.retrieve(batch)).to_dict())

    def content(self, file: str) -> str:
        """A file's text."""
        files = self._client.with_options(timeout=FILE_SECONDS).files
        return str(self._call(lambda: files.content(file)).text)


@dataclass
class Outcome:
    """What has become of one request."""

    value: Any = None
    """What was read; only where there is no fault."""
    fault: reading.Fault | None = field(default_factory=lambda: reading.Fault("again", "no batch has answered it"))
    read: int = 0
    """Tokens of its prompt, over all batches that answered it."""
    written: int = 0
    """New tokens."""
    tries: int = 0
    """Batches that it was in and that were taken."""

    @property
    def settled(self) -> bool:
        """Whether another batch would bring nothing else."""
        return self.fault is None or self.fault.kind != "again"


def files(lines: Iterable[tuple[str, bytes]], most: int) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Lines in files as large as a provider takes."""
    names: list[str] = []
    data = bytearray()
    for name, line in lines:
        if names and (len(names) >= most or len(data) + len(line) > MOST_BYTES):
            yield tuple(names), bytes(data)
            names, data = [], bytearray()
        names.append(name)
        data += line
    if names:
        yield tuple(names), bytes(data)


def read_line(line: str, asks: dict[str, Ask], left: dict[str, Outcome]) -> None:
    """One line of a batch's output or error file; what is none, or of nobody, is passed over."""
    try:
        entry = json.loads(line)
    except ValueError:
        return
    name = entry.get("custom_id") if isinstance(entry, dict) else None
    if not isinstance(name, str) or name not in left or left[name].fault is None:
        return
    outcome, response = left[name], entry.get("response")
    if not isinstance(response, dict):
        error = entry.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        words = f"the batch has no answer: {code or 'no reason given'}: {reading.message(error)}"
        outcome.fault = reading.Fault("final" if code == "batch_cancelled" else "again", words)
        return
    body, status = response.get("body"), response.get("status_code")
    if status != 200:
        error = body.get("error", body) if isinstance(body, dict) else body
        code = error.get("code") if isinstance(error, dict) else None
        fault = reading.status_fault(status if isinstance(status, int) else 500, code, reading.message(body), {})
        outcome.fault = replace(fault, kind="final") if fault.kind == "fatal" else fault
        return
    read, written = reading.usage(body, asks[name].prompt)
    outcome.read, outcome.written = outcome.read + read, outcome.written + written
    try:
        outcome.value, outcome.fault = asks[name].read(body), None
    except reading.Unusable as problem:
        outcome.fault = reading.fault(problem)


def error_list(state: dict[str, Any]) -> list[dict[str, Any]]:
    errors = state.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    return [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []


def errors(state: dict[str, Any]) -> str:
    """Why a batch failed, in the provider's words."""
    return "; ".join(f"{error.get('code')}: {reading.message(error)}" for error in error_list(state)[:3])
