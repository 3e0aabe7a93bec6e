"""Runs up to their annotation, for the tests of labelling: judged by a script, or made up of any texts."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from test_routes import SMALL, knows

from plaudit.config import RunConfig, from_dict
from plaudit.labels import LabelBook, Pair
from plaudit.llms.scripted import ScriptedLLM
from plaudit.report.labels import judged
from plaudit.stages import parts, run_stages
from plaudit.store import Run, write_table


def judged_run(folder: Path, stages: tuple[str, ...] = ("collect", "annotate"), **sections: Any) -> Run:
    """DoorKey, judged by a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "make_llm", lambda config: ScriptedLLM(score=knows))
        judge = {"items": 40, "pairs": 500}
        run = Run.create(folder, from_dict(RunConfig, SMALL | {"judge": judge} | sections))
        run_stages(run, stages)
    return run


def made_up_run(folder: Path, texts: list[str]) -> Run:
    """A run that has seen and judged these texts, every one against the one behind it."""
    run = Run.create(folder, RunConfig())
    write_table(run.stage("collect") / "observations.parquet", [{"text": t, "event": "", "count": 1} for t in texts])
    run.finish("collect", 1.0)
    rows: list[dict[str, Any]] = []
    for a, b in itertools.pairwise(texts):
        rows.append({"first": a, "second": b, "status": "ok", "probability": 0.8, "forward": None, "backward": None})
    write_table(run.stage("annotate") / "comparisons.parquet", rows)
    run.finish("annotate", 1.0, goal="be <b>done</b>")
    return run


def answer_all(run: Run, prefers: Any, author: str = "person", **values: Any) -> list[Pair]:
    """A person's label of every judged pair: ``prefers(left, right)`` is P(left is better)."""
    book, pairs = LabelBook(run.folder, author), []
    for pair in dict.fromkeys((c.first, c.second) for c in judged(run)):
        p = prefers(*pair)
        said = "tie" if p == 0.5 else "left" if p > 0.5 else "right"
        book.add(left=pair[0], right=pair[1], answer=said, probability=p, **values)
        pairs.append(pair)
    book.close()
    return pairs
