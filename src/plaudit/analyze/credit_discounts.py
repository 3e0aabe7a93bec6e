"""The causal test of ``credit``: agents trained with several discounts, on the run's own reward and on controls.

A reward that speaks long before success lets even an agent act well that looks few steps ahead. Novelty alone does so too:
hence it is a control. Every discount has a run of its own in the analysis' folder, with links to the stages of the run that
made its reward; what is trained stays, and a stopped test goes on. Agents differ in the discount alone, and are measured
on evaluation's episodes, as all agents are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from plaudit.analysis.statistics import MIN_SEEDS, Interval, interval, paired_difference
from plaudit.analyze.base import Finding, Measure, Plot, Table
from plaudit.analyze.rewards import borrow, success
from plaudit.config_rules import WITH_LLM
from plaudit.console import console
from plaudit.errors import ConfigError
from plaudit.report.canvas import short
from plaudit.report.curves import Point
from plaudit.report.lines import Line, lines
from plaudit.report.words import label, number, percent
from plaudit.stages import run_stages
from plaudit.stages.parts import make_route
from plaudit.store import Run

TASK = "task"
"""The task reward, which is beside the run's own always."""
LEARNED = 0.1
"""Gain in success over a random policy below which agents have learned too little to say anything."""


@dataclass(frozen=True)
class Test:
    """What is trained."""

    discounts: Sequence[float]
    controls: Sequence[str] = ()
    """Rewards beside the run's own and the task's, of those that ask no model."""
    seeds: int = 5
    steps: int = 0
    """Environment steps of each agent; 0 for as many as the run's had."""


@dataclass(frozen=True)
class Trained:
    """Agents of one reward and discount."""

    arm: str
    """Whose reward."""
    gamma: float
    """Their discount."""
    success: dict[int, float]
    """Seed to share of episodes that succeed."""
    random: float = 0.0
    """What a random policy comes to on the same episodes."""

    @property
    def score(self) -> Interval:
        """Over the seeds."""
        return interval(list(self.success.values()))


def check(test: Test) -> None:
    """Raise where agents can not be trained so."""
    for control in test.controls:
        route = make_route(control)
        if not route.trains or control in WITH_LLM:
            raise ConfigError(
                f"--credit.controls {control}: a control is a reward that is made without a model and that agents are "
                "trained on, for instance count (plaudit list --routes). Another route by each discount: plaudit compare "
                "WORLD --train.gamma 0.9"
            )
    for gamma in test.discounts:
        if not 0 <= gamma < 1:
            raise ConfigError(
                f"a discount is at least 0 and below 1, got {gamma}. For instance: --credit.discounts 0 0.9 0.99"
            )


def train(run: Run, folder: Path, test: Test) -> list[Trained]:
    """Train and measure the agents of every discount; those that are finished stay."""
    own, found = run.config.route, list[Trained]()
    beside = [control for control in dict.fromkeys(test.controls) if control not in (own, TASK)]
    for gamma in sorted(set(test.discounts)):
        console.rule(f"agents with a discount of {gamma:g}")
        scores = _scores(_part(run, folder / "discounts", gamma, test))
        for control in beside:  # each in a run of its own, so that one more trains no other again
            scores |= _scores(_part(run, folder / "discounts", gamma, test, control))
        level = sum(scores["random"].values()) / len(scores["random"])
        found += [Trained(arm, gamma, scores[arm], level) for arm in dict.fromkeys((own, TASK, *beside))]
    return found


def _part(run: Run, folder: Path, gamma: float, test: Test, control: str = "") -> Run:
    """The run of one discount: of the reward of the run that is analysed and the task's, or of another control."""
    steps = test.steps or run.config.train.steps
    train = dataclasses.replace(run.config.train, gamma=gamma, seeds=test.seeds, steps=steps, controls=(TASK,))
    evaluate = dataclasses.replace(run.config.evaluate, examples=0)
    made = dataclasses.replace(run.config, train=train, evaluate=evaluate)
    if control:  # without what is another route's
        alone, unasked = dataclasses.replace(train, controls=()), dataclasses.replace(made.online, beside=False)
        made = dataclasses.replace(made, route=control, train=alone, online=unasked)
    part = Run.create(folder / f"{gamma:g}-{steps}-steps-{test.seeds}-seeds{'-' * bool(control)}{control}", made)
    part.budget = run.budget
    borrow(run, part)
    return part


def _scores(part: Run) -> dict[str, dict[int, float]]:
    """Share of episodes that succeed, by arm and seed; trained and measured where it is not yet."""
    run_stages(part, ("train", "evaluate"))
    return success(part.folder / "evaluate" / "episodes.parquet")


def finding(found: Sequence[Trained], route: str) -> Finding:
    """What the discounts say, as measures, a plot, a table and warnings."""
    arms, level = list(dict.fromkeys(each.arm for each in found)), found[0].random
    best, seeds = max(each.score.point for each in found), min(len(each.success) for each in found)
    needed = {arm: _needed([each for each in found if each.arm == arm], (best + level) / 2) for arm in arms}
    warnings = [] if seeds >= MIN_SEEDS else [f"Success by discount stands on {seeds} seeds: ranges, not intervals."]
    if best - level < LEARNED:
        warnings.append(
            f"No agents do better than a random policy by {percent(LEARNED)}: train them longer (--credit.train-steps)."
        )
    title, columns = "Success by the agent's discount", ["reward", "discount", "success", "seeds"]
    rows = [[label(each.arm), each.gamma, _written(each.score), seeds] for each in found]
    legend = f"Across: discount. {found[0].score.label}. Broken line: a random policy."
    meaning = "A good reward shortens the horizon that is needed: it succeeds at lower discounts."
    return Finding(
        headline=_headline(needed) if best - level >= LEARNED else "",
        measures=[_measure(arm, gamma) for arm, gamma in needed.items()] + _differences(found, route),
        plots=[Plot(title, _picture(found, arms, level), legend)],
        tables=[Table(title, columns, rows, meaning)],
        warnings=warnings,
        facts={"discounts": [{"arm": e.arm, "gamma": e.gamma, "success": list(e.success.values())} for e in found]},
    )


def _picture(found: Sequence[Trained], arms: Sequence[str], level: float) -> Markup:
    """A line for each reward; discounts stand side by side, since what matters of them crowds near 1."""
    discounts = _discounts(found)
    series = [_line(arm, slot, found) for slot, arm in enumerate(arms, 1)]  # 0 is the value's, in the other pictures
    ends = (-0.3, len(discounts) - 0.7)
    labels = (lambda x: short(discounts[round(x)]), percent)
    return lines(series, "Success over the discount", ends, (0, 1), labels, [(end, level) for end in ends],
                 range(len(discounts)))  # fmt: skip


def _discounts(found: Sequence[Trained]) -> list[float]:
    return sorted({each.gamma for each in found})


def _line(arm: str, slot: int, found: Sequence[Trained]) -> Line:
    places = {gamma: float(i) for i, gamma in enumerate(_discounts(found))}
    scores = [(places[each.gamma], each.score) for each in found if each.arm == arm]
    return Line(label(arm), [Point(x, s.point, s.low, s.high) for x, s in scores], slot, dotted=True)


def _needed(found: Sequence[Trained], half: float) -> float | None:
    """Smallest discount with at least this success."""
    return next((each.gamma for each in found if each.score.point >= half), None)


def _measure(arm: str, gamma: float | None) -> Measure:
    half = "half-way from a random policy to the best success of any agents"
    steps = 0 if gamma is None else round(1 / (1 - min(gamma, 0.9999)))
    horizon = f"a horizon of about {steps:,} step{'' if steps == 1 else 's'}" if steps else "none of them"
    return Measure(f"smallest discount that does: {label(arm)}", gamma, share=False, note=f"{horizon} gets {half}")


def _differences(found: Sequence[Trained], route: str) -> list[Measure]:
    """Success over all discounts alike, of the run's reward against each control, paired by seed."""
    means: dict[str, dict[int, float]] = {}
    for row in by_seed(found):
        means.setdefault(row["arm"], {})[row["seed"]] = row["success"]
    measures = []
    for control in (arm for arm in means if arm != route):
        if gap := paired_difference(means[route], means[control]):
            name = f"success over all discounts: {label(route)} less {label(control)}"
            measures.append(Measure(name, gap.point, gap.low, gap.high, gap.seeds, chance=0.0, note=gap.label))
    return measures


def by_seed(found: Sequence[Trained]) -> list[dict[str, Any]]:
    """For each reward and seed, success over all discounts alike; seeds that every discount has."""
    rows = list[dict[str, Any]]()
    for arm in dict.fromkeys(each.arm for each in found):
        of_arm = [each.success for each in found if each.arm == arm]
        shared = set.intersection(*(set(each) for each in of_arm))
        rows += [
            {"arm": arm, "seed": seed, "success": sum(each[seed] for each in of_arm) / len(of_arm)}
            for seed in sorted(shared)
        ]
    return rows


def _written(score: Interval) -> str:
    span = "" if score.low is None else f" ({percent(score.low, 0)} to {percent(score.high, 0)})"
    return percent(score.point, 1) + span


def _headline(needed: dict[str, float | None]) -> str:
    said = [
        f"{label(arm)} needs {'more than any of these' if gamma is None else f'a discount of {number(gamma)}'}"
        for arm, gamma in needed.items()
    ]
    return f"To come half-way to the best success, {', '.join(said)}."
