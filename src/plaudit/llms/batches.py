"""Which batches are under way at a provider, kept in the ledger's file, so that a killed run's batch is not paid for again.

A batch is noted before it is submitted, under a tag that goes with it, and gets its id afterwards: whatever a process dies
of, the next one knows each batch that there can be, and finds the id of one in doubt by its tag.
"""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass

from plaudit.llms.answers import Ledger

KEPT_DAYS = 29
"""Providers delete a batch's files after 30 days."""
SCHEMA = """CREATE TABLE IF NOT EXISTS batches (tag TEXT PRIMARY KEY NOT NULL, id TEXT NOT NULL, made REAL NOT NULL,
    asks TEXT NOT NULL) WITHOUT ROWID"""


@dataclass(frozen=True)
class Batch:
    """One batch."""

    tag: str
    """Our name for it, also in its metadata at the provider."""
    id: str
    """The provider's name for it; empty where it is not known that it was submitted."""
    asks: tuple[str, ...]
    """Identities of the requests in it."""


class Batches:
    """The batches that a ledger's questions are in."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        with ledger.transaction() as db:
            db.execute(SCHEMA)
            db.execute("DELETE FROM batches WHERE made < ?", (time.time() - 86400 * KEPT_DAYS,))

    def note(self, batch: Batch) -> None:
        """Store it, or its id."""
        with self.ledger.transaction() as db:
            row = (batch.tag, batch.id, time.time(), json.dumps(batch.asks))
            db.execute("INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?)", row)

    def forget(self, tags: Iterable[str]) -> None:
        """Its answers are stored, or there are none."""
        with self.ledger.transaction() as db:
            db.executemany("DELETE FROM batches WHERE tag = ?", [(tag,) for tag in tags])

    def with_any(self, asks: Container[str]) -> list[Batch]:
        """Those that hold any of these requests, the oldest first."""
        with self.ledger.transaction() as db:
            rows = db.execute("SELECT tag, id, asks FROM batches ORDER BY made").fetchall()
        batches = [Batch(tag, id_, tuple(json.loads(held))) for tag, id_, held in rows]
        return [batch for batch in batches if any(ask in asks for ask in batch.asks)]

    def any(self) -> bool:
        """Whether there are any at all."""
        with self.ledger.transaction() as db:
            return db.execute("SELECT 1 FROM batches LIMIT 1").fetchone() is not None
