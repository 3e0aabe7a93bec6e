"""forecast: what a comparison will cost in tokens, money and hours, from a small pilot in the real world and model.

The pilot walks a random policy through the world, asks the model a few of the questions that each arm would ask, and
times a few updates of training. Nothing is kept. Questions are counted as the arms will ask them, where an acting LLM
asks each distinct situation once: as many as a random policy meets in as many episodes. Figures behind a
"~" depend on how things go (programs that work, situations that come again).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from plaudit.config import RunConfig
from plaudit.console import console, progress
from plaudit.envs.base import World
from plaudit.errors import PlauditError
from plaudit.llms.base import LLM
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.policies.examples import RecordedStep
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import Recorder, walk
from plaudit.routes.base import Met
from plaudit.routes.direct import words
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.arms import Arm
from plaudit.stages.parts import cores, evaluation_envs, make_route, make_world, open_shared_llm
from plaudit.world_file import title

SAMPLE = 12
"""Situations that each arm's questions are tried on."""
UPDATES = 3
"""Updates of training that are timed."""


@dataclass(frozen=True)
class Forecast:
    """What one arm will cost."""

    arm: Arm
    """The arm."""
    questions: int
    """Questions to the model."""
    tokens: int
    """Tokens read and written."""
    usd: float
    """Money."""
    hours: float
    """Wall time, asking and training on this machine's processors."""
    rough: bool
    """Whether it depends on how things go: it may well be less."""
    problem: str = ""
    """Why it cannot be told, or why the arm will fail; empty otherwise."""


@dataclass(frozen=True)
class Pilot:
    """What the pilot's walk has met."""

    met: Met
    """What there is to ask about."""
    collect_seconds: float
    """Time of collecting, for the settings' number of steps."""
    train_seconds: float
    """Time of training one agent."""


def forecast(config: RunConfig, arms: list[Arm]) -> list[Forecast]:
    """One forecast for each arm."""
    world = make_world(config.world)
    asks = [arm for arm in arms if make_route(arm.route).asks]
    with progress("pilot", 1 + len(asks)) as advance:
        pilot = _pilot(config, world, {arm.config(config).policy.history for arm in asks})
        advance(1)
        with open_shared_llm(config) if asks else contextlib.nullcontext() as llm:
            found = []
            for arm in arms:
                found.append(_forecast(arm, arm.config(config), world, pilot, llm))
                advance(1 if arm in asks else 0)
            return found


def _pilot(config: RunConfig, world: World, histories: set[int]) -> Pilot:
    """A random policy walks as many episodes, as long, as an acting LLM would."""
    from plaudit.rl.agents import make_trainer
    from plaudit.stages.train import wrapped_task

    start, acting = time.perf_counter(), config.policy
    length = acting.max_steps or 200
    envs = evaluation_envs(config.world, acting.episodes * config.train.seeds)
    copies = envs.num_envs
    recorder, policy = Recorder(copies, copies * length), RandomPolicy(world.action_space, 0)
    for made in islice(walk(envs, policy, CALIBRATION_SEED), length):
        recorder.add(made)
    recording = recorder.recording()
    steps = [s for s in words(recording, world) if s.episode < copies]  # the first episode of each copy
    each = (time.perf_counter() - start) / (length * copies)
    observations = {world.describe(o): o for o in recording.single_observations()}
    some = list(observations.values())[:: max(1, len(observations) // SAMPLE)][:SAMPLE]
    met = Met(some, {n: situations(steps, n) for n in {0, *histories}}, steps)
    trainer = make_trainer(config.train, wrapped_task(config), 0)
    seconds = float(np.median([trainer.update().seconds for _ in range(UPDATES)]))
    updates = config.train.steps / (config.train.num_envs * config.train.horizon)
    return Pilot(met, each * config.collect.steps, seconds * updates)


def situations(steps: Sequence[RecordedStep], history: int) -> int:
    """How many different situations there are, when so many earlier steps of the episode belong to one."""
    found = set()
    for i, step in enumerate(steps):
        past = steps[max(0, i - min(history, step.step)) : i]
        found.add((step.text, *((s.text, s.action) for s in past)))
    return len(found)


def _forecast(arm: Arm, config: RunConfig, world: World, pilot: Pilot, llm: LLM | None) -> Forecast:
    from plaudit.stages.train import judged_beside

    route = make_route(arm.route)
    training = pilot.train_seconds * config.train.seeds / min(config.train.seeds, cores()) if route.trains else 0.0
    try:
        route.check(config, world)
        if not route.asks or llm is None:
            return Forecast(arm, 0, 0, 0.0, training / 3600, False)
        # A ledger of its own: what comes twice is asked once, as the run will, and what was asked is counted.
        meter, start = LedgerLLM(llm, Ledger(Path(":memory:"))), time.perf_counter()
        planned, asked = route.pilot(config, world, meter, pilot.met)
        # What a shared ledger knew already counts as asked, and took its time then.
        seconds = max(time.perf_counter() - start, meter.ledger.spend().seconds)
    except PlauditError as error:
        return Forecast(arm, 0, 0, 0.0, training / 3600, False, str(error).splitlines()[0])
    beside = config.online.questions * config.train.seeds if judged_beside(config, config.route) else 0
    factor, in_time = (planned + beside) / max(1, asked), planned / max(1, asked)
    return Forecast(
        arm,
        round(meter.budget.questions * factor),
        round(meter.budget.tokens * factor),
        meter.budget.usd * factor,
        (seconds * in_time + training) / 3600,  # what is asked beside training is not waited for
        route.may_end_early or beside > 0,
    )


def show(found: list[Forecast], config: RunConfig) -> None:
    """The table for the terminal."""
    from rich.table import Table

    table = Table(title=f"forecast: {title(config.world.name)}, {config.train.seeds} seeds, model {config.llm.model}")
    for column in ("arm", "questions", "tokens", "money", "time"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for f in found:
        most = "~ " if f.rough else ""
        cells = (f"{most}{f.questions:,}", f"{most}{f.tokens:,}", f"${f.usd:,.2f}", most + _duration(f.hours))
        table.add_row(f.arm.name, *(cells if not f.problem else ("", "", "", "")))
    total = (sum(f.questions for f in found), sum(f.tokens for f in found), sum(f.usd for f in found))
    table.add_section()
    table.add_row("all", f"{total[0]:,}", f"{total[1]:,}", f"${total[2]:,.2f}", _duration(sum(f.hours for f in found)))
    console.print(table)
    for f in found:
        if f.problem:
            console.print(f"{f.arm.name}: {f.problem}")


def _duration(hours: float) -> str:
    return f"{hours * 3600:.0f} s" if hours < 0.025 else f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"
