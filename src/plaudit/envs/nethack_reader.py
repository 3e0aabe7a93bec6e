"""What is observed of several games at once: message, crop of glyphs, status line, what changed; the screen if asked for.

Everything is what a player sees or is told by a look: the position of the stairs is kept once they were seen, and
standing on them counts as seeing them. The score and the number of turns are left out: the first is the reward of a
task, the second would make every observation another one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from nle import nethack
from numpy.typing import NDArray

from plaudit.envs.nethack_games import Watched
from plaudit.spaces import Codes, Text

CROP = 9
"""Side of the square of glyphs around the hero, in cells."""
PAD = CROP // 2
MESSAGE = 256
"""Bytes of a message that are kept."""
ROWS, COLUMNS = 24, 80
SPAN = 8
"""Steps between the two states whose difference the description ``changes`` tells."""
_UNTOLD = re.compile(rb"(?<= )[ST]:-?\d+")
"""Score and turns on the terminal's last two lines."""
NO_GLYPH = nethack.MAX_GLYPH
"""Code of cells beyond the map's edge."""
STAIRS_DOWN, STONE = nethack.GLYPH_CMAP_OFF + 24, nethack.GLYPH_CMAP_OFF
BLSTATS = {
    "x": (nethack.NLE_BL_X, 80),
    "y": (nethack.NLE_BL_Y, 20),
    "hp": (nethack.NLE_BL_HP, 20),
    "max_hp": (nethack.NLE_BL_HPMAX, 20),
    "depth": (nethack.NLE_BL_DEPTH, 10),
    "gold": (nethack.NLE_BL_GOLD, 100),
    "energy": (nethack.NLE_BL_ENE, 10),
    "max_energy": (nethack.NLE_BL_ENEMAX, 10),
    "armor_class": (nethack.NLE_BL_AC, 10),
    "level": (nethack.NLE_BL_XP, 10),
    "experience": (nethack.NLE_BL_EXP, 100),
    "hunger": (nethack.NLE_BL_HUNGER, 4),
    "burden": (nethack.NLE_BL_CAP, 4),
    "branch": (nethack.NLE_BL_DNUM, 4),
}
"""Numbers of the status line: place among nle's ``blstats``, and what 1.0 stands for in the observation."""
CONDITIONS = (
    "turning to stone",
    "turning to slime",
    "strangled",
    "food poisoned",
    "terminally ill",
    "blind",
    "deaf",
    "stunned",
    "confused",
    "hallucinating",
    "levitating",
    "flying",
    "riding",
)
"""nle's condition bits, in their order."""
SIGHT = {"items": 10, "has_key": 1, "stairs_seen": 1, "stairs_east": 10, "stairs_south": 10, "on_stairs": 1}
"""What else is known, and what 1.0 stands for; stairs are those that lead down, in squares from the hero."""
STATUS = (*BLSTATS, *CONDITIONS, *SIGHT)
SCALE = np.array([s for _, s in BLSTATS.values()] + [1] * len(CONDITIONS) + list(SIGHT.values()), np.float32)
CHANGE = {"x": 10, "y": 10, "hp": 10, "gold": 100, "level": 1, "depth": 1, "hunger": 1, "items": 1}
CHANGE |= {"stairs_seen": 1, "stairs_distance": 10, "explored": 50, "steps": SPAN}
"""What is compared with an earlier state, and what 1.0 stands for; ``steps`` lie between the two, 0 when a game begins."""
CHANGE_SCALE = np.array(list(CHANGE.values()), np.float32)
_COLUMN = {name: i for i, name in enumerate(STATUS)}
_COMPARED = [_COLUMN[name] for name in CHANGE if name in _COLUMN]
_BLSTATS = [i for i, _ in BLSTATS.values()]
_BITS = np.arange(len(CONDITIONS))


_LEVEL = [nethack.NLE_BL_DNUM, nethack.NLE_BL_DLEVEL]
_CELLS = np.arange(-PAD, PAD + 1)


def _crop(seen: NDArray[np.int16], x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int16]:
    """The glyphs around each hero, ``(n, CROP, CROP)``."""
    rows, columns = y[:, None] + _CELLS, x[:, None] + _CELLS
    height, width = nethack.DUNGEON_SHAPE
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    rows, columns = rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None, :]
    crop = seen[np.arange(len(seen))[:, None, None], rows, columns]
    crop[~inside] = NO_GLYPH
    return crop


def _key_glyph() -> int:
    names = (nethack.objdescr.from_idx(i).oc_name for i in range(nethack.NUM_OBJECTS))
    return nethack.GLYPH_OBJ_OFF + next(i for i, name in enumerate(names) if name == "skeleton key")


KEY = _key_glyph()


def observation_space(screen: bool) -> spaces.Dict:
    """One observation; with ``screen`` the terminal too, characters and colours row by row."""
    parts: dict[str, Any] = {
        "message": Text(MESSAGE),
        "crop": Codes(NO_GLYPH + 1, (CROP, CROP)),
        "status": spaces.Box(-np.inf, np.inf, (len(STATUS),), np.float32),
        "change": spaces.Box(-np.inf, np.inf, (len(CHANGE),), np.float32),
    }
    if screen:
        parts |= {"screen": Text(ROWS * COLUMNS), "colors": Codes(32, (ROWS, COLUMNS))}
    return spaces.Dict(parts)


class Reader:
    """Reads ``n`` games into batches; remembers what was seen before of each."""

    def __init__(self, n: int, screen: bool, span: int) -> None:
        self.n, self.screen = n, screen
        self._map = np.full((n, *nethack.DUNGEON_SHAPE), STONE, np.int16)
        self._blstats = np.zeros((n, *nethack.BLSTATS_SHAPE), np.int64)
        self._carried = np.zeros((n, nethack.INV_SIZE[0]), np.int16)
        self._underfoot = np.zeros(n, bool)
        self._messages = np.zeros((n, MESSAGE), np.uint8)
        self._chars, self._colors = (np.zeros((n, ROWS, COLUMNS), d) for d in (np.uint8, np.int16))
        # Where the stairs of the present level were seen: column, row; -1 for not yet. Then which level that is.
        self._stairs, self._level = np.full((n, 2), -1), np.full((n, 2), -1)
        self._past = np.zeros((span, n, len(CHANGE)), np.int64)
        self._steps = np.zeros(n, np.int64)

    def observe(self, games: Sequence[Watched], copies: NDArray[np.int64], begun: bool = False) -> dict[str, NDArray]:
        """What these copies see, batched in this order, all arrays new; ``begun`` where each has just started a game."""
        for i in copies.tolist():
            self._read(games[i], i)
        # A slice takes all copies without copying them.
        at = slice(None) if len(copies) == self.n else copies
        seen = self._map[at]
        raw = self._status(seen, at, begun)
        observation: dict[str, NDArray] = {
            "message": self._messages[copies],
            "crop": _crop(seen, raw[:, 0], raw[:, 1]),
            "status": (raw / SCALE).astype(np.float32),
            "change": (self._change(seen, raw, copies, begun) / CHANGE_SCALE).astype(np.float32),
        }
        if self.screen:
            chars = self._chars[copies].reshape(len(copies), -1)
            observation |= {"screen": chars, "colors": self._colors[copies]}
        return observation

    def _read(self, game: Watched, i: int) -> None:
        seen, at = game.kept or game.last_observation, game.places
        self._map[i] = seen[at["glyphs"]]
        self._blstats[i] = seen[at["blstats"]]
        self._carried[i] = seen[at["inv_glyphs"]]
        self._underfoot[i] = seen[at["internal"]][4]
        if game.pages:
            text = game.message()[:MESSAGE]
            self._messages[i] = 0
            self._messages[i, : len(text)] = np.frombuffer(text, np.uint8)
        else:
            self._messages[i] = seen[at["message"]]
        if self.screen:
            self._chars[i], self._colors[i] = seen[at["tty_chars"]], seen[at["tty_colors"]]
            for row in (ROWS - 2, ROWS - 1):
                plain = _UNTOLD.sub(lambda m: b" " * len(m[0]), self._chars[i, row].tobytes())
                self._chars[i, row] = np.frombuffer(plain, np.uint8)

    def _status(self, seen: NDArray[np.int16], at: Any, begun: bool) -> NDArray[np.int64]:
        blstats = self._blstats[at]
        level, here = blstats[:, _LEVEL], blstats[:, :2]
        forgets = np.ones(len(level), bool) if begun else (level != self._level[at]).any(axis=1)
        stairs = np.where(forgets[:, None], -1, self._stairs[at])
        shown = (seen == STAIRS_DOWN).reshape(len(level), -1)
        place = shown.argmax(axis=1)
        found = shown[np.arange(len(level)), place]
        row, column = np.divmod(place, nethack.DUNGEON_SHAPE[1])
        stairs[found, 0], stairs[found, 1] = column[found], row[found]
        on_stairs = self._underfoot[at]
        stairs[on_stairs] = here[on_stairs]
        self._stairs[at], self._level[at] = stairs, level
        raw = np.empty((len(level), len(STATUS)), np.int64)
        raw[:, : len(BLSTATS)] = blstats[:, _BLSTATS]
        raw[:, len(BLSTATS) : -len(SIGHT)] = (blstats[:, [nethack.NLE_BL_CONDITION]] >> _BITS) & 1
        carried, known = self._carried[at], stairs[:, 0] >= 0
        raw[:, -6], raw[:, -5] = (carried != nethack.NO_GLYPH).sum(axis=1), (carried == KEY).any(axis=1)
        raw[:, -4], raw[:, -3:-1], raw[:, -1] = known, (stairs - here) * known[:, None], on_stairs
        return raw

    def _change(
        self, seen: NDArray[np.int16], raw: NDArray[np.int64], copies: NDArray[np.int64], begun: bool
    ) -> NDArray[np.int64]:
        """Difference from the state ``span`` steps ago, or from the game's beginning where that is later."""
        away = np.abs(raw[:, -3:-1]).max(axis=1)
        # One count for each: with an axis numpy sums the bits as integers, which takes ten times as long.
        explored = [np.count_nonzero(one) for one in seen != STONE]
        if begun:
            self._steps[copies] = 0
        steps = self._steps[copies]
        now = np.concatenate([raw[:, _COMPARED], np.stack([away, explored, steps], axis=1)], axis=1)
        if begun:
            self._past[:, copies] = now
        slot = steps % len(self._past)
        change = now - self._past[slot, copies]
        self._past[slot, copies] = now
        self._steps[copies] += 1
        return change
