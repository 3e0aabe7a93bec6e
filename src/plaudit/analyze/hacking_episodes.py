"""Episodes of every agent of a run, each with what every reward of the run would have paid for it.

Fresh ones, on seeds that nothing else uses, and those that the run has recorded, played again to their end (the same
agent, seed and layout act alike). An episode keeps its actions, so that a chosen one can be shown frame by frame: it is
played again in a world that draws, and checked against what was seen.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from plaudit.envs.base import World
from plaudit.policies.base import Policy
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.rollout import Recorder, Step, walk
from plaudit.seeds import EVALUATION_SEED, HACKING_SEED
from plaudit.stages.evaluate import make_agent
from plaudit.stages.parts import make_envs, make_route
from plaudit.store import Run, read_table
from plaudit.vector import observation_keys, rows, take

LONGEST = 2000
"""Steps after which an episode is left alone."""


@dataclass
class Played:
    """One episode."""

    arm: str
    """Whose agent."""
    seed: int
    """Which of its agents."""
    layout: int
    """The seed that the world was reset with."""
    fresh: bool
    """Whether it is one of the fresh ones, or one that the run has recorded."""
    true: float = 0.0
    """The world's own return."""
    success: bool = False
    """Whether the world called it a success."""
    paid: dict[str, float] = field(default_factory=dict)
    """Return by reward: what the agent would have got under each arm's."""
    events: Counter[str] = field(default_factory=Counter)
    """How often each thing happened."""
    actions: list[Any] = field(default_factory=list)
    """What was done, step by step."""
    rewards: list[float] = field(default_factory=list)
    """What the subject's reward paid for each step."""


class Meter(VectorWrapper):
    """A world behind a reward wrapper that goes on handing out its own reward; what was paid is in ``paid``."""

    def __init__(self, env: RewardWrapper) -> None:
        super().__init__(env)
        self.paid = np.zeros(env.num_envs)

    def step(self, actions: Any) -> Any:
        observations, self.paid, terminated, truncated, info = self.env.step(actions)
        return observations, info["task_reward"], terminated, truncated, info


def metered(run: Run, world: World, envs: VectorEnv, arms: list[str]) -> tuple[VectorEnv, dict[str, Meter]]:
    """The world with a meter for each arm's reward, one around the other; none of them changes it."""
    meters = dict[str, Meter]()
    for arm in arms:
        reward_fn, shaping = make_route(arm).reward(run, world)
        envs = meters[arm] = Meter(RewardWrapper(envs, reward_fn, shaping, world.event))
    return envs, meters


class Lent(gym.Wrapper[Any, Any, Any, Any]):
    """A world that stays open when the vector around it is closed, which Gymnasium does on its own."""

    def close(self) -> None:
        pass


@dataclass
class Arena:
    """A run's world, its meters, and what was seen in it."""

    run: Run
    world: World
    arms: list[str]
    """Arms whose rewards are metered, the subject first."""
    paying: Run
    """The run whose rewards are metered: see :func:`plaudit.analyze.rewards.apart`."""
    recorder: Recorder | None = None
    """Keeps the steps of the subject's agents."""
    _events: dict[bytes, str] = field(default_factory=dict)

    def fresh(self, actors: list[tuple[str, int]], episodes: int) -> Iterator[list[Played]]:
        """So many fresh episodes of each agent, the same layouts for all."""
        copies = min(episodes, type(self.world).most_copies)
        envs, meters = metered(self.paying, self.world, make_envs(self.run.config.world, copies), self.arms)
        # An expert may look behind the scenes of its own world: there it plays, and not in copies.
        own = SyncVectorEnv([lambda: Lent(self.world)], autoreset_mode=AutoresetMode.SAME_STEP)
        alone = metered(self.paying, self.world, own, self.arms)
        with contextlib.closing(envs):
            for arm, seed in actors:
                found = list[Played]()
                where = alone if arm == "expert" else (envs, meters)
                while len(found) < episodes:
                    with make_agent(self.run, arm, seed, self.world) as policy:
                        recorder = self.recorder if arm == self.arms[0] else None
                        found += self._play(
                            *where, policy, Played(arm, seed, HACKING_SEED + len(found), True), recorder
                        )
                yield found[:episodes]

    def recorded(self) -> list[Played]:
        """The run's recorded episodes of the subject, to their end."""
        arm, rows_ = self.arms[0], read_table(self.run.folder / "evaluate" / "examples.parquet")
        numbers = sorted({row["episode"] for row in rows_ if row["arm"] == arm})
        envs, meters = metered(self.paying, self.world, make_envs(self.run.config.world, 1), self.arms)
        found = list[Played]()
        with contextlib.closing(envs):
            for number in numbers:
                with make_agent(self.run, arm, 0, self.world) as policy:
                    start = Played(arm, 0, EVALUATION_SEED + 1000 + number, False)
                    found += self._play(envs, meters, policy, start, None)
        return found

    def _play(
        self, envs: VectorEnv, meters: dict[str, Meter], policy: Policy, of: Played, recorder: Recorder | None
    ) -> list[Played]:
        """One episode of each copy."""
        n = envs.num_envs
        played = [Played(of.arm, of.seed, of.layout + i, of.fresh, paid=dict.fromkeys(meters, 0.0)) for i in range(n)]
        running = np.ones(n, bool)
        subject = next(iter(meters))
        for made in itertools.islice(walk(envs, policy, of.layout), LONGEST):
            if recorder is not None:
                recorder.add(made)
            happened = self._happened(made.after, running)
            for i in np.flatnonzero(running):
                one = played[i]
                one.true += float(made.task_reward[i])
                one.actions.append(made.actions[i])
                one.rewards.append(float(meters[subject].paid[i]))
                one.events[happened[i]] += 1
                for arm, meter in meters.items():
                    one.paid[arm] += float(meter.paid[i])
                one.success |= bool(made.success[i])
            running &= ~made.ended
            if not running.any():
                break
        return played

    def _happened(self, observations: Any, running: NDArray[np.bool_]) -> list[str]:
        keys = observation_keys(observations)
        for i in np.flatnonzero(running):
            if keys[i] not in self._events:
                self._events[keys[i]] = self.world.event(rows(take(observations, [int(i)]))[0])
        return [self._events.get(key, "") for key in keys]


def again(world: World, played: Played, steps: int) -> tuple[list[Step], bool]:
    """The episode's first steps in a world that draws, and whether it went as before."""
    observation, _ = world.reset(seed=played.layout)
    made = [Step(0, "", world.describe(observation), observation, 0.0, False, world.render())]
    events, ended = Counter[str](), False
    for number, action in enumerate(played.actions[:steps], 1):
        word = world.action_word(action, world.actions(observation))
        observation, reward, terminated, truncated, info = world.step(action)
        events[world.event(observation)] += 1
        text, success = world.describe(observation), bool(info.get("success", False))
        made.append(Step(number, word, text, observation, float(reward), success, world.render()))
        if ended := bool(terminated or truncated):
            break
    whole = len(played.actions) <= steps
    same = _within(events, played.events) and (not whole or (events == played.events and ended))
    return made, same


def _within(part: Mapping[str, int], whole: Mapping[str, int]) -> bool:
    return all(count <= whole.get(name, 0) for name, count in part.items())
