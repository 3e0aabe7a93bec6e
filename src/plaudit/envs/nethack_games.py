"""nle's and minihack's own environments, made so that nothing is lost between two steps, and made to repeat by seed.

nle turns the pages of a long message and keeps the last one; it quits a finished game before it hands out the last screen,
so that no final observation shows what ended it; it ends the Oracle task at anything that a hallucinating hero takes for
the Oracle; and ``reset(seed=)`` does not seed it. :class:`Watched` mends these four and changes nothing else: rules,
rewards and time limits are those of the benchmark.

Leaves out: MiniHack's Boxoban tasks, whose levels have to be downloaded; its crossings over lava and walls, which minihack
1.0 cannot make on minigrid 3; its two ``Custom`` templates.
Source: nle 1.3 (``nle/env/base.py``, ``tasks.py``) and minihack 1.0 (``minihack/base.py``).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from nle import nethack
from nle.env import NLE, tasks

from plaudit.errors import PlauditError

TASKS = {
    "score": tasks.NetHackScore,
    "staircase": tasks.NetHackStaircase,
    "oracle": tasks.NetHackOracle,
    "gold": tasks.NetHackGold,
    "eat": tasks.NetHackEat,
    "scout": tasks.NetHackScout,
}
KEYS = ("glyphs", "blstats", "message", "inv_glyphs")
"""What is always read of a game."""
SCREEN_KEYS = ("tty_chars", "tty_colors")
PLAIN = (
    "Room",
    "Corridor",
    "MazeWalk",
    "MultiRoom",
    "River",
    "LavaCrossing",
    "SimpleCrossing",
    "HideNSeek",
    "Labyrinth",
)
"""Families of MiniHack's tasks whose rules read nothing but the map: these need no names of all cells, which take long."""


class GameError(PlauditError):
    """A game that failed while it was started or played."""


class Watched(NLE):  # type: ignore[misc]
    """Mixed in before one of nle's environments: keeps every page of a message and the last screen of a game."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.pages: list[bytes] = []
        self.kept: tuple[Any, ...] | None = None
        self.quitting = False
        super().__init__(*args, **kwargs)
        self.places = {name: i for i, name in enumerate(self._observation_keys)}
        """Where each array stands in ``last_observation``."""

    def begin(self, core: int, display: int) -> None:
        """A new game; the same two numbers give the same game."""
        if hasattr(self, "minigrid_env"):
            # Its layouts are drawn from a generator of minigrid's own.
            self.minigrid_env.reset(seed=core % 2**31)
        NLE.seed(self, core, display, reseed=False)
        self.pages, self.kept, self.quitting = [], None, False
        self.reset()

    def step(self, action: int) -> Any:
        self.pages, self.kept, self.quitting = [], None, False
        return super().step(action)

    def part(self, name: str) -> Any:
        """One array of the last screen, which the next step overwrites."""
        return (self.kept or self.last_observation)[self.places[name]]

    def message(self) -> bytes:
        """Everything that was said since the step before, all pages of it."""
        last = _text(self.part("message"))
        pages = [*self.pages, last] if last not in self.pages else self.pages
        return b"  ".join(page for page in pages if page)

    def _perform_known_steps(self, observation: Any, done: bool, exceptions: bool = True) -> Any:
        while not done and observation[self._internal_index][3]:  # the game waits for the space bar
            over = observation[self._program_state_index][0]
            if not (over or self.quitting):
                self.pages.append(_text(observation[self._message_index]))
                self.kept = tuple(part.copy() for part in observation)
            observation, done = self.nethack.step(ord(" "))
        if not (done or self.quitting):
            self.kept = None
        return super()._perform_known_steps(observation, done, exceptions)

    def _quit_game(self, observation: Any, done: bool) -> None:
        self.kept, self.quitting = tuple(part.copy() for part in observation), True
        super()._quit_game(observation, done)

    def _get_observation(self, observation: Any) -> dict[str, Any]:
        return {}  # what is seen is read by `part`


class Sober(tasks.NetHackOracle):  # type: ignore[misc]
    """The Oracle task, in which nothing counts while the hero hallucinates and takes anything for the Oracle."""

    def _is_episode_end(self, observation: Any) -> Any:
        if observation[self._blstats_index][nethack.NLE_BL_CONDITION] & nethack.BL_MASK_HALLU:
            return self.StepStatus.RUNNING
        return super()._is_episode_end(observation)


def _text(message: Any) -> bytes:
    return bytes(message).partition(b"\0")[0].rstrip()


class Unnamed(tasks.NetHackStaircase):  # type: ignore[misc]
    """Mixed in behind a MiniHack class, before nle's own: asks the game for no more than what is read.

    MiniHack asks for everything, the name of every cell among it, which makes a game four times as slow.
    """

    keys: tuple[str, ...] = KEYS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"observation_keys": self.keys})
        self._observation_keys.append("screen_descriptions")  # MiniHack looks where it is; nothing reads it


def nethack_game(task: str, actions: str, screen: bool) -> Watched:
    """One NetHack with this task's rewards and end."""
    own = Sober if task == "oracle" else TASKS[task]
    mixed = type(f"Watched{own.__name__}", (Watched, own), {})
    keys = KEYS + (SCREEN_KEYS if screen else ())
    chosen = {"actions": nethack.USEFUL_ACTIONS} if actions == "full" else {}
    game: Watched = mixed(observation_keys=keys, fix_moon_phase=True, **chosen)
    return game


LEFT_OUT = ("Custom", "Boxoban", "Crossing")


@cache
def minihack_ids() -> dict[str, str]:
    """Task to Gymnasium id, for all tasks that minihack has in its package, in its order."""
    import minihack  # noqa: F401  (registers them)

    found = {}
    for name in gym.registry:
        if name.startswith("MiniHack-") and not any(part in name for part in LEFT_OUT):
            found[name.removeprefix("MiniHack-").rpartition("-v")[0]] = name
    return found


def minihack_game(task: str, actions: str, screen: bool) -> Watched:
    """One MiniHack with this task's level, rewards and end."""
    spec = gym.spec(minihack_ids()[task])
    assert spec.entry_point is not None
    own: Any = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    keys = KEYS + (SCREEN_KEYS if screen else ())
    bases = (Watched, own, Unnamed) if task.split("-")[0].startswith(PLAIN) else (Watched, own)
    mixed = type(f"Watched{own.__name__}", bases, {"keys": keys})
    chosen = {"actions": nethack.USEFUL_ACTIONS} if actions == "full" else {}
    game: Watched = mixed(observation_keys=KEYS[:3], fix_moon_phase=True, **spec.kwargs, **chosen)
    return game
