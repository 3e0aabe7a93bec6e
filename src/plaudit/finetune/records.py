"""What a measurement leaves: a frozen record for each item and model, before and after side by side, and their files."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from plaudit.errors import ConfigError
from plaudit.store import atomic, explain_disk_errors, write_json


@dataclass(frozen=True)
class Answer:
    """How one model did on one item."""

    item: str
    """Identity of the item."""
    set: str
    """Set that it counts for."""
    kind: str
    """Relation, scheme, check or world within the set."""
    block: str
    """Items of one block are resampled together."""
    chance: float
    """Share that a model without knowledge has right."""
    right: float | None
    """1 or 0, a tie 0.5; None where the model failed to answer."""
    log_odds: float | None
    """Log-odds of the right answer, nats; None where it was generated, or failed."""
    said: str = ""
    """The answer chosen, the text written, or why there is none."""

    def __post_init__(self) -> None:
        if self.right is not None and not 0 <= self.right <= 1:
            raise ValueError(f"right must be from 0 to 1 or None, got {self.right!r}")
        if self.log_odds is not None and not math.isfinite(self.log_odds):
            raise ValueError(f"log_odds must be finite or None, got {self.log_odds!r}")


@dataclass(frozen=True)
class TextScore:
    """How probable one model finds a passage."""

    item: str
    """Identity of the passage."""
    kind: str
    """encyclopaedic, narrative, technical, dialogue or instructions."""
    document: str
    """The document that it is from."""
    logprob: float
    """Natural-log probability of the passage, summed over its tokens."""
    tokens: int
    """Its tokens, as this model counts them."""
    bytes: int
    """Its bytes in UTF-8."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.logprob) or self.tokens < 1:
            raise ValueError(f"a passage has a finite log-probability and tokens, got {self.logprob!r}, {self.tokens}")


@dataclass(frozen=True)
class Measurement:
    """All that one model was measured on."""

    model: str
    """Identity of the model."""
    answers: tuple[Answer, ...] = ()
    """One for each question, instruction, pair and picture."""
    texts: tuple[TextScore, ...] = ()
    """One for each passage."""


@dataclass(frozen=True)
class Change:
    """The same item before and after."""

    item: str
    """Identity of the item."""
    set: str
    """Set that it counts for."""
    kind: str
    """Relation, scheme, check or world within the set."""
    block: str
    """Items of one block are resampled together."""
    chance: float
    """Share that a model without knowledge has right."""
    before: float | None
    """1 or 0, a tie 0.5; None where the model failed to answer."""
    after: float | None
    """The same, after."""
    log_odds_before: float | None
    """Log-odds of the right answer, nats; None where it was generated, or failed."""
    log_odds_after: float | None
    """The same, after."""


@dataclass(frozen=True)
class TextChange:
    """The same passage before and after."""

    item: str
    """Identity of the passage."""
    kind: str
    """Kind of English."""
    document: str
    """The document that it is from."""
    tokens: int
    """Its tokens."""
    before: float
    """Natural-log probability, summed over its tokens."""
    after: float
    """The same, after."""


R = TypeVar("R", Answer, TextScore)
T = TypeVar("T", Answer, TextScore, Change, TextChange)


def matched(before: Sequence[R], after: Sequence[R]) -> list[tuple[R, R]]:
    """The two records of each item; refused where the two models were not measured on the same ones."""
    later = {record.item: record for record in after}
    missing = {record.item for record in before} ^ later.keys()
    if missing:
        raise ConfigError(
            f"before and after differ in {len(missing)} items, such as {min(missing)}. Measure both with the same suite "
            "and the same version of plaudit."
        )
    return [(record, later[record.item]) for record in before]


def changes(before: Measurement, after: Measurement) -> list[Change]:
    """Before and after of everything that is right or wrong."""
    return [
        Change(a.item, a.set, a.kind, a.block, a.chance, a.right, b.right, a.log_odds, b.log_odds)
        for a, b in matched(before.answers, after.answers)
    ]


def text_changes(before: Measurement, after: Measurement) -> list[TextChange]:
    """Before and after of every passage; refused where the two models count its tokens differently."""
    pairs = matched(before.texts, after.texts)
    for a, b in pairs:
        if a.tokens != b.tokens:
            raise ConfigError(
                f"{before.model} and {after.model} split {a.item} into {a.tokens} and {b.tokens} tokens: their "
                "perplexities cannot be compared. Compare models that share a tokenizer."
            )
    return [TextChange(a.item, a.kind, a.document, a.tokens, a.logprob, b.logprob) for a, b in pairs]


def save(measurement: Measurement, folder: Path) -> None:
    """``answers.parquet``, ``texts.parquet`` and ``measurement.json`` in a folder, which is made."""
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_records(measurement.answers, Answer, folder / "answers.parquet")
    write_records(measurement.texts, TextScore, folder / "texts.parquet")
    head = {"model": measurement.model, "answers": len(measurement.answers), "texts": len(measurement.texts)}
    write_json(folder / "measurement.json", head)


def load(folder: Path) -> Measurement:
    """What :func:`save` wrote."""
    head = folder / "measurement.json"  # written last: without it the folder is not whole
    if not head.is_file():
        raise ConfigError(f"there is no measurement in {folder}: {head.name} is missing. Measure again.")
    answers = read_records(Answer, folder / "answers.parquet")
    texts = read_records(TextScore, folder / "texts.parquet")
    return Measurement(json.loads(head.read_text())["model"], tuple(answers), tuple(texts))


def write_records(records: Iterable[T], kind: type[T], path: Path) -> None:
    """A table with a column for each field, replaced as a whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"float": pa.float64(), "float | None": pa.float64(), "int": pa.int64(), "str": pa.string()}
    schema = pa.schema([(f.name, types[str(f.type)]) for f in dataclasses.fields(kind)])
    table = pa.Table.from_pylist([dataclasses.asdict(record) for record in records], schema)
    with atomic(path) as file:
        pq.write_table(table, file)


def read_records(kind: type[T], path: Path) -> list[T]:
    """What :func:`write_records` wrote."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return [kind(**row) for row in rows]
