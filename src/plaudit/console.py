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
)
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from plaudit.budget import Budget

console = Console(highlight=False)
LINE_SECONDS = 15
"""Time between two lines of progress where there is no terminal."""


class RateColumn(ProgressColumn):
    """Units per second so far; answers come in bursts, so that the last few say little."""

    def render(self, task: Task) -> Text:
        speed = task.completed / task.elapsed if task.elapsed else 0
        return Text(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s" if speed else "", style="dim")


class LeftColumn(ProgressColumn):
    """Time left at that rate; when all is done, the time that it took."""

    def render(self, task: Task) -> Text:
        done, left = task.completed, max(0.0, (task.total or 0) - task.completed)
        if not done and left:
            return Text("--:--", style="dim")
        seconds = int((task.elapsed or 0) * left / done if left else task.elapsed or 0)
        hours = f"{seconds // 3600}:" if seconds >= 3600 else ""
        return Text(f"{hours}{seconds // 60 % 60:02}:{seconds % 60:02}", style="dim")


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, count: int, note: str = "", known: int = 0) -> None:
        """By so many units, beside ``known`` ones that were there already and say nothing of the rate; a note behind it."""


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """A bar that the yielded function moves on by a number of units; a line at start and end where nobody watches."""
    if not console.is_terminal:
        with _plain_lines(what, total) as advance:
            yield advance
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1, max_width=24)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        RateColumn(table_column=Column(no_wrap=True)),
        LeftColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    with Bars(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, note="")
        left = total

        def move(count: int, note: str = "", known: int = 0) -> None:
            nonlocal left
            left -= known
            bar.update(task, advance=count, note=note, total=left)

        yield move


@contextlib.contextmanager
def answers(what: str, total: int, budget: Budget) -> Iterator[Callable[[int, Any], None]]:
    """The bar of questions to an LLM; yields what each reply is told to.

    It shows failures, the money that this run has spent, and how many answers were found in a ledger: what ``budget`` did
    not count. Rate and time left are of those that were asked.
    """
    failed = done = known = 0
    before = budget.questions
    with progress(what, total) as advance:

        def arrived(place: int, reply: Any) -> None:
            nonlocal failed, done, known
            done, failed = done + 1, failed + (reply.status != "ok")
            found = int(done - known > budget.questions - before)
            known += found
            words = [f"{failed:,} failed"] * (failed > 0) + [_dollars(budget.usd)] * (budget.usd > 0)
            advance(1 - found, ", ".join(words + [f"{known:,} from ledger"] * (known > 0)), found)

        yield arrived


def _dollars(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}"


@contextlib.contextmanager
def _plain_lines(what: str, total: int) -> Iterator[Advance]:
    start = last = time.perf_counter()
    done, left, said = 0, total, ""

    def move(count: int, note: str = "", known: int = 0) -> None:
        nonlocal done, left, last, said
        done, left, now, said = done + count, left - known, time.perf_counter(), note and f" ({note})"
        if now - last > LINE_SECONDS and done:
            seconds = (left - done) * (now - start) / done
            console.print(f"{what}: {done:,} of {left:,}, about {max(seconds, 0):.0f} s left{said}")
            last = now

    console.print(f"{what} ...")
    yield move
    console.print(f"{what}: {done:,} in {time.perf_counter() - start:.1f} s{said}")
