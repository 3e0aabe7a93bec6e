"""Wordle: find the hidden word of five letters in six guesses; a letter, a word or a strategy at a time.

One world is a vector of one (:mod:`plaudit.envs.wordle_vector`), so both follow the same rules by construction. ``size``
words can be guessed; those of them that are common enough can be the answer. ``task`` is the easy or the hard mode of
the original. Success is finding the word; the task reward is 1 for it and 0 otherwise.

Run: ``plaudit run wordle``. Leaves out other languages and lengths. Source: J. Wardle's game (2021); words from SCOWL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from plaudit.envs import wordle_rules as rules
from plaudit.envs import wordle_words as words
from plaudit.envs.base import Observation, World
from plaudit.envs.wordle_vector import WordleVector
from plaudit.errors import ConfigError
from plaudit.spaces import MASK

LISTED = 500
"""Words up to this number are listed as actions."""


class Wordle(World):
    """Find the hidden word in six guesses: by letters, words or strategies."""

    goal = words.GOAL
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "task": ("easy", "hard"),
        "size": (100, 500, 1000, 2223, 6393),
        "actions": ("word", "letter", "strategy"),
        "observation": ("knowledge", "board"),
        "description": ("summary", "board", "both"),
    }
    most_copies: ClassVar[int] = 4096
    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}

    def __init__(
        self,
        task: str = "easy",
        size: int = 100,
        actions: str = "word",
        observation: str = "knowledge",
        description: str = "summary",
        answers: Sequence[str] = (),
        own: Sequence[str] = (),
    ) -> None:
        if description != "summary" and observation != "board":
            raise ConfigError(f"the description {description!r} needs the board: --world.observation board.")
        self.copy = WordleVector(1, task, size, actions, observation, answers, own)
        self.words, self.by, self.description = self.copy.words, actions, description
        self.rules = words.RULES + (words.HARD if task == "hard" else "") + words.ASKS[actions]
        self.observation_space, self.action_space = self.copy.single_observation_space, self.copy.single_action_space
        self.hidden = self.words.answers
        self.fallback = 0
        self.render_mode = "rgb_array"
        self._nearness: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        _, info = self.copy.reset(seed=None if seed is None else [seed])
        return self._observation(), _single(info)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict]:
        reward, terminated, truncated, info = self.copy.play(np.array([action]))
        return self._observation(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), _single(info)

    def render(self) -> Any:
        """The board: ``(292, 244, 3)`` uint8."""
        from plaudit.envs.wordle_picture import draw

        state = self.copy.get_state()
        return draw(state["letters"][0], state["colours"][0])

    def describe(self, obs: Observation) -> str:
        return words.describe(obs, self.description)

    def event(self, obs: Observation) -> str:
        return words.event(obs)

    def picture(self, obs: Observation) -> NDArray[np.uint8] | None:
        from plaudit.envs.wordle_picture import draw

        return draw(obs["letters"], obs["colours"]) if "letters" in obs else None

    def features(self, obs: Observation) -> dict[str, bool | int | float | str]:
        return words.features(obs)

    def actions(self, obs: Observation) -> list[str] | None:
        names = self._names()
        if MASK in obs:
            names = [name for name, may in zip(names, obs[MASK].tolist(), strict=True) if may]
        return names if len(names) <= LISTED else None

    def parse_action(self, reply: str) -> int | None:
        text = words.bare(reply)
        if self.by == "word":
            return self.words.numbers.get(text)
        names = [name.lower() for name in self._names()]
        return names.index(text) if text in names else None

    def action_word(self, action: Any, listed: Sequence[str] | None) -> str:
        return self._names()[int(action)]

    def expert(self) -> Any:
        from plaudit.envs.wordle_expert import Expert

        return Expert(self.words, self.copy.hard, self.by)

    def value(self, obs: Observation) -> float | None:
        """How few guesses the scripted player would need; of how few are left, which any text tells, it is no matter."""
        from plaudit.envs.wordle_value import Nearness

        if self._nearness is None:
            self._nearness = Nearness(self.words, self.copy.hard)
        return self._nearness(obs)

    def secret(self) -> str:
        return self.words.answers[int(self.copy.get_state()["answer"][0])]

    @classmethod
    def practice(cls, part: Literal["train", "held_out"], seed: int, **options: Any) -> list[dict[str, Any]]:
        """Games with other words than the list's, so that the words which agents are evaluated on are never seen."""
        return [options | {"own": own} for own in rules.practice(part, options["size"], seed)]

    @classmethod
    def vector(cls, num_envs: int, **options: Any) -> VectorEnv:
        """Copies that step together; ``description`` is for one world only and changes nothing here."""
        return WordleVector(num_envs, **{name: value for name, value in options.items() if name != "description"})

    def _names(self) -> list[str]:
        if self.by == "word":
            return list(self.words.guesses)
        return list(words.STRATEGIES) if self.by == "strategy" else [chr(ord("A") + i) for i in range(26)]

    def _observation(self) -> Observation:
        return {name: part[0] for name, part in self.copy.observe().items()}


def _single(info: dict[str, Any]) -> dict[str, Any]:
    return {name: part[0].item() for name, part in info.items()}
