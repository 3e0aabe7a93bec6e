"""What to ask next: evenly over what has happened, or where an ensemble of reward models is least of one mind.

Plain numpy over the items' numbers; pairs are rows of ``(k, 2)``, the ensemble's opinions come in as an array. A pair is
never asked twice, nor with its seats swapped, nor with one item in both seats. :func:`flat` tells when more labels have
stopped to help.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pairs = NDArray[np.int64]
"""Numbers of two items each, ``(k, 2)``."""
POOL = 20
"""Random pairs that are looked at for each one that is asked, where the most disputed are wanted."""
MOST = 4096
"""Items whose order can be kept as a table of all pairs."""
NONE: Pairs = np.zeros((0, 2), np.int64)


def evenly(events: ArrayLike, rng: np.random.Generator) -> NDArray[np.int64]:
    """All numbers, shuffled so that every beginning has each event equally often, as far as there are.

    What matters happens rarely: drawn evenly over descriptions, most draws would miss the one that ends an episode well.
    ``events`` is one number for each item, equal where the same has happened.
    """
    shuffled = rng.permutation(len(np.asarray(events)))
    happened = np.asarray(events)[shuffled]
    by_event = np.argsort(happened, kind="stable")
    ordered = happened[by_event]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else by_event
    turn = np.empty_like(by_event)  # how many of its event come before it
    turn[by_event] = np.arange(len(ordered)) - np.repeat(first, np.diff(np.r_[first, len(ordered)]))
    return shuffled[np.argsort(turn, kind="stable")]


def random_pairs(items: int, pairs: int, rng: np.random.Generator) -> Pairs:
    """So many pairs of different ones, repeats among them; none where there are no two."""
    if items < 2:
        return NONE
    first = rng.integers(0, items, pairs)
    second = (first + rng.integers(1, items, pairs)) % items
    return np.stack([first, second], axis=1)


def distinct(pairs: Pairs, asked: Pairs = NONE) -> Pairs:
    """These pairs in order, each once whichever way round, without those asked before and those of one item twice."""
    both = np.concatenate([asked, pairs])
    low, high = both.min(axis=1), both.max(axis=1)
    _, first = np.unique(low * (high.max(initial=0) + 1) + high, return_index=True)
    kept = np.sort(first[(first >= len(asked)) & (low != high)[first]])
    return both[kept]


def disputed_pairs(rewards: NDArray[np.floating], count: int, seed: int, asked: Pairs = NONE) -> Pairs:
    """The ``count`` pairs about whose better one the ensemble is least of one mind, the most disputed first.

    ``rewards`` are those of each network for each item, ``(members, items)``. Looked for among random pairs, ``POOL``
    for each one wanted: all pairs would be too many.
    """
    pool = distinct(random_pairs(rewards.shape[1], POOL * count, np.random.default_rng(seed)), asked)
    opinions = 1 / (1 + np.exp(-(rewards[:, pool[:, 0]] - rewards[:, pool[:, 1]]).astype(np.float64)))
    return pool[_widest(opinions)[:count]]


def disputed_items(rewards: NDArray[np.floating], count: int, judged: Sequence[int] | Pairs = ()) -> NDArray[np.int64]:
    """The ``count`` items, not judged yet, whose reward the ensemble is least of one mind about; see above.

    Each network's mean is taken off first: preferences leave it open.
    """
    order = _widest(rewards - rewards.mean(axis=1, keepdims=True))
    return order[~np.isin(order, judged)][:count]


def _widest(opinions: NDArray[np.floating]) -> NDArray[np.int64]:
    """Columns of ``(members, n)`` by falling spread."""
    return np.argsort(-opinions.std(axis=0), kind="stable")


def flat(curve: Sequence[float], patience: int, tolerance: float = 0.01) -> bool:
    """Whether a learning curve has gone flat: its last ``patience`` values gained at most ``tolerance`` on the best before.

    ``curve`` holds the held-out accuracy after each round of labels, in order. Patience 0 never stops.
    """
    return 0 < patience < len(curve) and max(curve[-patience:]) <= max(curve[:-patience]) + tolerance


class Order:
    """What follows from the answers so far, if one takes them to be transitive: which of two items is better.

    Pairs are matched as in a Swiss tournament: neighbours by how many items each is known to be better than, less how many
    are better than it, so that about n log2 n answers settle all n (n - 1) / 2 pairs. A cycle counts as settled.
    """

    def __init__(self, items: int) -> None:
        self.better = np.zeros((items, items), bool)
        """Whether the row's item is better than the column's, by one answer or by a chain of them."""
        self._closed = np.eye(items, dtype=bool)

    @property
    def settled(self) -> float:
        """Share of all pairs whose order is known."""
        known = self.better | self.better.T
        return float((known.sum() - known.trace()) / max(1, len(known) * (len(known) - 1)))

    def add(self, pairs: Pairs, probability: NDArray[np.float64]) -> None:
        """Take in answers; ties and failures (NaN) settle nothing but are not asked again."""
        for (a, b), p in zip(pairs.tolist(), probability.tolist(), strict=True):
            self._closed[a, b] = self._closed[b, a] = True
            if p > 0.5 or p < 0.5:
                winner, loser = (a, b) if p > 0.5 else (b, a)
                if not self.better[winner, loser]:
                    above, below = self.better[:, winner].copy(), self.better[loser].copy()
                    above[winner] = below[loser] = True
                    self.better[above] |= below

    def next_pairs(self, count: int, rng: np.random.Generator) -> Pairs:
        """At most so many pairs that can be asked together, no item twice; none where all is settled."""
        lead = self.better.sum(axis=1) - self.better.sum(axis=0)
        order = np.lexsort((rng.random(len(lead)), lead))
        is_open = ~(self.better | self.better.T | self._closed)[np.ix_(order, order)]
        free, found = np.ones(len(order), bool), []
        for i in range(len(order)):
            if free[i]:
                later = np.flatnonzero(is_open[i, i + 1 :] & free[i + 1 :])
                if len(later):
                    found.append((i, i + 1 + int(later[0])))
                    free[[i, i + 1 + int(later[0])]] = False
        pairs = order[np.array(found, np.int64).reshape(-1, 2)]
        return rng.permutation(pairs)[:count]
