"""Records the pairs of observations with a known order that forgetting is measured on, one file for each world.

Run: python benchmarks/world_pairs.py doorkey wordle --pairs 100. As plaudit calibrate does: observations on calibration's
seeds, which no run and no training text comes from, ordered by the world's own progress.
Files are written once and then kept, so that models stay comparable; --again replaces one.
"""

from __future__ import annotations

import argparse
import json
from importlib import resources
from pathlib import Path
from typing import Any

from plaudit import registry
from plaudit.config import RunConfig, WorldConfig
from plaudit.judging.calibrate import known_pairs
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import make_envs, make_world
from plaudit.world_file import split_task

FOLDER = Path(str(resources.files("plaudit.finetune.general_sets"))) / "worlds"


def record(name: str, steps: int, pairs: int, seed: int) -> dict[str, Any]:
    base, task = split_task(name)
    config = WorldConfig(name=base, task=task)
    world = make_world(config)
    copies = min(RunConfig().collect.num_envs, registry.load("worlds", base).most_copies)
    envs = make_envs(config, copies)
    policy = RandomPolicy(world.action_space, seed)
    seen = distinct_descriptions(world, envs, policy, steps, CALIBRATION_SEED + seed)
    envs.close()
    known = known_pairs([s.text for s in seen], [s.progress / s.count for s in seen], pairs, seed)
    texts = sorted({text for pair in known for text in pair})
    place = {text: i for i, text in enumerate(texts)}
    return {
        "goal": world.goal,
        "made": f"a random policy, {steps} steps in {copies} copies, seed {CALIBRATION_SEED + seed}; pairs whose progress "
        "differs by 0.15 or more, levels drawn evenly",
        "texts": texts,
        "pairs": [[place[better], place[worse]] for better, worse in known],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("worlds", nargs="+")
    parser.add_argument("--steps", type=int, default=RunConfig().collect.steps)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name in args.worlds:
        path = FOLDER / f"{name.replace(':', '-')}.json"
        if path.exists() and not args.again:
            print(f"{path.name} is there; --again replaces it")
            continue
        data = record(name, args.steps, args.pairs, args.seed)
        path.write_text(json.dumps(data, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(data['pairs'])} pairs of {len(data['texts'])} observations")


if __name__ == "__main__":
    main()
