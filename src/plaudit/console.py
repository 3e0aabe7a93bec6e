"""What a person sees in the terminal: one console, progress bars with rate and time left, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

console = Console(highlight=False)
LINE_SECONDS = 15
"""Time between two lines of progress where there is no terminal."""


class RateColumn(ProgressColumn):
    """Units per second so far."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed and speed >= 10 else f"{speed:.1f}/s" if speed else "", style="dim")


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, count: int, note: str = "") -> None:
        """By so many units; the note stands behind the bar."""


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """A bar that the yielded function moves on by a number of units; a line at start and end where nobody watches."""
    if not console.is_terminal:
        with _plain_lines(what, total) as advance:
            yield advance
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, note="")

        def move(count: int, note: str = "") -> None:
            bar.update(task, advance=count, note=note)

        yield move


@contextlib.contextmanager
def answers(what: str, total: int, spent: Callable[[], float]) -> Iterator[Callable[[int, Any], None]]:
    """The bar of questions to an LLM, with failures and money (``spent``, dollars); yields what each reply is told to."""
    failed = 0
    with progress(what, total) as advance:

        def arrived(place: int, reply: Any) -> None:
            nonlocal failed
            failed += reply.status != "ok"
            usd = spent()
            advance(1, ", ".join([f"{failed:,} failed"] * (failed > 0) + [f"${usd:.4f}"] * (usd > 0)))

        yield arrived


@contextlib.contextmanager
def _plain_lines(what: str, total: int) -> Iterator[Advance]:
    start = last = time.perf_counter()
    done, said = 0, ""

    def move(count: int, note: str = "") -> None:
        nonlocal done, last, said
        done, now, said = done + count, time.perf_counter(), note and f" ({note})"
        if now - last > LINE_SECONDS and done:
            left = (total - done) * (now - start) / done
            console.print(f"{what}: {done:,} of {total:,}, about {max(left, 0):.0f} s left{said}")
            last = now

    console.print(f"{what} ...")
    yield move
    console.print(f"{what}: {done:,} in {time.perf_counter() - start:.1f} s{said}")
