"""Actions per second of the acting LLM: a plain loop against the policy over many copies, same model, same situations.

    python benchmarks/policy.py               # a few minutes
    python benchmarks/policy.py --copies 16

The loop is what a script does: one copy after the other, the whole prompt anew, the action written, a situation that
comes again asked again. The policy asks for all copies at once, behind a ledger: shared beginnings are read once, and so
are situations that come again. *Distinct* counts each situation once, *all* every action. A random policy walks, so that
both are given the same, and situations come again as rarely as they can; the ledger is empty at the start of each round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.llms.base import Request
from plaudit.llms.embedded import EmbeddedLLM
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.policies.llm import LLMPolicy, PolicyOptions
from plaudit.policies.questions import Questions
from plaudit.vector import rows

WAYS = {"choose": PolicyOptions(), "generate": PolicyOptions(action="generate")}


def situations(copies: int, steps: int, size: int, seed: int) -> list[Any]:
    """What the copies see, step by step, while they act at random."""
    envs, random = DoorKeyVector(copies, size), np.random.default_rng(seed)
    batches = [envs.reset(seed=seed)[0]]
    for _ in range(steps - 1):
        batches.append(envs.step(random.integers(0, 7, copies))[0])
    return batches


def plain_loop(llm: EmbeddedLLM, prompts: list[str], max_tokens: int) -> float:
    """Actions per second where every prompt is read from its first token on, and the action is written."""
    start = time.perf_counter()
    for text in prompts:
        llm.clear()
        llm.generate([Request(text, max_tokens=max_tokens, stop=("\n",))])
    return len(prompts) / (time.perf_counter() - start)


def policy(llm: EmbeddedLLM, world: DoorKey, options: PolicyOptions, batches: list[Any]) -> tuple[float, float]:
    """Actions per second, each situation counted once and all counted, from an empty cache and an empty ledger."""
    llm.clear()
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        acting = LLMPolicy(LedgerLLM(llm, ledger), world, options)
        start = time.perf_counter()
        for batch in batches:
            acting.act(batch)
        seconds = time.perf_counter() - start
        ledger.close()
    return len({said.text for said in acting.log}) / seconds, len(acting.log) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--copies", type=int, default=32, help="copies of the world")
    parser.add_argument("--steps", type=int, default=4, help="steps of each copy in a round")
    parser.add_argument("--size", type=int, default=8, help="side of the world")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repetitions; medians are printed")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all that this process may use)")
    args = parser.parse_args()
    world, llm = DoorKey(args.size), EmbeddedLLM(threads=args.threads)
    questions = Questions(world, "", (), 0, "any")
    loops, found = list[float](), {way: list[tuple[float, float]]() for way in WAYS}
    for number in range(args.rounds):
        batches = situations(args.copies, args.steps, args.size, number)
        few = [questions.ask("act", world.describe(one)) for one in rows(batches[-1])[:4]]
        loops.append(plain_loop(llm, few, WAYS["generate"].max_tokens))
        for way, options in WAYS.items():
            found[way].append(policy(llm, world, options, batches))
    loop = statistics.median(loops)
    print(f"{llm.name}, {llm.threads} threads; {args.copies} copies, {args.steps} steps, {args.rounds} rounds")
    print(f"{'':28}{'actions/s':>12}{'x loop':>9}")
    print(f"{'plain loop':28}{loop:12.2f}{1:9.1f}")
    for way, values in found.items():
        for label, column in zip(("distinct", "all"), zip(*values, strict=True), strict=True):
            middle = statistics.median(column)
            print(f"{f'policy, {way}, {label}':28}{middle:12.2f}{middle / loop:9.1f}")


if __name__ == "__main__":
    main()
