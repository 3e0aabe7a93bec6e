"""Wordle's rules in numpy: the words, what each guess would show for each answer, and what may be guessed or typed next.

A *pattern* is what a guess shows, as a number in base 3, first letter most significant: 0 not there, 1 elsewhere, 2 in
place. A letter that the guess has more often than the answer is marked only as often as the answer has it: first where
it is in place, then from the left. Tables of a list of words are built once in a process (:func:`load`).

Leaves out words that are not of five letters. Source of the words: SCOWL (``wordle_list_licence.txt``), chosen and put in
order by ``scripts/wordle_words.py``: commonest first, answers before words that can only be guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import ConfigError, did_you_mean

LENGTH, TRIES, LETTERS = 5, 6, 26
GREY, YELLOW, GREEN = range(3)
WEIGHTS = np.array([81, 27, 9, 3, 1], np.uint8)
"""What a colour counts at each place of a pattern."""
PATTERNS = 3**LENGTH
SOLVED = PATTERNS - 1
COLOURS = (np.arange(PATTERNS)[:, None] // WEIGHTS.astype(np.int64) % 3).astype(np.uint8)
"""The five colours of each pattern, ``(243, 5)``."""

BITS_SET = np.array([bin(n).count("1") for n in range(1 << LENGTH)], np.uint8)
"""How many of five bits are set."""

USES: NDArray[np.bool_] = np.all(COLOURS[:, None] <= COLOURS, axis=2)
"""Whether what the first pattern shows is kept in the second, ``(243, 243)``."""


@cache
def words_on_file() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words that may be answers, and words that may only be guessed."""
    answers, others = (Path(__file__).parent / "wordle_list.txt").read_text(encoding="ascii").split("\n\n")
    return tuple(answers.split()), tuple(others.split())


@cache
def load(size: int, answers: tuple[str, ...] = (), guesses: tuple[str, ...] = ()) -> Words:
    """The ``size`` first words, or the given ones; the answers are the given ones, or all of these that may be answers."""
    first, others = words_on_file()
    guesses = guesses or (first + others)[:size]
    for word in answers:
        if word not in guesses:
            raise ConfigError(f"{word!r} is not among the {size} words.{did_you_mean(word, guesses)}")
    return Words(guesses, answers or tuple(word for word in guesses if word in _may_be_answers()))


@cache
def _may_be_answers() -> frozenset[str]:
    return frozenset(words_on_file()[0])


def split(size: int, held_out: float = 0.2, seed: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The answers of this size in two parts, drawn by seed: to train on, and a share to test on words never met."""
    answers = words_on_file()[0][:size]
    order = np.random.default_rng(seed).permutation(len(answers))
    held = set(order[: round(held_out * len(answers))].tolist())
    train, test = ([w for i, w in enumerate(answers) if (i in held) == part] for part in (False, True))
    return tuple(train), tuple(test)


def practice(part: str, size: int, seed: int, lists: int = 8) -> list[tuple[str, ...]]:
    """Lists of words that lie outside of the ``size`` first, to teach on, or one to measure what was taught.

    As long as the list that is played, as far as there are words; no two of them share one.
    """
    spare = list(words_on_file()[0][size:])
    if len(spare) < 100:
        raise ConfigError(
            f"a list of {size:,} words takes all that may be answers: none is left to teach a judge on. "
            "Give --world.size 1000, or less."
        )
    np.random.default_rng(seed).shuffle(spare)
    length = min(size, len(spare) // 4)
    chosen = spare[:length] if part == "held_out" else spare[length:]
    length = min(size, len(chosen))
    return [tuple(sorted(chosen[i : i + length])) for i in range(0, len(chosen) - length + 1, length)][:lists]


def encode(words: Sequence[str]) -> NDArray[np.uint8]:
    """Letters as numbers from 0, ``(words, 5)``."""
    return np.frombuffer("".join(words).encode(), np.uint8).reshape(-1, LENGTH) - np.uint8(ord("a"))


def counts(letters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How often each word has each letter, ``(words, 26)``."""
    return (letters[:, :, None] == np.arange(LETTERS)).sum(1).astype(np.uint8)


def feedback(guesses: NDArray[np.uint8], answers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pattern of every guess for every answer, ``(guesses, answers)``; arguments as of :func:`encode`."""
    # Bit p of places[letter, answer]: the answer has the letter at place p.
    bits = (1 << np.arange(LENGTH)).astype(np.uint8)
    places = ((answers[:, :, None] == np.arange(LETTERS)) * bits[:, None]).sum(1).astype(np.uint8).T
    shown = np.empty((LENGTH, LETTERS, len(answers)), np.uint8)
    for p, weight in enumerate(WEIGHTS):
        shown[p] = np.where(places & bits[p], 2 * weight, np.where(places > 0, weight, 0))
    # Without a repeated letter, each place shows its own, whatever the others are: five sums of rows.
    table = shown[0][guesses[:, 0]]
    for p in range(1, LENGTH):
        table += shown[p][guesses[:, p]]
    ordered = np.sort(guesses, axis=1)
    for g in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(1)):
        table[g] = _with_repeats(guesses[g], places)
    return table


def _with_repeats(guess: NDArray[np.uint8], places: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One guess for all answers, ``(answers,)``, letter by letter."""
    pattern = np.zeros(places.shape[1], np.uint8)
    for letter in np.unique(guess):
        at, here = np.flatnonzero(guess == letter), places[letter]
        green = [(here >> p) & 1 for p in at]
        left = BITS_SET[here] - np.sum(green, axis=0, dtype=np.uint8)
        for p, in_place in zip(at, green, strict=True):
            yellow = (in_place == 0) & (left > 0)
            left = left - yellow
            pattern += (WEIGHTS[p] * (2 * in_place + yellow)).astype(np.uint8)
    return pattern


@dataclass
class Words:
    """A list of words with its tables. ``G`` words can be guessed, ``A`` of them can be the answer."""

    guesses: tuple[str, ...]
    """Words that may be guessed; a word's number is its place here."""
    answers: tuple[str, ...]
    """Words that may be the answer."""
    letters: NDArray[np.uint8] = field(init=False)
    """Letters of each guess, ``(G, 5)``, from 0."""
    counts: NDArray[np.uint8] = field(init=False)
    """How often each guess has each letter, ``(G, 26)``."""
    numbers: dict[str, int] = field(init=False)
    """A guess's number."""
    table: NDArray[np.uint8] = field(init=False)
    """Pattern of each guess for each answer, ``(G, A)``."""
    answer_numbers: NDArray[np.int64] = field(init=False)
    """Each answer's number as a guess, ``(A,)``."""

    def __post_init__(self) -> None:
        self.letters = encode(self.guesses)
        self.counts = counts(self.letters)
        self.numbers = {word: i for i, word in enumerate(self.guesses)}
        self.answer_numbers = np.array([self.numbers[word] for word in self.answers])
        self.table = feedback(self.letters, self.letters[self.answer_numbers])
        self._allowed: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def fitting(self, obs: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Which guesses agree with all that is known, ``(G,)``; parts of one observation, letters counting from 1."""
        fits = self.using(obs)
        for p in range(LENGTH):
            fits &= obs["ruled_out"][self.letters[:, p], p] == 0
        capped = obs["capped"] > 0
        return fits & (self.counts[:, capped] == obs["least"][capped]).all(1)

    def using(self, obs: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Hard mode: which guesses use all that has been shown, ``(G,)``: greens stay, marked letters return."""
        known = np.flatnonzero(obs["pattern"])
        fits = (self.letters[:, known] == obs["pattern"][known] - 1).all(1)
        present = np.flatnonzero(obs["least"])
        return fits & (self.counts[:, present] >= obs["least"][present]).all(1)

    def allowed_after(self, guess: int, pattern: int) -> NDArray[np.bool_]:
        """Hard mode: which guesses use what this one has shown, ``(G,)``: greens stay, marked letters are used again."""
        if (known := self._allowed.get((guess, pattern))) is None:
            colours, letters = COLOURS[pattern], self.letters[guess]
            known = (self.letters[:, colours == GREEN] == letters[colours == GREEN]).all(1)
            for letter, times in zip(*np.unique(letters[colours != GREY], return_counts=True), strict=True):
                known &= self.counts[:, letter] >= times
            if len(self._allowed) * len(self.guesses) > 100_000_000:
                self._allowed.clear()
            self._allowed[guess, pattern] = known
        return known

    @cached_property
    def clues(self) -> NDArray[np.uint8]:
        """Pattern of each guess for each guess, ``(G, G)``."""
        return feedback(self.letters, self.letters)

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """Which guesses have a letter more than once, ``(G,)``."""
        return np.asarray(self.counts.max(1) > 1)

    def all_allowed_after(self, guesses: NDArray[np.int64], patterns: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """:meth:`allowed_after` for many, ``(n, G)``.

        Without a repeated letter, a word uses what a guess has shown if, were the word the answer, the guess would show at
        least as much at every place.
        """
        allowed = USES[patterns[:, None], self.clues[guesses]]
        for i in np.flatnonzero(self.repeats[guesses]):
            allowed[i] = self.allowed_after(int(guesses[i]), int(patterns[i]))
        return allowed

    @cached_property
    def trie(self) -> NDArray[np.int32]:
        """Node that each letter leads to, ``(nodes, 26)``, or -1; 0 is the empty row. Nodes of whole words are leaves."""
        children = [np.full(LETTERS, -1, np.int32)]
        self._leaf = np.zeros(1, np.int64)
        leaves: dict[int, int] = {}
        for number, word in enumerate(self.letters.tolist()):
            node = 0
            for letter in word:
                if children[node][letter] < 0:
                    children[node][letter] = len(children)
                    children.append(np.full(LETTERS, -1, np.int32))
                node = int(children[node][letter])
            leaves[node] = number
        self._leaf = np.array([leaves.get(node, -1) for node in range(len(children))])
        return np.stack(children)

    @property
    def word_at(self) -> NDArray[np.int64]:
        """Number of the word that ends at each node of the trie, ``(nodes,)``, or -1."""
        _ = self.trie
        return self._leaf
