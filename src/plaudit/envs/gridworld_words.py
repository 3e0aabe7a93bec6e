"""DoorKey in words: the goal, the rules, what has happened and what is seen, all from one observation.

The sentences state facts that the observation holds. None says whether something is good, near the goal or progress:
that is the judge's part.
"""

from __future__ import annotations

from typing import Any

GOAL = "use the key to open the locked door and then get to the goal square"
RULES = (
    "You are in two rooms that a wall parts. The door in the wall is locked. A key lies in your room, the goal square "
    "is in the other room. You pick up the key when you stand in front of it, unlock the door when you stand in front "
    "of it with the key in your hand, then walk through it. Answer with one action: turn left, turn right, "
    "move forward, pick up, drop, toggle (opens or closes the door in front of you), done (does nothing)."
)
ACTIONS = ("turn left", "turn right", "move forward", "pick up", "drop", "toggle", "done")
MACROS = ("go to the key", "open the door", "go to the goal", "done")
MACRO_RULES = (
    "You are in two rooms that a wall parts. The door in the wall is locked. A key lies in your room, the goal square "
    "is in the other room. Answer with one action: go to the key (and pick it up), open the door (go there with the key "
    "and unlock it), go to the goal (once the door is open), done (does nothing). What cannot be done does nothing."
)
EVENTS = (
    "You have just begun.",
    "Nothing happened.",
    "You turned.",
    "You walked forward.",
    "You bumped into a wall.",
    "Something was in your way.",
    "You picked up the key.",
    "You dropped the key.",
    "You unlocked the door with the key and it opened.",
    "You opened the door.",
    "You closed the door.",
    "The door is locked and did not open.",
    "You walked into the open doorway.",
    "You reached the goal square.",
)
(
    BEGIN,
    NOTHING,
    TURNED,
    MOVED,
    HIT_WALL,
    BLOCKED,
    PICKED_UP,
    DROPPED,
    UNLOCKED,
    OPENED,
    CLOSED,
    LOCKED,
    ENTERED_DOORWAY,
    REACHED_GOAL,
) = range(len(EVENTS))

DOOR_STATES = ("open", "closed", "locked")
_THINGS = {"key": 5, "door": 4, "goal": 8}


def features(obs: Any) -> dict[str, bool | int | float | str]:
    """Symbolic facts of one observation; distances in cells, -1 where the thing is not in sight."""
    image = obs["image"]
    columns, rows = image.shape[:2]
    # Plain lists: for one small view they are ten times as fast as numpy's searches.
    cells = image[:, :, 0].ravel().tolist()
    agent = (columns // 2) * rows + rows - 1
    carrying = cells[agent] == _THINGS["key"]
    cells[agent] = 0
    facts: dict[str, bool | int | float | str] = {
        "event": EVENTS[int(obs["event"])],
        "carrying_key": carrying,
        "direction": ("east", "south", "west", "north")[int(obs["direction"])],
        "door_state": "unknown",
    }
    for name, code in _THINGS.items():
        seen = code in cells
        column, row = divmod(cells.index(code), rows) if seen else (columns // 2, rows - 1)
        right, ahead = column - columns // 2, rows - 1 - row
        facts[f"{name}_visible"], facts[f"{name}_right"], facts[f"{name}_ahead"] = seen, right, ahead
        facts[f"{name}_distance"] = abs(right) + ahead if seen else -1
        if seen and name == "door":
            facts["door_state"] = DOOR_STATES[int(image[column, row, 2])]
    return facts


def _where(right: int, ahead: int) -> str:
    if right == 0:
        return "right in front of you" if ahead == 1 else "straight ahead"
    side = "right" if right > 0 else "left"
    return f"ahead to the {side}" if ahead > 0 else f"to the {side}"


def describe(obs: Any) -> str:
    """What is in sight, what is in hand, what has just happened.

    The order matters to a small model: it weighs what it read last (docs/judging.md has the figures).
    """
    facts = features(obs)
    names = {"key": "the key", "door": f"the {facts['door_state']} door", "goal": "the goal square"}
    seen = [
        f"{names[name]} {_where(int(facts[f'{name}_right']), int(facts[f'{name}_ahead']))}"
        for name in names
        if facts[f"{name}_visible"]
    ]
    view = f"You see {' and '.join(seen)}." if seen else "You see only walls and floor."
    hand = "You hold the key." if facts["carrying_key"] else "Your hands are empty."
    return f"{view} {hand} {facts['event']}"
