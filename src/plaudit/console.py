"""What a person sees in the terminal: one console, progress bars with rate and time left, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(highlight=False)
LINE_SECONDS = 15
"""Time between two lines of progress where there is no terminal."""


class RateColumn(ProgressColumn):
    """Units per second so far."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed and speed >= 10 else f"{speed:.1f}/s" if speed else "", style="dim")


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that the yielded function moves on by a number of units; a line at start and end where nobody watches."""
    if not console.is_terminal:
        with _plain_lines(what, total) as count:
            yield count
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


@contextlib.contextmanager
def _plain_lines(what: str, total: int) -> Iterator[Callable[[int], None]]:
    start = last = time.perf_counter()
    done = 0

    def count(n: int) -> None:
        nonlocal done, last
        done, now = done + n, time.perf_counter()
        if now - last > LINE_SECONDS and done:
            left = (total - done) * (now - start) / done
            console.print(f"{what}: {done:,} of {total:,}, about {max(left, 0):.0f} s left")
            last = now

    console.print(f"{what} ...")
    yield count
    console.print(f"{what}: {done:,} in {time.perf_counter() - start:.1f} s")
