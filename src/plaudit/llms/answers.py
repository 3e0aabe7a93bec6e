"""The ledger's file: questions and answers in one SQLite file (WAL), by key, for many runs and processes at once.

A key stands in the file once, whoever asks. Before a question is asked it is claimed, so that two processes never pay
for the same answer; claims of a process that has died are void. Small columns come before the texts and an index covers
what is summed up, so that neither looking up nor adding up reads the texts.

Left out: pictures (their hashes are stored; a run makes the same pictures again), and a checksum of each page. SQLite
notices a page whose structure is broken when it is read (and, in files up to ``CHECKED`` bytes, when the ledger is
opened); an answer that cannot be parsed counts as not there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.errors import StoreError
from plaudit.llms.base import Image, Reply, Request

PART = 500
"""Keys in one query."""
RESERVE = 16 * 2**20
"""Bytes that must be free before anything is asked: an answer that is paid for must find room."""
CHECKED = 32 * 2**20
"""Bytes up to which a file is checked whole when it is opened."""
LEASE = 3600.0
"""Seconds after which a claim of another machine is void, where nobody can tell whether its process lives."""
RENEWAL = 60.0
"""Seconds after which claims are renewed while answers come in."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY NOT NULL,  -- Request.key(model)
    model TEXT NOT NULL,
    kind TEXT NOT NULL,             -- generate or choose
    status TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    usd REAL NOT NULL,
    asked REAL NOT NULL,            -- Unix time
    source TEXT NOT NULL DEFAULT '',  -- the ledger that it was taken over from; empty where it was asked for
    request TEXT NOT NULL,          -- JSON of Request
    reply TEXT NOT NULL             -- JSON of Reply
);
CREATE INDEX IF NOT EXISTS costs ON answers (model, status, tokens, seconds, usd, source);
CREATE INDEX IF NOT EXISTS failures ON answers (key) WHERE status = 'error';
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
    owner TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID;
"""
COLUMNS = ("key", "model", "kind", "status", "tokens", "seconds", "usd", "asked", "source", "request", "reply")


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
    """Answers by key, on disk.

    Args:
        path: the file; made where it is missing. ``:memory:`` keeps it in memory.
        readonly: change nothing, for a ledger that is replayed; the file must be there.
    """

    def __init__(self, path: Path, readonly: bool = False) -> None:
        self.path = path
        self._renewed = time.time()
        self._who = (socket.gethostname(), os.getpid(), uuid.uuid4().hex)
        if readonly and not path.is_file():
            raise StoreError(f"there is no ledger {path}. A run's own is RUN/ledger.sqlite.")
        with self._explain():
            self._db = sqlite3.connect(_address(path) if readonly else str(path), timeout=60, uri=readonly)
            self._db.execute("PRAGMA cache_size=-65536")  # 64 MB: the index of a million keys
            if path.is_file() and path.stat().st_size <= CHECKED:
                self.check()
            if not readonly:
                self._make()

    def _make(self) -> None:
        _to_wal(self._db)
        self._db.execute("PRAGMA synchronous=NORMAL")
        has = [row[1] for row in self._db.execute("PRAGMA table_info(answers)")]
        if has and "source" not in has:  # of an older version
            self._db.execute("ALTER TABLE answers ADD COLUMN source TEXT NOT NULL DEFAULT ''")
        if "claims" not in [name for (name,) in self._db.execute("SELECT name FROM sqlite_master")]:
            self._db.executescript(SCHEMA)

    @contextlib.contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the ledger {self.path} cannot be used: {error}. {_cure(self.path, error)}") from error

    def check(self) -> None:
        """Read the whole file; raise where a page is damaged."""
        with self._explain():
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found.replace("\n", " "))

    def find(self, keys: Sequence[str], failures: bool = False) -> dict[str, Reply]:
        """The stored answers among these keys; failures of a technical kind only where they are asked for."""
        found = {}
        usable = "" if failures else "status != 'error' AND "
        for key, reply in self._query(f"SELECT key, reply FROM answers WHERE {usable}key IN", keys):
            with contextlib.suppress(ValueError, TypeError):  # a row that cannot be read is asked again
                found[key] = read_reply(reply)
        return found

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of these keys that are still to be asked, in order; reads no answer, so it is faster than ``find``."""
        known = {key for (key,) in self._query("SELECT key FROM answers WHERE key IN", keys)}
        # By this index, or SQLite reads each row, texts and all, to see its status.
        failed = "SELECT key FROM answers INDEXED BY failures WHERE status = 'error'"
        if known and self._any(failed):
            known -= {key for (key,) in self._query(f"{failed} AND key IN", keys)}
        return [key for key in keys if key not in known]

    def _any(self, query: str) -> bool:
        with self._explain():
            return self._db.execute(f"{query} LIMIT 1").fetchone() is not None

    def _query(self, query: str, keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        keys = sorted(keys)  # neighbours lie on the same pages
        with self._explain():
            for start in range(0, len(keys), PART):
                part = keys[start : start + PART]
                yield from self._db.execute(f"{query} ({','.join('?' * len(part))})", part)

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys that this process is to ask; the others are answered, or another process is at it."""
        self.check_room()
        with self._explain(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            rows = self._query("SELECT key, host, pid, owner, since FROM claims WHERE key IN", keys)
            taken = {key for key, *claim in rows if claim[2] != self._who[2] and _holds(*claim)}
            ours = [key for key in self.missing(keys) if key not in taken]
            rows_ = [(key, *self._who, time.time()) for key in ours]
            self._db.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)", rows_)
        return set(ours)

    def release(self) -> None:
        """Give up what was claimed and not answered."""
        with contextlib.suppress(sqlite3.Error), self._db:  # an error that led here is the one to be told
            self._db.execute("DELETE FROM claims WHERE owner = ?", self._who[2:])

    def add(
        self,
        model: str,
        kind: str,
        answered: Iterable[tuple[Request, Reply]],
        source: str = "",
        keys: Sequence[str] | None = None,
    ) -> None:
        """Store answers in one transaction; ``source`` names the ledger that they were taken over from.

        ``keys`` are the requests' own, where they are known already.
        """
        now, answered = time.time(), list(answered)
        rows = [
            (
                key,
                model,
                kind,
                reply.status,
                reply.prompt_tokens + reply.new_tokens,
                reply.seconds,
                reply.usd,
                now,
                source,
                _JSON.encode(request.record()),
                _ASCII.encode(vars(reply)),  # a model may write what UTF-8 cannot hold
            )
            for key, (request, reply) in zip(keys or [r.key(model) for r, _ in answered], answered, strict=True)
        ]
        # A failure that is asked again is replaced, but what it cost is kept.
        sums = ", ".join(f"{c} = {c + ' + ' if not source else ''}excluded.{c}" for c in ("tokens", "seconds", "usd"))
        with self._explain(), self._db:
            self._db.executemany(
                f"""INSERT INTO answers ({", ".join(COLUMNS)}) VALUES ({",".join("?" * len(COLUMNS))})
                ON CONFLICT (key) DO UPDATE SET reply = excluded.reply, status = excluded.status,
                asked = excluded.asked, {sums}""",
                rows,
            )
            self._renew(now)
            self._db.executemany(
                "DELETE FROM claims WHERE key = ? AND owner = ?", ((row[0], self._who[2]) for row in rows)
            )

    def _renew(self, now: float) -> None:
        if now - self._renewed > RENEWAL:
            self._db.execute("UPDATE claims SET since = ? WHERE owner = ?", (now, self._who[2]))
            self._renewed = now

    def renew(self) -> None:
        """Say that what this process has claimed is still being asked; for whoever waits long for its answers."""
        with self.transaction():
            self._renew(time.time())

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The file, for another table in it."""
        with self._explain(), self._db:
            yield self._db

    def restore(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Store rows as they stood in another ledger; ``columns`` are some of ``COLUMNS``."""
        query = f"INSERT OR REPLACE INTO answers ({', '.join(columns)}) VALUES ({','.join('?' * len(columns))})"
        with self._explain(), self._db:
            self._db.executemany(query, rows)

    def spend(self, asked_only: bool = False) -> Spend:
        """Totals over all answers, or over those that were not taken over from another ledger."""
        query = f"""SELECT COUNT(*), COALESCE(SUM(status = 'error'), 0), COALESCE(SUM(tokens), 0),
                   COALESCE(SUM(seconds), 0), COALESCE(SUM(usd), 0) FROM answers
                   {"WHERE source = ''" if asked_only else ""}"""
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
                    found.append((read_request(request), read_reply(reply)))
        return found

    def check_room(self) -> None:
        """Raise where the disk has less room than is kept free."""
        folder = self.path.parent
        if str(self.path) != ":memory:" and (free := shutil.disk_usage(folder).free) < RESERVE:
            raise StoreError(
                f"the disk of the ledger {self.path} is full: {free / 2**20:.0f} MB are free, {RESERVE / 2**20:.0f} are "
                "kept for answers. No more was asked, nothing is lost. Make room, then run the same command again."
            )

    def close(self) -> None:
        """Close the file; the write-ahead log is folded in."""
        self._db.close()


_JSON = json.JSONEncoder(ensure_ascii=False)
_ASCII = json.JSONEncoder()


def read_reply(text: str) -> Reply:
    """A reply as it was stored."""
    return Reply(**_fields(text))


def read_request(text: str) -> Request:
    """A request as it was stored; of its pictures only the hashes are known."""
    values = _fields(text)
    return Request(**values | {"images": tuple(map(Image, values.get("images", ())))})


def _fields(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(text)
    for name, value in fields.items():
        if type(value) is list:
            fields[name] = tuple(value)
    return fields


def _holds(host: str, pid: int, owner: str, since: float) -> bool:
    """Whether a claim stands: its process lives, or nobody can tell and it is young."""
    if time.time() - since > LEASE or host != socket.gethostname():
        return time.time() - since <= LEASE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, and is somebody else's
    return True


def _to_wal(db: sqlite3.Connection) -> None:
    """Two processes that make the same file at once: here SQLite does not wait by itself."""
    for attempt in range(200):
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or attempt == 199:
                raise
            time.sleep(0.02)


def _address(path: Path) -> str:
    """Read-only; a file in a folder that cannot be written is taken as one that nobody changes."""
    frozen = "" if os.access(path.parent, os.W_OK) else "&immutable=1"
    return f"{path.resolve().as_uri()}?mode=ro{frozen}"


def _cure(path: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"It is left as it is. Save what is whole of it: plaudit ledger {path} --recover NEW.sqlite"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return "What it holds is not touched. Make room on the disk, then run the same command again."
    return "What it holds is not touched. Give a folder that can be written, or wait for whoever holds it."
