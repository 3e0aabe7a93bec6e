"""Episodes that teaching data are made of, played one world at a time, with all that the program knows of each state.

Every episode has a seed of its own: even numbers above ``FINETUNE_SEED`` to train on, odd ones to measure, whatever the
run's seed, so that no episode is on both sides in any two data sets. The worlds themselves come from ``World.practice``.
Leaves out the LLM as a player: it would be taught by what it does already.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plaudit import registry
from plaudit.config import WorldConfig
from plaudit.envs.base import World
from plaudit.errors import ConfigError
from plaudit.finetune.settings import FinetuneConfig
from plaudit.policies.base import Policy
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import episode_steps
from plaudit.seeds import FINETUNE_SEED, room
from plaudit.stages.parts import load_agent, make_expert, world_choices

Part = Literal["train", "held_out"]
PARTS: tuple[Part, ...] = ("train", "held_out")
EXPERTS = ("expert", "noisy")
"""Sources that need the world's expert."""
NOISE = 1 / 3
"""Share of a noisy expert's actions that are random."""
SEEDS = room("finetune")
"""Seeds that belong to fine-tuning."""


@dataclass(frozen=True)
class Visit:
    """A state that was met, and what led to it."""

    episode: int
    """Number of the episode in its part."""
    step: int
    """0 is the episode's start."""
    source: str
    """Who acted: random, expert, noisy or agent."""
    seed: int
    """The episode's seed."""
    secret: str
    """What the episode has drawn (a hidden word); empty where the seed tells all."""
    action: str
    """What was done to get here, in words; empty at the start."""
    advice: str
    """What the expert would have done in place of that; empty where none was asked."""
    allowed: tuple[str, ...]
    """What could be done here, in words, for one who learns from the expert; empty where the world does not list it."""
    text: str
    """What a judge is shown."""
    view: str
    """What one who acts is shown."""
    native: bool
    """Whether its world has the actions that agents have; if not, only what is seen counts."""
    event: str
    """What has just happened."""
    truth: float
    """How near the goal, on the world's scale; NaN where it is not known."""
    image: bytes
    """The state as PNG; empty where pictures are not wanted or the world has none, or where the text was met before."""
    ended: bool = False
    """Whether the episode ended here by the world's rules, and not by the clock."""


class Noisy:
    """The expert, some of whose actions are replaced by random ones: it shows how to get back on the way."""

    def __init__(self, expert: Policy, random: Policy, share: float, seed: int) -> None:
        self.expert, self.random, self.share = expert, random, share
        self.advice: Any = None
        self._rng = np.random.default_rng([seed, 1])

    def reset(self, begun: NDArray[np.bool_]) -> None:
        self.expert.reset(begun)
        self.random.reset(begun)

    def act(self, observations: Any) -> NDArray[Any]:
        """Actions ``(n, ...)``; what the expert meant to do is kept in ``advice``."""
        self.advice, other = self.expert.act(observations), self.random.act(observations)
        return other if self._rng.random() < self.share else self.advice


@dataclass(frozen=True)
class Copy:
    """A world that episodes are played in."""

    world: World
    native: bool
    """Whether it has the actions that agents have."""
    expert: bool
    """Whether it has an expert."""


def copies(config: WorldConfig, part: Part, seed: int) -> list[Copy]:
    """The worlds that a part's episodes are played in, in turn."""
    cls: type[World] = registry.load("worlds", config.name)
    own = cls(**world_choices(config)).action_space
    worlds = [cls(**options) for options in cls.practice(part, seed, **world_choices(config))]
    return [Copy(world, _alike(world.action_space, own), world.expert() is not None) for world in worlds]


def _alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one.shape == other.shape


def sources_of(config: FinetuneConfig, worlds: Sequence[Copy]) -> dict[str, float]:
    """Who acts, with each one's share of the steps; the shares add up to 1."""
    expert = any(copy.expert for copy in worlds)
    names = config.data.sources or (("random", "noisy") if expert else ("random",))
    shares = config.data.shares or (1.0,) * len(names)
    for name in names:
        if name in EXPERTS and not expert:
            raise ConfigError(
                f"data.sources: {type(worlds[0].world).__name__} has no expert for these settings, so nobody acts as "
                f"{name!r}. Leave it out, or give expert() to the world."
            )
    return {name: share / sum(shares) for name, share in zip(names, shares, strict=True)}


def gather(
    config: FinetuneConfig, part: Part, pictures: bool = False, advance: Callable[[int], None] | None = None
) -> list[Visit]:
    """What a part's episodes met, in order; so many steps as the settings give to this part."""
    known, visits = copies(config.world, part, config.seed), list[Visit]()
    seen = set[str]()
    share = config.data.held_out if part == "held_out" else 1 - config.data.held_out
    number = itertools.count()
    for name, weight in sources_of(config, known).items():
        worlds = [copy for copy in known if (copy.expert if name in EXPERTS else copy.native)]
        policies = [policy_of(name, copy.world, [config.seed, PARTS.index(part), i]) for i, copy in enumerate(worlds)]
        left = max(1, round(config.data.steps * share * weight))
        for turn in itertools.cycle(range(len(worlds))):
            episode = next(number)
            seed = FINETUNE_SEED + (10_000 * config.seed + 2 * episode + PARTS.index(part)) % SEEDS
            played = Playing(worlds[turn], policies[turn], name, episode, seed, seen)
            steps = list(itertools.islice(played.visits(config.data.truth, pictures), left + 1))
            visits += steps
            left -= len(steps) - 1
            if advance is not None:
                advance(len(steps) - 1)
            if left <= 0:
                break
    return visits


def policy_of(name: str, world: World, seed: Sequence[int]) -> Policy:
    """Who acts, by the name of the source."""
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    if name == "random":
        return RandomPolicy(world.action_space, number)
    if name == "expert":
        return make_expert(world)
    if name == "noisy":
        return Noisy(make_expert(world), RandomPolicy(world.action_space, number), NOISE, number)
    return load_agent(Path(name), world, number)


@dataclass(frozen=True)
class Playing:
    """One episode that is about to be played."""

    copy: Copy
    policy: Policy
    source: str
    episode: int
    seed: int
    seen: set[str]
    """Texts whose picture is kept already: one of each is enough."""

    def visits(self, truth: str, pictures: bool) -> Iterator[Visit]:
        """The states as they are met."""
        world, allowed = self.copy.world, tuple[str, ...]()
        same = type(world).view is World.view  # then it is the description, which need not be made twice
        name = self.source if self.source in ("random", "expert", "noisy") else "agent"
        for step in episode_steps(world, self.policy, self.seed, pictures=False):  # drawing is slow: few are wanted
            seen = step.observation
            if isinstance(self.policy, Noisy) and step.step:
                advice = world.action_word(self.policy.advice[0], list(allowed) or None)
            else:
                advice = step.action if name == "expert" else ""
            if name in EXPERTS:
                allowed = tuple(world.actions(seen) or ())
            fresh = pictures and step.text not in self.seen
            self.seen.add(step.text)
            yield Visit(
                episode=self.episode,
                step=step.step,
                source=name,
                seed=self.seed,
                secret=world.secret(),
                action=step.action,
                advice=advice,
                allowed=allowed,
                text=step.text,
                view=step.text if same else world.view(seen),
                native=self.copy.native,
                event=world.event(seen),
                truth=_truth(truth, world, seen, step.progress),
                image=picture_of(world, seen) if fresh else b"",
                ended=step.ended,
            )


def _truth(kind: str, world: World, observation: Any, progress: float) -> float:
    """How near the goal: the world's value, else its progress."""
    value = None if kind == "progress" else world.value(observation)
    return progress if value is None else float(value)


def digest(image: bytes) -> str:
    """A picture's name: what is compared in place of it."""
    return hashlib.sha256(image).hexdigest()[:16]


def picture_of(world: World, observation: Any) -> bytes:
    """The observation's own picture, else the world's from outside as it is now; empty where there is neither."""
    picture = world.picture(observation)
    pixels = world.render() if picture is None else picture
    if pixels is None:
        return b""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()
