"""Carry out experiments: one step after the other, each a resumable folder; then the rules, ``paper.json`` and the page.

``plaudit reproduce paper --small``. A step runs as a process of its own (``python -m plaudit.cli``), with its output in
``steps/NAME.log``: one that fails or dies is reported and loses nothing of the others. What is finished is skipped when the
same command is run again, a stopped step goes on where it was. The page is written anew after every experiment, of all that
the size has, whichever were asked for.
"""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plaudit.config import fingerprint
from plaudit.console import console
from plaudit.errors import ConfigError, PlauditError, StoreError
from plaudit.reproduce.recipe import PLACE, Recipe, Size, Step, load
from plaudit.reproduce.rules import Evidence, Verdict, judge, status
from plaudit.store import atomic, explain_disk_errors, folder_lock, provenance, read_json, read_table, write_json

ASKING = ("run", "compare", "finetune", "analyze")
"""Verbs that take ``--llm``."""
UNKNOWN = "not recorded"
"""In place of a step's commit."""
Process = Callable[[Sequence[str], Path], int]
"""Carries out a command with its output in a file; returns its exit code."""


@dataclass(frozen=True)
class Done:
    """What came of a step."""

    step: Step
    """Which."""
    state: str
    """finished, failed, waiting."""
    seconds: float = 0.0
    """Wall time of all tries."""
    reason: str = ""
    """Why it failed: the last line that it said."""
    commits: tuple[str, ...] = ()
    """Of plaudit, at each try; none where a folder is older than this record, or plaudit is no checkout."""


@dataclass(frozen=True)
class Outcome:
    """What came of an experiment."""

    recipe: Recipe
    """Which."""
    status: str
    """reproduced, partly, not, open; or not run."""
    verdicts: list[Verdict]
    """Of each direction."""
    steps: list[Done]
    """Of each step."""


@dataclass(frozen=True)
class Project:
    """The folder, and what is to be done in it."""

    folder: Path
    """``--out``."""
    size: Size
    """small or full."""
    recipes: list[Recipe]
    """The experiments that are to be carried out."""
    llm: str = ""
    """A model in place of the embedded one."""

    @property
    def steps(self) -> list[Step]:
        """All of them, each once, in order."""
        return list({step.name: step for recipe in self.recipes for step in recipe.steps}.values())

    def where(self, name: str) -> Path:
        """A step's folder."""
        return self.folder / "steps" / name

    @property
    def whole(self) -> Project:
        """With every experiment of its size."""
        return dataclasses.replace(self, recipes=load(self.size))

    def words(self, step: Step) -> list[str]:
        """The command as it is carried out."""
        words = shlex.split(step.command)
        asks = words[0] in ASKING and not (words[0] == "analyze" and PLACE.match(words[2]))
        filled = [PLACE.sub(lambda m: str(self.where(m[1])), word) for word in words]
        model = ["--llm", self.llm] if self.llm and asks and "--llm" not in words else []
        return [*filled, *model, "--out", str(self.where(step.name))]

    def mark(self, step: Step) -> str:
        """Fingerprint of the command, the same wherever the folder lies."""
        return fingerprint(dataclasses.replace(self, folder=Path()).words(step))

    def done(self, step: Step) -> Done:
        """Where a step stands."""
        path = self.folder / "steps" / f"{step.name}.json"
        if not path.is_file():
            return Done(step, "waiting")
        record = read_json(path)
        # Older folders were marked by the path that they were made with.
        if record["command"] not in (self.mark(step), fingerprint(self.words(step))):
            return Done(step, "waiting")
        if record["state"] == "finished" and not self.where(step.name).is_dir():
            return Done(step, "waiting", reason="it was finished, but its folder is gone")
        return Done(step, record["state"], record["seconds"], record["reason"], tuple(record.get("commits", ())))


def reproduce(project: Project, process: Process | None = None) -> Path:
    """Carry out what is not finished, and judge; returns the page."""
    process = process or as_process
    if project.size == "full" and not project.llm:
        raise ConfigError("--full is for a large model behind a server. Say which: --llm http://HOST:PORT/v1")
    with explain_disk_errors(project.folder):
        (project.folder / "steps").mkdir(parents=True, exist_ok=True)
    _claim(project)
    tried = set[str]()
    with folder_lock(project.folder):
        for recipe in project.recipes:
            console.print(f"\n{recipe.name}: {recipe.title}", markup=False)
            for step in recipe.steps:
                if step.name in tried and not _finished(project, step.name):
                    console.print(f"  {step.name}: failed before, tried anew by the same command", markup=False)
                    continue
                tried.add(step.name)
                _carry_out(project, step, process)
            page, found = _write(project)
            console.print(f"{recipe.name}: {found[recipe.name]}", markup=False, style="bold")
    return page


def _claim(project: Project) -> None:
    """A folder is of one size and one model."""
    path, own = project.folder / "project.json", {"size": project.size, "llm": project.llm}
    if path.is_file() and (before := read_json(path)) != own:
        raise StoreError(
            f"{project.folder} was made with --{before['size']} and the model {before['llm'] or 'embedded'}. Give another "
            "folder: --out NAME"
        )
    write_json(path, own)


def _carry_out(project: Project, step: Step, process: Process) -> None:
    before = project.done(step)
    if before.state == "finished":
        _record(project, before)  # so that an older folder may be moved from now on
        console.print(f"  {step.name}: finished before, skipped", markup=False)
        return
    lacking = [name for name in step.needs if not _finished(project, name)]
    if lacking:
        reason = f"it needs {lacking[0]}, which is not finished"
        _record(project, dataclasses.replace(before, state="failed", reason=reason))
        console.print(f"  {step.name}: left out, it needs {lacking[0]}, which is not finished", markup=False)
        return
    words, log = project.words(step), project.folder / "steps" / f"{step.name}.log"
    console.print(f"  {step.name}: plaudit {shlex.join(words)} (about {step.minutes:g} min)", markup=False)
    commit = provenance()["commit"]
    commits = tuple(dict.fromkeys((*before.commits, commit))) if commit else before.commits
    # Before it begins, so that a killed try is known of as well.
    _record(project, Done(step, "waiting", before.seconds, commits=commits))
    start = time.perf_counter()
    code = process(words, log)
    seconds = before.seconds + time.perf_counter() - start
    state, reason = ("finished", "") if code == 0 else ("failed", f"exit code {code}: {_last(log)}")
    _record(project, Done(step, state, round(seconds, 1), reason, commits))
    console.print(f"  {step.name}: {state} after {seconds:.0f} s" + (f": {reason}" if reason else ""), markup=False)


def failed(project: Project) -> list[str]:
    """The steps that did not come to their end, those that were left out for that among them."""
    return [step.name for step in project.steps if project.done(step).state == "failed"]


def _finished(project: Project, name: str) -> bool:
    return any(step.name == name and project.done(step).state == "finished" for step in project.steps)


def _record(project: Project, done: Done) -> None:
    known: dict[str, Any] = {"command": project.mark(done.step), "state": done.state}
    known |= {"seconds": done.seconds, "reason": done.reason, "commits": done.commits}
    write_json(project.folder / "steps" / f"{done.step.name}.json", known)


def _last(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    told = [line for line in lines if line.startswith("plaudit: ")]
    return ((told or lines or ["it said nothing"])[-1])[:400]


def as_process(words: Sequence[str], log: Path) -> int:
    """The command as another process; its output is added to the file."""
    with log.open("ab") as file:
        file.write(f"\n$ plaudit {shlex.join(words)}\n".encode())
        file.flush()
        return subprocess.call([sys.executable, "-m", "plaudit.cli", *words], stdout=file, stderr=file)


def evidence(folder: Path) -> Evidence:
    """What a finished step has left: what agents came to by arm and seed, the result of an analysis, what was unlearnt."""
    files = (folder / "result.json", folder / "measure" / "summary.json")
    result: dict[str, Any] = next((read_json(path) for path in files if path.is_file()), {})
    if (folder / "agents.parquet").is_file():
        return Evidence(_by_seed(read_table(folder / "agents.parquet")), result)
    tables = () if result else (folder / "episodes.parquet", folder / "evaluate" / "episodes.parquet")
    for path in tables:
        if path.is_file():
            rows = read_table(path)
            scores = _by_seed([{key: row[key] for key in ("arm", "seed", "success")} for row in rows])
            return Evidence(scores, result, _episodes(rows), cut_off(folder))
    return Evidence({}, result)


def _episodes(rows: list[dict[str, Any]]) -> dict[str, dict[int, list[tuple[bool, int]]]]:
    """Arm, seed: success and steps of each episode, where the table has them."""
    found: dict[str, dict[int, list[tuple[bool, int]]]] = {}
    for row in rows:
        if row.get("length") is not None:
            found.setdefault(row["arm"], {}).setdefault(row["seed"], []).append((bool(row["success"]), row["length"]))
    return found


def cut_off(folder: Path) -> dict[str, int]:
    """Arms of a comparison (or of a run) that a language model acted for, and after how many steps they were cut off."""
    if (folder / "compare.json").is_file():
        arms = read_json(folder / "compare.json").get("arms", ())
        runs = {arm["name"]: folder / arm["folder"] / "run.json" for arm in arms if arm["route"] == "llm"}
    else:
        runs = {"llm": folder / "run.json"}
    configs = {arm: read_json(path).get("config", {}) for arm, path in runs.items() if path.is_file()}
    steps = {arm: int(config.get("policy", {}).get("max_steps", 0)) for arm, config in configs.items()}
    return {arm: each for arm, each in steps.items() if each > 0}


def _by_seed(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[int, float]]]:
    """Column, arm, seed: the mean of the rows; what is not a number, or not known, is left out."""
    sums: dict[str, dict[str, dict[int, list[float]]]] = {}
    for row in rows:
        for column in row.keys() - {"arm", "seed"}:
            if isinstance(value := row[column], int | float):
                sums.setdefault(column, {}).setdefault(row["arm"], {}).setdefault(row["seed"], []).append(float(value))
    return {
        column: {arm: {seed: sum(v) / len(v) for seed, v in seeds.items()} for arm, seeds in arms.items()}
        for column, arms in sums.items()
    }


def judged(project: Project, recipe: Recipe) -> Outcome:
    """The rules over what there is."""
    steps = [project.done(step) for step in recipe.steps]
    found, unread = dict[str, Evidence](), dict[str, str]()
    for done in steps:
        if done.state == "finished":
            try:
                found[done.step.name] = evidence(project.where(done.step.name))
            except (OSError, ValueError, KeyError, PlauditError) as error:
                unread[done.step.name] = f"its results cannot be read: {error}"
    steps = [dataclasses.replace(d, reason=unread.get(d.step.name, d.reason)) for d in steps]
    verdicts = [judge(check, found) for check in recipe.checks]
    return Outcome(recipe, status(verdicts), verdicts, steps)


def _write(project: Project) -> tuple[Path, dict[str, str]]:
    """``paper.json`` and the page, of every experiment of the size; its path, and each experiment's status."""
    from plaudit.reproduce.page import render

    project = project.whole
    outcomes, record = [judged(project, recipe) for recipe in project.recipes], provenance()
    about = {"size": project.size, "llm": project.llm or "embedded", "seconds": _seconds(project)}
    about["commits"] = commits_of(project)
    write_json(project.folder / "paper.json", record | about | {"experiments": [as_record(o) for o in outcomes]})
    path = project.folder / "report.html"
    with atomic(path) as file:
        file.write(render(project, outcomes, record | about).encode("utf-8", errors="replace"))
    return path, {outcome.recipe.name: outcome.status for outcome in outcomes}


def commits_of(project: Project) -> dict[str, list[str]]:
    """The finished steps by the commits of plaudit that they were made by; "not recorded" of an older folder's."""
    found: dict[str, list[str]] = {}
    for done in map(project.done, project.steps):
        if done.state == "finished":
            found.setdefault(", ".join(done.commits) or UNKNOWN, []).append(done.step.name)
    return found


def _seconds(project: Project) -> float:
    return sum(project.done(step).seconds for step in project.steps)


def as_record(outcome: Outcome) -> dict[str, Any]:
    """For other programs."""
    recipe = outcome.recipe
    return {
        "name": recipe.name,
        "claim": recipe.claim,
        "rule": recipe.rule,
        "status": outcome.status,
        "checks": [
            {"what": v.check.what, "kind": v.check.kind, "said": v.said, "why": v.why}
            | {"figures": {name: dataclasses.asdict(f) for name, f in v.figures}}
            for v in outcome.verdicts
        ],
        "steps": [
            {"name": d.step.name, "command": d.step.command, "state": d.state, "seconds": d.seconds, "reason": d.reason}
            | {"commits": d.commits}
            for d in outcome.steps
        ],
    }


def forecast(project: Project) -> list[tuple[Step, str, list[str]]]:
    """Each step with where it stands and its command."""
    return [(step, project.done(step).state, project.words(step)) for step in project.steps]


def show_forecast(project: Project) -> None:
    """What is to come, for the terminal; figures of ``--full`` are guesses, for it was never run."""
    rows = forecast(project)
    for recipe in project.recipes:
        console.print(f"{recipe.name}: {recipe.title}", markup=False)
        for step in recipe.steps:
            state = next(state for other, state, _ in rows if other.name == step.name)
            console.print(f"  {step.minutes:6.1f} min  {step.name:22} {state}", markup=False)
    left = sum(step.minutes for step, state, _ in rows if state != "finished")
    guess = (
        "; a guess: nobody has run this size" if project.size == "full" else " on 2 quiet cores with the embedded model"
    )
    console.print(
        f"{len(rows)} steps, about {left:.0f} min left{guess}; stopped, it goes on by the same command", markup=False
    )
