"""The errors that plaudit raises on purpose; each message ends with the next thing to do.

Anything else that escapes is a defect of ours. The CLI prints these without a traceback (unless
``--debug``) and leaves with ``exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class PlauditError(Exception):
    """Base of all errors that a user can do something about."""

    exit_code = 2


class ConfigError(PlauditError, ValueError):
    """A name, option, recipe key or value that does not exist or does not fit."""


class MissingExtraError(PlauditError):
    """A part that needs an optional package which is not installed."""

    exit_code = 3


class StoreError(PlauditError):
    """A run folder that cannot be read, written or continued."""

    exit_code = 4


class LLMError(PlauditError):
    """A model that cannot be loaded or asked."""

    exit_code = 5


class JudgeFailedError(PlauditError):
    """Too many judgements failed for the rest to be trusted."""

    exit_code = 6


class RewardCodeError(PlauditError):
    """A reward program that cannot be used; ``kind`` names what is wrong with it."""

    exit_code = 7

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message

    def __reduce__(self) -> tuple[type[RewardCodeError], tuple[str, str]]:
        return type(self), (self.kind, self.message)  # it travels from a training process to the one that started it


class BudgetError(PlauditError):
    """A ceiling of tokens, money or time that is reached; what is done is kept."""

    exit_code = 8


class LeakError(PlauditError):
    """Something of what a model is measured on is in what it is trained on; ``items`` are the offending ones."""

    exit_code = 10

    def __init__(self, message: str, items: Sequence[str]) -> None:
        super().__init__(message)
        self.items = tuple(items)


class ClusterError(PlauditError):
    """A cluster that cannot be reached, or has no room."""

    exit_code = 11


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'doorkey'?"`` for a near miss, else the list of what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" There is: {', '.join(known) or 'nothing'}."
