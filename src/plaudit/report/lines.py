"""Lines over any x, with bands, dots and their names in the picture; see ``plots`` for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from plaudit.report.canvas import Canvas, padded, short, ticks
from plaudit.report.curves import Point

ROW = 20
"""Height of a line's name."""
APART = 15
"""Least distance of two names at the ends of lines."""


@dataclass(frozen=True)
class Line:
    """One line."""

    name: str
    """What it shows, in the picture."""
    points: Sequence[Point]
    """Its points, by x."""
    slot: int
    """Number of its colour."""
    dotted: bool = False
    """Whether each point is marked and has a whisker in place of a band."""


def lines(
    series: Sequence[Line],
    title: str,
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
    labels: tuple[Callable[[float], str], Callable[[float], str]] = (short, short),
    reference: Sequence[tuple[float, float]] = (),
    at: Sequence[float] = (),
) -> Markup:
    """All of them; ``reference`` is a thin line to compare with; ``at`` are the labelled x, chosen where none is given."""
    every = [p for each in series for p in each.points]
    reach = [v for p in every for v in (p.y, p.low, p.high) if v is not None]
    across = x or padded([p.x for p in every])
    canvas = Canvas(across, y or padded(reach), height=300 + ROW * len(series), top=14 + ROW * len(series))
    canvas.axes(at or ticks(*canvas.x), ticks(*canvas.y, 4), *labels)
    if reference:
        canvas.path([p[0] for p in reference], [p[1] for p in reference], "floor")
    for number, each in enumerate(series):
        css = f"c{each.slot}"
        high = 12 + ROW * number
        canvas.parts.append(f'<path class="line {css}" d="M{canvas.left} {high}h32"/>')
        canvas.parts.append(f'<text x="{canvas.left + 42}" y="{high}" dy=".35em">{escape(each.name)}</text>')
        banded = [(p.x, p.low, p.high) for p in each.points if p.low is not None and p.high is not None]
        if each.dotted:
            for place, low, top in banded:
                canvas.path([place, place], [low, top], f"bar {css}")
        elif banded:
            xs = [place for place, _, _ in banded]
            canvas.path(xs + xs[::-1], [b[1] for b in banded] + [b[2] for b in banded][::-1], f"band {css}")
        canvas.path([p.x for p in each.points], [p.y for p in each.points], f"line {css}")
        if each.dotted:
            canvas.parts += [
                f'<circle class="dot {css}" cx="{canvas.px(p.x):.1f}" cy="{canvas.py(p.y):.1f}" r="4"/>'
                for p in each.points
            ]
    return canvas.svg(title)


def named_lines(series: Sequence[tuple[str, int, Sequence[float], Sequence[float]]], title: str) -> Markup:
    """A line for each ``(name, colour, xs, ys)``, its name at its end: for more than there are colours to tell apart."""
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
