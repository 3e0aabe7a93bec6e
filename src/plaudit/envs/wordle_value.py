"""What a position of Wordle is worth to the expert: chance to win and guesses still to come, exact or by sampling.

    world = Wordle(size=100); obs, _ = world.reset(seed=0)
    exact(world.expert(), obs)                                 # Value(win=..., guesses=..., ...)
    sampled(world.expert(), obs, games=500, seed=0)            # the same with 95% intervals

The expert is deterministic and every answer that agrees with the clues is equally likely, so the answers can be followed
together: each guess parts them by the pattern that they show, and the mean over the leaves is exact. It is a measure of
credit that no language model had a part in: ``value after - value before`` is what a guess was worth.
Leaves out the granularities of letters and strategies: a value is of the position between two whole guesses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plaudit.envs.wordle_expert import Expert, Position
from plaudit.envs.wordle_rules import SOLVED, TRIES, Words
from plaudit.envs.wordle_words import SOLVED as SOLVED_EVENT
from plaudit.intervals import wilson


@dataclass(frozen=True)
class Value:
    """What a position is worth; an interval has equal ends where the value is exact."""

    win: float
    """Probability that the word is found."""
    guesses: float
    """Expected number of guesses until the game is over."""
    win_interval: tuple[float, float]
    """95% interval of ``win`` (Wilson)."""
    guesses_interval: tuple[float, float]
    """95% interval of ``guesses`` (normal)."""
    answers: int
    """How many answers agree with the clues."""


def exact(expert: Expert, obs: Any) -> Value:
    """The exact value of one observation."""
    if int(obs["event"]) == SOLVED_EVENT:
        return Value(1.0, 0.0, (1.0, 1.0), (0.0, 0.0), 1)
    return of_position(expert, expert.position(obs))


def of_position(expert: Expert, position: Position) -> Value:
    """The exact value of a position in which the word is not found yet."""
    count = len(position.answers)
    won, guesses = _follow(expert, position)
    win, mean = won / max(1, count), guesses / max(1, count)
    return Value(win, mean, (win, win), (mean, mean), count)


def sampled(expert: Expert, obs: Any, games: int, seed: int) -> Value:
    """The value from so many games that the expert finishes, each with an answer drawn anew; not of a game that is won."""
    position = expert.position(obs)
    drawn = np.random.default_rng(seed).choice(position.answers, games)
    results = np.array([_finish(expert, position, int(answer)) for answer in drawn], np.float64)
    win, mean = results.mean(0)
    spread = 1.96 * results[:, 1].std(ddof=1) / games**0.5
    return Value(
        float(win), float(mean), wilson(float(win), games), (mean - spread, mean + spread), len(position.answers)
    )


class Nearness:
    """1 less a sixth for each guess that the expert would need, had it all six; what is known is what counts.

    A word that is found is worth 1, a game that is lost as much as knowing nothing.
    """

    def __init__(self, words: Words, hard: bool) -> None:
        self._expert = Expert(words, hard)
        self._known: dict[tuple[bytes, bytes, bool], float] = {}

    def __call__(self, obs: Any) -> float:
        if int(obs["event"]) == SOLVED_EVENT:
            return 1.0
        lost = int(obs["turn"]) == TRIES
        position = self._expert.start() if lost else replace(self._expert.position(obs), made=0)
        key = position.key()
        if key not in self._known:
            self._known[key] = 1 - of_position(self._expert, position).guesses / TRIES
        return self._known[key]


def _follow(expert: Expert, position: Position) -> tuple[int, int]:
    """Games won and guesses made, summed over the answers of a position."""
    if position.made == TRIES or not len(position.answers):
        return 0, 0
    guess = expert.word(position)
    won, guesses = 0, len(position.answers)
    for pattern in np.unique(expert.words.table[guess, position.answers]).tolist():
        more = (1, 0) if pattern == SOLVED else _follow(expert, expert.after(position, guess, pattern))
        won, guesses = won + more[0], guesses + more[1]
    return won, guesses


def _finish(expert: Expert, position: Position, answer: int) -> tuple[bool, int]:
    """Whether the expert finds this answer, and with how many more guesses."""
    begun = position.made
    while position.made < TRIES:
        guess = expert.word(position)
        pattern = int(expert.words.table[guess, answer])
        position = expert.after(position, guess, pattern)
        if pattern == SOLVED:
            return True, position.made - begun
    return False, TRIES - begun
