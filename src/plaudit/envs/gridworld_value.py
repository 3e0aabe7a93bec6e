"""What a state of DoorKey is worth to the best player: exact, over the whole state space.

    steps = steps_to_goal(Layout(size=8, wall=4, door=3))      # (states,) fewest actions, infinite where there is no way
    steps[Layout(8, 4, 3).state(x=1, y=2, direction=0, key=CARRIED, door=LOCKED)]

A state is the agent's cell and direction, where the key is (any cell, or in the hand) and the door's state; where the key
lay at first does not matter, so that a layout is the wall's column and the door's row. With a reward of 1 on the goal and
a discount g the best value is g to the power of the steps that are left: in a world without chance whose one reward ends
the episode, that is the fixed point of value iteration (Bellman 1957; the test holds it against the equation, state by
state), and the steps are a shortest path, which scipy finds at once. Nothing of the world is stepped here: the moves
are a table of its own, which the test walks beside minigrid.

Leaves out the limit of steps, and the time bonus of minigrid's reward, which depends on the clock and not on the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs.gridworld import STEP_X, STEP_Y

LOCKED, CLOSED, OPEN = range(3)
MOVES = 6
"""Turn left, turn right, forward, pick up, drop, toggle; a seventh does nothing."""


@dataclass(frozen=True)
class Layout:
    """What does not change in an episode."""

    size: int
    """Cells of a side, the border included."""
    wall: int
    """Column of the wall."""
    door: int
    """Row of the door in it."""

    @property
    def cells(self) -> int:
        """All cells; as a key's place, this number means the hand."""
        return self.size**2

    @property
    def states(self) -> int:
        """Number of states, those included that cannot be."""
        return self.cells * 4 * (self.cells + 1) * 3

    def state(self, x: Any, y: Any, direction: Any, key: Any, door: Any) -> Any:
        """Number of a state; ``key`` is the number ``x * size + y`` of its cell, or :attr:`cells`."""
        return (((x * self.size + y) * 4 + direction) * (self.cells + 1) + key) * 3 + door

    def parts(self) -> tuple[NDArray[np.int64], ...]:
        """(x, y, direction, key, door) of every state, each ``(states,)``."""
        place, direction, key, door = np.unravel_index(np.arange(self.states), (self.cells, 4, self.cells + 1, 3))
        x, y = np.divmod(place, self.size)
        return x, y, direction, key, door


def successors(layout: Layout) -> NDArray[np.int64]:
    """State that each action leads to from each state, ``(MOVES, states)``; the goal is left no more."""
    size, hand = layout.size, layout.cells
    x, y, direction, key, door = layout.parts()
    new_x = np.clip(x + STEP_X[direction], 0, size - 1)
    new_y = np.clip(y + STEP_Y[direction], 0, size - 1)
    ahead = new_x * size + new_y
    at_door = (new_x == layout.wall) & (new_y == layout.door)
    border = (new_x % (size - 1) == 0) | (new_y % (size - 1) == 0)
    wall = border | ((new_x == layout.wall) & ~at_door)
    at_key, carried = key == ahead, key == hand
    free = ~wall & ~at_key & ~(at_door & (door != OPEN))
    goal = (size - 2) * size + size - 2
    empty = ~wall & ~at_key & ~at_door & (ahead != goal)
    toggled = np.select([door == OPEN, (door == CLOSED) | carried], [CLOSED, OPEN], door)
    found = np.stack(
        [
            layout.state(x, y, (direction - 1) % 4, key, door),
            layout.state(x, y, (direction + 1) % 4, key, door),
            layout.state(np.where(free, new_x, x), np.where(free, new_y, y), direction, key, door),
            layout.state(x, y, direction, np.where(at_key & ~carried, hand, key), door),
            layout.state(x, y, direction, np.where(carried & empty, ahead, key), door),
            layout.state(x, y, direction, key, np.where(at_door, toggled, door)),
        ]
    )
    return np.where(x * size + y == goal, np.arange(layout.states), found)


@cache
def steps_to_goal(layout: Layout) -> NDArray[np.float32]:
    """Fewest actions to the goal square from each state, ``(states,)``; infinite where no way leads there."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    after = successors(layout)
    # One node more, which every state on the goal is one step before, backwards: the search starts there.
    states, before = layout.states, np.tile(np.arange(layout.states), MOVES)
    goal = layout.size * (layout.size - 2) + layout.size - 2
    ends = np.flatnonzero(np.arange(states) // (4 * (layout.cells + 1) * 3) == goal)
    start = np.concatenate([after.ravel(), np.full(len(ends), states)])
    end = np.concatenate([before, ends])
    backwards = csr_array((np.ones(len(start), np.int8), (start, end)), shape=(states + 1, states + 1))
    found = dijkstra(backwards, unweighted=True, indices=states)[:states] - 1
    return np.asarray(found, np.float32)


def steps_left(grid: Any) -> float:
    """Fewest actions to the goal from where minigrid's environment is; 0 on the goal."""
    cells = {cell.type: (i % grid.width, i // grid.width) for i, cell in enumerate(grid.grid.grid) if cell is not None
             and cell.type in ("door", "key")}  # fmt: skip
    door_x, door_y = cells["door"]
    layout = Layout(grid.width, door_x, door_y)
    door = grid.grid.get(door_x, door_y)
    key_x, key_y = cells.get("key", (grid.width, 0))  # in the hand: the number behind the last cell
    x, y = grid.agent_pos
    state = OPEN if door.is_open else LOCKED if door.is_locked else CLOSED
    return float(steps_to_goal(layout)[layout.state(x, y, grid.agent_dir, key_x * grid.width + key_y, state)])
