"""DoorKey's coarse actions: "go to the key", "open the door", "go to the goal", each a whole way in single moves.

    plaudit run doorkey --world.actions macros

A macro takes the shortest way in actions, on the map as it is and not as the agent has seen it: what is coarse is the
action, and knowing where things are is part of it. One that is impossible (the key is in hand, the door locked and no key)
does nothing for one step. What is seen is what the last of its moves led to; each of its moves counts as a step of the
episode. Leaves out dropping the key and closing the door, which no task needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from plaudit.envs import gridworld_words as words
from plaudit.envs.gridworld import (
    DONE,
    DOOR_CLOSED,
    DOOR_LOCKED,
    FORWARD,
    GOAL,
    KEY,
    PICKUP,
    TOGGLE,
    DoorKeyVector,
)
from plaudit.envs.gridworld_ways import ways

AIMS = ((KEY, PICKUP), (DOOR_CLOSED, TOGGLE), (GOAL, FORWARD))
"""For each macro but the last, which does nothing: the cell that it goes to, and what it does there."""
IMPOSSIBLE = [DONE]
STILL = -1
"""Stands for the action of a copy that waits for the others: it does nothing and is no step."""


def moves(board: NDArray[np.int8], x: int, y: int, direction: int, carrying: bool, macro: int) -> list[int]:
    """The single moves that a macro comes to, at least one; ``board`` is ``(size, size)`` cell codes by column and row."""
    if macro == len(AIMS):
        return IMPOSSIBLE
    cell, action = AIMS[macro]
    if cell == DOOR_CLOSED and carrying and (board == DOOR_LOCKED).any():
        cell = DOOR_LOCKED
    if not (board == cell).any():
        return IMPOSSIBLE
    found = ways(board.tolist(), (x, y, direction), stop=cell)
    return [*found[cell], action] if cell in found else IMPOSSIBLE


class MacroVector(DoorKeyVector):
    """Many DoorKeys whose actions are macros; copies whose macro is over wait for those whose way is longer."""

    def __init__(self, num_envs: int, size: int = 8) -> None:
        super().__init__(num_envs, size)
        self.single_action_space = spaces.Discrete(len(words.MACROS))
        self.action_space = batch_space(self.single_action_space, num_envs)

    def _carry_out(self, action: NDArray) -> NDArray[np.int64]:
        plans = [self._moves(copy, int(macro)) for copy, macro in enumerate(action)]
        event, over = np.full(self.num_envs, words.NOTHING), np.zeros(self.num_envs, bool)
        for turn in range(max(map(len, plans))):
            single = np.array([plan[turn] if turn < len(plan) else STILL for plan in plans])
            single[over] = STILL
            acted = single != STILL
            event = np.where(acted, self._move(single), event)
            self.steps += acted
            over |= (event == words.REACHED_GOAL) | (self.steps >= self.max_steps)
        return event

    def _moves(self, copy: int, macro: int) -> list[int]:
        pose = int(self.x[copy]), int(self.y[copy]), int(self.direction[copy])
        return moves(self.inside(copy), *pose, bool(self.carrying[copy]), macro)


def play(step: Callable[[int], tuple[Any, ...]], plan: list[int]) -> tuple[Any, ...]:
    """The moves one after another in a single world, until they are done or the episode is over; the last one's outcome."""
    total = 0.0
    for move in plan:
        obs, reward, terminated, truncated, info = step(move)
        total += reward
        if terminated or truncated:
            break
    return obs, total, terminated, truncated, info | {"task_reward": total}


class MacroExpert:
    """Knows the order of the macros: key, door, goal; it goes by what it has seen happen."""

    def __init__(self) -> None:
        self._at = np.zeros(0, int)

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """These copies begin at the key again."""
        if len(begun) != len(self._at):
            self._at = np.zeros(len(begun), int)
        self._at[begun] = 0

    def act(self, observations: Any) -> NDArray[np.int64]:
        """One macro for each observation of a batch, ``(n,)``."""
        event = np.asarray(observations["event"])
        if len(event) != len(self._at):
            self._at = np.zeros(len(event), int)
        for happened, following in ((words.PICKED_UP, 1), (words.UNLOCKED, 2), (words.OPENED, 2)):
            self._at[event == happened] = following
        return self._at.copy()
