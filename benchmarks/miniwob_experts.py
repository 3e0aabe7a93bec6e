"""How often the scripted solvers of MiniWoB++ succeed, and a random policy beside them.

    python benchmarks/miniwob_experts.py                  # every solver, some minutes
    python benchmarks/miniwob_experts.py --tasks click-link

Both play the same seeds, 0 to ``episodes - 1``; the random policy draws among the actions that do something.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs.miniwob import MiniWoB, MiniWoBVector
from plaudit.envs.miniwob_expert import KNOWN
from plaudit.rollout import run_episodes
from plaudit.spaces import MASK


class Random:
    """Draws among the actions that do something now."""

    def __init__(self) -> None:
        self.draw = np.random.default_rng(0)

    def act(self, observations: Any) -> NDArray[np.int64]:
        return np.array([self.draw.choice(np.flatnonzero(mask)) for mask in observations[MASK]])

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Nothing to forget."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--tasks", nargs="*", default=list(KNOWN))
    report(**vars(parser.parse_args()))


def report(episodes: int, tasks: list[str]) -> None:
    """Play and print."""
    keep = MiniWoBVector(1)  # the browser stays while it has a tab
    keep.reset(seed=0)
    print(f"{'task':28}{'solver':>8}{'steps':>7}{'random':>8}")
    for task in tasks:
        vector = MiniWoBVector(min(32, episodes), task=task)
        solver, chance = (
            run_episodes(vector, policy, seed=0, episodes=episodes) for policy in (MiniWoB(task).expert(), Random())
        )
        vector.close()
        won, luck = (np.mean([episode.success for episode in played]) for played in (solver, chance))
        print(f"{task:28}{won:8.0%}{np.mean([e.length for e in solver]):7.1f}{luck:8.0%}", flush=True)
    keep.close()


if __name__ == "__main__":
    main()
