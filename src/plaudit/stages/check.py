"""check: try a world against the contract, and print what was found."""

from __future__ import annotations

from collections.abc import Sequence

from plaudit import registry
from plaudit.config import RunConfig
from plaudit.console import console
from plaudit.envs.check import Finding
from plaudit.envs.check import check as ask
from plaudit.stages.parts import world_choices

STYLES = {"ok": "green", "failed": "bold red", "skipped": "dim"}


def check(config: RunConfig) -> list[Finding]:
    """What each check of the configured world came to."""
    cls, choices = registry.load("worlds", config.world.name), world_choices(config.world)
    return ask(lambda: cls(**choices), lambda copies: cls.vector(copies, **choices), config.llm.context)


def show(name: str, found: Sequence[Finding]) -> None:
    """One line for each check, then how many are ok."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for each in found:
        table.add_row(Text(each.status, STYLES[each.status]), Text(each.name), Text(each.text))
    console.print(table)
    count = [f"{sum(f.status == status for f in found)} {status}" for status in STYLES]
    console.print(f"\n{name}: {', '.join(count)}")
