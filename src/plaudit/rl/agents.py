"""Trainers by name, and agents from what was saved of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from plaudit.errors import MissingExtraError
from plaudit.rl.actor import Actor
from plaudit.rl.base import Trainer
from plaudit.rl.networks import ActorCritic
from plaudit.rl.ppo import PPO, PPOConfig


def make_trainer(settings: Any, envs: VectorEnv, seed: int) -> Trainer:
    """The trainer that ``settings`` (as ``[train]`` of a run) ask for, on these copies."""
    cls, config = trainer_class(settings.algorithm)
    shared = {f.name: getattr(settings, f.name) for f in fields(config) if hasattr(settings, f.name)}
    return cls(envs, config(**shared), seed)


def trainer_class(algorithm: str) -> tuple[Any, Any]:
    """The trainer of this name, ppo or sac, and the class of its configuration."""
    if algorithm == "ppo":
        return PPO, PPOConfig
    try:
        from plaudit.rl.sac import SAC, SACConfig
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"sac needs the package {error.name!r}. Type: pip install 'plaudit[sac]'") from None
    return SAC, SACConfig


def agent_record(settings: Any) -> dict[str, Any]:
    """What :func:`make_agent` must know of the settings, for the agent's file."""
    names = ("algorithm", "width", "memory", "normalize") if settings.algorithm == "ppo" else ("algorithm", "width")
    return {name: getattr(settings, name) for name in names}


def make_agent(record: dict[str, Any], observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> Any:
    """The network with its first weights: an :class:`plaudit.rl.base.Agent` and a ``torch.nn.Module``."""
    options = dict(record)
    cls: Any = ActorCritic if options.pop("algorithm") == "ppo" else Actor
    return cls(observation_space, action_space, **options)
