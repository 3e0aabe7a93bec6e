"""Episodes with a value that no reward had a part in, and what each reward says of them; for ``credit``.

The value is the best there is: exact (``World.fewest_steps``), the world's own (``World.value``), its progress, or how an
episode of the scripted expert, else of an agent of the task reward, went on (Monte Carlo).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.rewards.base import Depends
from plaudit.rewards.shaping import EpisodicCounts, Shaping
from plaudit.rollout import Step, episode_steps
from plaudit.seeds import CREDIT_SEED
from plaudit.stages.parts import make_route
from plaudit.store import Run

Numbers = NDArray[np.float64]
ValueKind = Literal["auto", "exact", "world", "progress", "monte-carlo"]
RANDOM, AGENT, TASK, EXPERT = "random", "the run's agent", "task agent", "expert"
VALUES: dict[str, str] = {
    "exact": "the exact discounted value of the best player",
    "world": "the world's own value of a position",
    "progress": "the world's progress",
    "monte-carlo": "the discounted success that the rest of the episode brought",
}
"""The kinds of value, the best first, in words."""


@dataclass(frozen=True)
class Walk:
    """One episode; all arrays have one entry for each observation, the first among them."""

    source: str
    """Who acted."""
    steps: list[Step]
    """What happened; no pictures."""
    exact: Numbers
    """Fewest steps to success; NaN where the world cannot tell."""
    own: Numbers
    """``World.value``; NaN where it has none."""

    @property
    def success(self) -> bool:
        """Whether it ended in success."""
        return self.steps[-1].success

    @property
    def progress(self) -> Numbers:
        """The world's progress; NaN where it tells none."""
        return np.array([step.progress for step in self.steps], np.float64)

    @property
    def task_reward(self) -> Numbers:
        """The world's own reward; the start has none."""
        return np.array([np.nan, *(step.task_reward for step in self.steps[1:])], np.float64)


def walks(run: Run, world: World, acting: Sequence[str], episodes: int, longest: int) -> Iterator[Walk]:
    """So many episodes of each of these :func:`sources`, an agent's by its seeds in turn; each on a seed of its own.

    Whoever acts, episodes in one layout have like values: they would count as more than they are. Where a world has but
    one, what is left to do is :func:`different`.
    """
    layouts = itertools.count(CREDIT_SEED)
    for source in acting:
        for number in range(episodes):
            with _policy(run, world, source, number) as policy:
                yield _walk(world, policy, source, next(layouts), longest)


def different(found: Sequence[Walk]) -> list[Walk]:
    """Without what somebody did and saw once more: in one layout the episodes of a steady player are one, repeated."""
    seen = dict[Any, Walk]()
    for walk in found:
        seen.setdefault((walk.source, tuple((step.action, step.text) for step in walk.steps)), walk)
    return list(seen.values())


def sources(run: Run, world: World) -> list[str]:
    """Who can act here: random, the run's agent, and the expert or, where there is none, an agent of the task reward."""
    there = {name for name, arm in ((AGENT, run.config.route), (TASK, "task")) if _trained(run, arm)}
    reference = EXPERT if world.expert() is not None else TASK if TASK in there else ""
    return [RANDOM, *([AGENT] if AGENT in there else []), *([reference] if reference else [])]


def _trained(run: Run, arm: str) -> int:
    """How many agents of an arm are there."""
    return len([*run.folder.glob(f"train/{arm}-*/agent.safetensors")])


@contextlib.contextmanager
def _policy(run: Run, world: World, source: str, number: int) -> Iterator[Policy]:
    from plaudit.stages.evaluate import make_agent

    arm = {RANDOM: "random", EXPERT: "expert", TASK: "task"}.get(source, run.config.route)
    # Where all episodes have one layout, only an agent's chances tell them apart.
    with make_agent(run, arm, number % max(1, _trained(run, arm)), world, chance=number) as policy:
        yield policy


def _walk(world: World, policy: Policy, source: str, seed: int, longest: int) -> Walk:
    steps, exact, own = list[Step](), list[float](), list[float]()
    for step in episode_steps(world, policy, seed, pictures=False):
        left, value = world.fewest_steps(step.observation), world.value(step.observation)
        exact.append(np.nan if left is None else left)
        own.append(np.nan if value is None else value)
        steps.append(step)
        if step.step >= longest:
            break
    return Walk(source, steps, np.array(exact, np.float64), np.array(own, np.float64))


def values(found: Sequence[Walk], gamma: float, kind: ValueKind = "auto") -> tuple[str, list[Numbers]]:
    """(which kind, the value of each observation of each walk); the best kind that differs anywhere."""
    for name in VALUES if kind == "auto" else (kind,):
        each = [_value(walk, name, gamma) for walk in found]
        every = np.concatenate(each) if each else np.zeros(0)
        if len(np.unique(every[np.isfinite(every)])) > 1:
            return name, each
    return (kind if kind != "auto" else "monte-carlo"), [np.full(len(walk.steps), np.nan) for walk in found]


def _value(walk: Walk, kind: str, gamma: float) -> Numbers:
    if kind == "exact":
        return np.asarray(gamma**walk.exact)  # no way at all: gamma to the power of infinity, 0
    if kind == "world":
        return walk.own
    if kind == "progress":
        return walk.progress
    if walk.source not in (EXPERT, TASK):
        return np.full(len(walk.steps), np.nan)
    left = np.arange(len(walk.steps))[::-1]
    return np.asarray(gamma**left) if walk.success else np.zeros(len(walk.steps))


def run_reward(run: Run, world: World, found: Sequence[Walk]) -> tuple[list[Numbers], list[Numbers]]:
    """The run's reward of each observation, and what an agent is paid for it: threshold, counts, task reward."""
    from plaudit.stages.evaluate import step_rewards

    route = make_route(run.config.route)
    if not route.makes_reward and run.config.route == "task":
        plain = [walk.task_reward for walk in found]
        return plain, plain
    reward, shaping = route.reward(run, world)
    plain = [np.array([np.nan if r is None else r for r in step_rewards(w.steps, reward)], np.float64) for w in found]
    if reward.of == "step":
        return plain, plain
    return plain, [paid(shaping, world, walk, values, reward.of) for walk, values in zip(found, plain, strict=True)]


def paid(shaping: Shaping, world: World, walk: Walk, rewards: Numbers, of: Depends = "observation") -> Numbers:
    """What :class:`plaudit.rewards.wrapper.RewardWrapper` pays along one episode; nothing for its start."""
    value, counts = shaping.value(np.nan_to_num(rewards)), EpisodicCounts(1)
    if shaping.compares and of == "observation":
        own = shaping.change(value[:-1], value[1:], np.array([s.ended for s in walk.steps[1:]], bool))
    else:
        times = [counts.add(np.array([counts.id(world.event(s.observation))]))[0] for s in walk.steps[1:]]
        own = value[1:] / np.array(times, np.float64) ** shaping.count_power
    return np.append(np.nan, shaping.llm_weight * own + shaping.task_weight * walk.task_reward[1:])


def random_networks(run: Run, world: World, found: Sequence[Walk], networks: int) -> list[list[Numbers]]:
    """What so many networks of the reward model's shape say with their first weights, network by network."""
    from plaudit.rewards.reward_net import RewardModel

    fit = run.config.fit
    model = RewardModel(fit.input, world.observation_space, fit.width, networks, run.config.seed + 7919)
    items: list[Any] = [s.text if fit.input == "text" else s.observation for walk in found for s in walk.steps]
    # Many steps read alike: each text is computed once.
    index = {text: i for i, text in enumerate(dict.fromkeys(items))} if fit.input == "text" else None
    said = model.members(items if index is None else list(index))
    said = said if index is None else said[:, [index[text] for text in items]]
    ends = np.cumsum([len(walk.steps) for walk in found])[:-1]
    return [list(np.split(one.astype(np.float64), ends)) for one in said]
