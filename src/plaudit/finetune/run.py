"""``plaudit finetune WORLD``: a folder like a run's, whose stages are done once and skipped when the command is run again.

Leaves out nothing of a stage's own: what ``data`` is made of is in :mod:`plaudit.finetune.synthesize`.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plaudit.console import console
from plaudit.errors import StoreError
from plaudit.finetune.settings import FinetuneConfig, validate
from plaudit.stages.parts import settled_world
from plaudit.store import LATER, Folder, read_json

STAGES = ("data", "train", "export", "measure", "report")
NEEDS: dict[str, tuple[str, ...]] = {
    "data": ("world", "data", "ask", "seed"),
    "train": ("llm", "lora"),
    "export": (),
    "measure": ("measure",),
    "report": (),
}
"""The settings that decide a stage's result, beside those of the stages before it."""
FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "data": (("ask", "prompt"), ("ask", "act"), ("data", "sources")),
    "train": (("llm", "model"),),
}
"""Settings that may name a file or folder; when that changes, the stage is done again."""


YOUNGER: dict[tuple[str, str], Any] = {
    ("ask", "input"): "text",
    ("lora", "vision"): False,
    ("measure", "pictures"): [],
    ("measure", "most_pictures"): 500,
    ("measure", "shots"): [],
    ("measure", "draws"): 3,
    ("measure", "questions"): 100,
}
"""Settings that are younger than the first of these folders: see :data:`plaudit.store.LATER`."""
log = logging.getLogger(__name__)


class Finetune(Folder[FinetuneConfig]):
    """A folder of ``plaudit finetune``."""

    settings, verb, stages, needs, files = FinetuneConfig, "finetune", STAGES, NEEDS, FILES
    later, revisable = LATER | YOUNGER, ("measure", "arms")
    shared: Path | None = None
    """Where the folders of one sweep keep what the base answers; None keeps it in the folder itself."""


def data(run: Finetune) -> None:
    """The stage that makes the examples."""
    from plaudit.finetune.card import few, held_out_texts
    from plaudit.finetune.rows import load_rows
    from plaudit.finetune.synthesize import synthesize

    start = time.perf_counter()
    folder = synthesize(run.config, run.stage("data"))
    rows: dict[str, Any] = {part: len(load_rows(folder, part)) for part in ("train", "held_out")}
    run.finish("data", time.perf_counter() - start, **rows)
    facts = read_json(folder / "synthesis.json")
    kept = f"{rows['held_out']:,} held out ({'; '.join(held_out_texts(facts))})"
    console.print(f"data: {rows['train']:,} examples to train on, {kept}", markup=False)
    if warning := few(facts):
        console.print(warning, markup=False, style="yellow")


def stage(name: str) -> Callable[[Finetune], None]:
    """What a stage does, imported when it is asked for: all but the data need PyTorch."""
    if name == "data":
        return data
    if name == "report":
        from plaudit.finetune.report import report

        return report
    from plaudit.finetune import handover, teach

    found: dict[str, Callable[[Finetune], None]] = {
        "train": teach.train,
        "export": handover.export,
        "measure": handover.measure,
    }
    return found[name]


def finetune(
    config: FinetuneConfig, folder: str | Path, stages: tuple[str, ...] = STAGES, shared: Path | None = None
) -> Finetune:
    """These stages in this folder; goes on where an earlier call with the same settings stopped."""
    validate(config)
    config = dataclasses.replace(config, world=settled_world(config.world))
    if "train" in stages:
        from plaudit.finetune.refusals import check

        check(config)
    run = Finetune.create(Path(folder), config)
    run.shared = shared
    with run.lock():
        for name in stages:
            _look_at_examples(run, refuse=name != "report")
            if run.finished(name) is not None:
                console.print(f"{name}: finished before, skipped")
            else:
                stage(name)(run)
    return run


def report_again(folder: Path) -> None:
    """The page alone, of whatever is finished; for what has changed since, or a stage that was never reached."""
    run = Finetune.open(folder)
    with run.lock():
        _look_at_examples(run, refuse=False)
        stage("report")(run)


def _look_at_examples(run: Finetune, refuse: bool) -> None:
    """Refuse, or tell, what rests on other examples than lie in the folder now."""
    from plaudit.finetune.refusals import changed

    if said := changed(run):
        if refuse:
            raise StoreError(said)
        log.warning(said)


def next_step(run: Finetune) -> str:
    """What a person looks at and types next."""
    page = f"report: {run.folder / 'report.html'}\n"
    if run.finished("export") is None:
        return f"{page}data: {run.folder / 'data'}"
    world = ":".join(filter(None, (run.config.world.name, run.config.world.task))) + _unusual(run.config)
    folder, ask = run.folder, run.config.ask
    route = "llm" if set(run.config.lora.kinds) == {"action"} else "preference"
    if (folder / "export" / "adapter.gguf").is_file():
        return f"{page}use it: plaudit run {world} --route {route} --llm {folder / 'export' / 'adapter.gguf'}"
    from plaudit.finetune.teach import base_of

    how = f" --judge.prompt {ask.prompt}" * bool(ask.prompt) + f" --judge.input {ask.input}" * (ask.input != "text")
    adapter = f"{folder / 'train' / 'adapter'}{how if route == 'preference' else ''}"
    spec = f"transformers:{base_of(run.config)}"
    return f"{page}use it: plaudit run {world} --route {route} --llm {spec} --llm.adapter {adapter}"


def _unusual(config: FinetuneConfig) -> str:
    """Options of the world that ``plaudit run`` would not take by itself."""
    from plaudit.finetune.arms import usual

    own, other = (dataclasses.asdict(settled_world(world)) for world in (config.world, usual(config).world))
    named = {key: own[key] for key in own if key not in ("name", "task") and own[key] != other[key]}
    return "".join(f" --world.{key} {value}" for key, value in named.items())
