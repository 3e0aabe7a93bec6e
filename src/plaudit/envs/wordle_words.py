"""Wordle in words: the goal, the rules, what the board shows, all from one observation.

``summary`` says what the clues come to, ``board`` lists the guesses with their colours, ``both`` does both. A small judge
reads the summary far better than the board (docs/world-wordle.md has the figures). Nothing is said that the guesses
have not shown: the hidden word is in no observation before it has been guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

GOAL = "find the hidden word of five letters within six guesses"
RULES = (
    "You guess words. After each guess every letter has a colour: green, it is in the hidden word at this very place; "
    "yellow, it is in the word at another place; grey, the word has no (further) such letter. A letter that you guess more "
    "often than the word has it is coloured only as often as the word has it."
)
HARD = " Every guess must use what is known: green letters stay in their places, yellow letters are used again."
ASKS = {
    "word": " Answer with one word of five letters.",
    "letter": " You type your guess letter by letter; the fifth letter sends it. Answer with one letter.",
    "strategy": " You choose how to guess, and a word is chosen for you. Answer with one of the listed ways.",
}
STRATEGIES = (
    "guess a word that fits all clues",
    "guess a fitting word with the most new letters",
    "guess a word to test new letters",
    "guess a word to test new vowels",
    "guess a fitting word that repeats a letter",
)
FIT, FIT_NEW, TEST, VOWELS, REPEAT = range(len(STRATEGIES))
EVENTS = (
    "You have just begun.",
    "You guessed {}.",
    "You found the hidden word, {}.",
    "You guessed {}, and no guess is left.",
    "You typed a letter.",
    "That letter was refused: no word that may be guessed goes on so.",
    "That word was refused: it does not use all that is known.",
)
BEGIN, GUESSED, SOLVED, LOST, TYPED, NO_WORD, NOT_ALLOWED = range(len(EVENTS))
COLOUR_NAMES = ("", "grey", "yellow", "green")
PLACES = ("1st", "2nd", "3rd", "4th", "5th")


def spell(letters: Sequence[int], gap: str = "") -> str:
    """Letters that count from 1, upper case; 0 is the gap."""
    return "".join(chr(ord("A") - 1 + code) if code else gap for code in letters)


def guesses(obs: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Each guess on the board, with its colours (1 grey, 2 yellow, 3 green)."""
    made = int(obs["turn"])
    rows = zip(obs["letters"][:made].tolist(), obs["colours"][:made].tolist(), strict=True)
    return [(spell(letters), tuple(colours)) for letters, colours in rows]


def typed(obs: Any) -> str:
    """Letters of the guess that is being typed."""
    return "" if obs["shown"].any() else spell(obs["row"].tolist())


def last(obs: Any) -> tuple[str, tuple[int, ...]]:
    """The guess that was made last, with its colours; empty where none was made or another is being typed."""
    return (spell(obs["row"].tolist()), tuple(obs["shown"].tolist())) if obs["shown"].any() else ("", ())


def elsewhere(obs: Any) -> list[str]:
    """Letters that are known to be in the word at places not known, as often as they are."""
    placed = obs["pattern"].tolist()
    return [
        spell([letter + 1])
        for letter, least in enumerate(obs["least"].tolist())
        for _ in range(int(least) - placed.count(letter + 1))
    ]


def absent(obs: Any) -> list[str]:
    """Letters that are known not to be in the word."""
    pairs = zip(obs["least"].tolist(), obs["capped"].tolist(), strict=True)
    return [spell([letter + 1]) for letter, (least, capped) in enumerate(pairs) if capped and not least]


def event(obs: Any) -> str:
    """What has just happened; of a guess, what it has shown."""
    code = int(obs["event"])
    if code not in (GUESSED, SOLVED, LOST):
        return EVENTS[code]
    word, colours = last(obs)
    said = EVENTS[code].format(word)
    green, yellow = colours.count(3), colours.count(2)
    return said if code == SOLVED else f"{said[:-1]}: {green} in place, {yellow} in the word elsewhere."


def features(obs: Any) -> dict[str, bool | int | float | str]:
    """Symbolic facts of one observation."""
    word, colours = last(obs)
    return {
        "event": event(obs),
        "guesses_made": int(obs["turn"]),
        "guesses_left": 6 - int(obs["turn"]),
        "pattern": spell(obs["pattern"].tolist(), "_"),
        "letters_in_place": int((obs["pattern"] > 0).sum()),
        "letters_elsewhere": len(elsewhere(obs)),
        "known_elsewhere": "".join(elsewhere(obs)),
        "known_absent": "".join(absent(obs)),
        "letters_absent": len(absent(obs)),
        "last_guess": word,
        "last_in_place": colours.count(3),
        "last_elsewhere": colours.count(2),
        "solved": int(obs["event"]) == SOLVED,
        "typed": typed(obs),
    }


def summary(obs: Any) -> str:
    """What all clues come to."""
    facts = features(obs)
    known, ruled_out = elsewhere(obs), obs["ruled_out"].tolist()
    left = f"{facts['guesses_left']} of 6 guesses left."
    if not facts["guesses_made"]:
        return f"Nothing is known of the word, {left}"
    pattern = " ".join(str(facts["pattern"]))
    text = f"Pattern {pattern}: {facts['letters_in_place']} of 5 letters in place, {len(known)} more known"
    parts = []
    for letter in dict.fromkeys(known):
        times = f"{known.count(letter)} times " if known.count(letter) > 1 else ""
        at = [
            PLACES[p] for p, out in enumerate(ruled_out[ord(letter) - ord("A")]) if out and not int(obs["pattern"][p])
        ]
        parts.append(f"{times}{letter}" + (f" (not {', '.join(at)})" if at else ""))
    text += f": {', '.join(parts)}." if parts else "."
    gone = absent(obs)
    return f"{text} Not in the word: {', '.join(gone) if gone else 'no letter is known'}. {left[0].upper()}{left[1:]}"


def board(obs: Any) -> str:
    """The guesses with their colours, one in a line."""
    lines = [
        f"{word}: " + ", ".join(f"{letter} {COLOUR_NAMES[c]}" for letter, c in zip(word, colours, strict=True))
        for word, colours in guesses(obs)
    ]
    return "\n".join(lines) if lines else "The board is empty."


def describe(obs: Any, kind: str) -> str:
    """What an LLM is shown: board, summary or both, then the letters typed, then what has just happened."""
    parts = [board(obs)] if kind != "summary" else []
    parts += [summary(obs)] if kind != "board" else []
    parts += [f"Typed so far: {' '.join(typed(obs))}."] if typed(obs) else []
    return ("\n" if kind != "summary" else " ").join([*parts, event(obs)])


def bare(reply: str) -> str:
    """A short reply in lower case without quotes, end punctuation or a list's number; what is longer is no action."""
    text = reply.strip().lower()
    return "" if len(text) > 60 else re.sub(r"^\W*(\d+[.)])?[\W_]*|[\W_]+$", "", text)
