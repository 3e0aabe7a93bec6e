"""granularity: the same task by coarse and by fine actions; the model as policy against agents that it gives feedback to.

    plaudit analyze granularity doorkey
    plaudit analyze granularity wordle --train.steps 100000 --granularity.levels letter strategy

It always trains; others do only where they are told to. For each granularity (a value of ``world.actions``) it makes two
ordinary runs in its folder, one of the route ``llm`` and one of ``preference`` beside the task reward and a random policy,
by the settings of a run; what is finished is not made again. The time is told before. Leaves out worlds whose actions come
in one kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plaudit import registry
from plaudit.analysis.statistics import MIN_SEEDS, interval
from plaudit.analyze.base import Analysis, Finding, Measure, Plot, Subject, Table
from plaudit.config import RunConfig
from plaudit.config_rules import validate
from plaudit.console import console
from plaudit.errors import ConfigError, did_you_mean
from plaudit.intervals import wilson
from plaudit.report.dots import Row, dot_rows
from plaudit.report.words import LABELS, SLOTS, percent
from plaudit.stages import run as carry_out
from plaudit.stages.arms import choose
from plaudit.stages.forecast import forecast, show
from plaudit.store import Run, read_table

ROUTES = {"llm": ("llm",), "preference": ("preference", "task", "random")}
"""The two runs of a granularity, and the arms that are measured in each."""
TRAINED = ("preference", "task")


@dataclass(frozen=True)
class GranularityOptions:
    """The same task by coarse and by fine actions."""

    levels: tuple[str, ...] = ()
    """Which kinds of actions (values of world.actions); none takes all that the world has."""
    forecast: bool = True
    """Whether a small pilot tells the time before anything is run."""


@dataclass(frozen=True)
class Outcome:
    """What one arm came to with one kind of actions."""

    level: str
    """The kind of actions."""
    arm: str
    """llm, preference, task or random."""
    success: float | None
    """Share of episodes that were a success; of what is trained the interquartile mean over seeds; None: not made."""
    low: float | None = None
    """Lower end of the 95% interval; None where there are too few seeds for one."""
    high: float | None = None
    """Its upper end."""
    n: int = 0
    """Seeds of what is trained, episodes of what is not."""
    length: float | None = None
    """Actions of an episode, mean."""
    note: str = ""
    """What the interval is over, or why there is nothing."""


class Granularity(Analysis):
    """The same task by coarse and fine actions: act, or give feedback?"""

    options = GranularityOptions
    trains = True

    def find(self, subject: Subject, options: GranularityOptions) -> Finding:
        configs = list(planned(subject.config, levels(subject.config, options)))
        for _, config in configs:
            validate(config)
        if options.forecast:
            tell(subject.folder, configs)
        found = list[Outcome]()
        for number, (level, config) in enumerate(configs, 1):
            console.print(f"\n{level}, {LABELS[config.route]} ({number} of {len(configs)})")
            found += outcomes(level, config, folder_of(subject.folder, level, config.route))
        return finding(subject, ordered(found))


def levels(config: RunConfig, options: GranularityOptions) -> list[str]:
    """The kinds of actions to compare."""
    known = [str(value) for value in registry.load("worlds", config.world.name).choices.get("actions", ())]
    for level in options.levels:
        if level not in known:
            raise ConfigError(f"{config.world.name} has no actions {level!r}.{did_you_mean(level, known)}")
    if len(chosen := list(options.levels) or known) < 2:
        raise ConfigError(
            f"the world {Path(config.world.name).stem!r} has one kind of actions, so there is no granularity to compare; "
            "doorkey, wordle, miniwob and metaworld have several. A world of your own names them in "
            "choices = {'actions': (...)}."
        )
    return chosen


def planned(config: RunConfig, kinds: Sequence[str]) -> Iterator[tuple[str, RunConfig]]:
    """The settings of each run."""
    for level in kinds:
        world = dataclasses.replace(config.world, actions=level)
        for route, arms in ROUTES.items():
            train = dataclasses.replace(config.train, controls=tuple(arm for arm in arms if arm == "task"))
            evaluate = dataclasses.replace(config.evaluate, examples=0)
            yield level, dataclasses.replace(config, route=route, world=world, train=train, evaluate=evaluate)


def folder_of(folder: Path, level: str, route: str) -> Path:
    """Where a run stands."""
    return folder / "runs" / f"{level}-{route}"


def tell(folder: Path, configs: Sequence[tuple[str, RunConfig]]) -> None:
    """The forecast of what is still to be made."""
    hours = 0.0
    for level, config in configs:
        path = folder_of(folder, level, config.route)
        if (path / "run.json").is_file() and Run.open(path).finished("evaluate"):
            continue
        console.print(f"{level}:", markup=False)
        estimates = forecast(config, choose([arm for arm in ROUTES[config.route] if arm != "random"]))
        show(estimates, config)
        hours += sum(each.hours for each in estimates)
    if hours:
        console.print(
            f"in all about {max(1, round(60 * hours))} min; stopped, it goes on by the same command", markup=False
        )


def outcomes(level: str, config: RunConfig, folder: Path) -> list[Outcome]:
    """Carry out a run, or go on with it, and read what it came to."""
    try:
        carry_out(config, folder)
    except ConfigError as error:  # such as a route that these actions do not allow
        reason = str(error).splitlines()[0]
        console.print(f"{level}, {config.route}: {reason}", markup=False)
        return [Outcome(level, arm, None, note=reason) for arm in ROUTES[config.route]]
    rows = read_table(folder / "evaluate" / "episodes.parquet")
    return [outcome(level, arm, [row for row in rows if row["arm"] == arm]) for arm in ROUTES[config.route]]


def outcome(level: str, arm: str, rows: Sequence[dict[str, Any]]) -> Outcome:
    """One arm's success: over seeds where something is trained, else over episodes."""
    success = np.array([row["success"] for row in rows], float)
    length = float(np.mean([row["length"] for row in rows]))
    if arm not in TRAINED:
        share = float(success.mean())
        return Outcome(level, arm, share, *wilson(share, len(rows)), len(rows), length, "episodes, Wilson")
    seeds = np.array([row["seed"] for row in rows])
    found = interval([float(success[seeds == seed].mean()) for seed in np.unique(seeds)])
    ends = (found.low, found.high) if found.kind == "bootstrap" else (None, None)
    return Outcome(level, arm, found.point, *ends, found.seeds, length, found.label)


def ordered(found: Sequence[Outcome]) -> list[Outcome]:
    """The finest first: the kind of actions with which a random policy's episode takes the most of them."""
    length = {each.level: each.length or 0.0 for each in found if each.arm == "random"}
    return sorted(found, key=lambda each: -length[each.level])


def finding(subject: Subject, found: Sequence[Outcome]) -> Finding:
    """What the page says."""
    names = [(each, f"{each.level}: {LABELS[each.arm]}") for each in found]
    measures = [Measure(name, o.success, o.low, o.high, o.n, note=o.note) for o, name in names]
    rows = [Row(name, o.success, o.low, o.high, SLOTS[o.arm]) for o, name in names if o.success is not None]
    return Finding(
        headline=headline(found),
        lede=(
            f"The same model ({subject.config.llm.model}) and the same task, {len({o.level for o in found})} kinds of "
            "actions, the finest first. As a policy the model chooses each action; as a judge it gives feedback to agents "
            "that are trained, beside agents of the task reward and a random policy."
        ),
        measures=measures,
        plots=[Plot("Success", dot_rows(rows, "Success by kind of actions"), "Bars are 95% intervals.")],
        tables=[
            Table(
                "Actions of an episode",
                ["actions", *(LABELS[arm] for arm in ("llm", *ROUTES["preference"]))],
                lengths(found),
                "Mean over all evaluated episodes; one that fails lasts up to the world's limit.",
            )
        ],
        warnings=warnings(subject, found),
        facts={"outcomes": [dataclasses.asdict(each) for each in found]},
    )


def headline(found: Sequence[Outcome]) -> str:
    """The result in one sentence."""
    share = {(each.level, each.arm): each.success for each in found}
    said = [
        f"by {level} {percent(share[level, 'llm'], 1)} and {percent(share[level, 'preference'], 1)}"
        for level in dict.fromkeys(each.level for each in found)
    ]
    return f"Success of the model acting itself, and of agents trained on its feedback: {'; '.join(said)}."


def lengths(found: Sequence[Outcome]) -> list[list[Any]]:
    """A row for each kind of actions."""
    table = {(each.level, each.arm): each.length for each in found}
    return [
        [level, *(table[level, arm] for arm in ("llm", *ROUTES["preference"]))]
        for level in dict.fromkeys(each.level for each in found)
    ]


def warnings(subject: Subject, found: Sequence[Outcome]) -> list[str]:
    """What speaks against the numbers."""
    said = []
    if (seeds := subject.config.train.seeds) < MIN_SEEDS:
        said.append(
            f"{seeds} trained agents of each kind carry no claim and get no interval. More: --train.seeds {MIN_SEEDS}"
        )
    said += list(dict.fromkeys(f"{o.level}, {LABELS[o.arm]}: {o.note}" for o in found if o.success is None))
    return said
