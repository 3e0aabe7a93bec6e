"""The records that travel between the stages: judgements of one observation and comparisons of two.

Records are frozen and check themselves. **A failure is never a number**: a record whose status is not ``ok`` (or ``tie``)
holds no value, so that it can be counted but never trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

JudgementStatus = Literal["ok", "tie", "unparsed", "refused", "error"]
"""What became of a judgement: an answer, "neither", or the kind of failure."""
FAILED = ("unparsed", "refused", "error")


@dataclass(frozen=True)
class Judgement:
    """What an LLM said of one observation."""

    text: str
    """The observation's description, as the LLM was shown it."""
    status: JudgementStatus
    """``ok``, or the kind of failure."""
    value: float | None
    """How good it is, any finite number, larger is better (pointwise: log-odds of yes, nats; scale and rating: 1 to 5);
    None unless ok."""
    reply: str
    """What the LLM answered: its text, or the log-probability of each answer."""
    tokens: int = 0
    """Tokens read and written."""
    seconds: float = 0.0
    """Wall time."""
    usd: float = 0.0
    """Money."""

    def __post_init__(self) -> None:
        if (self.value is not None) != (self.status == "ok"):
            raise ValueError(f"a judgement has a value exactly when it is ok, got {self.status!r} with {self.value!r}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a judgement's value must be finite, got {self.value!r}")


@dataclass(frozen=True)
class Comparison:
    """Which of two observations shows more progress."""

    first: str
    """Description of the one observation."""
    second: str
    """Description of the other."""
    status: JudgementStatus
    """``ok``, ``tie`` (the LLM said: neither), or the kind of failure."""
    probability: float | None
    """P(first is better), 0 to 1, over both orders where both were asked; None unless ok or tie."""
    forward: float | None = None
    """P(first is better) as answered with the first one in the first seat; None where it was not asked so."""
    backward: float | None = None
    """P(first is better) as answered with the seats swapped; None where it was not asked so."""
    reply: str = ""
    """What the LLM answered, both orders."""
    tokens: int = 0
    """Tokens read and written."""
    seconds: float = 0.0
    """Wall time."""
    usd: float = 0.0
    """Money."""

    def __post_init__(self) -> None:
        if (self.probability is None) != (self.status in FAILED):
            raise ValueError(f"a failed comparison has no probability, got {self.status!r} with {self.probability!r}")
        for name in ("probability", "forward", "backward"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value!r}")

    @property
    def flipped(self) -> bool | None:
        """Whether the verdict changed when the seats were swapped; None where it cannot be told."""
        if self.forward is None or self.backward is None:
            return None
        return (self.forward - 0.5) * (self.backward - 0.5) < 0


@dataclass(frozen=True)
class SeatStatistics:
    """How much a judge goes by the seat instead of by what sits in it."""

    pairs: int
    """Comparisons that were asked in both orders and answered in both."""
    flip_rate: float | None
    """Share of them whose verdict changed with the seats; None without any."""
    first_rate: float | None
    """Share of answers, of one order too, that named the first seat; an unbiased judge has about one half; None without
    any."""


def failure_rate(records: Iterable[Judgement | Comparison]) -> float:
    """Share of records that failed; 0 for none."""
    statuses = [r.status for r in records]
    return sum(s in FAILED for s in statuses) / max(1, len(statuses))


class Seats:
    """Counts of what seat statistics are made of, over any number of comparisons."""

    def __init__(self) -> None:
        self._both = self._flips = self._named = self._first = 0

    def add(self, comparisons: Iterable[Comparison]) -> None:
        """Count these."""
        for c in comparisons:
            self._both += c.flipped is not None
            self._flips += bool(c.flipped)
            # An answer that names neither seat says nothing about a preference for one.
            named = [c.forward > 0.5] if c.forward is not None and c.forward != 0.5 else []
            named += [c.backward < 0.5] if c.backward is not None and c.backward != 0.5 else []
            self._named += len(named)
            self._first += sum(named)

    @property
    def statistics(self) -> SeatStatistics:
        """Of all that was added."""
        flips = self._flips / self._both if self._both else None
        return SeatStatistics(self._both, flips, self._first / self._named if self._named else None)


def seat_statistics(comparisons: Iterable[Comparison]) -> SeatStatistics:
    """Flip rate of the comparisons that were answered in both orders; how often any answer named the first seat."""
    seats = Seats()
    seats.add(comparisons)
    return seats.statistics
