"""What Wordle's expert is worth, exactly: every answer of a list played to its end, in each size and mode.

    python benchmarks/wordle_expert.py                                      # about two minutes
    python benchmarks/wordle_expert.py --answers A.txt --others O.txt       # another list, one word a line

Beside it, of 600 games each: a random choice among the five strategies, each of them alone, and the strategies' expert.
With another list, such as the original game's, only the expert by words is measured, so that it can be held against what is
known of that list. Seconds are of one processor.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs.wordle import Wordle
from plaudit.envs.wordle_expert import Expert
from plaudit.envs.wordle_rules import Words, load
from plaudit.envs.wordle_value import of_position
from plaudit.envs.wordle_words import STRATEGIES
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import run_episodes


class Always:
    """One strategy, always."""

    def __init__(self, action: int) -> None:
        self.action = action

    def act(self, observations: Any) -> NDArray[Any]:
        return np.full(len(observations["turn"]), self.action)

    def reset(self, begun: NDArray[np.bool_]) -> None:
        pass


def by_words(words: Words, hard: bool) -> str:
    start = time.process_time()
    expert = Expert(words, hard)
    value = of_position(expert, expert.start())
    opening = words.guesses[expert.word(expert.start())].upper()
    return (
        f"{len(words.guesses):6d} words, {len(words.answers):5d} answers, {'hard' if hard else 'easy'}: "
        f"wins {value.win:7.2%}, {value.guesses:.3f} guesses, opens with {opening}, {time.process_time() - start:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=Path, help="file of words that may be answers")
    parser.add_argument("--others", type=Path, help="file of words that may only be guessed")
    options = parser.parse_args()
    if options.answers:
        answers, others = (tuple(p.read_text().lower().split()) for p in (options.answers, options.others))
        print(by_words(Words(answers + tuple(w for w in others if w not in set(answers)), answers), hard=False))
        return
    for size in Wordle.choices["size"]:
        for hard in (False, True):
            print(by_words(load(size), hard), flush=True)
    for size in (100, 2223):
        world, envs = Wordle(size=size, actions="strategy"), Wordle.vector(200, size=size, actions="strategy")
        policies = {"at random": RandomPolicy(world.action_space, 0), "expert": world.expert()}
        policies |= {f"always: {name}": Always(i) for i, name in enumerate(STRATEGIES)}
        for name, policy in policies.items():
            played = run_episodes(envs, policy, 0, 600)
            wins, length = (np.mean([getattr(episode, key) for episode in played]) for key in ("success", "length"))
            print(f"{size:6d} words, strategies, {name}: wins {wins:.1%}, {length:.2f} guesses", flush=True)


if __name__ == "__main__":
    main()
