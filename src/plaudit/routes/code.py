"""Reward as code: the LLM writes a program, which runs in a sandbox.

annotate asks for programs, checks each on recorded transitions, sends errors back for repair, and writes
``attempts.parquet`` (everything that was asked and answered) and ``reward.py`` (the one that is kept). A model that cannot
write one that works is a result: the stage fails with the reasons counted. fit writes the reward of everything that
was collected. With ``code.reflections`` an agent is trained on each program in between, and how that went, the world's
own success among it, is told to the LLM (Eureka, arXiv 2310.12931): that is more than other routes are told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit import prompts
from plaudit.config import RunConfig
from plaudit.console import answers, console
from plaudit.errors import StoreError
from plaudit.recording import load_recording
from plaudit.routes import base
from plaudit.stages.parts import llm_spend, make_world, open_llm
from plaudit.store import Run, atomic, write_table

if TYPE_CHECKING:
    from plaudit.envs.base import World
    from plaudit.llms.base import LLM
    from plaudit.rewards.base import RewardFn
    from plaudit.rewards.code import CodeReward
    from plaudit.rewards.code_writer import Attempt, CodeWriter
    from plaudit.rewards.sandbox import Limits, Pair
    from plaudit.rewards.shaping import Shaping
    from plaudit.routes.base import Met

PAIRS = 4000
"""Recorded transitions that programs are checked on, drawn evenly over what happened."""


class Code(base.Route):
    """Reward as code: the LLM writes a program, which runs in a sandbox."""

    asks = makes_reward = may_end_early = True

    def check(self, config: RunConfig, world: World) -> None:
        from importlib.util import find_spec

        from plaudit.errors import MissingExtraError

        if config.code.prompt:
            prompts.load(config.code.prompt)
        if find_spec("pydantic_monty") is None:
            raise MissingExtraError("reward programs need pydantic-monty. Type: pip install 'plaudit[code]'")

    def pilot(self, config: RunConfig, world: World, llm: LLM, met: Met) -> tuple[int, int]:
        from dataclasses import replace

        features = [world.features(o) for o in met.observations]
        pairs = list(pairwise(features))
        short = replace(config, code=replace(config.code, candidates=1, rounds=1))
        _writer(short, world, llm, pairs).write()
        return config.code.candidates * config.code.rounds, 1

    def annotate(self, run: Run) -> None:
        start, world = time.perf_counter(), make_world(run.config.world)
        pairs, _ = recorded_pairs(run, world)
        options = run.config.code
        asked = options.candidates * options.rounds * (1 + options.reflections)
        attempts: list[Attempt] = []
        with open_llm(run) as llm, answers("write reward programs, at most", asked, run.budget) as arrived:
            writer = _writer(run.config, world, llm, pairs)
            written = writer.write(arrived)
            attempts += written.attempts
            _keep(run, attempts)
            best = written.require()
            for number in range(options.reflections):
                best = _reflect(run, writer, best, number, attempts, arrived)
            model = llm.name
        with atomic(run.folder / "annotate" / "reward.py") as file:
            file.write((best.program + "\n").encode())
        good = sum(a.status == "ok" for a in attempts)
        run.finish(
            "annotate",
            time.perf_counter() - start,
            model=model,
            programs=len(attempts),
            working=good,
            failures=1 - good / len(attempts),
            prompt_text=attempts[0].prompt,
            **llm_spend(run),
        )
        console.print(f"annotate: {good} of {len(attempts)} programs work ({time.perf_counter() - start:.1f} s)")

    def fit(self, run: Run) -> None:
        start, world = time.perf_counter(), make_world(run.config.world)
        recording = load_recording(run.folder / "collect")
        texts = [world.describe(o) for o in recording.single_observations()]
        pairs, steps = recorded_pairs(run, world)
        reward = program_reward(run, world)
        values = reward.sandbox.rewards(pairs)
        reward.close()
        sums: dict[str, list[float]] = {}
        for step, value in zip(steps, values, strict=True):
            sums.setdefault(texts[recording.after[step]], []).append(float(value))
        base.save_rewards(run, list(sums), [float(np.mean(v)) for v in sums.values()], None, values)
        run.finish("fit", time.perf_counter() - start, pairs=len(pairs), mean=float(values.mean()),
                   std=float(values.std()))  # fmt: skip

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        run.require("fit")
        return program_reward(run, world), base.shaping(run)


def recorded_pairs(run: Run, world: World) -> tuple[list[Pair], list[int]]:
    """Distinct recorded transitions as pairs of features, evenly over what happened, and the step of each."""
    from plaudit.judging.selection import evenly
    from plaudit.rewards.code import plain_features

    recording = load_recording(run.require("collect"))
    observations = recording.single_observations()
    _, first = np.unique(np.stack([recording.before, recording.after]), axis=1, return_index=True)
    events = [world.event(observations[recording.after[i]]) for i in first]
    chosen = [int(first[i]) for i in evenly(events, np.random.default_rng(run.config.seed))[:PAIRS]]
    facts: dict[int, Any] = {}
    for i in {int(j) for s in chosen for j in (recording.before[s], recording.after[s])}:
        facts[i] = plain_features(world.features(observations[i]))
    return [(facts[int(recording.before[s])], facts[int(recording.after[s])]) for s in chosen], chosen


def program_reward(run: Run, world: World) -> CodeReward:
    """The kept program as a reward function."""
    from plaudit.rewards.code import CodeReward

    path = run.folder / "annotate" / "reward.py"
    try:
        program = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}. Type: plaudit annotate {run.folder}") from None
    return CodeReward(program, world.features, _limits(run.config))


def _limits(config: RunConfig) -> Limits:
    from plaudit.rewards.sandbox import Limits

    return Limits(seconds=config.code.seconds, memory_mb=config.code.memory_mb)


def _writer(config: RunConfig, world: World, llm: LLM, pairs: Sequence[Pair]) -> CodeWriter:
    from plaudit.rewards.code_writer import CodeWriter, WriterOptions

    code = config.code
    options = WriterOptions(
        candidates=code.candidates,
        rounds=code.rounds,
        temperature=code.temperature,
        max_tokens=code.max_tokens,
        chat=code.chat,
        prompt=code.prompt or "code",
        seed=config.seed,
    )
    return CodeWriter(llm, world.goal, world.rules, pairs, options, _limits(config))


def _keep(run: Run, attempts: list[Attempt]) -> None:
    write_table(run.folder / "annotate" / "attempts.parquet", [asdict(a) for a in attempts])


def _reflect(
    run: Run, writer: CodeWriter, best: Attempt, number: int, attempts: list[Attempt], arrived: Any
) -> Attempt:
    """Train on the program, tell the LLM how that went; of the old and the new program the one with more success."""
    from plaudit.routes.trial import trial

    before = trial(run, best.program, _limits(run.config), number)
    written = writer.reflect(best.program, before.components, before.words, arrived)
    attempts += written.attempts
    _keep(run, attempts)
    if written.best is None:
        return best
    after = trial(run, written.best.program, _limits(run.config), number)
    return written.best if after.success >= before.success else best
