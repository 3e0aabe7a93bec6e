"""Items that follow a scheme: series, where a thing was put; numbers, sums, counting, three in an order.

Every block asks each of its choices once as the right one, in the same words, so an answer's own probability, its place
and its label are of no use. Deterministic: no random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from plaudit.finetune.items import Choice, block_of

NAMES = (
    ("Anna", "Ben", "Carl"),
    ("Paul", "Mary", "Tom"),
    ("Lucy", "Jack", "Emma"),
    ("Omar", "Nina", "Ivan"),
    ("Sarah", "David", "Peter"),
    ("Alice", "Frank", "Grace"),
)
COMPARED = (
    ("taller", "tallest", "shortest"),
    ("older", "oldest", "youngest"),
    ("faster", "fastest", "slowest"),
    ("stronger", "strongest", "weakest"),
    ("richer", "richest", "poorest"),
    ("louder", "loudest", "quietest"),
)
NUMBERS = ((3, 8), (12, 5), (17, 42), (90, 31), (56, 65), (108, 81), (230, 320), (999, 1000), (7, 70), (404, 44))
SUMS = (
    ("2 + 3 = 5", "4 + 2 = 6", "3 + 5 = 8", "6 + 1 = 7"),
    ("7 + 2 = 9", "5 + 6 = 11", "8 + 4 = 12", "5 + 5 = 10"),
    ("9 - 5 = 4", "8 - 2 = 6", "7 - 4 = 3", "6 - 1 = 5"),
    ("10 + 4 = 14", "20 - 7 = 13", "9 + 6 = 15", "8 + 8 = 16"),
    ("2 * 3 = 6", "4 * 2 = 8", "3 * 3 = 9", "5 * 2 = 10"),
    ("20 + 30 = 50", "50 + 20 = 70", "90 - 50 = 40", "100 - 10 = 90"),
)
COUNTED = (
    ("two", "three", "five"),
    ("one", "three", "four"),
    ("four", "two", "six"),
    ("five", "three", "eight"),
    ("six", "one", "seven"),
    ("four", "five", "nine"),
)
SERIES = (
    (
        "Monday, Tuesday,|Wednesday",
        "Wednesday, Thursday,|Friday",
        "Friday, Saturday,|Sunday",
        "Sunday, Monday,|Tuesday",
    ),
    ("January, February,|March", "April, May,|June", "July, August,|September", "October, November,|December"),
    ("one, two,|three", "four, five,|six", "seven, eight,|nine", "eight, nine,|ten"),
    ("A, B, C,|D", "F, G, H,|I", "P, Q, R,|S", "U, V, W,|X"),
    ("2, 4, 6,|8", "5, 10, 15,|20", "10, 20, 30,|40", "3, 6, 9,|12"),
    ("10, 9, 8,|7", "6, 5, 4,|3", "100, 99, 98,|97", "50, 49, 48,|47"),
    ("first, second,|third", "third, fourth,|fifth", "sixth, seventh,|eighth", "seventh, eighth,|ninth"),
    (
        "Tuesday, Wednesday,|Thursday",
        "Thursday, Friday,|Saturday",
        "Saturday, Sunday,|Monday",
        "Monday, Tuesday,|Wednesday",
    ),
    ("February, March,|April", "March, April,|May", "October, November,|December", "December, January,|February"),
    ("ten, twenty,|thirty", "forty, fifty,|sixty", "seventy, eighty,|ninety", "thirty, forty,|fifty"),
    ("1, 3, 5,|7", "11, 12, 13,|14", "20, 21, 22,|23", "7, 8, 9,|10"),
    ("spring, summer,|autumn", "autumn, winter,|spring", "summer, autumn,|winter", "winter, spring,|summer"),
)
PLACES = (
    ("ball", "box", "key", "drawer"),
    ("letter", "bag", "coin", "pocket"),
    ("cake", "fridge", "shirt", "wardrobe"),
    ("bicycle", "garage", "boat", "harbour"),
    ("ring", "safe", "hat", "trunk"),
    ("apple", "basket", "knife", "sink"),
    ("doll", "bed", "book", "desk"),
    ("horse", "stable", "pig", "garden"),
    ("flowers", "vase", "soup", "pot"),
    ("money", "bank", "parcel", "cellar"),
)


def reasoning_by_scheme() -> Iterator[Choice]:
    """What goes with the everyday reasoning."""
    yield from _series()
    yield from _places()


def logic_by_scheme() -> Iterator[Choice]:
    """What goes with logic and arithmetic."""
    yield from _sums()
    yield from _counted()
    yield from _numbers()
    yield from _orders()


def _sums() -> Iterator[Choice]:
    for sums in SUMS:
        asked, results = zip(*(s.rsplit(" ", 1) for s in sums), strict=True)
        yield from block_of("logic", "sum", [f"1 + 1 = 2\n4 + 3 = 7\n9 - 1 = 8\n{a}" for a in asked], results)


def _counted() -> Iterator[Choice]:
    """Sums in words; each right answer is also the wrong one of another question."""
    things = ("apples", "books", "coins", "birds", "cups", "stones")
    for thing, block in zip(things, pairwise((*COUNTED, COUNTED[0])), strict=True):
        asked = [f"Tim has {a} {thing} and gets {b} more. Now he has" for a, b, _ in block]
        yield from block_of("logic", "counting", asked, [total for *_, total in block])


def _series() -> Iterator[Choice]:
    for series in SERIES:
        shown, follows = zip(*(s.split("|") for s in series), strict=True)
        yield from block_of("reasoning", "series", shown, follows)


def _numbers() -> Iterator[Choice]:
    for a, b in NUMBERS:
        for first, second in ((a, b), (b, a)):
            asked = [f"Of the numbers {first} and {second}, the {word} one is" for word in ("larger", "smaller")]
            answers = [str(max(a, b)), str(min(a, b))]
            yield from block_of("logic", "numbers", asked, answers)


def _orders() -> Iterator[Choice]:
    """Who is the most, and who the least, of three; every name once in every place."""
    for names, (more, most, least) in zip(NAMES, COMPARED, strict=True):
        turns = [names[i:] + names[:i] for i in range(3)]
        said = [f"{a} is {more} than {b}. {b} is {more} than {c}." for a, b, c in turns]
        yield from block_of("logic", "order", [f"{s} The {most} of them is" for s in said], [t[0] for t in turns])
        yield from block_of("logic", "order", [f"{s} The {least} of them is" for s in said], [t[2] for t in turns])


def _places() -> Iterator[Choice]:
    for i, (one, here, other, there) in enumerate(PLACES):
        name = NAMES[i % len(NAMES)][i % 3]
        for (a, at), (b, bt) in (((one, here), (other, there)), ((other, there), (one, here))):
            said = f"{name} put the {a} into the {at} and the {b} into the {bt}. To find the"
            asked = [f"{said} {thing}, look into the" for thing in (one, other)]
            yield from block_of("reasoning", "place", asked, [here, there])
