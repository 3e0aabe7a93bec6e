"""collect: let a policy act and keep every distinct description that it meets.

Writes ``observations.parquet`` (description, event, count), ``observations.safetensors`` (one observation of each),
``transitions.safetensors`` (whole steps) and ``truth.parquet``/``truth.safetensors`` (the world's own progress, reward
and success). The last are for measuring only: no later stage that makes a reward opens them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from plaudit.console import console, progress
from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.prompts import MAX_OBSERVATION
from plaudit.recording import save_recording
from plaudit.rollout import Recorder, distinct_descriptions
from plaudit.seeds import COLLECT_SEED
from plaudit.stages.parts import make_envs, make_policy, make_world, open_llm
from plaudit.store import Run, save_tree, write_table
from plaudit.vector import stack


def collect(run: Run) -> None:
    """Run the stage."""
    start, config = time.perf_counter(), run.config
    folder = run.stage("collect")
    world, envs = make_world(config.world), make_envs(config.world, config.collect.num_envs)
    recorder = Recorder(envs.num_envs, config.collect.recorded)
    with acting(run, world) as policy, progress("collect", config.collect.steps) as advance:
        seed = COLLECT_SEED + 10_000 * config.seed
        seen = distinct_descriptions(world, envs, policy, config.collect.steps, seed, advance, recorder)
    save_recording(folder, recorder.recording())
    save_tree(folder / "observations.safetensors", {"observations": stack([s.observation for s in seen])})
    rows = [{"text": s.text, "event": world.event(s.observation), "count": s.count} for s in seen]
    write_table(folder / "observations.parquet", rows)
    write_table(folder / "truth.parquet", [{"text": s.text, "progress": s.progress / s.count} for s in seen])
    if long := sum(len(s.text) > MAX_OBSERVATION for s in seen):
        console.print(
            f"{long} of {len(seen)} descriptions have more than {MAX_OBSERVATION:,} characters: the LLM is shown them "
            "without their middle."
        )
    run.finish(
        "collect",
        time.perf_counter() - start,
        steps=config.collect.steps,
        distinct=len(seen),
        shortened=long,
        steps_per_second=round(config.collect.steps / (time.perf_counter() - start)),
    )


@contextlib.contextmanager
def acting(run: Run, world: World) -> Iterator[Policy]:
    """Who collects; an LLM has no episodes to take examples from yet."""
    config = run.config
    if config.collect.policy != "llm":
        yield make_policy(config, config.collect.policy, world, config.seed)
        return
    from plaudit.routes.direct import make_llm_policy

    with open_llm(run) as llm:
        yield make_llm_policy(llm, world, config, config.seed, [])
