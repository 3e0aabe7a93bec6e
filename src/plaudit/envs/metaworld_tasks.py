"""MetaWorld's 50 tasks in words: what is wanted, what the object is called, and how far it can move.

The benchmark's state has one form for all tasks: where the hand is, how far the gripper is open, where one or two objects
are, where the goal is. What these numbers mean differs from task to task, and is told here, once. Lengths are in metres.

Source: metaworld 3.1.1, ``metaworld/envs/``; the travels are distances between object and goal after the first step.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What the numbers of one task mean."""

    goal: str
    """What is wanted: fits behind "The goal is to"."""
    thing: str
    """The object whose position the state begins with, and which the hand has to get to."""
    target: str = ""
    """Where it belongs, in words; empty for a mechanism."""
    part: str = ""
    """What is open, closed, pressed ..., where the object is part of a mechanism."""
    done: str = ""
    """What it is then: open, closed, pressed down ..."""
    axes: str = "xyz"
    """Directions in which the distance to the goal counts."""
    travel: float = 0.0
    """That distance where an episode begins; 0 where it differs from episode to episode."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """From the object's named point to the goal when the object is in its place."""
    carried: str = ""
    """A second object, the one that has to get to the goal, where the first is only a tool."""


def _place(goal: str, thing: str, target: str, **more: object) -> Task:
    return Task(goal, thing, target, **more)  # type: ignore[arg-type]


def _mechanism(goal: str, thing: str, part: str, done: str, axes: str, travel: float) -> Task:
    return Task(goal, thing, part=part, done=done, axes=axes, travel=travel)


SPOT = "the goal spot"
TASKS: dict[str, Task] = {
    "reach": Task("move the fingers of the robot hand to the goal spot", SPOT),
    "drawer-close": _mechanism(
        "close the drawer by pushing its handle", "the drawer's handle", "the drawer", "closed", "y", 0.16
    ),
    "drawer-open": _mechanism(
        "open the drawer by pulling its handle", "the drawer's handle", "the drawer", "open", "y", 0.19
    ),
    "button-press": _mechanism("press the button in the wall box", "the button", "the button", "pressed", "y", 0.093),
    "window-open": _mechanism(
        "open the window by pushing its handle sideways", "the window's handle", "the window", "open", "x", 0.24
    ),
    "window-close": _mechanism(
        "close the window by pushing its handle sideways", "the window's handle", "the window", "closed", "x", 0.21
    ),
    "push": _place("push the puck to the goal spot on the table", "the puck", SPOT),
    "pick-place": _place("pick up the puck and hold it at the goal spot", "the puck", SPOT),
    "sweep-into": _place("sweep the cube into the hole in the table", "the cube", "the hole"),
    "door-open": _mechanism("open the door by pulling its handle", "the door's handle", "the door", "open", "x", 0.491),
    "door-close": _mechanism("push the open door shut", "the door's handle", "the door", "closed", "xy", 0.559),
    "assembly": _place(
        "pick up the ring by its handle and put it over the peg", "the ring", "the peg", offset=(-0.134, 0.0, 0.0)
    ),
    "basketball": _place("pick up the ball and drop it into the basket", "the ball", "the basket"),
    "bin-picking": _place("take the cube from the red bin and put it into the blue bin", "the cube", "the blue bin"),
    "box-close": _place("pick up the lid and put it on the box", "the lid", "the box"),
    "button-press-topdown": _mechanism(
        "press the button down from above", "the button", "the button", "pressed", "z", 0.093
    ),
    "button-press-topdown-wall": _mechanism(
        "reach over the wall and press the button down from above", "the button", "the button", "pressed", "z", 0.093
    ),
    "button-press-wall": _mechanism(
        "reach over the wall and press the button", "the button", "the button", "pressed", "y", 0.093
    ),
    "coffee-button": _mechanism(
        "press the button of the coffee machine", "the button", "the button", "pressed", "y", 0.03
    ),
    "coffee-pull": _place("pull the mug away from the coffee machine to the goal spot", "the mug", SPOT),
    "coffee-push": _place("push the mug under the coffee machine", "the mug", "its place under the machine"),
    "dial-turn": _mechanism("turn the dial by half a turn", "the dial", "the dial", "turned", "xy", 0.08),
    "disassemble": _mechanism("lift the ring off the peg", "the ring's handle", "the ring", "lifted", "z", 0.151),
    "door-lock": _mechanism("turn the lock until it is locked", "the lock", "the lock", "locked", "z", 0.11),
    "door-unlock": _mechanism("turn the lock until it is unlocked", "the lock", "the lock", "unlocked", "x", 0.11),
    "hand-insert": _place("take the cube and put it into the hole in the table", "the cube", "the hole"),
    "faucet-open": _mechanism(
        "turn the faucet's handle counter-clockwise", "the faucet's handle", "the faucet", "open", "xy", 0.258
    ),
    "faucet-close": _mechanism(
        "turn the faucet's handle clockwise", "the faucet's handle", "the faucet", "closed", "xy", 0.258
    ),
    "hammer": _place(
        "pick up the hammer and drive the nail into the block",
        "the hammer",
        "the nail's end position",
        offset=(0.16, 0.09, -0.01),
    ),
    "handle-press-side": _mechanism(
        "press the handle down, reaching it from the side", "the handle", "the handle", "pressed down", "z", 0.096
    ),
    "handle-press": _mechanism("press the handle down", "the handle", "the handle", "pressed down", "z", 0.096),
    "handle-pull-side": _mechanism(
        "pull the handle up, reaching it from the side", "the handle", "the handle", "pulled up", "z", 0.122
    ),
    "handle-pull": _mechanism("pull the handle up", "the handle", "the handle", "pulled up", "z", 0.108),
    "lever-pull": _mechanism("lift the lever up", "the lever", "the lever", "lifted", "z", 0.2),
    "pick-place-wall": _place("pick up the puck and hold it at the goal spot behind the wall", "the puck", SPOT),
    "pick-out-of-hole": _place("take the puck out of the hole and hold it at the goal spot", "the puck", SPOT),
    "plate-slide": _place("slide the plate into the cabinet", "the plate", "the cabinet"),
    "plate-slide-side": _place("slide the plate sideways into the cabinet", "the plate", "the cabinet"),
    "plate-slide-back": _place("slide the plate back out of the cabinet to the goal spot", "the plate", SPOT),
    "plate-slide-back-side": _place("slide the plate sideways out of the cabinet to the goal spot", "the plate", SPOT),
    "peg-insert-side": _place(
        "pick up the peg and put it into the hole of the box", "the peg", "the hole", offset=(-0.19, 0.0, 0.0)
    ),
    "peg-unplug-side": _mechanism(
        "pull the plug out of the box sideways", "the plug", "the plug", "pulled out", "x", 0.11
    ),
    "soccer": _place("push the ball into the goal", "the ball", "the middle of the goal"),
    "stick-push": _place(
        "take the stick and push the flask with it to the goal spot", "the stick", SPOT, carried="the flask"
    ),
    "stick-pull": _place(
        "take the stick, hook it into the flask's handle and pull the flask to the goal spot",
        "the stick",
        SPOT,
        carried="the flask",
    ),
    "push-wall": _place("push the puck around the wall to the goal spot", "the puck", SPOT),
    "push-back": _place("pull the cube back to the goal spot", "the cube", SPOT),
    "reach-wall": Task("move the fingers of the robot hand over the wall to the goal spot", SPOT),
    "shelf-place": _place("pick up the cube and put it on the shelf", "the cube", "its place on the shelf"),
    "sweep": _place("sweep the cube off the table to the goal spot", "the cube", SPOT),
}
"""By name, without MetaWorld's ``-v3``."""
