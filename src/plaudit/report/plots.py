"""Plots as inline SVG, drawn by hand: a few hundred bytes of axes, colours from the page's style sheet (see ``canvas``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup

from plaudit.report.canvas import Canvas, padded, short, ticks
from plaudit.report.curves import Point
from plaudit.report.tables import known
from plaudit.report.words import number

LONG = 250
"""Episodes with more steps than this are drawn with a finer line."""


def curves(
    series: Sequence[tuple[str, Sequence[Point]]],
    steps: float,
    title: str,
    small: bool = False,
    shares: bool = True,
    levels: Sequence[tuple[str, float]] = (),
) -> Markup:
    """A line and a band for each ``(classes, points)`` over environment steps; the part without a rate stays grey.

    ``shares`` go from 0 to 100%, other values as far as they do; ``levels`` are lines without training.
    """
    every = [p for _, points in series for p in points]
    reach = [v for p in every for v in (p.y, p.low, p.high) if known(v)] + [level for _, level in levels]
    low, high = (0.0, 1.0) if shares else padded(reach)
    canvas = Canvas((0, steps), (low, high))
    if small:
        canvas = Canvas((0, steps), (low, high), width=250, height=128, left=50, top=8, bottom=30, right=10)
    start = min(p.x for p in every)
    box = canvas.px(start) - canvas.left
    canvas.parts.append(
        f'<rect class="void" x="{canvas.left}" y="{canvas.top}" width="{box:.1f}" '
        f'height="{canvas.height - canvas.top - canvas.bottom}"/>'
    )
    label: Callable[[float], str] = (lambda y: f"{100 * y:.0f}%") if shares else short
    canvas.axes(ticks(0, steps, 2 if small else 4), ticks(low, high, 3 if small else 4), short, label)
    for css, points in reversed(list(series)):
        band = [(p.x, p.low, p.high) for p in points if p.low is not None and p.high is not None]
        if band:
            xs = [x for x, *_ in band]
            canvas.path(xs + xs[::-1], [b[1] for b in band] + [b[2] for b in band][::-1], f"band {css}")
    for css, level in levels:
        canvas.path([0, steps], [level, level], f"line {css}")
    for css, points in reversed(list(series)):
        canvas.path([p.x for p in points], [p.y for p in points], f"line {css}")
    return canvas.svg(title)


def strip(
    values: Sequence[float], point: float, low: float | None, high: float | None, slot: int, title: str
) -> Markup:
    """One row of a dot plot from 0 to 1: every seed a ring, the interval a bar, the mean a dot."""
    canvas = Canvas((0, 1), (0, 1), width=190, height=26, left=8, right=8, top=0, bottom=0)
    x0, x1 = canvas.px(0), canvas.px(1)
    canvas.parts.append(f'<path class="rule" d="M{x0} 13H{x1}M{x0} 8v10M{canvas.px(0.5)} 10v6M{x1} 8v10"/>')
    if low is not None and high is not None:
        canvas.parts.append(f'<path class="bar c{slot}" d="M{canvas.px(low):.1f} 13H{canvas.px(high):.1f}"/>')
    canvas.parts += [f'<circle class="ring c{slot}" cx="{canvas.px(v):.1f}" cy="13" r="5.5"/>' for v in values]
    canvas.parts.append(f'<circle class="dot c{slot}" cx="{canvas.px(point):.1f}" cy="13" r="3"/>')
    return canvas.svg(title, "strip")


def histogram(values: Sequence[float], span: tuple[float, float] | None, title: str) -> Markup:
    """How often each value occurs; ``span`` fixes the ends."""
    low, high = span or (min(values), max(values))
    counts, edges = np.histogram(values, bins=24, range=(low, high if high > low else low + 1))
    canvas = Canvas((float(edges[0]), float(edges[-1])), (0, float(counts.max()) * 1.05), height=200)
    canvas.axes(ticks(*canvas.x), ticks(*canvas.y, 4), short, short)
    for count, a, b in zip(counts, edges[:-1], edges[1:], strict=True):
        left, top = canvas.px(a) + 0.75, canvas.py(count)
        canvas.parts.append(
            f'<rect class="fill c0" x="{left:.1f}" y="{top:.1f}" width="{canvas.px(b) - left - 0.75:.1f}" '
            f'height="{canvas.height - canvas.bottom - top:.1f}"/>'
        )
    return canvas.svg(title)


def scatter(xs: Sequence[float], ys: Sequence[float], title: str) -> Markup:
    """A dot for each pair of values, moved a little sideways so that equal ones do not hide each other."""
    canvas = Canvas((-0.06, 1.06), padded(ys), height=260)
    canvas.axes(ticks(0, 1), ticks(*canvas.y, 4), short, short)
    jitter = np.random.default_rng(0).uniform(-0.025, 0.025, len(xs))
    dots = "".join(f"M{canvas.px(x + j):.1f} {canvas.py(y):.1f}h0" for x, y, j in zip(xs, ys, jitter, strict=True))
    canvas.parts.append(f'<path class="dots c0" d="{dots}"/>')
    return canvas.svg(title)


def reward_line(
    rewards: Sequence[float | None],
    span: tuple[float, float],
    floor: float | None,
    pictures: int,
    slot: int,
    title: str,
) -> Markup:
    """The reward along one episode; what lies at or below ``floor`` is no reward; grey where pictures end.

    The positions that a player needs to move the cursor are in ``data-`` attributes.
    """
    canvas = Canvas((0, max(1, len(rewards) - 1)), padded(span), width=540, height=200, left=46, bottom=34)
    base = canvas.height - canvas.bottom
    if 0 < pictures < len(rewards):
        at = canvas.px(pictures - 1)
        canvas.parts.append(
            f'<rect class="void" x="{at:.1f}" y="{canvas.top}" '
            f'width="{canvas.width - canvas.right - at:.1f}" height="{base - canvas.top}"/>'
        )
    canvas.axes(ticks(*canvas.x, 6), ticks(*canvas.y, 4), short, short)
    if floor is not None and canvas.y[0] < floor < canvas.y[1]:
        canvas.parts.append(
            f'<path class="floor" d="M{canvas.left} {canvas.py(floor):.1f}H{canvas.width - canvas.right}"/>'
        )
    for xs, ys in runs(rewards):
        if floor is not None:
            base_line = [floor] * len(ys)
            canvas.path(xs + xs[::-1], [max(y, floor) for y in ys] + base_line, f"band c{slot}")
        canvas.path(xs, ys, f"line thin c{slot}{' fine' if len(rewards) > LONG else ''}")
    canvas.parts.append(f'<path class="cursor" d="M0 {canvas.top}V{base}"/><circle class="dot c{slot} mark" r="5"/>')
    ends = (canvas.px(canvas.x[0]), canvas.px(canvas.x[1]), canvas.py(canvas.y[0]), canvas.py(canvas.y[1]), *canvas.y)
    return canvas.svg(title, "wide", f' data-ends="{" ".join(f"{v:.3f}" for v in ends)}"')


def runs(values: Sequence[float | None]) -> list[tuple[list[int], list[float]]]:
    """(positions, values) of each stretch without a gap."""
    found: list[tuple[list[int], list[float]]] = []
    for i, value in enumerate(values):
        if known(value):
            if i == 0 or not known(values[i - 1]):
                found.append(([], []))
            found[-1][0].append(i)
            found[-1][1].append(value)
    return found


def describe(name: str, values: Sequence[float]) -> str:
    """Smallest, median and largest in words, for a screen reader."""
    if not len(values):
        return f"{name}: nothing to show"
    low, middle, high = np.percentile(values, [0, 50, 100])
    return f"{name}: {len(values)} values from {number(low)} over a median of {number(middle)} to {number(high)}"
