"""The table of docs/why.md: what the analyses of several runs found, side by side, as Markdown.

Run: python benchmarks/why.py RUN RUN ..., after `plaudit analyze NAME RUN` of each; COMPARISON/arms/preference is a run
too. It reads RUN/evaluate/episodes.parquet and RUN/analyze/NAME/result.json. Round brackets are 95% intervals, square
ones the least and greatest seed where they are too few for one; what rests on few episodes says on how many. A dash
stands for what has not been analysed, or what that analysis says cannot be measured in this world.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.analysis.ranks import LEAST
from plaudit.analysis.statistics import interval
from plaudit.report.words import number, percent
from plaudit.store import read_json, read_table
from plaudit.world_file import title

COLUMNS = ["arm", "seed", "success"]
ARMS = {"preference": "agents of AI feedback", "task": "agents of the task reward", "random": "a random policy"}

UNITS = {"credit": "episode"}
"""What an analysis' numbers without an interval are counted in."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    """What it is, for people."""
    analysis: str
    """Whose result."""
    measure: str
    """Its measure: a regular expression that fits the whole name."""
    places: int = 2
    """Decimals, where it is no share."""


ROWS = (
    Row("the judge orders pairs as progress does", "agreement", "the judge orders as the world does"),
    Row("the fitted reward does", "agreement", "the fitted reward orders as the world does"),
    Row("the judge's calibration error", "agreement", "the judge: calibration error"),
    Row("shown two at once (`pairwise`), verdicts that flip", "agreement", "asked by pairwise: verdict flips .*"),
    Row("probes of the dynamics, right", "dynamics", "all probes, .*"),
    Row("next: what follows an action", "dynamics", "next: .*"),
    Row("inverse: which action it was", "dynamics", "inverse: .*"),
    Row("reachable: can this be reached", "dynamics", "reachable: .*"),
    Row("effect: does it change anything", "dynamics", "effect: .*"),
    Row("as a policy, acts as the expert", "dynamics", "as a policy: acts as the expert does"),
    Row("reward and value, rho in episodes", "credit", "rho of LLM feedback and value, in episodes"),
    Row("the same of untrained networks, 95% of them", "credit", "rho of a random network and value, .*"),
    Row("the same of the task reward", "credit", "rho of task reward and value, in episodes"),
    Row("reward as paid and value, rho in episodes", "credit", "rho of reward as paid and value, in episodes"),
    Row("reward and value, rho over all steps", "credit", "rho of LLM feedback and value, over all"),
    Row("reward and value, rho of changes", "credit", "rho of their changes, in episodes"),
    Row("steps ahead of success: the value", "credit", "steps ahead of success: value", 0),
    Row("steps ahead of success: the reward", "credit", "steps ahead of success: LLM feedback", 0),
    Row("steps ahead of success: the task reward", "credit", "steps ahead of success: task reward", 0),
    Row("steps ahead of success: random networks", "credit", "steps ahead of success: random network", 0),
    Row("different descriptions met: AI feedback", "exploration", "different descriptions: LLM feedback", 0),
    Row("different descriptions met: task reward", "exploration", "different descriptions: task reward", 0),
    Row("different descriptions met: random policy", "exploration", "different descriptions: random policy", 0),
    Row("different squares met: AI feedback", "exploration", "different squares: LLM feedback", 0),
    Row("different squares met: random policy", "exploration", "different squares: random policy", 0),
    Row("entropy of visits, nats: AI feedback", "exploration", "entropy of visits, nats: LLM feedback"),
    Row("entropy of visits, nats: random policy", "exploration", "entropy of visits, nats: random policy"),
    Row("hacked episodes: AI feedback", "hacking", "hacked episodes, LLM feedback"),
    Row("agents that hack", "hacking", "agents that hack"),
    Row("a success is paid more than a failure", "hacking", "a success is paid more than a failure"),
    Row("EPIC distance to the task reward", "hacking", "EPIC distance to the task reward, LLM feedback"),
    Row("EPIC distance of untrained networks", "hacking", "EPIC distance to the task reward, random network"),
    Row("pairs that the prompt's first wording turns", "hacking", "pairs that (?!.*-[bc] turns$).* turns"),
    Row("pairs that the prompt's wording `-b` turns", "hacking", "pairs that .*-b turns"),
    Row("pairs that the prompt's wording `-c` turns", "hacking", "pairs that .*-c turns"),
)


def found(run: Path, row: Row) -> dict[str, Any] | None:
    """The measure of a row in a run's result; None where there is none."""
    path = run / "analyze" / row.analysis / "result.json"
    measures = read_json(path)["measures"] if path.is_file() else []
    return next((m for m in measures if re.fullmatch(row.measure, m["name"]) and m["value"] is not None), None)


def written(measure: dict[str, Any] | None, places: int, unit: str = "") -> str:
    """Value and interval; where there is none, the seeds' range that its note tells, or of how few units it is."""
    if measure is None:
        return "–"
    said = said_as(measure, places)
    if measure["low"] is not None and measure["high"] is not None:
        return f"{said(measure['value'])} ({said(measure['low'])} to {said(measure['high'])})"
    span = re.search(r": ([\d.,%]+) to ([\d.,%]+)$", measure["note"])
    ends = (
        [said(float(end.rstrip("%").replace(",", "")) / (100 if measure["share"] else 1)) for end in span.groups()]
        if span
        else []
    )
    few = f" ({measure['n']} {unit}{'s' * (measure['n'] > 1)})" if unit and 0 < measure["n"] < LEAST else ""
    return said(measure["value"]) + (f" [{ends[0]} to {ends[1]}]" if ends else few)


def said_as(measure: dict[str, Any], places: int) -> Any:
    """How numbers of this measure are written."""
    return (lambda x: percent(x, 1).removesuffix("%")) if measure["share"] else lambda x: number(x, places)


def line(row: Row, runs: list[Path]) -> list[str]:
    """A row: its cells, and chance, in the cells where it is not the same everywhere."""
    measures = [found(run, row) for run in runs]
    chances = {round(m["chance"], 6) for m in measures if m and m["chance"] is not None}
    cells = [written(m, row.places, UNITS.get(row.analysis, "")) for m in measures]
    if len(chances) > 1:
        for i, m in enumerate(measures):
            cells[i] += f", chance {said_as(m, row.places)(m['chance'])}" if m and m["chance"] is not None else ""
    one = next(m for m in measures if m) if len(chances) == 1 else None
    unit = ", %" if any(m and m["share"] for m in measures) else ""
    return [row.title + unit, *cells, said_as(one, row.places)(one["chance"]) if one else ""]


def success(runs: list[Path]) -> list[list[str]]:
    """Success of each arm on the run's evaluation episodes, over its agents; of a comparison's arm with those beside it."""
    tables = [[row for each in beside(run) for row in episodes(each)] for run in runs]
    return [[f"success of {name}, %", *(of_arm(each, arm) for each in tables), ""] for arm, name in ARMS.items()]


def episodes(run: Path) -> list[dict[str, Any]]:
    """A run's evaluation episodes; none where it has not come to that."""
    path = run / "evaluate" / "episodes.parquet"
    return read_table(path, COLUMNS) if path.is_file() else []


def beside(run: Path) -> list[Path]:
    """The run and, where it is a comparison's arm, the controls that were compared with it."""
    others = [run.parent / arm for arm in ("task", "random") if run.parent.name == "arms"]
    return [run, *(each for each in others if each.is_dir())]


def of_arm(played: list[dict[str, Any]], arm: str) -> str:
    """Interquartile mean over seeds; with few of them, their least and greatest in square brackets; of one, the value."""
    by_seed: dict[int, list[bool]] = {}
    for row in played:
        if row["arm"] == arm:
            by_seed.setdefault(row["seed"], []).append(bool(row["success"]))
    if not by_seed:
        return "–"
    over = interval([float(np.mean(each)) for each in by_seed.values()])
    if over.low is None or over.high is None:
        return percent(over.point, 1).removesuffix("%")
    point, low, high = (percent(value, 1).removesuffix("%") for value in (over.point, over.low, over.high))
    return f"{point} ({low} to {high})" if over.kind == "bootstrap" else f"{point} [{low} to {high}]"


def column(run: Path) -> str:
    """The run's world, and whether its judge was taught it."""
    config = read_json(run / "run.json")["config"]
    world, task, llm = config["world"]["name"], config["world"]["task"], config["llm"]
    taught = bool(llm.get("adapter")) or llm["model"].endswith("adapter.gguf")
    return title(world) + f" {task}" * bool(task) + ", judge taught" * taught


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    runs = parser.parse_args().runs
    table = [["", *(column(run) for run in runs), "by chance"], ["---"] * (len(runs) + 2), *success(runs)]
    table += [line(row, runs) for row in ROWS]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in table))


if __name__ == "__main__":
    main()
