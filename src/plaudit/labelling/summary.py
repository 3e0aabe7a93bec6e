"""What labels say of the judge, for the terminal and the page's end."""

from __future__ import annotations

from plaudit.analysis.authors import Author, Concord, wilson
from plaudit.analysis.sharpness import Calibration
from plaudit.console import console
from plaudit.report.labels import JUDGE, Standing, standings
from plaudit.report.words import NONE, number, percent
from plaudit.store import Run

DRAWN = {
    "uniform": "pairs drawn at random among the judged ones",
    "disputed": "disputed pairs: chosen because the judge is unsure of them, so no measure of the judge",
}


def share(value: float | None, n: int, low: float | None = None, high: float | None = None) -> str:
    """A share with its interval and number."""
    if value is None:
        return NONE
    if low is None or high is None:
        low, high = wilson(round(value * n), n)
    return f"{percent(value, 0)} ({percent(low, 0)} to {percent(high, 0)}) of {n}"


def seat_rate(author: Author) -> str:
    """How often it named the first seat."""
    first, n = author.named
    return share(first / n, n) if n else NONE


def steadiness(author: Author) -> str:
    """How often it said the same with the seats swapped."""
    if author.kind == "person" or author.kind == "model":
        same, n = author.repeated
        return share(same / n, n) if n else NONE
    seats = author.seats
    return NONE if seats is None or seats.flip_rate is None else share(1 - seats.flip_rate, seats.pairs)


def agreement(concord: Concord | None) -> str:
    """A cell of the table."""
    if concord is None or not concord.pairs:
        return NONE
    return share(concord.share, concord.decided, concord.low, concord.high)


def sharpness(found: Calibration) -> str:
    """What the fitted sharpness means, in words."""
    if found.sharpness is None or found.low is None or found.high is None:
        return "too few clear answers to fit a sharpness"
    span = f"{number(found.sharpness)} ({number(found.low)} to {number(found.high)})"
    if found.low <= 1 <= found.high:
        return f"log-odds fit best times {span}: about as sure as it may be"
    if found.high < 0.05 or found.low <= 0:
        return f"log-odds fit best times {span}: its probabilities tell little or nothing"
    return f"log-odds fit best times {span}: {'too sure' if found.sharpness < 1 else 'not sure enough'}"


def lines(run: Run, name: str) -> list[tuple[str, str]]:
    """A few numbers for the person who has just labelled."""
    found: list[tuple[str, str]] = []
    for standing in standings(run):
        person = next((a for a in standing.authors if a.name == name and a.kind == "person"), None)
        if person is None:
            continue
        beside = "" if standing.selection == "uniform" else ", disputed pairs"
        found += [
            (f"pairs{beside}", str(len(person.opinions) + person.skipped)),
            (f"the judge says the same{beside}", agreement(standing.concord.get((JUDGE, name)))),
            (f"you said the same, seats swapped{beside}", steadiness(person)),
            (f"you chose A{beside}", seat_rate(person)),
        ]
    return found


def show(standing: Standing) -> None:
    """The tables of one way of drawing pairs."""
    from rich.table import Table

    table = Table(title=f"{DRAWN[standing.selection]}", title_justify="left", show_lines=False)
    for column in ("", "author", "pairs", "ties", "unread", "first seat", "same when swapped"):
        table.add_column(column, justify="left" if column in ("", "author") else "right", overflow="fold")
    labelled = {pair for a in standing.authors if a.kind in ("person", "model") for pair in a.opinions}
    for i, author in enumerate(standing.authors, 1):
        said = [value for pair, value in author.opinions.items() if pair in labelled]
        ties, missing = sum(v == 0.5 for v in said), author.failed + author.skipped
        table.add_row(
            str(i), author.name, str(len(said)), str(ties), str(missing), seat_rate(author), steadiness(author)
        )
    console.print(table)
    both = Table(title="both decided: same answer; below: Cohen's κ over better, worse, tie", title_justify="left")
    both.add_column("author", overflow="fold")
    for i in range(1, len(standing.authors)):
        both.add_column(f"{i}", justify="right")
    for i, author in enumerate(standing.authors[1:], 2):
        cells = [standing.concord[author.name, other.name] for other in standing.authors[: i - 1]]
        both.add_row(f"{i} {author.name}", *(_cell(cell) for cell in cells))
    console.print(both)
    for name, found in standing.calibration.items():
        fitted = "" if found.log_loss_fitted is None else f", fitted {number(found.log_loss_fitted, 3)}"
        console.print(
            f"the judge's probabilities on {found.pairs} pairs of {name}: log-loss {number(found.log_loss, 3)}{fitted} "
            f"(a coin 0.693), Brier {number(found.brier, 3)}; {sharpness(found)}.",
            markup=False,
        )


def _cell(concord: Concord) -> str:
    if concord.share is None:
        return NONE
    half = (
        f"±{percent((concord.high - concord.low) / 2, 0)}"
        if concord.high is not None and concord.low is not None
        else ""
    )
    return f"{percent(concord.share, 0)} {half}\nκ {number(concord.kappa)}\nof {concord.decided}"
