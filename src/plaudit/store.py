"""A run folder: ``run.json``, one subfolder for each stage, and the ledger of everything the LLM was asked.

A stage is finished when its ``stage.json`` exists, which is written last and by renaming; what is finished is skipped
when a command is run again. Tables are Parquet, weights safetensors, everything else JSON. No pickle.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Self, TypeVar, cast

from plaudit import __version__
from plaudit.budget import Budget
from plaudit.config import RunConfig, differences, fingerprint, from_dict, to_dict
from plaudit.errors import ConfigError, StoreError

FORMAT = 2
"""Version of the folder's layout and settings."""
COMPARISON_FORMAT = 1
"""Version of a comparison's ``compare.json``."""
STAGES = ("collect", "annotate", "fit", "train", "evaluate", "report")
NEEDS: dict[str, tuple[str, ...]] = {
    "collect": ("world", "collect", "seed"),
    "annotate": ("route", "llm", "judge", "code", "embedding"),
    "fit": ("fit",),
    "train": ("shaping", "train", "online"),
    "evaluate": ("evaluate", "route", "llm", "policy"),
    "report": (),
}
"""The settings that decide a stage's result, beside those of the stages before it."""
FILES = {
    "collect": (("collect", "policy"),),
    "annotate": (("judge", "prompt"), ("llm", "model"), ("llm", "adapter"), ("code", "prompt"), ("embedding", "model")),
    "evaluate": (("policy", "prompt"), ("llm", "model"), ("llm", "adapter")),
}
"""Settings that may name a file or folder; when that changes, the stage is done again."""
INERT = {
    ("train", "workers"),
    ("judge", "max_failures"),
    *(
        ("llm", key)
        for key in (
            "threads",
            "ledger",
            "replay",
            "url",
            "usd_in",
            "usd_out",
            "concurrency",
            "timeout",
            "retries",
            "batch",
        )
    ),
    ("llm", "batch_price"),
    *(("cluster", key) for key in ("on", "workers", "cpus", "gpus", "serve", "block")),
}
"""Settings that change how fast a result is there, or whether it is refused, not the result."""
LATER: dict[tuple[str, str], Any] = {
    ("llm", "adapter"): "",
    ("llm", "device"): "auto",
    ("judge", "input"): "text",
    ("fit", "labels"): "judge",
    ("fit", "labels_from"): "",
    ("fit", "label_weight"): 10,
    ("fit", "calibrate"): False,
    ("shaping", "difference"): False,
    ("train", "visits"): False,
    ("online", "beside"): False,
    ("online", "questions"): 1000,
    ("online", "share"): 0.5,
    ("online", "refit"): 16,
    ("online", "steps"): 60,
}
"""Settings that are younger than the folder's format, and what was done before there were any: so set, they are left out
of a stage's fingerprint, and what an older plaudit has finished stays finished."""
PEOPLE, MODELS = "labels/people", "labels/models"
"""Folders of labels beside the judge's, one file for each author; see ``labels.py``."""


C = TypeVar("C")


class Folder(Generic[C]):
    """A folder with a configuration, whose stages are done once; a subclass says of what kind."""

    settings: ClassVar[type[Any]]
    """The dataclass of its settings."""
    verb: ClassVar[str]
    """The command that makes such a folder."""
    stages: ClassVar[tuple[str, ...]]
    """Its stages, in order."""
    needs: ClassVar[dict[str, tuple[str, ...]]]
    """The settings that decide a stage's result, beside those of the stages before it."""
    files: ClassVar[dict[str, tuple[tuple[str, str], ...]]]
    """Settings that may name a file or folder; when that changes, the stage is done again."""
    later: ClassVar[dict[tuple[str, str], Any]] = LATER
    """See :data:`LATER`."""
    revisable: ClassVar[tuple[str, ...]] = ()
    """Sections that may change in a folder that exists: at most its last stages rest on them, and are done again."""

    def __init__(self, folder: Path, config: C, budget: Budget | None = None) -> None:
        self.folder, self.config = folder, config
        self.budget = budget or Budget()

    @classmethod
    def create(cls, folder: Path, config: C) -> Self:
        """Make the folder, or go on with it where its settings are the same; refuse where they are not."""
        if (folder / "run.json").exists():
            run = cls.open(folder)
            changed = differences(_decisive(run.config), _decisive(config))
            if not all(line.split(".")[0] in cls.revisable for line in changed):
                raise StoreError(
                    f"{folder} was made with other settings:\n  " + "\n  ".join(changed) + "\n"
                    "Give another folder (--out NAME), the old settings, or delete it."
                )
            if changed:
                with folder_lock(folder):
                    write_json(folder / "run.json", run.record | {"config": to_dict(config)})
            return cls(folder, config)
        run, record = cls(folder, config), {"format": FORMAT, "config": to_dict(config)} | provenance()
        record |= {} if cls.verb == Run.verb else {"verb": cls.verb}
        with explain_disk_errors(folder):
            # Hidden files may be what a killed start has left.
            if folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
                raise StoreError(f"{folder} is not empty and is no run. Give another folder: --out NAME")
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "run.json", record)
        return run

    @classmethod
    def open(cls, folder: Path) -> Self:
        """An existing run; a clear error where it is none, damaged, or made by a newer plaudit."""
        made = f"plaudit {cls.verb} doorkey --out {folder}"
        if not (folder / "run.json").is_file():
            raise StoreError(f"{folder} is no run: it has no run.json. Make one: {made}")
        record = read_json(folder / "run.json")
        if not isinstance(record, dict) or not isinstance(record.get("format"), int) or "config" not in record:
            raise _unreadable(folder / "run.json", "it is not the record of a run")
        if (verb := record.get("verb", Run.verb)) != cls.verb:
            raise StoreError(f"{folder} is a folder of plaudit {verb}, not of plaudit {cls.verb}. Make one: {made}-2")
        if record["format"] > FORMAT:
            raise StoreError(
                f"{folder} was made by a newer plaudit ({record.get('plaudit')}, folder format {record['format']}; "
                f"this is {__version__}, format {FORMAT}). Type: pip install -U plaudit"
            )
        if record["format"] < FORMAT:
            raise StoreError(
                f"{folder} was made by an older plaudit ({record.get('plaudit')}, folder format {record['format']}; "
                f"this is {__version__}, format {FORMAT}). Its report still opens; make the run anew: --out NAME"
            )
        try:
            return cls(folder, cast(C, from_dict(cls.settings, record["config"])))
        except ConfigError as error:
            raise StoreError(
                f"{folder} was made by plaudit {record.get('plaudit')} with settings that this one "
                f"({__version__}) does not know: {error} Use that version, or another folder: --out NAME"
            ) from None

    @property
    def record(self) -> dict[str, Any]:
        """What ``run.json`` holds."""
        return read_json(self.folder / "run.json")

    def stage(self, name: str) -> Path:
        """Folder of a stage; made where it is missing."""
        path = self.folder / name
        with explain_disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def expected(self, name: str) -> str:
        """Fingerprint of all that this stage's result depends on: settings, files they name, and earlier stages."""
        config, parts = _without_later(_decisive(self.config), self.later), list[Any]()
        for stage in self.stages[: self.stages.index(name) + 1]:
            parts += [[key, config[key]] for key in self.needs[stage] if key in config]
            for value in (config[s][key] for s, key in self.files.get(stage, ()) if key in config[s]):
                parts += _file_marks(value) if isinstance(value, list) else [_file_mark(value)]
            if "world" in self.needs[stage] and config["world"]["name"].endswith(".py"):
                parts.append(_file_mark(config["world"]["name"]))
            if stage == "fit" and "labels" in config["fit"]:
                parts.append(_contents(Path(config["fit"].get("labels_from") or self.folder) / PEOPLE))
            if stage != name and (self.folder / stage / "stage.json").is_file():
                parts.append(fingerprint((self.folder / stage / "stage.json").read_text(encoding="utf-8")))
        if name == "report":
            parts += [each for folder in (PEOPLE, MODELS) for each in _contents(self.folder / folder)]
        return fingerprint(FORMAT, parts)

    def finished(self, name: str) -> dict[str, Any] | None:
        """The stage's record where it is finished with these settings and whole, else None."""
        path = self.folder / name / "stage.json"
        if not path.is_file():
            return None
        record = read_json(path)
        if not isinstance(record, dict) or record.get("settings") != self.expected(name):
            return None
        return record if all((self.folder / file).is_file() for file in record["files"]) else None

    def finish(self, name: str, seconds: float, expected: str = "", **summary: Any) -> dict[str, Any]:
        """Mark the stage as finished; ``summary`` is what ``plaudit run`` and the report show of it.

        ``expected``: what :meth:`expected` said at its beginning, where what it rests on may have changed meanwhile.
        """
        record = {"settings": expected or self.expected(name), "seconds": round(seconds, 3), "summary": summary}
        files = [p for p in self.stage(name).rglob("*") if p.is_file() and not p.name.startswith(".")]
        names = {p.relative_to(self.folder).as_posix() for p in files} - {f"{name}/stage.json"}
        record["files"] = sorted(names | ({"report.html"} if name == "report" else set()))
        record |= {"finished": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), "plaudit": __version__}
        write_json(self.stage(name) / "stage.json", record)
        return record

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process works in a run at a time."""
        with folder_lock(self.folder):
            yield

    def require(self, name: str) -> Path:
        """Folder of a stage that must be finished."""
        if self.finished(name) is None:
            raise StoreError(f"{self.folder}: the stage {name!r} is not finished. {self.cure(name)}")
        return self.folder / name

    def cure(self, name: str) -> str:
        """How a missing stage is done."""
        return f"Type: plaudit {self.verb} --out {self.folder}, with the same settings"


def made_by(folder: Path) -> str:
    """The verb that made this folder; empty where it is none of ours."""
    record = read_json(folder / "run.json") if (folder / "run.json").is_file() else None
    return str(record.get("verb", Run.verb)) if isinstance(record, dict) else ""


class Run(Folder[RunConfig]):
    """A run: from the world to the report."""

    settings, verb, stages, needs, files = RunConfig, "run", STAGES, NEEDS, FILES

    def cure(self, name: str) -> str:
        return f"Type: plaudit {name} {self.folder}"


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Held by one process at a time; a second one is told so at once."""
    with explain_disk_errors(folder):
        file = (folder / ".lock").open("a")
    with file:  # what goes wrong in here is not the lock's to explain
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"another plaudit is at work in {folder}. Wait for it, or give another folder: --out NAME"
            ) from None
        yield


def _decisive(config: Any) -> dict[str, Any]:
    values = to_dict(config)
    for section, key in INERT:
        values.get(section, {}).pop(key, None)
    return values


def _without_later(config: dict[str, Any], later: dict[tuple[str, str], Any]) -> dict[str, Any]:
    for (section, key), before in later.items():
        if config.get(section, {}).get(key) == before:
            del config[section][key]
            if not config[section]:
                del config[section]
    return config


def _file_mark(name: str) -> list[Any]:
    """What changes when a named file does: its size and time; for a folder (an agent, a model) those of its files."""
    name = name.partition(":")[2] if name.startswith("transformers:") else name
    path = Path(name)
    files = sorted(p for p in path.iterdir() if p.is_file()) if name and path.is_dir() else [path]
    return [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files if p.is_file()]


def _file_marks(names: list[str]) -> list[Any]:
    """The same of those in a list that are files or folders; of the others, such as "random", nothing."""
    return [mark for name in names if (mark := _file_mark(name))]


def _contents(folder: Path) -> list[Any]:
    """What changes when a file of labels does, wherever it lies."""
    return [[p.name, hashlib.sha256(p.read_bytes()).hexdigest()[:12]] for p in sorted(folder.glob("*.jsonl"))]


def _unreadable(path: Path, why: object) -> StoreError:
    cure = (
        "Restore it, or start anew in another folder: --out NAME"
        if path.name == "run.json"
        else f"Delete {path.parent} and run the same command again"
    )
    return StoreError(f"{path} cannot be read: {why}. {cure}.")


def provenance() -> dict[str, Any]:
    """Command, versions, commit and machine, for ``run.json``."""
    packages = ("numpy", "torch", "gymnasium", "minigrid", "cyllama", "pydantic-monty", "wordllama")
    versions = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    program = Path(sys.argv[0])
    own = program.parent == Path(__file__).parent  # python -m plaudit.cli
    command = ["plaudit" if own else program.name, *sys.argv[1:]]
    return {
        "plaudit": __version__,
        "created": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "command": shlex.join(command),
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} cores"
        if hasattr(os, "sched_getaffinity")
        else platform.platform(),
    }


def _commit() -> str:
    """Commit of the checkout that this package is imported from; empty outside of one."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        here = Path(__file__).parent
        command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude", "*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return ""


@contextlib.contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one clear line."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}. What is finished is kept; make room or choose another "
            "folder (--out NAME), then run the same command again."
        ) from error


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears whole or not at all."""
    with explain_disk_errors(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise


def write_json(path: Path, value: Any) -> None:
    """JSON, atomically; NaN and infinity are refused."""
    with atomic(path) as file:
        file.write((json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """What :func:`write_json` wrote."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def write_table(path: Path, rows: Sequence[Any]) -> None:
    """Dictionaries or records of one kind as a Parquet file, atomically."""
    import pyarrow as pa

    _write(path, pa.Table.from_pylist([asdict(r) if is_dataclass(r) and not isinstance(r, type) else r for r in rows]))


def write_columns(path: Path, columns: dict[str, Any]) -> None:
    """Lists or arrays of one length as a Parquet file, atomically: for what is too long for a dictionary for each row."""
    import pyarrow as pa

    _write(path, pa.table(columns))


def _write(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    with atomic(path) as file:
        pq.write_table(table, file, compression="zstd")


@contextlib.contextmanager
def table_writer(path: Path, kind: type) -> Iterator[Callable[[Sequence[Any]], None]]:
    """What is yielded appends records of one dataclass to a Parquet file that appears whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"str": pa.string(), "float": pa.float64(), "int": pa.int64()}
    hints = {f.name: str(f.type).removesuffix(" | None") for f in fields(kind)}
    schema = pa.schema([(name, types.get(hint, pa.string())) for name, hint in hints.items()])
    with atomic(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def append(records: Sequence[Any]) -> None:
            writer.write_table(pa.table([[getattr(r, name) for r in records] for name in hints], schema=schema))

        yield append


def read_batches(path: Path, columns: Sequence[str], rows: int = 8192) -> Iterator[dict[str, list[Any]]]:
    """Some columns of a Parquet file, so many rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(rows, columns=list(columns)):
                yield batch.to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def read_table(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Rows of a Parquet file, of these columns or all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns and list(columns)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def save_tree(path: Path, tree: dict[str, Any]) -> None:
    """Nested dictionaries of arrays, tensors and plain values as one safetensors file, atomically.

    Arrays become tensors named by their path; all else travels as JSON in the file's metadata.
    """
    import numpy as np
    import torch
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}

    def split(value: Any, name: str) -> Any:
        if isinstance(value, np.ndarray):
            # safetensors has no 0-dimensional numpy scalars of every kind; tensors cover all that occurs here.
            value = torch.from_numpy(np.ascontiguousarray(value))
        if isinstance(value, torch.Tensor):
            tensors[name] = value.detach().contiguous().clone()
            return {"__tensor__": name}
        if isinstance(value, dict):
            return {k: split(v, f"{name}/{k}") for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [split(v, f"{name}/{i}") for i, v in enumerate(value)]
        return value

    metadata_ = {"tree": json.dumps(split(tree, ""))}
    with atomic(path) as file:
        file.write(save(tensors, metadata_))


def load_tree(path: Path) -> dict[str, Any]:
    """What :func:`save_tree` wrote; every array comes back as a tensor."""
    from safetensors import SafetensorError, safe_open

    def join(value: Any, file: Any) -> Any:
        if isinstance(value, dict):
            if "__tensor__" in value:
                return file.get_tensor(value["__tensor__"])
            return {k: join(v, file) for k, v in value.items()}
        return [join(v, file) for v in value] if isinstance(value, list) else value

    try:
        with safe_open(str(path), framework="pt") as file:
            return join(json.loads(file.metadata()["tree"]), file)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from None
