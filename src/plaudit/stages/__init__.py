"""The stages of a run, each a verb: collect, annotate, fit, train, evaluate, report. ``run`` chains them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from plaudit.config import RunConfig, validate
from plaudit.console import console
from plaudit.store import STAGES, Run


def stage(name: str) -> Callable[[Run], None]:
    """The function of a stage, imported when it is asked for."""
    module = "plaudit.report.build" if name == "report" else f"plaudit.stages.{name}"
    return getattr(import_module(module), name)


def prepare(config: RunConfig, folder: str | Path) -> Run:
    """The run in this folder. A new one is made only when all that its settings name is there and fits."""
    validate(config)
    if not (Path(folder) / "run.json").exists():
        from plaudit.stages.parts import check

        check(config)
    return Run.create(Path(folder), config)


def run(config: RunConfig, folder: str | Path) -> Run:
    """The whole way in this folder; goes on where an earlier call with the same settings stopped."""
    current = prepare(config, folder)
    run_stages(current)
    return current


def run_stages(run: Run, names: tuple[str, ...] = STAGES) -> None:
    """Run these stages in order; what is finished with the same settings is skipped."""
    with run.lock():
        for name in names:
            if run.finished(name) is not None:
                console.print(f"{name}: finished before, skipped")
                continue
            stage(name)(run)
