"""Before any training: is a reward program usable? It is run on recorded transitions, and nothing of the world's own
reward, progress or success is looked at.

It must load, give a finite number for every recorded pair of features, not the same one everywhere, the same ones
whatever came before, and be quick enough for the trainer. What the numbers are like is recorded beside.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import RewardCodeError
from plaudit.rewards.sandbox import CALL_SECONDS, Limits, Pair, Sandbox
from plaudit.rewards.sandbox_errors import folded

ALONE = 32
"""Pairs that are also put to the program one by one, each in a session of its own."""
MIXED = 2048
"""Pairs that are also put to it in another order and in batches of another size."""
SMALL_BATCH = 97


@dataclass(frozen=True)
class Check:
    """What became of one program on the recorded transitions."""

    status: str
    """``ok``, or the kind of failure: see ``sandbox_errors.KINDS``."""
    reason: str
    """What went wrong, in words, with the lines that led to it; empty where it is ok."""
    states: int
    """Pairs of features that it was run on, all different."""
    mean: float | None = None
    """Mean reward over them; None, like the rest, where there are no rewards."""
    std: float | None = None
    """Standard deviation."""
    low: float | None = None
    """Smallest reward."""
    high: float | None = None
    """Largest reward."""
    distinct: float | None = None
    """Different rewards, as a share of the pairs."""
    common: float | None = None
    """Share of the pairs that get the most common reward."""
    states_per_second: float | None = None
    """Speed, both runs of the sandbox and the transport included."""


def check_program(
    program: str, pairs: Sequence[Pair], limits: Limits | None = None
) -> tuple[Check, NDArray[np.float64] | None]:
    """The check, and the reward of each pair, ``(n,)``, where it is ok."""
    if not pairs:
        raise ValueError("a reward program is checked on recorded transitions, got none")
    with Sandbox(program, limits) as sandbox:
        try:
            sandbox.rewards(pairs[:1])  # the worker's start is not the program's speed
            start = time.perf_counter()
            rewards = sandbox.rewards(pairs)
            seconds = time.perf_counter() - start
            speed = len(pairs) / seconds
            _check_order(sandbox, pairs, rewards)
        except RewardCodeError as error:
            return Check(error.kind, error.message, len(pairs)), None
        values, counts = np.unique(rewards, return_counts=True)
        status, reason = "ok", ""
        if len(values) == 1:
            status = "constant"
            reason = f"the reward is {values[0]:g} for all {len(pairs)} recorded steps; it must tell steps apart."
            if strange := unknown_texts(program, pairs):
                reason += f" These texts are no feature and no value of one: {', '.join(strange)}."
        elif seconds > CALL_SECONDS + len(pairs) / sandbox.limits.states_per_second:
            status = "too-slow"
            reason = f"{speed:,.0f} states/s; at least {sandbox.limits.states_per_second:,.0f} are needed."
    check = Check(
        status,
        reason,
        states=len(pairs),
        mean=float(rewards.mean()),
        std=float(rewards.std()),
        low=float(values[0]),
        high=float(values[-1]),
        distinct=len(values) / len(pairs),
        common=float(counts.max()) / len(pairs),
        states_per_second=speed,
    )
    return check, rewards if status == "ok" else None


def unknown_texts(program: str, pairs: Sequence[Pair], limit: int = 5) -> list[str]:
    """Quoted texts of the program that no recorded feature is called or holds: the usual reason for a constant reward."""
    known = {text for pair in pairs for features in pair for text in (*features, *features.values())}
    quoted = re.findall(r'"([^"\n]*)"|\'([^\'\n]*)\'', program)
    texts = dict.fromkeys(folded(double or single, 100) for double, single in quoted)
    return [json.dumps(text) for text in texts if text and text not in known][:limit]


def _check_order(sandbox: Sandbox, pairs: Sequence[Pair], rewards: NDArray[np.float64]) -> None:
    """The sandbox compares two orders of a batch; here other batches, and pairs that come alone."""
    order = np.random.default_rng(0).permutation(len(pairs))
    mixed, alone = order[:MIXED], order[-ALONE:]
    batches = [*np.array_split(mixed, max(1, len(mixed) // SMALL_BATCH)), *alone[:, None]]
    for batch in batches:
        if not np.array_equal(sandbox.rewards([pairs[i] for i in batch]), rewards[batch]):
            raise RewardCodeError("stateful", "the same features got another reward in another batch of steps.")
