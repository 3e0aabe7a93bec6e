"""Who plays: a person at the keyboard, a random policy, the world's expert, the LLM, or a trained agent."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.config import RunConfig
from plaudit.envs.base import World
from plaudit.errors import ConfigError, did_you_mean
from plaudit.policies.base import Policy
from plaudit.policies.llm import LLMPolicy
from plaudit.vector import rows

NAMES = ("me", "random", "expert", "llm")
SHOWN, MOST = 20, 200
"""Actions that are listed at every step; where there are more, ``?`` lists so many of them."""
LINE = 78
"""Characters of a line of actions."""


class Quit(Exception):
    """The person wants to end, or there is no more input."""


class Person:
    """Asks for each action, by its number in the list or in words.

    Args:
        world: lists and reads the actions.
        ask: puts a question and returns the answer; raises EOFError where there is none.
        say: shows lines.
    """

    def __init__(self, world: World, ask: Callable[[str], str], say: Callable[[str], None]) -> None:
        self.world, self.ask, self.say = world, ask, say

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Remembers nothing."""

    def act(self, observations: Any) -> NDArray[Any]:
        """The action that was typed, ``(1, ...)``; :class:`Quit` on ``q`` or at the end of the input."""
        listed = self.world.actions(rows(observations)[0]) or []
        if 0 < len(listed) <= SHOWN:
            self.say(numbered(listed))
        while True:
            try:
                typed = self.ask("action (a number or words; ? for help, q to end): ").strip()
            except EOFError:
                raise Quit from None
            if typed in ("q", "Q"):
                raise Quit
            if typed == "?":
                self.say(f"{self.world.rules}\n{numbered(listed)}".strip())
                continue
            if (action := self._read(typed, listed)) is not None:
                return np.asarray(action)[None]

    def _read(self, typed: str, listed: list[str]) -> Any:
        """The action, or None, after saying what is wrong."""
        if listed and typed.isdigit():
            if 1 <= int(typed) <= len(listed):
                return self.world.parse_action(listed[int(typed) - 1])
            self.say(f"There is no action {typed}: they are numbered from 1 to {len(listed)}.")
            return None
        action = self.world.parse_action(typed) if typed else None
        if action is None and typed:
            short = 0 < len(listed) <= SHOWN
            hint = did_you_mean(typed, listed) if short else " Type ? to see how an action is written."
            self.say(f"Not understood: {typed!r}.{hint}")
        return action


def numbered(actions: list[str]) -> str:
    """``1 turn left   2 turn right``, no action broken between two lines; empty where there are none."""
    rest = f"\nand {len(actions) - MOST:,} more" if len(actions) > MOST else ""
    glued = [f"{i} {action}".replace(" ", "\0") for i, action in enumerate(actions[:MOST], 1)]
    return textwrap.fill("   ".join(glued), LINE, break_long_words=False).replace("\0", " ") + rest


def usual() -> str:
    """Who plays where nobody is named: a person where one is there."""
    return "me" if sys.stdin.isatty() else "random"


@contextlib.contextmanager
def actor(
    config: RunConfig, name: str, world: World, seed: int, ask: Callable[[str], str], say: Callable[[str], None]
) -> Iterator[Policy]:
    """The policy of this name; what it holds open is closed at the end."""
    from plaudit.stages.evaluate import make_agent
    from plaudit.stages.parts import make_policy
    from plaudit.store import Run

    if name == "me":
        yield Person(world, ask, say)
    elif name == "llm":
        with _llm(config, world, seed) as policy:
            yield policy
    elif name in NAMES:
        yield make_policy(config, name, world, seed)
    elif (Path(name) / "run.json").is_file():
        run = Run.open(Path(name))
        with make_agent(run, run.config.route, 0, world) as policy:
            yield policy
    elif (Path(name) / "agent.safetensors").is_file():
        yield make_policy(config, name, world, seed)
    else:
        raise ConfigError(
            f"there is no policy {name!r}.{did_you_mean(name, NAMES)} Or give the folder of a run or of an agent: "
            "runs/NAME, runs/NAME/train/ARM-SEED"
        )


@contextlib.contextmanager
def _llm(config: RunConfig, world: World, seed: int) -> Iterator[Policy]:
    from plaudit.routes.direct import make_llm_policy
    from plaudit.stages.parts import check_llm, open_shared_llm

    if config.policy.examples:
        raise ConfigError(
            "in-context examples come from the episodes of a run: plaudit run WORLD --route llm --policy.examples 4, "
            "then plaudit play with that run's folder"
        )
    check_llm(config.llm)
    with open_shared_llm(config) as llm:
        yield make_llm_policy(llm, world, config, seed, [])


def said(policy: Policy) -> list[str]:
    """What an acting LLM said at its last step, line by line; nothing of anybody else."""
    if not isinstance(policy, LLMPolicy) or not policy.log:
        return []
    last = policy.log[-1]
    lines = [f"thought: {last.thought}"] * bool(last.thought) + [f"criticism: {last.criticism}"] * bool(last.criticism)
    how = "" if last.how == "ok" else f" ({last.how}: {last.executed!r} was done)"
    return [*lines, f"the LLM said: {best_first(last.reply)}{how}"]


def best_first(reply: str) -> str:
    """Scores of listed actions in the order of the scores; any other reply as it is."""
    pairs = [part.rpartition(" ") for part in reply.split(", ")]
    try:
        ranked = sorted(pairs, key=lambda pair: -float(pair[2]))
    except ValueError:
        return reply
    return ", ".join(f"{action} {score}" for action, _, score in ranked if action) or reply


def check_same_world(config: RunConfig, folder: str) -> None:
    """An agent or reward of another world is of no use here."""
    from plaudit.store import Run

    path = next((p for p in (Path(folder), Path(folder).parent.parent) if (p / "run.json").is_file()), None)
    if path is None:
        raise ConfigError(f"{folder} belongs to no run. Give the folder of a run: runs/NAME")
    other = Run.open(path).config.world
    if (other.name, other.task) != (config.world.name, config.world.task):
        names = [":".join(filter(None, (w.name, w.task))) for w in (other, config.world)]
        raise ConfigError(
            f"{folder} was made in the world {names[0]!r}, and this is {names[1]!r}. Try plaudit play {path}"
        )
