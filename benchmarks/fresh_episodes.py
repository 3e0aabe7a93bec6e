"""A finished run's agents on episodes that nobody has looked at.

Run: python benchmarks/fresh_episodes.py runs/minihack-Room-15x15. The report's episodes are the same in every run, whatever
its seed, so settings that were chosen by looking at reports have seen them. These come from other seeds. Interquartile
means over seeds with what the seeds allow to say: an interval, or the lowest and the highest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from plaudit.analysis.statistics import interval
from plaudit.rollout import run_episodes
from plaudit.seeds import EVALUATION_SEED
from plaudit.stages.evaluate import make_agent
from plaudit.stages.parts import arms, evaluation_envs, make_world
from plaudit.store import Run

APART = 50_000_000
"""Between these episodes' seeds and the report's; less than to the next stage's."""


def main() -> None:
    """Measure every arm and print its success."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    run = Run.open(options.run)
    world, envs = make_world(run.config.world), evaluation_envs(run.config.world, options.episodes)
    for arm in arms(run.config):
        rates = []
        for seed in range(run.config.train.seeds):
            with make_agent(run, arm, seed, world) as policy:
                episodes = run_episodes(envs, policy, EVALUATION_SEED + APART, options.episodes)
            rates.append(float(np.mean([e.success for e in episodes])))
        found = interval(rates)
        ends = "" if found.low is None or found.high is None else f" ({found.low:.1%} to {found.high:.1%})"
        print(f"{arm:16}{found.point:7.1%}{ends}  by seed: {', '.join(f'{rate:.0%}' for rate in rates)}", flush=True)
    envs.close()
    world.close()


if __name__ == "__main__":
    main()
