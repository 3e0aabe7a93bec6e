"""Trainers by name, and agents from what was saved of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from plaudit.rl.base import Trainer
from plaudit.rl.networks import ActorCritic
from plaudit.rl.ppo import PPO, PPOConfig


def make_trainer(settings: Any, envs: VectorEnv, seed: int) -> Trainer:
    """The trainer that ``settings`` (as ``[train]`` of a run) ask for, on these copies."""
    shared = {f.name: getattr(settings, f.name) for f in fields(PPOConfig) if hasattr(settings, f.name)}
    return PPO(envs, PPOConfig(**shared), seed)


def agent_record(settings: Any) -> dict[str, Any]:
    """What :func:`make_agent` must know of the settings, for the agent's file."""
    return {name: getattr(settings, name) for name in ("width", "memory", "normalize")}


def make_agent(record: dict[str, Any], observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> Any:
    """The network with its first weights: an :class:`plaudit.rl.base.Agent` and a ``torch.nn.Module``."""
    return ActorCritic(observation_space, action_space, **record)
