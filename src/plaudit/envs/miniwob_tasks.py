"""The tasks of MiniWoB++ that do not run against time: what each needs to be acted on, and which are hard.

All numbers are upper bounds over many seeds; elements beyond them can be seen in the page's text, not acted on. A task that
is not in a table below is acted on by clicks alone, on up to 16 elements, in up to 10 steps.
Source: the pages and the registry of ``miniwob`` 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TIMED = {
    "button-delay": "a button has to be clicked at the right moment",
    "chase-circle": "the pointer has to stay in a moving circle",
    "hover-shape": "the pointer has to stay on a moving shape for seconds",
    "moving-items": "things that move have to be hit",
    "simon-says": "a sequence of lights is shown for a moment",
    "stock-market": "a price has to be caught while it moves",
}
"""Left out: they run against the clock. All but the last are also missing from the package's registry."""
OTHER_PAGES = dict.fromkeys(("flight.AA", "flight.Alaska", "flight.Alaska-auto"), "a whole web site of another size")
"""Left out: not MiniWoB's pages of 160 x 210 pixels."""

NAMES = _names("""
click-test ascending-numbers bisect-angle book-flight book-flight-nodelay buy-ticket choose-date choose-date-easy
choose-date-medium choose-date-nodelay choose-list circle-center click-button click-button-sequence click-checkboxes
click-checkboxes-large click-checkboxes-soft click-checkboxes-transfer click-collapsible click-collapsible-2
click-collapsible-2-nodelay click-collapsible-nodelay click-color click-dialog click-dialog-2 click-link click-menu
click-menu-2 click-option click-pie click-pie-nodelay click-scroll-list click-shades click-shape click-tab click-tab-2
click-tab-2-easy click-tab-2-hard click-tab-2-medium click-test-2 click-test-transfer click-widget copy-paste copy-paste-2
count-shape count-sides daily-calendar drag-box drag-circle drag-cube drag-items drag-items-grid drag-shapes drag-shapes-2
drag-single-shape drag-sort-numbers draw-circle draw-line email-inbox email-inbox-delete email-inbox-forward
email-inbox-forward-nl email-inbox-forward-nl-turk email-inbox-important email-inbox-nl-turk email-inbox-noscroll
email-inbox-reply email-inbox-star-reply enter-date enter-password enter-text enter-text-2 enter-text-dynamic enter-time
find-greatest find-midpoint find-word focus-text focus-text-2 form-sequence form-sequence-2 form-sequence-3
generate-number grid-coordinate guess-number highlight-text highlight-text-2 hot-cold identify-shape login-user
login-user-popup multi-layouts multi-orderings navigate-tree number-checkboxes odd-or-even order-food phone-book
read-table read-table-2 resize-textarea right-angle scroll-text scroll-text-2 search-engine sign-agreement
simple-algebra simple-arithmetic social-media social-media-all social-media-some terminal text-editor text-transform
tic-tac-toe unicode-test use-autocomplete use-autocomplete-nodelay use-colorwheel use-colorwheel-2 use-slider
use-slider-2 use-spinner visual-addition
""")

POINT = _names(
    "bisect-angle circle-center drag-box drag-circle drag-cube draw-circle draw-line find-midpoint hot-cold "
    "resize-textarea right-angle use-colorwheel use-colorwheel-2"
)
"""Tasks about places where no element is: to be solved by coordinates only."""

HARD = {
    "book-flight": "fields with suggestions, a calendar, then a comparison of results",
    "click-checkboxes-large": "up to twelve boxes, one wrong box fails",
    "click-checkboxes-soft": "the boxes bear synonyms of what is asked for",
    "click-menu-2": "a menu within a menu, or an icon that only looks right",
    "click-tab-2-hard": "the link lies behind one of up to six tabs",
    "email-inbox-forward-nl-turk": "people's free wording, then four steps in order",
    "email-inbox-nl-turk": "people's free wording asks for one of several things to do",
    "find-word": "the n-th word of a paragraph has to be counted out",
    "multi-orderings": "fields come in a new order and layout each time",
    "order-food": "several items in number, found in a list that scrolls",
    "read-table-2": "two values have to be read off a table and typed where they belong",
    "search-engine": "a query, then the right page of the results",
    "social-media-all": "the same action on every post of one user, and no other",
    "terminal": "a command is typed letter by letter after its argument was read",
    "text-editor": "a word has to be marked exactly, then given a style",
    "tic-tac-toe": "a game has to be won against an opponent",
    "use-autocomplete": "only a part of the word is told, suggestions have to be searched",
    "use-slider-2": "three sliders, each to one value, moved step by step",
}
"""The hard subset, each with what makes it so: several steps in order, reading, counting or precision."""

FIELDS, PAGE, WORDS = "fields", "page", "words"
"""Where what can be typed comes from: the instruction's fields, the page's texts, or the words of these texts."""
DIGITS, LETTERS = tuple("0123456789"), tuple("abcdefghijklmnopqrstuvwxyz. ")


@dataclass(frozen=True)
class Task:
    """What one task needs."""

    name: str
    """The page's name."""
    slots: int = 16
    """Elements that can be acted on, in the page's order."""
    texts: int = 0
    """Texts that can be typed as a whole, at most."""
    source: str = ""
    """Where they come from: ``fields``, ``page`` or ``words``; empty where nothing is typed."""
    pointing: bool = False
    """Whether it is about places where no element is: only coordinates solve it."""
    keys: tuple[str, ...] = ()
    """Single keys that can be pressed."""
    drags: int = 0
    """The first so many elements can be dragged onto each other; 0 where nothing is dragged."""
    limit: int = 10
    """Steps of an episode."""
    reload: bool = False
    """Whether the page is loaded anew for each episode, because it remembers something of the one before."""


_SLOTS = {
    1: "click-test",
    2: "click-button-sequence click-test-2 click-test-transfer enter-date enter-text enter-text-2 enter-text-dynamic "
    "enter-time drag-single-shape highlight-text",
    3: "click-collapsible click-collapsible-nodelay click-dialog copy-paste draw-circle draw-line find-word focus-text "
    "focus-text-2 generate-number drag-box scroll-text scroll-text-2",
    5: "click-dialog-2 click-widget copy-paste-2 enter-password login-user circle-center click-color ascending-numbers "
    "highlight-text-2 guess-number",
    8: "click-checkboxes click-checkboxes-soft click-checkboxes-transfer click-option count-sides drag-cube "
    "drag-shapes drag-shapes-2 identify-shape form-sequence form-sequence-2 multi-layouts multi-orderings click-tab",
    20: "click-menu-2 click-shape email-inbox-delete email-inbox-forward email-inbox-forward-nl email-inbox-important "
    "email-inbox-noscroll email-inbox-reply email-inbox-star-reply click-pie click-pie-nodelay",
    32: "form-sequence-3 visual-addition",
    40: "grid-coordinate",
    48: "choose-date choose-date-easy choose-date-medium choose-date-nodelay number-checkboxes text-editor",
    64: "book-flight book-flight-nodelay email-inbox email-inbox-forward-nl-turk email-inbox-nl-turk order-food",
    96: "daily-calendar social-media social-media-all social-media-some",
}
_FIELDS = _names(
    "enter-date enter-text enter-text-2 enter-text-dynamic enter-time unicode-test use-autocomplete search-engine "
    "use-autocomplete-nodelay sign-agreement use-colorwheel enter-password login-user login-user-popup email-inbox "
    "email-inbox-reply email-inbox-forward email-inbox-forward-nl email-inbox-forward-nl-turk email-inbox-nl-turk "
    "email-inbox-noscroll email-inbox-star-reply book-flight book-flight-nodelay multi-layouts multi-orderings "
    "form-sequence-2"
)
_PAGE = frozenset(("copy-paste", "copy-paste-2", "read-table", "read-table-2"))
_WORDS = frozenset(("find-word", "scroll-text"))
_KEYS = {
    DIGITS: "guess-number simple-algebra simple-arithmetic visual-addition",
    ("ArrowLeft", "ArrowRight"): "form-sequence use-slider use-slider-2",
    ("Home", "End"): "scroll-text-2 sign-agreement",
    ("Backspace", "Enter", *LETTERS): "terminal",
    (*LETTERS[:26], *map(str.upper, LETTERS[:26])): "text-transform",
}
_DRAGS = {
    12: "drag-items drag-items-grid drag-shapes drag-shapes-2 drag-single-shape drag-sort-numbers highlight-text "
    "highlight-text-2 drag-box drag-circle drag-cube draw-circle draw-line resize-textarea",
}
_LIMITS = {
    20: "choose-date choose-date-easy choose-date-medium choose-date-nodelay click-checkboxes-large drag-shapes "
    "drag-shapes-2 drag-sort-numbers email-inbox email-inbox-forward email-inbox-forward-nl email-inbox-forward-nl-turk "
    "email-inbox-nl-turk email-inbox-noscroll email-inbox-reply email-inbox-star-reply form-sequence form-sequence-3 "
    "guess-number login-user-popup multi-layouts multi-orderings number-checkboxes order-food search-engine "
    "social-media-all social-media-some terminal text-editor text-transform tic-tac-toe use-autocomplete "
    "use-autocomplete-nodelay click-shades find-greatest",
    30: "book-flight book-flight-nodelay daily-calendar use-slider use-slider-2 use-spinner click-scroll-list",
}
_RELOADED = _names(
    "book-flight book-flight-nodelay choose-date choose-date-easy choose-date-medium choose-date-nodelay click-pie "
    "form-sequence order-food scroll-text scroll-text-2 social-media social-media-all social-media-some text-editor "
    "use-autocomplete use-autocomplete-nodelay use-colorwheel use-colorwheel-2 use-slider use-slider-2 use-spinner"
)


def _of(table: Any, name: str, default: Any) -> Any:
    """The value whose names hold this one."""
    items = table.items()
    return next((value for value, names in items if name in names.split()), default)


def _task(name: str) -> Task:
    """One task out of the tables."""
    source = next((kind for kind, names in ((FIELDS, _FIELDS), (PAGE, _PAGE), (WORDS, _WORDS)) if name in names), "")
    slots = _of(_SLOTS, name, 16)
    return Task(
        name,
        slots=slots,
        source=source,
        texts={"": 0, FIELDS: 4, PAGE: 16, WORDS: 40}[source],
        pointing=name in POINT,
        keys=_of(_KEYS, name, ()),
        drags=min(_of(_DRAGS, name, 0), slots),
        limit=_of(_LIMITS, name, 10),
        reload=name in _RELOADED,
    )


TASKS = {name: _task(name) for name in NAMES}
