"""What the embedded judge makes of the same facts in another order of sentences.

Run: python benchmarks/wording.py. Descriptions of DoorKey have three sentences: what is in sight, what is in hand, what
has just happened. They, and the examples in the prompt with them, are put in several orders; for each, how often a step
that a person calls good is scored above one that a person calls useless. The labels below are used here only.
"""

from __future__ import annotations

import re

import numpy as np

from plaudit import prompts
from plaudit.config import LLMConfig, WorldConfig
from plaudit.envs import gridworld_words as words
from plaudit.judging.pointwise import Pointwise
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import make_envs, make_llm, make_world

GOOD = (words.PICKED_UP, words.UNLOCKED, words.ENTERED_DOORWAY, words.REACHED_GOAL)
USELESS = (words.NOTHING, words.TURNED, words.MOVED, words.HIT_WALL, words.BLOCKED, words.DROPPED, words.LOCKED)
ORDERS = {
    "sight, hand, event (as shipped)": (0, 1, 2),
    "event, hand, sight": (2, 1, 0),
    "hand, event": (1, 2),
    "event only": (2,),
}
EACH = 8
"""Descriptions of each event."""


def reorder(text: str, order: tuple[int, ...]) -> str:
    sentences = re.split(r"(?<=\.) ", text)
    return " ".join(sentences[i] for i in order)


def reorder_examples(prompt: str, order: tuple[int, ...]) -> str:
    return re.sub(r"(?<=^Now: )You .*$", lambda m: reorder(m.group(0), order), prompt, flags=re.M)


def main() -> None:
    world = make_world(WorldConfig())
    policy = RandomPolicy(world.action_space, 0)
    seen = distinct_descriptions(world, make_envs(WorldConfig(), 64), policy, 200_000, CALIBRATION_SEED)
    rng, texts = np.random.default_rng(0), {}
    for event in (*GOOD, *USELESS):
        found = [s.text for s in seen if s.text.endswith(words.EVENTS[event])]
        texts[event] = [found[i] for i in rng.permutation(len(found))[:EACH]]
    llm, prompt = make_llm(LLMConfig()), prompts.load("pointwise")
    print(f"{'order of the sentences':34} good above useless   of pairs")
    for name, order in ORDERS.items():
        protocol = Pointwise(prompts.Prompt(name, reorder_examples(prompt.text, order)))
        asked = {t: reorder(t, order) for group in texts.values() for t in group}
        values = {j.text: j.value for j in protocol.judge(llm, world.goal, sorted(set(asked.values())))}
        good, bad = ([values[asked[t]] for e in events for t in texts[e]] for events in (GOOD, USELESS))
        right = np.array(good)[:, None] > np.array(bad)[None]
        print(f"{name:34} {right.mean():18.1%} {right.size:10,}")


if __name__ == "__main__":
    main()
