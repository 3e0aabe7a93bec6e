"""Wordle's board as a picture: six rows of coloured tiles."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs.wordle_words import spell

TILE, GAP = 44, 4
BACKGROUND, EMPTY_EDGE = (255, 255, 255), (135, 138, 140)
FILLS = ((255, 255, 255), (120, 124, 126), (201, 180, 88), (106, 170, 100))
"""Fill of a tile by its colour: none, grey, yellow, green."""


def draw(letters: NDArray[Any], colours: NDArray[Any]) -> NDArray[np.uint8]:
    """Letters and colours ``(6, 5)`` as ``(292, 244, 3)`` uint8."""
    from PIL import Image, ImageDraw

    rows, columns = letters.shape
    size = tuple(GAP + count * (TILE + GAP) for count in (columns, rows))
    image = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(image)
    for row in range(rows):
        for column in range(columns):
            x, y = (GAP + place * (TILE + GAP) for place in (column, row))
            colour = int(colours[row, column])
            pen.rectangle((x, y, x + TILE, y + TILE), FILLS[colour], None if colour else EMPTY_EDGE)
            ink = (255, 255, 255) if colour else (0, 0, 0)
            pen.text((x + TILE // 2, y + TILE // 2), spell([int(letters[row, column])]), ink, _font(), anchor="mm")
    return np.asarray(image)


@cache
def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(TILE * 0.7)
