"""Observation spaces that say what their numbers are, for networks that read them.

A Gymnasium ``Box`` of integers may hold a picture, text or ids. These two are boxes for Gymnasium and for everything that
takes one; :mod:`plaudit.encoder` reads text by its words and ids by a table. A part of a ``Dict`` that is named
``action_mask`` says which actions of a ``Discrete`` space can be taken (1) and which cannot (0).
"""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

MASK = "action_mask"
"""Name of the observation part, ``(actions,)`` uint8, that says which actions can be taken now."""


class Text(spaces.Box):
    """Text of at most ``length`` bytes: uint8 ``(length,)``, UTF-8, filled up with 0."""

    def __init__(self, length: int) -> None:
        super().__init__(0, 255, (length,), np.uint8)


class Codes(spaces.Box):
    """Ids from 0 to ``count - 1`` without an order, such as glyphs: int16 or int32 of this shape."""

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        super().__init__(0, count - 1, shape, np.int16 if count <= 2**15 else np.int32)
        self.count = count


def to_bytes(text: str, length: int) -> NDArray[np.uint8]:
    """Text as :class:`Text` holds it; what does not fit is cut off between two characters."""
    raw = text.encode()[:length].decode(errors="ignore").encode()
    return np.frombuffer(raw.ljust(length, b"\0"), np.uint8).copy()


def to_text(raw: NDArray[np.uint8]) -> str:
    """What :func:`to_bytes` was given."""
    return bytes(raw).rstrip(b"\0").decode(errors="replace")
