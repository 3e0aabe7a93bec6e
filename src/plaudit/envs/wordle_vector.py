"""Many Wordles at once in numpy: a guess is one look-up in a table of patterns, and what it shows is written into arrays.

    envs = WordleVector(1024, size=100); envs.reset(seed=0); envs.step(envs.action_space.sample())

Copy ``i``'s hidden words follow from its own seed and the number of its game, by a hash: no generator has to be asked in
turn, and the same seed gives the same words in every form of the game. Measured in ``benchmarks/wordle.py``.
Leaves out rendering (:class:`plaudit.envs.wordle.Wordle` draws one copy).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from plaudit.envs import wordle_words as words
from plaudit.envs.wordle_rules import BITS_SET, COLOURS, LENGTH, LETTERS, SOLVED, TRIES, Words, load
from plaudit.envs.wordle_strategies import choose
from plaudit.spaces import MASK

HIT_BITS = ((COLOURS > 0) << np.arange(LENGTH)).sum(1).astype(np.uint8)
"""Bit p of a pattern's entry: its place p is not grey."""
KNOWLEDGE = ("pattern", "ruled_out", "least", "capped", "row", "shown", "turn", "event")
BOARD = ("letters", "colours")
STEPS = {"word": 3 * TRIES, "letter": 3 * TRIES * LENGTH, "strategy": TRIES}
"""Steps after which a game is cut off, refused ones included."""


def action_space(actions: str, size: int) -> spaces.Discrete:
    """What can be done at one step."""
    return spaces.Discrete({"word": size, "letter": LETTERS, "strategy": len(words.STRATEGIES)}[actions])


def observation_space(task: str, actions: str, size: int, observation: str) -> spaces.Dict:
    """One observation; letters count from 1, 0 is an empty place; colours are 0 none, 1 grey, 2 yellow, 3 green.

    What the clues come to is all that the rest of a game depends on. Letter by letter it is held in numbers that a linear
    layer reads as they are: an agent learns from them with half the steps, and each step costs a third, of what it takes
    with the board coded one-hot beside them.
    """

    def codes(high: int, *shape: int) -> spaces.Box:
        return spaces.Box(0, high, shape, np.uint8)

    parts: dict[str, spaces.Space] = {
        "pattern": codes(LETTERS, LENGTH),  # the letter known at each place
        "ruled_out": spaces.Box(0, 1, (LETTERS, LENGTH), np.float32),  # guesses have shown: this letter is not there
        "least": spaces.Box(0, LENGTH, (LETTERS,), np.float32),  # how often the word has each letter, at least
        "capped": spaces.Box(0, 1, (LETTERS,), np.float32),  # and no more often
        "row": codes(LETTERS, LENGTH),  # the row that was last written in
        "shown": codes(3, LENGTH),  # its colours
        "turn": spaces.Discrete(TRIES + 1),  # guesses made
        "event": spaces.Discrete(len(words.EVENTS)),
    }
    if observation == "board":
        parts |= {"letters": codes(LETTERS, TRIES, LENGTH), "colours": codes(3, TRIES, LENGTH)}
    if masked(task, actions):
        parts[MASK] = codes(1, int(action_space(actions, size).n))
    return spaces.Dict(parts)


def masked(task: str, actions: str) -> bool:
    """Whether some actions cannot be taken: letters that lead to no word, and words that hard mode forbids."""
    return actions == "letter" or (actions == "word" and task == "hard")


class WordleVector(VectorEnv):
    """``num_envs`` games that are played side by side."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        num_envs: int,
        task: str = "easy",
        size: int = 100,
        actions: str = "word",
        observation: str = "knowledge",
        answers: Sequence[str] = (),
        own: Sequence[str] = (),
    ) -> None:
        self.words: Words = load(size, tuple(answers), tuple(own))
        size = len(self.words.guesses)
        self.num_envs, self.hard, self.actions, self.masked = num_envs, task == "hard", actions, masked(task, actions)
        self.single_observation_space = observation_space(task, actions, size, observation)
        single = action_space(actions, size)
        self.single_action_space, self._choices = single, int(single.n)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeded, self._rows, self._max_steps = False, np.arange(num_envs), STEPS[actions]
        letters = self.words.letters
        # Bit q of entry (guess, p): the guess has the same letter at p and q.
        self._same = ((letters[:, :, None] == letters[:, None]) << np.arange(LENGTH)).sum(2).astype(np.uint8)
        # The board is kept where nobody sees it too: the letters typed stand on it.
        self._seen = KNOWLEDGE + (BOARD if observation == "board" else ())
        self._state: dict[str, NDArray[Any]] = {
            name: np.zeros((num_envs, *(space.shape or ())), space.dtype)
            for name, space in observation_space(task, actions, size, "board").items()
            if name != MASK
        }
        self._state |= {name: np.zeros(num_envs, np.int64) for name in ("answer", "steps", "node", "column")}
        self._state |= {name: np.zeros(num_envs, np.uint64) for name in ("seed", "game")}
        if self.hard:
            self._state["allowed"] = np.ones((num_envs, size), bool)
        if actions == "strategy":
            self._state["fits"] = np.ones((num_envs, len(self.words.answers)), bool)
        if self.hard and actions == "letter":
            self._order, self._first, self._last = _ranges(self.words)

    def reset(self, *, seed: int | list[int] | None = None, options: dict | None = None) -> tuple[Any, dict]:
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is None and not self._seeded:
            seeds = [secrets.randbits(48) + i for i in range(self.num_envs)]
        if seeds is not None:
            self._state["seed"][:], self._state["game"][:], self._seeded = seeds, 0, True
        self.begin(self._rows)
        return self.observe(), self._status(np.zeros(self.num_envs, bool))

    def step(self, actions: NDArray) -> tuple[Any, NDArray, NDArray, NDArray, dict[str, Any]]:
        reward, terminated, truncated, info = self.play(actions)
        obs, over = self.observe(), terminated | truncated
        if over.any():
            info |= {"final_obs": obs, "final_info": dict(info), "_final_obs": over}
            self.begin(np.flatnonzero(over))
            obs = self.observe()
        return obs, reward, terminated, truncated, info

    def play(self, actions: NDArray) -> tuple[NDArray, NDArray, NDArray, dict[str, Any]]:
        """One action each, without a new game where one has ended: reward, terminated, truncated, info."""
        action, state = np.asarray(actions), self._state
        if action.min() < 0 or action.max() >= self._choices:
            raise ValueError(f"actions are 0 to {self._choices - 1}, got {action.min()} to {action.max()}")
        state["steps"] += 1
        if self.actions == "letter":
            rows, guess = self._type(action)
        elif self.actions == "strategy":
            rows, guess = self._rows, choose(self.words, state, action)
        else:
            rows, guess = self._rows, action
            if self.hard:
                state["event"][:] = words.NOT_ALLOWED
                rows = np.flatnonzero(state["allowed"][rows, action])
                guess = action[rows]
        if len(rows):
            self._guess(rows, guess)
        solved = state["event"] == words.SOLVED
        terminated = solved | (state["event"] == words.LOST)
        truncated = ~terminated & (state["steps"] >= self._max_steps)
        reward = solved.astype(np.float64)
        return reward, terminated, truncated, self._status(solved) | {"task_reward": reward}

    def begin(self, rows: NDArray[np.int64]) -> None:
        """A new game for these copies."""
        state = self._state
        state["answer"][rows] = _mixed(_mixed(state["seed"][rows]) + state["game"][rows]) % np.uint64(
            len(self.words.answers)
        )
        state["game"][rows] += np.uint64(1)
        for name in (*KNOWLEDGE, *BOARD, "steps", "node", "column"):
            state[name][rows] = 0
        for name in ("allowed", "fits"):
            if name in state:
                state[name][rows] = True

    def observe(self) -> dict[str, NDArray[Any]]:
        """What the copies see, in new arrays."""
        seen = {name: self._state[name].copy() for name in self._seen}
        return seen | ({MASK: self._mask()} if self.masked else {})

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on exactly from here, as arrays ``(num_envs, ...)``."""
        return {name: part.copy() for name, part in self._state.items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`get_state`; an agent keeps its own last observation."""
        self._seeded = True
        for name, part in state.items():
            self._state[name][...] = part

    def _type(self, letter: NDArray) -> tuple[NDArray, NDArray]:
        """One letter each; returns the copies whose guess is complete, and their guesses."""
        state = self._state
        fits = self._mask()[self._rows, letter] > 0
        rows = self._rows[fits]
        node = self.words.trie[state["node"][rows], letter[rows]]
        begins = rows[state["column"][rows] == 0]
        state["row"][begins] = state["shown"][begins] = 0
        state["letters"][rows, state["turn"][rows], state["column"][rows]] = letter[rows] + 1
        state["row"][rows, state["column"][rows]] = letter[rows] + 1
        state["event"][:] = np.where(fits, words.TYPED, words.NO_WORD)
        state["node"][rows] = node
        state["column"][rows] += 1
        complete = state["column"][rows] == LENGTH
        guess = self.words.word_at[node[complete]]
        rows = rows[complete]
        state["node"][rows] = state["column"][rows] = 0
        return rows, guess

    def _guess(self, rows: NDArray, guess: NDArray) -> None:
        """These copies guess these words: the board and all that is known of the hidden word."""
        state, letters = self._state, self.words.letters[guess]
        pattern = self.words.table[guess, state["answer"][rows]]
        colours, turn = COLOURS[pattern], state["turn"][rows]
        state["letters"][rows, turn] = state["row"][rows] = letters + 1
        state["colours"][rows, turn] = state["shown"][rows] = colours + 1
        green, grey = colours == 2, colours == 0
        # How often the guess has shown each of its letters, (n, 5), and where that letter's knowledge lies.
        shown = BITS_SET[self._same[guess] & HIT_BITS[pattern][:, None]]
        at = rows[:, None] * LETTERS + letters
        least, ruled_out = state["least"].reshape(-1), state["ruled_out"].reshape(-1, LENGTH)
        least[at] = np.maximum(least[at], shown)
        state["capped"].reshape(-1)[at[grey]] = 1
        ruled_out[at[grey & (shown == 0)]] = 1
        # A green letter rules out all others at its place, any other colour its own letter.
        copy, place = np.nonzero(green)
        state["ruled_out"][rows[copy], :, place] = 1
        state["ruled_out"].reshape(-1)[at * LENGTH + np.arange(LENGTH)] = ~green
        state["pattern"][rows] = np.where(green, letters + 1, state["pattern"][rows])
        state["turn"][rows] = turn + 1
        missed = np.where(turn + 1 == TRIES, words.LOST, words.GUESSED)
        state["event"][rows] = np.where(pattern == SOLVED, words.SOLVED, missed)
        if self.hard:
            state["allowed"][rows] &= self.words.all_allowed_after(guess, pattern)
        if "fits" in state:
            state["fits"][rows] &= self.words.table[guess] == pattern[:, None]

    def _mask(self) -> NDArray[np.uint8]:
        """Which actions can be taken, ``(num_envs, actions)``."""
        if self.actions == "word":
            return self._state["allowed"].astype(np.uint8)
        children = self.words.trie[self._state["node"]]
        if not self.hard:
            return (children >= 0).astype(np.uint8)
        # Words in alphabetical order: those that begin alike lie side by side, so a difference of sums counts them.
        sums = np.zeros((self.num_envs, len(self._order) + 1), np.int32)
        np.cumsum(self._state["allowed"][:, self._order], axis=1, out=sums[:, 1:])
        found = sums[self._rows[:, None], self._last[children]] > sums[self._rows[:, None], self._first[children]]
        return (found & (children >= 0)).astype(np.uint8)

    def _status(self, success: NDArray[np.bool_]) -> dict[str, NDArray]:
        """Progress is for measuring only: the share of letters known, half for being in the word and half for its place."""
        placed = (self._state["pattern"] > 0).sum(1)
        found = np.maximum(self._state["least"].sum(1), placed)
        return {"success": success, "progress": ((placed + found) / (2 * LENGTH)).astype(np.float32)}


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Evenly spread numbers: splitmix64's step (Steele et al. 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _ranges(vocabulary: Words) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Words in alphabetical order, and of each node of the trie where its words begin and end in that order."""
    order = np.lexsort(vocabulary.letters.T[::-1])
    nodes = len(vocabulary.trie)
    first, last = np.full(nodes, len(order)), np.zeros(nodes, np.int64)
    for place, number in enumerate(order.tolist()):
        node = 0
        for letter in vocabulary.letters[number].tolist():
            first[node], last[node] = min(first[node], place), place + 1
            node = int(vocabulary.trie[node, letter])
        first[node], last[node] = place, place + 1
    return order, first, last
