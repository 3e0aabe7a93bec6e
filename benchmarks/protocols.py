"""Judgements per second, accuracy and cost of each back-end with each protocol, on pairs whose answer is known.

    python benchmarks/protocols.py --llm embedded http://127.0.0.1:8080/v1 --pairs 60
    python benchmarks/protocols.py --llm embedded --protocols pointwise rating --chat --usd-in 0.4 --usd-out 1.6

The pairs are those of ``plaudit calibrate``: DoorKey observations that no reward is made from, ordered by the world's own
progress, which no prompt shows; the same for all. Pairwise protocols ask in both orders. Prints a Markdown table. *Unread*:
pairs without an answer that could be read. Money is reckoned for every back-end from its tokens at the prices given.
Back-ends take turns, so that a machine that is busy for a while slows all of them. Left out: repeats of the rates.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from plaudit import registry
from plaudit.config import CollectConfig, LLMConfig, WorldConfig
from plaudit.judging.calibrate import Calibration, known_pairs, measure
from plaudit.llms.base import LLM, Arrived, Reply, Request
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.models import make_llm
from plaudit.stages.parts import make_envs, make_world


@dataclass
class Counting:
    """A model that counts what it is asked."""

    llm: LLM
    name: str = ""
    questions: int = 0
    read: int = 0
    written: int = 0
    seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        return self._count(requests, self.llm.generate, arrived)

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        return self._count(requests, self.llm.choose, arrived)

    def _count(self, requests: Sequence[Request], call: object, arrived: Arrived | None) -> list[Reply]:
        start = time.perf_counter()
        replies: list[Reply] = call(requests, arrived)  # type: ignore[operator]
        self.seconds += time.perf_counter() - start
        self.questions += len(requests)
        self.read += sum(reply.prompt_tokens for reply in replies)
        self.written += sum(reply.new_tokens for reply in replies)
        for reply in replies:
            if reply.status != "ok":
                self.errors[reply.error[:60]] = self.errors.get(reply.error[:60], 0) + 1
        return replies

    def close(self) -> None:
        self.llm.close()


COLUMNS = (
    "back-end",
    "protocol",
    "pairs/s",
    "questions/s",
    "accuracy",
    "flips",
    "first seat",
    "unread",
    "tokens a question",
    "$ per 1,000 questions",
)


def row(title: str, seen: Calibration, counted: Counting, usd_in: float, usd_out: float) -> str:
    """One line of the table."""
    questions = max(1, counted.questions)
    usd = (counted.read * usd_in + counted.written * usd_out) / 1e6 / questions * 1000
    cells = (
        title,
        seen.protocol + (", chat" if seen.chat else ""),
        f"{seen.pairs_per_second:.2f}",
        f"{counted.questions / max(counted.seconds, 1e-9):.2f}",
        "-" if seen.accuracy is None else f"{seen.accuracy:.0%} ± {seen.interval:.0%}",
        "-" if seen.flip_rate is None else f"{seen.flip_rate:.0%}",
        "-" if seen.first_rate is None else f"{seen.first_rate:.0%}",
        f"{seen.failures:.0%}",
        f"{(counted.read + counted.written) / questions:.0f}",
        f"{usd:.4f}" if usd else "0",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--llm", nargs="+", default=["embedded"], help="whatever --llm of plaudit takes")
    parser.add_argument("--protocols", nargs="+", default=sorted(registry.entries("protocols")))
    parser.add_argument("--chat", action="store_true", help="each protocol with the model's chat template, too")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--world", default="doorkey")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of models inside this process")
    parser.add_argument("--usd-in", type=float, default=0.0, help="price of a million tokens read")
    parser.add_argument("--usd-out", type=float, default=0.0, help="price of a million tokens written")
    given = parser.parse_args()
    config, collect = WorldConfig(name=given.world), CollectConfig()
    world, envs = make_world(config), make_envs(config, collect.num_envs)
    policy = RandomPolicy(world.action_space, given.seed)
    seen = distinct_descriptions(world, envs, policy, collect.steps, CALIBRATION_SEED + given.seed)
    known = known_pairs([s.text for s in seen], [s.progress / s.count for s in seen], given.pairs, given.seed)
    llms = {spec: make_llm(LLMConfig(model=spec, threads=given.threads)) for spec in given.llm}
    for spec, llm in llms.items():
        print(f"{spec}: {llm.name}", flush=True)
    print(f"\n{len(known)} pairs of {given.world}\n\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    failures: dict[str, dict[str, int]] = {}
    for protocol in given.protocols:
        for chat in (False, True) if given.chat else (False,):
            for spec, llm in llms.items():
                counting = Counting(llm, llm.name)
                calibrated = measure(counting, world.goal, known, protocol, chat)
                print(row(spec, calibrated, counting, given.usd_in, given.usd_out), flush=True)
                if counting.errors:
                    failures[f"{spec}, {protocol}"] = counting.errors
    for where, errors in failures.items():
        print(f"\nfailures of {where}: {errors}")
    for llm in llms.values():
        llm.close()


if __name__ == "__main__":
    main()
