"""What a configuration names, made: the world, its vectorised form, the policy, the judge and its ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gymnasium.vector import VectorEnv

from plaudit import prompts, registry
from plaudit.config import JudgeConfig, LLMConfig, RunConfig, WorldConfig
from plaudit.envs.base import World
from plaudit.errors import StoreError
from plaudit.judging.base import Protocol
from plaudit.llms.base import LLM
from plaudit.policies.base import Policy
from plaudit.policies.random import RandomPolicy
from plaudit.store import Run

EVALUATION_SEED = 800_000_000
"""Evaluation's layouts start here; training's seeds end below 100 million, collecting's are 500 million and more."""
COLLECT_SEED = 500_000_000
CALIBRATION_SEED = 700_000_000


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_world(config: WorldConfig) -> World:
    """One copy, that can render."""
    cls = registry.load("worlds", config.name)
    return cls(**_options(cls, config))


def make_envs(config: WorldConfig, num_envs: int) -> VectorEnv:
    """Many copies that step together."""
    cls = registry.load("worlds", config.name)
    return cls.vector(num_envs, **_options(cls, config))


def _options(cls: type[World], config: WorldConfig) -> dict[str, Any]:
    return {"size": config.size} if cls.sizes else {}


def make_policy(config: RunConfig, name: str, world: World, seed: int) -> Policy:
    """'random', or the agent in this folder."""
    if name == "random":
        return RandomPolicy(world.action_space, seed)
    from plaudit.policies.trained import TrainedPolicy

    folder = Path(name)
    if not folder.is_dir():
        raise StoreError(
            f"there is no policy {name!r}. Give 'random' or the folder of a trained agent: runs/NAME/train/ARM-SEED"
        )
    width = Run.open(folder.parent.parent).config.train.width
    return TrainedPolicy(folder, world.observation_space, world.action_space, width, seed)


def check_llm(config: LLMConfig) -> None:
    """Raise now what loading the model would raise later: a file that is missing, damaged or no GGUF."""
    from plaudit.llms import weights

    weights.resolve(config.model)


def make_llm(config: LLMConfig) -> LLM:
    """The language model, loaded."""
    cls = registry.load("llms", "embedded")
    return cls(config.model, threads=config.threads or None, context=config.context)


def make_protocol(config: JudgeConfig) -> Protocol:
    """The judging protocol with its prompt."""
    cls = registry.load("protocols", config.protocol)
    return cls(prompts.load(config.prompt or config.protocol), chat=config.chat)
