"""MetaWorld in words: rules, descriptions, events, features and actions, all from the benchmark's state.

The state holds this frame and the one before, so what has just happened can be told from one observation. Distances are
rounded more coarsely the larger they are: thousands of states read alike, and are judged once. The sentences state facts;
that being near the goal is good is the judge's part. What a description is made of is :func:`facts`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.envs.metaworld_tasks import Task

RULES = (
    "A robot arm with a two-fingered gripper stands at a table. Left, right, forward (away from the robot), back, up and "
    "down are as the robot sees them. In each step the hand moves a little, with the gripper open or closed. To hold "
    "something, bring the fingers around it with the gripper open, then close the gripper. Answer with one action: {}."
)
_MOVES = {
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "forward": (0.0, 1.0, 0.0),
    "back": (0.0, -1.0, 0.0),
    "up": (0.0, 0.0, 1.0),
    "down": (0.0, 0.0, -1.0),
}
ACTIONS: dict[str, tuple[float, float, float, float]] = {
    "open the gripper": (0.0, 0.0, 0.0, -1.0),
    "close the gripper": (0.0, 0.0, 0.0, 1.0),
    **{f"move {way}": (*step, -1.0) for way, step in _MOVES.items()},
    **{f"move {way} with the gripper closed": (*step, 1.0) for way, step in _MOVES.items()},
}
"""Words for actions; ``move left`` keeps the gripper open. Nothing is remembered: each is a whole action by itself."""
NAMES = tuple(ACTIONS)
FINGERS = (0.0, 0.002, -0.045)
"""From the point that the state calls the hand to the middle between the fingertips, metres."""
STILL, SETTLED = 0.001, 0.003
"""Changes of a distance below this, metres, are no change: of the fingers', and of an object's, which may still settle."""
TOUCH = 0.04
"""The fingers are at an object from this distance on, metres."""


Offset = tuple[float, float, float]
"""Right, forward, up; metres."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one state says about its task; lengths in metres."""

    hand: Offset
    """Where the fingers are: right, forward, up."""
    gripper: float
    """How far the gripper is open, 0 to 1."""
    to_thing: Offset
    """From the fingers to the object (to the goal, where a task has no object)."""
    to_goal: Offset
    """From the object to its place, in the directions that count; from the fingers where a task has no object."""
    nearer: float
    """How much nearer the fingers came to the object since the frame before."""
    progress: float
    """How much nearer the object came to its place since the frame before."""
    begun: bool
    """Whether an episode has just begun."""


def offsets(task: Task, frame: Sequence[float], goal: Sequence[float]) -> tuple[Offset, Offset, Offset]:
    """Where the fingers are; from them to the object; from the object to its place, in the directions that count."""
    x, y, z = frame[0] + FINGERS[0], frame[1] + FINGERS[1], frame[2] + FINGERS[2]
    if not task.target and not task.part:
        way = (goal[0] - x, goal[1] - y, goal[2] - z)
        return (x, y, z), way, way
    thing = frame[4:7]
    moved = frame[11:14] if task.carried else thing
    rest = (
        goal[0] - moved[0] - task.offset[0] if "x" in task.axes else 0.0,
        goal[1] - moved[1] - task.offset[1] if "y" in task.axes else 0.0,
        goal[2] - moved[2] - task.offset[2] if "z" in task.axes else 0.0,
    )
    return (x, y, z), (thing[0] - x, thing[1] - y, thing[2] - z), rest


def facts(task: Task, state: Sequence[float]) -> Facts:
    """From the state ``(39,)``, as plain numbers."""
    fingers, to_thing, rest = offsets(task, state[:18], state[36:39])
    _, earlier, rest_earlier = offsets(task, state[18:36], state[36:39])
    return Facts(
        hand=fingers,
        gripper=state[3],
        to_thing=to_thing,
        to_goal=rest,
        nearer=math.hypot(*earlier) - math.hypot(*to_thing),
        progress=math.hypot(*rest_earlier) - math.hypot(*rest),
        begun=list(state[:18]) == list(state[18:36]),
    )


def fraction(task: Task, now: Facts) -> float:
    """How far a mechanism has gone, 0 to 1."""
    return min(1.0, max(0.0, 1 - math.hypot(*now.to_goal) / task.travel))


def is_holding(now: Facts) -> bool:
    """Whether something keeps the fingers from closing, at the object."""
    return 0.1 < now.gripper < 0.9 and math.hypot(*now.to_thing) < TOUCH


def centimetres(metres: float) -> int:
    """Rounded: to 1 cm up to 6, then to 2, 5 and 10."""
    cm = metres * 100
    step = 1 if cm < 6 else 2 if cm < 12 else 5 if cm < 30 else 10
    return round(cm / step) * step


def _ways(offset: Offset) -> str:
    """The directions of an offset, the largest first; small parts of it are left out."""
    names = (("left", "right"), ("back", "forward"), ("down", "up"))
    least = max(0.02, 0.35 * math.hypot(*offset))
    parts = sorted(((abs(o), pair[o > 0]) for o, pair in zip(offset, names, strict=True)), reverse=True)
    return " and ".join(name for size, name in parts if size >= least)


def _how_far(length: float) -> str:
    return "close to" if length < 0.1 else "near" if length < 0.2 else "far from"


def happened(task: Task, now: Facts) -> str:
    """What has just happened, one sentence."""
    thing, moved = task.thing, task.carried or task.thing
    if now.begun:
        return "Nothing has happened yet."
    if task.part and abs(now.progress) > SETTLED:
        if now.progress > 0:
            return f"{_start(task.part)} was moved: it is more {task.done} than before."
        return f"{_start(task.part)} was moved back: it is less {task.done} than before."
    if task.target and abs(now.progress) > SETTLED:
        way = "nearer to" if now.progress > 0 else "away from"
        return f"{_start(moved)} was moved {way} {task.target}."
    if abs(now.nearer) > STILL:
        return f"The fingers moved {'nearer to' if now.nearer > 0 else 'away from'} {thing}."
    return "Nothing moved."


def _start(words: str) -> str:
    return words[0].upper() + words[1:]


def stands(task: Task, now: Facts) -> str:
    """How the object stands to its place, one sentence; empty where a task has no object."""
    if task.part:
        percent = round(fraction(task, now) * 10) * 10
        if percent in (0, 100):
            return f"{_start(task.part)} is {'fully' if percent else 'not'} {task.done}."
        return f"{_start(task.part)} is {percent}% {task.done}."
    if task.target:
        rest = math.hypot(*now.to_goal)
        return f"{_start(task.carried or task.thing)} is {centimetres(rest)} cm from {task.target}."
    return ""


def fingers_at(task: Task, now: Facts) -> str:
    """How the fingers stand to the object, one sentence."""
    length = math.hypot(*now.to_thing)
    if length < TOUCH:
        return f"The fingers are at {task.thing}."
    return f"The fingers are {_how_far(length)} {task.thing} ({centimetres(length)} cm)."


def gripper(now: Facts) -> str:
    """What the gripper does, one sentence."""
    if is_holding(now):
        return "The gripper holds it."
    return "The gripper is open." if now.gripper > 0.7 else "The gripper is closed."


def describe(task: Task, state: Sequence[float], directions: bool) -> str:
    """How things stand, then what has just happened; with the directions of the way to go, for one who acts."""
    now = facts(task, state)
    parts = [fingers_at(task, now), gripper(now), stands(task, now), happened(task, now)]
    if directions:
        ways = _ways(now.to_thing)
        parts.insert(1, f"From the fingers it lies {ways}." if ways else "")
        ways = _ways(now.to_goal) if task.target else ""
        parts.insert(4, f"The way there is {ways}." if ways else "")
    return " ".join(part for part in parts if part)


def event(task: Task, state: Sequence[float]) -> str:
    """What has just happened and how near things are by now: the unit of episodic counts."""
    now = facts(task, state)
    return f"{happened(task, now)} {fingers_at(task, now)} {stands(task, now)}".strip()


def features(task: Task, state: Sequence[float]) -> dict[str, bool | int | float | str]:
    """Named numbers of one state; lengths in metres, positions as right, forward, up."""
    now = facts(task, state)
    named: dict[str, bool | int | float | str] = {"event": happened(task, now)}
    for name, values in (("hand", now.hand), ("hand_to_object", now.to_thing), ("object_to_goal", now.to_goal)):
        named |= {f"{name}_{axis}": round(value, 4) for axis, value in zip("xyz", values, strict=True)}
    return named | {
        "hand_to_object": round(math.hypot(*now.to_thing), 4),
        "object_to_goal": round(math.hypot(*now.to_goal), 4),
        "hand_came_nearer": round(now.nearer, 4),
        "object_came_nearer": round(now.progress, 4),
        "gripper_open": round(now.gripper, 3),
        "holding": is_holding(now),
        "done_fraction": round(fraction(task, now), 3) if task.part else 0.0,
    }


def parse_action(reply: str) -> str | tuple[float, ...] | None:
    """The one action that a reply names: words of :data:`ACTIONS`, or four numbers from -1 to 1; else None.

    Case, quotes, end punctuation and a list's number do not matter; nothing else is forgiven.
    """
    text = reply.strip().lower()
    if len(text) > 80:
        return None
    if re.fullmatch(r"[\[(]?\s*-?\d[\d.]*\s*(,\s*-?\d[\d.]*\s*){3}[\])]?", text):
        try:
            numbers = tuple(float(part) for part in text.strip("[]() ").split(","))
        except ValueError:
            return None
        return numbers if all(abs(number) <= 1 for number in numbers) else None
    text = re.sub(r"^\W*(\d+[.)])?[\W_]*|[\W_]+$", "", text)
    return text if text in ACTIONS else None


def hand_only(hand: Any) -> str:
    """What can be said of a hand ``(4,)`` where the rest is in a picture."""
    right, forward, up, opening = (float(value) for value in hand)
    side = "in the middle" if abs(right) < 0.05 else "to the right" if right > 0 else "to the left"
    fingers = "open" if opening > 0.7 else "closed"
    return (
        f"The hand is {side}, {round(forward * 20) * 5} cm forward and {round((up + FINGERS[2]) * 20) * 5} cm above "
        f"the table. The gripper is {fingers}. The rest is in the picture."
    )
