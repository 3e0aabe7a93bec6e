"""evaluate: every agent, and a random policy, on the same freshly drawn episodes.

Writes ``episodes.parquet`` and ``examples.parquet`` (steps of a few episodes, with frames and the reward of each).
"""

from __future__ import annotations

import io
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from plaudit.console import progress
from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.policies.random import RandomPolicy
from plaudit.policies.trained import TrainedPolicy
from plaudit.rewards.base import Transitions
from plaudit.rollout import Step, record_episode, run_episodes
from plaudit.stages.fit import load_reward
from plaudit.stages.parts import EVALUATION_SEED, make_envs, make_world
from plaudit.store import Run, write_table
from plaudit.vector import stack


def evaluate(run: Run) -> None:
    """Run the stage."""
    start, config = time.perf_counter(), run.config
    run.require("train")
    folder, world = run.stage("evaluate"), make_world(config.world)
    agents = [(arm, seed) for arm in (*config.train.arms, "random") for seed in range(config.train.seeds)]
    rows: list[dict[str, Any]] = []
    with progress("evaluate", len(agents)) as advance:
        for arm, seed in agents:
            envs = make_envs(config.world, config.evaluate.episodes)
            policy = make_agent(run, arm, seed, world)
            for i, episode in enumerate(run_episodes(envs, policy, EVALUATION_SEED)):
                rows.append({"arm": arm, "seed": seed, "episode": i} | asdict(episode))
            advance(1)
    write_table(folder / "episodes.parquet", rows)
    write_table(folder / "examples.parquet", examples(run, world))
    run.finish(
        "evaluate",
        time.perf_counter() - start,
        episodes=config.evaluate.episodes,
        success={arm: float(np.mean([r["success"] for r in rows if r["arm"] == arm])) for arm, _ in agents},
    )


def make_agent(run: Run, arm: str, seed: int, world: World) -> Policy:
    """The trained agent of an arm, or the random policy."""
    if arm == "random":
        return RandomPolicy(world.action_space, seed)
    folder = run.folder / "train" / f"{arm}-{seed}"
    return TrainedPolicy(folder, world.observation_space, world.action_space, run.config.train.width, seed)


def examples(run: Run, world: World) -> list[dict[str, Any]]:
    """Steps of example episodes of each arm's first agent, each with the LLM's reward where there is one."""
    reward = load_reward(run, world)[0] if "preference" in run.config.train.arms else None
    rows = []
    for arm in (*run.config.train.arms, "random"):
        for episode in range(run.config.evaluate.examples):
            policy = make_agent(run, arm, 0, world)
            for step in record_episode(world, policy, EVALUATION_SEED + 1000 + episode):
                rows.append(_row(arm, episode, step, reward))
    return rows


def _row(arm: str, episode: int, step: Step, reward: Any) -> dict[str, Any]:
    value = None
    if reward is not None:
        value = float(reward(Transitions(stack([step.observation]), np.zeros(1)))[0])
    return {
        "arm": arm,
        "episode": episode,
        "step": step.step,
        "action": step.action,
        "text": step.text,
        "reward": value,
        "task_reward": step.task_reward,
        "success": step.success,
        "frame": None if step.frame is None else _png(step.frame),
    }


def _png(frame: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).quantize(32).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
