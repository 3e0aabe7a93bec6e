"""Judgements per second: a plain loop against the engine's batched ``choose``, same model, same observations.

    python benchmarks/judging.py              # about a minute
    python benchmarks/judging.py --threads 1

(a) one observation at a time, full prompt, 8 generated tokens, the packaged Q4_1 file; (b) the same, requantised to
Q4_0; (c) ``choose``: each distinct observation once, shared tokens once, batched, log-probabilities only. *Raw* is the
same file's prompt evaluation, one decode of 512 tokens, best of several: what the machine can do. (c)'s *share of raw*
counts only tokens that were really evaluated, over all the time that the call took, tokenising and numpy included.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Iterable, Sequence
from typing import Self

from plaudit.llms.base import Request
from plaudit.llms.embedded import EmbeddedLLM

PREFIX = """Each item tells what somebody has just done, and the goal. Answer whether it brings the goal nearer.

Goal: bake a loaf of bread. Event: She weighs the flour and mixes it with water, salt and yeast. Progress? Yes
Goal: bake a loaf of bread. Event: She looks out of the window at the rain for a while. Progress? No
Goal: repair the bicycle. Event: He takes the wheel off and finds the hole in the tube. Progress? Yes
Goal: repair the bicycle. Event: He puts the pump back on the shelf without having used it. Progress? No
Goal: win the chess game. Event: The knight forks the king and the queen, and the queen is lost. Progress? Yes
Goal: win the chess game. Event: The same two moves are repeated, and nothing has changed. Progress? No
Goal: send the letter. Event: The envelope is addressed, stamped and dropped into the box. Progress? Yes
Goal: send the letter. Event: The letter lies on the desk under a pile of old newspapers. Progress? No
Goal: cross the river. Event: They tie the logs together, and the raft carries one of them. Progress? Yes
Goal: cross the river. Event: They walk back to the camp where they had spent the night. Progress? No
Goal: learn the song. Event: He sings the first verse from memory, without a mistake. Progress? Yes
Goal: learn the song. Event: The book of songs stays closed on the piano all evening. Progress? No
"""


def observations(count: int = 150, seed: int = 0) -> list[str]:
    """Captions as of a DoorKey data set: a random walk among few states, so that about half of them come back."""
    draw = random.Random(seed)
    events = {"walks forward": 4, "turns left": 2, "turns right": 2, "bumps into a wall": 2}
    events |= {"picks up the key": 1, "opens the door": 1}
    key, door, distance = "lies on the floor", "locked", 5
    captions = []
    for step in range(count):
        if step % 50 == 0:
            key, door, distance = "lies on the floor", "locked", 5
        event = draw.choices(list(events), list(events.values()))[0]
        distance = max(0, min(7, distance + draw.choice((-1, 1)))) if event == "walks forward" else distance
        key = "is in its hand" if event == "picks up the key" else key
        door = "open" if event == "opens the door" and key == "is in its hand" else door
        captions.append(f"The agent {event}. The key {key}, the door is {door}, the goal is {distance} steps away.")
    return captions


def prompt(caption: str) -> str:
    return f"{PREFIX}Goal: reach the green square. Event: {caption} Progress?"


class Clock:
    """Wall and CPU seconds of a ``with`` block."""

    wall = cpu = 0.0

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu


def raw_speed(llm: EmbeddedLLM, repeats: int = 3) -> tuple[float, float]:
    """Tokens per second and per CPU-second of one decode of 512 new tokens: the best of the repeats."""
    long = Request("x" + " the" * 511, answers=(" Yes", " No"))
    wall = cpu = 0.0
    for _ in range(repeats):
        llm.clear()
        tokens, seconds = llm.stats.tokens, llm.stats.seconds
        with Clock() as clock:
            llm.choose([long])
        tokens, seconds = llm.stats.tokens - tokens, llm.stats.seconds - seconds
        assert tokens == 512, tokens
        wall, cpu = max(wall, tokens / seconds), max(cpu, tokens / clock.cpu)
    return wall, cpu


def plain_loop(llm: EmbeddedLLM, prompts: Sequence[str]) -> tuple[float, float]:
    """Judgements per second and CPU-second; the model is asked as a script would ask it."""
    with Clock() as clock:
        for text in prompts:
            llm.clear()
            llm.generate([Request(text, max_tokens=8)])
    return len(prompts) / clock.wall, len(prompts) / clock.cpu


def engine(llm: EmbeddedLLM, prompts: Sequence[str]) -> tuple[float, float, float, float]:
    """Judgements and evaluated tokens, each per second and CPU-second, from an empty cache."""
    llm.clear()
    before = llm.stats.tokens
    with Clock() as clock:
        replies = llm.choose([Request(text, answers=(" Yes", " No")) for text in prompts])
    assert all(reply.status == "ok" for reply in replies)
    tokens = llm.stats.tokens - before
    return len(prompts) / clock.wall, len(prompts) / clock.cpu, tokens / clock.wall, tokens / clock.cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, help="CPU threads (default: all that this process may use)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repetitions; medians are printed")
    parser.add_argument("--parallel", type=int, default=16, help="prompts in one decode of (c)")
    parser.add_argument("--spec", default="embedded", help="'embedded' or the path of a GGUF file")
    report(**vars(parser.parse_args()))


def report(
    threads: int | None,
    rounds: int,
    parallel: int,
    spec: str,
    captions: Iterable[str] | None = None,
) -> None:
    """Measure and print; ``captions`` may be any data set's observations in words."""
    prompts = [prompt(caption) for caption in (observations() if captions is None else captions)]
    slow = EmbeddedLLM(spec, threads=threads, parallel=1, quantize="none")
    quick = EmbeddedLLM(spec, threads=threads, parallel=1)
    batched = EmbeddedLLM(spec, threads=threads, parallel=parallel)
    lines: dict[str, list[tuple[float, ...]]] = {"raw": [], "a": [], "b": [], "c": []}
    for number in range(rounds):
        few = prompts[2 * number : 2 * number + 2]
        lines["raw"].append(raw_speed(batched))
        lines["a"].append(plain_loop(slow, few))
        lines["b"].append(plain_loop(quick, few))
        lines["c"].append(engine(batched, prompts))
    middle = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in lines.items()}
    raw, a, b, c = (middle[name] for name in ("raw", "a", "b", "c"))
    distinct = len(set(prompts))
    size = batched.choose([Request(prompts[0], answers=(" Yes", " No"))])[0].prompt_tokens
    print(f"{batched.name}, {batched.threads} threads")
    print(f"{len(prompts)} observations, {distinct} distinct, {size} tokens each with the prefix")
    print(f"raw prompt evaluation: {raw[0]:.0f} tokens/s, {raw[1]:.0f} per CPU-s")
    print(f"{'':34}{'judgements/s':>14}{'x (a)':>8}{'per CPU-s':>12}{'x (a)':>8}")
    rows = {"(a) plain loop, packaged file": a, "(b) plain loop, fast copy": b, "(c) choose": c}
    rows["(c) counting distinct ones only"] = [c[0] * distinct / len(prompts), c[1] * distinct / len(prompts)]
    for label, (wall, cpu, *_) in rows.items():
        print(f"{label:34}{wall:14.2f}{wall / a[0]:8.1f}{cpu:12.2f}{cpu / a[1]:8.1f}")
    print(f"(c) share of raw: {c[2] / raw[0]:.0%} by wall time, {c[3] / raw[1]:.0%} by CPU time")


if __name__ == "__main__":
    main()
