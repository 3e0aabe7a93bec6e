"""collect: let a policy act and keep every distinct description that it meets.

Writes ``observations.parquet`` (description, event, count), ``observations.safetensors`` (one observation of each) and
``truth.parquet`` (the world's own progress). The last is for measuring only: no later stage that makes a reward opens it.
"""

from __future__ import annotations

import time

from plaudit.console import progress
from plaudit.rollout import distinct_descriptions
from plaudit.stages.parts import COLLECT_SEED, make_envs, make_policy, make_world
from plaudit.store import Run, save_tree, write_table
from plaudit.vector import stack


def collect(run: Run) -> None:
    """Run the stage."""
    start, config = time.perf_counter(), run.config
    folder = run.stage("collect")
    world, envs = make_world(config.world), make_envs(config.world, config.collect.num_envs)
    policy = make_policy(config, config.collect.policy, world, config.seed)
    with progress("collect", config.collect.steps) as advance:
        seed = COLLECT_SEED + 10_000 * config.seed
        seen = distinct_descriptions(world, envs, policy, config.collect.steps, seed, advance)
    save_tree(folder / "observations.safetensors", {"observations": stack([s.observation for s in seen])})
    rows = [{"text": s.text, "event": world.event(s.observation), "count": s.count} for s in seen]
    write_table(folder / "observations.parquet", rows)
    write_table(folder / "truth.parquet", [{"text": s.text, "progress": s.progress / s.count} for s in seen])
    run.finish(
        "collect",
        time.perf_counter() - start,
        steps=config.collect.steps,
        distinct=len(seen),
        steps_per_second=round(config.collect.steps / (time.perf_counter() - start)),
    )
