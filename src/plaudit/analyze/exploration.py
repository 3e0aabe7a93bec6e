"""How much of the world do agents meet, and how evenly? Fresh episodes of trained agents, and a study that trains them.

``plaudit analyze exploration RUN`` lets the agents of a finished run walk the same number of steps through fresh
episodes and counts what they meet; ``plaudit analyze exploration WORLD --exploration.train`` trains agents on other
questions, segments, count exponents, judged before and while training, beside controls, and looks at these.

An agent that has learnt to finish meets little: coverage is read beside success. A seed is the unit of every interval.
What is counted is measured only; no reward reads it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from plaudit.analysis.coverage import distinct, entropy
from plaudit.analysis.statistics import MIN_SEEDS, Interval, interval, paired_difference
from plaudit.analyze import exploration_study
from plaudit.analyze.base import Analysis, Finding, Measure, Plot, Subject, Table
from plaudit.console import progress
from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.policies.random import RandomPolicy
from plaudit.report.dots import Row, dot_rows
from plaudit.report.lines import named_lines
from plaudit.report.words import label, number, percent, slots
from plaudit.rollout import walk
from plaudit.seeds import EXPLORATION_SEED
from plaudit.stages.evaluate import make_agent
from plaudit.stages.parts import arms as arms_of
from plaudit.stages.parts import make_envs, make_route, make_world
from plaudit.stages.visits import OWN, Tally
from plaudit.store import Run, read_json, read_table, write_table

BASE, DESCRIBED, HAPPENED = "preference", OWN[1], OWN[2]
RIVALS = ("count", "random", BASE)
"""Against whom differences are taken, where they are there."""


@dataclass(frozen=True)
class ExplorationOptions:
    """How much of the world agents meet."""

    steps: int = 16_384
    """Environment steps that each agent walks through fresh episodes, all the same number."""
    agents: int = 5
    """Agents of each arm of a finished run that walk, at most; those that are trained here all do."""
    train: bool = False
    """Whether agents are trained for it: wordings, segments, count exponents, judging while training, and controls."""
    arms: tuple[str, ...] = ()
    """train: which arms; none takes all."""
    seeds: int = 5
    """train: agents of each arm."""
    train_steps: int = 81_920
    """train: environment steps of each agent."""
    items: int = 200
    """train: observations or segments that each arm has judged before training."""
    episodes: int = 50
    """train: freshly drawn episodes of each agent that success is measured on."""


@dataclass(frozen=True)
class Source:
    """An arm with its agents."""

    name: str
    """As it is called here."""
    run: Run
    """The run that they are of."""
    arm: str
    """Its arm in that run."""

    @property
    def curves(self) -> dict[int, list[dict[str, Any]]]:
        """The learning curve of each seed."""
        paths = {s: self.run.folder / "train" / f"{self.arm}-{s}" for s in range(self.run.config.train.seeds)}
        return {s: read_table(p / "curve.parquet") for s, p in paths.items() if (p / "curve.parquet").exists()}


@dataclass(frozen=True)
class Walked:
    """What one agent met."""

    arm: str
    """Whose."""
    seed: int
    """Which of them."""
    met: dict[str, int]
    """By kind, how many different things."""
    entropy: dict[str, float]
    """By kind, entropy of the visits, nats, corrected for the sample's size."""
    success: float | None
    """Share of its evaluation's episodes that the world called a success; None where there was none."""


class Exploration(Analysis):
    """How much of the world do agents meet, and how evenly?"""

    options: ClassVar[type[Any]] = ExplorationOptions

    def find(self, subject: Subject, options: ExplorationOptions) -> Finding:
        sources = _studied(subject, options) if options.train else _own(subject)
        world = make_world(subject.config.world)
        walked = list(_walk(subject, sources, world, options))
        world.close()
        rows = [
            {"arm": w.arm, "seed": w.seed, "success": w.success}
            | {f"met {k}": v for k, v in w.met.items()}
            | {f"entropy {k}": v for k, v in w.entropy.items()}
            for w in walked
        ]
        write_table(subject.folder / "agents.parquet", rows)
        return finding(walked, sources, options)


def _own(subject: Subject) -> list[Source]:
    """The arms of the run whose agents can walk; none where a world alone was named."""
    if subject.run is None:
        return []
    run = subject.finished_run("evaluate")
    acts = [arm for arm in arms_of(run.config) if make_route(arm).trains or arm == "random"]
    return [Source(arm, run, arm) for arm in acts]


def _studied(subject: Subject, options: ExplorationOptions) -> list[Source]:
    config = exploration_study.settings(
        subject.config, options.train_steps, options.seeds, options.items, options.episodes
    )
    folder = subject.folder / "study"
    exploration_study.study(config, exploration_study.arms(config, options.arms), folder)
    done = [arm for arm in read_json(folder / "compare.json")["arms"] if arm["status"] == "done"]
    return [Source(arm["name"], Run.open(folder / arm["folder"]), arm["route"]) for arm in done]


def _walk(subject: Subject, sources: Sequence[Source], world: World, options: ExplorationOptions) -> Iterator[Walked]:
    copies = min(subject.config.train.num_envs, type(world).most_copies)
    with contextlib.closing(make_envs(subject.config.world, copies)) as envs:
        yield from _walk_in(envs, sources, world, options)


def _walk_in(envs: Any, sources: Sequence[Source], world: World, options: ExplorationOptions) -> Iterator[Walked]:
    if not sources:
        with progress("walk", options.agents) as advance:
            for seed in range(options.agents):
                yield _met("random", seed, RandomPolicy(world.action_space, seed), world, envs, options.steps, None)
                advance(1)
        return
    agents = [(each, seed) for each in sources for seed in range(_walkers(each, options))]
    with progress("walk", len(agents)) as advance:
        for source, seed in agents:
            table = read_table(source.run.folder / "evaluate" / "episodes.parquet")
            won = [row["success"] for row in table if row["arm"] == source.arm and row["seed"] == seed]
            with make_agent(source.run, source.arm, seed, world) as policy:
                success = float(np.mean(won)) if won else None
                yield _met(source.name, seed, policy, world, envs, options.steps, success)
            advance(1)


def _walkers(source: Source, options: ExplorationOptions) -> int:
    """How many of an arm's agents; of those that were trained for this no seed is dropped."""
    seeds = source.run.config.train.seeds
    return seeds if options.train else min(options.agents, seeds)


def _met(name: str, seed: int, policy: Policy, world: World, envs: Any, steps: int, success: float | None) -> Walked:
    """So many steps of one agent, in the same layouts for every agent."""
    tally = Tally(world)
    for made in islice(walk(envs, policy, EXPLORATION_SEED), max(1, steps // envs.num_envs)):
        tally.add(made.after)
    counts = tally.counts
    even = {kind: entropy(each, corrected=True) for kind, each in counts.items()}
    return Walked(name, seed, {kind: distinct(each) for kind, each in counts.items()}, even, success)


def finding(walked: Sequence[Walked], sources: Sequence[Source], options: ExplorationOptions) -> Finding:
    """Numbers, pictures and tables of what was met."""
    names, kinds = list(dict.fromkeys(w.arm for w in walked)), list(walked[0].met)
    by_arm = {name: [w for w in walked if w.arm == name] for name in names}
    met = {name: interval([w.met[DESCRIBED] for w in each]) for name, each in by_arm.items()}
    even = {name: interval([w.entropy[DESCRIBED] for w in each]) for name, each in by_arm.items()}
    shares = {name: [w.success for w in each if w.success is not None] for name, each in by_arm.items()}
    won = {name: interval(each) for name, each in shares.items() if each}
    most = max(names, key=lambda name: met[name].point)
    said = f"In {options.steps:,} fresh steps {label(most)} meets {_with(met[most])} different descriptions"
    said += f" ({met[most].label})" if met[most].kind == "range" else ""
    others = [name for name in RIVALS if name in names and name != most]
    said += "".join(f", {label(name)} {_with(met[name])}" for name in others[:2])
    best = max(won, key=lambda name: won[name].point, default="")
    if best and won[best].point > 0:
        said += f"; most success: {label(best)}, {percent(won[best].point, 0)}"
    return Finding(
        headline=said + ".",
        lede=_lede(bool(sources), options),
        measures=[*_measures(met, even, by_arm, kinds), *_success(won)],
        plots=_plots(by_arm, met, even, won, sources),
        tables=[
            t for t in (_arms_table(by_arm, kinds), _differences(by_arm), _online(sources), _recorded(sources)) if t
        ],
        warnings=_warnings(by_arm, sources),
        facts={name: {"met": m.point, "entropy": even[name].point} for name, m in met.items()},
    )


def _lede(trained: bool, options: ExplorationOptions) -> str:
    whose = "Every agent" if trained else "A random policy"
    return (
        f"{whose} walks {options.steps:,} environment steps through fresh episodes, every one through the same layouts. "
        "Different descriptions are what a judge would be shown, events what has just happened. Entropy is of the visits: "
        "e to its power is the number of things that would give it if all were met equally often. An agent that has learnt "
        "to finish meets what lies on its way, so coverage is to be read beside success."
    )


def _number(value: float) -> str:
    """Three digits or a little more: a count of hundreds needs no decimals."""
    return number(value, 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2)


def _with(found: Interval) -> str:
    bounds = "" if found.low is None or found.high is None else f" ({_number(found.low)} to {_number(found.high)})"
    return f"{_number(found.point)}{bounds}"


def _measure(name: str, found: Interval, share: bool = False) -> Measure:
    """An interval only where the seeds allow one; else their range, in words."""
    whole = found.kind == "bootstrap"
    low, high = (found.low, found.high) if whole else (None, None)
    say = percent if share else _number
    span = "" if found.low is None or found.high is None else f": {say(found.low)} to {say(found.high)}"
    return Measure(name, found.point, low, high, found.seeds, share=share, note="" if whole else found.label + span)


def _measures(
    met: dict[str, Interval], even: dict[str, Interval], by_arm: dict[str, list[Walked]], kinds: Sequence[str]
) -> list[Measure]:
    found = [_measure(f"different descriptions: {label(name)}", each) for name, each in met.items()]
    found += [_measure(f"entropy of visits, nats: {label(name)}", each) for name, each in even.items()]
    for kind in (HAPPENED, *(kind for kind in kinds if kind not in OWN)):
        found += [
            _measure(f"different {kind}s: {label(name)}", interval([w.met[kind] for w in each]))
            for name, each in by_arm.items()
        ]
    return found


def _success(won: dict[str, Interval]) -> list[Measure]:
    return [_measure(f"success: {label(name)}", each, share=True) for name, each in won.items()]


def _plots(
    by_arm: dict[str, list[Walked]],
    met: dict[str, Interval],
    even: dict[str, Interval],
    won: dict[str, Interval],
    sources: Sequence[Source],
) -> list[Plot]:
    colours = slots(list(by_arm))

    def rows(found: dict[str, Interval], seeds: dict[str, list[float]]) -> list[Row]:
        return [Row(label(n), f.point, f.low, f.high, colours[n], seeds[n]) for n, f in found.items()]

    note = "Rings are seeds, the dot is their interquartile mean, the bar its 95% interval (below 5 seeds: the range)."
    seen = {name: [float(w.met[DESCRIBED]) for w in each] for name, each in by_arm.items()}
    spread = {name: [w.entropy[DESCRIBED] for w in each] for name, each in by_arm.items()}
    found = [
        Plot("Different descriptions", dot_rows(rows(met, seen), "Different descriptions by arm", share=False), note)
    ]
    found.append(
        Plot("Entropy of the visits, nats", dot_rows(rows(even, spread), "Entropy of visits by arm", share=False), note)
    )
    if won:
        shares = {name: [w.success or 0.0 for w in by_arm[name]] for name in won}
        found.append(Plot("Success", dot_rows(rows(won, shares), "Success by arm"), note))
    lines = [(s, _mean_curve(s, f"met_{DESCRIBED}")) for s in sources]
    drawn = [(label(s.name), colours[s.name], *curve) for s, curve in lines if curve is not None]
    if drawn:
        svg = named_lines(drawn, "Different descriptions met in training, over environment steps")
        found.append(
            Plot("Met in training, over environment steps", svg, "Different descriptions so far, mean of the seeds.")
        )
    return found


def _mean_curve(source: Source, column: str) -> tuple[list[float], list[float]] | None:
    """(steps, mean over the seeds) of a column of the learning curves; None where it was not counted."""
    curves = [c for c in source.curves.values() if c and column in c[0]]
    if not curves:
        return None
    length = min(map(len, curves))
    steps = [float(row["steps"]) for row in curves[0][:length]]
    return steps, np.mean([[row[column] for row in curve[:length]] for curve in curves], axis=0).tolist()


def _arms_table(by_arm: dict[str, list[Walked]], kinds: Sequence[str]) -> Table:
    rows = []
    for name, each in by_arm.items():
        cells: list[Any] = [label(name), name]
        cells += [_with(interval([w.met[kind] for w in each])) for kind in kinds]
        cells += [_with(interval([w.entropy[kind] for w in each])) for kind in (DESCRIBED, HAPPENED)]
        success = [w.success for w in each if w.success is not None]
        rows.append([*cells, percent(float(interval(success).point), 1) if success else "–"])
    columns = ["arm", "name", *(f"{kind}s" for kind in kinds), "entropy: descriptions", "entropy: events", "success"]
    return Table(
        "What each arm's agents met", columns, rows, "Interquartile mean over seeds, and its interval or range."
    )


def _differences(by_arm: dict[str, list[Walked]]) -> Table | None:
    rows = []
    for rival in (name for name in RIVALS if name in by_arm):
        theirs = {w.seed: w for w in by_arm[rival]}
        for name, each in by_arm.items():
            mine = {w.seed: w for w in each}
            pairs = [
                paired_difference({s: take(w) for s, w in mine.items()}, {s: take(w) for s, w in theirs.items()})
                for take in (lambda w: float(w.met[DESCRIBED]), lambda w: w.entropy[DESCRIBED])
            ]
            if name != rival and all(pairs):
                rows.append([label(name), label(rival), *(_with(p) for p in pairs if p is not None)])
    note = (
        "Paired by seed, which is the same layouts and first weights; an interval from 5 seeds on, else the range. Each "
        "number stands for itself: of twenty intervals about one leaves out 0 by chance."
    )
    columns = ["arm", "against", "more descriptions", "more entropy, nats"]
    return Table("Differences", columns, rows, note) if rows else None


def _online(sources: Sequence[Source]) -> Table | None:
    """How far judging lagged behind training, where it was done beside."""
    rows = []
    for source in sources:
        for seed in range(source.run.config.train.seeds):
            folder = source.run.folder / "train" / f"{source.arm}-{seed}"
            if (folder / "online.parquet").exists():
                asked, curve = read_table(folder / "online.parquet"), read_table(folder / "curve.parquet")
                used = [row for row in asked if row["used"] is not None]
                lag = float(np.median([row["used"] - row["met"] for row in used])) if used else None
                seconds = [row["seconds"] for row in used if row["seconds"] is not None]
                wall = float(np.median(seconds)) if seconds else None
                rows.append([label(source.name), seed, len(asked), len(used), lag, wall, curve[-1]["online_waiting"]])
    columns = ["arm", "seed", "judged", "trained on", "lag, steps", "lag, s", "waiting at the end"]
    note = "Lag: from meeting an observation to training on what its answer taught (median)."
    return Table("Judged beside the training", columns, rows, note) if rows else None


def _recorded(sources: Sequence[Source]) -> Table | None:
    """What the episodes met that the run has recorded."""
    rows = []
    for run in dict.fromkeys(source.run for source in sources):
        path = run.folder / "evaluate" / "examples.parquet"
        steps = read_table(path, ["arm", "episode", "text"]) if path.exists() else []
        for source in (s for s in sources if s.run is run):
            texts: dict[int, list[str]] = {}
            for row in steps:
                if row["arm"] == source.arm:
                    texts.setdefault(row["episode"], []).append(row["text"])
            if texts:
                each = [len({*said}) for said in texts.values()]
                lengths = [len(said) for said in texts.values()]
                rows.append([label(source.name), len(texts), float(np.mean(each)), float(np.mean(lengths))])
    columns = ["arm", "episodes", "different descriptions in each", "steps in each"]
    return Table("Recorded example episodes", columns, rows, "Of the first agent of each arm.") if rows else None


def _warnings(by_arm: dict[str, list[Walked]], sources: Sequence[Source]) -> list[str]:
    found = []
    fewest = min(map(len, by_arm.values()))
    if fewest < MIN_SEEDS:
        seeds = "1 seed" if fewest == 1 else f"{fewest} seeds"
        found.append(f"{seeds}: no intervals, ranges at most; {MIN_SEEDS} seeds and more allow a claim.")
    if not sources:
        found.append(
            "A world alone has no agents: this is a random policy. Train some for comparison: --exploration.train, or give "
            "the folder of a finished run."
        )
    return found
