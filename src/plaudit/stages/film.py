"""An episode as a GIF (Pillow) or an MP4 (extra ``record``): the world's pictures, with a caption below each.

``plaudit play doorkey --policy expert --record episode.gif``. A world without pictures is shown by its text. The file
appears whole or not at all. Leaves out sound, and pictures of changing size (they are fitted to the first).
"""

from __future__ import annotations

import shutil
import tempfile
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import ConfigError, MissingExtraError
from plaudit.store import atomic, explain_disk_errors

if TYPE_CHECKING:
    from PIL import Image

KINDS = (".gif", ".mp4")
NARROW = 360
"""Pixels: smaller pictures are enlarged by a whole number to about this width, so that the caption can be read."""
POINTS, LINE, MARGIN = 14, 18, 6
"""Size of the caption's letters, distance of its lines, and margin, in pixels."""
COLUMNS, ROWS = 80, 24
"""Characters of a page of text, which stands for a picture where there is none."""
PAPER, INK = (24, 26, 30), (235, 235, 235)
LAST_SECONDS = 1.5
"""How long the last picture stays."""


class Film:
    """Takes pictures one by one and writes them when it is closed.

    Args:
        path: where to; its ending says which kind: ``.gif`` or ``.mp4``.
        fps: pictures per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in KINDS:
            raise ConfigError(f"--record writes {' or '.join(KINDS)}, got {path.name!r}. Try --record episode.gif")
        if path.is_dir():
            raise ConfigError(f"--record needs the name of a file, and {path} is a folder.")
        if path.suffix.lower() == ".mp4":
            _imageio()  # a missing package is told before anything is played
        with explain_disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.fps = path, fps
        self._frames: list[Image.Image] = []

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: NDArray[np.uint8] | None, text: str, caption: Sequence[str]) -> None:
        """One picture ``(height, width, 3)`` with its caption, of as many lines each time; ``text`` where there is none."""
        from PIL import Image, ImageOps

        whole = _with_caption(_page(text) if frame is None else _enlarged(frame), caption)
        if self._frames and whole.size != self._frames[0].size:
            whole = ImageOps.pad(whole, self._frames[0].size, color=PAPER)
        # A palette of each picture's own: one byte a pixel while the episode lasts, and what a GIF holds anyway.
        gif = self.path.suffix.lower() == ".gif"
        self._frames.append(whole.quantize(128, dither=Image.Dither.NONE) if gif else whole)

    def write(self) -> None:
        """Put the file where it belongs."""
        if self._frames:
            (_write_gif if self.path.suffix.lower() == ".gif" else _write_mp4)(self.path, self._frames, self.fps)


def _write_gif(path: Path, frames: list[Image.Image], fps: float) -> None:
    """GIF counts in hundredths of a second, and browsers slow down what is faster than 50 a second."""
    each = max(20, round(100 / fps) * 10)
    durations = [each] * (len(frames) - 1) + [max(each, round(1000 * LAST_SECONDS))]
    with atomic(path) as file:
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _write_mp4(path: Path, frames: list[Image.Image], fps: float) -> None:
    """H.264 as every browser plays it."""
    imageio = _imageio()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "film.mp4"
        # What ffmpeg says of itself is of no use to anyone here; sizes are even already.
        options: dict[str, Any] = {"codec": "libx264", "pixelformat": "yuv420p", "macro_block_size": 2}
        with imageio.get_writer(made, format="FFMPEG", fps=fps, ffmpeg_log_level="error", **options) as writer:
            for frame in frames:
                writer.append_data(np.asarray(frame))
        with atomic(path) as file, made.open("rb") as whole:
            shutil.copyfileobj(whole, file)


def _imageio() -> Any:
    try:
        import imageio.v2
        import imageio_ffmpeg  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"an MP4 needs the package {error.name!r}. Type: pip install 'plaudit[record]', or record a .gif"
        ) from None
    return imageio.v2


@cache
def _font() -> Any:
    """A font with letters of one width; matplotlib brings it."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf", POINTS)


def _enlarged(frame: NDArray[np.uint8]) -> Image.Image:
    from PIL import Image

    picture = Image.fromarray(np.asarray(frame, np.uint8)).convert("RGB")
    factor = max(1, round(NARROW / picture.width))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _page(text: str) -> Image.Image:
    """Text as a page of 80 by 24 characters; what does not fit is cut off."""
    from PIL import Image

    page = Image.new("RGB", (2 * MARGIN + round(COLUMNS * _font().getlength("x")), 2 * MARGIN + ROWS * LINE), PAPER)
    lines = [piece for line in text.splitlines() for piece in textwrap.wrap(line, COLUMNS) or [""]]
    _draw(page, lines[:ROWS], 0)
    return page


def _with_caption(picture: Image.Image, caption: Sequence[str]) -> Image.Image:
    """The picture above a strip of text; both sides even, as MP4 wants them."""
    from PIL import Image

    height = picture.height + 2 * MARGIN + LINE * len(caption)
    whole = Image.new("RGB", (picture.width + picture.width % 2, height + height % 2), PAPER)
    whole.paste(picture, (0, 0))
    _draw(whole, caption, picture.height)
    return whole


def _draw(image: Image.Image, lines: Sequence[str], top: int) -> None:
    from PIL import ImageDraw

    draw, fits = ImageDraw.Draw(image), int((image.width - 2 * MARGIN) / _font().getlength("x"))
    for i, line in enumerate(lines):
        cut = line if len(line) <= fits else line[: max(0, fits - 1)] + "…"
        draw.text((MARGIN, top + MARGIN + i * LINE), cut, INK, _font())
