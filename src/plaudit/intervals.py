"""Wilson's interval of a share, for every room that counts something.

Leaves out intervals of means: :mod:`plaudit.analysis.statistics` and :mod:`plaudit.finetune.paired`. Source: Wilson (1927).
"""

from __future__ import annotations

import math

Z = 1.959964
"""Half width of a 95% interval in standard errors."""


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share of ``n``; all that there is where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)
