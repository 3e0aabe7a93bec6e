"""Segments: several consecutive observations, put to the judge as one text and rewarded as the mean over its members.

A segment of one observation is that observation. Windows slide over every episode and never cross its end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from plaudit.prompts import one_line


def join(texts: Sequence[str]) -> str:
    """One line for consecutive descriptions, the oldest first: ``First: ... Then: ... Then: ...``."""
    if len(texts) == 1:
        return texts[0]
    return " ".join(f"{'Then' if i else 'First'}: {one_line(text)}" for i, text in enumerate(texts))


def windows(trace: NDArray[np.int64], ended: NDArray[np.bool_], length: int) -> NDArray[np.int64]:
    """The distinct sequences of ``length`` consecutive observations, ``(segments, length)``, in order of appearance.

    Args:
        trace: index of the description that each step led to, ``(steps, copies)``.
        ended: whether that step ended its copy's episode, ``(steps, copies)``.
        length: observations in a segment, at least 1.
    """
    if len(trace) < length:
        return np.zeros((0, length), np.int64)
    crosses = sliding_window_view(ended, length, axis=0)[..., :-1].any(axis=-1)
    every = sliding_window_view(trace, length, axis=0)[~crosses]
    found, first = np.unique(every, axis=0, return_index=True)
    return found[np.argsort(first)].astype(np.int64)
