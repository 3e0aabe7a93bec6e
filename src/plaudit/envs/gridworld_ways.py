"""Shortest ways on DoorKey's grid, counted in actions: turns and steps over cells that can be walked on.

Used by the expert, on the map that it remembers, and by the macros, on the map as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from plaudit.envs.gridworld import DOOR_OPEN, EMPTY, FORWARD, GOAL, LEFT, RIGHT, STEP_X, STEP_Y

Pose = tuple[int, int, int]
"""Column, row and direction."""
PASSABLE = (EMPTY, GOAL, DOOR_OPEN)
AHEAD = tuple(zip(STEP_X.tolist(), STEP_Y.tolist(), strict=True))


def ways(cells: Sequence[Sequence[int]], start: Pose, stop: int | None = None) -> dict[int, list[int]]:
    """For each kind of cell the actions after which the agent faces the nearest one of it.

    ``cells`` are codes by column and row, with something impassable all around; with ``stop`` the search ends at the first
    cell of that kind.
    """
    came: dict[Pose, tuple[Pose, int] | None] = {start: None}
    queue, found = deque([start]), dict[int, list[int]]()
    while queue and stop not in found:
        pose = queue.popleft()
        x, y, facing = pose
        ahead = x + AHEAD[facing][0], y + AHEAD[facing][1]
        cell = cells[ahead[0]][ahead[1]]
        if cell not in found:
            found[cell] = _back(came, pose)
        turns = ((x, y, (facing - 1) % 4), LEFT), ((x, y, (facing + 1) % 4), RIGHT)
        for reached, action in (*turns, *([((*ahead, facing), FORWARD)] if cell in PASSABLE else [])):
            if reached not in came:
                came[reached] = pose, action
                queue.append(reached)
    return found


def _back(came: dict[Pose, tuple[Pose, int] | None], pose: Pose) -> list[int]:
    """The actions that led here from the start."""
    actions = []
    while (step := came[pose]) is not None:
        pose, action = step
        actions.append(action)
    return actions[::-1]
