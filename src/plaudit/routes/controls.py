"""Routes without a language model: the baselines that any use of one has to beat.

They pass through the same wrapper, training and evaluation. Source of counts alone: Bellemare et al. 2016 (arXiv
1606.01868), here with the exact counts of one episode, as Motif's baselines have them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from plaudit.config import RunConfig
from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.policies.random import RandomPolicy
from plaudit.rewards.base import RewardFn
from plaudit.rewards.controls import ConstantReward, CountReward, TaskReward
from plaudit.rewards.shaping import Shaping
from plaudit.routes.base import Route
from plaudit.store import Run


class Task(Route):
    """Control: the world's own reward."""

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        return TaskReward(), Shaping()


class Constant(Route):
    """Control: +1 for every step."""

    value: ClassVar[float] = 1.0

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        return ConstantReward(self.value), Shaping()


class ConstantMinus(Constant):
    """Control: -1 for every step."""

    value = -1.0


class Count(Route):
    """Control: novelty alone, 1 / N^power with N = times that this event occurred."""

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        return CountReward(), Shaping(count_power=run.config.shaping.count_power)


class RandomNetwork(Route):
    """Control: novelty by random network distillation, over the whole training."""

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        from plaudit.rewards.novelty import DistillationReward

        train = run.config.train
        return DistillationReward(world.observation_space, train.num_envs, train.gamma, train.width), Shaping()


class Expert(Route):
    """Reference: the world's own scripted policy; nothing is trained."""

    trains = False

    def check(self, config: RunConfig, world: World) -> None:
        self._make(world)

    def policy(self, run: Run, world: World, seed: int) -> AbstractContextManager[Policy]:
        return nullcontext(self._make(world))

    def _make(self, world: World) -> Policy:
        from plaudit.stages.parts import make_expert

        return make_expert(world)


class Random(Route):
    """Control: a random policy; nothing is trained."""

    trains = False

    def policy(self, run: Run, world: World, seed: int) -> AbstractContextManager[Policy]:
        return nullcontext(RandomPolicy(world.action_space, seed))
