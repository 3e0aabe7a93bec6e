"""A sitting: which page shows which pair, what was answered, what was taken back. One lock; every answer is on the disk
before the next pair is given out."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal

from plaudit.labelling.plan import Plan, Task
from plaudit.labels import Answer, Label, LabelBook
from plaudit.prompts import MAX_OBSERVATION

LEASE = 600.0
"""Seconds for which a pair belongs to the page that shows it."""
ANSWERS: dict[str, tuple[Answer, float | None]] = {
    "left": ("left", 1.0),
    "right": ("right", 0.0),
    "tie": ("tie", 0.5),
    "skip": ("skip", None),
}
"""What a page may send, and P(left is better)."""
KEPT = 256
"""Items whose pictures are kept in memory."""
Pictures = Callable[[str], Sequence[bytes]]
"""From an item's text to its pictures as PNG, none where there are none."""
Selection = Literal["uniform", "disputed"]


class Session:
    """What the pages of one person share.

    Args:
        book: where labels are kept.
        plan: what comes next.
        goal: as the judge is told it.
        pictures: of an item.
        selection: how the plan's pairs were drawn.
    """

    def __init__(
        self, book: LabelBook, plan: Plan, goal: str, pictures: Pictures, selection: Selection = "uniform"
    ) -> None:
        self.book, self.plan, self.goal, self.selection = book, plan, goal, selection
        self._draw = pictures
        self._pictures: OrderedDict[str, list[bytes]] = OrderedDict()
        self._shown: dict[str, tuple[Task, float]] = {}
        """By page: what it shows, and since when."""
        self._given: dict[str, list[int]] = {}
        """By page: the labels it gave, the last one last."""
        self._lock = threading.Lock()

    def next(self, tab: str) -> dict[str, Any]:
        """What this page is to show: what it shows already, where that is still open."""
        with self._lock:
            return self._state(tab)

    def answer(self, tab: str, key: str, answer: str, seconds: float) -> dict[str, Any]:
        """Keep an answer and go on. A second answer to the same question is not kept, and the page is told."""
        said, probability = ANSWERS[answer]
        with self._lock:
            task, _ = self._shown.pop(tab, (None, 0.0))
            if task is None or task.key != key or self._answered(task):
                return self._state(tab) | {"notice": "This pair was answered in another window."}
            label = self.book.add(
                left=task.left,
                right=task.right,
                answer=said,
                probability=probability,
                turn=task.turn,
                selection=self.selection,
                seconds=round(min(max(seconds, 0.0), 86_400.0), 2),
            )
            self._given.setdefault(tab, []).append(label.id)
            return self._state(tab)

    def undo(self, tab: str) -> dict[str, Any]:
        """Take back this page's last answer, else the last of all, and show that pair again."""
        with self._lock:
            there = {label.id: label for label in self.book.labels}
            mine = [number for number in self._given.get(tab, []) if number in there]
            if not there:
                return self._state(tab) | {"notice": "There is nothing to take back."}
            label = self.book.undo(mine[-1] if mine else self.book.labels[-1].id)
            self._given[tab] = mine[:-1]
            name = self.plan.task(label.pair, label.turn).key
            self._shown[tab] = Task(name, label.left, label.right, label.turn), time.monotonic()
            return self._state(tab)

    def more(self, tab: str, count: int) -> dict[str, Any]:
        """Go on beyond the target."""
        with self._lock:
            self.plan.more(count)
            return self._state(tab)

    def picture(self, text_key: str, number: int) -> bytes | None:
        """A picture that a state has named."""
        with self._lock:
            kept = self._pictures.get(text_key, [])
        return kept[number] if 0 <= number < len(kept) else None

    def _answered(self, task: Task) -> bool:
        pair = {task.left, task.right}
        return any({each.left, each.right} == pair and each.turn == task.turn for each in self.book.labels)

    def _state(self, tab: str) -> dict[str, Any]:
        now = time.monotonic()
        task, _ = self._shown.get(tab, (None, 0.0))
        if task is None or self._answered(task):
            others = {t.key for page, (t, since) in self._shown.items() if page != tab and now - since < LEASE}
            task = self.plan.next(self.book.labels, others)
        done, total = self.plan.counts(self.book.labels)
        state = {"goal": self.goal, "done": done, "total": total, "undo": bool(self.book.labels), "task": None}
        if task is None:
            self._shown.pop(tab, None)
            return state | {"left_over": len(self.plan.pairs) - self.plan.target}
        self._shown[tab] = task, now
        seats = {
            seat: self._item(text, f"{task.key}-{seat}") for seat, text in (("left", task.left), ("right", task.right))
        }
        return state | {"task": {"key": task.key} | seats}

    def _item(self, text: str, key: str) -> dict[str, Any]:
        if key not in self._pictures:
            self._pictures[key] = list(self._draw(text))
        self._pictures.move_to_end(key)
        while len(self._pictures) > KEPT:
            self._pictures.popitem(last=False)
        return {"text": readable(text), "pictures": [f"picture/{key}/{i}" for i in range(len(self._pictures[key]))]}


def readable(text: str) -> str:
    """The text as the judge is shown it, its lines kept: the middle left out where it is too long for a prompt, control
    characters as the symbols that stand for them."""
    text = text.encode("utf-8", "replace").decode().expandtabs()
    text = "".join(chr(0x2400 + ord(c)) if c < " " and c != "\n" else "\u2421" if c == "\x7f" else c for c in text)
    if len(text) > MAX_OBSERVATION:
        half = MAX_OBSERVATION // 2
        text = f"{text[:half]} [... {len(text) - 2 * half} characters left out ...] {text[-half:]}"
    return text.strip("\n")


def result(labels: Sequence[Label]) -> dict[str, int]:
    """How many answers of each kind, for the page's end."""
    return {answer: sum(each.answer == answer for each in labels) for answer in ANSWERS}
