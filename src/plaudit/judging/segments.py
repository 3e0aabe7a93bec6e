"""Segments: several consecutive observations, put to the judge as one text and rewarded as the mean over its members.

A segment of one observation is that observation. Which ones there are: ``Recording.segments``.
"""

from __future__ import annotations

from collections.abc import Sequence

from plaudit.prompts import one_line


def join(texts: Sequence[str]) -> str:
    """One line for consecutive descriptions, the oldest first: ``First: ... Then: ... Then: ...``."""
    if len(texts) == 1:
        return texts[0]
    return " ".join(f"{'Then' if i else 'First'}: {one_line(text)}" for i, text in enumerate(texts))
