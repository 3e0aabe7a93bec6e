"""A run's rewards, looked at afterwards and without touching the run.

A reward that still asks a model (``fit.online``) writes what it asks into a ledger: here one of the analysis' own. What
changed while agents were trained is not kept as it was and cannot be paid again: random network distillation is left out,
of a reward that was judged again beside the training the one before it is meant, and both are said.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plaudit.errors import PlauditError
from plaudit.llms import gguf_adapter
from plaudit.report.words import label
from plaudit.stages.parts import make_route
from plaudit.store import PEOPLE, Run, explain_disk_errors, made_by, read_json, read_table

if TYPE_CHECKING:
    from plaudit.analyze.base import Subject

MADE = ("collect", "annotate", "fit")
"""Stages that a reward is made of."""
LEARNING = ("rnd",)
"""Rewards that learn from what they meet."""


def apart(subject: Subject, run: Run) -> Run:
    """The run; where its reward still asks a model, one whose ledger lies in the analysis' own folder."""
    if not run.config.fit.online:
        return run
    found = Run(subject.folder / "reward", run.config)
    borrow(run, found)
    return found


def borrow(run: Run, part: Run, stages: Sequence[str] = MADE) -> None:
    """Links in ``part`` to what its reward is made of in ``run``, and a copy of the labels that it may be fitted to."""
    with explain_disk_errors(part.folder):
        part.folder.mkdir(parents=True, exist_ok=True)
        for stage in stages:
            link, target = part.folder / stage, run.folder / stage
            if target.is_dir() and not link.exists():
                link.symlink_to(os.path.relpath(target.resolve(), part.folder.resolve()), target_is_directory=True)
        if (run.folder / PEOPLE).is_dir():
            shutil.copytree(run.folder / PEOPLE, part.folder / PEOPLE, dirs_exist_ok=True)


def success(episodes: Path) -> dict[str, dict[int, float]]:
    """Of a run's or a comparison's ``episodes.parquet``: arm to seed to the share of its episodes that succeed."""
    won: dict[str, dict[int, list[bool]]] = {}
    for row in read_table(episodes, ("arm", "seed", "success")):
        won.setdefault(row["arm"], {}).setdefault(row["seed"], []).append(row["success"])
    return {arm: {seed: sum(each) / len(each) for seed, each in seeds.items()} for arm, seeds in won.items()}


def payable(arms: Sequence[str]) -> list[str]:
    """Those whose reward can be paid for any episode, at any time."""
    return [arm for arm in arms if arm not in LEARNING]


def caveats(run: Run, arms: Sequence[str]) -> list[str]:
    """What is not the reward that agents were paid."""
    said = [
        f"{label(arm)} changes with what it meets in training and is not kept: its agents are left out."
        for arm in arms
        if arm in LEARNING
    ]
    if run.config.online.beside:
        said.append(
            "The reward was judged again beside the training: what is looked at is the one from before it, while the "
            "agents were paid a later one."
        )
    return said


def taught(run: Run) -> list[str]:
    """That a judge was taught by what it is held against, where plaudit taught it this world's value or progress."""
    llm, noted = run.config.llm, dict[str, str]()
    with contextlib.suppress(PlauditError, ValueError):  # the adapter is needed no more and may be damaged by now
        noted = gguf_adapter.taught(llm, "judge")
    lessons = [kind for kind in noted.get("kinds", "").split() if kind in gguf_adapter.ROLES["judge"]]
    if not lessons or not make_route(run.config.route).asks:
        return []
    if (noted.get("world") or _school(Path(llm.adapter or llm.model))) not in ("", Path(run.config.world.name).stem):
        return []
    return [
        f"The judge was taught ({', '.join(lessons)}) by this world's own value or progress in other episodes: held "
        "against them it shows how far that lesson carries, not that it knows them by itself."
    ]


def _school(adapter: Path) -> str:
    """The world that an adapter of an older plaudit was taught; empty where it lies no more in that folder."""
    folder = adapter.expanduser().absolute().parent.parent
    return Path(read_json(folder / "run.json")["config"]["world"]["name"]).stem if made_by(folder) == "finetune" else ""
