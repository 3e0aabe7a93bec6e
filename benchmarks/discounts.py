"""Success of every arm by the agent's discount, and its lead over another one (``--against task``), over all alike.

Run: python benchmarks/discounts.py runs/discount-0 runs/discount-0.9 ..., folders of comparisons that differ in
``--train.gamma`` alone (docs/why.md has the commands). Interquartile means over seeds; intervals by a stratified bootstrap.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from plaudit.analysis.statistics import Interval, interval, paired_difference
from plaudit.analyze.rewards import success
from plaudit.report.words import percent
from plaudit.store import read_json


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--against", default="task")
    options = parser.parse_args()
    found = {
        read_json(f / "compare.json")["config"]["train"]["gamma"]: success(f / "episodes.parquet")
        for f in options.folders
    }
    print("| reward |", " | ".join(f"{gamma:g}" for gamma in sorted(found)), f"| over all, less {options.against} |")
    print("| --- " * (len(found) + 2) + "|")
    for arm in next(iter(found.values())):
        cells = [shown(interval(list(found[gamma][arm].values()))) for gamma in sorted(found)]
        print("|", " | ".join((arm, *cells, lead(list(found.values()), arm, options.against))), "|")


def lead(found: list[dict[str, dict[int, float]]], arm: str, against: str) -> str:
    """Of the means over the discounts, paired by seed."""
    own, other = (
        {seed: sum(each[name][seed] for each in found) / len(found) for seed in found[0][name]}
        for name in (arm, against)
    )
    gap = paired_difference(own, other)
    return shown(gap) if gap and arm != against else ""


def shown(found: Interval) -> str:
    """Point and ends, per cent."""
    ends = "" if found.low is None or found.high is None else f" ({percent(found.low, 0)} to {percent(found.high, 0)})"
    return percent(found.point, 1) + ends


if __name__ == "__main__":
    main()
