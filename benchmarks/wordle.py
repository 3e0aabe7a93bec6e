"""Wordle's guesses per second of processor time: a plain loop over games against the vectorised world, in turns.

    python benchmarks/wordle.py                       # about a minute
    python benchmarks/wordle.py --copies 64

(a) *loop*: one game after the other in plain Python, the textbook way of colouring, the same observation (a check first
plays both on the same games). (b) *vector*: :class:`WordleVector`. Medians of rounds in which both take their turn on the
same kind of random actions. The other rows are the vector in its other forms.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

import numpy as np

from plaudit.envs.wordle_rules import Words, load
from plaudit.envs.wordle_vector import WordleVector
from plaudit.envs.wordle_words import GUESSED, LOST, SOLVED


class Loop:
    """One game as one writes it down first; its observation holds what the vector's holds."""

    def __init__(self, words: Words) -> None:
        self.guesses, self.answers = words.guesses, words.answers
        self.reset()

    def reset(self) -> None:
        self.answer, self.turn, self.pattern = random.choice(self.answers), 0, [0] * 5
        self.ruled_out, self.least, self.capped = [[0.0] * 5 for _ in range(26)], [0.0] * 26, [0.0] * 26

    def step(self, guess: int) -> tuple[dict[str, Any], float, bool]:
        word = self.guesses[guess]
        colours, left = [0] * 5, list(self.answer)
        for i, letter in enumerate(word):
            if letter == self.answer[i]:
                colours[i] = 2
                left.remove(letter)
        for i, letter in enumerate(word):
            if not colours[i] and letter in left:
                colours[i] = 1
                left.remove(letter)
        self.learn(word, colours)
        self.turn += 1
        solved = word == self.answer
        seen = {
            "pattern": np.array(self.pattern, np.uint8),
            "ruled_out": np.array(self.ruled_out, np.float32),
            "least": np.array(self.least, np.float32),
            "capped": np.array(self.capped, np.float32),
            "row": np.array([ord(letter) - 96 for letter in word], np.uint8),
            "shown": np.array(colours, np.uint8) + 1,
            "turn": self.turn,
            "event": SOLVED if solved else LOST if self.turn == 6 else GUESSED,
        }
        return seen, float(solved), solved or self.turn == 6

    def learn(self, word: str, colours: list[int]) -> None:
        for i, letter in enumerate(word):
            code = ord(letter) - 97
            times = sum(colours[j] > 0 for j in range(5) if word[j] == letter)
            self.least[code] = max(self.least[code], times)
            if colours[i] == 2:
                self.pattern[i] = code + 1
                for other in range(26):
                    self.ruled_out[other][i] = float(other != code)
            else:
                self.ruled_out[code][i] = 1.0
            if colours[i] == 0:
                self.capped[code] = 1.0
                if not times:
                    self.ruled_out[code] = [1.0] * 5


def agree(words: Words, games: int = 300) -> None:
    """Both forms must see the same of the same games."""
    game, envs = Loop(words), WordleVector(1, size=len(words.guesses))
    envs.reset(seed=0)
    over = True
    for _ in range(games):
        if over:
            game.reset()
            game.answer = words.answers[int(envs.get_state()["answer"][0])]
        guess = random.randrange(len(words.guesses))
        seen, reward, over = game.step(guess)
        obs, rewards, ended, _, infos = envs.step(np.array([guess]))
        obs = infos["final_obs"] if over else obs
        assert rewards[0] == reward and ended[0] == over
        assert all((np.asarray(part) == obs[name][0]).all() for name, part in seen.items())


def loop_rate(words: Words, guesses: int = 20_000) -> float:
    """Guesses per second of the plain loop."""
    game, chosen = Loop(words), [random.randrange(len(words.guesses)) for _ in range(guesses)]
    start = time.process_time()
    for guess in chosen:
        _, _, over = game.step(guess)
        if over:
            game.reset()
    return guesses / (time.process_time() - start)


def vector_rate(envs: WordleVector, seconds: float = 0.7) -> float:
    """Steps per second of all copies; actions are drawn beforehand, among those allowed where there is a mask."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, envs.single_action_space.n, (64, envs.num_envs))
    obs, _ = envs.reset(seed=0)
    start, steps, choosing = time.process_time(), 0, 0.0
    while time.process_time() - start - choosing < seconds:
        action = drawn[steps % 64]
        if "action_mask" in obs:
            began = time.process_time()
            mask = obs["action_mask"]
            action = (mask * rng.random(mask.shape, np.float32)).argmax(1)
            choosing += time.process_time() - began
        obs = envs.step(action)[0]
        steps += 1
    return steps * envs.num_envs / (time.process_time() - start - choosing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=1024, help="copies that step together")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the comparison")
    options = parser.parse_args()
    for size in (100, 2223, 6393):
        start = time.process_time()
        words, envs = load(size), WordleVector(options.copies, size=size)
        built = time.process_time() - start
        agree(words)
        pairs = [(loop_rate(words), vector_rate(envs)) for _ in range(options.rounds)]
        loop, vector = (statistics.median(rates) for rates in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(
            f"{size:5d} words, easy, by word: loop {loop:9,.0f}/s, {options.copies} copies {vector:9,.0f}/s, "
            f"ratio {ratio:.1f} (best {max(b for _, b in pairs):,.0f}/s); tables built in {built:.2f} s"
        )
    for size, task, actions in (
        (100, "hard", "word"), (2223, "hard", "word"), (100, "easy", "letter"), (2223, "easy", "letter"),
        (100, "easy", "strategy"), (2223, "easy", "strategy"),
    ):  # fmt: skip
        rates = [vector_rate(WordleVector(options.copies, task, size, actions)) for _ in range(3)]
        print(f"{size:5d} words, {task}, by {actions}: {statistics.median(rates):9,.0f} steps/s")


if __name__ == "__main__":
    main()
