"""A route: one way of using the LLM (or none), and what it does in each stage of a run.

A route is one file here with one subclass of :class:`Route`, found by name. The mathematics is elsewhere (``rewards/``,
``judging/``, ``policies/``); a route ties it to a run folder. Every route that makes a reward leaves the same two files
behind, so that the report, shaping and comparison need not know which it was: ``fit/rewards.parquet`` (the reward of
every collected description) and ``fit/judged.safetensors`` (the values that shaping takes its statistics from).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plaudit.config import RunConfig, shaping_used
from plaudit.rewards.shaping import Shaping
from plaudit.store import Run, load_tree, read_batches, save_tree, write_columns

if TYPE_CHECKING:
    from plaudit.envs.base import World
    from plaudit.llms.base import LLM
    from plaudit.policies.base import Policy
    from plaudit.policies.examples import RecordedStep
    from plaudit.rewards.base import RewardFn


@dataclass(frozen=True)
class Met:
    """What a forecast's short walk through the world has met."""

    observations: list[Any]
    """Some distinct observations."""
    situations: dict[int, int]
    """Distinct situations of an acting LLM, by the number of earlier steps that it is shown."""
    steps: list[RecordedStep]
    """The steps, in words."""


class Route:
    """What a route has to say for itself; the defaults are those of a route that asks nothing and trains an agent."""

    asks: ClassVar[bool] = False
    """Whether it asks a language model anything."""
    trains: ClassVar[bool] = True
    """Whether an agent is trained on its reward."""
    makes_reward: ClassVar[bool] = False
    """Whether it has something to make before training: the stages annotate and fit."""
    may_end_early: ClassVar[bool] = False
    """Whether it may ask much less than was planned: it ends when things go well."""
    protocols: ClassVar[tuple[str, ...]] = ()
    """Judging protocols that serve it, its own first."""

    def check(self, config: RunConfig, world: World) -> None:
        """Raise now what a stage would raise later."""

    def pilot(self, config: RunConfig, world: World, llm: LLM, met: Met) -> tuple[int, int]:
        """Ask a few of its questions, for a forecast: (items that it will ask about, items that it asked about)."""
        raise NotImplementedError

    def annotate(self, run: Run) -> None:
        """Ask whatever there is to ask, and finish the stage."""
        raise NotImplementedError

    def fit(self, run: Run) -> None:
        """Make the reward out of the answers, and finish the stage."""
        raise NotImplementedError

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        """The reward function and its shaping, for training and for looking at."""
        raise NotImplementedError

    def policy(self, run: Run, world: World, seed: int) -> AbstractContextManager[Policy]:
        """What acts, where ``trains`` is False; what it holds open is closed behind it."""
        raise NotImplementedError


def save_rewards(
    run: Run, texts: Sequence[str], rewards: ArrayLike, spread: ArrayLike | None, judged: ArrayLike
) -> None:
    """The two files that every route's fit leaves behind. ``rewards`` and ``spread`` are ``(n,)``, one for each text."""
    spreads = [None] * len(texts) if spread is None else np.asarray(spread, np.float64)
    columns = {"text": texts, "reward": np.asarray(rewards, np.float64), "spread": spreads}
    write_columns(run.folder / "fit" / "rewards.parquet", columns)
    save_tree(run.folder / "fit" / "judged.safetensors", {"judged": np.asarray(judged, np.float32)})


def known_rewards(run: Run) -> dict[str, float]:
    """Description to reward, as the fit stage left it."""
    batches = read_batches(run.require("fit") / "rewards.parquet", ("text", "reward"))
    return {text: reward for rows in batches for text, reward in zip(rows["text"], rows["reward"], strict=True)}


def judged_rewards(run: Run) -> NDArray[np.float32]:
    """The values that shaping takes its statistics from, ``(n,)``."""
    return load_tree(run.require("fit") / "judged.safetensors")["judged"].numpy()


def shaping(run: Run, judged: NDArray[np.floating] | None = None) -> Shaping:
    """The run's shaping, its statistics taken over the rewards of the judged observations; the fit's own by default."""
    options: dict[str, Any] = asdict(shaping_used(run.config)) | {"gamma": run.config.train.gamma}
    normalize, quantile = options.pop("normalize"), options.pop("quantile")
    return Shaping.from_rewards(judged_rewards(run) if judged is None else judged, normalize, quantile, **options)
