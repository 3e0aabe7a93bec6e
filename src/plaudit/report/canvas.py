"""The paper that plots are drawn on: data coordinates, axes and the SVG that grows.

Colours are classes (``c0`` ...), text is text in the page's own font, so one picture serves light and dark and a font
size can differ on a phone. matplotlib's SVG has its colours and sizes fixed in the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape


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
    """Round values that span the range, about this many inside, but two at least: one alone is no scale."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    found = [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return found if len(found) > 1 else ticks(low, high, about + 1)


def short(value: float) -> str:
    """Axis label: 160000 -> 160k; -0.5 with a true minus sign."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{letter}".replace("-", "−")
    return f"{value:g}".replace("-", "−")


def padded(values: Sequence[float]) -> tuple[float, float]:
    """The range of the values with some air."""
    low, high = (min(values), max(values)) if len(values) else (0.0, 1.0)
    air = 0.06 * (high - low) or 0.5
    return low - air, high + air
