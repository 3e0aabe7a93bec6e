"""Plots as inline SVG, drawn by hand: a few hundred bytes of axes, colours from the page's style sheet.

Colours are classes (``c0`` ...), text is text in the page's own font, so one picture serves light and dark and a font
size can differ on a phone. matplotlib's SVG has its colours and sizes fixed in the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

from plaudit.report.curves import Point
from plaudit.report.tables import known
from plaudit.report.words import number

LONG = 250
"""Episodes with more steps than this are drawn with a finer line."""


@dataclass
class Canvas:
    """Data coordinates, axes and the SVG that grows."""

    x: tuple[float, float]
    """Smallest and largest x."""
    y: tuple[float, float]
    """Smallest and largest y."""
    width: int = 520
    """Units of the view box; about pixels on a wide screen."""
    height: int = 300
    """The same."""
    left: int = 58
    """Room for the labels of y."""
    top: int = 14
    """Room above."""
    bottom: int = 44
    """Room for the labels of x."""
    right: int = 14
    """Room at the end."""
    parts: list[str] = field(default_factory=list)
    """SVG elements so far."""

    def px(self, x: float) -> float:
        """Horizontal position of a value."""
        low, high = self.x
        return self.left + (x - low) / ((high - low) or 1) * (self.width - self.left - self.right)

    def py(self, y: float) -> float:
        """Vertical position of a value."""
        low, high = self.y
        return self.height - self.bottom - (y - low) / ((high - low) or 1) * (self.height - self.top - self.bottom)

    def axes(
        self, xs: Sequence[float], ys: Sequence[float], xf: Callable[[float], str], yf: Callable[[float], str]
    ) -> None:
        """Horizontal rules with labels, and ticks below."""
        base = self.height - self.bottom
        for y in ys:
            at = self.py(y)
            self.parts.append(f'<path class="rule" d="M{self.left} {at:.1f}H{self.width - self.right}"/>')
            self.parts.append(f'<text class="y" x="{self.left - 8}" y="{at:.1f}" dy=".35em">{escape(yf(y))}</text>')
        self.parts.append(f'<path class="axis" d="M{self.left} {base}H{self.width - self.right}"/>')
        for x in xs:
            at = self.px(x)
            self.parts.append(f'<path class="axis" d="M{at:.1f} {base}v5"/>')
            # The text hangs from the tick, so that a larger font on a phone does not run into the axis.
            last = " last" if at > self.width - self.right - 12 else ""
            self.parts.append(f'<text class="x{last}" x="{at:.1f}" y="{base + 9}" dy=".8em">{escape(xf(x))}</text>')

    def path(self, xs: Sequence[float], ys: Sequence[float], css: str) -> None:
        """A line through the points."""
        if len(xs):
            steps = "L".join(f"{self.px(x):.1f} {self.py(y):.1f}" for x, y in zip(xs, ys, strict=True))
            self.parts.append(f'<path class="{css}" d="M{steps}"/>')

    def svg(self, title: str, css: str = "", data: str = "") -> Markup:
        """The picture; ``title`` is what a screen reader says of it."""
        body = "".join(self.parts)
        return Markup(
            f'<svg class="chart {css}" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(title)}"{data}>{body}</svg>'
        )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values that span the range, at most about this many inside."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """Axis label: 160000 -> 160k; -0.5 with a true minus sign."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{letter}".replace("-", "−")
    return f"{value:g}".replace("-", "−")


def curves(series: Sequence[tuple[int, Sequence[Point]]], steps: float, title: str, small: bool = False) -> Markup:
    """A line and a band for each ``(colour, points)`` over environment steps; the part without a rate stays grey.

    The large form shows shares from 0 to 100%, the small one any values.
    """
    every = [p for _, points in series for p in points]
    low, high = _padded([v for p in every for v in (p.y, p.low, p.high) if known(v)]) if small else (0.0, 1.0)
    canvas = Canvas((0, steps), (low, high))
    if small:
        canvas = Canvas((0, steps), (low, high), width=250, height=128, left=50, top=8, bottom=30, right=10)
    start = min(p.x for p in every)
    box = canvas.px(start) - canvas.left
    canvas.parts.append(
        f'<rect class="void" x="{canvas.left}" y="{canvas.top}" width="{box:.1f}" '
        f'height="{canvas.height - canvas.top - canvas.bottom}"/>'
    )
    label: Callable[[float], str] = short if small else lambda y: f"{100 * y:.0f}%"
    canvas.axes(ticks(0, steps, 2 if small else 4), ticks(low, high, 3 if small else 4), short, label)
    for slot, points in reversed(list(series)):
        band = [(p.x, p.low, p.high) for p in points if p.low is not None and p.high is not None]
        if band:
            xs = [x for x, *_ in band]
            canvas.path(xs + xs[::-1], [b[1] for b in band] + [b[2] for b in band][::-1], f"band c{slot}")
    for slot, points in reversed(list(series)):
        canvas.path([p.x for p in points], [p.y for p in points], f"line c{slot}")
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
    canvas = Canvas((-0.06, 1.06), _padded(ys), height=260)
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
    canvas = Canvas((0, max(1, len(rewards) - 1)), _padded(span), width=540, height=200, left=46, bottom=34)
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
    for xs, ys in _runs(rewards):
        if floor is not None:
            base_line = [floor] * len(ys)
            canvas.path(xs + xs[::-1], [max(y, floor) for y in ys] + base_line, f"band c{slot}")
        canvas.path(xs, ys, f"line thin c{slot}{' fine' if len(rewards) > LONG else ''}")
    canvas.parts.append(f'<path class="cursor" d="M0 {canvas.top}V{base}"/><circle class="dot c{slot} mark" r="5"/>')
    ends = (canvas.px(canvas.x[0]), canvas.px(canvas.x[1]), canvas.py(canvas.y[0]), canvas.py(canvas.y[1]), *canvas.y)
    return canvas.svg(title, "wide", f' data-ends="{" ".join(f"{v:.3f}" for v in ends)}"')


def _runs(values: Sequence[float | None]) -> list[tuple[list[int], list[float]]]:
    """(positions, values) of each stretch without a gap."""
    runs: list[tuple[list[int], list[float]]] = []
    for i, value in enumerate(values):
        if known(value):
            if i == 0 or not known(values[i - 1]):
                runs.append(([], []))
            runs[-1][0].append(i)
            runs[-1][1].append(value)
    return runs


def describe(name: str, values: Sequence[float]) -> str:
    """Smallest, median and largest in words, for a screen reader."""
    if not len(values):
        return f"{name}: nothing to show"
    low, middle, high = np.percentile(values, [0, 50, 100])
    return f"{name}: {len(values)} values from {number(low)} over a median of {number(middle)} to {number(high)}"


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """The range of the values with some air."""
    low, high = (min(values), max(values)) if len(values) else (0.0, 1.0)
    air = 0.06 * (high - low) or 0.5
    return low - air, high + air
