"""Direct scalar: the LLM gives each observation (or segment) a number.

A network is fitted to the numbers (``fit``), or, with ``fit.online``, the LLM is asked about each new observation while
the agent trains; what it has said is remembered in the run's ledger, across agents and runs. annotate writes
``judgements.parquet``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit.config import RunConfig
from plaudit.errors import ConfigError
from plaudit.routes import base
from plaudit.store import Run, read_batches
from plaudit.types import Judgement

if TYPE_CHECKING:
    from plaudit.envs.base import World
    from plaudit.llms.base import LLM
    from plaudit.rewards.base import RewardFn
    from plaudit.rewards.shaping import Shaping
    from plaudit.routes.base import Met


class Scalar(base.Route):
    """Direct scalar: the LLM's own number for each observation."""

    asks = makes_reward = True
    protocols = ("scale", "rating", "pointwise")

    def check(self, config: RunConfig, world: World) -> None:
        from plaudit.routes import feedback

        feedback.check(config, world, self.protocols)
        if config.fit.online and config.judge.segment > 1:
            raise ConfigError("a segment is no single observation: --fit.online needs --judge.segment 1.")

    def pilot(self, config: RunConfig, world: World, llm: LLM, met: Met) -> tuple[int, int]:
        from plaudit.routes.feedback import pilot

        return pilot(config, world, llm, met.observations, self.protocols)

    def annotate(self, run: Run) -> None:
        from plaudit.routes.feedback import annotate, protocol_of

        annotate(run, protocol_of(run.config, self.protocols))

    def fit(self, run: Run) -> None:
        start = time.perf_counter()
        if run.config.fit.online:
            known = {text: value for text, value in judged(run) if value is not None}
            if len(set(known.values())) < 2:
                raise ConfigError(
                    f"the judge gave all {len(known)} observations the same number: nothing to learn from."
                )
            base.save_rewards(run, list(known), list(known.values()), None, list(known.values()))
            run.finish("fit", time.perf_counter() - start, online=True, known=len(known))
            return
        self._distil(run, start)

    def _distil(self, run: Run, start: float) -> None:
        from plaudit.rewards.regression import Values, measured_fit
        from plaudit.routes.networks import Fitting, finish_fit, judged_members, save_model

        texts, values = map(list, zip(*judged(run), strict=True))
        known = np.array([np.nan if value is None else value for value in values], np.float64)
        numbers = np.flatnonzero(~np.isnan(known))
        fitting = Fitting(run, texts, judged_members(run))
        report = measured_fit(fitting.model, judged=Values(numbers, known[numbers].astype(np.float32)), **fitting.how)
        save_model(run, fitting)
        found = ""
        if report.held_out_r2 is not None:
            found = f"explains {report.held_out_r2:.0%} of the variance of {report.held_out_items} held-out ratings"
        finish_fit(run, start, report, found)

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        if not run.config.fit.online:
            from plaudit.routes.networks import load_model_reward

            return load_model_reward(run, world), base.shaping(run)
        from plaudit.rewards.online import OnlineReward

        known, limit = base.known_rewards(run), run.config.judge.max_failures
        return OnlineReward(_Judge(run, world.goal), world.describe, known, limit), base.shaping(run)


class _Judge:
    """The run's judge, loaded when it is first asked: every training process has its own, the ledger is shared."""

    def __init__(self, run: Run, goal: str) -> None:
        self.run, self.goal = run, goal
        self._llm: LLM | None = None

    def __call__(self, texts: Sequence[str]) -> list[Judgement]:
        from plaudit.llms.ledger import LedgerLLM
        from plaudit.routes.feedback import protocol_of
        from plaudit.stages.parts import ledgers, make_llm

        if self._llm is None:
            own, shared = ledgers(self.run)
            self._llm = LedgerLLM(make_llm(self.run.config.llm), own, 1.0, self.run.budget, shared)
        return protocol_of(self.run.config, Scalar.protocols).judge(self._llm, self.goal, texts)


def judged(run: Run) -> Iterator[tuple[Any, Any]]:
    """Each judged text with its number, None where the judge failed."""
    for rows in read_batches(run.folder / "annotate" / "judgements.parquet", ("text", "value")):
        yield from zip(rows["text"], rows["value"], strict=True)
