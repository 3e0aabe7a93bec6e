"""What is whole of a damaged ledger, copied into a new one.

    plaudit ledger runs/doorkey/ledger.sqlite --recover saved.sqlite

Rows are read in ranges; a range that cannot be read is halved until only the rows on damaged pages are left out. The old
file is not touched. Left out: rows that lie below a damaged inner page of the tree;
``sqlite3 FILE .recover`` may find them.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plaudit.errors import StoreError
from plaudit.llms.answers import COLUMNS, Ledger, read_reply
from plaudit.llms.batches import Batch, Batches

SMALLEST = 150
"""Bytes that a row takes at least: bounds their number where the file cannot tell it."""
STEP = 1024
"""Rows that are read at once."""


def recover(damaged: Path, new: Path) -> tuple[int, int]:
    """Copy whole rows; returns how many, and how many could not be read."""
    if new.exists():
        raise StoreError(f"{new} is there already. Give the name of a file that is not.")
    if not damaged.is_file():
        raise StoreError(f"there is no ledger {damaged}.")
    # A copy, so that neither the damaged file nor its write-ahead log is changed by reading it.
    with tempfile.TemporaryDirectory(dir=new.parent, prefix=".recover-") as folder:
        copy = Path(folder) / "copy.sqlite"
        for suffix in ("", "-wal"):
            if Path(f"{damaged}{suffix}").exists():
                shutil.copyfile(f"{damaged}{suffix}", f"{copy}{suffix}")
        old = sqlite3.connect(copy)
        target = Ledger(new)
        try:
            count, last = _copy(old, target)
            _copy_batches(old, target)
        except sqlite3.Error as error:
            raise StoreError(
                f"{damaged} cannot be read as a ledger at all: {error}. Try: sqlite3 {damaged} .recover"
            ) from None
        finally:
            old.close()
            target.close()
    return count, last - count


def _copy(old: sqlite3.Connection, target: Ledger) -> tuple[int, int]:
    layout = old.execute("SELECT sql FROM sqlite_master WHERE name = 'answers'").fetchone()
    if layout is None or "WITHOUT ROWID" in layout[0]:
        raise sqlite3.DatabaseError("it is of an older plaudit" if layout else "it has no table of answers")
    columns = [row[1] for row in old.execute("PRAGMA table_info(answers)")]
    kept = [name for name in COLUMNS if name in columns]
    total, known = _rows(old)
    count = last = 0
    for start in range(1, total + 1, STEP):
        rows = [
            row for row in _read(old, kept, start, start + STEP) if _whole(dict(zip(("", *kept), row, strict=True)))
        ]
        target.restore(kept, [row[1:] for row in rows])
        count, last = count + len(rows), max([last, *(row[0] for row in rows)])
    return count, total if known else last


def _copy_batches(old: sqlite3.Connection, target: Ledger) -> None:
    """What is under way at a provider, as far as it can be read: it would be paid for again."""
    with contextlib.suppress(sqlite3.DatabaseError, ValueError):  # most ledgers have none
        for tag, name, asks in old.execute("SELECT tag, id, asks FROM batches"):
            Batches(target).note(Batch(tag, name, tuple(json.loads(asks))))


def _read(old: sqlite3.Connection, columns: list[str], start: int, stop: int) -> Iterator[tuple[Any, ...]]:
    query = f"SELECT rowid, {', '.join(columns)} FROM answers WHERE rowid >= ? AND rowid < ?"
    try:
        yield from old.execute(query, (start, stop)).fetchall()
    except (sqlite3.DatabaseError, OverflowError):
        if stop - start > 1:
            middle = (start + stop) // 2
            yield from _read(old, columns, start, middle)
            yield from _read(old, columns, middle, stop)


def _rows(old: sqlite3.Connection) -> tuple[int, bool]:
    """The largest row number: from the table, else from an index; else what the file's size allows, and False."""
    for query in ("SELECT MAX(rowid) FROM answers", "SELECT COUNT(*) FROM answers"):
        with contextlib.suppress(sqlite3.DatabaseError):
            return int(old.execute(query).fetchone()[0] or 0), True
    pages, size = (old.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size // SMALLEST), False


def _whole(row: dict[str, Any]) -> bool:
    try:
        read_reply(row["reply"])
        return isinstance(json.loads(row["request"]), dict) and len(row["key"]) == 64
    except (ValueError, TypeError):
        return False
