"""MiniWoB++: small web pages with an instruction each, in real headless Chromium (``miniwob`` 1.1, 124 of its tasks).

    plaudit run miniwob:click-dialog --route task

Many copies are frames of a few browser tabs, all stepped in one call. Each runs on a clock of its own that stands still
between steps: an episode depends on its seed and its actions alone, a slow judge costs nothing, and the reward is the
page's raw one, unscaled by time. Success is a raw reward of 1; a part of it is none. The same seed gives the package's
own instruction.

Leaves out: the tasks that run against time and three airline sites, by name and reason in ``miniwob_tasks.py``.
Source: Shi et al. 2017, Liu et al. 2018; Farama Foundation, https://miniwob.farama.org.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import miniwob
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from plaudit.envs import miniwob_words as words
from plaudit.envs.base import Observation, World
from plaudit.envs.miniwob_acting import Actions
from plaudit.envs.miniwob_frames import BLANK, Frames, State
from plaudit.envs.miniwob_seen import ELEMENT_HIGHS, HEIGHT, WIDTH, observe
from plaudit.envs.miniwob_tasks import NAMES, TASKS, Task
from plaudit.errors import ConfigError, did_you_mean
from plaudit.spaces import MASK, Rows, Text, to_text

PAGES = Path(miniwob.__file__).parent / "html"


def observation_space(task: Task, acting: Actions, observation: str) -> spaces.Dict:
    """One observation: three texts, the mask, and the elements' codes or the page's picture."""
    parts: dict[str, spaces.Space] = {
        "utterance": Text(words.UTTERANCE),
        "page": Text(words.PAGE_BYTES, told_only=True),
        "event": Text(words.EVENT),
        MASK: spaces.Box(0, 1, (acting.count,), np.uint8),
    }
    if observation == "pixels":
        parts["pixels"] = spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    else:
        parts["elements"] = Rows(ELEMENT_HIGHS, task.slots, acting.pointers())
    return spaces.Dict(parts)


class MiniWoB(World):
    """Small web pages, each with an instruction, in real headless Chromium (MiniWoB++)."""

    goal = words.GOAL
    fallback = 0
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "task": tuple(NAMES),
        "actions": ("elements", "coordinates"),
        "observation": ("text", "pixels"),
        "description": ("page", "summary", "event"),
    }
    most_copies: ClassVar[int] = 64
    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}
    render_mode = "rgb_array"

    def __init__(
        self, task: str = NAMES[0], actions: str = "elements", observation: str = "text", description: str = "page"
    ) -> None:
        check(task=task, actions=actions, observation=observation, description=description)
        self.task, self.description = TASKS[task], description
        self.rules = words.RULES + words.HOW[actions]
        self._vector = MiniWoBVector(1, task, actions, observation)
        self._acting = self._vector.acting
        self.observation_space, self.action_space = (
            self._vector.single_observation_space,
            self._vector.single_action_space,
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        observations, infos = self._vector.reset(seed=seed)
        return _first(observations), _first_info(infos)

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict]:
        observations, reward, terminated, truncated, infos = self._vector.advance(np.array([action]), autoreset=False)
        return _first(observations), float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first_info(infos)

    def render(self) -> Any:
        """The page as it looks: ``(210, 160, 3)`` uint8."""
        return self._vector.frames.pictures()[0]

    def close(self) -> None:
        self._vector.close()

    def describe(self, obs: Observation) -> str:
        return words.describe(obs, self.description)

    def view(self, obs: Observation) -> str:
        return words.describe(obs, "page")

    def event(self, obs: Observation) -> str:
        return words.nameless(to_text(obs["event"]))

    def picture(self, obs: Observation) -> NDArray[np.uint8] | None:
        return obs.get("pixels")

    def features(self, obs: Observation) -> dict[str, bool | int | float | str]:
        return words.facts(obs)

    def actions(self, obs: Observation) -> list[str] | None:
        return self._acting.listed(words.utterance(obs), words.read(obs))

    def parse_action(self, reply: str) -> int | None:
        return self._acting.parse(reply)

    def expert(self) -> Any:
        from plaudit.envs.miniwob_expert import KNOWN, Expert

        return Expert(self) if self.task.name in KNOWN and self._acting.kind == "elements" else None

    @classmethod
    def vector(cls, num_envs: int, **options: Any) -> VectorEnv:
        options.pop("description", None)
        return MiniWoBVector(num_envs, **options)


class MiniWoBVector(VectorEnv):
    """``num_envs`` copies of one task in a few tabs, which are opened by the first reset.

    When the browser or a page dies in the middle, a new one is started: the episodes that were in it end there as
    truncated with ``infos["crashed"]``, their copies go on with the next ones.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self, num_envs: int, task: str = NAMES[0], actions: str = "elements", observation: str = "text"
    ) -> None:
        check(task=task, actions=actions, observation=observation)
        self.num_envs, self.task, self._pixels = num_envs, TASKS[task], observation == "pixels"
        self.acting = Actions(self.task, actions)
        self.frames = Frames(PAGES, self.task, num_envs)
        self.single_action_space = spaces.Discrete(self.acting.count)
        self.single_observation_space = observation_space(self.task, self.acting, observation)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._states: list[State] = [BLANK] * num_envs
        self._steps = np.zeros(num_envs, int)
        self._draws = [np.random.default_rng() for _ in range(num_envs)]
        self._next = [0] * num_envs
        self._draw(np.ones(num_envs, bool))

    def reset(self, *, seed: int | list[int] | None = None, options: dict | None = None) -> tuple[Observation, dict]:
        if seed is not None:
            chosen = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed)
            self._draws = [np.random.default_rng(one) for one in chosen]
            self._next = chosen
        seeds: list[int | None] = [*self._next]
        self._draw(np.ones(self.num_envs, bool))
        self._states = self.frames.begin(seeds)
        self._steps[:] = 0
        nothing = np.zeros(self.num_envs, bool)
        return self._observe(self._states), self._status(self._states, nothing)

    def step(self, actions: NDArray) -> tuple[Observation, NDArray, NDArray, NDArray, dict[str, Any]]:
        return self.advance(np.asarray(actions), autoreset=True)

    def advance(
        self, actions: NDArray, autoreset: bool
    ) -> tuple[Observation, NDArray, NDArray, NDArray, dict[str, Any]]:
        """One step of all copies; those whose episode it ends begin the next one, with ``autoreset``."""
        commands = [
            self.acting.command(int(action), state.utterance, state.page)
            for action, state in zip(actions, self._states, strict=True)
        ]
        self._steps += 1
        last = self._steps >= self.task.limit
        seeds: list[int | None] = [one if autoreset else None for one in self._next]
        made, fresh = self.frames.step(commands, self._states, seeds, last.tolist(), wait=self._pixels)
        terminated = np.array([state.done for state in made])
        crashed = np.array([state.crashed for state in made])
        truncated = (last & ~terminated) | crashed
        ended = terminated | truncated
        reward = np.array([state.raw if state.done else 0.0 for state in made])
        obs, infos = self._observe(made), self._status(made, crashed)
        self._states = made
        if autoreset and ended.any():
            if self._pixels:
                fresh = self.frames.begin([s if over else None for s, over in zip(seeds, ended, strict=True)])
            self._states = [new if over else old for old, new, over in zip(made, fresh, ended, strict=True)]
            self._steps[ended] = 0
            self._draw(ended)
            infos |= {"final_obs": obs, "final_info": dict(infos), "_final_obs": ended}
            obs = {name: part.copy() for name, part in obs.items()}
            for name, part in self._observe(self._states).items():
                obs[name][ended] = part[ended]
        return obs, reward, terminated, truncated, infos

    def close_extras(self, **_: Any) -> None:
        if "frames" in vars(self):
            self.frames.close()

    def _draw(self, copies: NDArray[np.bool_]) -> None:
        """The seed of the episode after the one that begins now, for these copies."""
        for i in np.flatnonzero(copies):
            self._next[i] = int(self._draws[i].integers(2**31))

    def _observe(self, states: list[State]) -> Observation:
        pictures = self.frames.pictures() if self._pixels else None
        return observe(self.task, self.acting, states, pictures)

    def _status(self, states: list[State], crashed: NDArray[np.bool_]) -> dict[str, Any]:
        success = np.array([state.done and state.raw == 1.0 for state in states])
        known = [words.progress(self.task.name, state.utterance, state.page) for state in states]
        raw = np.array([float(state.raw) if state.done else 0.0 for state in states])
        return {
            "success": success,
            "progress": np.where(success, 1.0, known),
            "task_reward": raw,
            "raw_reward": raw.copy(),
            "crashed": crashed,
        }


def check(**chosen: str) -> None:
    """Refuse what there is not, and name what is near."""
    for key, value in chosen.items():
        if value not in (known := MiniWoB.choices[key]):
            raise ConfigError(f"miniwob has no {key} {value!r}.{did_you_mean(value, known)}")


def _first(observations: dict[str, NDArray]) -> dict[str, NDArray]:
    return {name: part[0] for name, part in observations.items()}


def _first_info(infos: dict[str, NDArray]) -> dict[str, Any]:
    return {name: part[0].item() for name, part in infos.items()}
