"""The pictures that a judge is shown: the world's of the collected observations, made again when they are asked for.

An item of judging is a description, and the one observation that was collected for it stands for all that are described
alike. Its arrays stay on disk until they are looked at, so that what is in memory is one part's pictures. Leaves out
segments, and a picture for each of several observations with the same description.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import ConfigError
from plaudit.llms.base import Image
from plaudit.stages.parts import make_world
from plaudit.store import Run, load_tree, read_batches
from plaudit.world_file import title

if TYPE_CHECKING:
    from plaudit.config import WorldConfig
    from plaudit.envs.base import World


class CollectedPictures:
    """CollectedPictures of a run's collected observations, by their number in its table."""

    def __init__(self, run: Run) -> None:
        self.folder = run.require("collect")
        self._name, self._world = run.config.world.name, make_world(run.config.world)
        batch = load_tree(self.folder / "observations.safetensors")["observations"]
        self._observations = {k: v.numpy() for k, v in batch.items()} if isinstance(batch, dict) else batch.numpy()

    def pixels(self, number: int) -> NDArray[np.uint8] | None:
        """The picture ``(height, width, 3)``; None where the world makes none."""
        batch = self._observations
        plain = {k: v[number] for k, v in batch.items()} if isinstance(batch, dict) else batch[number]
        return self._world.picture(plain)

    def numbers(self, texts: Iterable[str]) -> dict[str, int]:
        """Where these descriptions stand in the table; one that was not collected is left out."""
        wanted, found, start = set(texts), dict[str, int](), 0
        for rows in read_batches(self.folder / "observations.parquet", ("text",)):
            found |= {text: start + i for i, text in enumerate(rows["text"]) if text in wanted}
            start += len(rows["text"])
        return found

    def of(self, numbers: Mapping[str, int]) -> dict[str, Image]:
        """Descriptions with their pictures."""
        return {text: image(self._name, self.pixels(number)) for text, number in numbers.items()}


def image(world: str, pixels: NDArray[np.uint8] | None) -> Image:
    """A world's picture as it is sent to a model."""
    if pixels is None:
        raise ConfigError(f"the world {title(world)!r} makes no picture of this observation: --judge.input text")
    return Image.of(np.asarray(pixels))


def images(config: WorldConfig, world: World, observations: Mapping[str, Any]) -> dict[str, Image]:
    """Descriptions with the pictures of their observations, for a few of them."""
    return {text: image(config.name, world.picture(each)) for text, each in observations.items()}


def check_pictures(config: WorldConfig, world: World, setting: str) -> None:
    """Raise where the world makes no pictures; ``setting`` is what asks for them."""
    if world.picture(world.reset(seed=0)[0]) is None:
        raise ConfigError(
            f"the world {title(config.name)!r} makes no pictures of its observations with these settings. Some worlds do "
            "with --world.observation pixels (miniwob, metaworld) or board (wordle), or with --world.description image "
            f"(nethack, minihack); else {setting} text."
        )
