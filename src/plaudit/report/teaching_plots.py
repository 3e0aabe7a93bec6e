"""The plots of teaching: curves over steps, before and after, two engines, what is gained against what is lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from plaudit.report.canvas import Canvas, padded, short, ticks
from plaudit.report.compare_plots import tag

Whisker = tuple[float, float] | None


@dataclass(frozen=True)
class Spot:
    """A dot with whiskers."""

    slot: int
    """Number of its colour."""
    name: str
    """Written beside it; empty for nothing."""
    told: str
    """What a pointer or a screen reader gets."""
    x: float
    """Where it stands."""
    y: float
    """Where it stands."""
    across: Whisker = None
    """Ends of the whisker along x."""
    along: Whisker = None
    """Ends of the whisker along y."""


def percents(value: float) -> str:
    """Axis label of a share: 12.5%, with a true minus sign."""
    return f"{100 * value:.3g}%".replace("-", "−")


def points(value: float) -> str:
    """Axis label of a difference of shares, in points."""
    return f"{100 * value:+.3g}".replace("-", "−") if value else "0"


def _tiny(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e−") if 0 < abs(value) < 1e-3 else short(value)


def steps(values: Sequence[float], title: str, slot: int = 0, trail: int = 10) -> Markup:
    """Each step's value, thin, and the mean of the last few, from 0."""
    means = [sum(values[max(0, i - trail + 1) : i + 1]) / min(trail, i + 1) for i in range(len(values))]
    top = max((v for v in values if math.isfinite(v)), default=1.0)
    low = min(0.0, *values)
    canvas = Canvas((1, max(2, len(values))), (low, (top - low) * 1.06 + low or 1.0), height=220, width=400, left=62)
    whole = sorted({round(x) for x in ticks(*canvas.x, 4)})
    canvas.axes(whole, ticks(*canvas.y, 4), short, _tiny)
    at = list(range(1, len(values) + 1))
    canvas.path(at, values, f"line fine thin c{slot}")
    if len(values) > trail:
        canvas.path(at, means, f"line plain c{slot}")
    return canvas.svg(title)


def before_after(before: float, after: float, low: float, high: float, title: str) -> Markup:
    """One row from 0 to 100%: before a ring, after a dot on its interval."""
    canvas = Canvas((0, 1), (0, 1), width=190, height=26, left=8, right=8, top=0, bottom=0)
    x0, x1 = canvas.px(0), canvas.px(1)
    canvas.parts.append(f'<path class="rule" d="M{x0} 13H{x1}M{x0} 8v10M{canvas.px(0.5)} 10v6M{x1} 8v10"/>')
    canvas.parts.append(f'<path class="bar c0" d="M{canvas.px(low):.1f} 13H{canvas.px(high):.1f}"/>')
    canvas.parts.append(f'<circle class="ring c1" cx="{canvas.px(before):.1f}" cy="13" r="5.5"/>')
    canvas.parts.append(f'<circle class="dot c0" cx="{canvas.px(after):.1f}" cy="13" r="4"/>')
    return canvas.svg(title, "strip")


def change(point: float, low: float, high: float, span: float, limit: float | None, title: str) -> Markup:
    """One row around zero: the interval a bar, the change a dot, and how far it may go as a mark."""
    canvas = Canvas((-span, span), (0, 1), width=190, height=26, left=8, right=8, top=0, bottom=0)
    x0, x1 = canvas.px(-span), canvas.px(span)
    canvas.parts.append(f'<path class="rule" d="M{x0} 13H{x1}M{x0} 8v10M{x1} 8v10"/>')
    canvas.parts.append(f'<path class="axis" d="M{canvas.px(0):.1f} 3v20"/>')
    if limit is not None and abs(limit) <= span:
        canvas.parts.append(f'<path class="floor" d="M{canvas.px(limit):.1f} 0v26"/>')
    ends = [min(max(end, -span), span) for end in (low, high)]
    canvas.parts.append(f'<path class="bar c0" d="M{canvas.px(ends[0]):.1f} 13H{canvas.px(ends[1]):.1f}"/>')
    canvas.parts.append(f'<circle class="dot c0" cx="{canvas.px(min(max(point, -span), span)):.1f}" cy="13" r="4"/>')
    return canvas.svg(title, "strip")


def engines(xs: Sequence[float], ys: Sequence[float], title: str) -> Markup:
    """A dot for each question as two engines answer it, and the line where they agree."""
    low, high = padded([*xs, *ys])
    canvas = Canvas((low, high), (low, high), height=300, width=400, left=52)
    canvas.axes(ticks(low, high, 4), ticks(low, high, 4), short, short)
    canvas.path([low, high], [low, high], "floor")
    dots = "".join(f"M{canvas.px(x):.1f} {canvas.py(y):.1f}h0" for x, y in zip(xs, ys, strict=True))
    canvas.parts.append(f'<path class="dots c0" d="{dots}"/>')
    return canvas.svg(title)


def gained_and_lost(
    spots: Sequence[Spot], title: str, xf: Callable[[float], str], limit: float | None = None, small: bool = False
) -> Markup:
    """What is gained (up) against a change of what was known (across), with whiskers, and how far that may go."""
    xs = [end for s in spots for end in (s.x, *(s.across or ()))] + [0.0] + ([limit] if limit is not None else [])
    ys = [end for s in spots for end in (s.y, *(s.along or ()))] + [0.0]
    canvas = Canvas(padded(xs), padded(ys), top=20, right=24, height=340)
    if small:
        canvas = Canvas(padded(xs), padded(ys), top=16, right=20, height=280, width=400)
    canvas.axes(ticks(*canvas.x, 5), ticks(*canvas.y, 6), xf, points)
    base = canvas.height - canvas.bottom
    canvas.parts.append(f'<path class="axis" d="M{canvas.px(0):.1f} {canvas.top}V{base}"/>')
    if limit is not None:
        canvas.parts.append(f'<path class="floor" d="M{canvas.px(limit):.1f} {canvas.top}V{base}"/>')
    _draw(canvas, spots)
    return canvas.svg(title, "" if small else "trade")


def over_values(labels: Sequence[str], spots: Sequence[Spot], title: str, yf: Callable[[float], str]) -> Markup:
    """A line through dots that stand evenly at these labels, ``x`` being their number, with whiskers."""
    ys = [end for s in spots for end in (s.y, *(s.along or ()))]
    canvas = Canvas((-0.4, len(labels) - 0.6), padded(ys), height=240, width=400, left=62)
    canvas.axes(range(len(labels)), ticks(*canvas.y, 6), lambda x: labels[int(x)], yf)
    canvas.path([s.x for s in spots], [s.y for s in spots], "line thin c0")
    _draw(canvas, spots)
    return canvas.svg(title)


def _draw(canvas: Canvas, spots: Sequence[Spot]) -> None:
    places = [(canvas.px(s.x), canvas.py(s.y)) for s in spots]
    boxes = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    for s, (x, y) in zip(spots, places, strict=True):
        if s.across:
            span = f"M{canvas.px(s.across[0]):.1f} {y:.1f}H{canvas.px(s.across[1]):.1f}"
            canvas.parts.append(f'<path class="whisker c{s.slot}" d="{span}"/>')
        if s.along:
            span = f"M{x:.1f} {canvas.py(s.along[0]):.1f}V{canvas.py(s.along[1]):.1f}"
            canvas.parts.append(f'<path class="whisker c{s.slot}" d="{span}"/>')
    for s, (x, y) in zip(spots, places, strict=True):
        told = f"<title>{escape(s.told)}</title>"
        canvas.parts.append(f'<circle class="dot c{s.slot}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{told}</circle>')
        if s.name:
            canvas.parts.append(tag(s.name, x, y, canvas, boxes))
