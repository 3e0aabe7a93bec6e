"""DoorKey: find the key, unlock the door, reach the goal (minigrid's ``MiniGrid-DoorKey``, sparse reward).

Two forms of the same game. :class:`DoorKey` wraps minigrid's own environment and can render. :class:`DoorKeyVector`
computes many copies at once with numpy; with the same seed both give the same layouts, observations, rewards and ends
(a test walks them side by side). The observation is minigrid's partial view plus what has just happened.

Leaves out: minigrid's ``mission`` text, which never changes here and is the world's ``goal``.
Source: minigrid 3 (Farama Foundation), ``minigrid/envs/doorkey.py`` and ``minigrid_env.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from plaudit.envs import gridworld_words as words
from plaudit.envs.base import Observation, World, named_action
from plaudit.errors import ConfigError

VIEW = 7
"""Side of the square that the agent sees, in cells; the agent stands in the middle of its near side."""
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
UNSEEN, EMPTY, WALL, GOAL, KEY, DOOR_OPEN, DOOR_CLOSED, DOOR_LOCKED = range(8)
CELLS = np.array(
    [(0, 0, 0), (1, 0, 0), (2, 5, 0), (8, 1, 0), (5, 4, 0), (4, 4, 0), (4, 4, 1), (4, 4, 2)], dtype=np.uint8
)
"""minigrid's (object, colour, state) of each cell code above."""
STEP_X, STEP_Y = np.array([1, 0, -1, 0]), np.array([0, 1, 0, -1])


def observation_space() -> spaces.Dict:
    """One observation of either form."""
    return spaces.Dict(
        {
            "image": spaces.Box(0, np.broadcast_to(np.array([10, 5, 2], np.uint8), (VIEW, VIEW, 3)), dtype=np.uint8),
            "direction": spaces.Discrete(4),
            "event": spaces.Discrete(len(words.EVENTS)),
        }
    )


class DoorKey(World):
    """Find the key, unlock the door, reach the goal (minigrid; sparse reward)."""

    goal = words.GOAL
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {"size": (8, 5, 6, 16), "actions": ("moves", "macros")}
    metadata = {"render_modes": ["rgb_array"], "render_fps": 8}

    def __init__(
        self, size: int = 8, render_mode: str | None = "rgb_array", tile_size: int = 16, actions: str = "moves"
    ) -> None:
        from minigrid.envs.doorkey import DoorKeyEnv

        _check_size(size)
        self.coarse = _coarse(actions)
        self._words = words.MACROS if self.coarse else words.ACTIONS
        self.rules = words.MACRO_RULES if self.coarse else words.RULES
        self.fallback = self._words.index("done")
        self.grid = DoorKeyEnv(size=size, render_mode=render_mode, tile_size=tile_size)
        self.render_mode = render_mode
        self.observation_space = observation_space()
        self.action_space = spaces.Discrete(len(self._words))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        obs: dict[str, Any]
        obs, info = self.grid.reset(seed=seed, options=options)
        return self._observe(obs, words.BEGIN), info | self._status(success=False)

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict]:
        if not self.coarse:
            return self._step(int(action))
        from plaudit.envs.gridworld_macros import moves, play

        x, y, direction, carrying, *_ = self._state()
        return play(self._step, moves(self._cells(), x, y, direction, bool(carrying), int(action)))

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, dict]:
        before = self._state()
        obs: dict[str, Any]
        obs, reward, terminated, truncated, info = self.grid.step(action)
        event = int(events(*(np.array([x]) for x in (action, *before, *self._state()[:5])))[0])
        success = bool(terminated)
        info |= self._status(success) | {"task_reward": float(reward)}
        return self._observe(obs, event), float(reward), terminated, truncated, info

    def render(self) -> Any:
        """The whole grid from above: ``(height, width, 3)`` uint8."""
        return np.asarray(self.grid.get_frame(highlight=True, tile_size=self.grid.tile_size))

    def close(self) -> None:
        self.grid.close()

    def describe(self, obs: Observation) -> str:
        return words.describe(obs)

    def picture(self, obs: Observation) -> NDArray[np.uint8]:
        from minigrid.core.grid import Grid

        grid, _ = Grid.decode(obs["image"])
        return np.asarray(grid.render(16, agent_pos=(VIEW // 2, VIEW - 1), agent_dir=3))

    def event(self, obs: Observation) -> str:
        return words.EVENTS[int(obs["event"])]

    def features(self, obs: Observation) -> dict[str, bool | int | float | str]:
        return words.features(obs)

    def actions(self, obs: Observation) -> list[str] | None:
        return list(self._words)

    def parse_action(self, reply: str) -> int | None:
        return named_action(reply, self._words)

    def expert(self) -> Any:
        """A planner with a memory, which sees what an agent sees: ``envs/gridworld_expert.py``; of macros, their order."""
        if self.coarse:
            from plaudit.envs.gridworld_macros import MacroExpert

            return MacroExpert()
        from plaudit.envs.gridworld_expert import DoorKeyExpert

        return DoorKeyExpert()

    def fewest_steps(self, obs: Observation) -> float | None:
        from plaudit.envs.gridworld_value import steps_left

        return steps_left(self.grid)

    @classmethod
    def vector(cls, num_envs: int, **options: Any) -> VectorEnv:
        if _coarse(options.pop("actions", "moves")):
            from plaudit.envs.gridworld_macros import MacroVector

            return MacroVector(num_envs, **options)
        return DoorKeyVector(num_envs, **options)

    def _observe(self, obs: dict[str, Any], event: int) -> Observation:
        return {"image": obs["image"], "direction": np.int64(obs["direction"]), "event": np.int64(event)}

    def _door(self) -> Any:
        return next(cell for cell in self.grid.grid.grid if cell is not None and cell.type == "door")

    def _state(self) -> tuple[int, int, int, int, int, int]:
        """Agent's x, y and direction, carrying, door state; then the code of the cell ahead."""
        env = self.grid
        x, y = env.agent_pos
        door, front = _code(self._door()), _code(env.grid.get(*env.front_pos))
        return int(x), int(y), int(env.agent_dir), int(env.carrying is not None), door, front

    def _cells(self) -> NDArray[np.int8]:
        """Codes of the whole grid by column and row."""
        grid = self.grid.grid
        return np.array([_code(cell) for cell in grid.grid], np.int8).reshape(grid.height, grid.width).T

    def _status(self, success: bool) -> dict[str, Any]:
        state = self._state()
        return {"success": success, "progress": float(progress(np.array(state[3]), np.array(state[4]), success))}


def _code(cell: Any) -> int:
    """Code of one of minigrid's cells."""
    if cell is None:
        return EMPTY
    if cell.type == "door":
        return DOOR_OPEN if cell.is_open else DOOR_LOCKED if cell.is_locked else DOOR_CLOSED
    return {"wall": WALL, "goal": GOAL, "key": KEY}[cell.type]


def _coarse(actions: str) -> bool:
    if actions not in (known := DoorKey.choices["actions"]):
        raise ConfigError(f"doorkey has the actions {', '.join(known)}, got {actions!r}.")
    return actions == "macros"


def _check_size(size: int) -> None:
    if size not in (sizes := sorted(DoorKey.choices["size"])):
        raise ConfigError(f"doorkey comes in sizes {sizes}, got {size}. Try size = 8.")


def progress(carrying: NDArray, door: NDArray, success: Any) -> NDArray[np.float32]:
    """How far the task is, for measuring only: 0 nothing, 1/3 key in hand, 2/3 door open, 1 done."""
    done = np.where(door == DOOR_OPEN, 2, np.where(carrying > 0, 1, 0))
    return (np.where(success, 3, done) / 3).astype(np.float32)


def events(
    action: NDArray,
    x: NDArray,
    y: NDArray,
    direction: NDArray,
    carrying: NDArray,
    door: NDArray,
    front: NDArray,
    new_x: NDArray,
    new_y: NDArray,
    new_direction: NDArray,
    new_carrying: NDArray,
    new_door: NDArray,
) -> NDArray[np.int64]:
    """What a step did, as an index of ``words.EVENTS``; all arguments ``(n,)`` integers."""
    moved = (new_x != x) | (new_y != y)
    forward = action == FORWARD
    cases = [
        (forward & moved & (front == GOAL), words.REACHED_GOAL),
        (forward & moved & (front == DOOR_OPEN), words.ENTERED_DOORWAY),
        (forward & moved, words.MOVED),
        (new_carrying > carrying, words.PICKED_UP),
        (new_carrying < carrying, words.DROPPED),
        ((door == DOOR_LOCKED) & (new_door == DOOR_OPEN), words.UNLOCKED),
        ((door == DOOR_CLOSED) & (new_door == DOOR_OPEN), words.OPENED),
        ((door == DOOR_OPEN) & (new_door == DOOR_CLOSED), words.CLOSED),
        ((action == LEFT) | (action == RIGHT), words.TURNED),
        (forward & (front == WALL), words.HIT_WALL),
        (forward, words.BLOCKED),
        ((action == TOGGLE) & (front == DOOR_LOCKED), words.LOCKED),
    ]
    return np.select([when for when, _ in cases], [event for _, event in cases], words.NOTHING).astype(np.int64)


@cache
def view_offsets() -> tuple[NDArray, NDArray]:
    """Offset in cells from the agent of each cell of its view, twice ``(4 directions, column, row)``; row 0 is farthest."""
    side, ahead = np.meshgrid(np.arange(VIEW) - VIEW // 2, VIEW - 1 - np.arange(VIEW), indexing="ij")
    dx, dy = STEP_X[:, None, None], STEP_Y[:, None, None]
    return dx * ahead - dy * side, dy * ahead + dx * side


@cache
def _visibility() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """minigrid's ``process_vis`` as two tables over (lit cells, see-through cells) of a row, 7 bits each.

    The first gives the row's lit cells after both sweeps, the second the cells lit in the row farther away.
    """
    lit, clear = np.meshgrid(np.arange(1 << VIEW), np.arange(1 << VIEW), indexing="ij")
    lit, above = lit.copy(), np.zeros_like(lit)
    sweeps = [(i, i + 1) for i in range(VIEW - 1)] + [(i, i - 1) for i in reversed(range(1, VIEW))]
    for i, neighbour in sweeps:
        passes = (lit >> i) & (clear >> i) & 1
        lit |= passes << neighbour
        above |= (passes << neighbour) | (passes << i)
    return lit.astype(np.uint8), above.astype(np.uint8)


class DoorKeyVector(VectorEnv):
    """``num_envs`` DoorKeys in numpy, about a hundred times the steps/s of one minigrid environment."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int, size: int = 8) -> None:
        _check_size(size)
        self.num_envs, self.size, self.max_steps = num_envs, size, 10 * size**2
        self.single_observation_space, self.single_action_space = observation_space(), spaces.Discrete(7)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs = [seeding.np_random(None)[0] for _ in range(num_envs)]
        pad = VIEW - 1
        # Beyond the border minigrid shows walls, so the board is padded with them on every side.
        self._board = np.full((num_envs, size + 2 * pad, size + 2 * pad), WALL, dtype=np.int8)
        self._rows = np.arange(num_envs)
        self.x, self.y, self.direction, self.carrying, self.steps = (np.zeros(num_envs, np.int64) for _ in range(5))
        self.door_x, self.door_y = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)
        self._view_x, self._view_y = view_offsets()

    def reset(self, *, seed: int | list[int] | None = None, options: dict | None = None) -> tuple[Observation, dict]:
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        for i in range(self.num_envs):
            if seeds is not None:
                self._rngs[i] = seeding.np_random(seeds[i])[0]
            self._new_layout(i)
        return self._observe(np.full(self.num_envs, words.BEGIN), self._rows), self._status(
            np.zeros(self.num_envs, bool)
        )

    def step(self, actions: NDArray) -> tuple[Observation, NDArray, NDArray, NDArray, dict[str, Any]]:
        event = self._carry_out(np.asarray(actions))
        terminated = event == words.REACHED_GOAL
        truncated = self.steps >= self.max_steps
        reward = np.where(terminated, 1 - 0.9 * self.steps / self.max_steps, 0.0)
        info: dict[str, Any] = self._status(terminated) | {"task_reward": reward}
        obs = self._observe(event, self._rows)
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            info |= {"final_obs": obs, "final_info": dict(info), "_final_obs": truncated | terminated}
            for i in ended:
                self._new_layout(int(i))
            fresh = self._observe(np.full(len(ended), words.BEGIN), ended)
            obs = {name: part.copy() for name, part in obs.items()}
            for name, part in fresh.items():
                obs[name][ended] = part
        return obs, reward, terminated, truncated, info

    def _carry_out(self, action: NDArray) -> NDArray[np.int64]:
        """Do what each copy's action means, and count its steps; returns what has happened last."""
        self.steps += 1
        return self._move(action)

    def _move(self, action: NDArray) -> NDArray[np.int64]:
        """One single move of each copy; returns what it did."""
        before = (self.x.copy(), self.y.copy(), self.direction.copy(), self.carrying.copy(), self._door())
        front = self._act(action)
        return events(action, *before, front, self.x, self.y, self.direction, self.carrying, self._door())

    def inside(self, copy: int) -> NDArray[np.int8]:
        """Codes of a copy's cells by column and row, without what is beyond its border."""
        pad = VIEW - 1
        return self._board[copy, pad:-pad, pad:-pad]

    def layout(self) -> dict[str, NDArray]:
        """The hidden state as arrays ``(num_envs, ...)``, to save and restore a run: see :meth:`set_layout`."""
        names = ("x", "y", "direction", "carrying", "steps", "door_x", "door_y")
        return {name: getattr(self, name).copy() for name in names} | {"board": self._board.copy()}

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on exactly from here: arrays, and the generators' states."""
        return {"layout": self.layout(), "rngs": [rng.bit_generator.state for rng in self._rngs]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`get_state`; an agent keeps its own last observation."""
        for name, value in state["layout"].items():
            getattr(self, "_board" if name == "board" else name)[...] = value
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved

    def _cell(self, x: NDArray, y: NDArray) -> NDArray[np.int8]:
        return self._board[self._rows, x + VIEW - 1, y + VIEW - 1]

    def _set(self, where: NDArray, x: NDArray, y: NDArray, code: Any) -> None:
        self._board[where, x[where] + VIEW - 1, y[where] + VIEW - 1] = code

    def _door(self) -> NDArray[np.int8]:
        return self._cell(self.door_x, self.door_y)

    def _act(self, action: NDArray) -> NDArray[np.int8]:
        """Carry out one action each; returns what stood in front before."""
        ahead_x, ahead_y = self.x + STEP_X[self.direction], self.y + STEP_Y[self.direction]
        front = self._cell(ahead_x, ahead_y)
        turn = np.where(action == RIGHT, 1, np.where(action == LEFT, -1, 0))
        self.direction[:] = (self.direction + turn) % 4
        free = (front == EMPTY) | (front == GOAL) | (front == DOOR_OPEN)
        moves = (action == FORWARD) & free
        self.x[moves], self.y[moves] = ahead_x[moves], ahead_y[moves]
        takes = (action == PICKUP) & (front == KEY)
        self._set(takes, ahead_x, ahead_y, EMPTY)
        drops = (action == DROP) & (front == EMPTY) & (self.carrying > 0)
        self._set(drops, ahead_x, ahead_y, KEY)
        toggles = action == TOGGLE
        self._set(toggles & (front == DOOR_OPEN), ahead_x, ahead_y, DOOR_CLOSED)
        opens = (front == DOOR_CLOSED) | ((front == DOOR_LOCKED) & (self.carrying > 0))
        self._set(toggles & opens, ahead_x, ahead_y, DOOR_OPEN)
        self.carrying[takes], self.carrying[drops] = 1, 0
        return front

    def _observe(self, event: NDArray, copies: NDArray) -> Observation:
        """What these copies see; ``event`` has one entry for each of them."""
        direction = self.direction[copies]
        view_x = self.x[copies, None, None] + self._view_x[direction] + VIEW - 1
        view_y = self.y[copies, None, None] + self._view_y[direction] + VIEW - 1
        view = self._board[copies[:, None, None], view_x, view_y]
        view = np.where(self._lit(view), view, UNSEEN)
        view[:, VIEW // 2, VIEW - 1] = np.where(self.carrying[copies] > 0, KEY, EMPTY)
        return {"image": CELLS[view], "direction": direction, "event": event}

    @staticmethod
    def _lit(view: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Which cells can be seen, ``(n, column, row)``: light goes row by row away from the agent."""
        lit_table, above_table = _visibility()
        weights = 1 << np.arange(VIEW)
        clear = (((view != WALL) & (view != DOOR_CLOSED) & (view != DOOR_LOCKED)) * weights[:, None]).sum(axis=1)
        rows = np.zeros((len(view), VIEW), np.int64)
        lit = np.full(len(view), 1 << (VIEW // 2))
        for row in reversed(range(VIEW)):
            rows[:, row] = lit_table[lit, clear[:, row]]
            lit = above_table[lit, clear[:, row]]
        return (rows[:, None, :] & weights[:, None]) > 0

    def _status(self, success: NDArray[np.bool_]) -> dict[str, NDArray]:
        return {"success": success, "progress": progress(self.carrying, self._door(), success)}

    def _new_layout(self, i: int) -> None:
        """minigrid's ``_gen_grid``, with the same draws in the same order from the same kind of generator."""
        size, rng, pad = self.size, self._rngs[i], VIEW - 1
        split = int(rng.integers(2, size - 2))
        board = np.full((size, size), EMPTY, dtype=np.int8)
        board[[0, -1], :] = board[:, [0, -1]] = board[split, :] = WALL
        board[size - 2, size - 2] = GOAL

        def free_place() -> tuple[int, int]:
            while True:
                place = int(rng.integers(0, split)), int(rng.integers(0, size))
                if board[place] == EMPTY:
                    return place

        agent = free_place()
        self.direction[i] = rng.integers(0, 4)
        door = int(rng.integers(1, size - 2))
        board[split, door] = DOOR_LOCKED
        while (key := free_place()) == agent:
            pass
        board[key] = KEY
        self._board[i, pad : pad + size, pad : pad + size] = board
        self.x[i], self.y[i] = agent
        self.door_x[i], self.door_y[i] = split, door
        self.carrying[i] = self.steps[i] = 0
