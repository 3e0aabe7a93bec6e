"""annotate: ask the LLM which observations show more progress.

Writes ``comparisons.parquet`` and, for a pointwise judge, ``judgements.parquet``. Every answer goes through the run's
ledger, so a killed run asks nothing twice.
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from plaudit.console import progress
from plaudit.judging.base import Pair, check_failures
from plaudit.judging.pointwise import Pointwise
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.stages.parts import make_llm, make_protocol, make_world
from plaudit.store import Run, read_table, write_table
from plaudit.types import Comparison, Judgement, seat_statistics


def annotate(run: Run) -> None:
    """Run the stage."""
    start, judge = time.perf_counter(), run.config.judge
    observations = read_table(run.require("collect") / "observations.parquet")
    folder = run.stage("annotate")
    texts, pairs = draw(observations, judge.items, judge.pairs, run.config.seed)
    protocol, goal = make_protocol(judge), make_world(run.config.world).goal
    ledger = Ledger(run.folder / "ledger.sqlite")
    llm = LedgerLLM(make_llm(run.config.llm), ledger, judge.max_failures)
    judgements: list[Judgement] = []
    try:
        total = len(texts) if isinstance(protocol, Pointwise) else 2 * len(pairs)
        with progress("annotate", total) as advance:
            if isinstance(protocol, Pointwise):
                judgements = protocol.judge(llm, goal, texts, advance)
                comparisons = protocol.pair_up(judgements, pairs)
            else:
                comparisons = protocol.compare(llm, goal, pairs, advance)
        spend = ledger.spend()
    finally:
        llm.close()
        ledger.close()
    if judgements:
        write_table(folder / "judgements.parquet", judgements)
    write_table(folder / "comparisons.parquet", comparisons)
    check_failures(judgements or comparisons, judge.max_failures)
    run.finish(
        "annotate",
        time.perf_counter() - start,
        goal=goal,
        model=llm.name,
        prompt=protocol.prompt.name,
        prompt_hash=protocol.prompt.hash,
        prompt_text=protocol.prompt.text,
        questions=protocol.requests(pairs),
        tokens=spend.tokens,
        usd=spend.usd,
        llm_seconds=round(spend.seconds, 2),
        labels=label_statistics(judgements, comparisons),
    )


def draw(observations: list[dict], items: int, pairs: int, seed: int) -> tuple[list[str], list[Pair]]:
    """Distinct descriptions to judge, evenly over what has happened, and random pairs of different ones among them.

    What matters happens rarely: drawn evenly over descriptions, most draws would miss the one that ends an episode well.
    """
    rng = np.random.default_rng(seed)
    turn: Counter[str] = Counter()
    order: list[tuple[int, int, str]] = []
    for i in rng.permutation(len(observations)):
        event = observations[i]["event"]
        order.append((turn[event], len(order), observations[i]["text"]))
        turn[event] += 1
    texts = [text for *_, text in sorted(order)[:items]]
    first = rng.integers(0, len(texts), pairs)
    second = (first + rng.integers(1, max(2, len(texts)), pairs)) % len(texts)
    return texts, [(texts[a], texts[b]) for a, b in zip(first, second, strict=True) if a != b]


def label_statistics(judgements: list[Judgement], comparisons: list[Comparison]) -> dict[str, object]:
    """Counts by status and what is known of the judge's seat preference."""
    records = judgements or comparisons
    seats = seat_statistics(comparisons)
    return {
        "judged": len(records),
        "pairs": len(comparisons),
        "by_status": {s: sum(r.status == s for r in records) for s in sorted({r.status for r in records})},
        "flip_rate": seats.flip_rate,
        "first_rate": seats.first_rate,
    }
