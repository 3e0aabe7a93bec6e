"""A short training on a reward program, whose course is told to the LLM for the next one.

This is where, by the person's choice (``code.reflections``), the world's own success reaches an LLM. The agent is none of
those that are measured: its layouts and first weights are its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from plaudit.console import console
from plaudit.policies.trained import TrainedPolicy
from plaudit.rewards.base import Transitions
from plaudit.rewards.code import CodeReward
from plaudit.rewards.sandbox import Limits
from plaudit.rewards.shaping import Shaping
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.rl.agents import make_trainer
from plaudit.rl.base import Progress
from plaudit.rollout import walk
from plaudit.stages.parts import make_envs, make_world
from plaudit.store import Run

SEED = 410
"""First seed of these agents; those that are measured have seeds below 400."""
TRACED = 64
"""Steps whose parts the LLM is shown."""


@dataclass(frozen=True)
class Trial:
    """How a training went."""

    success: float
    """Share of the last quarter's episodes that the world called a success."""
    components: list[dict[str, float]]
    """The reward's parts over steps of the trained agent."""
    words: str
    """The result as the LLM is told it."""


def trial(run: Run, program: str, limits: Limits, number: int) -> Trial:
    """Train one agent on this program, with the run's own settings of training and shaping."""
    config, world = run.config, make_world(run.config.world)
    reward = CodeReward(program, world.features, limits)
    shaping = Shaping(count_power=config.shaping.count_power)
    envs = RewardWrapper(make_envs(config.world, config.train.num_envs), reward, shaping, world.event)
    trainer, updates = make_trainer(config.train, envs, SEED + number), list[Progress]()
    trainer.train(updates.append)
    ended = [u for u in updates[-max(1, len(updates) // 4) :] if u.success is not None]
    episodes = sum(u.episodes for u in ended)
    success = sum(u.episodes * (u.success or 0.0) for u in ended) / max(1, episodes)
    walked = walk(make_envs(config.world, 1), TrainedPolicy(trainer.net, number), 1_000_000 * (SEED + number) + 500_000)
    steps = [Transitions(s.after, s.task_reward, s.before) for s in islice(walked, TRACED)]
    parts = [part for step in steps for part in reward.components(step)]
    reward.close()
    console.print(f"  trial: {success:.0%} success on this program")
    words = f"After {config.train.steps:,} steps the agent reached the goal in {success:.0%} of its episodes."
    return Trial(success, parts, words)
