"""How every agent did on freshly drawn episodes, and the result in one sentence, whichever way it went."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from plaudit.analysis.statistics import MIN_SEEDS, Interval, interval, paired_difference
from plaudit.config import RunConfig
from plaudit.report.tables import Tables
from plaudit.report.words import CONTROLS, REFERENCES, label, percent, signed, slots


@dataclass(frozen=True)
class Arm:
    """An agent's reward route or control, over all its seeds."""

    name: str
    """As in the recipe."""
    slot: int
    """Number of its colour."""
    by_seed: dict[int, float]
    """Success rate of each seed's agent."""
    success: Interval
    """Interquartile mean of these and what the seeds allow to say of its spread."""
    mean: float
    """Success rate over all episodes."""
    task_return: float
    """Mean return of the world's own reward."""
    length: float
    """Mean steps of an episode."""
    episodes: int
    """Episodes of all seeds together."""
    steps: int | None
    """Environment steps of each training; None without training."""
    speed: float | None
    """Environment steps per second of one training, the median over seeds."""

    @property
    def css(self) -> str:
        """Class of its lines and dots."""
        return f"c{self.slot}"

    @property
    def is_control(self) -> bool:
        """Whether no language model had a part in its reward."""
        return self.name in CONTROLS


@dataclass(frozen=True)
class Headline:
    """The result in plain words."""

    sentence: str
    """The result."""
    detail: str
    """What it stands on."""
    warning: str
    """Why it is no claim yet; empty where it may be one."""
    command: str
    """What to type for one."""


def arms(tables: Tables) -> list[Arm]:
    """Every agent and control that was evaluated, in the order of evaluation."""
    names = list(dict.fromkeys(row["arm"] for row in tables.episodes))
    colours = slots(names)
    return [_arm(tables, name, colours[name]) for name in names]


def _arm(tables: Tables, name: str, slot: int) -> Arm:
    rows = [row for row in tables.episodes if row["arm"] == name]
    seeds = sorted({row["seed"] for row in rows})
    by_seed = {s: float(np.mean([r["success"] for r in rows if r["seed"] == s])) for s in seeds}
    curves = [curve for (arm, _), curve in tables.curves.items() if arm == name]
    speeds = [curve[-1]["steps"] / max(1e-9, sum(row["seconds"] for row in curve)) for curve in curves]
    return Arm(
        name=name,
        slot=slot,
        by_seed=by_seed,
        success=interval(list(by_seed.values())),
        mean=float(np.mean([row["success"] for row in rows])),
        task_return=float(np.mean([row["task_return"] for row in rows])),
        length=float(np.mean([row["length"] for row in rows])),
        episodes=len(rows),
        steps=max((curve[-1]["steps"] for curve in curves), default=None),
        speed=float(np.median(speeds)) if speeds else None,
    )


def llm_arm(found: list[Arm]) -> Arm | None:
    """The arm that the report is about: AI feedback, else the first whose reward a language model made."""
    led = sorted((arm for arm in found if not arm.is_control), key=lambda arm: arm.name != "preference")
    return led[0] if led else None


def headline(found: list[Arm], config: RunConfig, typed: str = "") -> Headline:
    """The result, computed; an agent that is not ahead of every control has not won. ``typed`` made the run."""
    arm, controls = llm_arm(found), [a for a in found if a.is_control and a.name not in REFERENCES]
    seeds = min((len(a.by_seed) for a in found), default=0)
    are = "1 seed is" if seeds == 1 else f"{seeds} seeds are"
    warning = f"{are} too few for a claim" if seeds < MIN_SEEDS else ""
    command = more_seeds(typed, config.world.name)
    if arm is None or not controls:
        best = max(found, key=lambda a: a.mean)
        what = "No agent here was trained on an LLM's reward" if arm is None else "No control was run beside the agent"
        return Headline(f"{what}. {_who(best)} solves {percent(best.mean)} of new episodes.", "", warning, command)
    best = max(controls, key=lambda a: a.mean)
    sentence = _sentence(arm, best, next((a for a in controls if a.name == "task"), best), config)
    return Headline(sentence, _detail(arm, best), warning, command)


def more_seeds(typed: str, world: str) -> str:
    """The command that made a run, with seeds enough for a claim and a folder of its own; where unknown, the recipe's."""
    if not typed.startswith("plaudit run "):
        return f"plaudit run {world}"
    rest = re.sub(r" --(out|train\.seeds)[ =]('[^']*'|\S+)", "", typed)
    return f"{rest} --train.seeds {MIN_SEEDS} --out runs/{MIN_SEEDS}-seeds"


def _sentence(arm: Arm, best: Arm, beside: Arm, config: RunConfig) -> str:
    """``best`` is the control to beat, ``beside`` the one to name after a win."""
    alone = config.shaping.task_weight == 0
    reward = "trained only on the LLM's reward" if alone else "trained on the LLM's reward beside the task's"
    who = "The LLM, acting itself," if arm.name == "llm" else f"The agent {reward}"
    solves = f"solves {percent(arm.mean)} of new episodes"
    difference = paired_difference(arm.by_seed, best.by_seed)
    low, high = _ends(difference) if difference else (arm.mean - best.mean,) * 2
    if low > 0:
        other = "on the task reward alone" if beside.name == "task" else f"{_who(beside, start=False)},"
        return f"{who} {solves}; {other} {percent(beside.mean)}."
    if high < 0:
        return f"{who} does not win: it {solves}, {_who(best, start=False)} {percent(best.mean)}."
    return f"{who} {solves}, which these seeds cannot tell apart from {_who(best, start=False)}: {percent(best.mean)}."


def _detail(arm: Arm, best: Arm) -> str:
    each = arm.episodes // max(1, len(arm.by_seed))
    seeds = "1 seed" if len(arm.by_seed) == 1 else f"{len(arm.by_seed)} seeds"
    text = f"Mean over {seeds} of {each} freshly drawn episodes each."
    difference = paired_difference(arm.by_seed, best.by_seed)
    if difference is None:
        return text
    text += f" Difference to the best control ({label(best.name)}), paired by seed (interquartile mean): "
    text += f"{signed(difference.point)} points"
    if difference.low is None or difference.high is None:
        return f"{text} ({difference.label})."
    return f"{text} ({signed(difference.low)} to {signed(difference.high)}: {difference.label})."


def _ends(difference: Interval) -> tuple[float, float]:
    low, high = difference.low, difference.high
    return (difference.point, difference.point) if low is None or high is None else (low, high)


def _who(arm: Arm, start: bool = True) -> str:
    article = {"task": "the ", "constant": "a ", "constant-minus": "a "}.get(arm.name, "")
    untrained = {"random": "a random policy", "expert": "the scripted expert"}
    words = untrained.get(arm.name) or f"the agent trained on {article}{label(arm.name)}"
    return words[0].upper() + words[1:] if start else words
