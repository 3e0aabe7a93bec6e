"""POPE, GQA, AI2D and MMMU from a folder that a person has: Parquet files as they lie on the hub, or Arrow files as the
library ``datasets`` leaves them (``save_to_disk``, its cache).

    suite = Suite(choices=load_pictures("pope", Path("data/POPE")))

Each file of the folder, and of folders in it, is read. They are: lmms-lab/POPE; lmms-lab/GQA (testdev_balanced_instructions
and testdev_balanced_images); lmms-lab/ai2d; MMMU/MMMU (dev, validation). Nothing is downloaded. GQA has no choices of its
own: a question gets the answers that other questions of its kind have. Left out: MMMU's open questions, those with
several pictures, and what has no answer or the same choice twice.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.errors import ConfigError, did_you_mean
from plaudit.finetune.items import Choice, identity

Row = dict[str, Any]
GQA_CHOICES = 4


def load_pictures(name: str, folder: Path, limit: int | None = None) -> tuple[Choice, ...]:
    """Questions about pictures.

    Args:
        name: pope, gqa, ai2d or mmmu.
        folder: where its Parquet or Arrow files are.
        limit: this many questions at most, drawn by chance, the same every time.
    """
    # A repository may hold its questions twice, as one file and by category.
    items = [*{(item.id, item.kind): item for item in _items(name, folder)}.values()]
    if limit is None or len(items) <= limit:
        return tuple(items)
    # By chance: POPE's answers are yes and no by turns, so every 18th question of its 9,000 has the same one.
    kept = np.random.default_rng(0).choice(len(items), limit, replace=False)
    return tuple(items[place] for place in sorted(kept.tolist()))


def check(name: str, folder: Path) -> None:
    """Raise what :func:`load_pictures` would, as far as the first question tells."""
    next(_items(name, folder))


def _items(name: str, folder: Path) -> Iterator[Choice]:
    """Every question, one at least."""
    files, empty = _files(name, folder), True
    try:
        for item in READERS[name](files):
            empty = False
            yield item
    except KeyError as error:
        raise ConfigError(f"{folder} is not {name}: its rows have no {error}. Check the folder.") from None
    if empty:
        raise ConfigError(f"{folder} has no question of {name} with one picture, choices and an answer.")


def _files(name: str, folder: Path) -> list[Path]:
    """The files of the set of this name; an error where there is no such set, or none there."""
    if name not in READERS:
        raise ConfigError(
            f"there is no picture set {name!r}.{did_you_mean(name, READERS)} There are: {', '.join(READERS)}."
        )
    files = sorted(folder.rglob("*.parquet")) or sorted(folder.rglob("*.arrow"))
    if not files:
        raise ConfigError(
            f"there is no Parquet file in {folder} and no Arrow file. Put the files of the data set there, as they lie on "
            "the hub, or save it there with save_to_disk."
        )
    return files


def _rows(files: list[Path]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            if file.suffix == ".arrow":
                with pa.memory_map(str(file)) as source:
                    for batch in pa.ipc.open_stream(source):
                        for start in range(0, len(batch), 64):
                            yield from batch.slice(start, 64).to_pylist()
                continue
            for batch in pq.ParquetFile(file).iter_batches(64):
                yield from batch.to_pylist()
        except pa.ArrowInvalid as error:
            raise ConfigError(
                f"{file} cannot be read: {error}. Where it is a pointer of git-lfs ({file.stat().st_size:,} bytes), type "
                "git lfs pull there; else download it again."
            ) from None


def _picture(cell: Any) -> bytes:
    """The bytes of an image cell; empty where there is none."""
    data = (cell or {}).get("bytes") or b""
    return bytes(data)


def _choice(name: str, kind: str, block: str, asked: str, answers: list[str], right: int, picture: bytes) -> Choice:
    return Choice(name, kind, block, asked, tuple(f" {answer}" for answer in answers), right, picture)


def _pope(files: list[Path]) -> Iterator[Choice]:
    for row in _rows(files):
        picture, answer = _picture(row["image"]), row["answer"].strip().lower()
        if picture and answer in ("yes", "no"):
            asked = f"{row['question']} Answer with Yes or No."
            block = str(row["image_source"])  # several questions about one picture
            yield _choice("POPE", row["category"], block, asked, ["Yes", "No"], int(answer == "no"), picture)


def _gqa(files: list[Path]) -> Iterator[Choice]:
    pictures: dict[str, bytes] = {}
    asked: list[Row] = []
    for row in _rows(files):
        if "imageId" in row:
            asked.append(row)
        else:
            pictures[row["id"]] = _picture(row["image"])
    kinds: dict[str, list[str]] = {}
    for row in asked:
        kinds.setdefault(_gqa_kind(row), []).append(row["answer"])
    for row in asked:
        answer, picture = row["answer"], pictures.get(row["imageId"], b"")
        if answer in ("yes", "no"):
            answers = ["yes", "no"]
        else:
            others = sorted(set(kinds[_gqa_kind(row)]) - {answer, "yes", "no"}, key=lambda o: identity(row["id"], o))
            answers = sorted([answer, *others[: GQA_CHOICES - 1]], key=lambda o: identity("place", row["id"], o))
        if picture and len(answers) > 1:
            question = f"{row['question']} Answer with a single word or phrase."
            yield _choice("GQA", _gqa_kind(row), row["imageId"], question, answers, answers.index(answer), picture)


def _gqa_kind(row: Row) -> str:
    return str((row.get("types") or {}).get("detailed") or "all")


def _ai2d(files: list[Path]) -> Iterator[Choice]:
    for row in _rows(files):
        answers, picture = [str(option) for option in row["options"]], _picture(row["image"])
        right = int(row["answer"])
        if picture and len(set(answers)) == len(answers) > right:
            block = identity(str(len(picture)), picture[:4096].hex())
            yield _choice("AI2D", "diagram", block, row["question"], answers, right, picture)


def _mmmu(files: list[Path]) -> Iterator[Choice]:
    for row in _rows(files):
        seen = [_picture(row.get(f"image_{i}")) for i in range(1, 8)]
        pictures = [picture for picture in seen if picture]
        answers = [str(option) for option in ast.literal_eval(row["options"] or "[]")]
        right = ord(row["answer"][0]) - ord("A") if len(row["answer"] or "") == 1 else -1
        if row["question_type"] != "multiple-choice" or len(pictures) != 1 or not 0 <= right < len(answers):
            continue
        if len(set(answers)) == len(answers) and not any("<image" in answer for answer in answers):
            asked = row["question"].replace("<image 1>", "").strip()
            yield _choice("MMMU", row["subfield"] or "all", row["id"], asked, answers, right, pictures[0])


READERS: dict[str, Callable[[list[Path]], Iterator[Choice]]] = {
    "pope": _pope,
    "gqa": _gqa,
    "ai2d": _ai2d,
    "mmmu": _mmmu,
}
"""Name -> reader of its files."""
