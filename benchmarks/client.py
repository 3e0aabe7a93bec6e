"""Requests per second of the client of OpenAI-compatible servers, beside a bare client of the same library.

    python benchmarks/client.py                                      # against an echo server in a process of its own
    python benchmarks/client.py --url http://127.0.0.1:8080/v1       # judgements against a real server, by fixed levels too

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


def measure(url: str, count: int, rounds: int, levels: list[int]) -> None:
    """Measure and print."""
    llm = OpenAIServer(url)
    rates: dict[str, list[float]] = {}
    for number in range(rounds):

        def fresh(kind: str, number: int = number) -> list[str]:  # nothing may come from a cache of whole prompts
            captions = observations(count, seed=number)
            return [prompt(f"{caption} Step {kind}{number}-{i}.") for i, caption in enumerate(captions)]

        for level in levels:
            rates.setdefault(f"bare, {level} at once", []).append(bare(url, llm.model, fresh(f"b{level}"), level))
        rates.setdefault("plaudit", []).append(own(llm, fresh("p")))
    print(f"{llm.name}, {rounds} rounds of {count} questions; plaudit's level at the end: {int(llm.pace.level)}")
    middle = {name: statistics.median(values) for name, values in rates.items()}
    best = max(rate for name, rate in middle.items() if name != "plaudit")
    for name, rate in middle.items():
        print(f"{name:20}{rate:9.1f}/s{rate / best:8.0%} of the best bare one")
    llm.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="a real server; without, the tests' echo server is started")
    parser.add_argument("--count", type=int, default=2000, help="questions of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--levels", type=int, nargs="+", default=[4, 16, 64], help="fixed levels of the bare client")
    given = parser.parse_args()
    if given.url:
        measure(given.url, given.count, given.rounds, given.levels)
        return
    script = Path(__file__).parent.parent / "tests" / "openai_echo.py"
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            measure(server.stdout.readline().strip(), given.count, given.rounds, given.levels)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
