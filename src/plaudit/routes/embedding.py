"""Similarity of the observation's embedding to the goal's: an embedding model in place of a judge.

annotate fixes goals and baseline and writes ``vectors.safetensors``; fit writes the reward of everything that was
collected. Without a baseline of the person's own it is the mean embedding of the observations that begin episodes: what
a world looks like before anything was achieved, which needs no knowledge of it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit.config import RunConfig
from plaudit.errors import ConfigError
from plaudit.routes import base
from plaudit.stages.parts import make_world
from plaudit.store import Run, load_tree, read_table, save_tree
from plaudit.vector import rows

if TYPE_CHECKING:
    from plaudit.envs.base import World
    from plaudit.rewards.base import RewardFn
    from plaudit.rewards.embedders import Embedder
    from plaudit.rewards.embedding import EmbeddingReward
    from plaudit.rewards.shaping import Shaping


class Embedding(base.Route):
    """Similarity of the observation's embedding to the goal's."""

    makes_reward = True

    def check(self, config: RunConfig, world: World) -> None:
        from plaudit.rewards.embedders import check_embedder

        check_embedder(config.embedding.model, config.embedding.input)
        if config.embedding.threshold is not None and not np.isfinite(config.embedding.threshold):
            raise ConfigError("--embedding.threshold is a number between -1 and 1, or left out")
        if config.embedding.input == "image":
            from plaudit.routes.pictures import check_pictures

            check_pictures(config.world, world, "--embedding.input")

    def annotate(self, run: Run) -> None:
        from plaudit.recording import load_recording
        from plaudit.rewards.embedders import make_embedder, unit

        start, options, world = time.perf_counter(), run.config.embedding, make_world(run.config.world)
        embedder = make_embedder(options.model, options.input)
        goals = options.goals or (world.goal,)
        if options.baseline:
            baseline = embedder.texts([options.baseline])[0]
        else:
            recording = load_recording(run.folder / "collect")
            observations = recording.single_observations()
            begun = [_show(run, world)(observations[i]) for i in recording.starts()]
            vectors = embedder.texts(begun) if options.input == "text" else embedder.images(begun)
            baseline = unit(vectors.mean(axis=0))
        save_tree(run.folder / "annotate" / "vectors.safetensors", {"baseline": baseline, "goals": list(goals)})
        _reward(run, world, embedder)  # goal and baseline that are the same are told here
        said = options.baseline or "(mean of the observations that begin episodes)"
        run.finish("annotate", time.perf_counter() - start, model=embedder.name, goals=list(goals), baseline=said)

    def fit(self, run: Run) -> None:
        start, world = time.perf_counter(), make_world(run.config.world)
        texts = [row["text"] for row in read_table(run.require("collect") / "observations.parquet")]
        batch = load_tree(run.folder / "collect" / "observations.safetensors")["observations"]
        reward = _reward(run, world)
        shown: list[Any] = texts
        if run.config.embedding.input == "image":
            plain = {k: v.numpy() for k, v in batch.items()} if isinstance(batch, dict) else batch.numpy()
            shown = [world.picture(o) for o in rows(plain)]
        values = reward.score(shown)
        if np.ptp(values) == 0:
            raise ConfigError(
                "all observations are equally similar to the goal: word it otherwise (--embedding.goals), "
                "or take a lower --embedding.threshold"
            )
        base.save_rewards(run, texts, values, None, values)
        run.finish("fit", time.perf_counter() - start, observations=len(texts), lowest=float(values.min()),
                   highest=float(values.max()))  # fmt: skip

    def reward(self, run: Run, world: World) -> tuple[RewardFn, Shaping]:
        run.require("fit")
        return _reward(run, world), base.shaping(run)


def _show(run: Run, world: World) -> Any:
    return world.describe if run.config.embedding.input == "text" else world.picture


def _reward(run: Run, world: World, embedder: Embedder | None = None) -> EmbeddingReward:
    from plaudit.rewards.embedders import make_embedder
    from plaudit.rewards.embedding import EmbeddingReward

    options = run.config.embedding
    tree = load_tree(run.folder / "annotate" / "vectors.safetensors")
    return EmbeddingReward(
        embedder or make_embedder(options.model, options.input),
        _show(run, world),
        tuple(tree["goals"]),
        tree["baseline"].numpy(),
        options.alpha,
        options.threshold,
        options.input,
    )
