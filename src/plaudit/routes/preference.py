"""AI feedback: which of two observations shows more progress? A reward model is fitted to the LLM's answers.

annotate writes ``comparisons.parquet`` and, for a protocol that scores one observation at a time, ``judgements.parquet``;
fit writes ``reward.safetensors`` (the networks). Sources: Christiano et al. 2017 (arXiv 1706.03741), Motif (arXiv
2310.00166).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plaudit.config import RunConfig
from plaudit.routes import base
from plaudit.store import Run, read_table
from plaudit.types import Comparison

if TYPE_CHECKING:
    from plaudit.envs.base import World
    from plaudit.llms.base import LLM
    from plaudit.rewards.base import RewardFn
    from plaudit.rewards.shaping import Shaping
    from plaudit.routes.base import Met


class Preference(base.Route):
    """AI feedback: a reward model fitted to the LLM's preferences (Bradley-Terry)."""

    asks = makes_reward = True
    protocols = ("pointwise", "pairwise", "verdict", "scale", "rating")

    def check(self, config: RunConfig, world: World) -> None:
        from plaudit.routes.feedback import protocol_of

        protocol_of(config, self.protocols)

    def pilot(self, config: RunConfig, world: World, llm: LLM, met: Met) -> tuple[int, int]:
        from plaudit.routes.feedback import pilot

        return pilot(config, world, llm, met.observations, self.protocols)

    def annotate(self, run: Run) -> None:
        from plaudit.routes.feedback import annotate, protocol_of

        annotate(run, protocol_of(run.config, self.protocols))

    def fit(self, run: Run) -> None:
        from plaudit.rewards.bradley_terry import measured_fit
        from plaudit.routes.labelled import chosen
        from plaudit.routes.networks import Fitting, finish_fit, judged_items, save_model

        start, expected = time.perf_counter(), run.expected("fit")  # labels may be added while this runs
        judged = [Comparison(**row) for row in read_table(run.folder / "annotate" / "comparisons.parquet")]
        comparisons, facts = chosen(run, judged)
        texts = list(dict.fromkeys(t for c in (*judged, *comparisons) for t in (c.first, c.second)))
        fitting = Fitting(run, texts, judged_items(run, texts))
        report = measured_fit(fitting.model, pairs=fitting.targets(comparisons), **fitting.how)
        save_model(run, fitting)
        found = ""
        if report.held_out_accuracy is not None:
            whom = {"judge": "the judge", "person": "the person", "both": "judge and person"}[run.config.fit.labels]
            found = f"agrees with {whom} on {report.held_out_accuracy:.0%} of {report.held_out_pairs} held-out pairs"
        finish_fit(run, start, report, found, expected, **facts)

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        from plaudit.routes.networks import load_model_reward

        return load_model_reward(run, world), base.shaping(run)
