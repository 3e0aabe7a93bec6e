"""The ledger: every question to an LLM and its answer in one SQLite file (WAL), so that nothing is paid for twice.

The key is a hash of model, prompt and parameters. Answers are committed batch by batch: a killed run loses at most the
batch in flight. Failures are stored too, counted, and asked again the next time.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plaudit.budget import Budget
from plaudit.errors import JudgeFailedError, StoreError
from plaudit.llms.base import LLM, Progress, Reply, Request

BATCH = 64
"""Questions between two commits: what a kill -9 can cost at most."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,    -- Request.key(model)
    model TEXT NOT NULL,
    kind TEXT NOT NULL,      -- generate or choose
    request TEXT NOT NULL,   -- JSON of Request
    reply TEXT NOT NULL,     -- JSON of Reply
    status TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    usd REAL NOT NULL,
    asked REAL NOT NULL      -- Unix time
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Spend:
    """What a ledger's answers have cost."""

    answers: int
    """Different questions that were answered."""
    failures: int
    """Different questions whose last answer was a failure."""
    tokens: int
    """Tokens read and written."""
    seconds: float
    """Wall time spent asking."""
    usd: float
    """Money."""


class Ledger:
    """Answers by key, on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explain():
            self._db = sqlite3.connect(path, timeout=60)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(SCHEMA)
            self._db.commit()

    @contextlib.contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"the ledger {self.path} cannot be used: {error}. What it holds is not touched. Make room or give a "
                f"writable folder; a damaged file is saved as far as possible by: sqlite3 {self.path} .recover"
            ) from error

    def find(self, keys: Sequence[str]) -> dict[str, Reply]:
        """The stored answers among these keys, without failures of a technical kind."""
        found = {}
        with self._explain():
            for start in range(0, len(keys), 500):
                part = keys[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, reply FROM answers WHERE status != 'error' AND key IN ({marks})"
                for key, reply in self._db.execute(query, part):
                    with contextlib.suppress(ValueError, TypeError):  # a row that cannot be read is asked again
                        found[key] = _read_reply(reply)
        return found

    def add(self, model: str, kind: str, answered: Sequence[tuple[Request, Reply]]) -> None:
        """Store answers in one transaction."""
        now = time.time()
        rows = [
            (
                request.key(model),
                model,
                kind,
                json.dumps(asdict(request), ensure_ascii=False),
                json.dumps(asdict(reply)),  # plain ASCII: a model may write what UTF-8 cannot hold
                reply.status,
                reply.prompt_tokens + reply.new_tokens,
                reply.seconds,
                reply.usd,
                now,
            )
            for request, reply in answered
        ]
        with self._explain(), self._db:
            # A failure that is asked again is replaced, but what it cost is kept.
            self._db.executemany(
                f"""INSERT INTO answers VALUES ({",".join("?" * 10)}) ON CONFLICT (key) DO UPDATE SET
                reply = excluded.reply, status = excluded.status, asked = excluded.asked,
                tokens = tokens + excluded.tokens, seconds = seconds + excluded.seconds, usd = usd + excluded.usd""",
                rows,
            )

    def spend(self) -> Spend:
        """Totals over all answers."""
        query = """SELECT COUNT(*), COALESCE(SUM(status = 'error'), 0), COALESCE(SUM(tokens), 0),
                   COALESCE(SUM(seconds), 0), COALESCE(SUM(usd), 0) FROM answers"""
        with self._explain():
            return Spend(*self._db.execute(query).fetchone())

    def models(self) -> list[str]:
        """Who has answered."""
        with self._explain():
            return [model for (model,) in self._db.execute("SELECT DISTINCT model FROM answers ORDER BY model")]

    def examples(self, limit: int) -> list[tuple[Request, Reply]]:
        """Some questions with their answers, always the same ones."""
        found = []
        with self._explain():
            for request, reply in self._db.execute("SELECT request, reply FROM answers ORDER BY key LIMIT ?", (limit,)):
                with contextlib.suppress(ValueError, TypeError):
                    fields = json.loads(request)
                    lists = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
                    found.append((Request(**(fields | lists)), _read_reply(reply)))
        return found

    def close(self) -> None:
        """Close the file; the write-ahead log is folded in."""
        self._db.close()


class LedgerLLM:
    """An LLM that looks into a ledger first: identical questions are asked once, ever."""

    def __init__(self, llm: LLM, ledger: Ledger, max_failures: float = 1.0, budget: Budget | None = None) -> None:
        self.llm, self.ledger, self.name = llm, ledger, llm.name
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
        """Close the model; the ledger stays open."""
        self.llm.close()

    def _ask(
        self,
        kind: str,
        call: Callable[[Sequence[Request]], list[Reply]],
        requests: Sequence[Request],
        progress: Progress | None,
    ) -> list[Reply]:
        keys = [request.key(self.name) for request in requests]
        answers = self.ledger.find(list(dict.fromkeys(keys)))
        if progress is not None:
            progress(sum(key in answers for key in keys))
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
        # Prompts that begin alike go together, so that a batch shares what can be shared.
        todo = sorted(missing.items(), key=lambda item: item[1].prompt)
        for start in range(0, len(todo), BATCH):
            part = todo[start : start + BATCH]
            asked = [request for _, request in part]
            to_come = sum(r.max_tokens if kind == "generate" else len(r.answers) for r in asked)
            self.budget.check(len(part), sum(len(r.prompt) for r in asked), to_come)
            replies = call(asked)
            self.budget.spend(
                len(part), sum(r.prompt_tokens + r.new_tokens for r in replies), sum(r.usd for r in replies)
            )
            self.ledger.add(self.name, kind, [(r, reply) for (_, r), reply in zip(part, replies, strict=True)])
            answers |= {key: reply for (key, _), reply in zip(part, replies, strict=True)}
            failed = [reply for reply in answers.values() if reply.status != "ok"]
            if len(failed) > self.max_failures * len(set(keys)):
                raise JudgeFailedError(
                    f"{len(failed)} of the first {len(answers)} questions failed, so more than {self.max_failures:.0%} "
                    f"of all {len(set(keys))}; the rest was not asked. The last reason: {failed[-1].error[:200]}. "
                    "Try another model (--llm), or raise --judge.max-failures."
                )
            if progress is not None:
                new = {key for key, _ in part}
                progress(sum(key in new for key in keys))
        return [answers[key] for key in keys]


def _read_reply(text: str) -> Reply:
    fields: dict[str, Any] = json.loads(text)
    lists = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
    return Reply(**(fields | lists))
