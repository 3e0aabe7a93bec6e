"""How an LLM is asked for a preference: a protocol turns pairs of descriptions into comparisons.

A protocol is one file here with one class that fulfils :class:`Protocol`. All of them answer the same question, which
of two observations shows more progress toward the goal, so that calibration can measure one against another. There are
two kinds: a :class:`plaudit.judging.scorer.Scorer` is asked about one observation at a time, a
:class:`plaudit.judging.seated.Seated` about two, each in a seat.
"""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

from plaudit.errors import JudgeFailedError
from plaudit.llms.base import LLM, Arrived
from plaudit.prompts import Prompt
from plaudit.types import FAILED, Comparison, Judgement

PART = 8192
"""Questions whose prompts and answers are in memory at once, where the model does not want more in one call."""
MOST_PART = 200_000
"""The same where it does: a batch API may take a day for each call, and a cluster idles at the end of one."""
PICTURED = 512
"""The same of observations whose pictures are shown."""
Pair = tuple[str, str]
"""Descriptions of two observations."""


def part_size(llm: LLM) -> int:
    """Questions that are put to this model at once."""
    return max(PART, min(getattr(llm, "window", 0), MOST_PART))


class Protocol(typing.Protocol):
    """A way to ask."""

    fields: ClassVar[tuple[str, ...]]
    """What is filled into the prompt."""

    @property
    def prompt(self) -> Prompt:
        """The question, with its examples."""
        ...

    def compare(self, llm: LLM, goal: str, pairs: Sequence[Pair], arrived: Arrived | None = None) -> list[Comparison]:
        """One comparison for each pair, in order."""
        ...

    def requests(self, pairs: Sequence[Pair]) -> int:
        """How many questions the LLM is asked for these pairs, repeats not counted."""
        ...


def check_failures(records: Sequence[Judgement | Comparison], limit: float) -> None:
    """Stop where more than this share of the judgements failed: the rest would not be trusted either."""
    failed = [r for r in records if r.status in FAILED]
    check_failed(Counter(r.status for r in records), failed[-1].reply if failed else "", limit)


def check_failed(by_status: Mapping[str, int], reply: str, limit: float) -> None:
    """The same of counts; ``reply`` is the last one that failed."""
    total, failed = sum(by_status.values()), sum(by_status.get(kind, 0) for kind in FAILED)
    if failed > limit * total:
        kinds = ", ".join(f"{by_status.get(kind, 0)} {kind}" for kind in FAILED)
        raise JudgeFailedError(
            f"{failed} of {total} judgements failed ({kinds}), more than the limit of {limit:.0%}. "
            f"The last reply was: {reply[:200]!r}. Look at them in the run's judgements, then try another "
            "protocol (plaudit calibrate) or another model (--llm), or raise --judge.max-failures."
        )
