"""What to ask next: evenly over what has happened, or where an ensemble of reward models is least of one mind.

Plain numpy; the ensemble's opinions come in as an array. A pair is never asked twice, nor with its seats swapped, nor
with one text in both seats. :func:`flat` tells when more labels have stopped to help.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.judging.base import Pair

POOL = 20
"""Random pairs that are looked at for each one that is asked, where the most disputed are wanted."""


def draw(observations: Sequence[Mapping[str, Any]], items: int, pairs: int, seed: int) -> tuple[list[str], list[Pair]]:
    """Distinct descriptions to judge, evenly over what has happened, and random pairs of different ones among them.

    What matters happens rarely: drawn evenly over descriptions, most draws would miss the one that ends an episode well.
    ``observations`` have a ``text`` and an ``event`` each.
    """
    rng = np.random.default_rng(seed)
    chosen = evenly([row["event"] for row in observations], rng)[:items]
    texts = [observations[i]["text"] for i in chosen]
    return texts, random_pairs(texts, pairs, rng)


def evenly(events: Sequence[str], rng: np.random.Generator) -> list[int]:
    """All indices, shuffled so that every beginning of the list has each event equally often, as far as there are."""
    turn: Counter[str] = Counter()
    order: list[tuple[int, int, int]] = []
    for i in rng.permutation(len(events)).tolist():
        order.append((turn[events[i]], len(order), i))
        turn[events[i]] += 1
    return [i for *_, i in sorted(order)]


def random_pairs(texts: Sequence[str], pairs: int, rng: np.random.Generator) -> list[Pair]:
    """So many pairs of different ones, repeats among them."""
    first = rng.integers(0, len(texts), pairs)
    second = (first + rng.integers(1, max(2, len(texts)), pairs)) % len(texts)
    return [(texts[a], texts[b]) for a, b in zip(first, second, strict=True) if a != b]


def distinct(pairs: Iterable[Pair], asked: Iterable[Pair] = ()) -> list[Pair]:
    """These pairs in order, each once whichever way round, without those asked before and those of one text twice."""
    seen = {frozenset(pair) for pair in asked}
    found = []
    for pair in pairs:
        key = frozenset(pair)
        if len(key) == 2 and key not in seen:
            seen.add(key)
            found.append(pair)
    return found


def disputed_pairs(
    texts: Sequence[str], rewards: NDArray[np.floating], count: int, seed: int, asked: Iterable[Pair] = ()
) -> list[Pair]:
    """The ``count`` pairs about whose better one the ensemble is least of one mind, the most disputed first.

    ``rewards`` are those of each network for each text, ``(members, texts)``. Looked for among random pairs, ``POOL``
    for each one wanted: all pairs would be too many.
    """
    number = {text: i for i, text in enumerate(texts)}
    pool = distinct(random_pairs(texts, POOL * count, np.random.default_rng(seed)), asked)
    first, second = np.array([(number[a], number[b]) for a, b in pool], np.int64).reshape(-1, 2).T
    opinions = 1 / (1 + np.exp(-(rewards[:, first] - rewards[:, second]).astype(np.float64)))
    return [pool[i] for i in _widest(opinions)[:count]]


def disputed_items(
    texts: Sequence[str], rewards: NDArray[np.floating], count: int, judged: Iterable[str] = ()
) -> list[str]:
    """The ``count`` texts, not judged yet, whose reward the ensemble is least of one mind about; see above.

    Each network's mean is taken off first: preferences leave it open.
    """
    known = set(judged)
    order = _widest(rewards - rewards.mean(axis=1, keepdims=True))
    fresh = dict.fromkeys(texts[i] for i in order if texts[i] not in known)
    return list(fresh)[:count]


def _widest(opinions: NDArray[np.floating]) -> NDArray[np.int64]:
    """Columns of ``(members, n)`` by falling spread."""
    return np.argsort(-opinions.std(axis=0), kind="stable")


def flat(curve: Sequence[float], patience: int, tolerance: float = 0.01) -> bool:
    """Whether a learning curve has gone flat: its last ``patience`` values gained at most ``tolerance`` on the best before.

    ``curve`` holds the held-out accuracy after each round of labels, in order. Patience 0 never stops.
    """
    return 0 < patience < len(curve) and max(curve[-patience:]) <= max(curve[:-patience]) + tolerance
