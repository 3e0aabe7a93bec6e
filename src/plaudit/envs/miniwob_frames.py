"""Copies of one page as frames of a few browser tabs, stepped together; opened late, replaced when the browser dies."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import miniwob_words as words
from plaudit.envs.miniwob_browser import BrowserGoneError
from plaudit.envs.miniwob_seen import HEIGHT, WIDTH
from plaudit.envs.miniwob_tab import Tab
from plaudit.envs.miniwob_tasks import Task

COLUMNS = 8
"""Frames in a row of the tab."""


@dataclass(frozen=True)
class State:
    """One page at one moment."""

    utterance: str
    """Its instruction."""
    page: tuple[words.Element, ...]
    """Its elements."""
    event: str
    """What has just happened, in words."""
    done: bool = False
    """Whether the page says that the episode is over."""
    raw: float = 0.0
    """Its reward then, -1 to 1, not scaled by time."""
    crashed: bool = False
    """Whether the browser or the page died in this step: then the rest is what was last seen."""


BLANK = State("", (), words.BEGIN)


class Frames:
    """``count`` copies of a task's page."""

    def __init__(self, pages: Path, task: Task, count: int) -> None:
        self.pages, self.task, self.count = pages, task, count
        # A tab has a process of its own: as many as there are processors, each with eight frames at least.
        tabs = max(1, min(os.cpu_count() or 1, count // 8))
        edges = [count * i // tabs for i in range(tabs + 1)]
        self._parts = [range(a, b) for a, b in itertools.pairwise(edges)]
        self._tabs: list[Tab] = []

    def begin(self, seeds: Sequence[int | None]) -> list[State]:
        """Begin an episode in each frame that has a seed, a non-negative integer; the others give an empty state."""
        try:
            made = self._call([None] * self.count, seeds, [False] * self.count)
        except BrowserGoneError:
            self.close()
            made = self._call([None] * self.count, seeds, [False] * self.count)
        return [_state(fresh, words.BEGIN) if fresh else BLANK for _, fresh in made]

    def step(
        self,
        commands: Sequence[list[Any] | None],
        before: Sequence[State],
        seeds: Sequence[int | None],
        last: Sequence[bool],
        wait: bool,
    ) -> tuple[list[State], list[State]]:
        """What each command led to, and the next episode's state where one ended and has a seed.

        ``last`` ends an episode after this step. With ``wait`` nothing begins, so that the end can be looked at first.
        """
        sent = [command or ["wait"] for command in commands]
        try:
            raws = self._call(sent, [None] * self.count if wait else seeds, last)
        except BrowserGoneError:
            self.close()
            fresh = self.begin([0 if seed is None else seed for seed in seeds])
            return [replace(state, crashed=True) for state in before], fresh
        made, fresh = [], []
        for command, old, (raw, new) in zip(commands, before, raws, strict=True):
            if raw.get("lost"):
                made.append(replace(old, crashed=True))
            else:
                state = _state(raw, "")
                happened = words.event(command, old.page, state.page, old.utterance)
                made.append(replace(state, event=happened, utterance=old.utterance or state.utterance))
            fresh.append(_state(new, words.BEGIN) if new else BLANK)
        return made, fresh

    def pictures(self) -> NDArray[np.uint8]:
        """The pages as they look, ``(count, 210, 160, 3)``; grey where there is no browser."""
        if not self._tabs:
            return np.full((self.count, HEIGHT, WIDTH, 3), 128, np.uint8)
        try:
            return np.concatenate([_picture(tab, len(part)) for tab, part in zip(self._tabs, self._parts, strict=True)])
        except BrowserGoneError:
            self.close()
            return self.pictures()

    def close(self) -> None:
        """Close the tabs; the next call opens others."""
        for tab in self._tabs:
            tab.close()
        self._tabs = []

    def _call(self, commands: Sequence[Any], seeds: Sequence[int | None], last: Sequence[bool]) -> list[list[Any]]:
        if not self._tabs:
            self._open()
        posted = []
        for tab, part in zip(self._tabs, self._parts, strict=True):
            mine = slice(part.start, part.stop)
            arguments = (json.dumps(each) for each in (commands[mine], seeds[mine], last[mine], self.task.reload))
            posted.append((tab, tab.post(f"plaudit.step({', '.join(arguments)})")))
        return [row for tab, number in posted for row in tab.result(number)]

    def _open(self) -> None:
        script = resources.files("plaudit.envs").joinpath("miniwob_page.js").read_text(encoding="utf-8")
        url = f"/miniwob/{self.task.name}.html"
        self._tabs = [Tab(self.pages, script) for _ in self._parts]
        opened = [
            (tab, tab.post(f"plaudit.open({json.dumps(url)}, {len(part)}, {COLUMNS})"))
            for tab, part in zip(self._tabs, self._parts, strict=True)
        ]
        for tab, number in opened:
            tab.result(number)


def _picture(tab: Tab, count: int) -> NDArray[np.uint8]:
    """The frames of one tab, out of one picture of it."""
    from PIL import Image

    rows, columns = -(-count // COLUMNS), min(COLUMNS, count)
    png = tab.picture(columns * WIDTH, rows * HEIGHT)
    whole = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    tiles = whole.reshape(rows, HEIGHT, columns, WIDTH, 3).swapaxes(1, 2).reshape(-1, HEIGHT, WIDTH, 3)
    return np.ascontiguousarray(tiles[:count])


def _state(raw: dict[str, Any], event: str) -> State:
    page = tuple(words.elements(raw["rows"]))
    return State(raw["utterance"], page, event, bool(raw["done"]), float(raw["raw"]))
