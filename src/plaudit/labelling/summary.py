"""What labels say of the judge, for the terminal and the page's end."""

from __future__ import annotations

from plaudit.analysis.authors import Concord
from plaudit.console import console
from plaudit.report.labels import (
    DRAWN,
    JUDGE,
    Standing,
    agreement,
    labelled,
    seat_rate,
    seat_warning,
    sharpness,
    standings,
    steadiness,
)
from plaudit.report.words import NONE, number
from plaudit.store import Run


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

    table = Table(title=DRAWN[standing.selection], title_justify="left")
    for column in ("author", "pairs", "ties", "unread", "first seat", "same, swapped"):
        table.add_column(column, justify="left" if column == "author" else "right", overflow="fold")
    for i, row in enumerate(labelled(standing), 1):
        author = row.author
        first, same = seat_rate(author, brief=True), steadiness(author, brief=True)
        table.add_row(
            f"{i} {author.short}", str(row.pairs), str(row.ties), str(author.failed + author.skipped), first, same
        )
    console.print(table)
    both = Table(title="the same answer where both decide; below, Cohen's κ with ties", title_justify="left")
    both.add_column("author", overflow="fold")
    for i in range(1, len(standing.authors)):
        both.add_column(f"{i}", justify="right")
    for i, author in enumerate(standing.authors[1:], 2):
        cells = [standing.concord[author.name, other.name] for other in standing.authors[: i - 1]]
        both.add_row(f"{i} {author.short}", *(_cell(cell) for cell in cells))
    console.print(both)
    for author in standing.authors:
        if (said := seat_warning(author)) is not None:
            console.print(said, markup=False)
    for name, found in standing.calibration.items():
        fitted = (
            "" if found.log_loss_fitted is None else f", {number(found.log_loss_fitted, 3)} with the best sharpness"
        )
        console.print(
            f"The judge's probabilities on {found.pairs} pairs of {name}: log-loss {number(found.log_loss, 3)}{fitted} "
            f"(a coin has 0.693), Brier {number(found.brier, 3)}; {sharpness(found)}.",
            markup=False,
        )


def _cell(concord: Concord) -> str:
    if concord.share is None:
        return NONE
    return f"{agreement(concord, brief=True)}\nκ {number(concord.kappa)}\nof {concord.decided}"
