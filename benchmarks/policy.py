"""Actions per second of an acting LLM: the batched policy behind its ledger, beside a plain loop, same model and steps.

    python benchmarks/policy.py        # a few minutes

Plain loop: one observation at a time, the whole prompt, the action generated (8 tokens), nothing shared or remembered.
The same random walk of observations is put to each. *Distinct* counts each distinct situation once, as if none came back.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.llms.base import Request
from plaudit.llms.embedded import EmbeddedLLM
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.policies.llm import LLMPolicy, PolicyOptions
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import walk
from plaudit.vector import rows, take

COPIES, STEPS, ROUNDS = 32, 12, 3


def seen(start: int) -> list[Any]:
    """What 32 copies see in some steps of a random walk."""
    world = DoorKey(8, render_mode=None)
    made = walk(DoorKeyVector(COPIES, 8), RandomPolicy(world.action_space, start), 700_000_000 + start * 1000)
    return [step.before for step in islice(made, STEPS)]


def plain(llm: EmbeddedLLM, world: DoorKey, batches: list[Any], count: int = 12) -> float:
    """Actions per second of the plain loop, over a few of the observations."""
    policy = LLMPolicy(llm, world, PolicyOptions())
    singles = rows(take(batches[-1], list(range(count))))
    start = time.perf_counter()
    for one in singles:
        prompt = policy.prompt.fill(
            goal=world.goal, rules=world.rules, observation=world.describe(one), cue="Action:", examples="", history="",
            reasoning="",
        )  # fmt: skip
        llm.clear()  # nothing is shared with the one before
        world.parse_action(llm.generate([Request(prompt, max_tokens=8, stop=("\n",))])[0].text)
    return count / (time.perf_counter() - start)


def batched(llm: EmbeddedLLM, world: DoorKey, batches: list[Any], options: PolicyOptions) -> tuple[float, float]:
    """(actions per second, distinct situations per second)."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "l.sqlite")
        policy = LLMPolicy(LedgerLLM(llm, ledger), world, options)
        policy.reset(np.ones(COPIES, bool))
        llm.clear()
        start = time.perf_counter()
        for batch in batches:
            policy.act(batch)
        seconds = time.perf_counter() - start
        ledger.close()
    distinct = len({said.text for said in policy.log})
    return COPIES * len(batches) / seconds, distinct / seconds


def main() -> None:
    """Rounds in turn; medians and ratios."""
    world, llm = DoorKey(8, render_mode=None), EmbeddedLLM()
    ways = {"choose": PolicyOptions(max_tokens=8), "generate": PolicyOptions(action="generate", max_tokens=8)}
    loops, found = list[float](), {name: list[tuple[float, float]]() for name in ways}
    for number in range(ROUNDS):
        batches = seen(number)
        loops.append(plain(llm, world, batches))
        for name, options in ways.items():
            found[name].append(batched(llm, world, batches, options))
    print(f"plain loop: {statistics.median(loops):.2f} actions/s")
    for name, speeds in found.items():
        for what, at in (("repeats counted", 0), ("distinct only", 1)):
            value = statistics.median(s[at] for s in speeds)
            ratio = statistics.median(s[at] / loop for s, loop in zip(speeds, loops, strict=True))
            print(f"{name}, {what}: {value:.1f} actions/s, {ratio:.1f} times the plain loop")
    llm.close()


if __name__ == "__main__":
    main()
