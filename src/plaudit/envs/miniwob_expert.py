"""Scripted solvers for 26 tasks: what the instruction asks for, read by rules, one action at a time.

They see what an agent sees: the instruction and the listed elements. A reference, and the proof that a task can be solved
by the actions that there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.envs import miniwob_words as words
from plaudit.envs.miniwob_acting import LETTERS
from plaudit.vector import rows

if TYPE_CHECKING:
    from plaudit.envs.miniwob import MiniWoB

Page = tuple[words.Element, ...]


class Expert:
    """A policy for one task."""

    def __init__(self, world: MiniWoB) -> None:
        self.world, self.solve = world, KNOWN[world.task.name]

    def act(self, observations: Any) -> NDArray[np.int64]:
        """One action for each observation of a batch, ``(n,)``; to wait where there is nothing left to do."""
        return np.array([self._one(obs) for obs in rows(observations)])

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Nothing is remembered."""

    def _one(self, obs: Any) -> int:
        asked = words.utterance(obs)
        word = self.solve(words.read(obs), words.fields(self.world.task.name, asked), asked)
        return self.world.parse_action(word) or 0


def find(page: Page, name: str, *roles: str) -> int | None:
    """Number of the first element of this name, in this case or else in any, among these kinds (all, if none is given)."""
    among = [(i, e.name) for i, e in enumerate(page) if not roles or e.role in roles]
    exact = (i for i, own in among if own == name.strip())
    return next(exact, next((i for i, own in among if own.lower() == name.lower().strip()), None))


def first(page: Page, *roles: str) -> list[int]:
    """Numbers of the elements of these kinds."""
    return [i for i, e in enumerate(page) if e.role in roles]


def click(number: int | None) -> str:
    """To click it, or to wait where there is none."""
    return "wait" if number is None else f"click {number}"


def press(page: Page, *names: str) -> str:
    """To click the first of these that is there."""
    return click(next((n for name in names if (n := find(page, name)) is not None), None))


def fill(page: Page, values: tuple[str, ...], order: tuple[int, ...], *done: str) -> str:
    """To type the values of these numbers into the fields in turn, then to press the button."""
    for number, which in zip(first(page, *words.WRITABLE), order, strict=False):
        if page[number].value != values[which]:
            return f"type {number} {LETTERS[which]}"
    return press(page, *done)


def _click_test_2(page: Page, values: tuple[str, ...], asked: str) -> str:
    return press(page, "ONE")


def _named(page: Page, values: tuple[str, ...], asked: str) -> str:
    return click(find(page, values[-1])) if values else "wait"


def _dialog_2(page: Page, values: tuple[str, ...], asked: str) -> str:
    return press(page, "Close" if values[0] in ("x", "X") else values[0])


def _focus(page: Page, values: tuple[str, ...], asked: str) -> str:
    order = int(re.sub(r"\D", "", values[0])) - 1 if values else 0
    return click(first(page, *words.WRITABLE)[order])


def _option(page: Page, values: tuple[str, ...], asked: str) -> str:
    for number, e in enumerate(page):
        if e.name == values[0] and not e.has("ticked"):
            return click(number)
    return press(page, "Submit")


def _checkboxes(page: Page, values: tuple[str, ...], asked: str) -> str:
    for number in first(page, "checkbox"):
        if (page[number].name in values) != page[number].has("ticked"):
            return click(number)
    return press(page, "Submit")


def _scroll_list(page: Page, values: tuple[str, ...], asked: str) -> str:
    wanted = [name.strip() for name in values[0].split(",")]
    for number in first(page, "option"):
        if (page[number].name in wanted) != page[number].has("ticked"):
            return click(number)
    return press(page, "Submit")


def _widget(page: Page, values: tuple[str, ...], asked: str) -> str:
    kinds = {"text": "text field", "textarea": "text area"}
    return click(next(iter(first(page, kinds.get(values[0], values[0]))), None))


def _sequence(page: Page, values: tuple[str, ...], asked: str) -> str:
    one = find(page, "ONE")
    return click(one if one is not None and not page[one].has("clicked before") else find(page, "TWO"))


def _email(page: Page, values: tuple[str, ...], asked: str) -> str:
    """Star, delete, or open and answer; ``values`` of the package: what, by whom, and the text or the receiver."""
    what, who = _email_task(asked)
    if what in ("star", "delete"):
        icon = "trash" if what == "delete" else "star"
        mail = find(page, who)
        return click(next((i for i, e in enumerate(page) if mail is not None and i > mail and e.name == icon), None))
    if (send := find(page, f"send-{what}")) is not None:
        text = re.findall(r'"([^"]*)"', asked)[-1] if what == "reply" else asked.rsplit(" to ", 1)[-1].strip(" .")
        field = first(page, "text area" if what == "reply" else "text field")[0]
        which = next((k for k, value in enumerate(values) if value == text), None)
        return click(send) if page[field].value == text or which is None else f"type {field} {LETTERS[which]}"
    if (link := find(page, what)) is not None:
        return click(link)
    return click(find(page, who))


def _email_task(asked: str) -> tuple[str, str]:
    who = re.search(r"by (\w+)", asked)
    what = next((word for word in ("reply", "forward", "delete", "trash", "star") if word in asked.lower()), "star")
    return {"trash": "delete"}.get(what, what), who[1] if who else ""


Solver = Callable[[Page, tuple[str, ...], str], str]
KNOWN: dict[str, Solver] = {
    "click-test": lambda page, values, asked: click(0),
    "click-test-2": _click_test_2,
    "click-test-transfer": _click_test_2,
    "click-button": lambda page, values, asked: click(find(page, values[0], "button")),
    "click-button-sequence": _sequence,
    "click-checkboxes": _checkboxes,
    "click-checkboxes-large": _checkboxes,
    "click-checkboxes-transfer": _checkboxes,
    "click-dialog": lambda page, values, asked: press(page, "Close"),
    "click-dialog-2": _dialog_2,
    "click-link": _named,
    "click-option": _option,
    "click-scroll-list": _scroll_list,
    "click-widget": _widget,
    "choose-list": _option,
    "email-inbox": _email,
    "email-inbox-important": _email,
    "email-inbox-delete": _email,
    "email-inbox-reply": _email,
    "enter-password": lambda page, values, asked: fill(page, values, (0, 0), "Submit"),
    "enter-text": lambda page, values, asked: fill(page, values, (0,), "Submit"),
    "enter-text-dynamic": lambda page, values, asked: fill(page, values, (0,), "Submit"),
    "enter-date": lambda page, values, asked: _enter_date(page, values),
    "focus-text": _focus,
    "focus-text-2": _focus,
    "login-user": lambda page, values, asked: fill(page, values, (0, 1), "Login"),
}
"""Solvers by task."""


def _enter_date(page: Page, values: tuple[str, ...]) -> str:
    month, day, year = values[0].split("/")
    wanted = f"{year}-{month}-{day}"
    field = first(page, "text field")[0]
    return press(page, "Submit") if page[field].value == wanted else f"type {field} a"
