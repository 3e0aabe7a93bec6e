"""Text as a bag of words and word pairs, hashed into a fixed table: no vocabulary to keep, unseen words do no harm.

A text is hashed once: what was met before is remembered. Leaves out the order of words beyond pairs.
"""

from __future__ import annotations

import itertools
import re
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plaudit.spaces import to_text

BUCKETS = 4096
"""Rows of the hashed table of words and word pairs."""
SLOTS = 256
"""Different words and pairs of one text that are read, at most; the first ones."""
MEMO = 100_000
"""Distinct texts that are remembered; when there are more, the memory starts anew."""


def word_rows(text: str, salt: str = "") -> list[int]:
    """Rows of the words and neighbouring word pairs of a text, each once, in the order in which they come."""
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    grams = words + [f"{a} {b}" for a, b in itertools.pairwise(words)]
    return list(dict.fromkeys(zlib.crc32(f"{salt}{gram}".encode()) % BUCKETS for gram in grams))


class Words(nn.Module):
    """Text parts to features ``(n, width)``: the sum of their words' rows by the root of their number.

    ``lengths``: bytes of each text part, by its name. A word counts apart in each part.
    """

    def __init__(self, lengths: dict[str, int], width: int) -> None:
        super().__init__()
        self.slots = {name: min(length, SLOTS) for name, length in lengths.items()}
        self.table = nn.EmbeddingBag(BUCKETS + 1, width, mode="sum")
        self._memo: dict[tuple[str, bytes], NDArray[np.int16]] = {}

    def pack(self, name: str, raw: NDArray[np.uint8]) -> Tensor:
        """Rows of the table of each text ``(n, length)``, plus 1 and filled up with 0: int16 ``(n, slots)``."""
        raw = np.ascontiguousarray(raw, np.uint8).reshape(len(raw), -1)
        keys = raw.view(f"V{raw.shape[1]}").ravel().tolist()
        if len(self._memo) > MEMO:
            self._memo.clear()
        for key in keys:
            if (name, key) not in self._memo:
                found = word_rows(to_text(np.frombuffer(key, np.uint8)), f"{name}:")[: self.slots[name]]
                row = np.zeros(self.slots[name], np.int16)
                row[: len(found)] = np.array(found, np.int16) + 1
                self._memo[name, key] = row
        return torch.from_numpy(np.stack([self._memo[name, key] for key in keys]))

    def forward(self, rows: Tensor) -> Tensor:
        used = rows != 0
        count = used.sum(1)
        sums = self.table(rows[used].long(), count.cumsum(0) - count)
        # A text of many words is not to drown the other parts of an observation.
        return sums / count.clamp(min=1)[:, None].to(sums.dtype).sqrt()
