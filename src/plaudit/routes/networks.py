"""Fitted networks between the judge's answers and the agent: what they read, where they are kept, how they reward."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.config import RunConfig
from plaudit.console import console
from plaudit.routes.base import known_rewards, save_rewards
from plaudit.stages.parts import make_world
from plaudit.store import Run, load_tree, read_batches, read_table, save_tree

if TYPE_CHECKING:
    from plaudit.envs.base import World
    from plaudit.rewards.bradley_terry import FitReport
    from plaudit.rewards.preference import PreferenceReward
    from plaudit.rewards.regression import RegressionReport
    from plaudit.rewards.reward_net import RewardModel
    from plaudit.routes.items import Members


class Fitting:
    """Judged items as what a reward model is fitted to; ``members`` where they are segments."""

    def __init__(self, run: Run, texts: Sequence[str], members: Members | None) -> None:
        from plaudit.rewards.fitting import FitOptions

        descriptions, self.segments = list(texts), None
        if members is not None:
            descriptions = list(dict.fromkeys(itertools.chain.from_iterable(members[t] for t in texts)))
            number = {t: i for i, t in enumerate(descriptions)}
            self.segments = np.array([[number[m] for m in members[t]] for t in texts], np.int64)
        self.model = make_model(run.config, make_world(run.config.world))
        self.observations = self.model.pack(model_inputs(run, descriptions))
        self.options = FitOptions(**{f.name: getattr(run.config.fit, f.name) for f in fields(FitOptions)})
        self._fit, self._seed = run.config.fit, run.config.seed

    @property
    def how(self) -> dict[str, Any]:
        """What a measured fit needs beside the model and the labels."""
        return {
            "observations": self.observations,
            "held_out": self._fit.held_out,
            "options": self.options,
            "seed": self._seed,
            "segments": self.segments,
        }

    def targets(self, pairs: NDArray[np.int64], probability: NDArray[np.float64]) -> Any:
        """Comparisons of two items each, by the run's label switches."""
        from plaudit.rewards.bradley_terry import usable

        return usable(pairs, probability, self._fit.target, self._fit.ties)


def judged_members(run: Run) -> Members | None:
    """The descriptions that each judged item consists of; None where each is one."""
    if run.config.judge.segment == 1:
        return None
    return {row["text"]: tuple(row["members"]) for row in read_table(run.folder / "annotate" / "items.parquet")}


def make_model(config: RunConfig, world: World) -> RewardModel:
    """Networks with their first weights."""
    from plaudit.rewards.reward_net import RewardModel

    return RewardModel(config.fit.input, world.observation_space, config.fit.width, config.fit.members, config.seed)


def save_model(run: Run, fitting: Fitting) -> None:
    """The networks, and their reward of everything that was collected."""
    everything = collected_texts(run)
    members = fitting.model.members(model_inputs(run, everything))
    save_tree(run.folder / "fit" / "reward.safetensors", {"nets": fitting.model.state()})
    save_rewards(
        run,
        everything,
        members.mean(axis=0),
        (members - members.mean(axis=1, keepdims=True)).std(axis=0),
        fitting.model(fitting.observations),
    )


def collected_texts(run: Run) -> list[str]:
    """Every collected description, in the order of its observation."""
    table = run.folder / "collect" / "observations.parquet"
    return [text for rows in read_batches(table, ("text",)) for text in rows["text"]]


def finish_fit(
    run: Run, start: float, report: FitReport | RegressionReport, found: str, expected: str = "", **more: Any
) -> None:
    """Record a measured fit that began at ``start``; ``found`` is what was measured, empty where nothing could be."""
    seconds = time.perf_counter() - start
    measured = {k: None if v is None else round(v, 4) for k, v in asdict(report).items()}
    run.finish("fit", seconds, expected, **measured, **more)
    console.print(f"fit: {found or 'too few descriptions to hold any out'} ({seconds:.1f} s)")


def load_model_reward(run: Run, world: World) -> PreferenceReward:
    """The fitted networks as a reward function."""
    from plaudit.rewards.preference import PreferenceReward

    model = make_model(run.config, world)
    model.load_state(load_tree(run.require("fit") / "reward.safetensors")["nets"])
    return PreferenceReward(model, world.describe, known_rewards(run))


def model_inputs(run: Run, texts: list[str]) -> list[Any]:
    """What the reward model reads of these descriptions: themselves, or one observation of each."""
    if run.config.fit.input == "text":
        return list(texts)
    folder = run.folder / "collect"
    index = {text: i for i, text in enumerate(collected_texts(run))}
    batch = load_tree(folder / "observations.safetensors")["observations"]
    if isinstance(batch, dict):
        return [{k: v[index[t]].numpy() for k, v in batch.items()} for t in texts]
    return [batch[index[t]].numpy() for t in texts]
