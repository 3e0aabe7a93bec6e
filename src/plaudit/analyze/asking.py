"""Probes put to a model by log-probability, each in both orders, and what its answers come to.

The answer to a probe is the mean of both orders' log-odds, so that a preference for a seat cancels; half of their sum, as
seen from the seats, is that preference, in nats. Statistics: :mod:`plaudit.analysis.clustered`, by episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plaudit import prompts
from plaudit.analysis.clustered import Mean, clustered
from plaudit.analyze.base import Measure
from plaudit.analyze.probes import DISTRACTORS, KINDS, Probe, seatings
from plaudit.console import answers
from plaudit.llms.base import Reply, Request
from plaudit.llms.ledger import LedgerLLM

LETTERS = (" A", " B")
FIELDS = {
    "next": ("goal", "observation", "action", "first", "second"),
    "inverse": ("goal", "observation", "following", "first", "second"),
    "reachable": ("goal", "observation", "wanted", "steps", "first", "second"),
    "effect": ("goal", "observation", "action", "first", "second"),
}


@dataclass(frozen=True)
class Answer:
    """What a model said to one probe."""

    probe: Probe
    """The question."""
    forward: float
    """log P(A) - log P(B) with the right answer in the first seat, nats."""
    backward: float
    """The same with the right answer in the second seat."""

    @property
    def log_odds(self) -> float:
        """Of the right answer against the wrong one, both orders averaged; nats."""
        return (self.forward - self.backward) / 2

    @property
    def right(self) -> float:
        """1 for right, 0 for wrong, 0.5 where it cannot tell."""
        return 0.5 + 0.5 * float(np.sign(self.log_odds))

    @property
    def bias(self) -> float:
        """Preference for the first seat; nats."""
        return (self.forward + self.backward) / 2


def ask(llm: LedgerLLM, goal: str, probes: Sequence[Probe], wording: str, chat: bool) -> tuple[list[Answer], int]:
    """The answers, and how many probes have none because the model failed in one of the orders."""
    known = {kind: prompts.load(kind + wording) for kind in {probe.kind for probe in probes}}
    for kind, prompt in known.items():
        prompt.require(*FIELDS[kind])
    filled = [known[probe.kind].fill(goal=goal, **seats) for probe in probes for seats in seatings(probe)]
    requests = [Request(text, chat=chat, answers=LETTERS) for text in filled]
    with answers("probes", len(requests), llm.budget) as arrived:
        replies = llm.choose(requests, arrived)
    pairs = zip(probes, replies[::2], replies[1::2], strict=True)
    odds = [(probe, _odds(first), _odds(second)) for probe, first, second in pairs]
    found = [Answer(probe, a, b) for probe, a, b in odds if a is not None and b is not None]
    return found, len(probes) - len(found)


def _odds(reply: Reply) -> float | None:
    if reply.status != "ok" or len(reply.logprobs) != len(LETTERS):
        return None
    odds = reply.logprobs[0] - reply.logprobs[1]
    return float(odds) if np.isfinite(odds) else None


def mean(found: Sequence[Answer], of: Any, weights: Sequence[float] | None = None, share: bool = True) -> Mean:
    """The mean of something of each answer, with episodes as clusters."""
    return clustered([of(a) for a in found], [a.probe.transition.episode for a in found], weights, share)


def overall(found: Sequence[Answer]) -> Mean:
    """Accuracy over all probes, in which each kind counts alike, however many questions it has."""
    counts = {kind: sum(a.probe.kind == kind for a in found) for kind in KINDS}
    return mean(found, lambda a: a.right, [1 / counts[a.probe.kind] for a in found])


def measure(name: str, value: Mean | None, chance: float | None = None, share: bool = True, note: str = "") -> Measure:
    """A mean as the page shows it."""
    if value is None:
        return Measure(name, None, chance=chance, share=share, note=note)
    return Measure(name, value.value, value.low, value.high, value.n, chance, share, note)


def accuracies(found: Sequence[Answer]) -> list[Measure]:
    """Accuracy of each probe, and of each kind of wrong answer in it."""
    measures = list[Measure]()
    for kind, about in KINDS.items():
        own = [a for a in found if a.probe.kind == kind]
        if not own:
            continue
        measures.append(measure(f"{kind}: {about}", mean(own, lambda a: a.right), 0.5))
        for name, words in DISTRACTORS.items():
            part = [a for a in own if a.probe.distractor == name]
            if part and kind != "reachable":
                measures.append(measure(f"{kind}, against {words}", mean(part, lambda a: a.right), 0.5))
    return measures


def leanings(found: Sequence[Answer]) -> list[Measure]:
    """What the model prefers whatever is asked: a seat, or yes."""
    first = mean(found, lambda a: ((a.forward > 0) + (a.backward > 0)) / 2)
    nats = mean(found, lambda a: a.bias, share=False)
    measures = [
        measure("answers that name the first seat", first, 0.5, note="of both orders; averaging them takes it out"),
        measure("preference for the first seat, nats", nats, 0.0, share=False),
    ]
    asked = [a for a in found if a.probe.right in ("yes", "no") and a.probe.kind in ("reachable", "effect")]
    if asked:
        yes = mean(asked, lambda a: a.right if a.probe.right == "yes" else 1 - a.right)
        measures.append(measure("yes, where half are", yes, 0.5, note="reachable and effect"))
    return measures


def row(answer: Answer) -> dict[str, Any]:
    """A line of the table of single answers."""
    probe, t = answer.probe, answer.probe.transition
    said = {"log_odds": answer.log_odds, "forward": answer.forward, "backward": answer.backward, "right": answer.right}
    about = {"probe": probe.kind, "distractor": probe.distractor, "source": t.source}
    where = {"episode": t.episode, "seed": t.seed, "step": t.at}
    texts = {name: probe.fields.get(name, "") for name in ("observation", "action", "following", "wanted")}
    return about | where | texts | {"truth": probe.right, "other": probe.wrong} | said
