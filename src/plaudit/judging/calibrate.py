"""calibrate: which way of asking works for this model in this world? Measured on pairs whose answer is known.

The pairs differ in the world's own progress, which no prompt shows. What is learnt here is which protocol to use; the
numbers are measured on observations that no reward is made from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plaudit import prompts, registry
from plaudit.intervals import wilson
from plaudit.judging.base import Pair
from plaudit.llms.base import LLM, Image
from plaudit.types import Comparison, failure_rate, seat_statistics


@dataclass(frozen=True)
class Calibration:
    """How one way of asking did."""

    protocol: str
    """Name of the protocol."""
    chat: bool
    """Whether the model's chat template was used."""
    pairs: int
    """Pairs with a known answer."""
    accuracy: float | None
    """Share of the answered pairs that were answered rightly, a tie counts half; None where none was answered."""
    interval: float
    """Half width of the accuracy's 95% interval (Wilson)."""
    flip_rate: float | None
    """Share of pairs whose verdict changed with the seats; None where there are no seats."""
    first_rate: float | None
    """Share of answers that named the first seat; one half is unbiased."""
    failures: float
    """Share of pairs whose answer could not be read."""
    pairs_per_second: float
    """Pairs judged in a second of wall time, repeats and shared prefixes used."""
    tokens: int
    """Tokens read and written."""
    usd: float
    """Money."""


CLEAR_GAP = 0.15
"""Progress is a mean over occurrences: a smaller difference is no known order."""


def known_pairs(texts: Sequence[str], progress: Sequence[float], pairs: int, seed: int) -> list[Pair]:
    """Different pairs of descriptions whose progress clearly differs, the better one first; levels drawn evenly."""
    rng = np.random.default_rng(seed)
    levels: dict[float, list[int]] = {}
    for i, value in enumerate(progress):
        levels.setdefault(round(value, 1), []).append(i)
    values = sorted(levels)
    found: dict[Pair, None] = {}
    for _ in range(100 * pairs):
        if len(found) == pairs or len(values) < 2:
            break
        low, high = sorted(rng.choice(len(values), 2, replace=False))
        worse, better = (int(rng.choice(levels[values[i]])) for i in (low, high))
        if progress[better] - progress[worse] >= CLEAR_GAP:
            found[texts[better], texts[worse]] = None
    return list(found)


def measure(
    llm: LLM,
    goal: str,
    pairs: Sequence[Pair],
    protocol: str,
    chat: bool,
    prompt: str = "",
    pictures: Mapping[str, Image] | None = None,
) -> Calibration:
    """Ask one way. ``pairs`` have the better observation first; seats are drawn by a coin here.

    ``pictures`` of each description go with a prompt for them.
    """
    coin = np.random.default_rng(0).random(len(pairs)) < 0.5
    seated = [(a, b) if heads else (b, a) for (a, b), heads in zip(pairs, coin, strict=True)]
    shown = {} if pictures is None else {"pictures": pictures}
    judge = registry.load("protocols", protocol)(prompts.load(prompt or protocol), chat=chat, **shown)
    start = time.perf_counter()
    comparisons = judge.compare(llm, goal, seated)
    # What a ledger knew already took its time when it was asked.
    seconds = max(time.perf_counter() - start, sum(c.seconds for c in comparisons))
    seats = seat_statistics(comparisons)
    rights = [_right(c, bool(heads)) for c, heads in zip(comparisons, coin, strict=True)]
    answered = [r for r in rights if r is not None]
    accuracy = float(np.mean(answered)) if answered else None
    return Calibration(
        protocol=protocol,
        chat=chat,
        pairs=len(pairs),
        accuracy=accuracy,
        interval=half_width(accuracy or 0.0, len(answered)),
        flip_rate=seats.flip_rate,
        first_rate=seats.first_rate,
        failures=failure_rate(comparisons),
        pairs_per_second=len(pairs) / seconds,
        tokens=sum(c.tokens for c in comparisons),
        usd=sum(c.usd for c in comparisons),
    )


def _right(comparison: Comparison, first_is_better: bool) -> float | None:
    if comparison.probability is None:
        return None
    if comparison.probability == 0.5:
        return 0.5
    return float((comparison.probability > 0.5) == first_is_better)


def half_width(share: float, n: int) -> float:
    """Half of Wilson's 95% interval of a share."""
    low, high = wilson(share, n)
    return (high - low) / 2


def recommend(rows: Sequence[Calibration]) -> Calibration | None:
    """Of those inside the most accurate one's interval the fastest; of equally fast ones (a tenth) the most accurate.

    More than a tenth of failures rules one out.
    """
    usable = [(r.accuracy, r) for r in rows if r.failures <= 0.1 and r.accuracy is not None]
    if not usable:
        return None
    best, row = max(usable, key=lambda pair: pair[0])
    good = [(accuracy, r) for accuracy, r in usable if accuracy >= best - row.interval]
    fastest = max(r.pairs_per_second for _, r in good)
    return max((pair for pair in good if pair[1].pairs_per_second >= 0.9 * fastest), key=lambda pair: pair[0])[1]


def show(rows: Sequence[Calibration]) -> None:
    """The table for the terminal, and the recommendation."""
    from rich.table import Table

    from plaudit.console import console

    table = Table(title="ways of asking, on pairs whose answer is known")
    paid = any(r.usd for r in rows)  # then that is the cost, and both would not fit into 80 columns
    for column in (
        "protocol",
        "chat",
        "accuracy",
        "flips",
        "first seat",
        "unread",
        "pairs/s",
        "cost" if paid else "tokens",
    ):
        table.add_column(column, justify="left" if column == "protocol" else "right")
    for r in rows:
        table.add_row(
            r.protocol,
            "yes" if r.chat else "no",
            "-" if r.accuracy is None else f"{r.accuracy:.0%} ±{r.interval:.0%}",
            _percent(r.flip_rate),
            _percent(r.first_rate),
            f"{r.failures:.0%}",
            f"{r.pairs_per_second:.1f}",
            f"${r.usd:.4f}" if paid else f"{r.tokens:,}",
        )
    console.print(table)
    best = recommend(rows)
    if best is None:
        console.print("No way of asking can be recommended: more than a tenth of each one's answers could not be read.")
    elif best.accuracy is None or best.accuracy - best.interval <= 0.5:
        console.print("No way of asking is clearly better than a coin here: try another model (--llm) or prompt.")
    if best is not None:
        console.print(f"recommended: --judge.protocol {best.protocol}" + (" --judge.chat" if best.chat else ""))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
