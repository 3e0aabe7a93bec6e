"""The ledger: every question to an LLM and its answer in SQLite, so that nothing is paid for twice.

The key is a hash of model, prompt and parameters. Answers are committed batch by batch: a killed run loses at most the
batch in flight. Failures are stored too, counted, and asked again the next time. Questions that another process is
asking at the moment are left to it and waited for. The file itself: :mod:`plaudit.llms.answers`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plaudit.budget import Budget
from plaudit.errors import JudgeFailedError
from plaudit.llms.answers import Ledger, Spend
from plaudit.llms.base import LLM, Progress, Reply, Request

__all__ = ["BATCH", "Ledger", "LedgerLLM", "Spend"]

BATCH = 64
"""Questions between two commits: what a kill -9 can cost at most."""
Call = Callable[[Sequence[Request]], list[Reply]]


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

    def generate(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._ask("generate", self.llm.generate, requests, progress)

    def choose(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._ask("choose", self.llm.choose, requests, progress)

    def close(self) -> None:
        """Close the model; the ledgers stay open."""
        self.llm.close()

    def _ask(self, kind: str, call: Call, requests: Sequence[Request], progress: Progress | None) -> list[Reply]:
        keys = [request.key(self.name) for request in requests]
        distinct = dict(zip(keys, requests, strict=True))
        answers = self.ledger.find(list(distinct))
        failed = [reply for reply in answers.values() if reply.status != "ok"]
        asking = _Asking(kind, call, distinct, answers, failed, Counter(keys), progress or (lambda count: None))
        asking.progress(sum(asking.repeats[key] for key in answers))
        # Prompts that begin alike go together, so that a batch shares what can be shared.
        todo = sorted(distinct.keys() - answers.keys(), key=lambda key: (distinct[key].prompt, key))
        pause = 0.02
        while todo:
            others: list[str] = []
            for start in range(0, len(todo), BATCH):
                others += self._batch(asking, todo[start : start + BATCH])
            if len(others) == len(todo):  # another process is at all of them
                time.sleep(pause)
                pause = min(1.0, 2 * pause)
            todo = others
        return [answers[key] for key in keys]

    def _batch(self, asking: _Asking, part: list[str]) -> list[str]:
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
            self.ledger.add(self.name, asking.kind, taken, str(where.path))
        self._note(asking, found)
        return [key for key in rest if key not in found]

    def _pay(self, asking: _Asking, keys: list[str]) -> None:
        asked = [asking.requests[key] for key in keys]
        source = str(getattr(self.llm, "source", ""))
        if not source:  # what is replayed costs nothing
            to_come = sum(r.max_tokens if asking.kind == "generate" else len(r.answers) for r in asked)
            self.budget.check(len(asked), sum(len(r.prompt) for r in asked), to_come)
        replies = asking.call(asked)
        answered = list(zip(asked, replies, strict=True))
        if not source:
            tokens = sum(r.prompt_tokens + r.new_tokens for r in replies)
            self.budget.spend(len(asked), tokens, sum(r.usd for r in replies))
        if self.shared is not None:
            self.shared.add(self.name, asking.kind, answered)
        self.ledger.add(self.name, asking.kind, answered, source)
        self._note(asking, dict(zip(keys, replies, strict=True)))

    def _note(self, asking: _Asking, found: dict[str, Reply]) -> None:
        asking.answers.update(found)
        asking.failed.extend(reply for reply in found.values() if reply.status != "ok")
        failed = asking.failed
        if len(failed) > self.max_failures * len(asking.requests):
            raise JudgeFailedError(
                f"{len(failed)} of the first {len(asking.answers)} questions failed, so more than {self.max_failures:.0%} "
                f"of all {len(asking.requests)}; the rest was not asked. The last reason: {failed[-1].error[:200]}. "
                "Try another model (--llm), or raise --judge.max-failures."
            )
        asking.progress(sum(asking.repeats[key] for key in found))


@dataclass(frozen=True)
class _Asking:
    """One call of generate or choose."""

    kind: str
    call: Call
    requests: dict[str, Request]
    answers: dict[str, Reply]
    failed: list[Reply]
    repeats: Counter[str]
    progress: Progress
