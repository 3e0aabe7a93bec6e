"""evaluate: every agent, and a random policy, on the same freshly drawn episodes.

Writes ``episodes.parquet``, ``examples.parquet`` (steps of a few episodes, with frames and the reward of each) and, where
a language model acted, ``acted.parquet`` (what it said, what was understood, what was done).
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from plaudit.console import progress
from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.policies.llm import LLMPolicy
from plaudit.policies.trained import TrainedPolicy
from plaudit.rewards.base import RewardFn, Transitions
from plaudit.rollout import Episode, Step, record_episode, run_episodes
from plaudit.seeds import EVALUATION_SEED
from plaudit.stages.parts import (
    arms,
    evaluation_envs,
    llm_spend,
    make_envs,
    make_route,
    make_world,
    trained_arms,
)
from plaudit.store import Run, write_table
from plaudit.vector import stack


def evaluate(run: Run) -> None:
    """Run the stage."""
    start, config = time.perf_counter(), run.config
    if trained_arms(config):
        run.require("train")
    folder, world = run.stage("evaluate"), make_world(config.world)
    envs = evaluation_envs(config.world, config.evaluate.episodes)
    agents = [(arm, seed) for arm in arms(config) for seed in range(config.train.seeds)]
    rows, acted = list[dict[str, Any]](), list[dict[str, Any]]()
    with progress("evaluate", len(agents)) as advance:
        for arm, seed in agents:
            episodes, log = measure(run, world, envs, arm, seed)
            rows += [{"arm": arm, "seed": seed, "episode": i} | asdict(e) for i, e in enumerate(episodes)]
            acted += [{"arm": arm, "seed": seed} | row for row in log]
            advance(1)
    write_table(folder / "episodes.parquet", rows)
    if acted:
        write_table(folder / "acted.parquet", acted)
    write_table(folder / "examples.parquet", examples(run, world))
    run.finish(
        "evaluate",
        time.perf_counter() - start,
        episodes=config.evaluate.episodes,
        success={arm: float(np.mean([r["success"] for r in rows if r["arm"] == arm])) for arm, _ in agents},
        **asked(run, acted),
    )


def measure(run: Run, world: World, envs: VectorEnv, arm: str, seed: int) -> tuple[list[Episode], list[dict[str, Any]]]:
    """Episodes of one agent; and, where a language model acted, what it said, was understood and did.

    Where nothing is trained, a seed stands for layouts of its own: those that others are measured on, in parts.
    """
    config = run.config
    with make_agent(run, arm, seed, world) as policy:
        if not isinstance(policy, LLMPolicy):
            return run_episodes(envs, policy, EVALUATION_SEED, config.evaluate.episodes), []
        episodes, max_steps = config.policy.episodes, config.policy.max_steps
        few = make_envs(config.world, episodes)
        found = run_episodes(few, policy, EVALUATION_SEED + episodes * seed, episodes, max_steps)
        return found, [asdict(said) for said in policy.log]


@contextlib.contextmanager
def make_agent(run: Run, arm: str, seed: int, world: World, chance: int | None = None) -> Iterator[Policy]:
    """The trained agent of an arm, or what acts untrained; a language model is closed at the end.

    It takes its chances by its own seed, or by ``chance``: made anew for each episode it would else take the same ones.
    """
    route, chance = make_route(arm), seed if chance is None else chance
    if not route.trains:
        with route.policy(run, world, chance) as policy:
            yield policy
        return
    folder = run.folder / "train" / f"{arm}-{seed}"
    yield TrainedPolicy.load(folder, world.observation_space, world.action_space, chance)


def asked(run: Run, acted: list[dict[str, Any]]) -> dict[str, Any]:
    """What acting has cost, where a language model acted."""
    if not acted:
        return {}
    failed = sum(row["how"] not in ("ok", "re-asked") for row in acted)
    return {**llm_spend(run), "actions": len(acted), "not_understood": failed / len(acted)}


def examples(run: Run, world: World) -> list[dict[str, Any]]:
    """Steps of example episodes of each arm's first agent, each with the LLM's reward where there is one."""
    makes = make_route(run.config.route).makes_reward
    reward = make_route(run.config.route).reward(run, world)[0] if makes else None
    rows = []
    for arm in arms(run.config):
        for episode in range(run.config.evaluate.examples):
            with make_agent(run, arm, 0, world) as policy:
                steps = record_episode(world, policy, EVALUATION_SEED + 1000 + episode)
            values = step_rewards(steps, reward) if reward else [None] * len(steps)
            rows += [_row(arm, episode, step, value) for step, value in zip(steps, values, strict=True)]
    return rows


def step_rewards(steps: list[Step], reward: RewardFn) -> list[float | None]:
    """What a reward says of each step; of the start only where it depends on the observation alone."""
    seen = [step.observation for step in steps]
    if reward.of == "observation":
        return [float(v) for v in reward(Transitions(stack(seen), np.zeros(len(seen))))]
    if len(seen) < 2:
        return [None] * len(seen)
    return [None, *map(float, reward(Transitions(stack(seen[1:]), np.zeros(len(seen) - 1), stack(seen[:-1]))))]


def _row(arm: str, episode: int, step: Step, value: float | None) -> dict[str, Any]:
    return {
        "arm": arm,
        "episode": episode,
        "step": step.step,
        "action": step.action,
        "text": step.text,
        "reward": value,
        "task_reward": step.task_reward,
        "success": step.success,
        "frame": None if step.frame is None else png(step.frame),
    }


def png(frame: Any) -> bytes:
    """A frame as a small PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).quantize(32).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
