"""A run's fitted reward in the place of an environment's own, for a training script of one's own: a stock wrapper.

    env = plaudit.reward_wrapper("runs/doorkey")                    # the run's own world
    env = plaudit.reward_wrapper("runs/doorkey", gym.make("..."))   # or an environment that observes the same

The reward is the one that plaudit's own agents are trained on: the route's, shaped (normalised, thresholded, divided by
episodic counts or made a potential, mixed). The environment's own is in ``info["task_reward"]``. Any route with a reward
will do. Stable-Baselines3 takes it as any environment: ``make_vec_env(lambda: plaudit.reward_wrapper(run))``.

Leaves out vectorised environments: those of plaudit take ``plaudit.RewardWrapper``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from plaudit.errors import ConfigError
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.stages.parts import make_route, make_world
from plaudit.store import Run
from plaudit.vector import rows, stack

if TYPE_CHECKING:
    from plaudit.envs.base import World


class FittedReward(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that hands out a run's reward; see :func:`reward_wrapper`."""

    def __init__(self, env: gym.Env[Any, Any], run: Run, world: World) -> None:
        super().__init__(env)
        reward_fn, shaping = make_route(run.config.route).reward(run, world)
        self._world, self._reward_fn, self._one = world, reward_fn, _One(env)
        self._rewarded = RewardWrapper(self._one, reward_fn, shaping, world.event)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        _, info = self._rewarded.reset(seed=seed, options=options)
        return self._one.seen, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        _, reward, terminated, truncated, info = self._rewarded.step([action])
        info = {k: v for k, v in info.items() if k != "final_obs"} | {"task_reward": float(info["task_reward"][0])}
        return self._one.seen, float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def close(self) -> None:
        if hasattr(self._reward_fn, "close"):  # a reward program has a process
            self._reward_fn.close()
        if self._world is not self.env:
            self._world.close()
        super().close()


class _One(VectorEnv):
    """One environment as a batch of one, which whoever drives it resets."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}
    num_envs = 1

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env = env
        self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.seen: Any = None

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.seen, info = self.env.reset(seed=seed, options=options)
        return stack([self.seen]), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self.seen, reward, terminated, truncated, info = self.env.step(actions[0])
        batch = stack([self.seen])
        return (
            batch,
            np.array([float(reward)]),
            np.array([terminated]),
            np.array([truncated]),
            info | {"final_obs": rows(batch)},
        )


def reward_wrapper(run: Run | str | Path, env: gym.Env[Any, Any] | None = None) -> FittedReward:
    """``env``, or the run's own world, with the run's fitted and shaped reward in the place of its own.

    Args:
        run: a run, or its folder, whose reward is fitted.
        env: an environment that observes what the run's world does, such as the world itself; other wrappers go around
            the result, since the reward reads observations as the world gives them.

    Returns:
        A :class:`gymnasium.Wrapper`. Rewards are floats; ``info["task_reward"]`` is the environment's own.
    """
    run = run if isinstance(run, Run) else Run.open(Path(run))
    if not make_route(run.config.route).trains:
        raise ConfigError(f"the route {run.config.route!r} acts and makes no reward. Others do: plaudit list --routes")
    world = make_world(run.config.world)
    if env is None:
        return FittedReward(world, run, world)
    if env.observation_space != world.observation_space:
        raise ConfigError(
            f"the reward of {run.folder} reads {world.observation_space}, and this environment observes "
            f"{env.observation_space}. Put the reward on first and other wrappers around it."
        )
    return FittedReward(env, run, world)
