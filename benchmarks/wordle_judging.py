"""Does the embedded model order Wordle's positions as their progress does? By description, beside what needs no LLM.

    python benchmarks/wordle_judging.py                    # a few minutes on one core
    python benchmarks/wordle_judging.py --llm model.gguf

Pairs are calibration's own: positions that a random policy meets, whose share of letters known differs by 0.15 or more.
Asked without the chat template, one position at a time (``pointwise``). Beside it: similarity of static word vectors to
the goal less that to "nothing is known of the word", and the longer text. Accuracies with Wilson's 95% half width; a coin
has 50%. For measuring only: nothing is chosen by it.
"""

from __future__ import annotations

import argparse

import numpy as np

from plaudit.config import LLMConfig, WorldConfig
from plaudit.judging.calibrate import half_width, known_pairs, measure
from plaudit.policies.random import RandomPolicy
from plaudit.rewards.embedders import WordLlamaEmbedder
from plaudit.rollout import distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import make_envs, make_llm, make_world

NOTHING = "nothing is known of the word"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llm", default="embedded", help="embedded, or a GGUF file")
    parser.add_argument("--pairs", type=int, default=100, help="pairs of each description")
    parser.add_argument("--protocols", nargs="*", default=["pointwise"], help="ways of asking")
    options = parser.parse_args()
    llm, embedder = make_llm(LLMConfig(model=options.llm, threads=1)), WordLlamaEmbedder()
    for description in ("summary", "board"):
        config = WorldConfig(name="wordle", observation="board", description=description)
        world, envs = make_world(config), make_envs(config, 64)
        seen = distinct_descriptions(world, envs, RandomPolicy(world.action_space, 0), 5_000, CALIBRATION_SEED)
        pairs = known_pairs([s.text for s in seen], [s.progress / s.count for s in seen], options.pairs, 0)
        goal, nothing = embedder.texts([world.goal]), embedder.texts([NOTHING])
        better, worse = (embedder.texts(list(side)) @ (goal - nothing).T for side in zip(*pairs, strict=True))
        shares = {"word vectors": float((better > worse).mean())}
        lengths = np.array([[len(text) for text in pair] for pair in pairs])
        shares["longer text"] = float(((1 + np.sign(lengths[:, 0] - lengths[:, 1])) / 2).mean())
        for name, share in shares.items():
            print(f"{description}: {name} {share:.0%} ±{half_width(share, len(pairs)):.0%} of {len(pairs)}", flush=True)
        for protocol in options.protocols:
            found = measure(llm, world.goal, pairs, protocol, chat=False)
            print(f"{description}: {protocol} {found.accuracy:.0%} ±{found.interval:.0%} of {found.pairs}", flush=True)
    llm.close()


if __name__ == "__main__":
    main()
