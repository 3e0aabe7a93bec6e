"""The work of the embedded engine, without the engine: requests as tasks, prompts as one tree of tokens.

Tokens that several prompts begin with are one node each. :func:`plan_nodes` lists the nodes that still have to be
evaluated, each with the sequences that it belongs to and with who wants the row of logits after it. Plain Python.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from plaudit.llms.base import Reply, Request

Tokens = tuple[int, ...]


@dataclass
class Row:
    """The model's opinion on the next token, fetched as far as it is wanted: a row of logits costs milliseconds."""

    best: Callable[[], int]
    logits: Callable[[], NDArray[np.float32]]


Taker = Callable[[Row], None]


@dataclass(eq=False)
class Task:
    """One distinct request, the places in the call that it answers, and what its reply is made of."""

    request: Request
    places: list[int] = field(default_factory=list)
    prompt: Tokens = ()
    answers: tuple[Tokens, ...] = ()
    sums: list[float] = field(default_factory=list)
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    done: bool = False

    def fail(self, reason: str) -> None:
        self.error, self.done = reason, True

    def reply(self) -> Reply:
        seconds, used = self.seconds / len(self.places), len(self.prompt)
        if self.error:
            return Reply("error", prompt_tokens=used, seconds=seconds, error=self.error)
        lengths = tuple(map(len, self.answers))
        return Reply("ok", self.text, tuple(self.sums), lengths, used, sum(lengths) + len(self.tokens), seconds)


class Question(Task):
    """A request of ``choose``: sums each answer's log-probability over its tokens (teacher forcing)."""

    def rows(self) -> Iterator[tuple[Tokens, Taker]]:
        """Paths of tokens, and who wants the row at their ends. One row scores all answers that go on from it."""
        rows: dict[Tokens, list[tuple[int, int]]] = {}
        for number, answer in enumerate(self.answers):
            for depth, token in enumerate(answer):
                rows.setdefault(answer[:depth], []).append((number, token))
        self.sums, self._missing = [0.0] * len(self.answers), len(rows)
        for start, wanted in sorted(rows.items()):
            yield self.prompt + start, partial(self._take, wanted)

    def _take(self, wanted: list[tuple[int, int]], row: Row) -> None:
        logits = row.logits()
        top = logits.max()
        log_total = float(top) + float(np.log(np.exp(logits - top).sum(dtype=np.float64)))
        if not np.isfinite(log_total):
            self.fail("the model's output is not finite; try another model")
        for number, token in wanted:
            self.sums[number] += float(logits[token]) - log_total
        self._missing -= 1
        self.done = self.done or self._missing == 0


class Writer(Task):
    """A request of ``generate``: picks a token from each row, until it is done."""

    def begin(self, detokenise: Callable[[list[int]], str], ends: Callable[[int], bool]) -> None:
        # The prompt is part of the seed: else all prompts of a batch drew the same numbers, and were correlated.
        seed = [self.request.seed, zlib.crc32(self.request.prompt.encode())]
        self._random, self._detokenise, self._ends = np.random.default_rng(seed), detokenise, ends

    def take(self, row: Row) -> None:
        self.tokens.append(row.best() if self.request.temperature <= 0 else self._sample(row.logits()))
        if self._ends(self.tokens[-1]):
            self.done = True
            return
        text = self._detokenise(self.tokens)
        cuts = [at for stop in self.request.stop if (at := text.find(stop)) >= 0]
        self.text = text[: min(cuts)] if cuts else text
        self.done = bool(cuts) or len(self.tokens) >= self.request.max_tokens

    def _sample(self, logits: NDArray[np.float32]) -> int:
        heaped = np.exp((logits - logits.max()).astype(np.float64) / self.request.temperature).cumsum()
        return int(heaped.searchsorted(self._random.random() * heaped[-1], side="right"))


@dataclass(eq=False)
class Strand:
    """A path from the tree's root to a leaf: what one sequence of the KV cache holds."""

    tasks: list[Task]
    path: Tokens
    takers: dict[int, list[Taker]]
    """Number of the path's first tokens -> who wants the row after them."""
    writer: Writer | None = None
    seq: int = 0
    keep: int = 0
    """Number of first tokens that are copied from the held sequence."""

    def leads_to(self, path: Tokens, task: Task) -> bool:
        """Whether this task's path goes on from this strand: the same tokens stand for the same images only."""
        return path[: len(self.path)] == self.path and task.request.images == self.tasks[0].request.images

    def cells(self, before: Tokens) -> int:
        """At most so many beyond those of the path before: own tokens, some evaluated again, and some to come."""
        again = len(self.path) - min(self.takers) + 1
        to_come = self.writer.request.max_tokens if self.writer else 0
        return len(self.path) - common_length(self.path, before) + again + to_come


@dataclass(eq=False)
class Node:
    """A token to evaluate, the sequences that it belongs to, and who wants the row after it."""

    token: int
    pos: int
    seqs: list[int] = field(default_factory=list)
    takers: list[Taker] = field(default_factory=list)


def common_length(a: Tokens, b: Tokens) -> int:
    """Length of the common beginning, by bisection: slices compare faster than a loop runs."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle - 1)
    return low


def plan_nodes(strands: list[Strand], held: Tokens) -> list[Node]:
    """The nodes of the strands' tree that are not in the held sequence, parents first.

    llama.cpp lets sequences share a new token only if they have equally much in the cache; therefore a strand shares
    new nodes with its neighbour only where both keep the same part of the held sequence.
    """
    plan: list[Node] = []
    nodes: dict[int, Node] = {}
    before: Strand | None = None
    for strand in strands:
        strand.keep = begin = min(common_length(strand.path, held), min(strand.takers) - 1)
        if before and before.keep <= begin < (shared := common_length(strand.path, before.path)):
            strand.keep, begin = before.keep, shared
        nodes = {at: nodes[at] for at in range(strand.keep, begin)}
        for at in range(begin, len(strand.path)):
            nodes[at] = Node(strand.path[at], at)
            plan.append(nodes[at])
        for at, node in nodes.items():
            node.seqs.append(strand.seq)
            node.takers += strand.takers.get(at + 1, [])
        before = strand
    return plan
