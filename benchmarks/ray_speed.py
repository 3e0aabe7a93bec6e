"""Workers of a local Ray beside this process, and beside a pipeline of Ray Data: what a worker adds, what the way costs.

    python benchmarks/ray_speed.py                    # all parts, some minutes on two cores
    python benchmarks/ray_speed.py --parts overhead   # or: data, delay, server, embedded

overhead  a model that answers at once, here and through one worker: time per question, and of a call with one question
data      the same questions through ``ray.data``: ``map_batches`` over actors that make the model, blocks of the same size
delay     a model that takes 2 ms for each question, one worker and two
server    an echo server that takes 50 ms, and clients with at most 8 requests at once, one worker and two
embedded  the embedded model: one process with two threads, and two workers with one thread each

The sides of a part take turns; medians of the rounds, with their range. Where both sides need the processor, other work
on the machine is in the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from judging import PREFIX

from plaudit.config import ClusterConfig, LLMConfig
from plaudit.llms.base import LLM, Reply, Request
from plaudit.llms.on_ray import RayLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages.cluster import connect
from plaudit.stages.parts import make_llm

ANSWERS = (" Yes", " No")
REPLY = Reply("ok", logprobs=(-0.5, -1.0), lengths=(1, 1), prompt_tokens=250, new_tokens=2, seconds=0.01)


class Instant(ScriptedLLM):
    """Answers at once, or after so many seconds for each question."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def choose(self, requests: Sequence[Request], arrived: Any = None) -> list[Reply]:
        time.sleep(self.seconds * len(requests))
        return [REPLY for _ in requests]


def questions(count: int, tag: object = "") -> list[Request]:
    """Of about 1,000 characters, as annotate asks them; all of a tag differ from those of another."""
    prompts = (f"{PREFIX}Goal: reach the green square. Event: number {i} of {tag}. Progress?" for i in range(count))
    return [Request(text, answers=ANSWERS) for text in prompts]


def rate(llm: LLM, asked: Sequence[Request]) -> float:
    """Questions per second of one call."""
    start = time.perf_counter()
    replies = llm.choose(asked)
    seconds = time.perf_counter() - start
    assert all(reply.status == "ok" for reply in replies), next(r for r in replies if r.status != "ok")
    return len(asked) / seconds


def turns(rounds: int, sides: dict[str, Callable[[int], float]], unit: str = "questions/s") -> list[float]:
    """Each side's median of the rounds, printed."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            found[name].append(side(number))
    for name, each in found.items():
        print(
            f"  {name:44} {statistics.median(each):10,.1f} {unit}  ({min(each):,.1f} to {max(each):,.1f})", flush=True
        )
    return [statistics.median(each) for each in found.values()]


@contextlib.contextmanager
def workers(make: Callable[[], LLM], count: int, block: int = 0) -> Iterator[RayLLM]:
    """A model on so many workers, all of them ready."""
    llm = RayLLM(make, count, block=block)
    while len(llm.processes) < count:
        llm.choose(questions(2 * count))
    yield llm
    llm.close()


def overhead(rounds: int) -> None:
    """What a question costs on its way to a worker and back."""
    asked, local = questions(20_000), Instant()
    with workers(Instant, 1, 64) as llm:
        here, there, single = turns(
            rounds,
            {
                "in this process": lambda _: rate(local, asked),
                "through one worker, blocks of 64": lambda _: rate(llm, asked),
                "through one worker, one question a call": lambda _: statistics.median(
                    rate(llm, asked[i : i + 1]) for i in range(200)
                ),
            },
        )
    print(f"  a question in a block of 64 costs {1e6 * (1 / there - 1 / here):.0f} us, a call {1e3 / single:.1f} ms")


def data(rounds: int) -> None:
    """The same work by Ray Data."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False

    class Stage:
        def __init__(self) -> None:
            self.llm = Instant()

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            asked = [Request(**json.loads(text) | {"answers": ANSWERS, "stop": ()}) for text in batch["request"]]
            return {"place": batch["place"], "reply": [json.dumps(vars(r)) for r in self.llm.choose(asked)]}

    def piped(count: int) -> float:
        asked, start, came = questions(count), time.perf_counter(), 0
        rows = [{"place": i, "request": json.dumps(vars(r))} for i, r in enumerate(asked)]
        pool = ray.data.ActorPoolStrategy(size=1)
        blocks = ray.data.from_items(rows, override_num_blocks=-(-count // 64))
        for batch in blocks.map_batches(Stage, compute=pool, batch_size=None, num_cpus=1).iter_batches(batch_size=None):
            came += sum(Reply(**json.loads(text)).status == "ok" for text in batch["reply"])
        assert came == count
        return time.perf_counter() - start

    short, long = turns(
        rounds,
        {"Ray Data, a call with 64 questions": lambda _: piped(64), "... with 20,064": lambda _: piped(20_064)},
        "s",
    )
    print(f"  its start takes {short:.1f} s for every call; then {20_000 / (long - short):,.0f} questions/s")


def delay(rounds: int) -> None:
    """Two workers against one, where the model sleeps."""
    with workers(partial(Instant, 0.002), 1) as one, workers(partial(Instant, 0.002), 2) as two:
        asked = questions(4096)
        single, double = turns(
            rounds, {"one worker": lambda _: rate(one, asked), "two workers": lambda _: rate(two, asked)}
        )
    print(f"  two workers: {double / single:.2f} times one")


def server(rounds: int) -> None:
    """Two clients against one, where the server's answer takes its time."""
    tests = Path(__file__).parent.parent / "tests"
    code = f"import sys, time; sys.path.insert(0, {str(tests)!r}); import openai_echo as e\n"
    code += "with e.serve(seconds=0.05) as s: print(s.url, flush=True); time.sleep(3600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        make = partial(make_llm, LLMConfig(model=process.stdout.readline().strip(), concurrency=8))
        with workers(make, 1, 128) as one, workers(make, 2, 128) as two:
            single, double = turns(
                rounds,
                {
                    "one worker": lambda i: rate(one, questions(1024, f"a{i}")),
                    "two workers": lambda i: rate(two, questions(1024, f"b{i}")),
                },
            )
        print(f"  two workers: {double / single:.2f} times one")
    finally:
        process.terminate()
        process.wait()


def embedded(rounds: int) -> None:
    """The embedded model on two cores, divided in two ways."""
    whole = make_llm(LLMConfig(threads=2))
    with workers(partial(make_llm, LLMConfig(threads=1)), 2) as two:
        together, apart = turns(
            rounds,
            {
                "one process, two threads": lambda i: rate(whole, questions(256, f"c{i}")),
                "two workers, one thread each": lambda i: rate(two, questions(256, f"d{i}")),
            },
        )
    whole.close()
    print(f"  two workers: {apart / together:.2f} times one process with two threads")


PARTS = {part.__name__: part for part in (overhead, data, delay, server, embedded)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    connect(ClusterConfig(on="ray", workers=3))
    for name in options.parts:
        print(name, flush=True)
        PARTS[name](options.rounds)
