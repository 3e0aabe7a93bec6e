"""DoorKey's expert: a planner that sees what an agent sees, and remembers it.

It keeps a map of what was in view, and takes the shortest way (in actions) to the first of these that it can reach: the
goal square, the door that it can open, the key, a cell that it has not seen. It reads observations only, so it acts in one
world or in many copies alike; ``DoorKey().expert()`` makes it, ``plaudit play doorkey --policy expert`` shows it.

Leaves out: planning how to look around at the least cost. It goes to the nearest unseen cell.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import gridworld_words as words
from plaudit.envs.gridworld import (
    CELLS,
    DOOR_CLOSED,
    DOOR_LOCKED,
    EMPTY,
    FORWARD,
    GOAL,
    KEY,
    LEFT,
    PICKUP,
    STEP_X,
    STEP_Y,
    TOGGLE,
    UNSEEN,
    VIEW,
    view_offsets,
)
from plaudit.envs.gridworld_ways import ways

REACH = 20
"""Cells that the map holds on each side of the start: the largest grid's inside, and the view beyond it."""
SIDE = 2 * REACH + 1
MOVES = (words.MOVED, words.ENTERED_DOORWAY, words.REACHED_GOAL)
"""Events of a step that led to the cell ahead."""
_CODE = np.zeros((11, 3), np.int8)
_CODE[CELLS[:, 0], CELLS[:, 2]] = np.arange(len(CELLS))


class DoorKeyExpert:
    """Plays DoorKey from observations alone, with a map for each copy."""

    def __init__(self) -> None:
        self._start(0)

    def _start(self, copies: int) -> None:
        self._map = np.full((copies, SIDE, SIDE), UNSEEN, np.int8)
        self._x, self._y = np.full(copies, REACH), np.full(copies, REACH)
        self._plans: list[deque[int]] = [deque() for _ in range(copies)]

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Forget the maps of these copies, ``(n,)``."""
        if len(begun) != len(self._plans):
            self._start(len(begun))
        self._map[begun] = UNSEEN
        self._x[begun] = self._y[begun] = REACH
        for copy in np.flatnonzero(begun):
            self._plans[copy].clear()

    def act(self, observations: Any) -> NDArray[np.int64]:
        """One action for each observation of a batch, ``(n,)``."""
        direction = np.asarray(observations["direction"])
        if len(direction) != len(self._plans):
            self.reset(np.ones(len(direction), bool))
        carrying, news = self._look(observations, direction)
        for copy in np.flatnonzero(news):
            self._plans[copy].clear()
        return np.array(
            [self._next(copy, int(direction[copy]), bool(carrying[copy])) for copy in range(len(direction))]
        )

    def _look(self, observations: Any, direction: NDArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where each copy is and what it sees, entered in its map: (the key in hand, something new on the map)."""
        moved = np.isin(observations["event"], MOVES)
        self._x[moved] += STEP_X[direction[moved]]
        self._y[moved] += STEP_Y[direction[moved]]
        image = np.asarray(observations["image"])
        seen = _CODE[image[..., 0], image[..., 2]]
        carrying = seen[:, VIEW // 2, VIEW - 1] == KEY
        # The agent's own cell shows what it holds, not what it stands on, which it can walk over in any case.
        seen[:, VIEW // 2, VIEW - 1] = EMPTY
        offset_x, offset_y = view_offsets()
        copy = np.arange(len(seen))[:, None, None]
        x, y = self._x[:, None, None] + offset_x[direction], self._y[:, None, None] + offset_y[direction]
        before = self._map[copy, x, y]
        after = np.where(seen == UNSEEN, before, seen)
        self._map[copy, x, y] = after
        return carrying, (before != after).any(axis=(1, 2))

    def _next(self, copy: int, direction: int, carrying: bool) -> int:
        if not self._plans[copy]:
            self._plans[copy].extend(self._plan(copy, direction, carrying))
        return self._plans[copy].popleft()

    def _plan(self, copy: int, direction: int, carrying: bool) -> list[int]:
        """The shortest way to face the first of these, and what to do there."""
        nearest = ways(self._map[copy].tolist(), (int(self._x[copy]), int(self._y[copy]), direction))
        wanted = [
            (GOAL, FORWARD),
            (DOOR_CLOSED, TOGGLE),
            (DOOR_LOCKED if carrying else KEY, TOGGLE if carrying else PICKUP),
            (UNSEEN, None),
        ]
        for cell, action in wanted:
            if cell in nearest:
                # Facing a cell shows it: what is then on the map decides. A plan has at least one action.
                return [*nearest[cell], *([] if action is None else [action])] or [LEFT]
        return [LEFT]
