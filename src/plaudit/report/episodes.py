"""Example episodes for the page: a line of the reward, a filmstrip, and the data that the player steps through."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from plaudit.config import RunConfig, shaping_used
from plaudit.report import plots
from plaudit.report.results import Arm, llm_arm
from plaudit.report.tables import Rows, Tables, known
from plaudit.report.words import label

STILLS = 8
"""Pictures in a filmstrip."""
FRAME_BYTES = 120_000
"""Pictures of one episode take at most this much; beyond it every second, third, ... is kept."""
TEXT_CHARACTERS = 80_000
"""Different descriptions of one episode take at most this much; the steps behind are left out."""
MAX_STEPS = 2000
"""Steps of one episode, at most."""
SIDE = 256
"""Small pictures are shown enlarged by a whole factor, up to about this many pixels wide."""


@dataclass(frozen=True)
class Still:
    """One picture of a filmstrip."""

    step: int
    """Its step."""
    source: str
    """``data:`` address."""
    text: str
    """What the agent did and saw, for the tooltip and a screen reader."""


@dataclass(frozen=True)
class Panel:
    """One episode on the page."""

    arm: Arm
    """Whose it is."""
    layout: int
    """Number of the layout, from 1; the same number is the same layout for every arm."""
    steps: int
    """Steps made."""
    shown: int
    """Number of the last step that is on the page."""
    success: bool
    """Whether the world called it a success."""
    plot: Markup
    """The reward along it."""
    stills: list[Still]
    """Evenly spaced pictures."""
    width: int
    """Width at which a picture is shown, pixels."""


@dataclass
class Player:
    """What the script steps through: pictures and texts once each, steps as numbers of them."""

    frames: list[str] = field(default_factory=list)
    """``data:`` addresses."""
    texts: list[str] = field(default_factory=list)
    """Descriptions and actions."""
    episodes: list[list[list[Any]]] = field(default_factory=list)
    """For each panel its steps: [picture or -1, description, action, [reward or null of each line]]."""
    _index: dict[str, int] = field(default_factory=dict)

    def add(self, steps: Rows, frames: list[str | None], lines: Sequence[str] = ("reward",)) -> None:
        """One episode, in the order of the panels; ``lines`` are the columns that are drawn."""
        self.episodes.append(
            [
                [
                    -1 if frame is None else self._number(self.frames, frame),
                    self._number(self.texts, step["text"]),
                    self._number(self.texts, step["action"]),
                    [round(step[line], 3) if known(step[line]) else None for line in lines],
                ]
                for step, frame in zip(steps, frames, strict=True)
            ]
        )

    def _number(self, values: list[str], value: str) -> int:
        if value not in self._index:
            self._index[value] = len(values)
            values.append(value)
        return self._index[value]

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return {"frames": self.frames, "texts": self.texts, "episodes": self.episodes}


def panels(tables: Tables, found: list[Arm], config: RunConfig) -> tuple[list[Panel], list[Panel], Player]:
    """(first layout by several agents, further layouts by the LLM's agent, data of all). Not picked: the first ones."""
    by_arm = {arm.name: arm for arm in found}
    episodes: dict[tuple[str, int], Rows] = {}
    for row in tables.examples:
        if row["arm"] in by_arm:
            episodes.setdefault((row["arm"], row["episode"]), []).append(row)
    led = llm_arm(found)
    layouts = sorted({episode for _, episode in episodes})
    names = dict.fromkeys([led.name if led else "task", "task", "random"])
    first = [(name, e) for e in layouts[:1] for name in names if (name, e) in episodes]
    more = [(led.name, e) for e in layouts[1:] if led and (led.name, e) in episodes]
    player = Player()
    shown = [episodes[key] for key in first + more]
    rewards = [row["reward"] for rows in shown for row in rows if known(row["reward"])]
    span = (min(rewards), max(rewards)) if rewards else (0.0, 1.0)
    made = [_panel(rows, by_arm[rows[0]["arm"]], span, floor(tables, config), player) for rows in shown]
    return made[: len(first)], made[len(first) :], player


def floor(tables: Tables, config: RunConfig) -> float | None:
    """The reward model's output at or below which the agent gets 0, in the model's own units; None without one.

    Normalising keeps the order, so the quantile can be taken before it (see ``rewards/shaping.py``).
    """
    shaping = shaping_used(config)
    judged = {text for row in tables.comparisons for text in (row["first"], row["second"])}
    values = [row["reward"] for row in tables.rewards if row["text"] in judged]
    return (
        None
        if shaping.quantile < 0 or shaping.potential or shaping.difference or not values
        else float(np.quantile(values, shaping.quantile))
    )


def beginning(rows: Rows) -> Rows:
    """As many steps as fit onto the page; descriptions can be whole screens of text."""
    seen: set[str] = set()
    room = TEXT_CHARACTERS
    for i, row in enumerate(rows[:MAX_STEPS]):
        room -= 0 if row["text"] in seen else len(row["text"])
        seen.add(row["text"])
        if room < 0:
            return rows[: max(1, i)]
    return rows[:MAX_STEPS]


def _panel(every: Rows, arm: Arm, span: tuple[float, float], lowest: float | None, player: Player) -> Panel:
    rows = beginning(every)
    pictures, frames = addresses(rows)
    player.add(rows, frames)
    last = max((i for i, frame in enumerate(frames) if frame), default=-1)
    rewards = [row["reward"] for row in rows]
    title = plots.describe(f"Reward along an episode of {label(arm.name)}", [r for r in rewards if known(r)])
    return Panel(
        arm=arm,
        layout=rows[0]["episode"] + 1,
        steps=every[-1]["step"],
        shown=rows[-1]["step"],
        success=any(row["success"] for row in every),
        plot=plots.reward_line(rewards, span, lowest, last + 1, arm.slot, title),
        stills=stills(rows, frames),
        width=shown_width(pictures),
    )


def addresses(rows: Rows) -> tuple[list[bytes | None], list[str | None]]:
    """The pictures that fit onto the page, and the same as ``data:`` addresses."""
    pictures = thin([row["frame"] for row in rows])
    return pictures, [None if p is None else "data:image/png;base64," + base64.b64encode(p).decode() for p in pictures]


def thin(frames: list[bytes | None]) -> list[bytes | None]:
    """Leave out pictures, evenly, until the different ones fit into ``FRAME_BYTES``."""
    for every in range(1, len(frames) + 1):
        kept = [frame if i % every == 0 else None for i, frame in enumerate(frames)]
        if sum(len(frame) for frame in set(kept) if frame) <= FRAME_BYTES:
            return kept
    return [None] * len(frames)


def stills(rows: Rows, frames: list[str | None]) -> list[Still]:
    """Evenly spaced pictures of an episode."""
    there = [(row, frame) for row, frame in zip(rows, frames, strict=True) if frame]
    if not there:
        return []
    chosen = sorted(set(np.linspace(0, len(there) - 1, STILLS).round().astype(int).tolist()))
    picked = [there[i] for i in chosen]
    return [Still(r["step"], f, f"{r['action'] or 'start'}: {r['text']}") for r, f in picked]


def shown_width(pictures: Sequence[bytes | None]) -> int:
    """Shown width: the first picture's own, from the PNG's header, times a whole factor."""
    png = next((p for p in pictures if p), None)
    own = int.from_bytes(png[16:20], "big") if png and png.startswith(b"\x89PNG") else SIDE
    return max(1, own) * max(1, SIDE // max(1, own))
