"""MiniHack: rooms, corridors, key rooms, mazes, rivers, skills and quests made of NetHack.

All tasks of the package under their own names without ``MiniHack-`` and the version: ``plaudit run minihack:Corridor-R3``.
Observations, descriptions and actions as in the world ``nethack``; rewards, actions and limits are MiniHack's own.

Leaves out: Boxoban (its levels have to be downloaded) and the crossings (minihack 1.0 cannot make them on minigrid 3).
Source: minihack 1.0 (https://github.com/facebookresearch/minihack).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # MiniHack's own use of pkg_resources, which no user can change
    import minihack  # noqa: F401  (so that a missing package is named here)

from plaudit.envs import nethack_tasks as tasks
from plaudit.envs.nethack import DESCRIPTIONS, NetHack
from plaudit.envs.nethack_games import Watched, minihack_game, minihack_ids


class MiniHack(NetHack):
    """Rooms, corridors, key rooms, mazes, skills and quests in NetHack (minihack)."""

    name: ClassVar[str] = "minihack"
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "task": tuple(minihack_ids()),
        "actions": ("task", "full"),
        "description": DESCRIPTIONS,
    }

    def __init__(self, task: str = "Room-5x5", actions: str = "task", description: str = "status") -> None:
        super().__init__(task, actions, description)

    @staticmethod
    def game(task: str, actions: str, screen: bool) -> Watched:
        return minihack_game(task, actions, screen)

    @staticmethod
    def goal_of(task: str) -> str:
        return tasks.minihack_goal(task)
