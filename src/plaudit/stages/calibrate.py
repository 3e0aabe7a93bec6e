"""calibrate, put together: fresh observations, every protocol, with and without the model's chat template.

By pictures (``--judge.input``) with it only.
"""

from __future__ import annotations

from plaudit import registry
from plaudit.config import RunConfig
from plaudit.console import progress
from plaudit.errors import ConfigError
from plaudit.judging.calibrate import Calibration, known_pairs, measure
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import distinct_descriptions
from plaudit.routes.pictures import images
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import make_envs, make_world, open_shared_llm
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
    sees, pictures = config.judge.input != "text", None
    ways = [(name, chat) for name in registry.entries("protocols") for chat in ((True,) if sees else (False, True))]
    if sees:
        asked = {text for pair in known for text in pair}
        pictures = images(config.world, world, {s.text: s.observation for s in seen if s.text in asked})
    rows = []
    with open_shared_llm(config) as llm, progress("calibrate", len(ways)) as advance:
        for name, chat in ways:
            prompt = f"{name}-{config.judge.input}" if sees else name
            rows.append(measure(llm, world.goal, known, name, chat, prompt, pictures))
            advance(1)
    return rows
