"""Questions about a world's dynamics, each with a right and a wrong answer that the program knows.

``next`` which observation follows an action; ``inverse`` which action led from one observation to another; ``reachable``
can this be seen within so many actions; ``effect`` does this action change anything. The wrong answer of the first two,
and what cannot be reached, come from anywhere (``random``), from the same episode, or are hard: one step off, or what
another action would have led to. No wrong answer is right by chance: what an action was seen to lead to from the same
words, here or in a copy, is none. As many yes as no are asked, of the same actions as far as there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator

from plaudit.analyze.transitions import Copies, Outcome, Taken, Transition
from plaudit.judging.selection import evenly

KINDS = {
    "next": "what follows an action",
    "inverse": "which action it was",
    "reachable": "can this be reached",
    "effect": "does an action change anything",
}
"""The probes, and what each asks."""
DISTRACTORS = {
    "random": "a random one",
    "episode": "one of the same episode",
    "step": "one step off",
    "action": "what another action leads to",
}
"""Where wrong answers come from; the last two are the hard ones."""
ALTERNATIVES = 7
"""Other actions that are tried in each state."""
TRIES = 40
"""Draws of a wrong answer before a question is left out."""


@dataclass(frozen=True)
class Probe:
    """One question."""

    kind: str
    """next, inverse, reachable or effect."""
    distractor: str
    """Where the wrong answer comes from, or what cannot be reached; empty where it is yes or no alone."""
    transition: Transition
    """What it is about."""
    right: str
    """The right answer: an observation, an action, yes or no."""
    wrong: str
    """The wrong one."""
    fields: dict[str, str] = field(default_factory=dict)
    """What else is filled into the prompt."""


@dataclass
class Material:
    """All that was met."""

    transitions: Sequence[Transition]
    """Every step of every episode."""
    copies: Copies
    """For what other actions lead to."""
    horizon: int
    """reachable: so many actions."""
    rollouts: int
    """reachable: ways that are tried, at most."""

    def __post_init__(self) -> None:
        self.led_to: dict[tuple[str, str], set[str]] = {}
        self.followed: dict[str, set[str]] = {}
        self.asked: set[tuple[str, ...]] = set()
        for t in self.transitions:
            self.led_to.setdefault((t.before.text, t.after.action), set()).add(t.after.text)
            later = {step.text for step in t.steps[t.at : t.at + self.horizon]}
            self.followed.setdefault(t.before.text, set()).update(later)

    def outcomes(self, t: Transition, tried: Sequence[Taken]) -> list[Outcome]:
        """What each of these actions leads to in a copy; that counts as seen from then on."""
        found = self.copies.outcomes(t, tried)
        for outcome in found:
            self.led_to.setdefault((t.before.text, outcome.word), set()).add(outcome.text)
        return found

    def sound(self, probes: Sequence[Probe]) -> list[Probe]:
        """Those whose wrong answer is still wrong, now that all copies have been tried."""
        return [probe for probe in probes if not self._also_right(probe)]

    def _also_right(self, probe: Probe) -> bool:
        before, after = probe.transition.before.text, probe.transition.after
        if probe.kind == "next":
            return probe.wrong in self.led_to[before, after.action]
        return probe.kind == "inverse" and after.text in self.led_to[before, probe.wrong]

    def fresh(self, *question: str) -> bool:
        """Whether this was not asked yet; it now is. A question that stands for two would count as two."""
        new = question not in self.asked
        self.asked.add(question)
        return new

    def chosen(self, count: int, rng: Generator) -> list[Transition]:
        """So many transitions, drawn evenly over what happened in them."""
        events = [self.copies.world.event(t.after.observation) for t in self.transitions]
        return [self.transitions[i] for i in evenly(events, rng)[:count].tolist()]


def next_probes(material: Material, chosen: Sequence[Transition], rng: Generator) -> Iterator[Probe]:
    """The true next observation against another."""
    for turn, t in enumerate(chosen):
        possible = material.led_to[t.before.text, t.after.action]
        near = t.steps[t.at + 1 : t.at + 2] if turn % 2 else [t.before]
        others = material.outcomes(t, material.copies.others(t, rng, ALTERNATIVES))
        sources: dict[str, list[str]] = {  # the hard ones first: there are the fewest of them
            "step": [step.text for step in near or [t.before]],
            "action": [outcome.text for outcome in others],
            "episode": _shuffled([s.text for s in t.steps if abs(s.step - t.at) > 1], rng),
            "random": _random_texts(material, t, rng),
        }
        question = (t.before.text, t.after.action, t.after.text)
        for name, texts in sources.items():
            wrong = next((x for x in texts if x not in possible and material.fresh("next", *question, x)), None)
            if wrong is not None:
                shown = {"observation": t.before.text, "action": t.after.action}
                yield Probe("next", name, t, t.after.text, wrong, shown)


def inverse_probes(material: Material, chosen: Sequence[Transition], rng: Generator) -> Iterator[Probe]:
    """The true action against another that leads elsewhere, here in a copy and wherever the words are the same."""
    every = list(dict.fromkeys(t.after.action for t in material.transitions))
    for turn, t in enumerate(chosen):
        listed = dict([*material.copies.pool, *material.copies.others(t, rng, 10**9)])
        own = [s.action for s in t.steps if s.action and abs(s.step - t.at) > 1]
        near = [s.action for s in (t.steps[t.at - 1], *t.steps[t.at + 1 : t.at + 2]) if s.action]
        sources = {
            "step": near if turn % 2 else near[::-1],
            "episode": _shuffled(list(dict.fromkeys(own)), rng),
            "random": _shuffled(every, rng),
        }
        question = (t.before.text, t.after.text, t.after.action)
        for name, words in sources.items():
            tried = [(word, listed[word]) for word in words if word != t.after.action and word in listed][:ALTERNATIVES]
            for outcome in material.outcomes(t, tried):
                word = outcome.word
                possible = material.led_to[t.before.text, word]  # from the same words elsewhere, too
                if t.after.text not in possible and material.fresh("inverse", *question, word):
                    shown = {"observation": t.before.text, "following": t.after.text}
                    yield Probe("inverse", name, t, t.after.action, word, shown)
                    break


def effect_probes(material: Material, chosen: Sequence[Transition], rng: Generator) -> Iterator[Probe]:
    """As many actions that change something as that do not, of the same actions as far as there are."""
    met: dict[tuple[str, bool], list[Transition]] = {}
    for t in chosen:
        for outcome in material.outcomes(t, [t.taken, *material.copies.others(t, rng, ALTERNATIVES)]):
            if outcome.changes is not None and material.fresh("effect", t.before.text, outcome.word):
                met.setdefault((outcome.word, outcome.changes), []).append(t)
    words = sorted({word for word, _ in met})
    pairs = list[tuple[str, str]]()
    left = {key: _shuffled(found, rng) for key, found in met.items()}
    for turn in range(len(chosen)):  # round by round, so that no action has more than its share
        pairs += [(word, word) for word in words if all(len(left.get((word, b), ())) > turn for b in (True, False))]
    matched = {word: sum(pair[0] == word for pair in pairs) for word in words}
    rest = [[w for w in words for _ in left.get((w, b), [])[matched[w] :]] for b in (True, False)]
    pairs += zip(*(_shuffled(part, rng) for part in rest), strict=False)
    for yes, no in pairs[: len(chosen) // 2]:
        for word, truth in ((yes, True), (no, False)):
            t = left[word, truth].pop()
            answer, other = ("yes", "no") if truth else ("no", "yes")
            yield Probe("effect", "", t, answer, other, {"observation": t.before.text, "action": word})


def reachable_probes(material: Material, chosen: Sequence[Transition], rng: Generator) -> Iterator[Probe]:
    """What can be seen within so many actions, and what cannot, in turn."""
    kinds = ("random", "episode", "step")
    for turn, t in enumerate(chosen[: len(chosen) // 2]):
        reached = material.copies.within(t, material.horizon, material.rollouts, rng)
        possible = reached | material.followed[t.before.text] | {t.before.text}
        end = t.at + material.horizon
        sources = {
            "random": _random_texts(material, t, rng),
            "episode": _shuffled([s.text for s in t.steps if s.step >= end + 3 or s.step < t.at - 1], rng),
            "step": [s.text for s in t.steps[end : end + 3]],
        }
        order = [kinds[(turn + i) % len(kinds)] for i in range(len(kinds))]
        fresh = [x for x in _shuffled(sorted(reached), rng) if ("reachable", t.before.text, x) not in material.asked]
        far = next(
            (
                (name, x)
                for name in order
                for x in sources[name]
                if x not in possible and ("reachable", t.before.text, x) not in material.asked
            ),
            None,
        )
        if far is None or not fresh:
            continue
        near = fresh[0]
        material.asked |= {("reachable", t.before.text, near), ("reachable", t.before.text, far[1])}
        shown = {"observation": t.before.text, "steps": str(material.horizon)}
        yield Probe("reachable", far[0], t, "yes", "no", shown | {"wanted": near})
        yield Probe("reachable", far[0], t, "no", "yes", shown | {"wanted": far[1]})


MAKERS: dict[str, Callable[[Material, Sequence[Transition], Generator], Iterator[Probe]]] = {
    "next": next_probes,
    "inverse": inverse_probes,
    "reachable": reachable_probes,
    "effect": effect_probes,
}


def _random_texts(material: Material, t: Transition, rng: Generator) -> list[str]:
    drawn = rng.integers(len(material.transitions), size=TRIES).tolist()
    return [material.transitions[i].after.text for i in drawn if material.transitions[i].episode != t.episode]


def _shuffled(items: Sequence[Any], rng: Generator) -> list[Any]:
    return [items[i] for i in rng.permutation(len(items)).tolist()]


def seatings(probe: Probe) -> tuple[dict[str, str], dict[str, str]]:
    """The fields of the prompt with the right answer in the first seat, and in the second."""
    return (
        probe.fields | {"first": probe.right, "second": probe.wrong},
        probe.fields | {"first": probe.wrong, "second": probe.right},
    )


def by_action_alone(probes: Sequence[Probe]) -> float | None:
    """effect: how often one is right who knows each action's usual answer and looks at nothing else."""
    answers: dict[str, list[bool]] = {}
    for probe in probes:
        if probe.kind == "effect":
            answers.setdefault(probe.fields["action"], []).append(probe.right == "yes")
    rights = [max(sum(each), len(each) - sum(each)) for each in answers.values()]
    return float(np.sum(rights) / sum(map(len, answers.values()))) if answers else None
