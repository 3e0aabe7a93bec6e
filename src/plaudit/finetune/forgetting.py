"""What does a model unlearn while it is taught something? The same items before and after, paired.

    suite = standard_suite(leave_out=["wordle"])              # the world that is taught is no other world
    before, after = measure(base, suite), measure(taught, suite)
    forgotten_table.show(summary(before, after))
    write(before, after, Path("runs/x/forgetting"))

Measured: perplexity on general English, knowledge, everyday reasoning, statements, yes/no, logic, instructions that a
program checks, and known pairs of observations of the other worlds. ``docs/forgetting.md`` says what each set is.
Left out: truth of long texts, dialogue over several turns, safety.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from plaudit.errors import ConfigError, did_you_mean
from plaudit.finetune import general_sets
from plaudit.finetune.asking import TextScorer, ask_choices, ask_instructions, ask_passages, ask_world
from plaudit.finetune.general_sets.instructions import CHECKS, instructions
from plaudit.finetune.items import Choice, Instruction, Passage, WorldPairs
from plaudit.finetune.paired import bootstrap, mcnemar, mean_difference, resolvable
from plaudit.finetune.records import (
    Change,
    Measurement,
    TextChange,
    changes,
    save,
    text_changes,
    write_records,
)
from plaudit.intervals import wilson
from plaudit.llms.base import LLM
from plaudit.store import write_json

SETS = ("text", "knowledge", "reasoning", "statements", "yes or no", "logic", "instructions", "worlds")
"""What can be measured, in the order of the table."""
KINDS = len(CHECKS)
PART = 64
"""Items that are asked at once, so that progress can be shown."""


@dataclass(frozen=True)
class Suite:
    """What a model is measured on."""

    choices: tuple[Choice, ...] = ()
    """Questions with given answers, about pictures too."""
    instructions: tuple[Instruction, ...] = ()
    """Things to write."""
    passages: tuple[Passage, ...] = ()
    """English to find probable."""
    worlds: tuple[WorldPairs, ...] = ()
    """Known pairs of observations."""
    protocol: str = "pointwise"
    """How pairs are judged."""
    prompt: str = "pointwise"
    """The prompt of it, by name or path."""
    chat: bool = False
    """Whether pairs are judged in the model's chat template."""

    @property
    def size(self) -> int:
        """Number of items."""
        parts: tuple[Sized, ...] = (self.choices, self.instructions, self.passages, *self.worlds)
        return sum(map(len, parts))


def standard_suite(
    sets: Sequence[str] = SETS, *, leave_out: Sequence[str] = (), every: int = 1, **judging: Any
) -> Suite:
    """The sets of these names.

    Args:
        sets: some of :data:`SETS`.
        leave_out: worlds that are taught, with or without a task: their pairs, of all tasks, show what is gained and not
            what is lost.
        every: take every n-th block, passage and pair only, for a quick look.
        judging: protocol, prompt and chat of :class:`Suite`.
    """
    for name in sets:
        if name not in SETS:
            raise ConfigError(f"there is no set {name!r}.{did_you_mean(name, SETS)} There are: {', '.join(SETS)}.")
    made: dict[str, Callable[[], tuple[Choice, ...]]] = {
        "knowledge": general_sets.knowledge,
        "reasoning": general_sets.reasoning,
        "statements": general_sets.statements,
        "yes or no": general_sets.yes_no,
        "logic": general_sets.logic,
    }
    choices = [item for name in made if name in sets for item in made[name]()]
    kept = set(list(dict.fromkeys(item.block for item in choices))[::every])
    taught = {name.partition(":")[0] for name in leave_out}
    others = [name for name in general_sets.worlds() if name.split("-")[0] not in taught]
    worlds = [general_sets.world_pairs(name) for name in others if "worlds" in sets]
    return Suite(
        tuple(item for item in choices if item.block in kept),
        # Kinds take turns there: a plain stride could leave all tasks of a kind out.
        tuple(task for i, task in enumerate(instructions()) if (i + i // KINDS) % every == 0)
        if "instructions" in sets
        else (),
        general_sets.passages()[::every] if "text" in sets else (),
        tuple(dataclasses.replace(world, pairs=world.pairs[::every]) for world in worlds),
        **judging,
    )


Bar = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""Opens a bar, by its name and number of items; told how many items more are done."""


def no_bar(what: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
    """Shows nothing."""
    return contextlib.nullcontext(lambda done: None)


def measure(llm: LLM, suite: Suite, *, scorer: TextScorer | None = None, bar: Bar = no_bar) -> Measurement:
    """Ask a model everything in the suite.

    Args:
        llm: any back-end that gives log-probabilities.
        suite: what to ask.
        scorer: what finds out how probable a passage is, such as :class:`plaudit.finetune.torch_text.TorchText`; by default
            the back-end's own ``score``, or ``choose``.
        bar: shows each sort of items by itself, since a passage takes as long as ten questions.
    """
    worlds = partial(ask_world, llm, protocol=suite.protocol, prompt=suite.prompt, chat=suite.chat)
    answers = (
        *_asked(bar, "questions", _parts(suite.choices), partial(ask_choices, llm)),
        *_asked(bar, "instructions", _parts(suite.instructions), partial(ask_instructions, llm)),
        *_asked(bar, "other worlds", suite.worlds, worlds),
    )
    texts = _asked(bar, "English", _parts(suite.passages), partial(ask_passages, llm, scorer=scorer))
    return Measurement(llm.name, answers, tuple(texts))


Part = TypeVar("Part", bound=Sized)
Found = TypeVar("Found")


def _asked(bar: Bar, what: str, parts: Sequence[Part], ask: Callable[[Part], Iterable[Found]]) -> Iterator[Found]:
    if parts:
        with bar(what, sum(map(len, parts))) as advance:
            for part in parts:
                yield from ask(part)
                advance(len(part))


Item = TypeVar("Item", Choice, Instruction, Passage)


def _parts(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + PART] for start in range(0, len(items), PART)]


@dataclass(frozen=True)
class Row:
    """One set before and after."""

    name: str
    """The set, or a kind within it."""
    items: int
    """Items answered both times."""
    chance: float
    """Share that a model without knowledge has right."""
    before: float
    """Share right before."""
    before_interval: tuple[float, float]
    """Its 95% interval (Wilson)."""
    after: float
    """Share right after."""
    difference: float
    """After less before; below zero is forgotten."""
    interval: tuple[float, float]
    """95% interval of the difference, blocks of items resampled in pairs."""
    p: float
    """Exact McNemar: how likely so lopsided a change is where nothing is lost or gained; items taken as independent."""
    lost: int
    """Items right before and not after."""
    gained: int
    """Items right after and not before."""
    resolvable: float
    """The smallest difference that so many items would show with 80% power, as many of them changing as did here, and at
    least a twentieth."""
    log_odds: float | None
    """Mean change of the right answer's log-odds, nats; None where answers are generated."""
    failed: int
    """Items that could not be answered before or after; they are in no other number."""


@dataclass(frozen=True)
class TextRow:
    """One kind of English before and after."""

    name: str
    """The kind, or all."""
    tokens: int
    """Tokens scored."""
    before: float
    """Perplexity before."""
    after: float
    """Perplexity after."""
    change: float
    """after / before - 1; above zero is forgotten."""
    interval: tuple[float, float]
    """95% interval of the change, documents resampled, each with its passages before and after."""


@dataclass(frozen=True)
class Summary:
    """What is forgotten."""

    before: str
    """Identity of the model before."""
    after: str
    """Identity of the model after."""
    text: tuple[TextRow, ...] = ()
    """All English first, then each kind."""
    sets: tuple[Row, ...] = ()
    """A row for each set, in the order of :data:`SETS`, then others."""
    kinds: tuple[Row, ...] = field(default=(), repr=False)
    """A row for each kind within a set, named SET: KIND."""


def summary(before: Measurement, after: Measurement) -> Summary:
    """Differences with intervals; refused where the two were not measured on the same items."""
    told, read = changes(before, after), text_changes(before, after)
    names = list(dict.fromkeys(change.set for change in told))
    names.sort(key=lambda name: SETS.index(name) if name in SETS else len(SETS))
    sets = [compared(name, [c for c in told if c.set == name]) for name in names]
    by_kind: dict[str, list[Change]] = {}
    for change in told:
        by_kind.setdefault(f"{change.set}: {change.kind}", []).append(change)
    kinds = [compared(name, items) for name, items in by_kind.items()]
    english = [read_better("all", read)] if read else []
    english += [read_better(k, [t for t in read if t.kind == k]) for k in dict.fromkeys(t.kind for t in read)]
    return Summary(before.model, after.model, tuple(english), tuple(sets), tuple(kinds))


def compared(name: str, items: Sequence[Change]) -> Row:
    """Before and after of the items that were answered both times."""
    both = [(c, c.before, c.after) for c in items if c.before is not None and c.after is not None]
    n = len(both)
    if not n:
        nothing = (-1.0, 1.0)
        return Row(name, 0, items[0].chance, 0.0, (0.0, 1.0), 0.0, 0.0, nothing, 1.0, 0, 0, 1.0, None, len(items))
    first, then = (float(np.mean(side)) for side in zip(*((a, b) for _, a, b in both), strict=True))
    lost, gained = sum(b < a for _, a, b in both), sum(b > a for _, a, b in both)
    odds = [
        c.log_odds_after - c.log_odds_before
        for c, *_ in both
        if c.log_odds_after is not None and c.log_odds_before is not None
    ]
    return Row(
        name,
        n,
        float(np.mean([c.chance for c, *_ in both])),
        first,
        wilson(first, n),
        then,
        then - first,
        mean_difference([b - a for _, a, b in both], [c.block for c, *_ in both]),
        mcnemar(lost, gained),
        lost,
        gained,
        resolvable(n, max(0.05, (lost + gained) / n)),
        float(np.mean(odds)) if odds else None,
        len(items) - n,
    )


def read_better(name: str, texts: Sequence[TextChange]) -> TextRow:
    """Perplexity of these passages before and after."""
    columns = np.array([[t.before, t.after, t.tokens] for t in texts])
    a, b, tokens = columns.sum(axis=0)

    def change(sums: Any) -> Any:
        return np.exp((sums[:, 0] - sums[:, 1]) / sums[:, 2]) - 1

    interval = bootstrap(columns, [t.document for t in texts], change)
    before, after = math.exp(-a / tokens), math.exp(-b / tokens)
    return TextRow(name, int(tokens), before, after, after / before - 1, interval)


def write(before: Measurement, after: Measurement, folder: Path) -> Summary:
    """``before/``, ``after/``, ``items.parquet``, ``text.parquet`` and, last, ``summary.json`` in a folder."""
    found = summary(before, after)
    for name, measurement in (("before", before), ("after", after)):
        save(measurement, folder / name)
    write_records(changes(before, after), Change, folder / "items.parquet")
    write_records(text_changes(before, after), TextChange, folder / "text.parquet")
    write_json(folder / "summary.json", dataclasses.asdict(found))
    return found


def read(folder: Path) -> Summary:
    """The summary that :func:`write` left."""
    path = folder / "summary.json"
    if not path.is_file():
        raise ConfigError(f"there is no {path}. Measure before and after first.")
    data = json.loads(path.read_text())
    rows = {key: tuple(_row(Row, row) for row in data[key]) for key in ("sets", "kinds")}
    text = tuple(_row(TextRow, row) for row in data["text"])
    return Summary(data["before"], data["after"], text, rows["sets"], rows["kinds"])


R = TypeVar("R", Row, TextRow)


def _row(kind: type[R], row: dict[str, Any]) -> R:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return kind(**fields)
