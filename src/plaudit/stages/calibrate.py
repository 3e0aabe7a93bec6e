"""calibrate, put together: fresh observations, every protocol, with and without the model's chat template."""

from __future__ import annotations

from plaudit import registry
from plaudit.config import RunConfig
from plaudit.console import progress
from plaudit.errors import ConfigError
from plaudit.judging.calibrate import Calibration, known_pairs, measure
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import distinct_descriptions
from plaudit.stages.parts import CALIBRATION_SEED, make_envs, make_world, open_shared_llm
from plaudit.world_file import title


def calibrate(config: RunConfig, pairs: int = 60) -> list[Calibration]:
    """One row for each way of asking."""
    world = make_world(config.world)
    envs = make_envs(config.world, config.collect.num_envs)
    policy = RandomPolicy(world.action_space, config.seed)
    seen = distinct_descriptions(world, envs, policy, config.collect.steps, CALIBRATION_SEED + config.seed)
    known = known_pairs([s.text for s in seen], [s.progress / s.count for s in seen], pairs, config.seed)
    if not known:
        raise ConfigError(
            f"the world {title(config.world.name)!r} shows no progress to calibrate on; use plaudit run as it is."
        )
    ways = [(name, chat) for name in registry.entries("protocols") for chat in (False, True)]
    rows = []
    with open_shared_llm(config) as llm, progress("calibrate", len(ways)) as advance:
        for name, chat in ways:
            rows.append(measure(llm, world.goal, known, name, chat))
            advance(1)
    return rows
