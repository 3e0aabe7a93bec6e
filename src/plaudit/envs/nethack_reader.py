"""What is observed of several games at once: message, crop of glyphs, status line, what changed; the screen if asked for.

Everything is what a player sees or is told by a look: the position of the stairs is kept once they were seen, and
standing on them counts as seeing them. The score and the number of turns are left out: the first is the reward of a
task, the second would make every observation another one.
"""

from __future__ import annotations

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
NO_GLYPH = nethack.MAX_GLYPH
"""Code of cells beyond the map's edge."""
STAIRS_DOWN, LADDER_DOWN, STONE = nethack.GLYPH_CMAP_OFF + 24, nethack.GLYPH_CMAP_OFF + 26, nethack.GLYPH_CMAP_OFF
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
        self.screen = screen
        self._glyphs = np.full((n, nethack.DUNGEON_SHAPE[0] + 2 * PAD, nethack.DUNGEON_SHAPE[1] + 2 * PAD), NO_GLYPH)
        self._glyphs = self._glyphs.astype(np.int16)
        self._map = self._glyphs[:, PAD:-PAD, PAD:-PAD]
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
        """What these copies see, batched in this order; ``begun`` where each has just started a game."""
        for i in copies.tolist():
            self._read(games[i], i)
        raw = self._status(copies, begun)
        x, y = raw[:, 0], raw[:, 1]
        cells = np.arange(CROP)
        crop = self._glyphs[copies[:, None, None], (y[:, None] + cells)[:, :, None], (x[:, None] + cells)[:, None, :]]
        change = self._change(raw, copies, begun)
        observation = {
            "message": self._messages[copies],
            "crop": crop,
            "status": (raw / SCALE).astype(np.float32),
            "change": (change / CHANGE_SCALE).astype(np.float32),
        }
        if self.screen:
            chars = self._chars[copies].reshape(len(copies), -1)
            observation |= {"screen": chars, "colors": self._colors[copies]}
        return observation

    def _read(self, game: Watched, i: int) -> None:
        self._map[i] = game.part("glyphs")
        self._blstats[i] = game.part("blstats")
        self._carried[i] = game.part("inv_glyphs")
        self._underfoot[i] = game.part("internal")[4]
        if game.pages:
            text = game.message()[:MESSAGE]
            self._messages[i] = 0
            self._messages[i, : len(text)] = np.frombuffer(text, np.uint8)
        else:
            self._messages[i] = game.part("message")
        if self.screen:
            self._chars[i], self._colors[i] = game.part("tty_chars"), game.part("tty_colors")

    def _status(self, copies: NDArray[np.int64], begun: bool) -> NDArray[np.int64]:
        blstats = self._blstats[copies]
        level = blstats[:, [nethack.NLE_BL_DNUM, nethack.NLE_BL_DLEVEL]]
        forgets = np.ones(len(copies), bool) if begun else (level != self._level[copies]).any(axis=1)
        stairs = np.where(forgets[:, None], -1, self._stairs[copies])
        shown = self._map[copies].reshape(len(copies), -1)
        shown = (shown == STAIRS_DOWN) | (shown == LADDER_DOWN)
        place = shown.argmax(axis=1)
        found = shown[np.arange(len(copies)), place]
        row, column = np.divmod(place, nethack.DUNGEON_SHAPE[1])
        stairs = np.where(found[:, None], np.stack([column, row], axis=1), stairs)
        here, on_stairs = blstats[:, [nethack.NLE_BL_X, nethack.NLE_BL_Y]], self._underfoot[copies]
        stairs = np.where(on_stairs[:, None], here, stairs)
        self._stairs[copies], self._level[copies] = stairs, level
        seen = stairs[:, 0] >= 0
        away = np.where(seen[:, None], stairs - here, 0)
        carried = self._carried[copies]
        items, has_key = (carried != nethack.NO_GLYPH).sum(axis=1), (carried == KEY).any(axis=1)
        conditions = (blstats[:, [nethack.NLE_BL_CONDITION]] >> _BITS) & 1
        sight = np.stack([items, has_key, seen, away[:, 0], away[:, 1], on_stairs], axis=1)
        return np.concatenate([blstats[:, _BLSTATS], conditions, sight], axis=1)

    def _change(self, raw: NDArray[np.int64], copies: NDArray[np.int64], begun: bool) -> NDArray[np.int64]:
        """Difference from the state ``span`` steps ago, or from the game's beginning where that is later."""
        away = np.abs(raw[:, [_COLUMN["stairs_east"], _COLUMN["stairs_south"]]]).max(axis=1)
        explored = (self._map[copies] != STONE).sum(axis=(1, 2))
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
