"""The page of both arms: what each wins and what each unlearns, side by side, with links to the pages of their parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from plaudit.config import to_dict
from plaudit.finetune.outcome import outcome
from plaudit.finetune.report import NO_EPISODES, change
from plaudit.finetune.settings import FinetuneConfig, base_spec
from plaudit.report import teaching_plots as plots
from plaudit.report.page import page
from plaudit.report.words import percent
from plaudit.store import provenance
from plaudit.world_file import title

if TYPE_CHECKING:
    from plaudit.finetune.arms import Figure
    from plaudit.finetune.run import Finetune


def render(folder: Path, config: FinetuneConfig, figures: Sequence[Figure], taught: dict[str, Finetune]) -> str:
    """The page; ``taught`` are the arms' folders of teaching."""
    found = {name: outcome(run).losses for name, run in taught.items()}
    every = [loss for losses in found.values() for loss in losses]
    won, learnt = ([row for row in figures if row.measure == what] for what in ("success", "held-out lessons"))
    return page(
        "arms.html",
        name=folder.name,
        record=provenance(),
        player=NO_EPISODES,
        world_name=":".join(filter(None, (title(config.world.name), config.world.task))),
        base=base_spec(config),
        config=config,
        config_text=json.dumps(to_dict(config), indent=2, ensure_ascii=False),
        headline=headline(won),
        won=[(row, strip(row)) for row in won],
        learnt=[(row, strip(row)) for row in learnt],
        lost=[(name, row, change(row, every)) for name, losses in found.items() for row in losses],
        quick=config.measure.every,
    )


def headline(won: Sequence[Figure]) -> str:
    """What each arm comes to."""
    who = {"judge": "Agents of the taught judge succeed", "policy": "The taught policy succeeds"}
    said = (f"{who[row.arm]} in {percent(row.after, 1)} of episodes (untaught {percent(row.before, 1)})" for row in won)
    return ". ".join(said)


def strip(row: Figure) -> Markup:
    """Before and after of a share."""
    told = f"{row.arm}: {percent(row.before, 1)} before, {percent(row.after, 1)} after"
    return plots.before_after(row.before, row.after, row.after_low, row.after_high, told)
