"""What each way asked the LLM, what came back, and how often a judge failed, flipped, or preferred a seat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaudit.report.compare_ways import Comparison, Way
from plaudit.report.judge import cut
from plaudit.report.tables import Rows

REPLIES = 6
"""Answers of each way on the page."""
ATTEMPTS = 24
"""Reward programs of each way on the page."""
TAIL = 360
"""Characters of a prompt's end that stand in the table of examples; what differs between questions is at the end."""


@dataclass(frozen=True)
class Asked:
    """All that one way said to the LLM and heard."""

    way: Way
    """Whose it is."""
    text: str
    """The full text of one question; empty where none was recorded."""
    replies: Rows
    """Some questions with their answers: prompt, reply, status."""
    attempts: Rows
    """Reward programs: round, candidate, program, status, error."""


def asked(comparison: Comparison) -> list[Asked]:
    """Every way that asked anything."""
    found = []
    for way in comparison.ways:
        replies = [_texts(row, ("prompt", "reply", "status")) for row in way.rows("replies")[:REPLIES]]
        attempts = [
            _texts(row, ("program", "status", "error")) | {k: _whole(row.get(k)) for k in ("round", "candidate")}
            for row in way.rows("attempts")[:ATTEMPTS]
        ]
        if way.text("asked") or replies or attempts:
            found.append(Asked(way, cut(way.text("asked")), replies, attempts))
    return found


def _texts(row: dict[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    return {key: cut(value) if isinstance(value := row.get(key), str) else "" for key in keys}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def examples(found: list[Asked]) -> list[tuple[Way, dict[str, str]]]:
    """One answer of each way, the first that was recorded, its question cut to the end."""
    first = [(a.way, a.replies[0]) for a in found if a.replies]
    return [(way, row | {"prompt": tail(row["prompt"])}) for way, row in first]


def tail(text: str) -> str:
    """The end of a prompt, from the beginning of a line where one is near."""
    if len(text) <= TAIL:
        return text
    end = text[-TAIL:]
    line = end.find("\n")
    return "… " + (end[line + 1 :] if 0 <= line < TAIL // 2 else end)


def judges(comparison: Comparison) -> list[Way]:
    """Every way that asked the LLM something."""
    return [way for way in comparison.ways if way.number("questions")]
