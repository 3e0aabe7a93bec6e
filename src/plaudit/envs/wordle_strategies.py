"""Wordle by strategies: the word that each way of guessing comes to, for many copies at once.

The ways that fit choose among the answers that agree with every clue; the ways that test choose among all words that may be
guessed. A word's merit is counted in letters not yet tried; ties are broken by a hash of the hidden game, so that the
same way gives different words in different games.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import wordle_words as ways
from plaudit.envs.wordle_rules import LETTERS, Words

IS_VOWEL = np.isin(np.arange(LETTERS), [ord(vowel) - ord("a") for vowel in "aeiou"])


def choose(words: Words, state: Mapping[str, NDArray[Any]], strategy: NDArray) -> NDArray[np.int64]:
    """Number of the word that each copy guesses, ``(n,)``, by its strategy, ``(n,)``; the state as the vector keeps it."""
    guess = np.zeros(len(strategy), np.int64)
    for way in np.unique(strategy):
        rows = np.flatnonzero(strategy == way)
        if way in (ways.TEST, ways.VOWELS):
            may = state["allowed"][rows] if "allowed" in state else np.ones((len(rows), len(words.guesses)), bool)
            guess[rows] = _best(words, np.arange(len(words.guesses)), may, state, rows, int(way))
        else:
            guess[rows] = words.answer_numbers[
                _best(words, words.answer_numbers, state["fits"][rows], state, rows, int(way))
            ]
    return guess


def _best(
    words: Words, numbers: NDArray, may: NDArray[np.bool_], state: Mapping[str, NDArray[Any]], rows: NDArray, way: int
) -> NDArray[np.int64]:
    """Column of the best word among ``numbers`` for each of these copies, ``(n,)``."""
    salt = (state["seed"][rows] * np.uint64(31) + state["game"][rows]).astype(np.uint32)
    ties = (numbers.astype(np.uint32) + salt[:, None] + 1) * np.uint32(2654435761)
    merit = (ties ^ (ties >> np.uint32(15))).astype(np.float32) / np.float32(2**33)  # below 1/2, less than any letter
    has = (words.counts[numbers] > 0).astype(np.float32)
    untried = (state["least"][rows] == 0) & (state["capped"][rows] == 0)
    if way in (ways.FIT_NEW, ways.TEST):
        # A new letter counts at least 1, a common one up to 2: of two words with as many, the commoner letters win.
        common = has.mean(0) / max(float(has.mean(0).max()), 1e-9)
        merit += untried.astype(np.float32) * (1 + common) @ has.T
    elif way == ways.VOWELS:
        merit += (untried & IS_VOWEL).astype(np.float32) @ has.T
    elif way == ways.REPEAT:
        merit += (words.counts[numbers].max(1) > 1).astype(np.float32)
    return np.where(may, merit, -1).argmax(1)
