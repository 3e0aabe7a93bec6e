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

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs.wordle_expert import Expert, History
from plaudit.envs.wordle_rules import SOLVED, TRIES


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
    return of_history(expert, expert.history(obs))


def of_history(expert: Expert, history: History) -> Value:
    """The exact value after these guesses."""
    answers = expert.candidates(history)
    won, guesses = _follow(expert, history, answers)
    win, mean = won / max(1, len(answers)), guesses / max(1, len(answers))
    return Value(win, mean, (win, win), (mean, mean), len(answers))


def sampled(expert: Expert, obs: Any, games: int, seed: int) -> Value:
    """The value from ``games`` games that the expert finishes, each with an answer drawn anew."""
    history = expert.history(obs)
    answers = expert.candidates(history)
    drawn = np.random.default_rng(seed).choice(answers, games)
    results = np.array([_finish(expert, history, int(answer)) for answer in drawn], np.float64)
    win, mean = results.mean(0)
    spread = 1.96 * results[:, 1].std(ddof=1) / games**0.5
    return Value(float(win), float(mean), wilson(float(win), games), (mean - spread, mean + spread), len(answers))


def wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """95% interval of a share of ``count`` (Wilson 1927)."""
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return centre - half, centre + half


def _over(history: History) -> bool:
    return len(history) == TRIES or (bool(history) and history[-1][1] == SOLVED)


def _follow(expert: Expert, history: History, answers: NDArray[np.int64]) -> tuple[int, int]:
    """Games won and guesses made, summed over these answers."""
    if _over(history) or not len(answers):
        return (len(answers) if history and history[-1][1] == SOLVED else 0), 0
    guess = expert.word(history, answers)
    shown = expert.words.table[guess, answers]
    won, guesses = 0, len(answers)
    for pattern in np.unique(shown).tolist():
        more = _follow(expert, (*history, (guess, pattern)), answers[shown == pattern])
        won, guesses = won + more[0], guesses + more[1]
    return won, guesses


def _finish(expert: Expert, history: History, answer: int) -> tuple[bool, int]:
    """Whether the expert finds this answer, and with how many more guesses."""
    begun = len(history)
    while not _over(history):
        guess = expert.word(history)
        history = (*history, (guess, int(expert.words.table[guess, answer])))
    return history[-1][1] == SOLVED, len(history) - begun
