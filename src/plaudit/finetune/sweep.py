"""``plaudit finetune WORLD --sweep lora.rank=2,8,32``: the same teaching with one setting changed at a time.

    sweep(FinetuneConfig(...), [axis("lora.rank=2,8,32", config)], seeds=3, folder=Path("runs/sweep"))

A *cell* is the centre (the settings as they are) or the centre with one value changed; each cell and seed is an ordinary
folder of ``plaudit finetune`` below ``cells/``. Cells with the same data settings and seed have the same data, and what
the base answers is asked once (``shared/``). A cell that fails is written down and the others go on. Left out: grids.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import re
import time
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.config import differences, from_dict, to_dict
from plaudit.console import console
from plaudit.errors import ConfigError, PlauditError, StoreError, did_you_mean
from plaudit.finetune.outcome import outcome
from plaudit.finetune.run import STAGES, Finetune, finetune
from plaudit.finetune.settings import FinetuneConfig, LoraConfig, seen, validate
from plaudit.stages.parts import settled_world
from plaudit.store import (
    INERT,
    atomic,
    explain_disk_errors,
    folder_lock,
    provenance,
    read_json,
    write_json,
    write_table,
)

FORMAT = 1
"""Version of ``sweep.json``."""
CENTRE = "centre"
"""Name of the cell with the settings as they are."""
EXAMPLES = "lora.examples"
"""The setting that says how many examples there are to teach from."""


@dataclass(frozen=True)
class Axis:
    """A setting that is swept."""

    path: str
    """``section.setting``."""
    values: tuple[Any, ...]
    """Its values, the centre's own put among them."""
    own: Any
    """The centre's."""


@dataclass(frozen=True)
class Cell:
    """One point of the sweep."""

    name: str
    """``centre``, or ``section.setting=value``."""
    config: FinetuneConfig
    """Its settings; the seed is still the first one."""

    def folder(self, seed: int) -> str:
        """Where it stands, below the sweep's own."""
        return f"cells/{re.sub(r'[^A-Za-z0-9.=+_-]', '_', self.name)}-seed{seed}"


@dataclass(frozen=True)
class Figures:
    """What a cell came to with one seed: a row of ``sweep.parquet``. What is not known is None."""

    cell: str
    """The cell's name."""
    seed: int
    """The seed."""
    folder: str
    """Its folder, below the sweep's own."""
    status: str
    """done, failed or waiting."""
    reason: str = ""
    """Why it failed."""
    skill_before: float | None = None
    """Share of the held-out examples right before, the mean over the kinds taught."""
    skill_after: float | None = None
    """The same, after."""
    unended_before: float | None = None
    """The same without examples that show the end of an episode, before."""
    unended_after: float | None = None
    """And after."""
    perplexity: float | None = None
    """Perplexity of English, after / before - 1."""
    general: float | None = None
    """General sets, after less before, as a share of the items."""
    worlds: float | None = None
    """Judging other worlds, after less before, as a share of the pairs."""
    examples: int | None = None
    """Examples that there were to teach from."""
    seen: int | None = None
    """How many of them the steps came to."""
    held_out: int | None = None
    """Held-out examples that were asked."""
    taught_seconds: float | None = None
    """Time of the steps alone."""
    seconds: float | None = None
    """Time of all stages; data and answers that another cell had made cost nothing here."""
    tokens_per_second: float | None = None
    """While teaching, padding not counted."""

    @property
    def gained(self) -> float | None:
        """Skill after less before."""
        known = self.skill_after is not None and self.skill_before is not None
        return self.skill_after - self.skill_before if known else None  # type: ignore[operator]


def axis(text: str, centre: FinetuneConfig) -> Axis:
    """``section.setting=value,value``; the members of a list are joined by ``+``."""
    path, equals, values = text.partition("=")
    section, _, key = path.partition(".")
    known = to_dict(centre)
    if not equals or not key or not values:
        raise ConfigError(f"--sweep takes SECTION.SETTING=VALUE,VALUE, such as lora.rank=2,8,32; got {text!r}.")
    if section not in known or not isinstance(known[section], dict) or key not in known[section]:
        paths = [f"{s}.{k}" for s, each in known.items() if isinstance(each, dict) for k in each]
        raise ConfigError(f"--sweep: there is no setting {path!r}.{did_you_mean(path, paths)}")
    if section == "arms":
        raise ConfigError(f"--sweep: {path} is of --arms, and changes nothing of a teaching. Give a setting of lora.")
    hint = typing.get_type_hints(type(getattr(centre, section)))[key]
    chosen = [_value(hint, each.strip(), path) for each in values.split(",")]
    own = getattr(getattr(centre, section), key)
    numbers = all(isinstance(each, int | float) for each in (own, *chosen))
    every = list(dict.fromkeys([own, *chosen]))
    return Axis(path, tuple(sorted(every) if numbers else every), own)


def _value(hint: Any, text: str, path: str) -> Any:
    if typing.get_origin(hint) is tuple:
        return tuple(_value(typing.get_args(hint)[0], part, path) for part in text.split("+") if part)
    if hint is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            raise ConfigError(f"--sweep: {path} takes numbers, got {text!r}.") from None
    return text


def told(value: Any) -> str:
    """A value as it is written behind ``--sweep``."""
    if isinstance(value, tuple):
        return "+".join(map(told, value)) or "none"
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else str(value)  # two cells are not to have one name


def cells(centre: FinetuneConfig, axes: Sequence[Axis]) -> list[Cell]:
    """The centre, then each other value of each setting; all of them checked."""
    found = [Cell(CENTRE, centre)]
    for each in axes:
        section, _, key = each.path.partition(".")
        for value in each.values:
            if value == each.own:
                continue
            values = to_dict(centre)
            values[section][key] = value
            found.append(Cell(f"{each.path}={told(value)}", from_dict(FinetuneConfig, values)))
    if len(axes) != len({each.path for each in axes}):
        raise ConfigError("--sweep: each setting once, with all of its values.")
    folders: dict[str, str] = {}
    for cell in found:
        if (other := folders.setdefault(cell.folder(0), cell.name)) != cell.name:
            raise ConfigError(f"--sweep: {other} and {cell.name} would have the same folder. Rename one of the files.")
        try:
            validate(cell.config)
        except ConfigError as error:
            raise ConfigError(f"--sweep: {cell.name}: {error}") from None
    return found


class Sweep:
    """A sweep's folder."""

    def __init__(self, folder: Path, centre: FinetuneConfig, axes: Sequence[Axis], seeds: int) -> None:
        self.folder, self.axes = folder, tuple(axes)
        self.centre = dataclasses.replace(centre, world=settled_world(centre.world))
        self.cells = cells(self.centre, axes)
        self.seeds = range(centre.seed, centre.seed + seeds)
        self.failed: dict[tuple[str, int], str] = {}
        self._done: dict[tuple[str, int], Figures] = {}

    def refuse(self) -> None:
        """Raise where the folder is something else, or of another centre; what only changes the pace may change."""
        path = self.folder / "sweep.json"
        if path.is_file():
            before = read_json(path)
            if before.get("format") != FORMAT:
                raise StoreError(f"{self.folder} was made by another version of plaudit. Give another: --out NAME")
            lines = differences(to_dict(from_dict(FinetuneConfig, before["config"])), to_dict(self.centre))
            if changed := [line for line in lines if tuple(line.split(":")[0].split(".")) not in INERT]:
                raise StoreError(
                    f"{self.folder} was made with another centre:\n  " + "\n  ".join(changed) + "\n"
                    "Give another folder (--out NAME), the old settings, or delete it."
                )
        elif self.folder.exists() and any(not p.name.startswith(".") for p in self.folder.iterdir()):
            raise StoreError(f"{self.folder} is not empty and is no sweep. Give another folder: --out NAME")

    def create(self) -> None:
        """Make the folder, or go on with it; settings and seeds may be added, the centre stays."""
        self.refuse()
        with explain_disk_errors(self.folder):
            (self.folder / "shared").mkdir(parents=True, exist_ok=True)
        swept = {each.path: [told(value) for value in each.values] for each in self.axes}
        record = {"format": FORMAT, "config": to_dict(self.centre), "swept": swept, "seeds": list(self.seeds)}
        write_json(self.folder / "sweep.json", record | provenance())

    def left_off(self) -> str:
        """What is to be said of cells of an earlier command that this one does not name; nothing where there are none."""
        named = {Path(cell.folder(seed)).name for cell, seed in self.jobs()}
        others = sorted(
            each.parent.name for each in self.folder.glob("cells/*/run.json") if each.parent.name not in named
        )
        if not others:
            return ""
        return (
            f"note: cells that an earlier command made here are not in this table ({len(others)}, such as {others[0]}). To "
            "have them there, name their settings too (--sweep), and as many --seeds"
        )

    def jobs(self) -> Iterator[tuple[Cell, int]]:
        """Every cell with the first seed, then with the next: a sweep that is stopped has whole seeds."""
        return ((cell, seed) for seed in self.seeds for cell in self.cells)

    def take_data(self, run: Finetune) -> None:
        """The examples of another cell, where its settings of data and its seed are the same."""
        if run.finished("data") is not None:
            return
        wanted = run.expected("data")
        for record in sorted(self.folder.glob("cells/*/data/stage.json")):
            try:
                made = read_json(record)
            except StoreError:  # damaged: that cell will say so
                continue
            whole = all((record.parent.parent / file).is_file() for file in made["files"])
            if made["settings"] != wanted or not whole:
                continue
            target = run.stage("data")
            files = [p for p in record.parent.iterdir() if p.is_file() and not p.name.startswith(".")]
            for path in files:
                if path != record:
                    with atomic(target / path.name) as file:
                        file.write(path.read_bytes())
            write_json(target / record.name, made | {"seconds": 0.0})  # last: it says that all is there
            return

    def rows(self) -> list[Figures]:
        """What every cell has come to so far."""
        return [self._row(cell, seed) for cell, seed in self.jobs()]

    def _row(self, cell: Cell, seed: int) -> Figures:
        if (cell.name, seed) in self.failed:
            return Figures(cell.name, seed, cell.folder(seed), "failed", self.failed[cell.name, seed])
        found = None
        with contextlib.suppress(Exception):  # whatever is wrong with it is told when its turn comes
            found = self.read(cell, seed)
        return found or Figures(cell.name, seed, cell.folder(seed), "waiting")

    def read(self, cell: Cell, seed: int) -> Figures | None:
        """What a cell has come to; None where it is not finished."""
        path = self.folder / cell.folder(seed)
        if (cell.name, seed) not in self._done:
            if not (path / "run.json").is_file() or (run := Finetune.open(path)).finished(STAGES[-1]) is None:
                return None
            self._done[cell.name, seed] = figures(run, (cell.name, seed, cell.folder(seed)))
        return self._done[cell.name, seed]

    def write(self) -> None:
        """Table and page of what there is."""
        from plaudit.finetune.sweep_report import render

        rows = self.rows()
        write_table(self.folder / "sweep.parquet", rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, [f.name for f in dataclasses.fields(Figures)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in rows)
        for name, content in (("sweep.csv", text.getvalue()), ("sweep.html", render(self, rows))):
            with atomic(self.folder / name) as file:
                file.write(content.encode("utf-8", errors="replace"))


def figures(run: Finetune, about: tuple[str, int, str]) -> Figures:
    """The row of a folder that is finished."""
    found = outcome(run)
    lost = {loss.name: loss.change for loss in found.losses}
    trained: dict[str, Any] = (run.finished("train") or {}).get("summary", {})
    records = [record for name in STAGES if (record := run.finished(name)) is not None]
    return Figures(
        *about,
        status="done",
        skill_before=_mean([each.before for each in found.gains]),
        skill_after=_mean([each.after for each in found.gains]),
        unended_before=_mean([each.before for each in found.open_gains or ()]),
        unended_after=_mean([each.after for each in found.open_gains or ()]),
        perplexity=lost.get("perplexity of English"),
        general=lost.get("general sets"),
        worlds=lost.get("judging other worlds"),
        examples=(examples := trained.get("examples")),
        seen=None if examples is None else seen(run.config.lora, examples),
        held_out=len(found.answers),
        taught_seconds=trained.get("taught_seconds"),
        seconds=round(sum(record["seconds"] for record in records), 1),
        tokens_per_second=trained.get("tokens_per_second"),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def sweep(centre: FinetuneConfig, axes: Sequence[Axis], seeds: int, folder: Path) -> Sweep:
    """All cells with all seeds; what is finished is skipped, what fails is told and the rest goes on."""
    validate(dataclasses.replace(centre, seed=centre.seed + seeds - 1))
    work = Sweep(folder, centre, axes, seeds)
    if any(each.path.startswith(("data.", "world.")) for each in axes):
        console.print(
            "note: settings of data and world change the held-out examples too; lora.examples does not", markup=False
        )
    if warning := unseen(work):
        console.print(warning, markup=False, style="yellow")
    work.refuse()
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    jobs, spent = list(work.jobs()), list[float]()
    with folder_lock(folder):
        work.create()
        if note := work.left_off():
            console.print(note, markup=False)
        for number, (cell, seed) in enumerate(jobs):
            start, left = time.perf_counter(), len(jobs) - number
            about = f", about {_clock(left * sum(spent) / len(spent))} left" if spent else ""
            console.print(f"[{number + 1}/{len(jobs)}] {cell.name}, seed {seed}{about}", markup=False)
            if _one(work, cell, seed):
                spent.append(time.perf_counter() - start)
                work.write()
        work.write()
    return work


def unseen(work: Sweep) -> str:
    """What is to be said of a sweep over more examples than the steps come to; nothing where all are seen."""
    found = list[tuple[str, LoraConfig, int]]()
    if any(each.path == EXAMPLES for each in work.axes):
        for cell in work.cells:
            lora, data = cell.config.lora, cell.config.data
            wanted = lora.examples or data.examples * len(lora.kinds)  # of each kind
            if cell.name.partition("=")[0] in (CENTRE, EXAMPLES) and seen(lora, wanted) < wanted:
                found.append((cell.name, lora, wanted))
    if not found:
        return ""
    _, lora, _ = found[0]
    most = max(wanted for *_, wanted in found)
    return (
        f"warning: {lora.steps} steps of {lora.batch} see {lora.steps * lora.batch} different examples at most, fewer than "
        f"there are in {', '.join(f'{name} ({wanted})' for name, _, wanted in found)}; the rest is never seen. To see all "
        f"{most}: --lora.steps {-(-most // lora.batch)}, with another --out"
    )


def _one(work: Sweep, cell: Cell, seed: int) -> bool:
    """Whether there was anything to do."""
    path = work.folder / cell.folder(seed)
    try:
        config = dataclasses.replace(cell.config, seed=seed, world=settled_world(cell.config.world))
        run = Finetune.create(path, config)
        if all(run.finished(name) is not None for name in STAGES):
            console.print("finished before, skipped")
            work.read(cell, seed)
            return False
        work.take_data(run)
        finetune(config, path, shared=work.folder / "shared")
        work.read(cell, seed)
    except Exception as error:  # whatever is wrong with this cell, the others may well go on
        name = "" if isinstance(error, PlauditError) else f"{type(error).__name__}: "
        work.failed[cell.name, seed] = f"{name}{error}"
        console.print(f"{cell.name}, seed {seed} failed: {name}{error}", markup=False, style="red")
    return True


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{max(1, minutes)} min"
