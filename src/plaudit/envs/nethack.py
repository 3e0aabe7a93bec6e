"""NetHack: the NetHack Learning Environment's tasks Score, Staircase, Oracle, Gold, Eat and Scout.

An observation is what an agent can use: the message, 9 by 9 glyphs around the hero, the status line, what changed. The
screen is part of it only where the description is made of the screen. Rewards, actions and limits are nle's own.
``plaudit run nethack:staircase`` plays one of the tasks, ``--world.description screen`` shows the LLM the terminal.

Leaves out: the Challenge (nle forbids to seed it), Staircase with a pet, and saving a game.
Source: nle 1.3 (https://github.com/NetHack-LE/nle).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import nethack_tasks as tasks
from plaudit.envs import nethack_words as words
from plaudit.envs.base import Observation, World
from plaudit.envs.nethack_games import TASKS, Watched, nethack_game
from plaudit.envs.nethack_screen import draw
from plaudit.envs.nethack_vector import Copies, GameVector
from plaudit.errors import ConfigError, did_you_mean

DESCRIPTIONS = ("status", "news", "changes", "screen", "image")
MEMO = 20_000
"""Descriptions that are remembered, by what they are made of; when there are more, the table starts anew."""


class NetHack(World):
    """Explore the dungeon: Score, Staircase, Oracle, Gold, Eat, Scout (nle)."""

    name: ClassVar[str] = "nethack"
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "task": tuple(TASKS),
        "actions": ("task", "full"),
        "description": DESCRIPTIONS,
    }
    most_copies = 64
    metadata = {"render_modes": ["rgb_array"], "render_fps": 8}
    render_mode = "rgb_array"

    def __init__(self, task: str = "score", actions: str = "task", description: str = "status") -> None:
        self.task, self.description = self._checked(task, actions, description)
        self._copies = Copies(lambda: self.game(task, actions, True), 1, self.name, task, description)
        self.observation_space, self.action_space = self._copies.observation_space, self._copies.action_space
        keys = self._copies.games[0].actions
        self._keys, self._words = [int(key) for key in keys], words.action_words(keys)
        self.goal = self.goal_of(task)
        self.rules = tasks.RULES + ", ".join(self._words) + "."
        self.fallback = self._words.index("search") if "search" in self._words else 0
        self._told: dict[bytes, str] = {}

    @staticmethod
    def game(task: str, actions: str, screen: bool) -> Watched:
        """One game of this task."""
        return nethack_game(task, actions, screen)

    @staticmethod
    def goal_of(task: str) -> str:
        """What the task wants, in words."""
        return tasks.GOALS[task]

    @classmethod
    def _checked(cls, task: str, actions: str, description: str) -> tuple[str, str]:
        for key, value in {"task": task, "actions": actions, "description": description}.items():
            if value not in cls.choices[key]:
                raise ConfigError(f"{cls.name} has no {key} {value!r}.{did_you_mean(value, cls.choices[key])}")
        return task, description

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        batch = self._copies.begin(np.zeros(1, np.int64), None if seed is None else [seed])
        return self._single(batch), self._info(batch)

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict]:
        reward, terminated, truncated = self._copies.act(0, int(action))
        batch = self._copies.reader.observe(self._copies.games, np.zeros(1, np.int64))
        return self._single(batch), reward, terminated, truncated, self._info(batch) | {"task_reward": reward}

    def render(self) -> Any:
        """The terminal: ``(height, width, 3)`` uint8."""
        game = self._copies.games[0]
        return draw(game.part("tty_chars"), game.part("tty_colors"))

    def close(self) -> None:
        self._copies.close()

    def describe(self, obs: Observation) -> str:
        parts = ("screen",) if self.description == "screen" else ("message", "crop", "status", "change")
        key = b"".join(obs[name].tobytes() for name in parts)
        if key not in self._told:
            if len(self._told) >= MEMO:
                self._told.clear()
            self._told[key] = words.describe(obs, self.description)
        return self._told[key]

    def view(self, obs: Observation) -> str:
        return words.view(obs, self.description) if self.description in ("news", "changes") else self.describe(obs)

    def event(self, obs: Observation) -> str:
        return words.event(obs)

    def places(self, obs: Observation) -> dict[str, str]:
        now, _ = words.numbers(obs)
        return {"dungeon level": f"{now['depth']}", "square": f"{now['depth']}:{now['x']},{now['y']}"}

    def picture(self, obs: Observation) -> NDArray[np.uint8] | None:
        """The terminal as an image, with the description ``image`` (or ``screen``); None without the screen."""
        if "screen" not in obs:
            return None
        return draw(obs["screen"].reshape(24, 80), obs["colors"])

    def features(self, obs: Observation) -> dict[str, bool | int | float | str]:
        return words.features(obs)

    def actions(self, obs: Observation) -> list[str] | None:
        return list(self._words)

    def parse_action(self, reply: str) -> int | None:
        return words.parse_action(reply, self._words, self._keys)

    def expert(self) -> Any:
        from plaudit.envs.nethack_expert import Explorer

        return Explorer(self._copies.games[0], self._words)

    @classmethod
    def vector(cls, num_envs: int, **options: Any) -> GameVector:
        chosen = {key: values[0] for key, values in cls.choices.items()} | options
        task, description = cls._checked(**chosen)
        screen = description in ("screen", "image")
        return GameVector(lambda: cls.game(task, chosen["actions"], screen), num_envs, cls.name, task, description)

    def _single(self, batch: dict[str, NDArray]) -> Observation:
        return {name: part[0] for name, part in batch.items()}

    def _info(self, batch: dict[str, NDArray]) -> dict[str, Any]:
        status = self._copies.status(batch)
        return {"success": bool(status["success"][0]), "progress": float(status["progress"][0])}
