"""Ceilings of tokens, money and time: what would pass one is not begun, and what is done is kept.

One budget serves all arms of a comparison. Questions are counted before they are asked, by what such questions have cost
so far, so that a ceiling is not passed by the batch that reaches it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from plaudit.errors import BudgetError

CHARACTERS = 3
"""Characters of a prompt that are reckoned as a token before anything is known; English text has about 4."""


@dataclass
class Budget:
    """What may be spent, and what has been."""

    max_tokens: int | None = None
    """Tokens read and written."""
    max_usd: float | None = None
    """Money, US dollars."""
    max_hours: float | None = None
    """Wall time, hours."""
    tokens: int = 0
    """Tokens spent."""
    usd: float = 0.0
    """Money spent."""
    questions: int = 0
    """Questions that they were spent on."""
    started: float = field(default_factory=time.monotonic)
    """When the clock was started, ``time.monotonic()``."""

    def spend(self, questions: int, tokens: int, usd: float) -> None:
        """Count what was asked."""
        self.questions, self.tokens, self.usd = self.questions + questions, self.tokens + tokens, self.usd + usd

    def check_time(self) -> None:
        """Raise when the time is up."""
        if self.max_hours is not None and time.monotonic() - self.started > 3600 * self.max_hours:
            raise BudgetError(f"the ceiling of {self.max_hours:g} hours is reached. {_GO_ON}")

    def affordable(self) -> float:
        """Questions that fit under the ceilings, by what such questions have cost so far; 0 where nothing is known yet."""
        spent = {
            "max_tokens": self.tokens,
            "max_usd": self.usd,
            "max_hours": (time.monotonic() - self.started) / 3600,
        }
        ceilings = {name: getattr(self, name) for name in spent if getattr(self, name) is not None}
        if not ceilings:
            return math.inf
        if not self.questions:
            return 0.0
        return min(self.questions * (most - spent[name]) / max(spent[name], 1e-12) for name, most in ceilings.items())

    def check(self, questions: int, characters: int, new_tokens: int) -> None:
        """Raise when so many more questions, of so many characters in all, would pass a ceiling."""
        self.check_time()
        known = self.questions >= 16
        tokens = self.tokens * questions / self.questions if known else characters / CHARACTERS + new_tokens
        if self.max_tokens is not None and self.tokens + tokens > self.max_tokens:
            raise BudgetError(
                f"the ceiling of {self.max_tokens:,} tokens would be passed: {self.tokens:,} are spent and the next "
                f"{questions} questions need about {tokens:,.0f}. {_GO_ON}"
            )
        usd = self.usd * questions / self.questions if self.questions else 0.0
        if self.max_usd is not None and self.usd + usd > self.max_usd:
            raise BudgetError(
                f"the ceiling of ${self.max_usd:g} would be passed: ${self.usd:.4f} are spent and the next {questions} "
                f"questions need about ${usd:.4f}. {_GO_ON}"
            )


_GO_ON = "What is done is kept; the same command with a higher ceiling goes on from here."
