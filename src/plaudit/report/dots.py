"""Rows of dots with intervals, and labelled spots with intervals both ways: pictures of few numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from plaudit.report.canvas import Canvas, padded, short, ticks

PITCH = 30
"""Height of a row."""
Interval = tuple[float, ...]
"""A value, its lower and its upper end."""


@dataclass(frozen=True)
class Row:
    """One line of a dot plot."""

    label: str
    """What it is."""
    value: float
    """Where the dot stands."""
    low: float | None = None
    """Lower end of the bar; None for none."""
    high: float | None = None
    """Its upper end."""
    slot: int = 0
    """Colour."""
    seeds: Sequence[float] = ()
    """What each seed came to: rings."""


@dataclass(frozen=True)
class Spot:
    """One point of a plane."""

    label: str
    """What stands beside it; empty for nothing."""
    x: Interval
    """0 to 1."""
    y: Interval
    """0 to 1."""
    slot: int = 0
    """Colour."""


def dot_rows(rows: Sequence[Row], title: str, chance: float | None = None, share: bool = True) -> Markup:
    """A dot, a bar and rings for each row; ``chance`` is a line through all. A row's label stands above it.

    From 0 to 100%; where it is no ``share``, from 0 to the largest.
    """
    reach = [v for row in rows for v in (row.value, row.low, row.high, *row.seeds) if v is not None]
    end = 1.0 if share else padded([0.0, *reach])[1]
    written: Callable[[float], str] = _percent if share else short
    canvas = Canvas((0, end), (0, 1), width=520, height=PITCH * len(rows) + 50, left=14, top=6, bottom=40, right=18)
    canvas.axes(ticks(0, end), [], written, written)
    base = canvas.height - canvas.bottom
    if chance is not None:
        canvas.parts.append(f'<path class="floor" d="M{canvas.px(chance):.1f} {canvas.top}V{base}"/>')
    for number, row in enumerate(rows):
        at = canvas.top + PITCH * number + 22
        canvas.parts.append(f'<text x="{canvas.left}" y="{at - 9}">{escape(row.label)}</text>')
        canvas.parts.append(f'<path class="rule" d="M{canvas.left} {at}H{canvas.width - canvas.right}"/>')
        if row.low is not None and row.high is not None:
            ends = canvas.px(row.low), canvas.px(row.high)
            canvas.parts.append(f'<path class="bar c{row.slot}" d="M{ends[0]:.1f} {at}H{ends[1]:.1f}"/>')
        canvas.parts += [
            f'<circle class="ring c{row.slot}" cx="{canvas.px(seed):.1f}" cy="{at}" r="4"/>' for seed in row.seeds
        ]
        canvas.parts.append(f'<circle class="dot c{row.slot}" cx="{canvas.px(row.value):.1f}" cy="{at}" r="4"/>')
    return canvas.svg(title)


def spots(marks: Sequence[Spot], axes: tuple[str, str], title: str) -> Markup:
    """Spots with bars both ways in the unit square; dashed lines at one half."""
    canvas = Canvas((0, 1), (0, 1), height=430, top=34, bottom=60)
    canvas.axes(ticks(0, 1), ticks(0, 1), _percent, _percent)
    base, end = canvas.height - canvas.bottom, canvas.width - canvas.right
    canvas.parts.append(f'<path class="floor" d="M{canvas.px(0.5):.1f} {canvas.top}V{base}"/>')
    canvas.parts.append(f'<path class="floor" d="M{canvas.left} {canvas.py(0.5):.1f}H{end}"/>')
    canvas.parts.append(f'<text class="x last" x="{end}" y="{base + 34}" dy=".8em">{escape(axes[0])} →</text>')
    canvas.parts.append(f'<text x="{canvas.left}" y="14">↑ {escape(axes[1])}</text>')
    for mark in marks:
        x, y = canvas.px(mark.x[0]), canvas.py(mark.y[0])
        across = f"M{canvas.px(mark.x[1]):.1f} {y:.1f}H{canvas.px(mark.x[2]):.1f}"
        up = f"M{x:.1f} {canvas.py(mark.y[1]):.1f}V{canvas.py(mark.y[2]):.1f}"
        canvas.parts.append(f'<path class="line thin c{mark.slot}" d="{across}{up}"/>')
        canvas.parts.append(f'<circle class="dot c{mark.slot}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
        if mark.label:
            left = x > canvas.left + 0.6 * (end - canvas.left)
            side = f'x="{x - 9:.1f}" text-anchor="end"' if left else f'x="{x + 9:.1f}"'
            under = y + (18 if y < canvas.top + 20 else -8)  # not out of the picture
            canvas.parts.append(f'<text {side} y="{under:.1f}">{escape(mark.label)}</text>')
    return canvas.svg(title)


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"
