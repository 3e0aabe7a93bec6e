"""The arms of a comparison: each is a route with some settings changed, everything else alike.

An arm's name is its route, and behind a colon what is changed. ``llm`` alone is zero-shot; the others that begin with it
each switch one prompting technique on, so that what it brings can be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plaudit.config import RunConfig, from_dict, to_dict
from plaudit.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Arm:
    """One way, as it is compared."""

    name: str
    """As in ``--arms``."""
    about: str
    """One line for people."""
    switches: dict[str, Any]
    """Settings that differ from the comparison's own, nested as in a recipe."""

    @property
    def route(self) -> str:
        """The route behind it."""
        return self.name.split(":")[0]

    @property
    def folder(self) -> str:
        """Name of its run folder."""
        return self.name.replace(":", "-")

    def config(self, base: RunConfig) -> RunConfig:
        """The comparison's settings with this arm's route and switches; controls are arms of their own."""
        values = to_dict(base)
        values["route"], values["train"]["controls"] = self.route, []
        for section, changes in self.switches.items():
            values[section] |= changes
        return from_dict(RunConfig, values)


def _policy(**switches: Any) -> dict[str, Any]:
    return {"policy": switches}


ARMS = {
    arm.name: arm
    for arm in (
        Arm("llm", "the LLM acts: most likely of the listed actions, zero-shot", {}),
        Arm("llm:prior", "the LLM acts; an action's own frequency is subtracted", _policy(prior=True)),
        Arm("llm:history", "the LLM acts; it is shown its last 4 steps", _policy(history=4)),
        Arm("llm:examples", "the LLM acts; it is shown 4 recorded steps like this one", _policy(examples=4)),
        Arm("llm:sample", "the LLM acts; actions are sampled instead of the best one taken", _policy(temperature=1.0)),
        Arm("llm:generate", "the LLM acts; it writes the action", _policy(action="generate")),
        Arm("llm:thought", "the LLM acts; it thinks in words first", _policy(thought=True)),
        Arm("llm:refine", "the LLM acts; it criticises and improves its action once", _policy(refine=1)),
        Arm("scalar", "the LLM rates observations; a network is fitted to the ratings", {}),
        Arm("preference", "AI feedback: the LLM's preferences, a Bradley-Terry reward model", {}),
        Arm("code", "the LLM writes a reward program", {}),
        Arm("embedding", "similarity of the observation's embedding to the goal's", {}),
        Arm("task", "control: the world's own reward", {}),
        Arm("constant", "control: +1 for every step", {}),
        Arm("constant-minus", "control: -1 for every step", {}),
        Arm("random", "control: a random policy", {}),
        Arm("count", "control: novelty of events alone", {}),
        Arm("rnd", "control: novelty by random network distillation; only where it is named", {}),
        Arm("expert", "reference: the world's own scripted policy; only where it is named", {}),
    )
}

NAMED = ("rnd", "expert")
"""Arms that are left out unless they are named: a second kind of novelty, and what not every world has."""


def choose(names: list[str]) -> list[Arm]:
    """The arms of these names, in their usual order; none takes all but those of ``NAMED``."""
    for name in names:
        if name not in ARMS:
            raise ConfigError(f"there is no arm {name!r}.{did_you_mean(name, ARMS)}")
    return [arm for arm in ARMS.values() if arm.name in names or (not names and arm.name not in NAMED)]


def flat(switches: dict[str, Any]) -> dict[str, Any]:
    """``{"policy.thought": True}`` for each changed setting."""
    return {f"{section}.{key}": value for section, changes in switches.items() for key, value in changes.items()}
