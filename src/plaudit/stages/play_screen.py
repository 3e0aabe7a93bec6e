"""One step of an episode on the terminal: the picture in coloured half-blocks, what the LLM is shown, action and rewards.

Where nobody watches (a pipe, a file, a terminal without colours) each step is two plain lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from plaudit.rollout import Step

WIDTH = 80
"""Columns that a screen takes at most."""
FEWEST, MOST = 6, 24
"""Rows that a picture takes; where there is room for fewer it is left out."""


@dataclass(frozen=True)
class Shown:
    """What is shown of one step."""

    step: Step
    """The step itself."""
    total: float
    """Sum of the world's own reward so far, undiscounted."""
    reward: float | None
    """What the fitted reward says of this step; None where there is none."""
    reward_total: float
    """Sum of that so far."""
    said: list[str]
    """What an acting LLM said, line by line."""

    def caption(self, fitted: bool) -> list[str]:
        """Two lines in words, three with a fitted reward."""
        what = self.step.action or "start"
        lines = [
            f"step {self.step.step}: {what}{' (success)' * self.step.success}",
            f"task reward {self.step.task_reward:g}, return {self.total:.4g}",
        ]
        value = "none" if self.reward is None else f"{self.reward:+.3f}"
        return [*lines, f"reward model {value}, sum {self.reward_total:.4g}"] if fitted else lines


class Screen:
    """Shows steps on a console.

    Args:
        console: where to; half-blocks need a terminal with colours.
        title: first line of each screen.
        fitted: whether a fitted reward is shown beside.
        room: rows that are kept free at the bottom, for what is typed there.
    """

    def __init__(self, console: Console, title: str, fitted: bool, room: int = 1) -> None:
        self.console, self.title, self.fitted, self.room = console, title, fitted, room

    @property
    def draws(self) -> bool:
        """Whether pictures can be shown."""
        return self.console.is_terminal and self.console.color_system is not None

    def show(self, shown: Shown) -> None:
        """One step; on a terminal in place of the one before."""
        if not self.draws:
            self._plain(shown)
            return
        width = min(WIDTH, self.console.width)
        block = Text("\n").join([Text(self.title, "bold"), *map(Text, self._lines(shown))])
        taken = len(self.console.render_lines(block, self.console.options.update(width=width)))
        rows = min(MOST, self.console.height - taken - self.room)
        self.console.clear()
        if shown.step.frame is not None and rows >= FEWEST:
            self.console.print(half_blocks(shown.step.frame, width, rows))
        self.console.print(block, width=width)

    def _lines(self, shown: Shown) -> list[str]:
        return [*shown.caption(self.fitted), *shown.said, "", "What an LLM is shown:", shown.step.text, ""]

    def _plain(self, shown: Shown) -> None:
        first = " | ".join(shown.caption(self.fitted))
        rest = [f"  {line}" for text in (shown.step.text, *shown.said) for line in text.splitlines()]
        self.console.print("\n".join([first, *rest]), markup=False, soft_wrap=True)


def half_blocks(frame: Any, width: int, rows: int) -> Text:
    """A picture ``(height, width, 3)`` uint8 as text: each character shows one pixel above another."""
    from PIL import Image

    picture = Image.fromarray(frame).convert("RGB")
    scale = min(width / picture.width, 2 * rows / picture.height)
    size = max(1, round(picture.width * scale)), 2 * max(1, round(picture.height * scale / 2))
    small = picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    pixels, text = small.load(), Text()
    assert pixels is not None
    for y in range(0, size[1], 2):
        pairs = [(pixels[x, y], pixels[x, y + 1]) for x in range(size[0])]
        for (above, below), run in groupby(pairs):
            style = Style(color=_colour(above), bgcolor=_colour(below))
            text.append("▀" * len(list(run)), style)
        if y + 2 < size[1]:
            text.append("\n")
    return text


def _colour(pixel: Any) -> Color:
    return Color.from_rgb(*pixel)
