"""How many labels does the reward model need? Held-out accuracy by number of labels, drawn evenly or where it is unsure.

Run: python benchmarks/labels.py. Every distinct description of DoorKey that a random policy meets is judged once by the
embedded model, pointwise; the labels are then handed out from these answers, so that all curves have the same judge and,
for each seed, the same held-out pairs, which no label touches. Accuracy: how often the reward model and the judge name
the same one of a held-out pair (chance is one half). Two kinds of label: comparisons of two descriptions, and scores of
single descriptions, from which pairs follow at no cost.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from plaudit import prompts
from plaudit.config import FitConfig, LLMConfig, RunConfig, WorldConfig
from plaudit.judging import selection
from plaudit.judging.base import Pair
from plaudit.judging.pointwise import Pointwise
from plaudit.policies.random import RandomPolicy
from plaudit.rewards import bradley_terry as bt
from plaudit.rewards.reward_net import RewardModel
from plaudit.rollout import distinct_descriptions
from plaudit.routes.networks import make_model
from plaudit.stages.parts import COLLECT_SEED, make_envs, make_llm, make_world
from plaudit.types import Judgement

SIZES = (50, 100, 200, 400)
FIT = FitConfig()
OPTIONS = bt.FitOptions(FIT.steps, FIT.batch, FIT.learning_rate, FIT.weight_decay)


class Data:
    """Judged descriptions, their events, and one split of them."""

    def __init__(self, judgements: list[Judgement], events: dict[str, str], seed: int) -> None:
        self.judged = {j.text: j for j in judgements}
        self.events, self.seed = events, seed
        texts = [j.text for j in judgements]
        held = np.random.default_rng(seed).permutation(len(texts))[: len(texts) // 4]
        self.held = [texts[i] for i in held]
        self.pool = [t for t in texts if t not in set(self.held)]
        self.test = self.pairs(selection.distinct(selection.random_pairs(self.held, 2000, np.random.default_rng(seed))))

    def pairs(self, pairs: list[Pair]) -> bt.Pairs:
        index = {t: i for i, t in enumerate(self.judged)}
        comparisons = Pointwise(prompts.load("pointwise")).pair_up(list(self.judged.values()), pairs)
        return bt.targets(comparisons, index, "soft", "half")

    def fitted(self, pairs: list[Pair]) -> tuple[RewardModel, float]:
        """A reward model of these labels, and its accuracy on the held-out pairs."""
        model = make_model(RunConfig(seed=self.seed), make_world(WorldConfig()))
        report = bt.fit(model, list(self.judged), self.pairs(pairs), self.test, OPTIONS, self.seed)
        return model, report.held_out_accuracy


def comparisons(data: Data, way: str) -> list[float]:
    """A label is the answer about one pair; after the first round, as many again as there are."""
    rows = [{"text": t, "event": data.events[t]} for t in data.pool]
    _, drawn = selection.draw(rows, len(rows), 4 * SIZES[-1], data.seed)
    even = selection.distinct(drawn)
    pairs = even[: SIZES[0]]
    model, accuracy = data.fitted(pairs)
    curve = [accuracy]
    for size in SIZES[1:]:
        if way == "uniform":
            pairs = even[:size]
        else:
            rewards = model.members(data.pool)
            pairs += selection.disputed_pairs(data.pool, rewards, size - len(pairs), data.seed, pairs)
        model, accuracy = data.fitted(pairs)
        curve.append(accuracy)
    return curve


def scores(data: Data, way: str) -> list[float]:
    """A label is the score of one description; 4000 random pairs among them are fitted."""
    order = selection.evenly([data.events[t] for t in data.pool], np.random.default_rng(data.seed))
    even = [data.pool[i] for i in order]
    texts = even[: SIZES[0]]
    model, accuracy = data.fitted(among(texts, data.seed))
    curve = [accuracy]
    for size in SIZES[1:]:
        if way == "uniform":
            texts = even[:size]
        else:
            texts += selection.disputed_items(data.pool, model.members(data.pool), size - len(texts), texts)
        model, accuracy = data.fitted(among(texts, data.seed))
        curve.append(accuracy)
    return curve


def among(texts: list[str], seed: int) -> list[Pair]:
    return selection.distinct(selection.random_pairs(texts, 4000, np.random.default_rng(seed)))


def judge_everything(world_seed: int) -> tuple[list[Judgement], dict[str, str]]:
    world = make_world(WorldConfig())
    envs, policy = make_envs(WorldConfig(), 64), RandomPolicy(world.action_space, world_seed)
    seen = distinct_descriptions(world, envs, policy, 200_000, COLLECT_SEED + world_seed)
    llm = make_llm(LLMConfig())
    judgements = Pointwise(prompts.load("pointwise")).judge(llm, world.goal, [s.text for s in seen])
    llm.close()
    return judgements, {s.text: world.event(s.observation) for s in seen}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    judgements, events = judge_everything(0)
    print(f"{len(judgements)} descriptions judged, a quarter held out; mean of {seeds} seeds (lowest to highest)")
    print(f"{'labels':34}" + "".join(f"{size:>25}" for size in SIZES))
    for label, run in (("comparisons", comparisons), ("scores", scores)):
        for way in ("uniform", "disagreement"):
            curves = np.array([run(Data(judgements, events, seed), way) for seed in range(seeds)])
            cells = [f"{c.mean():.1%} ({c.min():.1%} to {c.max():.1%})" for c in curves.T]
            print(f"{label + ', ' + way:34}" + "".join(f"{cell:>25}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
