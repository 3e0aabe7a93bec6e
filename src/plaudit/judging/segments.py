"""Segments: several consecutive observations, put to the judge as one text and rewarded as the mean over its members.

A segment of one observation is that observation. Which ones there are: ``Recording.segments``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from plaudit.prompts import one_line

NAMES = re.compile(r"\b(First|Then):")
"""What separates the members."""


def join(texts: Sequence[str]) -> str:
    """One line for consecutive descriptions, the oldest first: ``First: ... Then: ... Then: ...``.

    A description that has these words itself loses the colon behind them, so that it cannot pass for two.
    """
    if len(texts) == 1:
        return texts[0]
    alone = [NAMES.sub(r"\1", one_line(text)) for text in texts]
    return " ".join(f"{'Then' if i else 'First'}: {text}" for i, text in enumerate(alone))
