"""How many labels does the reward model need? Held-out accuracy by number of labels, by what is asked next.

    python benchmarks/labels.py                        # DoorKey, 5 seeds
    python benchmarks/labels.py --world wordle --steps 3000
    python benchmarks/labels.py --noise 1              # a judge that contradicts itself

Every distinct description that a random policy meets is judged once by the embedded model, pointwise; the labels are then
handed out from these answers, so that all curves have the same judge and, for each seed, the same held-out pairs, which no
label touches. Accuracy: how often the reward model and the judge name the same one of a held-out pair (chance is one half).

Two kinds of label. *Scores* of single descriptions, from which pairs follow at no cost. *Comparisons* of two among 100
descriptions: drawn at random (``uniform``), where the ensemble's opinions spread most (``disagreement``), where they tell
most about the networks (``information``: mutual information of answer and network, BALD), or, in ``transitive``, only pairs
that no earlier answers settle, and with ``+ implied`` all that follows from them as labels too. Scores are transitive;
``--noise`` adds a normal draw of so many of their standard deviations to the difference of each pair.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray

from plaudit import prompts
from plaudit.analysis.statistics import Interval, interval
from plaudit.config import FitConfig, LLMConfig, RunConfig, WorldConfig
from plaudit.judging import selection
from plaudit.judging.consistency import triples
from plaudit.judging.pointwise import Pointwise
from plaudit.judging.scorer import preferences
from plaudit.policies.random import RandomPolicy
from plaudit.rewards import bradley_terry as bt
from plaudit.rewards import reward_net
from plaudit.rewards.reward_net import Packed, RewardModel
from plaudit.rollout import distinct_descriptions
from plaudit.routes.networks import make_model
from plaudit.seeds import COLLECT_SEED
from plaudit.stages.parts import make_envs, make_world, open_shared_llm

SIZES = (50, 100, 200, 400)
AMONG = 100
"""Descriptions that comparisons are about."""
FIT = FitConfig()
OPTIONS = bt.FitOptions(FIT.steps, FIT.batch, FIT.learning_rate, FIT.weight_decay)
Numbers = NDArray[np.int64]


class Data:
    """Judged descriptions, their events, and one split of them."""

    def __init__(
        self, texts: list[str], scores: NDArray[np.float64], events: list[str], noise: float, seed: int
    ) -> None:
        self.texts, self.scores, self.noise, self.seed = texts, scores, noise, seed
        self.scale = Pointwise(prompts.load("pointwise")).scale(scores)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(texts))
        held, pool = order[: len(texts) // 4], np.sort(order[len(texts) // 4 :])
        self.pool = pool[selection.evenly(np.unique([events[i] for i in pool], return_inverse=True)[1], rng)]
        self.test = self.pairs(held[selection.distinct(selection.random_pairs(len(held), 2000, rng))], noise=0)
        self.model, self.packed = small_model(texts, seed)
        self._tested, test = np.unique([self.test.first, self.test.second], return_inverse=True)
        self.test = bt.Pairs(*test.reshape(2, -1), self.test.target)

    def answers(self, pairs: Numbers, noise: float) -> NDArray[np.float64]:
        """P(first is better); the same pair is always answered alike, whichever way round."""
        first, second = self.scores[pairs[:, 0]], self.scores[pairs[:, 1]]
        low, high = pairs.min(axis=1), pairs.max(axis=1)
        seeds = zip(low.tolist(), high.tolist(), strict=True)
        drawn = np.array([np.random.default_rng([self.seed, *pair]).normal() for pair in seeds] if noise else 0.0)
        sign = np.where(pairs[:, 0] == low, 1, -1)
        return preferences(first + noise * self.scores.std() * drawn * sign, second, self.scale)

    def pairs(self, pairs: Numbers, noise: float | None = None) -> bt.Pairs:
        return bt.usable(pairs, self.answers(pairs, self.noise if noise is None else noise), "soft", "half")

    def fitted(self, pairs: bt.Pairs) -> float:
        """Accuracy on the held-out pairs of a reward model of these labels."""
        used, numbers = np.unique([pairs.first, pairs.second], return_inverse=True)
        first, second = numbers.reshape(2, -1)
        bt.fit(self.model, self.packed.rows(used), bt.Pairs(first, second, pairs.target), OPTIONS, self.seed)
        return bt.accuracy(bt.predict(self.model(self.packed.rows(self._tested)), self.test), self.test.target)


def small_model(texts: list[str], seed: int) -> tuple[RewardModel, Packed]:
    """A reward model whose table has only the rows that these texts use: the same to learn, and much faster."""
    config, world = RunConfig(seed=seed), make_world(WorldConfig())
    packed = make_model(config, world).pack(texts)
    used, words = torch.unique(packed.tensors["words"], return_inverse=True)
    reward_net.BUCKETS = len(used)
    return make_model(config, world), Packed(packed.tensors | {"words": words.int()}, len(texts))


def comparisons(data: Data, way: str) -> list[float]:
    """A label is the answer about one pair; after the first round, as many again as there are."""
    among, rng = data.pool[:AMONG], np.random.default_rng(data.seed)
    even = selection.distinct(selection.random_pairs(AMONG, 4 * SIZES[-1], rng))
    pairs, curve = even[: SIZES[0]], []
    order = selection.Order(AMONG) if way.startswith("transitive") else None
    for size in SIZES:
        if order is not None:
            pairs = pairs[:0] if size == SIZES[0] else pairs
            while len(pairs) < size and len(more := order.next_pairs(size - len(pairs), rng)):
                order.add(more, data.answers(among[more], data.noise))
                pairs = np.concatenate([pairs, more])
        elif size > SIZES[0] and way == "uniform":
            pairs = even[:size]
        elif size > SIZES[0]:
            rewards = data.model.members(data.packed)[:, among]
            choose = selection.disputed_pairs if way == "disagreement" else informative_pairs
            pairs = np.concatenate([pairs, choose(rewards, size - len(pairs), data.seed, pairs)])
        labels = data.pairs(among[pairs])
        curve.append(data.fitted(labels if way != "transitive + implied" else with_implied(labels, order, among)))
    return curve


def with_implied(labels: bt.Pairs, order: selection.Order | None, among: Numbers) -> bt.Pairs:
    """All pairs that the answers settle one way, as sure as the mean answer."""
    assert order is not None
    better, worse = np.nonzero(order.better & ~order.better.T)
    sure = float(np.maximum(labels.target, 1 - labels.target).mean())
    return bt.Pairs(among[better], among[worse], np.full(len(better), sure, np.float32))


def informative_pairs(rewards: NDArray[np.floating], count: int, seed: int, asked: Numbers) -> Numbers:
    """Pairs whose answer tells most about which network is right: H(mean p) - mean H(p)."""
    pool = selection.distinct(
        selection.random_pairs(rewards.shape[1], selection.POOL * count, np.random.default_rng(seed)), asked
    )
    p = 1 / (1 + np.exp(-(rewards[:, pool[:, 0]] - rewards[:, pool[:, 1]]).astype(np.float64)))
    entropy = lambda p: -(p * np.log(p + 1e-12) + (1 - p) * np.log(1 - p + 1e-12))  # noqa: E731
    return pool[np.argsort(-(entropy(p.mean(axis=0)) - entropy(p).mean(axis=0)), kind="stable")[:count]]


def scores(data: Data, way: str) -> list[float]:
    """A label is the score of one description; 4000 random pairs among them are fitted."""
    items, curve = data.pool[: SIZES[0]], []
    for size in SIZES:
        if size > SIZES[0] and way == "uniform":
            items = data.pool[:size]
        elif size > SIZES[0]:
            rewards = data.model.members(data.packed)
            outside = np.concatenate([items, np.setdiff1d(np.arange(len(data.texts)), data.pool)])
            items = np.concatenate([items, selection.disputed_items(rewards, size - len(items), outside)])
        drawn = selection.random_pairs(len(items), 4000, np.random.default_rng(data.seed))
        curve.append(data.fitted(data.pairs(items[selection.distinct(drawn)], noise=0)))
    return curve


def judge_everything(config: WorldConfig, steps: int, ledger: str) -> tuple[list[str], NDArray[np.float64], list[str]]:
    """(descriptions, their scores, what had happened)."""
    world = make_world(config)
    envs, policy = make_envs(config, min(64, type(world).most_copies)), RandomPolicy(world.action_space, 0)
    seen = distinct_descriptions(world, envs, policy, steps, COLLECT_SEED)
    with open_shared_llm(RunConfig(llm=LLMConfig(ledger=ledger))) as llm:
        judgements = Pointwise(prompts.load("pointwise")).judge(llm, world.goal, [s.text for s in seen])
    known = [(j.text, j.value, world.event(s.observation)) for j, s in zip(judgements, seen, strict=True)]
    texts, values, events = zip(*(row for row in known if row[1] is not None), strict=True)
    return list(texts), np.array(values), list(events)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--world", default="doorkey")
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--ledger", default="", help="keeps the judge's answers for the next time")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    judged = judge_everything(WorldConfig(options.world), options.steps, options.ledger)
    print(f"{len(judged[0])} descriptions judged, a quarter held out; {options.seeds} seeds")
    print(f"{'labels':38}" + "".join(f"{size:>24}" for size in SIZES))
    for noise in options.noise:
        datas = [Data(*judged, noise, seed) for seed in range(options.seeds)]
        every = np.array([(a, b) for a in range(AMONG) for b in range(a)])
        cyclic = np.mean([triples(every, d.answers(d.pool[every], noise))["cyclic"] for d in datas])
        print(f"noise {noise:g}: {cyclic:.1%} of the judge's triples go round in a circle")
        uniform = [comparisons(data, "uniform") for data in datas]
        report("comparisons, uniform", uniform)
        for way in ("disagreement", "information", "transitive", "transitive + implied"):
            report(f"comparisons, {way}", [comparisons(data, way) for data in datas], uniform)
    datas = [Data(*judged, 0.0, seed) for seed in range(options.seeds)]
    uniform = [scores(data, "uniform") for data in datas]
    report("scores, uniform", uniform)
    report("scores, disagreement", [scores(data, "disagreement") for data in datas], uniform)


def report(name: str, curves: list[list[float]], uniform: list[list[float]] | None = None) -> None:
    """A row of interquartile means over the seeds with 95% intervals, and one of the paired differences from uniform."""
    table = np.array(curves)
    print(f"{name:38}" + "".join(f"{_cell(interval(column)):>24}" for column in table.T), flush=True)
    if uniform is not None:
        found = [interval(column) for column in (table - np.array(uniform)).T]
        print(f"{'  against uniform, points':38}" + "".join(f"{_cell(each):>24}" for each in found), flush=True)


def _cell(found: Interval) -> str:
    ends = "" if found.low is None or found.high is None else f" ({100 * found.low:.1f} to {100 * found.high:.1f})"
    return f"{100 * found.point:.1f}{ends}"


if __name__ == "__main__":
    main()
