"""What a part's examples may be made of: its states and steps, each text on one side of the split only.

A text that both parts met goes to one of them by its own hash; a step counts only where both of its ends are on the same
side. So a held-out example never shows a text that training has shown, though small worlds say the same in many episodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from plaudit.finetune.gather import Part, Visit, digest


@dataclass(frozen=True)
class State:
    """A distinct description."""

    visit: Visit
    """Where it was met first."""
    value: float
    """How near the goal, 0 to 1 over the range met in training, which held-out ones may leave; the mean over the times that
    it was met. NaN: not known."""
    change: float
    """By how much the steps that led to it came nearer, on the same scale, in the mean; NaN where none did."""


@dataclass(frozen=True)
class Move:
    """A step between two different states."""

    before: Visit
    after: Visit


@dataclass(frozen=True)
class Pool:
    """A part's material."""

    part: Part
    states: list[State]
    """Distinct descriptions, in the order in which they were met."""
    moves: list[Move]
    """Steps, distinct in what was seen, done and seen next."""
    advised: list[tuple[Visit, str]]
    """Distinct views, and what the expert would do in each."""
    led_to: dict[tuple[str, str], frozenset[str]]
    """All that a text and an action were seen to lead to, in either part."""
    caused: dict[str, frozenset[str]]
    """All events that an action was seen to lead to anywhere, in either part."""


def pools(visits: dict[Part, list[Visit]], held_out: float, seed: int) -> dict[Part, Pool]:
    """Each part's material."""
    side = sides(visits, held_out, seed)
    known = [v.truth for v in visits["train"] if np.isfinite(v.truth)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    scale = (high - low) or float("nan")
    steps = {part: list(pairs(each)) for part, each in visits.items()}
    led_to: dict[tuple[str, str], set[str]] = {}
    caused: dict[str, set[str]] = {}
    for before, after in (pair for each in steps.values() for pair in each):
        led_to.setdefault((before.text, after.action), set()).add(after.text)
        caused.setdefault(after.action, set()).add(after.event)
    outcomes = {key: frozenset(texts) for key, texts in led_to.items()}
    effects = {action: frozenset(events) for action, events in caused.items()}
    return {
        part: Pool(
            part,
            states(visits[part], side, part, low, scale),
            moves(steps[part], side, part),
            advised(visits[part], side, part),
            outcomes,
            effects,
        )
        for part in visits
    }


def sides(visits: dict[Part, list[Visit]], held_out: float, seed: int) -> dict[str, Part]:
    """Which part each text and picture belongs to, what a judge is shown and what one who acts is shown alike."""
    met: dict[str, set[Part]] = {}
    for part, each in visits.items():
        for visit in each:
            for text in (visit.text, visit.view, *([digest(visit.image)] if visit.image else ())):
                met.setdefault(text, set()).add(part)
    found: dict[str, Part] = {}
    for text, parts in met.items():
        if len(parts) == 1:
            (found[text],) = parts
        else:
            hashed = blake2b(text.encode("utf-8", "replace"), digest_size=8, salt=str(seed).encode()).digest()
            found[text] = "held_out" if int.from_bytes(hashed) / 2**64 < held_out else "train"
    return found


def pairs(visits: Sequence[Visit]) -> Iterable[tuple[Visit, Visit]]:
    """Each state with the one that followed it in its episode."""
    return ((a, b) for a, b in pairwise(visits) if a.episode == b.episode)


def states(visits: Sequence[Visit], side: dict[str, Part], part: Part, low: float, scale: float) -> list[State]:
    """Distinct descriptions of this side."""
    values: dict[str, list[float]] = {}
    changes: dict[str, list[float]] = {}
    first: dict[str, Visit] = {}
    for visit in visits:
        if side[visit.text] == part:
            first.setdefault(visit.text, visit)
            values.setdefault(visit.text, []).append((visit.truth - low) / scale)
    for before, after in pairs(visits):
        changes.setdefault(after.text, []).append((after.truth - before.truth) / scale)
    nothing = [float("nan")]
    return [
        State(v, float(np.mean(values[t])), float(np.mean(changes.get(t, nothing))))
        for t, v in first.items()
        if not v.image or side[digest(v.image)] == part
    ]


def moves(steps: Sequence[tuple[Visit, Visit]], side: dict[str, Part], part: Part) -> list[Move]:
    """Distinct steps of this side."""
    found: dict[tuple[str, str, str], Move] = {}
    for before, after in steps:
        if after.native and side[before.text] == side[after.text] == part and before.text != after.text:
            found.setdefault((before.text, after.action, after.text), Move(before, after))
    return list(found.values())


def advised(visits: Sequence[Visit], side: dict[str, Part], part: Part) -> list[tuple[Visit, str]]:
    """What the expert would do in each distinct view of this side; where it did not always do the same, most often."""
    first: dict[str, Visit] = {}
    told: dict[str, Counter[str]] = {}
    for before, after in pairs(visits):
        if after.advice and after.native and side[before.view] == part:
            first.setdefault(before.view, before)
            told.setdefault(before.view, Counter())[after.advice] += 1
    return [(visit, told[view].most_common(1)[0][0]) for view, visit in first.items()]
