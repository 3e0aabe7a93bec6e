"""Observation spaces that say what their numbers are, for networks that read them.

A Gymnasium ``Box`` of integers may hold a picture, text or ids. These are boxes for Gymnasium and for everything that
takes one; :mod:`plaudit.encoder` reads text by its words and ids by a table, and a policy points at rows. A part of a
``Dict`` that is named ``action_mask`` says which actions of a ``Discrete`` space can be taken (1) and which cannot (0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

MASK = "action_mask"
"""Name of the observation part, ``(actions,)`` uint8, that says which actions can be taken now."""


class Text(spaces.Box):
    """Text of at most ``length`` bytes: uint8 ``(length,)``, UTF-8, filled up with 0.

    ``told_only``: there for the world's words, and left out by agents' networks, to whom another part says the same.
    """

    def __init__(self, length: int, told_only: bool = False) -> None:
        super().__init__(0, 255, (length,), np.uint8)
        self.told_only = told_only


class Codes(spaces.Box):
    """Ids from 0 to ``count - 1`` without an order, such as glyphs: int16 or int32 of this shape."""

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        super().__init__(0, count - 1, shape, np.int16 if count <= 2**15 else np.int32)
        self.count = count


class Rows(spaces.Box):
    """A table of like rows, such as a page's elements: codes from 0 to ``highs``, uint8 ``(rows, codes)``.

    ``pointers``: for each action of the world the row that it acts on (-1 for none) and the number of what it does there,
    int64 ``(actions, 2)``. An agent's network scores such an action by its row, wherever that row stands.
    """

    def __init__(self, highs: Sequence[int], rows: int, pointers: NDArray[np.int64]) -> None:
        if max(highs) >= 64:
            raise ValueError(f"codes of a row are read one-hot and stay below 64, got highs of {tuple(highs)}")
        high = np.tile(np.array(highs, np.uint8), (rows, 1))
        super().__init__(np.zeros_like(high), high, dtype=np.uint8)
        self.pointers = pointers


def to_bytes(text: str, length: int) -> NDArray[np.uint8]:
    """Text as :class:`Text` holds it; what does not fit is cut off between two characters."""
    raw = text.encode()[:length].decode(errors="ignore").encode()
    return np.frombuffer(raw.ljust(length, b"\0"), np.uint8).copy()


def to_text(raw: NDArray[np.uint8]) -> str:
    """What :func:`to_bytes` was given."""
    return bytes(raw).rstrip(b"\0").decode(errors="replace")
