"""Labels: which of two observations shows more progress, by a person or by another model, beside the run's own judge.

Each author has one file, ``labels/people/NAME.jsonl`` or ``labels/models/NAME.jsonl``, a JSON object for each line. A
person's is only ever appended to, each line on the disk before the next pair is shown; a line that a kill has cut off was
never acknowledged and is left out. Undoing appends a line too. Labels are of a *seat* (left or right), as they were given,
so that a preference for one can be told.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, Literal, cast

from plaudit.errors import StoreError
from plaudit.store import MODELS, PEOPLE, atomic, explain_disk_errors
from plaudit.types import FAILED, Comparison, JudgementStatus

Answer = Literal["left", "right", "tie", "skip", "unparsed", "refused", "error"]
"""The better seat; ``tie``: neither; ``skip``: the person would not say; the rest are a model's failures."""
Kind = Literal["person", "model"]
Pair = tuple[str, str]
PERSON = "person"
"""What a person is called who gives no name."""


@dataclass(frozen=True)
class Label:
    """One answer about one pair, as it was seated."""

    id: int
    """Number of the label in its file, from 1."""
    author: str
    """Who: a person's name, or a model's."""
    kind: Kind
    """``person`` or ``model``."""
    left: str
    """What was in the first seat, as the judge is shown it."""
    right: str
    """What was in the second."""
    answer: Answer
    """What was said, see ``Answer``."""
    probability: float | None
    """P(left is better), 0 to 1: a person's is 1, 0 or 0.5; None for a skip and for failures."""
    turn: int = 0
    """0 the first time that this author is asked about the pair, 1 when it is asked again with the seats swapped."""
    seated: bool = True
    """False where a model was asked about one observation at a time, so that there was no seat to prefer."""
    selection: Literal["uniform", "disputed"] = "uniform"
    """How the pair was drawn; only uniform ones tell how good the judge is."""
    seconds: float = 0.0
    """Time that the answer took."""
    time: str = ""
    """When it was given, UTC."""
    reply: str = ""
    """What a model said."""

    def __post_init__(self) -> None:
        if (self.probability is None) != (self.answer == "skip" or self.answer in FAILED):
            raise ValueError(f"a label has a probability exactly when it is an answer, got {self.answer!r}")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ValueError(f"probability must lie in [0, 1], got {self.probability!r}")
        if self.left == self.right:
            raise ValueError("a pair needs two different observations")

    @property
    def pair(self) -> Pair:
        """The two observations in an order that nobody chose; see :func:`oriented`."""
        return oriented(self.left, self.right)

    @property
    def preference(self) -> float | None:
        """P(the first of :attr:`pair` is better)."""
        if self.probability is None:
            return None
        return self.probability if self.pair[0] == self.left else 1 - self.probability


def heads(*parts: object) -> bool:
    """A coin that always falls alike for the same parts.

    Of a cryptographic hash: a checksum is linear, so that coins of similar texts would fall alike.
    """
    return bool(hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).digest()[0] & 1)


def oriented(a: str, b: str) -> Pair:
    """The two in an order of the pair's own coin: by the alphabet, an order could go with what is better."""
    low, high = sorted((a, b))
    return (low, high) if heads(low, high) else (high, low)


def file_name(author: str) -> str:
    """A file name for an author; the hash keeps those apart whose letters are no file's."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", author).strip("-.")[:60]
    mark = "" if plain == author else "-" + hashlib.sha256(author.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{plain or 'author'}{mark}.jsonl"


class LabelBook:
    """One person's file, open for writing by one process."""

    def __init__(self, run: Path, author: str) -> None:
        folder = run / PEOPLE
        self.path, self.author = folder / file_name(author), author
        with explain_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self.path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise StoreError(
                f"{author!r} is labelling this run in another plaudit already. End that one (Ctrl-C), or give another "
                "name: --as NAME"
            ) from None
        self._mend()
        self.labels = read_file(self.path)
        """Those that count, in the order in which they were given."""
        self._next = 1 + max((line.get("id", 0) for line in _lines(self.path)), default=0)

    def add(self, **values: Any) -> Label:
        """Keep a label; it is on the disk when this returns."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        label = Label(id=self._next, author=self.author, kind="person", time=now, **values)
        self._append(asdict(label))
        self._next += 1
        self.labels.append(label)
        return label

    def undo(self, number: int) -> Label:
        """Take back the label of this number."""
        label = next(each for each in self.labels if each.id == number)
        self._append({"undo": number, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        self.labels.remove(label)
        return label

    def close(self) -> None:
        """Let others write."""
        self._file.close()

    def _append(self, line: dict[str, Any]) -> None:
        whole = json.dumps(line).encode() + b"\n"
        before = os.fstat(self._file.fileno()).st_size
        with explain_disk_errors(self.path):
            try:
                if self._file.write(whole) != len(whole):
                    raise OSError(28, "No space left on device")
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(before)  # half a line would spoil the next
                raise

    def _mend(self) -> None:
        """Cut off what a kill has left of a line."""
        self._file.seek(0)
        whole = self._file.read()
        if whole and not whole.endswith(b"\n"):
            self._file.truncate(whole.rfind(b"\n") + 1)


def write_file(run: Path, author: str, labels: Sequence[Label]) -> Path:
    """A model's labels, all at once; those of an earlier time are replaced."""
    folder = run / MODELS
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(author)
    with atomic(path) as file:
        file.writelines(json.dumps(asdict(label)).encode() + b"\n" for label in labels)
    return path


def read_labels(run: Path, kinds: Sequence[Kind] = ("person", "model")) -> list[Label]:
    """All labels in a run's folder, author by author."""
    folders = [run / {"person": PEOPLE, "model": MODELS}[kind] for kind in kinds]
    return [label for folder in folders for path in sorted(folder.glob("*.jsonl")) for label in read_file(path)]


def read_file(path: Path) -> list[Label]:
    """The labels of one author that count: those not taken back."""
    found: dict[int, Label] = {}
    known = {f.name for f in fields(Label)}
    for number, line in enumerate(_lines(path), 1):
        try:
            if "undo" in line:
                found.pop(line["undo"], None)
            else:
                found[line["id"]] = Label(**{key: value for key, value in line.items() if key in known})
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path}, line {number} is no label: {error}. Take that line out.") from None
    return list(found.values())


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")[:-1]  # behind the last line end is nothing, or what a kill has left
    try:
        return [json.loads(line) for line in lines if line]
    except ValueError as error:
        raise StoreError(f"{path} holds a line that is no JSON: {error}. Take that line out.") from None


def comparisons(labels: Iterable[Label]) -> list[Comparison]:
    """Labels as comparisons, one for each author and pair: both orders averaged where both were asked."""
    grouped: dict[tuple[str, Pair], list[Label]] = {}
    for label in labels:
        if label.answer != "skip":
            grouped.setdefault((label.author, label.pair), []).append(label)
    return [_comparison(pair, group) for (_, pair), group in grouped.items()]


def _comparison(pair: Pair, group: list[Label]) -> Comparison:
    said = "; ".join(filter(None, (label.reply for label in group)))
    for label in group:
        if label.answer in FAILED:
            return Comparison(*pair, cast(JudgementStatus, label.answer), None, reply=said)
    values = [label.preference for label in group if label.preference is not None]
    seats = {label.left == pair[0]: label.preference for label in group if label.seated}
    probability = sum(values) / len(values)
    status: JudgementStatus = "tie" if probability == 0.5 else "ok"
    return Comparison(*pair, status, probability, seats.get(True), seats.get(False), reply=said)
