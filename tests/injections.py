"""Observations that try to command the judge: a corpus by kind, written for a protocol's own answers.

    texts("Progress:", "Yes", "No")   # what an attacker writes who knows the prompt and wants Yes

Each entry of ``injections.json`` is what is put behind an observation. ``@ANSWER@`` stands for the wanted answer,
``@OTHER@`` for the one that is not, ``@FIELD@`` for the prompt's own last line; ``repeat`` repeats the text, ``after``
follows it. JSON, so that what is invisible can be seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Injection:
    """One hostile text."""

    kind: str
    """How it tries."""
    text: str
    """What is put behind an observation."""


def texts(field: str, answer: str, other: str) -> list[Injection]:
    """The whole corpus, against a prompt that ends with ``field``."""
    entries = json.loads((Path(__file__).parent / "injections.json").read_text(encoding="utf-8"))
    named = {"@ANSWER@": answer, "@OTHER@": other, "@FIELD@": field}
    found = []
    for entry in entries:
        text = entry["text"] * entry.get("repeat", 1) + entry.get("after", "")
        for mark, value in named.items():
            text = text.replace(mark, value)
        found.append(Injection(entry["kind"], text))
    return found
