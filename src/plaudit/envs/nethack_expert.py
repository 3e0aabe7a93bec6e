"""A scripted explorer: walks to the stairs down once they are seen, and to the edge of what is known until then.

It reads the whole map of one game, which an agent does not get; it opens doors by walking into them, kicks locked ones,
fights what stands in its way and searches for hidden passages where nothing is left to explore. Leaves out everything
that needs a plan: keys, boulders, water, food, prayer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from nle import nethack
from numpy.typing import NDArray

from plaudit.envs.nethack_games import Watched
from plaudit.envs.nethack_reader import STAIRS_DOWN, STONE

SIDES = {"north": (0, -1), "south": (0, 1), "east": (1, 0), "west": (-1, 0)}
SIDES |= {"northeast": (1, -1), "northwest": (-1, -1), "southeast": (1, 1), "southwest": (-1, 1)}
Cell = tuple[int, int]
OPEN_DOORS, CLOSED_DOORS = (STONE + 13, STONE + 14), (STONE + 15, STONE + 16)
GROUND = {STONE + 12, *OPEN_DOORS, *CLOSED_DOORS, *range(STONE + 19, STONE + 32)}
"""Doorways, doors, floor, corridors, stairs, ladders, altars, graves, thrones, sinks, fountains."""
PATIENCE = 3
"""Vain attempts after which a cell counts as blocked."""


def _boulder() -> int:
    numbers = range(nethack.NUM_OBJECTS)
    return nethack.GLYPH_OBJ_OFF + next(i for i in numbers if nethack.objdescr.from_idx(i).oc_name == "boulder")


BOULDER = _boulder()


class Explorer:
    """Plays one game; ``act`` takes and gives a batch of one."""

    def __init__(self, game: Watched, words: Sequence[str]) -> None:
        self._game, self._words = game, list(words)
        self.reset(np.ones(1, bool))

    def reset(self, begun: NDArray[np.bool_]) -> None:
        self._level: Any = None
        self._forget()

    def act(self, observations: Any) -> NDArray[Any]:
        return np.array([self._words.index(self._choose())])

    def _forget(self) -> None:
        self._visited = set[Cell]()
        self._vain, self._searched = dict[Cell, int](), dict[Cell, int]()
        self._here: Cell | None = None
        self._tried: tuple[str, Cell] | None = None
        self._kicking = ""

    def _choose(self) -> str:
        blstats, message = self._game.part("blstats"), self._game.message()
        here = int(blstats[nethack.NLE_BL_X]), int(blstats[nethack.NLE_BL_Y])
        level = (int(blstats[nethack.NLE_BL_DNUM]), int(blstats[nethack.NLE_BL_DLEVEL]))
        if level != self._level:
            self._level = level
            self._forget()
        if self._kicking:
            side, self._kicking = self._kicking, ""
            return side
        if self._tried is not None and here == self._here:
            side, cell = self._tried
            if b"locked" in message and "kick" in self._words:
                self._kicking = side
                return "kick"
            self._vain[cell] = self._vain.get(cell, 0) + 1
        self._here, self._tried = here, None
        self._visited.add(here)
        return self._walk(here)

    def _walk(self, here: Cell) -> str:
        glyphs = self._game.part("glyphs")
        came = self._reachable(glyphs, here)
        goals = [cell for cell in came if glyphs[cell[1], cell[0]] == STAIRS_DOWN and cell != here]
        goals = goals or [cell for cell in came if cell not in self._visited and _at_edge(glyphs, cell)]
        if not goals:
            # Everything is known: search beside the cells that have been searched least, dead ends first.
            def worth(cell: Cell) -> tuple[int, int]:
                return self._searched.get(cell, 0) + len(_beside(came, cell)), -len(came)

            cell = min(came, key=worth)
            if cell == here or "search" not in self._words:
                self._searched[here] = self._searched.get(here, 0) + 1
                return "search" if "search" in self._words else self._somewhere(glyphs, here)
            goals = [cell]
        # The nearest: cells are found in the order of their distance.
        goal = goals[0]
        while came[goal] != here:
            goal = came[goal]
        side = _side(here, goal)
        self._tried = side, goal
        return side

    def _somewhere(self, glyphs: NDArray[np.int16], here: Cell) -> str:
        sides = [side for side in SIDES if side in self._words]
        return sides[(sum(self._searched.values()) * 7) % len(sides)]

    def _reachable(self, glyphs: NDArray[np.int16], here: Cell) -> dict[Cell, Cell]:
        """Every cell that can be walked to, nearest first, with the cell that one comes from."""
        came, waiting = {here: here}, deque([here])
        while waiting:
            cell = waiting.popleft()
            for side, (dx, dy) in SIDES.items():
                to = cell[0] + dx, cell[1] + dy
                if to in came or side not in self._words or not self._can_enter(glyphs, to):
                    continue
                if dx and dy and (_is_door(glyphs, cell) or _is_door(glyphs, to)):
                    continue
                came[to] = cell
                waiting.append(to)
        return came

    def _can_enter(self, glyphs: NDArray[np.int16], cell: Cell) -> bool:
        x, y = cell
        if not (0 <= x < glyphs.shape[1] and 0 <= y < glyphs.shape[0]) or self._vain.get(cell, 0) >= PATIENCE:
            return False
        glyph = int(glyphs[y, x])
        return glyph in GROUND or (glyph < STONE and glyph != BOULDER)


def _is_door(glyphs: NDArray[np.int16], cell: Cell) -> bool:
    return int(glyphs[cell[1], cell[0]]) in (*OPEN_DOORS, *CLOSED_DOORS)


def _at_edge(glyphs: NDArray[np.int16], cell: Cell) -> bool:
    """Whether something unknown lies beside it, or it is a door that leads somewhere."""
    x, y = cell
    around = glyphs[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    return bool((around == STONE).any()) or _is_door(glyphs, cell)


def _beside(came: dict[Cell, Cell], cell: Cell) -> list[Cell]:
    return [to for dx, dy in SIDES.values() if (to := (cell[0] + dx, cell[1] + dy)) in came]


def _side(here: Cell, to: Cell) -> str:
    return next(side for side, step in SIDES.items() if step == (to[0] - here[0], to[1] - here[1]))
