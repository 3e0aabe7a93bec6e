"""NetHack in words: actions, what is seen, the status line, what changed, what the game says; all from one observation.

The sentences state facts that the observation holds, as a player would tell them. None says whether something is good,
and none knows a score, a reward or an end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from nle import nethack
from numpy.typing import NDArray

from plaudit.envs import nethack_reader as reader
from plaudit.spaces import to_text

_COMPASS = {"N": "north", "E": "east", "S": "south", "W": "west"}
_COMPASS |= {"NE": "northeast", "SE": "southeast", "SW": "southwest", "NW": "northwest"}
_HUNGER = ("satiated", "not hungry", "hungry", "weak from hunger", "fainting", "fainted", "starved")
_BURDEN = ("", "burdened", "stressed", "strained", "overtaxed", "overloaded")
_KINDS = {nethack.POTION_CLASS: "potion", nethack.SCROLL_CLASS: "scroll", nethack.RING_CLASS: "ring"}
_KINDS |= {nethack.WAND_CLASS: "wand", nethack.SPBOOK_CLASS: "spellbook", nethack.AMULET_CLASS: "amulet"}
_DULL = ("stone", "wall", "dark part of a room", "floor of a room", "corridor", "lit corridor", "doorway")
THINGS = 5
"""Things nearby that are named, the nearest ones."""


def action_words(actions: Sequence[Any]) -> list[str]:
    """nle's keys in words: ``north``, ``far north``, ``kick``, ``search``; ``more`` turns a page."""
    words = []
    for action in actions:
        name, kind = action.name, type(action).__name__
        if kind.startswith("Compass"):
            words.append(("far " if kind.endswith("Longer") else "") + _COMPASS[name])
        else:
            words.append({"RUSH2": "rush again"}.get(name, name.lower()))
    return words


def parse_action(reply: str, words: Sequence[str], keys: Sequence[int]) -> int | None:
    """The one action that a reply names, by its word or, as the game's questions want it, by its key; else None."""
    text = reply.strip()
    if len(text) == 1 and ord(text) in keys:
        return keys.index(ord(text))
    if len(text) > 60:
        return None
    text = re.sub(r"^\W*(\d+[.)])?[\W_]*|[\W_]+$", "", text.lower())
    return words.index(text) if text in words else None


def glyph_name(glyph: int) -> str:
    """What a player calls this glyph; empty for what is not worth a word. Objects by their looks, not by what they are."""
    if glyph >= nethack.MAX_GLYPH:
        return ""
    if nethack.glyph_is_monster(glyph):
        name = nethack.permonst(nethack.glyph_to_mon(glyph)).mname
        return f"tame {name}" if nethack.glyph_is_pet(glyph) else name
    if nethack.glyph_is_statue(glyph):
        return "statue"
    if nethack.glyph_is_body(glyph):
        return f"{nethack.permonst(glyph - nethack.GLYPH_BODY_OFF).mname} corpse"
    if nethack.glyph_is_object(glyph):
        number = nethack.glyph_to_obj(glyph)
        kind = _KINDS.get(ord(nethack.objclass(number).oc_class), "")
        looks = nethack.objdescr.from_idx(number)
        return f"{looks.oc_descr or looks.oc_name} {kind}".rstrip()
    if nethack.glyph_is_cmap(glyph):
        name = nethack.symdef.from_idx(nethack.glyph_to_cmap(glyph)).explanation
        return "" if name in _DULL else name
    return ""


def where(east: int, south: int) -> str:
    """``3 squares to the east and 1 to the north``."""
    parts = [(abs(east), "east" if east > 0 else "west"), (abs(south), "south" if south > 0 else "north")]
    told = [(count, side) for count, side in parts if count]
    first = f"{told[0][0]} square{'s' * (told[0][0] > 1)} to the {told[0][1]}"
    return first + (f" and {told[1][0]} to the {told[1][1]}" if told[1:] else "")


Numbers = dict[str, int]


def numbers(obs: Any) -> tuple[Numbers, Numbers]:
    """The status line, and what changed in it, as whole numbers by name."""
    status = np.rint(obs["status"] * reader.SCALE).astype(int).tolist()
    change = np.rint(obs["change"] * reader.CHANGE_SCALE).astype(int).tolist()
    return dict(zip(reader.STATUS, status, strict=True)), dict(zip(reader.CHANGE, change, strict=True))


@cache
def _names() -> list[str]:
    """Name of every glyph, the staircase down left out since it has a sentence of its own."""
    return ["" if glyph == reader.STAIRS_DOWN else glyph_name(glyph) for glyph in range(reader.NO_GLYPH + 1)]


def _outwards() -> list[tuple[int, int, int]]:
    """Cells of the crop around the hero, nearest first: index, squares to the east, squares to the south."""
    cells = [(*divmod(i, reader.CROP)[::-1], i) for i in range(reader.CROP**2)]
    away = [(i, column - reader.PAD, row - reader.PAD) for column, row, i in cells]
    return sorted(away, key=lambda c: (max(abs(c[1]), abs(c[2])), abs(c[1]) + abs(c[2]), c))[1:]


_OUTWARDS = _outwards()


def things(crop: NDArray[np.integer], most: int = THINGS) -> list[tuple[int, int, str]]:
    """The nearest things: squares to the east, squares to the south, name; without the hero and the staircase down."""
    cells, names, found = crop.ravel().tolist(), _names(), []
    for index, east, south in _OUTWARDS:
        if name := names[cells[index]]:
            found.append((east, south, name))
            if len(found) == most:
                break
    return found


def sight(now: Numbers, crop: NDArray[np.integer]) -> str:
    """The stairs, then what is near."""
    if now["on_stairs"]:
        told = "You stand on the staircase down."
    elif now["stairs_seen"]:
        told = f"You see the staircase down, {where(now['stairs_east'], now['stairs_south'])}."
    else:
        told = "You see no staircase down."
    near = [f"{name}, {where(east, south)}" for east, south, name in things(crop)]
    return f"{told} Near you: {'; '.join(near)}." if near else told


def status_line(now: Numbers) -> str:
    """The status line in words."""
    state = [_HUNGER[min(now["hunger"], len(_HUNGER) - 1)], _BURDEN[min(now["burden"], len(_BURDEN) - 1)]]
    state += [condition for condition in reader.CONDITIONS if now[condition]]
    carried = f"You carry {now['items']} things" + (", a key among them." if now["has_key"] else ".")
    return (
        f"You are on dungeon level {now['depth']}, with {now['hp']} of {now['max_hp']} hit points, {now['gold']} gold, "
        f"experience level {now['level']}, {' and '.join(word for word in state if word)}. {carried}"
    )


def changes(now: Numbers, change: Numbers) -> list[str]:
    """What is different from before, the weightiest last."""
    if not change["steps"]:
        return ["You have just begun."]
    moved = change["x"] or change["y"]
    told = []
    for name, noun in (("items", "things"), ("gold", "gold"), ("hp", "hit points")):
        if change[name]:
            more = {"items": ("have taken", "have lost"), "gold": ("gained", "lost"), "hp": ("gained", "lost")}[name]
            told.append(f"You {more[change[name] < 0]} {abs(change[name])} {noun}.")
    if change["hunger"]:
        told.append(f"You are now {_HUNGER[min(now['hunger'], len(_HUNGER) - 1)]}.")
    if change["level"]:
        told.append(f"You {'rose' if change['level'] > 0 else 'fell'} to experience level {now['level']}.")
    if change["depth"]:
        told.append(f"You went {'down' if change['depth'] > 0 else 'up'} to dungeon level {now['depth']}.")
        return told
    told.append(f"You walked {_side(change['x'], change['y'])}." if moved else "You did not get anywhere.")
    if change["explored"] > 0:
        told.append(f"You discovered {change['explored']} new square{'s' * (change['explored'] > 1)}.")
    return told + _stairs(now, change)


def _side(east: int, south: int) -> str:
    return ("south" if south > 0 else "north" if south else "") + ("east" if east > 0 else "west" if east else "")


def _stairs(now: Numbers, change: Numbers) -> list[str]:
    if now["on_stairs"] and (change["x"] or change["y"]):
        return ["You stepped onto the staircase down."]
    if change["stairs_seen"] > 0:
        return ["The staircase down came into sight."]
    if now["stairs_seen"] and change["stairs_distance"]:
        near = change["stairs_distance"] < 0
        return [f"You {'approached' if near else 'went away from'} the staircase down."]
    return []


def message(obs: Any) -> str:
    """What the game says, in one line."""
    return " ".join(to_text(obs["message"]).split())


def screen(obs: Any) -> str:
    """The terminal, without empty lines and the blanks at the lines' ends."""
    rows = bytes(obs["screen"]).decode("latin-1")
    lines = [rows[i : i + reader.COLUMNS].rstrip() for i in range(0, len(rows), reader.COLUMNS)]
    return "\n".join(line for line in lines if line)


def describe(obs: Any, description: str) -> str:
    """An observation as an LLM is shown it."""
    if description == "screen":
        return screen(obs)
    now, change = numbers(obs)
    said = message(obs)
    told = f'The game says: "{said}"' if said else ""
    if description == "news":
        return " ".join(part for part in (*changes(now, change)[-1:], told) if part)
    if description == "changes":
        begin = f"In the last {change['steps']} steps:" if change["steps"] else ""
        return " ".join(part for part in (begin, *changes(now, change), told) if part)
    return " ".join(part for part in (sight(now, obs["crop"]), status_line(now), *changes(now, change), told) if part)


def view(obs: Any, description: str) -> str:
    """The same for one who acts: the descriptions that tell only of changes, with what is seen before them."""
    if description != "changes":
        return describe(obs, "status" if description == "news" else description)
    now, _ = numbers(obs)
    return " ".join(part for part in (sight(now, obs["crop"]), status_line(now), describe(obs, description)) if part)


def event(obs: Any) -> str:
    """What has just happened, without numbers: what the game says, or else the change that weighs most."""
    said = message(obs)
    return re.sub(r"\s*\d+( squares?)?", "", said or changes(*numbers(obs))[-1])


def features(obs: Any) -> dict[str, bool | int | float | str]:
    """Symbolic facts of one observation; distances in moves, -1 where no stairs are known."""
    now, change = numbers(obs)
    seen = bool(now["stairs_seen"])
    facts: dict[str, bool | int | float | str] = {
        name: now[name] for name in (*reader.BLSTATS, "items", "stairs_east", "stairs_south")
    }
    facts |= {"stairs_visible": seen, "on_stairs": bool(now["on_stairs"]), "has_key": bool(now["has_key"])}
    facts |= {"hallucinating": bool(now["hallucinating"]), "message": message(obs), "event": event(obs)}
    facts["stairs_distance"] = max(abs(now["stairs_east"]), abs(now["stairs_south"])) if seen else -1
    return facts | {f"{name}_change": change[name] for name in reader.CHANGE}
