"""Runs a reward program that an LLM wrote: restricted Python in a worker process, never as the user, in batches.

    with Sandbox("def reward(features, next_features): ...") as sandbox:
        rewards = sandbox.rewards([({"door": "locked"}, {"door": "open"})])      # (n,) float64

The interpreter is ``pydantic-monty``: a Python in Rust that has no file, socket, process, clock or source of randomness
to give. Here it gets limits of time, memory and depth, and a session of its own for each batch, in which the program is
run twice, the second time from anew and in reverse order. Both runs must agree: so nothing that a program keeps between
calls (a counter, the state before, an edited feature) can reach a reward, from one batch to the next or within one.
Whatever goes wrong is a :class:`~plaudit.errors.RewardCodeError` with a named kind (:data:`KINDS`).

Features travel as one JSON text and each distinct dictionary once; that, and a loop inside the worker, is what makes it
fast (benchmarks/sandbox.py). Left out: several workers for one program, the program's own output.
Source: https://github.com/pydantic/monty (MIT).
"""

from __future__ import annotations

import json
import math
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import MissingExtraError, RewardCodeError
from plaudit.rewards.sandbox_errors import Output, explain, shown

Features = Mapping[str, bool | int | float | str]
Pair = tuple[Features, Features]
"""What a step started from and what it led to."""

BATCH = 8192
"""Pairs in one session of the worker."""
CALL_SECONDS = 0.02
"""Time that every batch may take, however small it is."""
GRACE_SECONDS = 0.5
"""Beyond its limit a worker that does not stop by itself is killed after this long."""
LARGEST = float(np.finfo(np.float32).max)

# Runs inside the worker. The program has a namespace of its own, so it sees and changes none of these names.
HARNESS = """
import json

def load():
    namespace = {"__name__": "reward_program"}
    exec(program, namespace)
    return namespace.get("reward")

def ask(reward, rows, order, results):
    for before, after in order:
        results.append(reward(rows[before], rows[after]))

table, places = json.loads(text)
order = list(zip(places[::2], places[1::2]))
copies = [row.copy() for row in table]
reward = load()
results, again = [], []
if reward is not None:
    ask(reward, table, order, results)
    ask(load(), copies, order[::-1], again)
(results, results == again[::-1]) if reward is not None else None
"""


@dataclass(frozen=True)
class Limits:
    """What a reward program may use."""

    seconds: float = 2.0
    """Longest time in one go, for a batch of any size."""
    memory_mb: int = 64
    """Memory of the program in MiB, its input not counted."""
    recursion: int = 100
    """Calls within calls."""
    output: int = 10_000
    """Characters that it may print in one batch; they are thrown away."""
    characters: int = 20_000
    """Length of the program."""
    states_per_second: float = 500.0
    """Speed that it must keep on average, beside ``seconds`` once."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"the limit {name} must be above 0, got {value!r}")


class Sandbox:
    """One reward program in a worker process, which starts with the first batch and ends with :meth:`close`.

    The worker also ends when this object is collected and when this process ends, in whatever way.
    """

    def __init__(self, program: str, limits: Limits | None = None) -> None:
        self.program, self.limits = program, limits or Limits()
        self._credit = self.limits.seconds
        self._pool: Any = None
        self._stop: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Sandbox], tuple[str, Limits]]:
        return Sandbox, (self.program, self.limits)

    def close(self) -> None:
        """End the worker; another batch would start a new one."""
        if self._stop is not None:
            self._stop()
        self._pool = self._stop = None

    def rewards(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """The program's reward for each pair, ``(n,)``, finite and within float32. A part-by-part result is summed."""
        parts = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
        return np.concatenate([np.zeros(0), *(self._totals(part) for part in parts)])

    def components(self, pairs: Sequence[Pair]) -> list[dict[str, float]]:
        """The named parts of each reward; ``{"reward": r}`` where the program gives a number."""
        found: list[dict[str, float]] = []
        for start in range(0, len(pairs), BATCH):
            part = pairs[start : start + BATCH]
            results, same = self._run(part)
            found += [_parts(result, pair) for result, pair in zip(results, part, strict=True)]
            _check_same(same)
        return found

    def _totals(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        results, same = self._run(pairs)
        try:
            totals = np.array(results, np.float64) if set(map(type, results)) <= {float, int, bool} else None
        except OverflowError:
            totals = None
        if totals is None or not (np.abs(totals) <= LARGEST).all():  # slow and exact: it finds and shows the culprit
            sums = [math.fsum(_parts(result, pair).values()) for result, pair in zip(results, pairs, strict=True)]
            totals = np.array([_number(value, pair) for value, pair in zip(sums, pairs, strict=True)], np.float64)
        _check_same(same)
        return totals

    def _run(self, pairs: Sequence[Pair]) -> tuple[list[Any], bool]:
        """What the program returned for each pair, unchecked, and whether it did so again in the other order."""
        if not self.program.strip():
            raise RewardCodeError("empty", "there is no program.")
        if len(self.program) > self.limits.characters:
            raise RewardCodeError(
                "too-long",
                f"the program has {len(self.program):,} characters, the limit is {self.limits.characters:,}.",
            )
        flat = list(chain.from_iterable(pairs))
        keys = list(map(id, flat))
        table = dict(zip(keys, flat, strict=True))
        place = dict(zip(table, range(len(table)), strict=True))
        text = json.dumps([list(table.values()), list(map(place.__getitem__, keys))])
        inputs = {"program": self.program.encode("utf-8", "replace").decode(), "text": text}
        return self._feed(inputs, pairs)

    def _feed(self, inputs: dict[str, Any], pairs: Sequence[Pair]) -> tuple[list[Any], bool]:
        pool = self._worker()
        import pydantic_monty

        self._credit += CALL_SECONDS + len(pairs) / self.limits.states_per_second
        seconds = max(0.0, min(self.limits.seconds, self._credit))
        limits: pydantic_monty.ResourceLimits = {
            "max_feed_duration_secs": seconds,
            # Measured: rows and results of the harness take 8 to 12 bytes for each character of the text.
            "max_memory": (self.limits.memory_mb << 20) + 16 * len(inputs["text"]),
            "max_recursion_depth": self.limits.recursion,
            "max_suspensions": 100,
            "max_total_sleep_secs": 0.0,
        }
        # Asked of a host that answers nothing: there is no clock, no sleep and no randomness.
        nothing: pydantic_monty.OSPolicy = {"datetime": "call_host", "sleep": "call_host", "random_start": "call_host"}
        output, start = Output(self.limits.output), time.perf_counter()
        try:
            with pool.checkout(limits=limits, os_policy=nothing) as session:
                try:
                    found = session.feed_run(HARNESS, inputs=inputs, print_callback=output)
                except pydantic_monty.MontyError as error:
                    hurried = seconds < self.limits.seconds
                    raise explain(error, self.program, output, hurried, _culprit(session, pairs)) from None
        except (pydantic_monty.MontyError, TimeoutError, RuntimeError, ValueError) as error:
            raise RewardCodeError("crashed", f"the sandbox's worker broke down: {str(error)[:300]}") from None
        finally:
            self._credit -= time.perf_counter() - start
        if found is None:
            raise RewardCodeError("missing-function", "the program does not define reward(features, next_features).")
        return found

    def _worker(self) -> Any:
        if _started_in - {os.getpid()}:
            # pydantic-monty's threads do not live on in a fork: a call would wait for ever.
            raise RewardCodeError("crashed", "a sandbox was used before this process was forked. Start it by spawn.")
        if self._pool is not None:
            return self._pool
        try:
            from pydantic_monty import Monty

            self._pool = Monty(
                max_processes=1,
                request_timeout=self.limits.seconds + 10,
                checkout_timeout=10,
                feed_duration_limit_grace=GRACE_SECONDS,
            ).__enter__()
        except (ModuleNotFoundError, FileNotFoundError):
            raise MissingExtraError("reward programs need pydantic-monty. Type: pip install 'plaudit[code]'") from None
        _started_in.add(os.getpid())
        self._stop = weakref.finalize(self, _stop, self._pool, os.getpid())
        return self._pool


_started_in: set[int] = set()
"""The process in which sandboxes are used."""


def _stop(pool: Any, process: int) -> None:
    if process == os.getpid():  # a fork must leave its parent's worker alone
        pool.__exit__(None, None, None)


def _culprit(session: Any, pairs: Sequence[Pair]) -> Pair | None:
    """The pair that the program failed on; None where that cannot be told."""
    try:
        done, repeated = session.feed_run("(len(results), len(again))")
    except Exception:  # the worker may be gone, or have stopped before the first call
        return None
    position = len(pairs) - 1 - repeated if done == len(pairs) else done
    return pairs[position] if 0 <= position < len(pairs) else None


def _check_same(same: bool) -> None:
    if not same:
        raise RewardCodeError(
            "stateful",
            "the same features got another reward when the calls came in another order. A reward may depend on features "
            "and next_features alone: keep nothing between calls and do not change the dictionaries.",
        )


def _parts(result: Any, pair: Pair) -> dict[str, float]:
    if not isinstance(result, dict):
        return {"reward": _number(result, pair)}
    if not result or not all(isinstance(name, str) for name in result):
        raise RewardCodeError("not-a-number", f"the parts of a reward need names, got {shown(result)}.")
    return {name: _number(value, pair) for name, value in result.items()}


def _number(value: Any, pair: Pair) -> float:
    """A finite number within float32; True and False are 1 and 0, as a condition that is returned."""
    if not isinstance(value, bool | int | float):
        kind, wrong = "not-a-number", f"returned {shown(value)}, which is not a number"
    elif isinstance(value, float) and not math.isfinite(value):
        kind, wrong = "not-finite", f"returned {value}"
    elif abs(value) > LARGEST:
        kind, wrong = "too-large", f"returned a number beyond {LARGEST:.1e}"
    else:
        return float(value)
    raise RewardCodeError(kind, f"reward(features, next_features) {wrong}, for {shown(pair[0])} and {shown(pair[1])}.")
