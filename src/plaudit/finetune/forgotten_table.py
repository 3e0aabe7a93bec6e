"""The table of what is forgotten, for the terminal and as Markdown."""

from __future__ import annotations

from plaudit.finetune.forgetting import Row, Summary, TextRow

HEAD = ("set", "items", "chance", "before", "after", "difference", "would show")


def cells(row: Row | TextRow) -> tuple[str, ...]:
    """One line of the table."""
    if isinstance(row, TextRow):
        low, high = row.interval
        change = f"{row.change:+.1%} ({low:+.1%} to {high:+.1%})"
        return f"perplexity, {row.name}", f"{row.tokens:,}", "-", f"{row.before:.2f}", f"{row.after:.2f}", change, "-"
    low, high = (100 * end for end in row.interval)
    return (
        row.name,
        f"{row.items}" + (f" (+{row.failed} failed)" if row.failed else ""),
        f"{row.chance:.0%}",
        f"{row.before:.1%}",
        f"{row.after:.1%}",
        f"{100 * row.difference:+.1f} ({low:+.1f} to {high:+.1f})",
        f"{100 * row.resolvable:.1f}",
    )


def lines(found: Summary, kinds: bool = False) -> list[tuple[str, ...]]:
    """All English and each set; with every kind where that is wanted."""
    english = found.text if kinds else found.text[:1]
    return [cells(row) for row in english] + [cells(row) for row in found.sets + (found.kinds if kinds else ())]


def markdown(found: Summary, kinds: bool = False) -> str:
    """For a page."""
    rows = [HEAD, ("---",) * len(HEAD), *lines(found, kinds)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def show(found: Summary, kinds: bool = False) -> None:
    """For the terminal: what each set could show is left out, so that 80 columns suffice."""
    from rich import box
    from rich.table import Table

    from plaudit.console import console

    title = "what is forgotten: points, with 95% intervals over blocks of items"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in HEAD[:-1]:
        table.add_column(column, justify="left" if column == "set" else "right")
    for row in lines(found, kinds):
        table.add_row(*row[:-1])
    console.print(table)
