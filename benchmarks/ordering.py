"""Does it help the embedded model when prompts of one decode have like lengths?

    python benchmarks/ordering.py --world nethack
    python benchmarks/ordering.py --world miniwob:click-option

Pointwise questions about what a random policy meets, in calls of 16, which is one decode. *By text*: as the engine sorts
them, so that common beginnings come together. *By length*: the shortest first. *Mixed*: at random. Turns are interleaved;
processor time, since other processes may be about.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

from plaudit import prompts
from plaudit.config import LLMConfig, WorldConfig
from plaudit.llms.base import Request
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import make_envs, make_llm, make_world
from plaudit.world_file import split_task

CALL = 16


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--world", default="nethack")
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    config = WorldConfig(*split_task(options.world))
    world = make_world(config)
    envs, policy = make_envs(config, min(16, type(world).most_copies)), RandomPolicy(world.action_space, 0)
    seen = [s.text for s in distinct_descriptions(world, envs, policy, 40 * options.items, CALIBRATION_SEED)]
    texts = random.Random(0).sample(seen, min(options.items, len(seen)))
    prompt = prompts.load("pointwise")
    asked = [Request(prompt.fill(goal=world.goal, observation=t), answers=(" Yes", " No")) for t in texts]
    orders = {
        "by text": sorted(asked, key=lambda r: r.prompt),
        "by length": sorted(asked, key=lambda r: len(r.prompt)),
        "mixed": random.Random(1).sample(asked, len(asked)),
    }
    lengths = sorted(map(len, texts))
    print(f"{len(texts)} texts of {lengths[0]} to {lengths[-1]} characters, median {lengths[len(lengths) // 2]}")
    llm = make_llm(LLMConfig(threads=1))
    seconds: dict[str, list[float]] = {name: [] for name in orders}
    for _ in range(options.rounds):
        for name, requests in orders.items():
            llm.clear()  # type: ignore[attr-defined]
            start = time.process_time()
            for first in range(0, len(requests), CALL):
                llm.choose(requests[first : first + CALL])
            seconds[name].append(time.process_time() - start)
    for name, times in seconds.items():
        rates = [len(texts) / each for each in times]
        print(f"{name:10}{statistics.median(rates):8.2f} per s of processor ({min(rates):.2f} to {max(rates):.2f})")


if __name__ == "__main__":
    main()
