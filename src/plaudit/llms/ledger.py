"""The ledger: every question to an LLM and its answer in SQLite, so that nothing is paid for twice.

The key is a hash of model, prompt and parameters. Answers are committed as they come in: a killed run loses at most
those under way and the last few that came. Failures are stored too, counted, and asked again the next time. Questions
that another process is asking at the moment are left to it and waited for. The file itself: :mod:`plaudit.llms.answers`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from plaudit.budget import Budget
from plaudit.errors import JudgeFailedError
from plaudit.llms.answers import Ledger, Spend
from plaudit.llms.base import LLM, Arrived, Reply, Request, unheard

__all__ = ["BATCH", "Ledger", "LedgerLLM", "Spend"]

BATCH = 64
"""Answers between two commits: what a kill -9 can cost at most, beside what is under way."""
COMMIT_SECONDS = 1.0
"""Wall time between two commits, where answers come slower."""
Call = Callable[[Sequence[Request], Arrived | None], list[Reply]]


class LedgerLLM:
    """An LLM that looks into a ledger first: identical questions are asked once, ever, by however many processes."""

    def __init__(
        self,
        llm: LLM,
        ledger: Ledger,
        max_failures: float = 1.0,
        budget: Budget | None = None,
        shared: Ledger | None = None,
    ) -> None:
        self.llm, self.ledger, self.name = llm, ledger, llm.name
        self.shared = shared
        """A ledger of many runs, looked into after the run's own, which gets a copy of what is found there."""
        self.budget = budget or Budget()
        self.max_failures = max_failures
        """Share of a call's questions that may fail before the rest is no longer asked."""
        if attach := getattr(llm, "attach", None):  # a model that waits long for its answers
            attach(shared or ledger, self._waiting)

    def _waiting(self) -> None:
        """Called from time to time by a model that waits; keeps what is claimed, and the ceiling of time."""
        (self.shared or self.ledger).renew()
        self.budget.check_time()

    @property
    def window(self) -> int:
        """How many questions the model wants to be given in one call; 0 where it does not care."""
        return int(getattr(self.llm, "window", 0))

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._ask("generate", self.llm.generate, requests, arrived)

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._ask("choose", self.llm.choose, requests, arrived)

    def close(self) -> None:
        """Close the model; the ledgers stay open."""
        self.llm.close()

    def _ask(self, kind: str, call: Call, requests: Sequence[Request], arrived: Arrived | None) -> list[Reply]:
        places: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(request.key(self.name), []).append(place)
        asking = _Asking(kind, call, {key: requests[at[0]] for key, at in places.items()}, places, arrived or unheard)
        asking.note(self.ledger.find(list(places)))
        # Prompts that begin alike go together, so that a batch shares what can be shared.
        todo = sorted(places.keys() - asking.answers.keys(), key=lambda key: (asking.requests[key].prompt, key))
        pause = 0.02
        while todo:
            others, left = list[str](), todo
            while left:
                size = self._window()
                others += self._part(asking, left[:size])
                left = left[size:]
            if len(others) == len(todo):  # another process is at all of them
                time.sleep(pause)
                pause = min(1.0, 2 * pause)
            todo = others
        replies = [Reply("error")] * len(requests)
        for key, at in places.items():
            for place in at:
                replies[place] = asking.answers[key]
        return replies

    def _window(self) -> int:
        """How many the model is given at once; near a ceiling no more than surely fit below it."""
        if self.window <= BATCH:
            return BATCH
        return max(BATCH, int(min(self.window, self.budget.affordable() / 2)))

    def _part(self, asking: _Asking, part: list[str]) -> list[str]:
        """Take over what is answered, ask what nobody else is asking; returns the keys that another process is at."""
        where = self.shared or self.ledger
        ours = where.claim(part)
        try:
            if ours:
                self._pay(asking, [key for key in part if key in ours])
        finally:
            where.release()
        rest = [key for key in part if key not in ours]
        found = where.find(rest)
        if found and where is not self.ledger:
            taken = [(asking.requests[key], reply) for key, reply in found.items()]
            self.ledger.add(self.name, asking.kind, taken, str(where.path), list(found))
        asking.note(found)
        asking.check(self.max_failures)
        return [key for key in rest if key not in found]

    def _pay(self, asking: _Asking, keys: list[str]) -> None:
        """Ask the model; answers are stored as they come, so that whatever ends this loses none that has come."""
        asked = [asking.requests[key] for key in keys]
        if not self._source:  # what is replayed costs nothing
            to_come = sum(r.max_tokens if asking.kind == "generate" else len(r.answers) for r in asked)
            self.budget.check(len(asked), sum(len(r.prompt) for r in asked), to_come)
        came: dict[str, Reply] = {}
        untold, last = set(range(len(keys))), time.monotonic()

        def arrived(place: int, reply: Reply) -> None:
            nonlocal came, last
            untold.discard(place)
            came[keys[place]] = reply
            if len(came) >= BATCH or time.monotonic() - last > COMMIT_SECONDS:
                stored, came, last = came, {}, time.monotonic()
                self._store(asking, stored)
                asking.check(self.max_failures)
                for ledger in filter(None, (self.ledger, self.shared)):
                    ledger.check_room()  # while there is some: what is under way must still find it

        try:
            replies = asking.call(asked, arrived)
            came |= {keys[place]: replies[place] for place in untold}  # a back-end need not tell
        finally:
            self._store(asking, came)
        if stored := getattr(self.llm, "stored", None):
            stored()
        asking.check(self.max_failures)

    @property
    def _source(self) -> str:
        return str(getattr(self.llm, "source", ""))

    def _store(self, asking: _Asking, came: dict[str, Reply]) -> None:
        answered = [(asking.requests[key], reply) for key, reply in came.items()]
        if not self._source:
            tokens = sum(reply.prompt_tokens + reply.new_tokens for reply in came.values())
            self.budget.spend(len(came), tokens, sum(reply.usd for reply in came.values()))
        if self.shared is not None:
            self.shared.add(self.name, asking.kind, answered, keys=list(came))
        self.ledger.add(self.name, asking.kind, answered, self._source, list(came))
        asking.note(came)


@dataclass
class _Asking:
    """One call of generate or choose."""

    kind: str
    call: Call
    requests: dict[str, Request]
    places: dict[str, list[int]]
    arrived: Arrived
    answers: dict[str, Reply] = field(default_factory=dict)
    failed: list[Reply] = field(default_factory=list)

    def note(self, found: dict[str, Reply]) -> None:
        """Pass on what was answered."""
        self.answers.update(found)
        self.failed.extend(reply for reply in found.values() if reply.status != "ok")
        for key, reply in found.items():
            for place in self.places[key]:
                self.arrived(place, reply)

    def check(self, most: float) -> None:
        """Raise where a larger share of all has failed."""
        failed = self.failed
        if len(failed) > most * len(self.requests):
            raise JudgeFailedError(
                f"{len(failed)} of the first {len(self.answers)} questions failed, so more than {most:.0%} of all "
                f"{len(self.requests)}; the rest was not asked. The last reason: {failed[-1].error[:200]}. "
                "Try another model (--llm), or raise --judge.max-failures."
            )
