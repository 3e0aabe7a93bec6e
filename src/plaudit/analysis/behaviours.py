"""Episodes that did the same things, put together: groups by how often each event happened.

An episode is its events' counts, square-rooted so that a thing done 400 times does not hide one done once, and brought
to length 1. Groups are merged by average distance (1 - cosine) while they lie nearer than ``APART``, and no more are kept
than asked for. The example of a group is its medoid: the member with the least distance to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

APART = 0.35
"""1 - cosine, from which on two groups stay two."""


@dataclass(frozen=True)
class Group:
    """Episodes that are alike."""

    members: list[int]
    """Their numbers."""
    example: int
    """The one that is most like the others."""
    events: list[tuple[str, float]]
    """What happens in them, mean times an episode, the most telling first: often here, seldom in the other episodes."""


def groups(
    counts: Sequence[Mapping[str, int]], most: int = 4, shown: int = 3, others: Sequence[Mapping[str, int]] = ()
) -> list[Group]:
    """Groups of these episodes, the largest first; ``others`` are episodes that theirs are told apart from."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist, squareform

    if not counts:
        return []
    names = sorted({name for each in counts for name in each})
    table = np.array([[each.get(name, 0) for name in names] for each in counts], float)
    usual = np.array([np.mean([each.get(name, 0) for each in (*counts, *others)]) for name in names])
    unit = np.sqrt(table)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    if len(counts) == 1:
        return [_group(table, usual, names, np.zeros((1, 1)), [0], shown)]
    near = np.clip(pdist(unit, "cosine"), 0, None)
    tree = linkage(near, "average")
    found = fcluster(tree, APART, "distance")
    if found.max() > most:
        found = fcluster(tree, most, "maxclust")
    square = squareform(near)
    members = [np.flatnonzero(found == number).tolist() for number in np.unique(found)]
    return [_group(table, usual, names, square, each, shown) for each in sorted(members, key=len, reverse=True)]


def _group(
    table: np.ndarray, usual: np.ndarray, names: list[str], apart: np.ndarray, members: list[int], shown: int
) -> Group:
    mean = table[members].mean(axis=0)
    telling = np.sqrt(mean) * mean / np.maximum(usual, 1e-12)
    order = [i for i in np.argsort(-telling)[:shown] if mean[i] > 0]
    example = members[int(np.argmin(apart[np.ix_(members, members)].sum(axis=1)))]
    return Group(members, example, [(names[i], float(mean[i])) for i in order])
