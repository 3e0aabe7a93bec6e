"""Any Gymnasium environment as a world: name it, say its goal, and put an observation into words.

    class FrozenLake(Wrapped):
        id = "FrozenLake-v1"
        goal = "walk over the ice to the present"
        action_words = ("left", "down", "right", "up")

        def describe(self, obs):
            return f"You stand in row {obs // 4} and column {obs % 4}."

In a file of its own: ``plaudit check my_world.py``, ``plaudit run my_world.py``. Everything else has a default that the
class may override. Observations that networks here cannot read are rewritten: nested dictionaries and tuples become one
flat dictionary (``"agent/position"``, ``"0"``), text becomes bytes, large ``Discrete`` spaces become codes.
:meth:`Wrapped.original` gives an observation in the environment's own form.

Leaves out: spaces without a fixed size (``Sequence``, ``Graph``, ``OneOf``), which an environment's own wrapper must
turn into arrays first. Source: Gymnasium's API, https://gymnasium.farama.org.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from plaudit.envs.base import Observation, World, named_action
from plaudit.envs.flat import features, flatten, join, take_apart
from plaudit.errors import ConfigError


class Wrapped(World):
    """A Gymnasium environment with words; a subclass gives ``id`` (or ``make``), ``goal`` and ``describe``."""

    id: ClassVar[str] = ""
    """The environment's name for ``gymnasium.make``; ``"module:Name-v0"`` imports its module first."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Further arguments of ``gymnasium.make``."""
    action_words: ClassVar[Sequence[str]] = ()
    """The actions of a ``Discrete`` space in words, in its order."""
    text_bytes: ClassVar[int] = 1000
    """Bytes that are kept of a text in an observation, at most."""

    def __init__(self, **chosen: Any) -> None:
        self.rules = getattr(type(self), "rules", "")
        self._check_class()
        # pygame, which draws some environments, opens a sound card first, and complains at length where there is none.
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
        self.env = self.make(**chosen)
        self._check_env()
        self.render_mode = self.env.render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 8} | dict(self.env.metadata)
        self.action_space = self.env.action_space
        self._parts = take_apart(self.env.observation_space, self.text_bytes)
        self.observation_space: gym.Space[Any] = join(self._parts)
        self._check_actions()
        self.rules = self.rules or self._usual_rules()
        if self.fallback is None:
            self.fallback = self._usual_fallback()

    def make(self, **chosen: Any) -> gym.Env[Any, Any]:
        """The environment. ``chosen`` are of ``choices``: a ``task`` is an id, all else goes to ``gymnasium.make``."""
        name = chosen.pop("task", "") or self.id
        arguments = {**self.options, **chosen}
        try:
            if "rgb_array" in _render_modes(name):
                arguments.setdefault("render_mode", "rgb_array")
            return gym.make(name, disable_env_checker=True, **arguments)
        except gym.error.UnregisteredEnv as error:
            raise ConfigError(f"{type(self).__name__}.id: {error} Import the package that registers it.") from None

    def success(self, obs: Any, reward: float, terminated: bool, info: Mapping[str, Any]) -> bool:
        """Whether the task is done: what the environment says (``success``, ``is_success``), else an end with a reward.

        ``obs`` and ``info`` are the environment's own.
        """
        said = next((info[name] for name in ("success", "is_success") if name in info), None)
        try:
            return bool(terminated and reward > 0) if said is None else bool(said)
        except (ValueError, RuntimeError):  # an array, a tensor of several values
            raise ConfigError(
                f"{type(self).__name__}: the environment's info tells success as {said!r}. Write success(), which makes "
                "one True or False of it"
            ) from None

    def progress(self, obs: Any, info: Mapping[str, Any]) -> float | None:
        """How far the task is, 0 to 1, for measuring only; None where nobody knows. Arguments as in ``success``."""
        return info.get("progress")

    def original(self, obs: Observation) -> Any:
        """An observation in the environment's own form: nested, with its texts as ``str`` and its ids as ``int``."""
        return self._parts.original(obs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        obs, info = begun(self, seed, options)
        return self.flat(obs), self._info(obs, 0.0, False, info)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict]:
        if not self.action_space.contains(action):
            raise ConfigError(f"{type(self).__name__} has no action {action!r}; its actions are {self.action_space}.")
        obs, given, terminated, truncated, info = stepped(self, action)
        reward = self._reward(given)
        told = self._info(obs, reward, bool(terminated), info)
        return self.flat(obs), reward, bool(terminated), bool(truncated), told

    def render(self) -> Any:
        """A picture of the whole environment, ``(height, width, 3)`` uint8; None where it has none."""
        try:
            frame = self.env.render() if self.render_mode == "rgb_array" else None
        except gym.error.DependencyNotInstalled:
            return None
        return frame if isinstance(frame, np.ndarray) else None

    def close(self) -> None:
        self.env.close()

    def features(self, obs: Observation) -> dict[str, bool | int | float | str]:
        """The observation's own numbers and texts, arrays of up to 64 numbers one by one."""
        return features(self._parts, obs)

    def actions(self, obs: Observation) -> list[str] | None:
        return list(self.action_words) or None

    def may_list(self) -> bool:
        return bool(self.action_words) or type(self).actions is not Wrapped.actions

    def parse_action(self, reply: str) -> Any | None:
        """The action that a reply names; without ``action_words`` a number, or numbers between brackets."""
        if self.action_words:
            found = named_action(reply, self.action_words)
            return None if found is None else self._first_action + found
        try:
            value = json.loads(reply)
        except ValueError:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | list):
            return None
        space = self.action_space
        try:
            action = np.asarray(value, space.dtype) if isinstance(space, spaces.Box) else value
        except (ValueError, TypeError, OverflowError):
            return None
        return action if space.contains(action) else None

    def action_word(self, action: Any, listed: Sequence[str] | None) -> str:
        """As of any world, with few digits of a number that is no whole one."""
        space = self.action_space
        if not (isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)):
            return super().action_word(action, listed)
        ranges = zip(np.asarray(action, space.dtype).ravel(), space.low.ravel(), space.high.ravel(), strict=True)
        return str(np.reshape([_short(*each) for each in ranges], space.shape).tolist())

    @cached_property
    def _first_action(self) -> int:
        return int(self.action_space.start) if isinstance(self.action_space, spaces.Discrete) else 0

    def _info(self, obs: Any, reward: float, terminated: bool, info: Mapping[str, Any]) -> dict[str, Any]:
        """What is told of a step; all else is left out, for copies can be put side by side only if they tell the same."""
        info = _Info(info)
        try:
            told: dict[str, Any] = {"success": self.success(obs, reward, terminated, info), "task_reward": reward}
            progress = self.progress(obs, info)
        except _NotTold as error:
            raise ConfigError(
                f"{type(self).__name__}: success or progress asks for {error}, and the environment's info has "
                f"{', '.join(map(str, info)) or 'nothing'}. Both are asked after reset, too: take info.get({error})."
            ) from error
        return told if progress is None else told | {"progress": float(progress)}

    def _reward(self, given: Any) -> float:
        """A step's reward as a plain number."""
        try:
            return float(given)
        except (TypeError, ValueError):
            raise ConfigError(
                f"{type(self).__name__}: the environment's step gives the reward {given!r}. Let it be one number"
            ) from None

    def flat(self, obs: Any) -> Observation:
        """An observation of the environment as ``observation_space`` holds it."""
        try:
            return flatten(self._parts, obs)
        except Exception as error:
            what = f"has no part {error}" if isinstance(error, KeyError) else f"does not fit ({error})"
            raise ConfigError(
                f"{type(self).__name__}: an observation of the environment {what}, and its observation_space is "
                f"{self._parts.own}. Correct one of them."
            ) from error

    def _check_env(self) -> None:
        name = type(self).__name__
        if not isinstance(self.env, gym.Env):
            raise ConfigError(f"{name}.make gives {self.env!r}. Let it return a gymnasium.Env.")
        for space in ("observation_space", "action_space"):
            if not isinstance(getattr(self.env, space, None), gym.Space):
                raise ConfigError(
                    f"{name}: the environment has no {space}. Set self.{space} in its __init__, to one of gymnasium.spaces."
                )

    def _check_class(self) -> None:
        name = type(self).__name__
        if not getattr(self, "goal", ""):
            raise ConfigError(f'{name} says no goal. Add a line to the class: goal = "..."')
        if type(self).describe is World.describe:
            raise ConfigError(
                f"{name} cannot describe what it observes. Add to the class: def describe(self, obs): ..."
            )
        if not self.id and type(self).make is Wrapped.make and "task" not in self.choices:
            raise ConfigError(f'{name} names no environment. Add a line to the class: id = "FrozenLake-v1", or make()')

    def _check_actions(self) -> None:
        words, space = self.action_words, self.action_space
        if not words:
            return
        name = type(self).__name__
        if not isinstance(space, spaces.Discrete):
            raise ConfigError(f"{name}.action_words name the actions of a Discrete space, and this one is {space}.")
        if len(words) != space.n:
            raise ConfigError(f"{name}.action_words has {len(words)} words for {space.n} actions.")

    def _usual_rules(self) -> str:
        if self.action_words:
            return f"Answer with one action: {', '.join(self.action_words)}."
        space = self.action_space
        if isinstance(space, spaces.Box):
            low, high = float(space.low.min()), float(space.high.max())
            return f"Answer with {int(np.prod(space.shape))} numbers from {low:g} to {high:g} between brackets."
        return f"Answer with the number of an action: {space}."

    def _usual_fallback(self) -> Any:
        space = self.action_space
        if isinstance(space, spaces.Box):
            return np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype)
        return self._first_action if isinstance(space, spaces.Discrete) else None


class _NotTold(KeyError):
    """An environment's info was asked for what it does not hold."""


class _Info(dict[Any, Any]):
    """An environment's info; what it lacks is told apart from what another table lacks."""

    def __missing__(self, name: Any) -> Any:
        raise _NotTold(name)


def _short(number: np.floating[Any], low: np.floating[Any], high: np.floating[Any]) -> float:
    """A number with as few digits, three or more, as keep it in its range, and near: a thousandth of the range."""
    whole, near = float(number), (float(high) - float(low)) / 1000
    if whole.is_integer():
        return whole
    for digits in range(3, 9):
        short = float(f"{whole:.{digits}g}")
        if low <= number.dtype.type(short) <= high and abs(short - whole) <= near:
            return short
    return float(str(number))  # as many as its dtype holds


def _render_modes(name: str) -> Sequence[str]:
    """How the environment can be drawn, by its class."""
    entry = gym.spec(name).entry_point
    creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    return (getattr(creator, "metadata", None) or {}).get("render_modes", ())


def begun(world: Wrapped, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
    """What the environment's ``reset`` gives; one of the old form is told what is wanted."""
    form = "def reset(self, *, seed=None, options=None): ... return observation, info"
    try:
        answer = world.env.reset(seed=seed, options=options)
    except TypeError as error:
        if not re.search(r"reset\(\) got an unexpected keyword argument '(seed|options)'", str(error)):
            raise
        raise ConfigError(f"{type(world).__name__}: {error}. Write in the environment: {form}") from error
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise ConfigError(
            f"{type(world).__name__}: the environment's reset gives no pair of observation and info. Write in it: {form}"
        )
    return answer


def stepped(world: Wrapped, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
    """What the environment's ``step`` gives, five things."""
    answer = world.env.step(int(action) if isinstance(world.action_space, spaces.Discrete) else action)
    if not (isinstance(answer, tuple) and len(answer) == 5):
        had = f"{len(answer)} things" if isinstance(answer, tuple) else f"a {type(answer).__name__}"
        raise ConfigError(
            f"{type(world).__name__}: the environment's step gives {had}. Let it "
            "return observation, reward, terminated, truncated, info"
        )
    return answer
