"""The stages of a run, each a verb: collect, annotate, fit, train, evaluate, report. ``run`` chains them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from plaudit.budget import Budget
from plaudit.config import RunConfig
from plaudit.config_rules import validate
from plaudit.console import console
from plaudit.errors import ConfigError
from plaudit.store import STAGES, Run


def stage(name: str) -> Callable[[Run], None]:
    """The function of a stage, imported when it is asked for."""
    module = "plaudit.report.build" if name == "report" else f"plaudit.stages.{name}"
    return getattr(import_module(module), name)


def prepare(config: RunConfig, folder: str | Path, budget: Budget | None = None) -> Run:
    """The run in this folder. A new one is made only when all that its settings name is there and fits."""
    from plaudit.stages.parts import as_made, check, settled

    validate(config)
    config = settled(config)
    if not (Path(folder) / "run.json").exists():
        check(config)
    else:
        config = as_made(config, Run.open(Path(folder)).config.world)
    current = Run.create(Path(folder), config)
    if budget is not None:
        current.budget = budget
        _count_spent(current)
    return current


def _count_spent(run: Run) -> None:
    """A ceiling of tokens or money is one of all that the folder has ever spent."""
    from plaudit.stages.parts import spent

    before = spent(run.folder)
    run.budget.spend(before.answers, before.tokens, before.usd)


def run(config: RunConfig, folder: str | Path, budget: Budget | None = None) -> Run:
    """The whole way in this folder; goes on where an earlier call with the same settings stopped."""
    current = prepare(config, folder, budget)
    run_stages(current)
    return current


def stages_of(run: Run) -> tuple[str, ...]:
    """The stages that this run's route has."""
    from plaudit.stages.parts import make_route, trained_arms

    missing = set() if make_route(run.config.route).makes_reward else {"annotate", "fit"}
    missing |= set() if trained_arms(run.config) else {"train"}
    return tuple(name for name in STAGES if name not in missing)


def run_stages(run: Run, names: tuple[str, ...] | None = None) -> None:
    """Run these stages in order, by default all that the route has; what is finished with the same settings is skipped."""
    with run.lock():
        for name in names or stages_of(run):
            if run.finished(name) is not None:
                console.print(f"{name}: finished before, skipped")
                continue
            if name not in stages_of(run):
                has = ", ".join(stages_of(run))
                raise ConfigError(f"the route {run.config.route!r} has no stage {name!r}; it has: {has}.")
            stage(name)(run)
