"""The kinds of examples, a function each: from a part's material to rows with a right answer.

``compare`` which of two observations is nearer to the goal; ``progress`` is this one good progress; ``next`` the true next
observation against another; ``inverse`` the true action against another; ``action`` what the expert does; ``caption`` a
picture in words. Each draws evenly over what it is about (levels of nearness, actions), seats and answers in turn.
A kind gives what there is, up to a number; whether that is enough is :mod:`plaudit.finetune.synthesize`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from plaudit.finetune.pool import Move, Pool, State
from plaudit.finetune.rows import Row, met, shown
from plaudit.finetune.settings import DataConfig
from plaudit.judging.selection import evenly

FRUITLESS = 50_000
"""Draws without a new pair, after which there are none left to speak of."""
TRIES = 20
"""Draws of another outcome or action before a step is left out."""


def level(value: float) -> str:
    """The tenth of the range that a state lies in."""
    return f"{round(value, 1):.1f}"


def seated(right: str, other: str, turn: int) -> dict[str, Any]:
    """The right one in the first and the second seat by turns."""
    return (
        {"answer": "B", "first": other, "second": right}
        if turn % 2
        else {"answer": "A", "first": right, "second": other}
    )


def compare(pool: Pool, data: DataConfig, count: int, rng: Generator) -> list[Row]:
    """Pairs with a clear gap; a share of them was met at the same step of two episodes.

    In those, how much time has passed tells nothing: without them a text that counts the steps gives the answer away.
    """
    known = [s for s in pool.states if np.isfinite(s.value)]
    found: dict[tuple[str, str], tuple[State, State]] = {}
    by_step: dict[int, list[State]] = {}
    for state in known:
        by_step.setdefault(state.visit.step, []).append(state)
    draw_pairs(list(by_step.values()), round(data.same_step * count), data.gap, rng, found)
    draw_pairs([known], count, data.gap, rng, found)
    order = rng.permutation(len(found)).tolist()
    pairs, rows = list(found.values()), []
    for turn, index in enumerate(order):
        a, b = pairs[index]
        seats = seated(a.visit.text, b.visit.text, turn)
        where = met(*((a.visit, b.visit) if seats["answer"] == "A" else (b.visit, a.visit)))
        seen = [shown(state.visit) for state in ((a, b) if seats["answer"] == "A" else (b, a))]
        images: dict[str, Any] = {"first_image": seen[0], "second_image": seen[1]}
        rows.append(Row("compare", value=a.value, gap=a.value - b.value, **images, **seats, **where))
    return rows


def draw_pairs(
    groups: Sequence[Sequence[State]],
    count: int,
    gap: float,
    rng: Generator,
    found: dict[tuple[str, str], tuple[State, State]],
) -> None:
    """Add pairs within a group until there are ``count``, the nearer one first.

    Groups are drawn evenly; one of the two evenly over levels, so that rare ones occur, and the other as they come, so that
    the rarest, such as the goal itself, is not in half of all pairs.
    """
    split: list[list[list[State]]] = []
    for group in groups:
        levels: dict[str, list[State]] = {}
        for state in group:
            levels.setdefault(level(state.value), []).append(state)
        if len(levels) > 1:
            split.append([levels[name] for name in sorted(levels)])
    every = [[state for part in levels for state in part] for levels in split]
    last, size = 0, len(found)
    for draw in range(100 * count if split else 0):
        if len(found) > size:
            last, size = draw, len(found)
        if size >= count or draw - last > FRUITLESS:
            return
        at = int(rng.integers(len(split)))
        among = split[at][int(rng.integers(len(split[at])))]
        one, other = (part[int(rng.integers(len(part)))] for part in (among, every[at]))
        worse, better = sorted((one, other), key=lambda state: state.value)
        alike = better.visit.image and better.visit.image == worse.visit.image  # a judge that sees could not tell
        if better.value - worse.value >= gap and not alike:
            found.setdefault((better.visit.text, worse.visit.text), (better, worse))


def progress(pool: Pool, data: DataConfig, count: int, rng: Generator) -> list[Row]:
    """As many yes as no, each drawn evenly over levels; what lies between is left out."""
    known = [s for s in pool.states if np.isfinite(s.value)]
    if data.progress == "step":
        known = [s for s in known if np.isfinite(s.change)]
        yes, no = [s for s in known if s.change >= data.gap], [s for s in known if s.change <= 0]
    else:
        low, high = thirds([s.value for s in known], data.gap)
        yes, no = [s for s in known if s.value >= high], [s for s in known if s.value <= low]
    each = min(len(yes), len(no), (count + 1) // 2)
    chosen = {
        answer: _evenly(part, [level(s.value) for s in part], each, rng) for answer, part in (("Yes", yes), ("No", no))
    }
    pairs = zip(chosen["Yes"], chosen["No"], strict=True)
    return [_progress(state, answer) for pair in pairs for state, answer in zip(pair, chosen, strict=True)][:count]


def _progress(state: State, answer: str) -> Row:
    seen = state.visit
    return Row("progress", answer, seen.text, value=state.value, gap=state.change, image=shown(seen), **met(seen))


def thirds(values: Sequence[float], gap: float) -> tuple[float, float]:
    """Ends of the lower and the upper third of these, at least ``gap`` apart.

    Where most values are the same (nothing reached yet, nearly there) one of the ends moves away from that heap, the one
    that leaves more to either side.
    """
    if not values:
        return float("nan"), float("nan")
    known = np.asarray(values)
    low, high = np.quantile(known, [1 / 3, 2 / 3], method="nearest")
    ways = ((low, max(high, low + gap)), (min(low, high - gap), high))
    a, b = max(ways, key=lambda way: min((known <= way[0]).sum(), (known >= way[1]).sum()))
    return float(a), float(b)


def following(pool: Pool, data: DataConfig, count: int, rng: Generator) -> list[Row]:
    """The true next observation against one from elsewhere, every other time from the same episode."""
    near: dict[int, list[str]] = {}
    for move in pool.moves:
        near.setdefault(move.after.episode, []).append(move.after.text)
    everywhere = [move.after.text for move in pool.moves]
    rows = list[Row]()
    for move in _over_actions(pool, rng):
        before, after = move.before, move.after
        possible = pool.led_to[before.text, after.action]
        for attempt in range(TRIES):
            among = near[after.episode] if len(rows) % 2 and attempt < TRIES // 2 else everywhere
            other = among[int(rng.integers(len(among)))]
            if other not in possible and other != before.text:
                seats = seated(after.text, other, len(rows))
                rows.append(Row("next", observation=before.text, action=after.action, **seats, **met(before, after)))
                break
        if len(rows) == count:
            break
    return rows


def inverse(pool: Pool, data: DataConfig, count: int, rng: Generator) -> list[Row]:
    """The true action against another that was never seen to have the effect that this one had."""
    actions = sorted({move.after.action for move in pool.moves})
    rows = list[Row]()
    for move in _over_actions(pool, rng):
        before, after = move.before, move.after
        for _ in range(TRIES):
            other = actions[int(rng.integers(len(actions)))]
            if after.event not in pool.caused[other]:
                seats = seated(after.action, other, len(rows))
                rows.append(
                    Row("inverse", observation=before.text, following=after.text, **seats, **met(before, after))
                )
                break
        if len(rows) == count:
            break
    return rows


def action(pool: Pool, data: DataConfig, count: int, rng: Generator) -> list[Row]:
    """What the expert does, drawn evenly over what it does."""
    chosen = _evenly(pool.advised, [word for _, word in pool.advised], count, rng)
    return [Row("action", word, visit.view, allowed=list(visit.allowed), **met(visit)) for visit, word in chosen]


def caption(pool: Pool, data: DataConfig, count: int, rng: Generator) -> list[Row]:
    """Pictures of distinct states with what is said of them, drawn evenly over levels."""
    seen = [s for s in pool.states if s.visit.image]
    chosen = _evenly(seen, [level(s.value) for s in seen], count, rng)
    return [Row("caption", s.visit.text, value=s.value, image=shown(s.visit), **met(s.visit)) for s in chosen]


MAKERS: dict[str, Callable[[Pool, DataConfig, int, Generator], list[Row]]] = {
    "compare": compare,
    "progress": progress,
    "next": following,
    "inverse": inverse,
    "action": action,
    "caption": caption,
}


def _over_actions(pool: Pool, rng: Generator) -> list[Move]:
    """All steps, shuffled so that each action comes equally often as far as there are."""
    return [pool.moves[i] for i in evenly([move.after.action for move in pool.moves], rng)]


def _evenly(items: Sequence[Any], kinds: Sequence[str], count: int, rng: Generator) -> list[Any]:
    return [items[i] for i in evenly(kinds, rng)[:count]]
