"""The plots that only a comparison has: profiles, success over cost, paired differences, rewards side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from plaudit.analysis.profiles import Profile
from plaudit.report.canvas import Canvas, padded, short, ticks
from plaudit.report.plots import LONG, runs
from plaudit.report.tables import known

LETTER, LINE = 7.6, 18
"""Room for a letter and a line of a label in units of the view box, about, in the larger font of a phone."""


def profiles(series: Sequence[tuple[str, Profile]], title: str) -> Markup:
    """Share of the runs above each threshold, as steps, with bands."""
    canvas = Canvas((0, 1), (0, 1))
    canvas.axes(ticks(0, 1, 4), ticks(0, 1, 4), _share, _share)
    for css, profile in reversed(list(series)):
        if profile.low is not None and profile.high is not None:
            (below, low), (above, high) = _steps(profile.taus, profile.low), _steps(profile.taus, profile.high)
            canvas.path(below + above[::-1], low + high[::-1], f"band {css}")
    for css, profile in reversed(list(series)):
        canvas.path(*_steps(profile.taus, profile.share), f"line {css}")
    return canvas.svg(title, "profile")


def _share(value: float) -> str:
    return f"{100 * value:.0f}%"


def _steps(taus: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """The corners of a step function that holds its value until the next threshold; equal neighbours are joined."""
    xs, ys = taus.tolist(), values.tolist()
    corners = [(xs[0], ys[0])]
    for x, before, y in zip(xs[1:], ys, ys[1:], strict=False):
        if y != before:
            corners += [(x, before), (x, y)]
    corners.append((xs[-1], ys[-1]))
    return [x for x, _ in corners], [y for _, y in corners]


@dataclass(frozen=True)
class Spot:
    """One way in a plot over its cost."""

    css: str
    """Classes."""
    name: str
    """What it is called; written beside the dot unless it is empty."""
    told: str
    """What a pointer or a screen reader gets."""
    cost: float
    """What it cost, 0 or more."""
    y: float
    """Its success."""
    low: float | None
    """Lower end of the interval."""
    high: float | None
    """Upper end."""


def over_cost(spots: Sequence[Spot], marks: Sequence[float], unit: Callable[[float], str], title: str) -> Markup:
    """Success over cost on a logarithmic axis with these marks; what cost nothing stands at its very left, at 0."""
    logs = [math.log10(spot.cost) for spot in spots if spot.cost > 0]
    first, last = min(logs, default=0.0), max(logs, default=1.0)
    if last - first < 1:  # at least a power of ten, so that there is a mark or two
        first, last = (first + last) / 2 - 0.5, (first + last) / 2 + 0.5
    air, free = 0.06 * (last - first), any(spot.cost <= 0 for spot in spots)
    start = first - (4 if free else 1) * air
    canvas = Canvas((start, last + air), (0, 1), top=22, right=26)
    inside = [math.log10(mark) for mark in marks if first - air <= math.log10(mark) <= last + air]
    at = ([start] if free else []) + inside[:: max(1, -(-len(inside) // 5))]
    canvas.axes(at, ticks(0, 1, 4), lambda x: "0" if free and x == start else unit(10.0**x), _share)
    places = [(canvas.px(math.log10(s.cost) if s.cost > 0 else start), canvas.py(s.y)) for s in spots]
    boxes = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    for spot, (x, _) in zip(spots, places, strict=True):
        if spot.low is not None and spot.high is not None:
            span = f"M{x:.1f} {canvas.py(spot.low):.1f}V{canvas.py(spot.high):.1f}"
            canvas.parts.append(f'<path class="whisker {spot.css}" d="{span}"/>')
    for spot, (x, y) in zip(spots, places, strict=True):
        told = f"<title>{escape(spot.told)}</title>"
        canvas.parts.append(f'<circle class="dot {spot.css}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{told}</circle>')
        if spot.name:
            canvas.parts.append(tag(spot.name, x, y, canvas, boxes))
    return canvas.svg(title)


def tag(name: str, x: float, y: float, canvas: Canvas, boxes: list[tuple[float, float, float, float]]) -> str:
    """The name near a dot, at the first place where it hides nothing, with a line to the dot where that is far."""
    name = name if len(name) <= 26 else f"{name[:25]}…"
    wide, base = LETTER * len(name), canvas.height - canvas.bottom
    shifts = sorted(range(-150, 151, 5), key=lambda shift: (abs(shift), shift))
    sides = [(shift, side) for shift in shifts for side in (9, -9 - wide)]
    for shift, side in sides:
        box = (x + side, y + shift - LINE / 2, x + side + wide, y + shift + LINE / 2)
        fits = canvas.left < box[0] and box[2] < canvas.width - 2 and canvas.top - 14 < box[1] and box[3] < base
        if fits and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes):
            break
    else:
        return ""  # no room anywhere: the dot still tells its name to a pointer
    boxes.append(box)
    near, at = (box[0], ' class="begin"') if side > 0 else (box[2], ' class="end"')
    line = f'<path class="lead" d="M{x:.1f} {y:.1f}L{near:.1f} {y + shift:.1f}"/>' if abs(shift) > 8 else ""
    return f'{line}<text{at} x="{near:.1f}" y="{y + shift:.1f}" dy=".35em">{escape(name)}</text>'


def difference(point: float, low: float | None, high: float | None, span: float, slot: int, title: str) -> Markup:
    """One row of a dot plot around zero: the interval a bar, the difference a dot; ``span`` is the largest to show."""
    canvas = Canvas((-span, span), (0, 1), width=190, height=26, left=8, right=8, top=0, bottom=0)
    x0, x1 = canvas.px(-span), canvas.px(span)
    canvas.parts.append(f'<path class="rule" d="M{x0} 13H{x1}M{x0} 8v10M{x1} 8v10"/>')
    canvas.parts.append(f'<path class="axis" d="M{canvas.px(0):.1f} 3v20"/>')
    if low is not None and high is not None:
        canvas.parts.append(f'<path class="bar c{slot}" d="M{canvas.px(low):.1f} 13H{canvas.px(high):.1f}"/>')
    canvas.parts.append(f'<circle class="dot c{slot}" cx="{canvas.px(point):.1f}" cy="13" r="4"/>')
    return canvas.svg(title, "strip")


def lane(rewards: Sequence[float | None], span: tuple[float, float], css: str, title: str, last: bool) -> Markup:
    """One of several rewards along the same trajectory, in its own units; only the last has numbers of steps below."""
    bottom = 24 if last else 6
    canvas = Canvas(
        (0, max(1, len(rewards) - 1)), padded(span), width=540, height=66 + bottom, left=46, top=6, bottom=bottom
    )
    base = canvas.height - canvas.bottom
    canvas.axes(ticks(*canvas.x, 6) if last else (), ticks(*canvas.y, 3), short, short)
    for xs, ys in runs(rewards):
        if len(xs) == 1:
            canvas.parts.append(
                f'<circle class="dot {css}" cx="{canvas.px(xs[0]):.1f}" cy="{canvas.py(ys[0]):.1f}" r="2"/>'
            )
        canvas.path(xs, ys, f"line thin {css}{' fine' if len(rewards) > LONG else ''}")
    canvas.parts.append(f'<path class="cursor" d="M0 {canvas.top}V{base}"/><circle class="dot {css} mark" r="4.5"/>')
    ends = (canvas.px(canvas.x[0]), canvas.px(canvas.x[1]), canvas.py(canvas.y[0]), canvas.py(canvas.y[1]), *canvas.y)
    return canvas.svg(title, "wide", f' data-ends="{" ".join(f"{v:.3f}" for v in ends)}"')


def span_of(values: Sequence[float | None]) -> tuple[float, float]:
    """Smallest and largest known value; 0 and 1 where there is none."""
    numbers = [value for value in values if known(value)]
    return (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
