"""compare: every way of using the LLM, and the controls, in one world at an equal budget.

Each arm is an ordinary run folder under ``arms/`` (``plaudit report FOLDER/arms/preference`` works on it); collected
observations, seeds, layouts and training are the same for all. An arm that fails keeps its reason and loses nothing of
the others. Run again, the same command goes on: what is finished is skipped, what failed is tried anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from plaudit.budget import Budget
from plaudit.config import RunConfig
from plaudit.config_rules import validate
from plaudit.console import console
from plaudit.errors import BudgetError, PlauditError
from plaudit.stages import prepare, stage, stages_of
from plaudit.stages.arms import Arm
from plaudit.stages.board import Board, Entry
from plaudit.stages.cluster import connect
from plaudit.stages.parts import make_world, settled
from plaudit.stages.train import finish, jobs, run_jobs
from plaudit.store import Run, explain_disk_errors

MAKING = ("annotate", "fit")


def compare(config: RunConfig, arms: list[Arm], folder: str | Path, budget: Budget | None = None) -> Path:
    """Run the arms in this folder; returns the path of the comparison's report."""
    budget = budget or Budget()
    validate(config)
    config = settled(config)
    make_world(config.world)  # a world that cannot be made is no arm's failure
    if config.cluster.on != "local":
        connect(config.cluster)  # and neither is a cluster that is not there
    board = Board.open(Path(folder), config, arms, budget)
    with board.lock():
        for entry in board.entries:
            _attempt(
                board,
                entry,
                lambda e: e.begin(prepare(e.arm.config(config), board.folder / "arms" / e.arm.folder, budget)),
            )
        _collect_once(board)
        for entry in board.going():
            if "fit" in stages_of(entry.run):
                _attempt(board, entry, lambda e: _stages(e.run, MAKING))
        _train(board)
        for entry in board.going():
            _attempt(board, entry, lambda e: _stages(e.run, ("evaluate", "report")))
            entry.done()
            board.save()
        board.tables()
    from plaudit.report.compare import compare_report

    return compare_report(Path(folder))


def _attempt(board: Board, entry: Entry, work: Callable[[Entry], None]) -> None:
    """Do an arm's part; what stops it is its own."""
    try:
        work(entry)
    except BudgetError as error:
        entry.end("stopped", str(error))
    except PlauditError as error:
        entry.end("failed", str(error))
    if not entry.going:
        console.print(f"{entry.arm.name}: {entry.status}: {entry.reason.splitlines()[0]}")
    board.save()


def _collect_once(board: Board) -> None:
    """One arm collects; the others get the same files, as links to them."""
    going = board.going()
    source = next((e for e in going if e.run.finished("collect")), going[0] if going else None)
    if source is None:
        return
    if not source.run.finished("collect"):
        stage("collect")(source.run)
    for entry in going:
        if not entry.run.finished("collect"):
            _link(source.run.folder / "collect", entry.run.stage("collect"))


def _link(source: Path, target: Path) -> None:
    with explain_disk_errors(target):
        # The record comes last: it says that the rest is there.
        for path in sorted(source.iterdir(), key=lambda p: p.name == "stage.json"):
            (target / path.name).unlink(missing_ok=True)
            os.link(path, target / path.name)


def _stages(run: Run, names: tuple[str, ...]) -> None:
    with run.lock():
        for name in names:
            if run.finished(name) is None:
                stage(name)(run)


def _train(board: Board) -> None:
    """All agents of all arms, a seed after the other, so that a ceiling leaves whole seeds behind."""
    trained = [e for e in board.going() if "train" in stages_of(e.run) and not e.run.finished("train")]
    todo = sorted((job for e in trained for job in jobs(e.run)), key=lambda job: job.seed)
    failures: dict[str, str] = {}
    train = board.config.train
    reason = ""
    if todo:
        try:
            failed = run_jobs(todo, train.workers, train.whole_steps, board.budget, board.config.cluster)
            failures = {job.folder.name: text for job, text in failed.items()}
        except BudgetError as error:
            reason = str(error)
    for entry in trained:
        if entry.arm.folder in failures:
            entry.end("failed", failures[entry.arm.folder])
        elif jobs(entry.run):
            entry.end(
                "stopped" if reason else "failed", reason or "its agents are not there; run the same command again"
            )
        else:
            finish(entry.run)
    board.save()
