"""A comparison's folder: which arm stands where, and the tables that the comparison's report reads.

``compare.json`` is written after every change, so that a killed comparison still says what it had. The tables
(``episodes``, ``curves``, ``trajectories``) are put together from the arms' own folders.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from plaudit.budget import Budget
from plaudit.config import RunConfig, differences, from_dict, to_dict
from plaudit.errors import StoreError
from plaudit.llms.ledger import Ledger
from plaudit.stages.arms import Arm, flat
from plaudit.stages.parts import as_made, llm_spend, make_route
from plaudit.store import (
    COMPARISON_FORMAT,
    INERT,
    Run,
    explain_disk_errors,
    folder_lock,
    provenance,
    read_json,
    read_table,
    write_json,
    write_table,
)

Status = Literal["waiting", "going", "done", "failed", "stopped"]
SHOWN = 4
"""Questions with their replies that are kept for the page, of each arm."""


@dataclass
class Entry:
    """Where an arm stands."""

    arm: Arm
    status: Status = "waiting"
    reason: str = ""
    _run: Run | None = field(default=None, repr=False)

    @property
    def going(self) -> bool:
        """Whether there is more to do, and nothing stands against it."""
        return self.status == "going"

    @property
    def run(self) -> Run:
        """Its run; only of an arm that has begun."""
        assert self._run is not None
        return self._run

    def begin(self, run: Run) -> None:
        """It has a folder now."""
        self._run, self.status = run, "going"

    def end(self, status: Status, reason: str) -> None:
        """It goes no further, for this reason."""
        self.status, self.reason = status, reason

    def done(self) -> None:
        """All of it is there, unless something stood against it."""
        if self.going:
            self.status = "done"

    def record(self) -> dict[str, Any]:
        """What ``compare.json`` says of it."""
        status = "waiting" if self.going else self.status
        about: dict[str, Any] = {"name": self.arm.name, "route": self.arm.route, "about": self.arm.about}
        about |= {"status": status, "reason": self.reason, "switches": flat(self.arm.switches)}
        about |= {"folder": f"arms/{self.arm.folder}"}
        return about | (_facts(self._run) if self._run else _NOTHING)


_NOTHING: dict[str, Any] = {
    "seeds": 0, "env_steps": 0, "collect_steps": 0, "questions": 0, "tokens": 0, "usd": 0.0, "seconds": 0.0,
    "failures": None, "flip_rate": None, "first_rate": None, "model": None, "asked": None, "replies": [], "attempts": [],
}  # fmt: skip


def _facts(run: Run) -> dict[str, Any]:
    """What an arm's folder says of effort and of the judge, as far as it has come."""
    route, config = make_route(run.config.route), run.config
    records = {name: run.finished(name) for name in ("annotate", "fit", "train", "evaluate")}
    annotated = (records["annotate"] or {}).get("summary", {})
    evaluated = (records["evaluate"] or {}).get("summary", {})
    labels = annotated.get("labels", {})
    failures = annotated.get("failures", evaluated.get("not_understood"))
    path = run.folder / "annotate" / "attempts.parquet"
    attempts = read_table(path) if path.exists() else []
    if attempts:
        failures = sum(a["status"] != "ok" for a in attempts) / len(attempts)
    collects = route.makes_reward or (config.route == "llm" and config.policy.examples > 0)
    facts = _NOTHING | {
        "seeds": config.train.seeds,
        "env_steps": config.train.steps if route.trains else 0,
        "collect_steps": config.collect.steps if collects else 0,
        "seconds": sum(r["seconds"] for r in records.values() if r),
        "failures": failures,
        "flip_rate": labels.get("flip_rate"),
        "first_rate": labels.get("first_rate"),
        "model": annotated.get("model"),
        "attempts": attempts,
    }
    return facts | _asked(run)


def _asked(run: Run) -> dict[str, Any]:
    if not (run.folder / "ledger.sqlite").exists():
        return {}
    spent = llm_spend(run)
    ledger = Ledger(run.folder / "ledger.sqlite")
    rows, models = ledger.examples(SHOWN), ledger.models()
    ledger.close()
    replies = [{"prompt": q.prompt, "reply": _said(q.answers, r), "status": r.status} for q, r in rows]
    asked = rows[0][0].prompt if rows else None
    facts = {k: spent[k] for k in ("questions", "tokens", "usd")} | {"asked": asked, "replies": replies}
    return facts | ({"model": ", ".join(models)} if models else {})


def _said(answers: tuple[str, ...], reply: Any) -> str:
    if not reply.logprobs:
        return reply.text or reply.error
    return ", ".join(f"log P({a.strip()}) = {p:.2f}" for a, p in zip(answers, reply.logprobs, strict=True))


class Board:
    """The comparison's folder."""

    def __init__(self, folder: Path, config: RunConfig, arms: list[Arm], budget: Budget) -> None:
        self.folder, self.config, self.budget = folder, config, budget
        self.entries = [Entry(arm) for arm in arms]
        self._record = {
            "format": COMPARISON_FORMAT,
            "world": to_dict(config.world),
            "config": to_dict(config),
        } | provenance()

    @classmethod
    def open(cls, folder: Path, config: RunConfig, arms: list[Arm], budget: Budget) -> Board:
        """The folder, made where it is missing; one with other settings is refused."""
        path = folder / "compare.json"
        board = cls(folder, config, arms, budget)
        if path.exists():
            before = read_json(path)
            if before.get("format") != COMPARISON_FORMAT:
                raise StoreError(f"{folder} was made by another version of plaudit. Give another folder: --out NAME")
            same = as_made(config, from_dict(RunConfig, before["config"]).world)
            changed = differences(_decisive(before["config"]), _decisive(to_dict(same)))
            if changed:
                raise StoreError(
                    f"{folder} was made with other settings:\n  " + "\n  ".join(changed) + "\n"
                    "Give another folder (--out NAME), the old settings, or delete it."
                )
            board._record["created"] = before["created"]
            return board
        with explain_disk_errors(folder):
            if folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
                raise StoreError(f"{folder} is not empty and is no comparison. Give another folder: --out NAME")
            folder.mkdir(parents=True, exist_ok=True)
        board.save()
        return board

    def going(self) -> list[Entry]:
        """The arms that nothing stands against."""
        return [entry for entry in self.entries if entry.going]

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process works in a comparison at a time."""
        with folder_lock(self.folder):
            yield

    def save(self) -> None:
        """Write ``compare.json``."""
        budget = self.budget
        ceilings = {k: getattr(budget, k) for k in ("max_tokens", "max_usd", "max_hours")}
        arms = [entry.record() for entry in self.entries]
        spent = {"tokens": budget.tokens, "usd": budget.usd, "seconds": sum(a["seconds"] for a in arms)}
        write_json(self.folder / "compare.json", self._record | {"ceilings": ceilings, "spent": spent, "arms": arms})

    def tables(self) -> None:
        """Write what the arms that are done have in common."""
        from plaudit.stages.trajectories import trajectories

        done = [entry for entry in self.entries if entry.status == "done"]
        episodes, curves = list[dict[str, Any]](), list[dict[str, Any]]()
        for entry in done:
            name, folder = entry.arm.name, entry.run.folder
            rows = read_table(folder / "evaluate" / "episodes.parquet")
            episodes += [row | {"arm": name} for row in rows if row["arm"] == entry.arm.route]
            for path in sorted(folder.glob("train/*/curve.parquet")):
                seed = int(path.parent.name.rsplit("-", 1)[1])
                kept = ("steps", "episodes", "success", "task_return")
                curves += [{"arm": name, "seed": seed} | {k: row[k] for k in kept} for row in read_table(path)]
        for name, rows in (
            ("episodes", episodes),
            ("curves", curves),
            ("trajectories", trajectories(done, self.config)),
        ):
            if rows:
                write_table(self.folder / f"{name}.parquet", rows)


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    """What decides the results; settings that are younger than the folder are as they are by default."""
    known = to_dict(from_dict(RunConfig, config))
    for section, key in INERT:
        known[section].pop(key, None)
    return known
