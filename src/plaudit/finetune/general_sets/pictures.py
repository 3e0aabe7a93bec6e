"""Questions about pictures that are drawn here: how many, which colour, where, what is written.

    suite = Suite(choices=pictures())      # for a language model that takes pictures

Drawn with Pillow, always the same for the same version of it. Balanced as the other sets are: a block is some pictures with
one question and the same choices, each right once, so a model that does not look is exactly at chance.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from plaudit.finetune.items import Choice, identity

SIZE = 224
"""Pixels of a side."""
COLOURS = {
    "red": (208, 36, 36),
    "blue": (36, 72, 208),
    "green": (30, 150, 60),
    "yellow": (240, 205, 30),
    "black": (20, 20, 20),
    "orange": (240, 130, 20),
    "purple": (130, 40, 160),
    "pink": (245, 150, 190),
}
SHAPES = ("circle", "square", "triangle", "star")
NUMBERS = ("one", "two", "three", "four", "five", "six")
PLACES = {"left": (0.2, 0.5), "right": (0.8, 0.5), "top": (0.5, 0.2), "bottom": (0.5, 0.8)}
WORDS = (
    ("APPLE", "HOUSE", "RIVER", "TRAIN"),
    ("BREAD", "CHAIR", "LEMON", "NIGHT"),
    ("OPEN", "STOP", "EXIT", "PUSH"),
    ("MUSIC", "PAPER", "QUEEN", "SUGAR"),
    ("TIGER", "UNCLE", "WATER", "ZEBRA"),
    ("COLD", "FISH", "GATE", "JUMP"),
    ("WINTER", "GARDEN", "PENCIL", "SILVER"),
    ("17", "42", "88", "305"),
)
BACKGROUNDS = ((255, 255, 255), (235, 235, 225), (215, 230, 245))


def pictures() -> tuple[Choice, ...]:
    """All of them."""
    return (*counting(), *colour(), *position(), *reading())


def counting() -> Iterator[Choice]:
    """How many shapes of one kind: one to six."""
    for block in range(10):
        rng = np.random.default_rng([1, block])
        shape, name = SHAPES[block % len(SHAPES)], _colour(rng)
        drawn = []
        for number in range(1, len(NUMBERS) + 1):
            picture, pen = _blank(rng)
            cells = rng.permutation(9)[:number]  # one to a cell, so that none hides another
            for cell in cells:
                x, y = (cell % 3 + 0.5) / 3, (cell // 3 + 0.5) / 3
                _shape(pen, shape, COLOURS[name], (x, y), rng.uniform(0.07, 0.12))
            drawn.append(picture)
        yield from _block("counting", f"How many {shape}s are in the picture? Answer with one word.", NUMBERS, drawn)


def colour() -> Iterator[Choice]:
    """The colour of one shape; another shape in another colour stands beside it."""
    for block in range(14):
        rng = np.random.default_rng([2, block])
        names = [str(name) for name in rng.permutation(list(COLOURS))[:4]]
        shape, other = (str(s) for s in rng.permutation(SHAPES)[:2])
        drawn = []
        for right, name in enumerate(names):
            picture, pen = _blank(rng)
            here, there = [(0.28, 0.5), (0.72, 0.5)][:: rng.choice([-1, 1])]
            _shape(pen, shape, COLOURS[name], here, rng.uniform(0.14, 0.18))
            _shape(pen, other, COLOURS[names[(right + 1 + block % 3) % 4]], there, rng.uniform(0.14, 0.18))
            drawn.append(picture)
        yield from _block("colour", f"What colour is the {shape}? Answer with one word.", names, drawn)


def position() -> Iterator[Choice]:
    """At which side of the picture a shape is; another one is at another side."""
    for block in range(14):
        rng = np.random.default_rng([3, block])
        shape, other = (str(s) for s in rng.permutation(SHAPES)[:2])
        names, sides = list(PLACES), list(PLACES.values())
        drawn = []
        for right, here in enumerate(sides):
            picture, pen = _blank(rng)
            _shape(pen, shape, COLOURS[_colour(rng)], here, rng.uniform(0.1, 0.14))
            _shape(pen, other, COLOURS[_colour(rng)], sides[(right + 1 + block % 3) % 4], rng.uniform(0.1, 0.14))
            drawn.append(picture)
        question = f"At which side of the picture is the {shape}: left, right, top or bottom? Answer with one word."
        yield from _block("position", question, names, drawn)


def reading() -> Iterator[Choice]:
    """A word or a number on a sign."""
    for block, words in enumerate(WORDS * 2):
        rng = np.random.default_rng([4, block])
        drawn = []
        for word in words:
            picture, pen = _blank(rng)
            font = ImageFont.load_default(int(rng.integers(28, 46)))
            ink = COLOURS[_colour(rng)]
            pen.text((SIZE * rng.uniform(0.45, 0.55), SIZE * rng.uniform(0.3, 0.7)), word, ink, font, "mm")
            drawn.append(picture)
        yield from _block("reading", "What is written in the picture? Answer with what is written only.", words, drawn)


def _block(kind: str, question: str, answers: Sequence[str], drawn: Sequence[Image.Image]) -> Iterator[Choice]:
    files = [_png(picture) for picture in drawn]
    block = identity(question, *answers, *(str(len(file)) for file in files))
    for right, file in enumerate(files):
        yield Choice(f"pictures: {kind}", kind, block, question, tuple(f" {answer}" for answer in answers), right, file)


def _blank(rng: np.random.Generator) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (SIZE, SIZE), BACKGROUNDS[rng.integers(len(BACKGROUNDS))])
    return picture, ImageDraw.Draw(picture)


def _colour(rng: np.random.Generator) -> str:
    return str(rng.choice(list(COLOURS)))


def _shape(
    pen: ImageDraw.ImageDraw, shape: str, ink: tuple[int, int, int], at: tuple[float, float], radius: float
) -> None:
    x, y, r = SIZE * at[0], SIZE * at[1], SIZE * radius
    if shape == "circle":
        pen.ellipse((x - r, y - r, x + r, y + r), ink)
    elif shape == "square":
        pen.rectangle((x - r, y - r, x + r, y + r), ink)
    else:
        points = 3 if shape == "triangle" else 10
        turns = -np.pi / 2 + 2 * np.pi * np.arange(points) / points
        reach = r * np.where(np.arange(points) % 2, 0.45, 1.15) if shape == "star" else np.full(points, 1.2 * r)
        pen.polygon(
            [(float(x + a * np.cos(t)), float(y + a * np.sin(t))) for a, t in zip(reach, turns, strict=True)], ink
        )


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=False)
    return file.getvalue()
