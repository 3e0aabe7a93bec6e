"""The record of an acting LLM: what was said, understood and executed at every step, in plain values for a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

How = Literal["ok", "re-asked", "fallback", "error", "refused"]
"""The action as answered, as answered the second time, or the fallback: not understood, failed, declined."""


@dataclass(frozen=True)
class Said:
    """One step: what was said, understood and executed."""

    copy: int
    """Which copy of the world."""
    episode: int
    """Number of its episode, from 0."""
    step: int
    """Number of the step, from 0."""
    text: str
    """What was seen, in one line."""
    prompt_hash: str
    """First 12 hex digits of the SHA-256 of the last question."""
    thought: str
    """Chain of thought; empty without."""
    criticism: str
    """Self-criticism of every round, a line each; empty without."""
    reply: str
    """The last answer: its text, the score of each action, or why there is none."""
    understood: str
    """The action that was read, in words; empty where none was."""
    executed: str
    """The action that was done, in words."""
    how: How
    """How it came to that."""
    missing: str
    """Why a thought or criticism is missing; empty where none is."""
    tokens: int
    """Tokens read and written for this step, also where a ledger knew the answer."""
    seconds: float
    """Wall time of the model for this step, likewise."""
    usd: float
    """Money for this step, likewise."""
