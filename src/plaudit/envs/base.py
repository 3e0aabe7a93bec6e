"""The world contract: a Gymnasium environment that can also be put into words.

A world is one file with a subclass of :class:`World`. Everything an LLM is told about it comes from here: the goal, the
rules, and :meth:`World.describe`. What a description says must come from the observation alone: a world's reward,
``info["progress"]`` and ``info["success"]`` are for measuring, and never reach what a reward model is made of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

Observation = Any
"""One observation: what the environment's ``observation_space`` holds, without a batch dimension."""


class World(gym.Env[Any, Any]):
    """A Gymnasium environment with a goal, rules, and words for what is seen and done."""

    goal: str
    """What is wanted, as the LLM is told: a short clause that fits behind "The goal is to"."""
    rules: str
    """How the world works and how an action is written, as the LLM is told."""
    fallback: Any = None
    """The action that is executed where a policy named none that the world understands; best one that does little."""
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """What the constructor lets one choose, by argument: the values that it takes, the usual one first. The arguments that
    ``[world]`` has settings for are ``task``, ``size``, ``actions``, ``observation`` and ``description``."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """Settings of a run that suit this world, nested as in a recipe; used where no recipe has the world's name."""
    most_copies: ClassVar[int] = 128
    """How many copies are to step side by side in one process, at most."""
    hidden: Sequence[str] = ()
    """What an episode of this copy is drawn from, where it can be listed (words, tasks); empty where seeds tell all."""

    def describe(self, obs: Observation) -> str:
        """What the LLM is shown of one observation, what has just happened first."""
        raise NotImplementedError

    def view(self, obs: Observation) -> str:
        """What one who acts is shown, an LLM or a person; the description, unless that is too short to act upon."""
        return self.describe(obs)

    def event(self, obs: Observation) -> str:
        """What has just happened, the unit of episodic counts; the whole description where a world has no such thing."""
        return self.describe(obs)

    def places(self, obs: Observation) -> Mapping[str, str]:
        """Where an observation is, by kind (``dungeon level``, ``square``), for counting how much of the world was met.

        For measuring only; nothing where an observation does not tell.
        """
        return {}

    def render(self) -> Any:
        """The world from outside for people, ``(height, width, 3)`` uint8; None where it draws none."""
        return None

    def picture(self, obs: Observation) -> NDArray[np.uint8] | None:
        """The observation as an image ``(height, width, 3)`` for models that see; None where a world has none."""
        return None

    def features(self, obs: Observation) -> dict[str, bool | int | float | str]:
        """Named symbolic facts of one observation, for reward as code and for reading."""
        raise NotImplementedError

    def actions(self, obs: Observation) -> list[str] | None:
        """The valid actions in words, or None where they cannot be listed."""
        return None

    def may_list(self) -> bool:
        """Whether :meth:`actions` lists any, as far as that is known before anything was observed."""
        return type(self).actions is not World.actions

    def parse_action(self, reply: str) -> Any | None:
        """The action that a reply names, or None. Never a guess."""
        raise NotImplementedError

    def expert(self) -> Any:
        """A scripted policy (``act`` and ``reset`` as in ``policies/base.py``) that plays well, or None.

        A reference to measure against, a source of examples, and the proof that success can be reached. It may read what
        the world hides from an agent.
        """
        return None

    def value(self, obs: Observation) -> float | None:
        """How near to the goal an observation is, higher is nearer, on any scale; None where ``info["progress"]`` must do.

        Asked right after the observation was made, so that a world may look at its own state. For measuring, and for
        teaching a judge on episodes set apart for it: never part of a description or a reward.
        """
        return None

    def fewest_steps(self, obs: Observation) -> float | None:
        """Fewest actions to success from here, infinite where there is no way; None where they cannot be told exactly.

        As with :meth:`value`: asked right after the observation was made, and for measuring only.
        """
        return None

    def secret(self) -> str:
        """The one of ``hidden`` that the present episode has drawn; empty where its seed tells all."""
        return ""

    @classmethod
    def practice(cls, part: Literal["train", "held_out"], seed: int, **options: Any) -> list[dict[str, Any]]:
        """Constructor's arguments of the copies that teaching data come from; by default the very same world.

        A world whose episodes are drawn from a list returns other lists, so that nothing is taught about what agents are
        evaluated on, nor about what the taught model is measured on (``held_out``). Copies may have other actions, if that
        is where the expert is at home: of these only what is seen is used.
        """
        return [options]

    def action_word(self, action: Any, listed: Sequence[str] | None) -> str:
        """An action in words: the listed one that means it, wherever it stands in the list; else its numbers."""
        named = (word for word in listed or () if np.all(self.parse_action(word) == action))
        return next(named, str(np.asarray(action).tolist()))

    @classmethod
    def vector(cls, num_envs: int, **options: Any) -> VectorEnv:
        """``num_envs`` copies that step together in this process and reset in the same step.

        A world that can compute its copies in one go overrides this; each step must give new arrays. Final observations
        are in ``infos["final_obs"]``, final infos in ``infos["final_info"]`` (``AutoresetMode.SAME_STEP``).
        """
        return SyncVectorEnv([lambda: cls(**options)] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def named_action(reply: str, listed: Sequence[str]) -> int | None:
    """Place in the list of the action that a reply names, else None.

    Case, quotes, end punctuation and a list's number do not matter.
    Nothing between the words is dropped: what stands beside an action in a reply may well deny it.
    """
    text = reply.strip().lower()
    if len(text) > max(map(len, listed), default=0) + 20:
        return None
    text = re.sub(r"^\W*(\d+[.)])?[\W_]*|[\W_]+$", "", text)
    return next((i for i, word in enumerate(listed) if word.lower() == text), None)
