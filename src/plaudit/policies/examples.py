"""In-context examples: recorded steps that are most like the present one, from episodes that nobody is measured on.

Likeness is the cosine of word vectors weighted by inverse document frequency (TF-IDF, with word pairs), so that rare words
count for more. A step's observation, action and what followed are shown: with ``any`` demonstrations that teaches how
the world behaves, not what is good.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from plaudit.errors import ConfigError


@dataclass(frozen=True)
class RecordedStep:
    """One step of a recorded episode, in words."""

    episode: int
    """Which episode."""
    step: int
    """Its number in the episode, from 0."""
    text: str
    """What was seen."""
    action: str
    """What was done."""
    following: str
    """What was seen then."""
    success: bool
    """Whether the world called the episode a success."""


class Examples:
    """Picks among recorded steps.

    Args:
        steps: the recorded steps.
        demonstrations: ``any`` takes all; ``success`` those of episodes that the world called a success, which tells the
            LLM what was rewarded, as a demonstration does.
    """

    def __init__(self, steps: Sequence[RecordedStep], demonstrations: str = "any") -> None:
        kept = [s for s in steps if demonstrations == "any" or s.success]
        if steps and not kept:
            raise ConfigError(
                "no recorded episode was a success, so there is none to show: collect more (--collect.steps), or take "
                "--policy.demonstrations any."
            )
        # The same thing done in the same place is one example, whenever it was.
        self.steps = list({(s.text, s.action, s.following): s for s in reversed(kept)}.values())[::-1]
        self._column: dict[str, int] = {}
        for step in self.steps:
            for word in _words(step.text):
                self._column.setdefault(word, len(self._column))
        counts = self._counts([s.text for s in self.steps])
        known = np.asarray((counts > 0).sum(axis=0)).ravel()
        self._weights = np.log((1 + len(self.steps)) / (1 + known)) + 1
        self._table = self._vectors(counts)

    def pick(self, text: str, count: int) -> list[RecordedStep]:
        """The ``count`` steps most like this one, the most similar last (a model heeds most what it read last)."""
        if not self.steps:
            return []
        likeness = (self._table @ self._vectors(self._counts([text])).T).toarray().ravel()
        best = np.argsort(-likeness, kind="stable")[:count]
        return [self.steps[i] for i in best[::-1]]

    def _counts(self, texts: Sequence[str]) -> sparse.csr_matrix:
        rows, columns = [], []
        for row, text in enumerate(texts):
            found = [self._column[w] for w in _words(text) if w in self._column]
            rows += [row] * len(found)
            columns += found
        shape = (len(texts), max(1, len(self._column)))
        return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)

    def _vectors(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        weighted = counts.multiply(self._weights).tocsr() if len(self._column) else counts
        lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        return sparse.diags(1 / np.where(lengths > 0, lengths, 1)) @ weighted


def _words(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return words + [f"{a} {b}" for a, b in pairwise(words)]
