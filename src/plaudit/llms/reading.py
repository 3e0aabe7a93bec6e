"""What everybody who reads an LLM's replies needs: whether it declines, how it is quoted, what it has cost."""

from __future__ import annotations

import re
from typing import Any

from plaudit.llms.base import Reply

QUOTED = 500
"""Characters of a reply that a record keeps; the ledger has the whole."""
KEPT = 20
"""Characters of an observation that are kept at least where it is shortened."""
REFUSAL = re.compile(
    r"\W{0,3}(as an? (ai|language|large language|artificial)\b|sorry|(i ?a|i['’]?)m (very |so |really )?sorry"
    r"|(unfortunately|sorry),? i|i (ca|wo)n['’]?t\b|i cannot\b|i will not\b|i must decline|i decline"
    r"|i ?(a|['’])m (un|not )able to)",
    re.IGNORECASE,
)
"""How models begin to decline."""


def declines(text: str) -> bool:
    """Whether a reply opens as models decline in English."""
    return REFUSAL.match(text.strip()[:100]) is not None


def quote(text: str) -> str:
    """A reply as a record keeps it: what cannot be stored is replaced, the rest of a very long one left out."""
    text = text.strip()
    kept = text[:QUOTED].encode("utf-8", "replace").decode()
    return kept if len(text) <= QUOTED else f"{kept} [... {len(text) - QUOTED} characters left out]"


def shortened(prompt: str, characters: int) -> str:
    """A prompt with so many characters left out of the middle of its longest line, which says so.

    Prompts fold each observation into one line, so that line is an observation. A prompt of one line is its caller's own
    text, and a line that is too short for it is none that could help: both stay as they are.
    """
    lines = prompt.split("\n")
    at = max(range(len(lines)), key=lambda i: len(lines[i]))
    note = f" [... {characters} characters left out ...] "
    kept = len(lines[at]) - characters - len(note)
    if len(lines) == 1 or kept < KEPT:
        return prompt
    lines[at] = f"{lines[at][: kept // 2]}{note}{lines[at][len(lines[at]) - (kept - kept // 2) :]}"
    return "\n".join(lines)


def cost(*replies: Reply) -> dict[str, Any]:
    """Tokens, seconds and money of these replies, as the fields of a record."""
    return {
        "tokens": sum(r.prompt_tokens + r.new_tokens for r in replies),
        "seconds": sum(r.seconds for r in replies),
        "usd": sum(r.usd for r in replies),
    }
