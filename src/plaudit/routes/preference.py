"""AI feedback: which of two observations shows more progress? A reward model is fitted to the LLM's answers.

annotate writes ``comparisons.parquet`` and, for a protocol that scores one observation at a time, ``judgements.parquet``;
fit writes ``reward.safetensors`` (the networks). Sources: Christiano et al. 2017 (arXiv 1706.03741), Motif (arXiv
2310.00166).
"""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.config import RunConfig
from plaudit.routes import base
from plaudit.store import Run, read_batches, read_table
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
        from plaudit.routes import feedback

        feedback.check(config, world, self.protocols)

    def pilot(self, config: RunConfig, world: World, llm: LLM, met: Met) -> tuple[int, int]:
        from plaudit.routes.feedback import pilot

        return pilot(config, world, llm, met.observations, self.protocols)

    def annotate(self, run: Run) -> None:
        from plaudit.routes.feedback import annotate, protocol_of

        annotate(run, protocol_of(run.config, self.protocols))

    def fit(self, run: Run) -> None:
        from plaudit.rewards.bradley_terry import measured_fit
        from plaudit.routes.networks import Fitting, finish_fit, judged_members, save_model

        start, expected = time.perf_counter(), run.expected("fit")  # labels may be added while this runs
        texts, pairs, probability, facts = labels(run)
        fitting = Fitting(run, texts, judged_members(run))
        report = measured_fit(fitting.model, pairs=fitting.targets(pairs, probability), **fitting.how)
        save_model(run, fitting)
        found = ""
        if report.held_out_accuracy is not None:
            whom = {"judge": "the judge", "person": "the person", "both": "judge and person"}[run.config.fit.labels]
            found = f"agrees with {whom} on {report.held_out_accuracy:.0%} of {report.held_out_pairs} held-out pairs"
        finish_fit(run, start, report, found, expected, **facts)

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        from plaudit.routes.networks import load_model_reward

        return load_model_reward(run, world), base.shaping(run)


def labels(run: Run) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64], dict[str, Any]]:
    """What :func:`compared` gives, of whoever's answers the settings want, and what there is to say about them."""
    if run.config.fit.labels == "judge":
        return *compared(run), {}
    from plaudit.routes.labelled import chosen

    judged = [Comparison(**row) for row in read_table(run.folder / "annotate" / "comparisons.parquet")]
    comparisons, facts = chosen(run, judged)
    number = {
        t: i for i, t in enumerate(dict.fromkeys(t for c in (*judged, *comparisons) for t in (c.first, c.second)))
    }
    pairs = np.array([(number[c.first], number[c.second]) for c in comparisons], np.int64).reshape(-1, 2)
    probability = [np.nan if c.probability is None else c.probability for c in comparisons]
    return list(number), pairs, np.array(probability, np.float64), facts


def compared(run: Run) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """The compared texts, numbers of two of them for each comparison, and P(first is better), NaN where it failed."""
    number: dict[str, int] = {}
    pairs, probability = array("q"), array("d")
    table = run.folder / "annotate" / "comparisons.parquet"
    for rows in read_batches(table, ("first", "second", "probability")):
        for pair in zip(rows["first"], rows["second"], strict=True):
            pairs.extend([number.setdefault(text, len(number)) for text in pair])
        probability.extend(np.nan if p is None else p for p in rows["probability"])
    return list(number), np.array(pairs, np.int64).reshape(-1, 2), np.array(probability)
