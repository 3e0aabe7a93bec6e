"""Wordle's scripted player: the guess that is expected to tell most, from what the clues have shown and nothing else.

    world = Wordle(size=100); policy = world.expert()          # as a policy: act, reset
    policy.word(policy.start())                                # number of the opening word

A guess is worth the entropy of the pattern that it will show over the answers that still agree with all clues, plus
one bit times its chance to be the answer; with one or two answers left, and at the last try, it guesses one of them. It
looks one guess ahead, so it is near the optimum, not at it. Every position is worked out once and remembered.
With letters it types that word; with strategies it tests letters first and then guesses what fits.
Leaves out deeper search. Its exact value is in :mod:`plaudit.envs.wordle_value`. Source: C. E. Shannon (1948).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import wordle_words as ways
from plaudit.envs.wordle_rules import PATTERNS, TRIES, Words
from plaudit.vector import observation_keys, rows

CERTAIN = 2
"""With so few answers left, one of them is guessed."""
FEW = 4
"""With so few answers left, the strategies' player tests no more letters."""
TESTS = 1
"""Guesses that the strategies' player spends on testing letters, at most."""
READ = ("pattern", "ruled_out", "least", "capped", "row", "shown", "turn")
"""Parts of an observation that the player reads."""


@dataclass(frozen=True)
class Position:
    """What the guesses so far leave open."""

    answers: NDArray[np.int64]
    """Columns of the answers that agree with every clue."""
    allowed: NDArray[np.bool_]
    """Which words may be guessed, ``(G,)``."""
    made: int
    """Guesses made."""

    def key(self) -> tuple[bytes, bytes, bool]:
        """The same for positions in which the same word is best."""
        return self.answers.tobytes(), np.packbits(self.allowed).tobytes(), self.made == TRIES - 1


class Expert:
    """Greatest expected information; a policy, and the best word of any position."""

    def __init__(self, words: Words, hard: bool = False, actions: str = "word") -> None:
        self.words, self.hard, self.actions = words, hard, actions
        self._words: dict[tuple[bytes, bytes, bool], int] = {}
        self._actions: dict[bytes, int] = {}

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Remembers positions, not games."""

    def act(self, observations: Any) -> NDArray[np.int64]:
        """Actions of a batch, ``(n,)``."""
        read = {name: observations[name] for name in READ}
        keys = observation_keys(read)
        if any(key not in self._actions for key in keys):
            for key, obs in zip(keys, rows(read), strict=True):
                if key not in self._actions:
                    self._actions[key] = self._action(obs)
        return np.array([self._actions[key] for key in keys], np.int64)

    def start(self) -> Position:
        """The position before the first guess."""
        return Position(np.arange(len(self.words.answers)), np.ones(len(self.words.guesses), bool), 0)

    def position(self, obs: Any) -> Position:
        """What one observation leaves open."""
        answers = np.flatnonzero(self.words.fitting(obs)[self.words.answer_numbers])
        allowed = self.words.using(obs) if self.hard else np.ones(len(self.words.guesses), bool)
        return Position(answers, allowed, int(obs["turn"]))

    def after(self, position: Position, guess: int, pattern: int) -> Position:
        """The position after this word has shown this pattern."""
        answers = position.answers[self.words.table[guess, position.answers] == pattern]
        allowed = position.allowed & self.words.allowed_after(guess, pattern) if self.hard else position.allowed
        return Position(answers, allowed, position.made + 1)

    def word(self, position: Position) -> int:
        """Number of the best guess."""
        key = position.key()
        if key not in self._words:
            self._words[key] = self._search(position, position.allowed)
        return self._words[key]

    def _action(self, obs: Any) -> int:
        position = self.position(obs)
        if self.actions == "word":
            return self.word(position)
        if self.actions == "strategy":
            few = len(position.answers) <= FEW
            return ways.FIT if few else ways.TEST if position.made < TESTS else ways.FIT_NEW
        typed, word = ways.typed(obs).lower(), self.word(position)
        if not self.words.guesses[word].startswith(typed):  # somebody else began to type
            begun = np.array([guess.startswith(typed) for guess in self.words.guesses])
            word = self._search(position, position.allowed & begun)
        return int(self.words.letters[word, len(typed)])

    def _search(self, position: Position, may: NDArray[np.bool_]) -> int:
        words, answers = self.words, position.answers
        right = np.zeros(len(words.guesses), bool)
        right[words.answer_numbers[answers]] = True
        if (len(answers) <= CERTAIN or position.made == TRIES - 1) and (right & may).any():
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
