"""``plaudit finetune WORLD``: a folder like a run's, whose stages are done once and skipped when the command is run again.

Leaves out nothing of a stage's own: what ``data`` is made of is in :mod:`plaudit.finetune.synthesize`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plaudit.console import console
from plaudit.finetune.settings import FinetuneConfig, validate
from plaudit.stages.parts import settled_world
from plaudit.store import Folder

STAGES = ("data", "train", "export", "measure")
NEEDS: dict[str, tuple[str, ...]] = {
    "data": ("world", "data", "ask", "seed"),
    "train": ("llm", "lora"),
    "export": (),
    "measure": ("measure",),
}
"""The settings that decide a stage's result, beside those of the stages before it."""
FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "data": (("ask", "prompt"), ("ask", "act")),
    "train": (("llm", "model"),),
}
"""Settings that may name a file or folder; when that changes, the stage is done again."""


class Finetune(Folder[FinetuneConfig]):
    """A folder of ``plaudit finetune``."""

    settings, verb, stages, needs, files = FinetuneConfig, "finetune", STAGES, NEEDS, FILES


def data(run: Finetune) -> None:
    """The stage that makes the examples."""
    from plaudit.finetune.rows import load_rows
    from plaudit.finetune.synthesize import synthesize

    start = time.perf_counter()
    folder = synthesize(run.config, run.stage("data"))
    rows: dict[str, Any] = {part: len(load_rows(folder, part)) for part in ("train", "held_out")}
    run.finish("data", time.perf_counter() - start, **rows)
    console.print(f"data: {rows['train']:,} examples to train on, {rows['held_out']:,} held out", markup=False)


def stage(name: str) -> Callable[[Finetune], None]:
    """What a stage does, imported when it is asked for: all but the data need PyTorch."""
    if name == "data":
        return data
    from plaudit.finetune import handover, teach

    found: dict[str, Callable[[Finetune], None]] = {
        "train": teach.train,
        "export": handover.export,
        "measure": handover.measure,
    }
    return found[name]


def finetune(config: FinetuneConfig, folder: str | Path, stages: tuple[str, ...] = STAGES) -> Finetune:
    """These stages in this folder; goes on where an earlier call with the same settings stopped."""
    validate(config)
    config = dataclasses.replace(config, world=settled_world(config.world))
    if "train" in stages:
        from plaudit.finetune.teach import check

        check(config)
    run = Finetune.create(Path(folder), config)
    with run.lock():
        for name in stages:
            if run.finished(name) is not None:
                console.print(f"{name}: finished before, skipped")
            else:
                stage(name)(run)
    return run


def next_step(run: Finetune) -> str:
    """What a person types next."""
    if run.finished("export") is None:
        return f"data: {run.folder / 'data'}"
    world = ":".join(filter(None, (run.config.world.name, run.config.world.task)))
    spec, folder, ask = run.config.llm.model, run.folder, run.config.ask
    if (folder / "export" / "adapter.gguf").is_file():
        return f"use it: plaudit run {world} --llm {folder / 'export' / 'adapter.gguf'}"
    named = spec if spec.startswith("transformers:") else f"transformers:{spec}"
    how = f" --judge.prompt {ask.prompt}" * bool(ask.prompt) + f" --judge.input {ask.input}" * (ask.input != "text")
    return f"use it: plaudit run {world} --llm {named} --llm.adapter {folder / 'train' / 'adapter'}{how}"
