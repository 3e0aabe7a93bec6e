"""A task's actions as numbers, as words, and as what the page's script is told.

Coarse ones name elements (click, type, drag), fine ones places and keys. Number 0 waits. A kind of action is there only
where the task needs it, so that the space stays small.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import miniwob_words as words
from plaudit.envs.miniwob_tasks import Task

BIN, TOP, ACROSS, DOWN = 10, 50, 16, 16
"""Fine actions: squares of 10 x 10 pixels, below the instruction, which takes the first 50 of 210 rows."""
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What stands for the first, second, ... text that can be typed. (A reply is read without the page that it was about, so
the text itself could not be told from one that cannot be typed.)"""
Command = list[Any]
Page = Sequence[words.Element]
_FORMS = re.compile(
    r"""(?P<wait>wait)$ | click\ (?P<click>\d+)$ | type\ (?P<into>\d+)\ (?P<text>[a-zA-Z])(?::\ ".*")?$
    | type\ (?P<write>[a-zA-Z])(?::\ ".*")?$ | (?:press|key)\ (?P<key>\S+|space)$ | drag\ (?P<one>\d+)\ (?P<other>\d+)$
    | (?P<verb>click|press|release)\ (?P<x>\d+)\ (?P<y>\d+)$""",
    re.VERBOSE,
)
_PLACES = {"click": "click_at", "press": "press_at", "release": "release_at"}


def centre(square: int) -> tuple[int, int]:
    """Pixel in the middle of a square."""
    return square % ACROSS * BIN + BIN // 2, TOP + square // ACROSS * BIN + BIN // 2


class Actions:
    """The discrete actions of one task; ``kind`` is ``elements`` or ``coordinates``."""

    def __init__(self, task: Task, kind: str) -> None:
        self.task, self.kind = task, kind
        squares = ACROSS * DOWN
        if kind == "elements":
            sizes = {"click": task.slots, "type": task.slots * task.texts, "key": len(task.keys), "drag": task.drags**2}
        else:
            sizes = {"click_at": squares, "write": task.texts, "key": len(task.keys)}
            sizes |= {"press_at": squares, "release_at": squares} if task.drags or task.pointing else {}
        self.parts: dict[str, range] = {}
        self.count = 1
        for name, size in sizes.items():
            if size:
                self.parts[name] = range(self.count, self.count + size)
                self.count += size
        self.mask = lru_cache(maxsize=1024)(self._mask)

    def pointers(self) -> NDArray[np.int64]:
        """For :class:`plaudit.spaces.Rows`: the element of each action and what is done with it; -1 and 0 for none."""
        found = np.tile(np.array([-1, 0], np.int64), (self.count, 1))
        for number in self.parts.get("click", ()):
            found[number] = number - self.parts["click"].start, 0
        for number in self.parts.get("type", ()):
            element, text = divmod(number - self.parts["type"].start, self.task.texts)
            found[number] = element, 1 + text
        return found

    def command(self, action: int, asked: str, page: Page) -> Command | None:
        """What the page is told; None to wait, also for what cannot be done now."""
        if not 0 <= action < self.count:
            raise ValueError(f"action {action} is not in Discrete({self.count}). See World.actions for the valid ones.")
        if not self.mask(asked, tuple(page))[action]:
            return None
        for kind, numbers in self.parts.items():
            if action in numbers:
                return self._command(kind, action - numbers.start, asked, page)
        return None

    def _command(self, kind: str, number: int, asked: str, page: Page) -> Command:
        if kind == "click":
            return ["click", number]
        if kind == "key":
            return ["key", self.task.keys[number]]
        if kind == "write":
            return ["write", words.texts(self.task, asked, page)[number]]
        if kind == "type":
            element, text = divmod(number, self.task.texts)
            return ["type", element, words.texts(self.task, asked, page)[text]]
        if kind == "drag":
            return ["drag", *divmod(number, self.task.drags)]
        return [kind, *centre(number)]

    def _mask(self, asked: str, page: tuple[words.Element, ...]) -> NDArray[np.uint8]:
        """Which actions do something now, ``(count,)`` uint8."""
        mask, slots = np.ones(self.count, np.uint8), self.task.slots
        shown = page[:slots]
        there = np.arange(self.task.texts) < len(words.texts(self.task, asked, page))
        usable, written = np.zeros(slots, bool), np.zeros(slots, bool)
        usable[: len(shown)] = [not e.has("disabled") for e in shown]
        written[: len(shown)] = [e.role in words.WRITABLE for e in shown]
        movable = np.arange(self.task.drags) < len(shown)
        values = {
            "click": usable,
            "type": np.outer(usable & written, there).ravel(),
            "write": there,
            "drag": np.outer(movable, movable).ravel(),
        }
        for kind in self.parts.keys() & values:
            mask[self.parts[kind]] = values[kind]
        return mask

    def listed(self, asked: str, page: Page) -> list[str]:
        """Every action that does something now, in words."""
        return [self.word(int(i), asked, page) for i in np.flatnonzero(self.mask(asked, tuple(page)))]

    def word(self, action: int, asked: str, page: Page) -> str:
        """One action in words."""
        command = self.command(action, asked, page)
        if command is None:
            return "wait"
        kind, *args = command
        if kind in ("type", "write"):
            letter = LETTERS[(action - self.parts[kind].start) % self.task.texts]
            return " ".join(["type", *map(str, args[:-1]), f'{letter}: "{args[-1]}"'])
        if kind == "key":
            return f"{'press' if self.kind == 'elements' else 'key'} {'space' if args[0] == ' ' else args[0]}"
        verb = next((verb for verb, name in _PLACES.items() if name == kind), kind)
        return " ".join([verb, *map(str, args)])

    def parse(self, reply: str) -> int | None:
        """The one action that a reply names, whether or not it does something now; else None."""
        found = _FORMS.match(reply.strip()) or _FORMS.match(reply.strip().removesuffix("."))
        if found is None:
            return None
        return self._number(found.groupdict())

    def _number(self, part: dict[str, str | None]) -> int | None:
        if part["wait"]:
            return 0
        if part["click"] is not None:
            return self._place("click", int(part["click"]), self.task.slots)
        if part["into"] is not None:
            text = LETTERS.index(part["text"] or "")
            if text >= self.task.texts or int(part["into"]) >= self.task.slots:
                return None
            return self._place("type", int(part["into"]) * self.task.texts + text, self.task.slots * self.task.texts)
        if part["write"]:
            return self._place("write", LETTERS.index(part["write"]), self.task.texts)
        if part["key"]:
            key = " " if part["key"] == "space" else part["key"]
            return self._place("key", self.task.keys.index(key), len(self.task.keys)) if key in self.task.keys else None
        if part["one"] is not None:
            one, other = int(part["one"]), int(part["other"] or 0)
            return (
                self._place("drag", one * self.task.drags + other, self.task.drags**2)
                if other < self.task.drags
                else None
            )
        across, down = int(part["x"] or 0) // BIN, (int(part["y"] or 0) - TOP) // BIN
        if not (0 <= across < ACROSS and 0 <= down < DOWN):
            return None
        return self._place(_PLACES[part["verb"] or ""], down * ACROSS + across, ACROSS * DOWN)

    def _place(self, kind: str, number: int, size: int) -> int | None:
        """The action's number, where there is this kind and it has so many."""
        return self.parts[kind].start + number if kind in self.parts and number < size else None
