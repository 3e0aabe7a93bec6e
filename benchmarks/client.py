"""Requests per second of the client of OpenAI-compatible servers, beside a bare client of the same library.

    python benchmarks/client.py                                      # against an echo server in a process of its own
    python benchmarks/client.py --url http://127.0.0.1:8080/v1       # judgements against a real server, by fixed levels too
    python benchmarks/client.py --slots 1 2 4 8 16 --python PATH     # llama-servers with so many slots, side by side; PATH
                                                                     # is a Python that has xllamacpp

Bare: the same questions by ``openai.AsyncOpenAI`` (``completions.create``) under a semaphore, at each of some fixed
levels. Own: ``OpenAIServer.choose``, which finds its level, reads strictly and keeps accounts. Rounds alternate; medians.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import openai
from judging import observations, prompt

from plaudit.llms.base import Request
from plaudit.llms.openai_server import OpenAIServer


def bare(url: str, model: str, prompts: list[str], level: int) -> float:
    """Requests per second of the library alone."""

    async def all_of_them() -> float:
        async with openai.AsyncOpenAI(base_url=url, api_key=os.environ.get("OPENAI_API_KEY", "none")) as client:
            places = asyncio.Semaphore(level)

            async def one(text: str) -> None:
                async with places:
                    got = await client.completions.create(
                        model=model, prompt=text, max_tokens=1, temperature=0, logprobs=20
                    )
                    assert got.choices[0].logprobs is not None

            start = time.perf_counter()
            await asyncio.gather(*map(one, prompts))
            return len(prompts) / (time.perf_counter() - start)

    return asyncio.run(all_of_them())


def own(llm: OpenAIServer, prompts: list[str]) -> float:
    """Requests per second of plaudit's client."""
    start = time.perf_counter()
    replies = llm.choose([Request(text, answers=(" Yes", " No")) for text in prompts])
    rate = len(prompts) / (time.perf_counter() - start)
    assert all(reply.status == "ok" for reply in replies), next(r for r in replies if r.status != "ok")
    return rate


@dataclass
class Served:
    """A server under test."""

    title: str
    llm: OpenAIServer
    levels: Sequence[int]
    rates: dict[str, list[float]] = field(default_factory=dict)
    """Questions per second of each client, a value for each round."""

    def round(self, number: int, count: int) -> None:
        """Each client once, with questions of its own."""

        def fresh(kind: str) -> list[str]:  # nothing may come from a cache of whole prompts
            captions = observations(count, seed=number)
            return [prompt(f"{caption} Step {kind}{number}-{i}.") for i, caption in enumerate(captions)]

        runs = {
            f"bare, {n} at once": partial(bare, self.llm.url, self.llm.model, fresh(f"b{n}"), n) for n in self.levels
        }
        runs["plaudit"] = partial(own, self.llm, fresh("p"))
        names = list(runs)
        for name in names[number % len(names) :] + names[: number % len(names)]:  # nobody is always the first
            self.rates.setdefault(name, []).append(runs[name]())


def report(servers: Sequence[Served]) -> None:
    """Medians, each beside the best bare client of all servers."""
    bare_ones = [(s, name) for s in servers for name in s.rates if name != "plaudit"]
    best, best_name = max(bare_ones, key=lambda pair: statistics.median(pair[0].rates[pair[1]]))
    for server in servers:
        print(f"{server.title}: {server.llm.name}; plaudit's level at the end: {int(server.llm.pace.level)}")
        for name in sorted(server.rates):
            values = server.rates[name]
            ratios = [value / other for value, other in zip(values, best.rates[best_name], strict=True)]
            print(
                f"  {name:20}{statistics.median(values):9.1f}/s ({min(values):.1f} to {max(values):.1f})"
                f"{statistics.median(ratios):8.0%} ({min(ratios):.0%} to {max(ratios):.0%}) of {best.title}, {best_name}"
            )


def measure(servers: list[Served], count: int, rounds: int) -> None:
    """Measure and print."""
    for server in servers:  # what is the same in all prompts is in the server's cache from here on
        own(server.llm, [prompt(caption) for caption in sorted(set(observations(count, seed=10**6)))[:16]])
    for number in range(rounds):
        for server in servers[number % len(servers) :] + servers[: number % len(servers)]:
            server.round(number, count)
    print(f"{rounds} rounds of {count} questions, median (least to most)")
    report(servers)
    for server in servers:
        server.llm.close()


@contextmanager
def started(*command: str) -> Iterator[str]:
    """A server in a process of its own, which prints its URL as the last word of a line."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line.strip().endswith("/v1"):
                    yield line.split()[-1]
                    return
            raise SystemExit(f"no server: {' '.join(command)}")
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="a real server; without, the tests' echo server is started")
    parser.add_argument("--count", type=int, default=2000, help="questions of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--levels", type=int, nargs="+", default=[4, 16, 64], help="fixed levels of the bare client")
    parser.add_argument("--slots", type=int, nargs="+", help="start llama-servers with so many slots")
    parser.add_argument("--python", default=sys.executable, help="a Python that has xllamacpp")
    parser.add_argument("--threads", type=int, default=2, help="of a llama-server")
    given = parser.parse_args()
    with ExitStack() as stack:
        here = Path(__file__).parent
        starts: list[tuple[str, AbstractContextManager[str], list[int]]]
        if given.slots:
            options = ("--fast", "--threads", str(given.threads), "--slots")
            script = str(here / "llama_server.py")
            starts = [(f"{n} slots", started(given.python, script, *options, str(n)), [n, 2 * n]) for n in given.slots]
        elif given.url:
            starts = [("given", nullcontext(given.url), given.levels)]
        else:
            echo = started(sys.executable, str(here.parent / "tests" / "openai_echo.py"))
            starts = [("echo server", echo, given.levels)]
        servers = [Served(title, OpenAIServer(stack.enter_context(url)), levels) for title, url, levels in starts]
        measure(servers, given.count, given.rounds)


if __name__ == "__main__":
    main()
