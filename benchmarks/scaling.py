"""What 10^6, 10^8 and 10^10 judgements take, worked out from rates that are measured here and some that are published.

    python benchmarks/scaling.py                       # measures for about a minute, prints the tables of docs/scaling.md
    python benchmarks/scaling.py --core-hour 0.03 --gpu-hour 1.8 --usd-in 0.05 --requests 2000

Measured, per second of processor time, so that other work on the machine is not in it: the embedded model's judgements;
what the asking process can send to a local Ray's worker, get back and store in its ledger (the model answers at once). Also
bytes of a judgement in the ledger, and how many of DoorKey's steps are distinct. Not measured, but options: prices, a large
model's judgements per GPU-second (Motif's published hours for 100,000 pairs on V100s come to 0.4 to 0.9), and the requests
per second that a hosted server lets one account have.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

from judging import observations, prompt
from ray_speed import ANSWERS, Instant, questions, workers

from plaudit.config import ClusterConfig, LLMConfig, WorldConfig
from plaudit.llms.base import Request
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import distinct_descriptions
from plaudit.seeds import COLLECT_SEED
from plaudit.stages.cluster import connect
from plaudit.stages.parts import make_envs, make_llm, make_world

COUNTS = (10**6, 10**8, 10**10)
HEADS = " | ".join(f"10^{math.log10(count):.0f}" for count in COUNTS) + " |\n| --- | --- | --- | --- | --- |"
DAY = 24.0
"""Hours in which the work shall be done."""
FILE_GB = 20.0
"""A ledger larger than this no longer fits into a machine's memory: keys are random, so storing one becomes a seek."""


def embedded_rate(count: int = 192) -> float:
    """Judgements of the embedded model per second of processor time; each prompt its own, the examples shared."""
    llm = make_llm(LLMConfig(threads=1))
    texts = [f"{text} Step {i}." for i, text in enumerate(observations(count))]
    asked = [Request(prompt(text), answers=ANSWERS) for text in texts]
    start = time.process_time()
    assert all(reply.status == "ok" for reply in llm.choose(asked))
    seconds = time.process_time() - start
    llm.close()
    return count / seconds


def driver_rate(count: int = 60_000) -> tuple[float, float]:
    """Judgements through a local Ray into a ledger per second of this process's time, and bytes of each on disk."""
    with tempfile.TemporaryDirectory() as folder, workers(Instant, 1, 256) as llm:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        asked = questions(count)
        start = time.process_time()
        LedgerLLM(llm, ledger).choose(asked)
        seconds = time.process_time() - start
        ledger.close()
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return count / seconds, size / count


def distinct(steps: int) -> int:
    """Different descriptions among so many random steps in DoorKey."""
    world, envs = make_world(WorldConfig()), make_envs(WorldConfig(), 64)
    return len(distinct_descriptions(world, envs, RandomPolicy(world.action_space, 0), steps, COLLECT_SEED))


def hours(value: float) -> str:
    if value < 1:
        return f"{60 * value:.0f} min"
    return f"{value:,.1f} h" if value < 100 else f"{value / DAY:,.0f} days"


def engines(options: argparse.Namespace, core: float) -> None:
    """Machines, time and money of what answers."""
    kinds = [
        ("embedded 135M, one core", core, options.core_hour),
        ("large model, one V100, published, slow", 0.4, options.gpu_hour),
        ("large model, one V100, published, fast", 0.9, options.gpu_hour),
    ]
    print(f"\n| who answers | judgements/s | {HEADS}")
    for name, each, price in kinds:
        cells = []
        for count in COUNTS:
            alone = count / each / 3600
            number = math.ceil(alone / DAY)
            cells.append(f"{number:,} for {hours(alone / number)}, ${alone * price:,.0f}")
        print(f"| {name} | {each:,.1f} | {' | '.join(cells)} |")
    tokens = options.tokens
    cells = [f"{hours(n / options.requests / 3600)}, ${n * tokens / 1e6 * options.usd_in:,.0f}" for n in COUNTS]
    print(
        f"| hosted, {options.requests:,} requests/s, {tokens} tokens each | {options.requests:,} | {' | '.join(cells)} |"
    )


def driver(stored: float, size: float) -> None:
    """What the asking process and its ledger need, and how many of them."""
    print(f"\n| the asking process | | {HEADS}")
    print(f"| one, sending and storing | {stored:,.0f}/s | {' | '.join(hours(n / stored / 3600) for n in COUNTS)} |")
    print(f"| its ledger | {size:,.0f} bytes each | {' | '.join(f'{n * size / 1e9:,.0f} GB' for n in COUNTS)} |")
    needed = [max(math.ceil(n / stored / 3600 / DAY), math.ceil(n * size / 1e9 / FILE_GB)) for n in COUNTS]
    print(f"| runs with a ledger each, for a day and {FILE_GB:.0f} GB | | {' | '.join(map(str, needed))} |")


def savings(steps: int) -> None:
    """What need not be asked at all."""
    found = distinct(steps)
    print(f"\n{steps:,} random steps in DoorKey: {found:,} distinct descriptions, {steps / found:,.0f} times fewer.")
    print(f"All ordered pairs of these: {found * (found - 1):,} questions; pointwise: {found:,}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core-hour", type=float, default=0.04, help="dollars for an hour of a core")
    parser.add_argument("--gpu-hour", type=float, default=2.0, help="dollars for an hour of a graphics card")
    parser.add_argument("--usd-in", type=float, default=0.10, help="dollars for a million tokens that a server reads")
    parser.add_argument("--tokens", type=int, default=400, help="tokens of a question")
    parser.add_argument("--requests", type=int, default=1000, help="requests per second that a server lets one have")
    parser.add_argument(
        "--steps", type=int, default=200_000, help="steps among which distinct descriptions are counted"
    )
    chosen = parser.parse_args()
    connect(ClusterConfig(on="ray", workers=1))
    engines(chosen, embedded_rate())
    driver(*driver_rate())
    savings(chosen.steps)
