"""Numbers and names as a person reads them; what is not known is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Callable

from plaudit.report.tables import known

NONE = "–"
LABELS = {
    "preference": "LLM feedback",
    "task": "task reward",
    "constant": "constant +1",
    "constant-minus": "constant −1",
    "random": "random policy",
    "count": "novelty alone",
    "scalar": "LLM ratings",
    "code": "LLM-written reward",
    "embedding": "embedding similarity",
    "llm": "the LLM itself",
}
"""Arms as the report calls them; the raw name stands beside it. Others go by their own name."""
CONTROLS = ("task", "constant", "constant-minus", "random", "count")
"""Arms whose reward no language model had a part in."""


def label(arm: str) -> str:
    """What an arm is called."""
    return LABELS.get(arm, arm)


def percent(value: float | None, places: int | None = None) -> str:
    """A share of one as a percentage; decimals only near 0 and 100 unless given."""
    if not known(value):
        return NONE
    if places is None:
        places = 1 if 0 < abs(value) < 0.0095 or 0.9905 < value < 1 else 0
    return f"{100 * value:.{places}f}%"


def number(value: float | None, places: int = 2) -> str:
    """A number with this many decimals and a true minus sign."""
    if not known(value):
        return NONE
    return f"{value:,.{places}f}".replace("-", "−")


def count(value: float | None) -> str:
    """A whole number with its thousands set apart."""
    return number(value, 0)


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


FILTERS: dict[str, Callable[..., str]] = {f.__name__: f for f in (label, percent, number, count, money, duration)}
"""For the template."""
