"""What each task wants, in words and in numbers: goal, success, progress.

NetHack's tasks Score, Gold, Eat and Scout only add up a reward; nothing in them says when they are done. Here they
succeed once an episode has earned a target, which :data:`TARGETS` sets where a random policy hardly ever gets. All other
tasks succeed as their benchmark says, the Oracle's only with a hero who does not hallucinate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import nethack_reader as reader

TARGETS = {"score": 500, "gold": 100, "eat": 1000, "scout": 1500}
"""Reward that an episode must have earned, losses not counted: points, gold pieces, units of nutrition, squares."""
GOALS = {
    "score": "score many points: explore, fight, collect gold and go down the stairs",
    "staircase": "find the staircase down and step onto it",
    "oracle": "find the Oracle, who lives some levels down, and stand next to her without hallucinating",
    "gold": "collect as many pieces of gold as possible",
    "eat": "eat as much as possible",
    "scout": "explore as much of the dungeon as possible",
}
RULES = (
    "You are the hero of NetHack, shown as @ on a map of rooms and corridors; north is up. You walk into monsters to "
    "fight them and into closed doors to open them. Stairs down are shown as >. The game may ask a question: answer it "
    "with the key that it names. Answer with one action: "
)
MINIHACK_GOALS = {
    "KeyRoom": "pick up the key, unlock the door with it and step onto the staircase down",
    "Eat": "pick up the food and eat it",
    "Pray": "stand on the altar and pray",
    "Sink": "stand on the sink and kick it",
    "Wield": "pick up the weapon and wield it",
    "Wear": "pick up the armor and wear it",
    "PutOn": "pick up the amulet and put it on",
    "Zap": "pick up the wand and zap it",
    "Read": "pick up the scroll and read it",
    "WoD": "kill the minotaur with the wand of death",
    "Levitate": "use what you find to levitate",
    "Freeze": "use what you find to freeze",
    "Memento": "walk through the corridor and choose the way that the start told of, not the one to the trap",
    "Sokoban": "push the boulders into the pits so that the way to the stairs is free",
    "ExploreMaze": "explore the maze and eat the apples",
}
MINIHACK_GOAL = "find the staircase down and step onto it"


def minihack_goal(task: str) -> str:
    """What this task of MiniHack wants."""
    return MINIHACK_GOALS.get(task.split("-")[0], MINIHACK_GOAL)


def progress(
    task: str, status: NDArray[np.float32], earned: NDArray[np.float64], success: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """How far a task is, ``(n,)``, for measuring only; ``status`` as observed, ``earned`` in reward.

    Of a target: the share that is earned. Of the Oracle, who lives on level 5 to 9: a tenth for each level down. Of stairs:
    0 until they are seen, then from 0.5 to 1 with each move that is nearer, from 20 moves on. 1 for a success.
    """
    column = reader.STATUS.index
    if task in TARGETS:
        found: Any = earned / TARGETS[task]
    elif task == "oracle":
        found = (status[:, column("depth")] * 10 - 1) / 10
    else:
        away = np.abs(status[:, [column("stairs_east"), column("stairs_south")]]).max(axis=1) * 10
        found = np.where(status[:, column("stairs_seen")] > 0, 0.5 + 0.5 * np.clip(1 - away / 20, 0, 1), 0)
        found = np.minimum(found, 0.99)
    return np.where(success, 1, np.clip(found, 0, 1)).astype(np.float32)
