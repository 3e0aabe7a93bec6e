"""Wordle's scripted player: the guess that is expected to tell most, from the clues on the board alone.

    world = Wordle(size=100); policy = world.expert()          # as a policy: act, reset
    policy.word(())                                            # the opening word's number

A guess is worth the entropy of the pattern that it will show over the answers that still agree with all clues, plus
one bit times its chance to be the answer; with one or two answers left, and at the last try, it guesses one of them. It
looks one guess ahead, so it is near the optimum, not at it. Every position is worked out once and remembered.
With letters it types that word; with strategies it tests letters first and then guesses what fits.
Leaves out deeper search. Its exact value is in :mod:`plaudit.envs.wordle_value`. Source: C. E. Shannon (1948).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import wordle_words as ways
from plaudit.envs.wordle_rules import PATTERNS, TRIES, WEIGHTS, Words

History = tuple[tuple[int, int], ...]
"""The guesses made, each a word's number and the pattern that it showed."""
CERTAIN = 2
"""With so few answers left, one of them is guessed."""
TESTS = 2
"""Guesses that the strategies' player spends on testing letters, at most."""


class Expert:
    """Greatest expected information; a policy, and the best word of any position."""

    def __init__(self, words: Words, hard: bool = False, actions: str = "word") -> None:
        self.words, self.hard, self.actions = words, hard, actions
        self._best: dict[History, int] = {}

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Remembers positions, not games."""

    def act(self, observations: Any) -> NDArray[np.int64]:
        """Actions of a batch, ``(n,)``."""
        count = len(observations["turn"])
        return np.array([self._action({k: v[i] for k, v in observations.items()}) for i in range(count)], np.int64)

    def history(self, obs: Any) -> History:
        """What the board of one observation shows."""
        made = int(obs["turn"])
        patterns = (obs["colours"][:made].astype(np.int64) - 1) @ WEIGHTS.astype(np.int64)
        numbers = (self.words.numbers[word.lower()] for word, _ in ways.guesses(obs))
        return tuple(zip(numbers, patterns.tolist(), strict=True))

    def candidates(self, history: History) -> NDArray[np.int64]:
        """Columns of the answers that agree with every clue."""
        fits = np.ones(len(self.words.answers), bool)
        for guess, pattern in history:
            fits &= self.words.table[guess] == pattern
        return np.flatnonzero(fits)

    def word(self, history: History, answers: NDArray[np.int64] | None = None) -> int:
        """Number of the best guess; ``answers`` are :meth:`candidates` where they are at hand."""
        if history not in self._best:
            self._best[history] = self._search(history, self.candidates(history) if answers is None else answers, "")
        return self._best[history]

    def _action(self, obs: Any) -> int:
        history = self.history(obs)
        if self.actions == "word":
            return self.word(history)
        if self.actions == "strategy":
            few = len(self.candidates(history)) <= 2 * CERTAIN
            return ways.FIT if few else ways.TEST if len(history) < TESTS else ways.FIT_NEW
        typed = ways.typed(obs).lower()
        word = self.word(history)
        if not self.words.guesses[word].startswith(typed):  # somebody else began to type
            word = self._search(history, self.candidates(history), typed)
        return int(self.words.letters[word, len(typed)])

    def _search(self, history: History, answers: NDArray[np.int64], typed: str) -> int:
        words, few = self.words, len(answers) <= CERTAIN or len(history) == TRIES - 1
        may = np.array([word.startswith(typed) for word in words.guesses]) if typed else np.ones(len(words.guesses), bool)
        if self.hard:
            for guess, pattern in history:
                may &= words.allowed_after(guess, pattern)
        right = np.zeros(len(words.guesses), bool)
        right[words.answer_numbers[answers]] = True
        if few and (right & may).any():
            return int((right & may).argmax())
        numbers = np.flatnonzero(may)
        worth = information(words.table[numbers][:, answers]) + right[numbers] / max(1, len(answers))
        return int(numbers[worth.argmax()])


def information(table: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Bits that each guess is expected to tell, ``(guesses,)``, of its pattern for each answer, ``(guesses, answers)``."""
    bits, total = np.zeros(len(table)), max(1, table.shape[1])
    for start in range(0, len(table), 512):
        part = table[start : start + 512].astype(np.int64)
        keys = part + PATTERNS * np.arange(len(part))[:, None]
        share = np.bincount(keys.ravel(), minlength=PATTERNS * len(part)).reshape(-1, PATTERNS) / total
        bits[start : start + 512] = -(share * np.log2(np.where(share > 0, share, 1))).sum(1)
    return bits


