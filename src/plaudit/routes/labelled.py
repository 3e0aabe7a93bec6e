"""Whose answers a reward model is fitted to: the judge's, a person's, or both.

Where a person has answered a pair, the judge's answer about it is not used. One of a person's pairs counts for several of
the judge's, since there are so many more of these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.analysis import sharpness
from plaudit.analysis.authors import judge_author
from plaudit.console import console
from plaudit.errors import ConfigError
from plaudit.labels import Label, comparisons, oriented, read_labels
from plaudit.store import Run, read_table
from plaudit.types import Comparison


def chosen(run: Run, judged: list[Comparison]) -> tuple[list[Comparison], dict[str, Any]]:
    """The comparisons to fit to, and what there is to say about them."""
    fit = run.config.fit
    if fit.labels == "judge":
        return judged, {}
    labels, left_out = _usable(run)
    said = comparisons(labels)
    facts: dict[str, Any] = {"labels": fit.labels, "person_pairs": len(said)}
    if left_out:
        console.print(f"fit: {left_out} labels are about observations that this run does not have; they are left out")
        facts["labels_left_out"] = left_out
    if fit.labels == "person":
        return said, facts
    if fit.calibrate:
        facts["sharpness"], judged = _calibrated(judged, labels)
    asked = {oriented(c.first, c.second) for c in said}
    rest = [c for c in judged if oriented(c.first, c.second) not in asked]
    return rest + said * fit.label_weight, facts


def _usable(run: Run) -> tuple[list[Label], int]:
    """A person's labels about observations of this run, and how many others there are."""
    source = Path(run.config.fit.labels_from or run.folder)
    labels = [x for x in read_labels(source, ("person",)) if x.answer != "skip"]
    table = "collect/observations" if run.config.judge.segment == 1 else "annotate/items"
    known = {row["text"] for row in read_table(run.folder / f"{table}.parquet")}
    kept = [x for x in labels if x.left in known and x.right in known]
    if not kept:
        raise ConfigError(
            f"{source} holds no label of a person{' about what this run has seen' if labels else ''}, and --fit.labels is "
            f"{run.config.fit.labels!r}. Type: plaudit label {source}"
        )
    return kept, len(labels) - len(kept)


def _calibrated(judged: list[Comparison], labels: Sequence[Label]) -> tuple[float, list[Comparison]]:
    """The judge's comparisons at the sharpness that fits a person's answers best, and that sharpness.

    It is measured on pairs that were drawn at random, where there are any.
    """
    drawn = [x for x in labels if x.selection == "uniform"] or labels
    judge, person = judge_author("judge", judged), judge_author("person", comparisons(drawn))
    found = sharpness.calibration(judge.opinions, person.opinions)
    if found is None or found.sharpness is None:
        raise ConfigError(
            f"--fit.calibrate needs {sharpness.FEWEST} pairs of which the judge has an opinion and a person says which is "
            "better. Label more: plaudit label RUN"
        )
    kept = [i for i, c in enumerate(judged) if c.probability is not None]
    odds = sharpness.log_odds([judged[i].probability or 0.0 for i in kept])
    sharper = 1 / (1 + np.exp(-found.sharpness * odds))
    changed = list(judged)
    for i, value in zip(kept, sharper.tolist(), strict=True):
        changed[i] = dataclasses.replace(judged[i], probability=value)
    console.print(f"fit: the judge's log-odds times {found.sharpness:.2f} fit the person's answers best")
    return round(found.sharpness, 4), changed
