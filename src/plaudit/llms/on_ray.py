"""One model many times: workers of a Ray cluster, each with its own copy, or its own connection to a server.

    plaudit run doorkey --on ray                 # two cores of this machine: two workers
    plaudit run doorkey --on HOST:6379           # the processors, or graphics cards, of a cluster

Questions go out in blocks of neighbours, which share what their prompts begin with, to whichever worker is free; a block's
answers are passed on as soon as it is back. The ledger stays where the command runs: a worker that dies loses no answer,
and its blocks are asked again (``asked_again`` counts them). Workers are plain actors that keep their model between
calls: a pipeline of Ray Data would load it anew for every call (``benchmarks/ray_speed.py`` has both).
Left out: answers of a block before all of it is there.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit import __version__
from plaudit.errors import LLMError, PlauditError
from plaudit.llms.base import LLM, Arrived, Reply, Request, unheard

BLOCK = 16
"""Questions in a block, where the model has no window of its own."""
MOST_BLOCK = 1024
"""Questions in a block at most, where it has."""
AHEAD = 2
"""Blocks that a worker has at a time: the one it works on and the next."""
TRIES = 3
"""Workers that may die over a block before its questions count as failed; times that a worker is started again."""


@dataclass(frozen=True)
class Loaded:
    """What a worker says of itself."""

    name: str = ""
    """The model's name, for the ledger."""
    window: int = 0
    """How many questions it wants in one call; 0 where it does not care."""
    process: int = 0
    """Its process's number on its node."""
    error: PlauditError | None = None
    """Why it cannot work."""


class Engine:
    """A worker: holds the model, answers blocks."""

    def __init__(self, make: Callable[[], LLM], folder: str) -> None:
        self.make = make
        self._llm: LLM | None = None
        with contextlib.suppress(OSError):  # a model's path may be relative to where the command was given
            os.chdir(folder)

    def load(self, version: str) -> Loaded:
        """Load the model; what stands against it is told, not raised."""
        if version != __version__:
            return Loaded(
                error=LLMError(f"{_here()} has plaudit {__version__}, this is {version}. Install one on all.")
            )
        try:
            llm = self.llm
        except PlauditError as error:
            return Loaded(error=error)
        except Exception as error:
            return Loaded(error=LLMError(f"{type(error).__name__}: {error}"))
        return Loaded(llm.name, getattr(llm, "window", 0), os.getpid())

    def ask(self, kind: str, requests: Sequence[Request]) -> list[Reply] | PlauditError:
        """Answer one block."""
        try:
            return getattr(self.llm, kind)(requests)
        except PlauditError as error:
            return error

    @property
    def llm(self) -> LLM:
        """The model, loaded when it is first used; so a worker that was started again has one too."""
        if self._llm is None:
            self._llm = self.make()
        return self._llm


@dataclass
class _Worker:
    """An actor as the calling side sees it."""

    actor: Any
    loaded: Loaded | None = None
    """None while it loads."""
    blocks: int = 0
    """Blocks that it has."""
    deaths: int = 0


@dataclass(frozen=True)
class _Block:
    """Neighbouring questions of a call."""

    places: range
    tries: int = 0


class RayLLM:
    """The same model on every worker; it answers like one. A Ray cluster must be connected already.

    Args:
        make: makes the model in a worker; a function that can be pickled.
        workers: how many. Those for which the cluster has no room yet are waited for, while the others work.
        cpus: processors of each.
        gpus: graphics processors of each.
        block: questions in a block; 0 takes 16, or what the model wants, up to 1,024.
    """

    def __init__(
        self, make: Callable[[], LLM], workers: int, *, cpus: float = 1, gpus: float = 0, block: int = 0
    ) -> None:
        import ray

        self._ray = ray
        actor = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=TRIES)(Engine)
        self._workers = [_Worker(actor.remote(make, str(Path.cwd()))) for _ in range(workers)]
        self._loading: dict[Any, _Worker] = {}
        self.asked_again = 0
        """Questions that were asked once more because a worker died over them: what may have been paid twice."""
        try:
            for worker in self._workers:
                self._load(worker)
            first = self._first()
        except BaseException:
            self.close()
            raise
        self.name, self.block = first.name, block or min(first.window, MOST_BLOCK) or BLOCK
        # The last blocks of a call leave workers idle: many blocks for each, as far as memory allows.
        self.window = max(8 * self.block * workers, min(64 * self.block * workers, 50_000))

    @property
    def processes(self) -> list[int]:
        """Process numbers of the workers that are ready."""
        return [worker.loaded.process for worker in self._workers if worker.loaded]

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._ask("generate", requests, arrived or unheard)

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._ask("choose", requests, arrived or unheard)

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._ray.kill(worker.actor)
        self._workers, self._loading = [], {}

    def _load(self, worker: _Worker) -> None:
        worker.loaded = None
        again = worker.actor.load.options(max_task_retries=TRIES)  # it may be just starting again
        self._loading[again.remote(__version__)] = worker

    def _first(self) -> Loaded:
        """The first worker that has loaded."""
        while True:
            done, _ = self._ray.wait(list(self._loading))
            self._settle(done[0])
            for worker in self._workers:
                if worker.loaded:
                    return worker.loaded

    def _settle(self, ref: Any) -> None:
        """A worker has loaded, or cannot."""
        worker = self._loading.pop(ref)
        try:
            loaded = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            if "creation task" in str(error):  # it did not die, it could not be born
                last = str(error).strip().splitlines()[-1]
                raise LLMError(f"a worker cannot be started: {last}. Is plaudit installed on every node?") from None
            self._died(worker, None, error)
            return
        if loaded.error is not None:
            raise loaded.error
        worker.loaded = loaded

    def _died(self, worker: _Worker, loaded: Loaded | None, error: Exception) -> None:
        """Ray starts it again, some times; ``loaded`` is what was asked of it."""
        if worker.loaded is not loaded or worker not in self._workers:
            return  # known from another block
        worker.deaths += 1
        worker.blocks = 0
        if worker.deaths <= TRIES:
            self._load(worker)
            return
        self._workers.remove(worker)
        if not self._workers:
            raise LLMError(
                f"every worker died {worker.deaths} times; the last: {_brief(error)} Not enough memory for so many "
                "models? Try fewer: --cluster.workers 1. What has come is kept."
            )

    def _ask(self, kind: str, requests: Sequence[Request], arrived: Arrived) -> list[Reply]:
        if not self._workers:
            raise LLMError("the workers are closed; make a new RayLLM")
        size = max(1, min(self.block, -(-len(requests) // len(self._workers))))
        starts = range(0, len(requests), size)
        waiting = deque(_Block(range(start, min(start + size, len(requests)))) for start in starts)
        replies = [Reply("error")] * len(requests)
        flying: dict[Any, tuple[_Worker, Loaded | None, _Block]] = {}
        try:
            while waiting or flying:
                for worker, block in self._idle(waiting):
                    asked = [requests[place] for place in block.places]
                    flying[worker.actor.ask.remote(kind, asked)] = (worker, worker.loaded, block)
                done, _ = self._ray.wait([*flying, *self._loading])
                if done[0] in self._loading:
                    self._settle(done[0])
                    continue
                worker, loaded, block = flying.pop(done[0])
                answered = self._answers(done[0], worker, loaded, block, waiting)
                for place, reply in zip(block.places, answered, strict=False):
                    replies[place] = reply
                    arrived(place, reply)
        finally:
            for ref, (worker, _, _) in flying.items():  # an error ends the call: what has not begun does not begin
                worker.blocks = 0
                with contextlib.suppress(Exception):
                    self._ray.cancel(ref)
        return replies

    def _idle(self, waiting: deque[_Block]) -> Iterator[tuple[_Worker, _Block]]:
        """Workers that can take a block, with the block; none has a second before each has one."""
        for most in range(1, AHEAD + 1):
            for worker in self._workers:
                if waiting and worker.loaded and worker.blocks < most:
                    worker.blocks += 1
                    yield worker, waiting.popleft()

    def _answers(
        self, ref: Any, worker: _Worker, loaded: Loaded | None, block: _Block, waiting: deque[_Block]
    ) -> list[Reply]:
        """Answers of a block; none where its worker died, and then it waits again."""
        try:
            answered = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            self._died(worker, loaded, error)
            if block.tries + 1 < TRIES:
                self.asked_again += len(block.places)
                waiting.appendleft(_Block(block.places, block.tries + 1))
                return []
            return [Reply("error", error=f"{TRIES} workers died over it: {_brief(error)}")] * len(block.places)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None  # a defect is shown as itself, not as the cluster's account of it
        if isinstance(answered, PlauditError):
            raise answered
        worker.blocks -= 1
        return answered


def _here() -> str:
    return f"the node {platform.node()}"


def _brief(error: Exception) -> str:
    """The first sentence of what Ray says in pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:200]
