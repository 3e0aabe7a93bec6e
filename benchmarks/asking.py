"""Every protocol, and pairs in one order beside both, on two kinds of pairs whose answer is known; embedded model, DoorKey.

Run: python benchmarks/asking.py. *progress*: the world's own progress differs (key in hand, door open), as in plaudit
calibrate. *events*: a person calls what has just happened good in the one and useless in the other (see wording.py). No
prompt was chosen on these observations, which come from seeds that calibrate alone uses.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from wording import GOOD, USELESS

from plaudit import prompts
from plaudit.config import LLMConfig, WorldConfig
from plaudit.envs import gridworld_words as words
from plaudit.judging.base import Pair, Protocol
from plaudit.judging.calibrate import half_width, known_pairs
from plaudit.judging.pairwise import Pairwise
from plaudit.judging.pointwise import Pointwise
from plaudit.judging.rating import Rating
from plaudit.judging.scale import Scale
from plaudit.judging.verdict import Verdict
from plaudit.llms.base import LLM
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import Seen, distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import make_envs, make_llm, make_world
from plaudit.types import Comparison, failure_rate, seat_statistics


def ways() -> list[tuple[str, Protocol]]:
    load = prompts.load
    return [
        ("pointwise", Pointwise(load("pointwise"))),
        ("scale", Scale(load("scale"))),
        ("rating", Rating(load("rating"))),
        ("pairwise", Pairwise(load("pairwise"))),
        ("pairwise, one order", Pairwise(load("pairwise"), both_orders=False)),
        ("verdict", Verdict(load("verdict"))),
        ("verdict, one order", Verdict(load("verdict"), both_orders=False)),
    ]


def event_pairs(seen: list[Seen], count: int) -> list[Pair]:
    """The better one first; each kind of event as often."""
    rng = np.random.default_rng(0)
    texts = {e: [s.text for s in seen if s.text.endswith(words.EVENTS[e])] for e in (*GOOD, *USELESS)}
    return [
        (str(rng.choice(texts[rng.choice(GOOD)])), str(rng.choice(texts[rng.choice(USELESS)]))) for _ in range(count)
    ]


def cells(llm: LLM, goal: str, protocol: Protocol, pairs: list[Pair]) -> str:
    """Accuracy, ties, unread, first seat, pairs/s; seats are drawn by a coin."""
    heads = np.random.default_rng(1).random(len(pairs)) < 0.5
    seated = [pair if head else pair[::-1] for pair, head in zip(pairs, heads, strict=True)]
    start = time.perf_counter()
    comparisons = protocol.compare(llm, goal, seated)
    seconds = time.perf_counter() - start
    right = [r for c, head in zip(comparisons, heads, strict=True) if (r := _right(c, bool(head))) is not None]
    accuracy, first = float(np.mean(right)) if right else 0.0, seat_statistics(comparisons).first_rate
    ties = float(np.mean([c.status == "tie" for c in comparisons]))
    return (
        f"{accuracy:6.0%} ±{half_width(accuracy, len(right)):.0%}{ties:6.0%}{failure_rate(comparisons):8.0%}"
        f"{'-' if first is None else f'{first:.0%}':>12}{len(pairs) / seconds:9.1f}"
    )


def _right(comparison: Comparison, first_is_better: bool) -> float | None:
    p = comparison.probability
    return None if p is None else 0.5 if p == 0.5 else float((p > 0.5) == first_is_better)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    count = parser.parse_args().pairs
    world = make_world(WorldConfig())
    policy, envs = RandomPolicy(world.action_space, 0), make_envs(WorldConfig(), 64)
    seen = distinct_descriptions(world, envs, policy, 200_000, CALIBRATION_SEED)
    known = known_pairs([s.text for s in seen], [s.progress / s.count for s in seen], count, 0)
    llm = make_llm(LLMConfig())
    for name, pairs in (("progress", known), ("events", event_pairs(seen, count))):
        print(f"{name}: {len(pairs)} pairs of {len({t for p in pairs for t in p})} descriptions")
        print(f"{'':24}accuracy   ties  unread  first seat  pairs/s")
        for label, protocol in ways():
            print(f"  {label:22}{cells(llm, world.goal, protocol, pairs)}", flush=True)


if __name__ == "__main__":
    main()
