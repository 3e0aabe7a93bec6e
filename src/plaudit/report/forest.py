"""Rows of points with intervals, and lines that are named at their ends: pictures that need no legend.

For more series than there are colours that can be told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from plaudit.report.canvas import Canvas, padded, short, ticks

ROW = 24
"""Height of a row."""
APART = 15
"""Least distance of two names."""


@dataclass(frozen=True)
class Row:
    """One row of a forest."""

    name: str
    """What stands beside it."""
    point: float
    """Where its dot is."""
    low: float | None
    """Lower end of its bar; None for no bar."""
    high: float | None
    """Upper end."""
    seeds: Sequence[float] = ()
    """What each seed came to: rings."""
    slot: int = 0
    """Colour."""


def forest(rows: Sequence[Row], title: str, share: bool = False) -> Markup:
    """A row for each: rings for seeds, a bar for the interval, a dot for the mean."""
    reach = [v for row in rows for v in (row.point, row.low, row.high, *row.seeds) if v is not None]
    low, high = (0.0, 1.0) if share else (0.0, padded([0.0, *reach])[1])
    canvas = Canvas((low, high), (0, 1), height=ROW * len(rows) + 44, left=190, top=6, bottom=38, right=18)
    base = canvas.height - canvas.bottom
    written: Callable[[float], str] = (lambda x: f"{100 * x:.0f}%") if share else short
    for x in ticks(low, high, 4):
        at = canvas.px(x)
        canvas.parts.append(f'<path class="rule" d="M{at:.1f} {canvas.top}V{base}"/>')
        canvas.parts.append(f'<text class="x" x="{at:.1f}" y="{base + 9}" dy=".8em">{escape(written(x))}</text>')
    for i, row in enumerate(rows):
        y = canvas.top + ROW * (i + 0.5)
        canvas.parts.append(f'<text class="y" x="{canvas.left - 10}" y="{y:.1f}" dy=".35em">{escape(row.name)}</text>')
        if row.low is not None and row.high is not None:
            span = f"M{canvas.px(row.low):.1f} {y:.1f}H{canvas.px(row.high):.1f}"
            canvas.parts.append(f'<path class="bar c{row.slot}" d="{span}"/>')
        canvas.parts += [
            f'<circle class="ring c{row.slot}" cx="{canvas.px(v):.1f}" cy="{y:.1f}" r="4"/>' for v in row.seeds
        ]
        canvas.parts.append(f'<circle class="dot c{row.slot}" cx="{canvas.px(row.point):.1f}" cy="{y:.1f}" r="3.5"/>')
    return canvas.svg(title)


def named_lines(series: Sequence[tuple[str, int, Sequence[float], Sequence[float]]], title: str) -> Markup:
    """A line for each ``(name, colour, xs, ys)``, its name at its end."""
    xs = [x for _, _, points, _ in series for x in points]
    ys = [y for _, _, _, points in series for y in points]
    canvas = Canvas((0, max(xs)), (0, padded([0.0, *ys])[1]), width=560, height=340, right=170)
    canvas.axes(ticks(*canvas.x, 3), ticks(*canvas.y, 4), short, short)
    last = -1e9
    for name, slot, points, values in sorted(series, key=lambda each: -each[3][-1]):
        canvas.path(points, values, f"line thin c{slot}")
        last = max(canvas.py(values[-1]), last + APART)
        at = canvas.width - canvas.right + 8
        canvas.parts.append(
            f'<text class="name" x="{at}" y="{last:.1f}" dy=".35em" text-anchor="start">{escape(name)}</text>'
        )
    return canvas.svg(title)
