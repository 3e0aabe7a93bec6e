"""What the judge said, how the answers are spread, and how they agree with the world's own progress."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from plaudit.analysis.agreement import Agreement, pair_accuracy, rank_correlation, score_pairs
from plaudit.report import plots
from plaudit.report.tables import Rows, Tables, known
from plaudit.types import FAILED

SHOWN = 10
"""Rows of each sample."""
LONGEST = 2500
"""Characters of one text that are shown."""


@dataclass(frozen=True)
class Sample:
    """Some of the answers."""

    title: str
    """Which."""
    rows: Rows
    """The answers; ``share`` is added: P(yes) or P(first is better)."""


def samples(tables: Tables) -> list[Sample]:
    """Highest, lowest and random answers, and the failed ones where there are any."""
    pointwise = bool(tables.judgements)
    key, noun = ("value", "judged as progress") if pointwise else ("probability", "sure that the first is better")
    answers = tables.judgements or tables.comparisons
    good = sorted((row for row in answers if known(row[key])), key=lambda row: -row[key])
    failed = [row for row in answers if row["status"] in FAILED]
    rng = np.random.default_rng(0)
    middle = good[SHOWN:-SHOWN]
    drawn = [middle[i] for i in sorted(rng.permutation(len(middle))[:SHOWN])]
    groups = [
        Sample(f"Most {noun}", good[:SHOWN]),
        Sample(f"Least {noun}" if pointwise else "Most sure that the second is better", good[SHOWN:][-SHOWN:]),
        Sample("Drawn at random from the rest", drawn),
        Sample("Failed, drawn at random", [failed[i] for i in rng.permutation(len(failed))[:SHOWN]]),
    ]
    return [Sample(g.title, [_shown(row) for row in g.rows]) for g in groups if g.rows]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    texts = {k: cut(row[k]) for k in ("text", "first", "second", "reply") if k in row}
    value = row.get("value")
    share = row.get("probability") if "probability" in row else sigmoid(value) if known(value) else None
    return row | texts | {"share": share}


def cut(text: str) -> str:
    """The text, or its beginning and a note."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more characters)"


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)) without overflow."""
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def spread(tables: Tables) -> Markup | None:
    """Histogram of the answers; None without any."""
    if tables.judgements:
        values = [row["value"] for row in tables.judgements if known(row["value"])]
    else:
        values = [row["probability"] for row in tables.comparisons if known(row["probability"])]
    span = None if tables.judgements else (0.0, 1.0)
    return plots.histogram(values, span, plots.describe("Histogram of the answers", values)) if values else None


def extremes(tables: Tables, top: int = 8) -> tuple[Rows, Rows]:
    """The (most, least) rewarded descriptions, with how often each was met."""
    judged = {text for row in tables.comparisons for text in (row["first"], row["second"])}
    rows = sorted(tables.rewards, key=lambda row: -row["reward"])
    rows = [
        row | {"text": cut(row["text"]), "count": tables.counts.get(row["text"]), "judged": row["text"] in judged}
        for row in rows
    ]
    return rows[:top], rows[top:][-top:][::-1]


def agreement(tables: Tables) -> list[tuple[str, Agreement]]:
    """The judge, the fitted reward and a baseline without any model, each against the world's own progress."""
    if not tables.progress:
        return []
    answers = [(r["first"], r["second"], r["probability"]) for r in tables.comparisons if known(r["probability"])]
    asked = [(first, second) for first, second, _ in answers]
    judged = {text for pair in asked for text in pair}
    reward = {row["text"]: row["reward"] for row in tables.rewards}
    unseen = {text: value for text, value in reward.items() if text not in judged}
    texts = list(unseen)[:400]
    fresh = [(a, b) for i, a in enumerate(texts) for b in texts[:i]]
    length = {text: float(len(text)) for text in judged}
    rows = [
        ("the judge", answers, judge_scores(tables)),
        ("the fitted reward", score_pairs(asked, reward), {t: v for t, v in reward.items() if t in judged}),
        ("the fitted reward, on observations that were not judged", score_pairs(fresh, unseen), unseen),
        ("for comparison: the longer text", score_pairs(asked, length), length),
    ]
    found = []
    for name, pairs, scores in rows:
        if pairs:
            items, rho = rank_correlation(scores, tables.progress)
            number, accuracy = pair_accuracy(pairs, tables.progress)
            found.append((name, Agreement(number, accuracy, items, rho)))
    return found


def judge_scores(tables: Tables) -> dict[str, float]:
    """One number for each judged description: its value, or how often it was preferred."""
    if tables.judgements:
        return {row["text"]: row["value"] for row in tables.judgements if known(row["value"])}
    shares: dict[str, list[float]] = {}
    for row in tables.comparisons:
        if known(row["probability"]):
            shares.setdefault(row["first"], []).append(row["probability"])
            shares.setdefault(row["second"], []).append(1 - row["probability"])
    return {text: float(np.mean(values)) for text, values in shares.items()}


def against_progress(tables: Tables) -> Markup | None:
    """The judge's number over the world's progress; None where either is missing."""
    scores = {text: value for text, value in judge_scores(tables).items() if text in tables.progress}
    if not scores:
        return None
    shown = list(scores)[:400]
    title = plots.describe("The judge's number over the world's own progress", [scores[t] for t in shown])
    return plots.scatter([tables.progress[t] for t in shown], [scores[t] for t in shown], title)
