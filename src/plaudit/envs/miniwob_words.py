"""A web page in words: its text with numbered elements, what the last action did, facts, and actions as they are written.

Everything comes from one observation. The page travels in it as a table in text, a line for each element, its parts
divided by tabs; :func:`read` takes it apart again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from miniwob.fields import get_field_extractor

from plaudit.envs.miniwob_tasks import FIELDS, PAGE, Task
from plaudit.spaces import to_text

UTTERANCE, PAGE_BYTES, EVENT = 400, 4000, 320
"""Bytes of the three texts in an observation."""
GOAL = "do what the web page's instruction asks for"
RULES = (
    "You see a small web page: its instruction, then its elements, each with a number in brackets. Do one thing at a time "
    "and finish as the instruction says, often by a press on Submit. A wrong answer ends the page. "
)
HOW = {
    "elements": "Answer with one action: click 3 (clicks on element 3, or chooses it from a list), "
    "type 3 a (writes text a, of those that the page calls for, into the text field 3), press Enter (one key), drag 2 5 "
    "(drags element 2 onto 5), wait. "
    "Only what a page needs can be done.",
    "coordinates": "Answer with one action, places in pixels from the top left of a page of 160 x 210: click 85 125, "
    "press 85 125 and release 95 135 (to drag), type a (writes text a into the field that was clicked), key Enter, wait.",
}
BEGIN = "You have just opened the page."
FLAGS = ("focused", "ticked", "clicked before", "disabled")
WRITABLE = ("text field", "text area", "password field")
TICKED = ("checkbox", "radio", "option")
_LINE = re.compile(r"\s+")


def quoted(text: str) -> str:
    """A page's own text inside a sentence, which it cannot end: double quotes in it become single ones."""
    return '"' + text.replace('"', "'") + '"'


@dataclass(frozen=True)
class Element:
    """One element of a page."""

    role: str
    """What it is: button, link, text field, ..."""
    name: str
    """Its text or label."""
    value: str
    """What a field holds."""
    flags: int
    """Bits, see ``FLAGS``."""
    box: tuple[int, int, int, int]
    """Left, top, width and height in pixels of the page."""

    def has(self, flag: str) -> bool:
        """Whether it is focused, ticked, ..."""
        return bool(self.flags >> FLAGS.index(flag) & 1)

    @property
    def title(self) -> str:
        """Role and name: ``button "Ok"``."""
        return f"{self.role} {quoted(self.name)}" if self.name else self.role


def elements(rows: Sequence[Sequence[Any]]) -> list[Element]:
    """What the page's script lists."""
    clean = lambda text: _LINE.sub(" ", text).strip()  # noqa: E731
    return [Element(row[0], clean(row[1]), clean(row[2]), row[3], tuple(row[4:8])) for row in rows]


def write(page: Sequence[Element]) -> str:
    """The table; lines that do not fit into ``PAGE_BYTES`` are left out."""
    lines, room = [], PAGE_BYTES
    for e in page:
        line = "\t".join((e.role, e.name, e.value, str(e.flags), *map(str, e.box)))
        room -= len(line.encode()) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(lines)


@lru_cache(maxsize=4096)
def _parse(table: str) -> tuple[Element, ...]:
    found = []
    for line in table.split("\n"):
        parts = line.split("\t")
        if len(parts) == 8:
            left, top, width, height = map(int, parts[4:])
            found.append(Element(parts[0], parts[1], parts[2], int(parts[3]), (left, top, width, height)))
    return tuple(found)


def read(obs: Any) -> tuple[Element, ...]:
    """The elements of an observation's page."""
    return _parse(to_text(obs["page"]))


def utterance(obs: Any) -> str:
    """The page's instruction."""
    return to_text(obs["utterance"])


def named(text: str, asked: str) -> int:
    """Whether the instruction names this: 2 in full, 1 by one of its words, 0 not at all."""
    text, asked = text.lower().strip(" .:"), asked.lower()
    if not text:
        return 0
    if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", asked):
        return 2
    words = set(re.findall(r"\w{3,}", text))
    return int(bool(words & set(re.findall(r"\w{3,}", asked))))


@lru_cache(maxsize=4096)
def fields(task: str, asked: str) -> tuple[str, ...]:
    """The values that the instruction gives, as the package reads them; of free wording what is quoted, then the names."""
    try:
        found = get_field_extractor(task)(asked)
    except (KeyError, ValueError):
        return tuple(dict.fromkeys(re.findall(r'"([^"]+)"', asked) + re.findall(r"(?<=\w )[A-Z]\w+", asked)))
    return tuple(str(value) for _, value in found)


def texts(task: Task, asked: str, page: Sequence[Element]) -> list[str]:
    """What can be typed now, at most ``task.texts``."""
    if task.source == FIELDS:
        return list(fields(task.name, asked)[: task.texts])
    if task.source == PAGE:
        return [(e.value or e.name) if e.role in WRITABLE else e.name for e in page][: task.texts]
    every = [word for e in page for word in (e.value if e.role in WRITABLE else e.name).split()]
    if len(every) > task.texts:  # the first and the last ones
        every = every[: task.texts - 8] + every[-8:]
    return every


def relation(text: str, asked: str) -> str:
    """A clause on whether the instruction names this."""
    return (
        (", which the instruction does not name", "", ", which the instruction names")[named(text, asked)]
        if text
        else ""
    )


def event(command: Sequence[Any] | None, before: Sequence[Element], after: Sequence[Element], asked: str) -> str:
    """What an action did, in a sentence or two."""
    if command is None:
        return "You waited."
    kind, *args = command
    quiet = " Nothing on the page changed." if [*before] == [*after] else ""
    if kind == "click":
        return _clicked(before[args[0]], args[0], before, after, asked) + quiet
    if kind == "type":
        return f"You typed {quoted(args[1])}{relation(args[1], asked)}, into the {before[args[0]].title}.{quiet}"
    if kind == "write":
        return f"You typed {quoted(args[0])}{relation(args[0], asked)}.{quiet}"
    if kind == "key":
        return f"You pressed the key {args[0]}.{quiet}"
    if kind == "drag":
        return f"You dragged the {before[args[0]].title} onto the {before[args[1]].title}.{quiet}"
    verb = {"click_at": "clicked", "press_at": "pressed the mouse", "release_at": "released the mouse"}[kind]
    on = at(before, *args)
    where = f", on the {on.title}{relation(on.name, asked)}" if on else ""
    return f"You {verb} at {args[0]}, {args[1]}{where}.{quiet}"


def _clicked(element: Element, number: int, before: Sequence[Element], after: Sequence[Element], asked: str) -> str:
    about = relation(element.name, asked)
    if element.role in ("checkbox", "radio") and len(before) == len(after):
        verb = "ticked" if after[number].has("ticked") else "cleared"
        return f"You {verb} the {element.title}{about}."
    if element.role == "option":
        return f"You chose the {element.title}{about}."
    gone = len(after) < len(before) - 1
    more = len(after) > len(before) + 1
    return f"You clicked the {element.title}{about}." + (
        " The page shows less." if gone else " The page shows more." if more else ""
    )


def at(page: Sequence[Element], x: int, y: int) -> Element | None:
    """The smallest element at a place."""
    over = [e for e in page if e.box[0] <= x < e.box[0] + e.box[2] and e.box[1] <= y < e.box[1] + e.box[3]]
    return min(over, key=lambda e: e.box[2] * e.box[3], default=None)


def line(number: int, element: Element) -> str:
    """One element as an LLM reads it."""
    value = f" = {quoted(element.value)}" if element.value else " (empty)" if element.role in WRITABLE else ""
    told = ", ".join(name for name in FLAGS if element.has(name) and name != "clicked before")
    return f"[{number}] {element.title}{value}" + (f" ({told})" if told else "")


def describe(obs: Any, kind: str) -> str:
    """The instruction, what is seen as ``kind`` says, and what has just happened, which a small model weighs most.

    ``page``: all elements; ``summary``: how the form stands beside the instruction; ``event``: nothing.
    """
    asked, page, happened = utterance(obs), read(obs), to_text(obs["event"])
    if kind == "summary":
        return f"{_summary(asked, page)} {nameless(happened)}".strip()
    shown = " ".join(line(i, e) for i, e in enumerate(page)) or "nothing with a text"
    seen = f" The page shows: {shown}." if kind == "page" else ""
    return f"The instruction is: {asked}{seen} {happened}"


def nameless(happened: str) -> str:
    """What an action did, without names, places and texts: ``You ticked the checkbox, which the instruction names.``"""
    # What was too long for an observation ends within a name.
    happened = re.sub(r'^You typed "[^"]*("|$)', "You typed a text", happened)
    return re.sub(r' "[^"]*("|$)| at \d+, \d+', "", happened)


def _summary(asked: str, page: Sequence[Element]) -> str:
    """What a form holds, counted beside what the instruction names; without names, so that one state reads as the other."""
    boxes = [(named(e.name, asked) == 2, e.has("ticked")) for e in page if e.role in TICKED]
    fields = [e for e in page if e.role in WRITABLE]
    parts = []
    if any(wanted for wanted, _ in boxes):
        right, wrong = sum(a and b for a, b in boxes), sum(b and not a for a, b in boxes)
        others = f"{wrong or 'no'} other{'' if wrong == 1 else 's'}"
        parts.append(f"{_of(right, sum(a for a, _ in boxes))} of the named boxes are ticked and {others}.")
    if fields:
        right = len({e.value for e in fields if named(e.value, asked) == 2})
        parts.append(f"{_of(right, len(fields))} of the fields hold a text that the instruction names.")
    return " ".join(parts)


def _of(part: int, whole: int) -> str:
    """How many, in words that a small model tells apart."""
    return "None" if part == 0 else "All" if part == whole else f"{part} of {whole}"


def facts(obs: Any) -> dict[str, bool | int | float | str]:
    """Symbolic facts of one observation."""
    asked, page, happened = utterance(obs), read(obs), to_text(obs["event"])
    filled = [e for e in page if e.role in WRITABLE and e.value]
    ticks = [e for e in page if e.role in TICKED]
    ticked = [e for e in ticks if e.has("ticked")]
    focused = next((e.title for e in page if e.has("focused")), "")
    return {
        "instruction": asked,
        "event": happened,
        "elements": len(page),
        "focused": focused,
        "fields": sum(e.role in WRITABLE for e in page),
        "fields_filled": len(filled),
        "fields_filled_with_named_text": sum(named(e.value, asked) == 2 for e in filled),
        "boxes": len(ticks),
        "boxes_ticked": len(ticked),
        "boxes_ticked_and_named": sum(named(e.name, asked) == 2 for e in ticked),
        "boxes_named": sum(named(e.name, asked) == 2 for e in ticks),
        "last_named_by_instruction": ", which the instruction names" in happened,
        "last_changed_nothing": happened.endswith("Nothing on the page changed."),
    }


def progress(task: str, asked: str, page: Sequence[Element]) -> float:
    """For measuring only: the part of what is asked for that a form holds, below 1; 0 where that cannot be told."""
    wanted = fields(task, asked)
    if task.startswith("click-checkboxes") and task != "click-checkboxes-soft":
        ticked = [e.name for e in page if e.role == "checkbox" and e.has("ticked")]
        wanted = tuple(text for text in wanted if text)
        right = sum(name in wanted for name in ticked)
        done = (right - (len(ticked) - right)) / max(1, len(wanted))
    elif task in ("enter-text", "enter-text-dynamic", "enter-password", "login-user"):
        if task == "enter-password":
            wanted = wanted * 2
        values = [e.value for e in page if e.role in WRITABLE]
        done = sum(a == b for a, b in zip(values, wanted, strict=False)) / max(1, len(wanted))
    else:
        return 0.0
    return max(0.0, done) * 0.9
