"""What an agent observes of a page: a short row of codes for each element, the texts, the mask of actions, the picture."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import miniwob_words as words
from plaudit.envs.miniwob_tasks import Task
from plaudit.spaces import MASK, to_bytes

if TYPE_CHECKING:
    from plaudit.envs.miniwob_acting import Actions
    from plaudit.envs.miniwob_frames import State

WIDTH, HEIGHT = 160, 210
"""Pixels of a task."""
ROLES = (
    "", "button", "link", "text", "text field", "password field", "text area", "checkbox", "radio", "list", "option",
    "icon", "image", "shape", "label", "slider", "canvas",
)  # fmt: skip
HASHES = 31
ELEMENT_HIGHS = (len(ROLES) - 1, HASHES, 2, 7, 1, 1, 1, 1, 2, 7, 10)
"""Greatest value of each code of an element: role (0: there is none), hash of its name, whether the instruction names it
(2 in full, 1 in part), its rank among those it names, focused, ticked, clicked before, disabled, what it holds (0 nothing,
1 a text, 2 one that the instruction names), column and row of its centre in steps of 20 pixels."""


def observe(
    task: Task, acting: Actions, states: Sequence[State], pictures: NDArray[np.uint8] | None
) -> dict[str, NDArray[np.uint8]]:
    """The batched observation of these pages."""
    obs: dict[str, Any] = {
        "utterance": np.stack([_bytes(s.utterance, words.UTTERANCE) for s in states]),
        "page": np.stack([_bytes(words.write(s.page), words.PAGE_BYTES) for s in states]),
        "event": np.stack([_bytes(s.event, words.EVENT) for s in states]),
        MASK: np.stack([acting.mask(s.utterance, s.page) for s in states]),
    }
    if pictures is not None:
        return obs | {"pixels": pictures}
    return obs | {"elements": np.stack([codes(s.utterance, s.page, task.slots) for s in states])}


@lru_cache(maxsize=4096)
def _bytes(text: str, length: int) -> NDArray[np.uint8]:
    return to_bytes(text, length)


@lru_cache(maxsize=4096)
def codes(asked: str, page: tuple[words.Element, ...], slots: int) -> NDArray[np.uint8]:
    """The codes of a page's first elements, ``(slots, 11)`` uint8; see :data:`ELEMENT_HIGHS`."""
    rows = np.zeros((slots, len(ELEMENT_HIGHS)), np.uint8)
    shown = page[:slots]
    full = [words.named(e.name, asked) for e in shown]
    places = sorted({asked.lower().find(e.name.lower()) for e, n in zip(shown, full, strict=True) if n == 2})
    for i, (e, n) in enumerate(zip(shown, full, strict=True)):
        rank = places.index(asked.lower().find(e.name.lower())) + 1 if n == 2 else 0
        holds = 0 if not e.value else 2 if words.named(e.value, asked) == 2 else 1
        x, y = e.box[0] + e.box[2] // 2, e.box[1] + e.box[3] // 2
        flags = [e.flags >> bit & 1 for bit in range(4)]
        name = zlib.crc32(e.name.lower().encode()) % HASHES + 1 if e.name else 0
        place = (min(7, max(0, x // 20)), min(10, max(0, y // 20)))
        rows[i] = (ROLES.index(e.role), name, n, min(7, rank), *flags, holds, *place)
    return rows
