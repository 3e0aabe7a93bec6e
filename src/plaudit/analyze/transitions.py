"""Transitions to ask about, and what other actions would have led to: the truth that the dynamics probes are held against.

Episodes are played by a random policy and by the world's expert, on seeds that nothing else uses. A state is come to again
by playing its episode anew up to there, so any world whose seeds tell all will do; where what is then seen differs, the
transition is left out and counted. Leaves out worlds that are not repeatable at all: they have no other outcomes to ask
about.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.random import Generator

from plaudit.envs.base import World
from plaudit.finetune.gather import Noisy
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import Step, episode_steps, replays
from plaudit.seeds import PROBE_SEED, room
from plaudit.stages.parts import make_expert

COPIES = 8
"""Copies of the world in which other actions are tried."""
SAMPLED = 32
"""Ways that are tried where not all can be: more would not make it certain either."""
Taken = tuple[str, Any]
"""An action in words, and as the world takes it."""


@dataclass(frozen=True)
class Transition:
    """A step of an episode."""

    episode: int
    """Number of the episode."""
    source: str
    """Who acted: random or expert."""
    seed: int
    """Seed of the episode."""
    steps: Sequence[Step]
    """The whole episode."""
    at: int
    """Number of the step that led to what is seen after; 1 is the first."""
    advice: Any
    """What the expert would have done, as the world takes it; None where there is none."""

    @property
    def before(self) -> Step:
        """What was seen before."""
        return self.steps[self.at - 1]

    @property
    def after(self) -> Step:
        """What was done, and seen after it."""
        return self.steps[self.at]

    @property
    def taken(self) -> Taken:
        """What was done."""
        return self.after.action, self.after.taken

    def way(self) -> list[Any]:
        """The actions that lead to the state before."""
        return [step.taken for step in self.steps[1 : self.at]]


def play(
    world: World, episodes: int, max_steps: int, seed: int, advance: Callable[[int], None] | None = None
) -> list[Transition]:
    """The transitions of so many episodes, half of them the expert's where the world has one."""
    has, found = world.expert() is not None, list[Transition]()
    for number in range(episodes):
        expert = has and number % 2 == 1
        own = PROBE_SEED + (10_000 * seed + number) % room("dynamics")
        random = RandomPolicy(world.action_space, own)
        policy: Any = Noisy(make_expert(world), random, 1.0 - expert, own) if has else random
        steps, advice = list[Step](), list[Any]()
        for step in itertools.islice(episode_steps(world, policy, own, pictures=False), max_steps + 1):
            steps.append(step)
            advice += [policy.advice[0] if has else None] if step.step else []
        name = "expert" if expert else "random"
        found += [Transition(number, name, own, steps, at, advice[at - 1]) for at in range(1, len(steps))]
        if advance is not None:
            advance(1)
    return found


@dataclass(frozen=True)
class Outcome:
    """What an action would have led to."""

    word: str
    """The action."""
    text: str
    """What would have been seen."""
    changes: bool | None
    """Whether it changes anything; None where what is said leaves it open."""


@dataclass
class Copies:
    """The world as often as it is needed: other actions in the states that were met."""

    world: World
    """For words."""
    envs: VectorEnv
    """The copies: ``COPIES`` of them are as many as are needed at once."""
    pool: list[Taken]
    """Actions that were met, for worlds that do not list theirs."""
    lost: int = 0
    """States that were not come to again."""
    sampled: int = 0
    """States from which not all ways were tried."""
    known: dict[tuple[int, int, str], Outcome] = field(default_factory=dict)
    """Outcomes so far, by episode, step and action."""

    def others(self, t: Transition, rng: Generator, most: int) -> list[Taken]:
        """Up to so many actions that can be taken in place of the one that was, in random order."""
        listed = self.world.actions(t.before.observation)
        known = [(word, self.world.parse_action(word)) for word in listed] if listed else self.pool
        return [known[i] for i in rng.permutation(len(known)).tolist() if known[i][0] != t.after.action][:most]

    def depth(self, t: Transition, wanted: int, most: int) -> int:
        """The most steps, up to those wanted, of which all ways can be tried; 1 at least."""
        actions = 1 + len(self.others(t, np.random.default_rng(0), 10**9))
        return max([1, *(n for n in range(1, wanted + 1) if actions**n <= most)])

    def outcomes(self, t: Transition, tried: Sequence[Taken]) -> list[Outcome]:
        """What each of these actions leads to where the transition began; none where its state was not come to again."""
        todo = [taken for taken in tried if (t.episode, t.at, taken[0]) not in self.known]
        for (word, _), seen in zip(todo, replays(self.envs, t.seed, t.way(), [[a] for _, a in todo]), strict=True):
            if len(seen) != 2 or self.world.describe(seen[0]) != t.before.text:
                self.lost += 1
                return []
            outcome = Outcome(word, self.world.describe(seen[1]), changes(self.world, *seen))
            self.known[t.episode, t.at, word] = outcome
        return [self.known[t.episode, t.at, word] for word, _ in tried]

    def within(self, t: Transition, steps: int, most: int, rng: Generator) -> set[str]:
        """What can be seen after at most so many actions from where the transition began.

        All ways are tried where there are no more than ``most``, else some random ones, and the episode's own.
        """
        known = [t.taken, *self.others(t, rng, 10**9)]
        if len(known) ** steps <= most:
            ways = [list(way) for way in itertools.product(known, repeat=steps)]
        else:
            self.sampled += 1
            ways = [[known[i] for i in rng.integers(len(known), size=steps)] for _ in range(SAMPLED)]
        texts = {step.text for step in t.steps[t.at : t.at + steps]}
        for seen in replays(self.envs, t.seed, t.way(), [[action for _, action in way] for way in ways]):
            texts |= {self.world.describe(one) for one in seen[1:]}
        return texts - {t.before.text}


def changes(world: World, before: Any, after: Any) -> bool | None:
    """Whether two observations differ in more than what has just happened.

    True where what is said of them differs; False where that and all named facts are the same; else it is left open: the
    one who reads the words could not know.
    """
    if state_text(world, before) != state_text(world, after):
        return True
    facts, others = ({k: v for k, v in world.features(o).items() if k != "event"} for o in (before, after))
    return False if facts == others else None


def state_text(world: World, observation: Any) -> str:
    """The description without what has just happened, where that is a part of it."""
    text, event = world.describe(observation), world.event(observation)
    return text if event == text else text.replace(event, "").strip()
