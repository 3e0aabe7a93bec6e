"""Is anything of what a model is measured on in what it is taught? Checked on the rows themselves, before they are written.

Texts (what a judge or one who acts is shown), episodes (their seeds) and what these had drawn (hidden words, tasks) of the
held-out rows must be in no row to train on; and what the evaluation's episodes are drawn from must be in neither: not
drawn, not done, not an answer, and not a word in capitals of a text, as Wordle writes a guess. Leaves out another list than
the world's own: data of 100 words say nothing of an evaluation with 500.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from plaudit.errors import LeakError
from plaudit.finetune.gather import PARTS, SEEDS
from plaudit.finetune.rows import Row, load_rows, of
from plaudit.seeds import FINETUNE_SEED

SHOWN = 5
"""Offending items that the error's message shows."""


def check(train: Sequence[Row], held_out: Sequence[Row], evaluation: Iterable[str]) -> dict[str, int]:
    """How many items of each kind were compared; :class:`LeakError` where one is on both sides."""
    sides = {
        "states": tuple({text for row in rows for text in row.texts()} for rows in (train, held_out)),
        "pictures": tuple({name for row in rows for name in row.pictures()} for rows in (train, held_out)),
        "seeds": tuple({str(seed) for row in rows for seed in row.seeds} for rows in (train, held_out)),
        "words or tasks": tuple({secret for row in rows for secret in row.secrets} for rows in (train, held_out)),
    }
    for what, (taught, kept) in sides.items():
        refuse(what, taught & kept, "held-out rows and in rows to train on")
    drawn = sides["words or tasks"][0] | sides["words or tasks"][1]
    known = {item.casefold(): item for item in evaluation}
    met = {item.casefold() for item in drawn} | ({*said((*train, *held_out))} if known else set())
    refuse("words or tasks", {known[item] for item in met & set(known)}, "these data and in the evaluation's episodes")
    foreign = {str(seed) for row in (*train, *held_out) for seed in row.seeds if not 0 <= seed - FINETUNE_SEED < SEEDS}
    refuse("seeds", foreign, "these data and among those of collecting, calibration or evaluation")
    return {
        f"{what}, {part}": len(items)
        for what, two in sides.items()
        for part, items in zip(("train", "held out"), two, strict=True)
    }


def said(rows: Sequence[Row]) -> Iterator[str]:
    """What is done in these rows, what could be, what they answer, and the words in capitals of their texts."""
    for row in rows:
        for text in {row.action, row.answer, *row.allowed, row.first, row.second}:
            yield text.casefold()
        for text in row.texts():
            yield from (word.casefold() for word in re.findall(r"\b[A-Z]{2,}\b", text))


def check_folder(folder: Path, evaluation: Iterable[str]) -> dict[str, int]:
    """The same for a data set on disk, which somebody may have added rows to."""
    train, held_out = ([of(row) for row in load_rows(folder, part)] for part in PARTS)
    return check(train, held_out, evaluation)


def refuse(what: str, items: set[str], where: str) -> None:
    """Raise where there are any."""
    if items:
        some = sorted(items)
        shown = "; ".join(repr(item) for item in some[:SHOWN]) + ("; ..." if len(some) > SHOWN else "")
        raise LeakError(
            f"{len(items)} {what} are in {where}: {shown}. What would be measured on them is worthless. Make the data "
            "anew (plaudit finetune WORLD --data-only --out NEW), or take these rows out.",
            some,
        )
