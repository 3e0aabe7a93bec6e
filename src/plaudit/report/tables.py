"""What the report reads of a run folder, each table once; a table that an arm or a protocol does not have is empty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

from plaudit.store import STAGES, Run, read_table

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Tables:
    """A run folder, read."""

    stages: dict[str, dict[str, Any]]
    """``stage.json`` of every finished stage, by name."""
    curves: dict[tuple[str, int], Rows]
    """Updates of each training, by (arm, seed); trainings without a curve are left out."""
    episodes: Rows
    """Evaluation episodes of every agent."""
    examples: Rows
    """Steps of the recorded episodes."""
    rewards: Rows
    """Fitted reward and spread of every collected description."""
    counts: dict[str, int]
    """How often each description was met while collecting."""
    progress: dict[str, float]
    """The world's own progress of each description; for measuring only."""
    judgements: Rows
    """Answers about one description; empty unless the protocol asks about one at a time."""
    comparisons: Rows
    """Answers about two."""
    label_curve: Rows
    """Held-out accuracy by number of labels; empty unless labels were asked in rounds."""
    attempts: Rows
    """Reward programs that were asked for."""
    acted: Rows
    """Steps of an acting language model."""

    def summary(self, stage: str) -> dict[str, Any]:
        """What a stage says of itself; empty where it was not run."""
        return dict(self.stages.get(stage, {}).get("summary", {}))


def read(run: Run) -> Tables:
    """Everything that there is; evaluation must be finished, the rest may be missing."""
    run.require("evaluate")

    def table(path: str) -> Rows:
        file = run.folder / path
        return read_table(file) if file.is_file() else []

    paths = sorted(run.folder.glob("train/*/curve.parquet"))
    jobs = {path.parent.name.rpartition("-")[::2]: path for path in paths}
    curves = {(arm, int(seed)): read_table(path) for (arm, seed), path in jobs.items()}
    finished = {stage: run.finished(stage) for stage in STAGES}
    return Tables(
        stages={stage: record for stage, record in finished.items() if record is not None},
        curves={job: rows for job, rows in curves.items() if rows},
        episodes=table("evaluate/episodes.parquet"),
        examples=table("evaluate/examples.parquet"),
        rewards=[row for row in table("fit/rewards.parquet") if known(row["reward"])],
        counts={row["text"]: row["count"] for row in table("collect/observations.parquet")},
        progress={r["text"]: r["progress"] for r in table("collect/truth.parquet") if known(r["progress"])},
        judgements=table("annotate/judgements.parquet"),
        comparisons=table("annotate/comparisons.parquet"),
        label_curve=table("annotate/curve.parquet"),
        attempts=table("annotate/attempts.parquet"),
        acted=table("evaluate/acted.parquet"),
    )


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is a number: not None, NaN or infinite."""
    return value is not None and math.isfinite(value)
