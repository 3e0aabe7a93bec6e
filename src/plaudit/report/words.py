"""Numbers, names and colours as a person reads them; what is not known is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from plaudit.report.tables import known

NONE = "–"
LABELS = {
    "preference": "LLM feedback",
    "scalar": "LLM rating",
    "code": "LLM reward code",
    "embedding": "embedding similarity",
    "llm": "LLM as policy",
    "llm:generate": "LLM writes the action",
    "llm:thought": "LLM thinks first",
    "llm:examples": "LLM with examples",
    "llm:refine": "LLM criticises itself",
    "llm:history": "LLM with history",
    "llm:prior": "LLM, prior subtracted",
    "llm:sample": "LLM, actions sampled",
    "task": "task reward",
    "constant": "constant +1",
    "constant-minus": "constant −1",
    "random": "random policy",
    "count": "novelty count",
    "rnd": "novelty by a network",
    "expert": "scripted expert",
}
"""Arms as the reports call them; the raw name stands beside it. Others go by their own name."""
CONTROLS = ("task", "constant", "constant-minus", "random", "count", "rnd", "expert")
"""Arms that no language model had a part in."""
REFERENCES = ("expert",)
"""Controls that show what can be reached and need not be beaten: they were told how to play."""
SLOTS = {
    "preference": 0,
    "task": 1,
    "constant": 2,
    "constant-minus": 3,
    "random": 4,
    "scalar": 5,
    "code": 6,
    "embedding": 7,
    "llm": 8,
    "count": 9,
}
"""Colour of each known route, the same in every report."""
COLOURS = 12
"""Colours in the style sheet; those that no known route has are for the others."""


def slots(names: Collection[str]) -> dict[str, int]:
    """Number of the colour of each arm; what stands behind a colon is a variant and takes its route's."""
    fixed = {name: SLOTS[name.partition(":")[0]] for name in names if name.partition(":")[0] in SLOTS}
    first = max(SLOTS.values()) + 1
    others = {name: first + i % (COLOURS - first) for i, name in enumerate(n for n in names if n not in fixed)}
    return fixed | others


def label(arm: str) -> str:
    """What an arm is called."""
    return LABELS.get(arm, arm)


def percent(value: float | None, places: int | None = None) -> str:
    """A share of one as a percentage; unless places are given, a decimal only near 0 and 100, where it tells."""
    if not known(value):
        return NONE
    if places is None:
        near = abs(value) < 0.0995 or value > 0.9005
        return f"{100 * value:.{int(near)}f}".removesuffix(".0") + "%"
    return f"{100 * value:.{places}f}%"


def number(value: float | None, places: int = 2) -> str:
    """A number with this many decimals and a true minus sign."""
    if not known(value):
        return NONE
    return f"{value:,.{places}f}".replace("-", "−")


def count(value: float | None) -> str:
    """A whole number with its thousands set apart."""
    return number(value, 0)


def compact(value: float | None) -> str:
    """A count in three digits: 7.77M, 148k; below a thousand as it is."""
    if not known(value):
        return NONE
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:
            return f"{value / limit:.3g}{letter}".replace("-", "−")
    return count(value)


def money(value: float | None) -> str:
    """US dollars; small sums keep their digits."""
    if not known(value):
        return NONE
    return "$0" if value == 0 else f"${value:,.2f}" if value >= 0.1 else f"${value:.2g}"


def duration(seconds: float | None) -> str:
    """Wall time."""
    if not known(seconds):
        return NONE
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def size(value: int) -> str:
    """Bytes in decimal units."""
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.0f} kB"


def signed(value: float | None, places: int = 1) -> str:
    """A difference of two shares in points, with its sign."""
    return f"{100 * value:+.{places}f}".replace("-", "−") if known(value) else NONE


FILTERS: dict[str, Callable[..., str]] = {
    f.__name__: f for f in (label, percent, number, count, compact, money, duration, signed)
}
"""For the template."""


def judged_beside(found: Mapping[str, Any]) -> str:
    """What the judge beside a training came to (:func:`plaudit.routes.beside.summary`), and how late it was."""
    answers = f"{count(found['answers'])} new observations"
    if stopped := found.get("stopped"):
        answers += f" (a ceiling ended the asking beside {count(stopped)} agent{'' if stopped == 1 else 's'})"
    if found["lag_steps"] is None:
        return f"{answers}, none in time to train on: longer training, or a larger --online.share"
    seconds = "" if found["lag_seconds"] is None else f" ({found['lag_seconds']:g} s)"
    lag = f"{count(round(found['lag_steps']))} steps{seconds} after they were met (median)"
    return f"{answers}, {count(found['used'])} of them trained on, {lag}"
