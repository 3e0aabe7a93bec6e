"""Steps of an episode of every arm of a comparison, and paired by seed against one of them.

Run: python benchmarks/lengths.py runs/compare-doorkey/episodes.parquet. Where several arms solve a world, this
tells how well. Interquartile means over seeds with 95% bootstrap intervals.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from plaudit.analysis.statistics import Interval, interval, paired_difference
from plaudit.store import read_table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("episodes", type=Path)
    parser.add_argument("--against", default="count")
    options = parser.parse_args()
    lengths: dict[str, dict[int, list[int]]] = {}
    for row in read_table(options.episodes):
        lengths.setdefault(row["arm"], {}).setdefault(row["seed"], []).append(row["length"])
    means = {arm: {s: float(np.mean(values)) for s, values in seeds.items()} for arm, seeds in lengths.items()}
    for arm, by_seed in means.items():
        difference = paired_difference(by_seed, means[options.against])
        beside = f"; against {options.against} {shown(difference)}" if difference and arm != options.against else ""
        print(f"{arm:15} {shown(interval(list(by_seed.values())))}{beside}")


def shown(found: Interval) -> str:
    """Point and ends."""
    ends = "" if found.low is None or found.high is None else f" ({found.low:.0f} to {found.high:.0f})"
    return f"{found.point:.0f}{ends}"


if __name__ == "__main__":
    main()
