"""fit: a Bradley-Terry reward model on the LLM's comparisons.

Writes ``reward.safetensors`` (the networks) and ``rewards.parquet`` (the reward of every collected description). The
shaping's statistics are taken over the judged descriptions.
"""

from __future__ import annotations

import time
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch

from plaudit.config import RunConfig
from plaudit.console import console
from plaudit.envs.base import World
from plaudit.rewards.bradley_terry import FitOptions, split, targets
from plaudit.rewards.bradley_terry import fit as fit_model
from plaudit.rewards.preference import PreferenceReward
from plaudit.rewards.reward_net import RewardModel
from plaudit.rewards.shaping import Shaping
from plaudit.stages.parts import make_world
from plaudit.store import Run, load_tree, read_table, save_tree, write_table
from plaudit.types import Comparison


def fit(run: Run) -> None:
    """Run the stage."""
    start, config = time.perf_counter(), run.config
    torch.set_num_threads(1)  # the networks are so small that a second thread only waits for the first
    comparisons = [Comparison(**row) for row in read_table(run.require("annotate") / "comparisons.parquet")]
    folder = run.stage("fit")
    texts = list(dict.fromkeys(t for c in comparisons for t in (c.first, c.second)))
    items = _items(run, texts)
    pairs = targets(comparisons, {t: i for i, t in enumerate(texts)}, config.fit.target, config.fit.ties)
    train, held = split(pairs, len(texts), config.fit.held_out, np.random.default_rng(config.seed))
    model = make_model(config, make_world(config.world))
    options = FitOptions(**{f.name: getattr(config.fit, f.name) for f in fields(FitOptions)})
    report = fit_model(model, items, train, held, options, config.seed)
    everything = [row["text"] for row in read_table(run.folder / "collect" / "observations.parquet")]
    members = model.members(_items(run, everything))
    save_tree(folder / "reward.safetensors", {"nets": model.state(), "judged": model(items)})
    rows = zip(everything, members.mean(axis=0).tolist(), members.std(axis=0).tolist(), strict=True)
    write_table(folder / "rewards.parquet", [{"text": t, "reward": r, "spread": s} for t, r, s in rows])
    seconds = time.perf_counter() - start
    run.finish("fit", seconds, **{k: round(v, 4) for k, v in asdict(report).items()})
    console.print(
        f"fit: agrees with the judge on {report.held_out_accuracy:.0%} of {report.held_out_pairs} held-out pairs "
        f"({seconds:.1f} s)"
    )


def make_model(config: RunConfig, world: World) -> RewardModel:
    """Networks with their first weights."""
    return RewardModel(config.fit.input, world.observation_space, config.fit.width, config.fit.members, config.seed)


def load_reward(run: Run, world: World) -> tuple[PreferenceReward, Shaping]:
    """The fitted reward as a reward function, and its shaping."""
    tree = load_tree(run.require("fit") / "reward.safetensors")
    model = make_model(run.config, world)
    model.load_state(tree["nets"])
    options = asdict(run.config.shaping) | {"gamma": run.config.train.gamma}
    normalize, quantile = options.pop("normalize"), options.pop("quantile")
    shaping = Shaping.from_rewards(tree["judged"].numpy(), normalize, quantile, **options)
    known = {row["text"]: row["reward"] for row in read_table(run.folder / "fit" / "rewards.parquet")}
    return PreferenceReward(model, world.describe, known), shaping


def _items(run: Run, texts: list[str]) -> list[Any]:
    """What the reward model reads of these descriptions: themselves, or one observation of each."""
    if run.config.fit.input == "text":
        return list(texts)
    folder = run.folder / "collect"
    index = {row["text"]: i for i, row in enumerate(read_table(folder / "observations.parquet"))}
    batch = load_tree(folder / "observations.safetensors")["observations"]
    if isinstance(batch, dict):
        return [{k: v[index[t]].numpy() for k, v in batch.items()} for t in texts]
    return [batch[index[t]].numpy() for t in texts]
