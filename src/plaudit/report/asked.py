"""What the LLM was asked in this run's route, in the words of the page: the question, what its number is, what it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaudit.report.tables import Rows, Tables

ACTED = 40
"""Steps of an acting LLM that are shown: the first ones."""


@dataclass(frozen=True)
class Question:
    """A judging protocol, explained."""

    text: str
    """What is asked, and what the number is."""
    score: str
    """Name of the number."""
    short: str
    """The same as a column's head."""
    is_log_odds: bool = False
    """Whether a probability follows from it."""


PAIRS = Question(
    "Each is about two observations: which one shows more progress?", "probability that the first is better", "P"
)
QUESTIONS = {
    "pointwise": Question(
        "Each is about one observation: is this good progress? The answer is the log-odds of yes, log P(yes) − log P(no); "
        "above 0 yes is likelier. Pairs follow from these numbers.",
        "log-odds of yes",
        "log-odds",
        True,
    ),
    "scale": Question(
        "Each is about one observation: how far along is it, from 1 to 5? The answer is the expectation over the "
        "probabilities of the five ratings.",
        "expected rating",
        "rating",
    ),
    "rating": Question(
        "Each is about one observation: how far along is it, from 1 to 5? The answer is the number that was written.",
        "written rating",
        "rating",
    ),
}


def question(tables: Tables) -> Question:
    """The protocol of this run, explained."""
    own = "pointwise" if tables.judgements else "pairs"
    return QUESTIONS.get(tables.summary("annotate").get("protocol", own), PAIRS) if tables.judgements else PAIRS


def acted(tables: Tables) -> Rows:
    """The first steps of an acting LLM, in the order in which they were made."""
    rows = sorted(tables.acted, key=lambda row: (row["seed"], row["copy"], row["episode"], row["step"]))
    return rows[:ACTED]


def understood(tables: Tables) -> list[tuple[str, int]]:
    """How many actions came about in which way, most frequent first."""
    counts: dict[str, int] = {}
    for row in tables.acted:
        counts[row["how"]] = counts.get(row["how"], 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])


def programs(tables: Tables) -> list[dict[str, Any]]:
    """Every reward program that was asked for, the one that is kept first."""
    return sorted(tables.attempts, key=lambda row: not row["chosen"])
