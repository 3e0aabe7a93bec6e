"""NetHack's terminal as an image: 24 lines of 80 characters in its 16 colours, drawn once and then copied.

Every character is drawn by Pillow's own font into a tile; a screen is put together from tiles, so that it costs about a
millisecond. Leaves out: blinking, inverse video and nle's graphical tiles.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

TILE = (16, 9)
"""Height and width of a character in pixels."""
COLORS = np.array(
    [
        (85, 85, 85),  # black, shown as dark grey so that it can be seen
        (205, 49, 49),
        (13, 188, 121),
        (180, 140, 60),
        (70, 110, 230),
        (188, 63, 188),
        (17, 168, 205),
        (200, 200, 200),
        (150, 150, 150),
        (255, 135, 60),
        (100, 240, 140),
        (245, 245, 67),
        (100, 150, 255),
        (230, 120, 230),
        (90, 220, 245),
        (255, 255, 255),
    ],
    np.uint16,
)
"""Red, green and blue of NetHack's colours, in its order."""


@cache
def _tiles() -> NDArray[np.uint16]:
    """How strongly each of 256 characters covers its tile, ``(256, height, width)``, 0 to 255."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = TILE
    font = ImageFont.load_default(13)
    tiles = np.zeros((256, height, width), np.uint16)
    for code in range(33, 127):
        tile = Image.new("L", (width, height))
        box = font.getbbox(chr(code))
        left = (width - (box[2] - box[0])) // 2 - box[0]
        ImageDraw.Draw(tile).text((left, 0), chr(code), 255, font)
        tiles[code] = np.asarray(tile)
    return tiles


def draw(chars: NDArray[np.uint8], colors: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Characters and colours ``(24, 80)`` as an image ``(384, 720, 3)``."""
    cover = _tiles()[chars].transpose(0, 2, 1, 3).reshape(chars.shape[0] * TILE[0], -1)
    paint = COLORS[np.asarray(colors) % 16].repeat(TILE[0], axis=0).repeat(TILE[1], axis=1)
    return (paint * cover[:, :, None] // 255).astype(np.uint8)
