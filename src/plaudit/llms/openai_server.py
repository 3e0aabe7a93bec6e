"""Any OpenAI-compatible server: vLLM, SGLang, llama-server, Ollama, hosted APIs; needs: pip install 'plaudit[openai]'.

    llm = OpenAIServer("http://127.0.0.1:8000/v1")            # the one model that it serves
    llm = OpenAIServer("openai:gpt-4.1-mini", usd_in=0.4, usd_out=1.6)   # key from the environment: OPENAI_API_KEY

At the beginning a few tiny requests find out how the server can be asked, and the model's name says it, so that answers
that were got in different ways are never mixed up in a ledger: plain prompts by completions (by chat where there are no
completions), chat prompts by chat, and answers by the log-probabilities of the first token, of whole answers, or else by
sampled votes. ``Reply.text`` of ``choose`` says it too. Large calls can go through a batch API (openai_batch.py).

Failures. 408, 409, 429, 5xx, time-outs, cut connections and unusable answers are repeated, later each time; Retry-After
is kept. What never becomes usable is a reply with a status. A key that is refused ends everything at once. Every answer's
tokens count, also of those that could not be used; what a server charges for an answer that never came is not known.

Left out: streaming, discounts for cached prompts. Source: https://github.com/openai/openai-python
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import openai

from plaudit.config import LLMConfig
from plaudit.errors import ConfigError, LLMError
from plaudit.llms import openai_reading as reading
from plaudit.llms.answers import Ledger
from plaudit.llms.base import Arrived, Reply, Request, unheard
from plaudit.llms.batches import Batches
from plaudit.llms.openai_asking import Ask, Question, choose, scoring, write
from plaudit.llms.openai_batch import WINDOW, BatchRunner
from plaudit.llms.openai_batch_files import Provider
from plaudit.llms.openai_reading import Failed
from plaudit.llms.openai_ways import CHAT, COMPLETIONS, OPENAI, PROBE, PROBE_ANSWER, PROBE_TOKENS, Way, address, shown
from plaudit.llms.pace import Pace, backoff

T = TypeVar("T")
IDLE = 4
"""Connections without TLS that are kept while nothing is asked by them."""
UNUSABLE_REPEATS = 3
"""Times that an answer which came but cannot be used is asked for again: it may have cost money."""


@dataclass
class Bill:
    """What one question has cost so far."""

    read: int = 0
    written: int = 0


@dataclass
class Stats:
    """What happened on the way; it only grows."""

    requests: int = 0
    """HTTP requests that were sent."""
    repeated: int = 0
    """Of these, those that repeated a failed one."""
    throttled: int = 0
    """Answers 429 and 503."""
    faults: dict[str, int] = field(default_factory=dict)
    """Failed requests by their first words."""


Asking = Callable[[Request], Question]


class OpenAIServer:
    """Any OpenAI-compatible server: vLLM, llama-server, Ollama, hosted APIs.

    Args:
        spec: the server's URL (its model is found), ``openai:MODEL``, or ``openai``.
        url: base URL for ``openai:MODEL``; by default the environment's OPENAI_BASE_URL, else OpenAI's own.
        usd_in: price of a million prompt tokens.
        usd_out: price of a million new tokens.
        concurrency: requests under way at once, at most; the level below it finds itself.
        timeout: seconds for one request.
        retries: times that a failed request is repeated.
        votes: samples of one question where there are no log-probabilities.
        batch: questions of a call from which on they go through the provider's batch API; 0: never. It is used behind a
            ledger only, which keeps what is under way.
        batch_price: what a batch costs as a share of the two prices.
        probe: whether to find out how the server can be asked; without, only its address and key are tried.
    """

    def __init__(
        self,
        spec: str,
        *,
        url: str = "",
        usd_in: float = 0.0,
        usd_out: float = 0.0,
        concurrency: int = 256,
        timeout: float = 60.0,
        retries: int = 6,
        votes: int = 8,
        batch: int = 0,
        batch_price: float = 0.5,
        probe: bool = True,
    ) -> None:
        self.model, self.url = address(spec, url)
        self._key = os.environ.get("OPENAI_API_KEY", "")
        if not self._key and self.url == OPENAI:
            raise ConfigError("OpenAI's server needs a key. Set it in the environment: export OPENAI_API_KEY=...")
        self.usd_in, self.usd_out, self.retries, self.votes = usd_in, usd_out, retries, votes
        self.batch, self.batch_price = batch, batch_price
        self._batches: BatchRunner | None = None
        self.stats, self._fatal = Stats(), ""
        self.pace, self.window = Pace(concurrency), 16 * concurrency
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="plaudit-openai", daemon=True).start()
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self.url,
            timeout=timeout,
            max_retries=0,
            http_client=None if self.url.startswith("https:") else _few_idle(),
        )
        try:
            self._ways = self._wait(self._open(probe))
        except BaseException:
            self.close()
            raise
        ways = ",".join(f"{kind}={way}" for kind, way in self._ways.items())
        self.name = f"openai:{shown(self.model)}@{self.url.partition('://')[2]}:{ways},votes={votes}"

    @classmethod
    def open(cls, config: LLMConfig, probe: bool = True) -> OpenAIServer:
        """The client of the server that these settings name."""
        names = ("url", "usd_in", "usd_out", "concurrency", "timeout", "retries", "votes", "batch", "batch_price")
        return cls(config.model, **{name: getattr(config, name) for name in names}, probe=probe)

    @classmethod
    def check(cls, config: LLMConfig) -> None:
        """Look for the server; nothing is asked that costs money."""
        cls.open(config, probe=False).close()

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._ask(requests, self._written, arrived)

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`; how it was answered is in ``Reply.text``. ``lengths`` are all 1
        where only the first token was weighed."""
        return self._ask(requests, self._chosen, arrived)

    def attach(self, ledger: Ledger, waiting: Callable[[], None]) -> None:
        """Behind this ledger, batches may be used; ``waiting`` is called from time to time while one is waited for."""
        if self.batch:
            provider = Provider(self._client, lambda send, once=False: self._wait(self._repeat(send, once=once)))
            server = f"{self.url} {self.model}"
            self._batches = BatchRunner(provider, server, self.model, Batches(ledger), waiting)
            self.window = WINDOW

    def stored(self) -> None:
        """The answers of the last call are in the ledger."""
        if self._batches:
            self._batches.settle()

    def close(self) -> None:
        """Close the connections."""
        if not self._loop.is_closed() and self._loop.is_running():
            self._wait(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the loop's thread; an interrupt here ends it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _written(self, request: Request) -> Question:
        return write(self._ways["chat" if request.chat or request.images else "plain"], request)

    def _chosen(self, request: Request) -> Question:
        return choose(self._ways["chat" if request.chat or request.images else "plain"], request, self.votes)

    def _ask(self, requests: Sequence[Request], question: Asking, arrived: Arrived | None) -> list[Reply]:
        """Answer each distinct request once, all at the pace that the server bears."""
        if self._fatal:
            raise LLMError(self._fatal)
        places: dict[Request, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(request, []).append(place)
        replies = [Reply("error")] * len(requests)
        last, late = time.perf_counter(), list[int]()
        for request, answered in self._answers(list(places), question):
            last, seconds = time.perf_counter(), time.perf_counter() - last
            first, *others = places[request]
            replies[first] = replace(answered, seconds=seconds)
            for place in others:  # the same question is paid for once
                replies[place] = replace(answered, seconds=0.0, prompt_tokens=0, new_tokens=0, usd=0.0)
            if self._fatal and answered.status != "ok":  # may be no answer at all, but the end
                late += (first, *others)
                continue
            for place in (first, *others):
                (arrived or unheard)(place, replies[place])
        if self._fatal and all(reply.status != "ok" for reply in replies):
            raise LLMError(self._fatal)  # else what was paid for is handed over first, and the next call fails
        for place in late:
            (arrived or unheard)(place, replies[place])
        return replies

    def _answers(self, requests: list[Request], question: Asking) -> Iterator[tuple[Request, Reply]]:
        """By batches where there are enough of them, or where some are in a batch already."""
        batches = self._batches
        if batches is None or not (len(requests) >= self.batch or batches.begun(requests, question)):
            yield from self._stream(requests, question)
            return
        for request, reply, read, written in batches.answer(requests, question):
            yield request, self._priced(reply, Bill(read, written), self.batch_price)

    def _priced(self, reply: Reply, bill: Bill, share: float = 1.0) -> Reply:
        usd = share * (bill.read * self.usd_in + bill.written * self.usd_out) / 1e6
        error = reply.error.replace(self._key, "[key]") if self._key else reply.error
        return replace(reply, error=error, prompt_tokens=bill.read, new_tokens=bill.written, usd=usd)

    def _stream(self, requests: Sequence[Request], question: Asking) -> Iterator[tuple[Request, Reply]]:
        """Requests with their replies as they come in; all under way are given up where the caller stops listening."""
        came: queue.SimpleQueue[tuple[Request, Reply] | None] = queue.SimpleQueue()

        async def one(request: Request) -> None:
            came.put((request, await self._answer(request, question)))

        async def everything() -> None:
            try:
                await asyncio.gather(*map(one, requests))
            finally:
                came.put(None)

        future = asyncio.run_coroutine_threadsafe(everything(), self._loop)
        try:
            while (each := came.get()) is not None:
                yield each
            future.result()
        finally:
            future.cancel()

    async def _answer(self, request: Request, question: Asking) -> Reply:
        bill = Bill()
        try:
            reply = await self._put(question(request), bill)
        except Failed as failed:
            fault = failed.fault
            blind = "asked with a picture (does this model see?): " if request.images and fault.kind == "final" else ""
            reply = Reply("refused" if fault.kind == "refused" else "error", error=blind + fault.words)
        return self._priced(reply, bill)

    async def _put(self, question: Question, bill: Bill) -> Reply:
        """Send what a question asks for until it has its reply."""
        try:
            asks = next(question)
            while True:
                asks = question.send(
                    [await self._request(asks[0], bill)] if len(asks) == 1 else await self._all(asks, bill)
                )
        except StopIteration as end:
            return end.value
        except reading.Unusable as problem:
            raise Failed(reading.fault(problem)) from problem

    async def _all(self, asks: list[Ask], bill: Bill) -> list[Any]:
        """Side by side; each is ended, and paid, before one's failure is told."""
        came = await asyncio.gather(*(self._request(ask, bill) for ask in asks), return_exceptions=True)
        for each in came:
            if isinstance(each, BaseException):
                raise each
        return came

    async def _request(self, ask: Ask, bill: Bill) -> Any:
        """One HTTP request, repeated until its answer can be read or there is no hope."""

        async def send() -> Any:
            got = await self._client.post(ask.path, cast_to=object, body={"model": self.model} | ask.body)
            used = reading.usage(got, ask.prompt)
            bill.read, bill.written = bill.read + used[0], bill.written + used[1]
            return ask.read(got)

        return await self._repeat(send, begun=bill.read > 0)

    async def _repeat(
        self, send: Callable[[], Awaitable[T]], opening: bool = False, begun: bool = False, once: bool = False
    ) -> T:
        retries = 0 if once else self.retries
        for attempt in range(retries + 1):
            # What may have been paid for in part is finished first: it would be lost with a kill.
            await self.pace.enter(first=begun or attempt > 0)
            started, throttled = time.monotonic(), False
            try:
                if self._fatal:
                    raise Failed(reading.Fault("fatal", self._fatal))
                self.stats.requests += 1
                return await send()
            except (openai.OpenAIError, reading.Unusable, ValueError) as error:  # ValueError: half a JSON
                fault = self._note(reading.fault(error))
                throttled = fault.throttled
                unreachable = opening and type(error) is openai.APIConnectionError and attempt
                most = min(retries, UNUSABLE_REPEATS) if isinstance(error, reading.Unusable) else retries
                if fault.kind != "again" or attempt >= most or unreachable:
                    raise Failed(fault) from None
            finally:
                self.pace.leave(started, throttled)
            if fault.throttled and fault.wait:
                self.pace.pause(fault.wait)
            self.stats.repeated += 1
            await asyncio.sleep(backoff(attempt, fault.wait))
        raise AssertionError("the last attempt returns or raises")

    def _note(self, fault: reading.Fault) -> reading.Fault:
        """Count a failure; no server's message may carry the key on."""
        words = fault.words.replace(self._key, "[key]") if self._key else fault.words
        kind = words[:40]
        self.stats.faults[kind] = self.stats.faults.get(kind, 0) + 1
        self.stats.throttled += fault.throttled
        if fault.kind == "fatal" and not self._fatal:
            advice = "Check the key in the environment's OPENAI_API_KEY" if "HTTP 40" in words else "Check the account"
            self._fatal = f"the server {self.url} refuses: {words}. {advice}."
        return replace(fault, words=words)

    async def _open(self, probe: bool) -> dict[str, Way]:
        """Find the model, and how it can be asked."""
        try:
            served = await self._repeat(lambda: self._models(), opening=True)
        except Failed as failed:
            if failed.fault.kind == "fatal":
                raise LLMError(self._fatal) from None
            if not self.model or failed.fault.kind != "final":  # a server need not list its models
                raise LLMError(
                    f"the server {self.url} cannot be used: {failed.fault.words}. Is it running, and does its address "
                    "end as it should (usually in /v1)?"
                ) from None
            served = [self.model]
        if not self.model and len(served) != 1:
            raise ConfigError(
                f"the server {self.url} has these models: {', '.join(served[:20]) or 'none'}. "
                f"Name one: --llm openai:MODEL --llm.url {self.url}"
            )
        self.model = self.model or served[0]
        if not probe:
            return {}
        chat, why = await self._find_way(CHAT)
        plain, why = await self._find_way(COMPLETIONS)
        if not (plain or chat):
            raise LLMError(
                f"the server {self.url} does not answer for the model {self.model!r}: {why}. Is it its name?"
            )
        if plain and plain.listed and await self._echoes(plain):
            plain = replace(plain, echo=True)
        found = [way for way in (plain, chat, chat, plain) if way]
        return {"plain": found[0], "chat": chat or found[0]}

    async def _models(self) -> list[str]:
        listed = await self._client.get("/models", cast_to=object)
        entries = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(entries, list):
            raise reading.Unusable("the list of models is none")
        return [str(entry.get("id")) for entry in entries if isinstance(entry, dict)]

    async def _find_way(self, candidates: Sequence[Way]) -> tuple[Way | None, str]:
        """The first of these ways that the server knows, else why the last one failed."""
        why = ""
        for way in candidates:
            body = way.body(PROBE, PROBE_TOKENS, logprobs=way.listed > 0)
            ask = Ask(way.path, body, PROBE, reading.has_logprobs)
            for _ in range(3 if way.listed else 1):  # one answer without log-probabilities may be a fault
                try:
                    if await self._request(ask, Bill()) or not way.listed:
                        return way, ""
                except Failed as failed:
                    if failed.fault.kind == "fatal":
                        raise LLMError(self._fatal) from None
                    why = failed.fault.words
                    break
        return None, why

    async def _echoes(self, way: Way) -> bool:
        """Whether the server repeats a prompt with its log-probabilities; many take the wish and do not."""
        ask = scoring(way, PROBE, PROBE_ANSWER)

        def works(got: Any) -> bool:
            try:
                return ask.read(got)[1] >= 3
            except reading.Unusable:
                return False

        for _ in range(2):  # once may be a fault
            try:
                if await self._request(replace(ask, read=works), Bill()):
                    return True
            except Failed as failed:
                if failed.fault.kind == "fatal":
                    raise LLMError(self._fatal) from None
        return False


def _few_idle() -> openai.DefaultAsyncHttpxClient:
    """Connections without TLS are cheap to make, and some servers give a thread to each, idle ones too.

    llama-server has four threads more than slots. Where more connections were kept, those that came last would wait until
    it gives up an idle one, after five seconds.
    """
    limits = type(openai.DEFAULT_CONNECTION_LIMITS)(max_keepalive_connections=IDLE)
    return openai.DefaultAsyncHttpxClient(limits=limits)
