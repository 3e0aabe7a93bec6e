"""A policy that points: what an action is worth follows from the row of a table that it acts on, wherever that row stands.

A page's elements change their places from episode to episode. One layer reads all rows alike and one query for each use
(click, type the first text, ...) is matched with them, so that what was learnt of one row holds for every other. Source:
Vinyals et al. 2015 (arXiv 1506.03134), with the rows' own codes in place of a recurrent encoder. Leaves out actions on
two rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from plaudit.spaces import Rows

UNITS = 32
"""Length of what stands for a row."""


class Pointer(nn.Module):
    """Rows as one-hot codes ``(n, rows * codes)`` and the trunk's output ``(n, width)`` to logits ``(n, actions)``.

    Actions that point at no row get 0.
    """

    acts: Tensor
    row: Tensor
    use: Tensor

    def __init__(self, space: Rows, width: int) -> None:
        super().__init__()
        self.rows, self.actions = space.shape[0], len(space.pointers)
        self.uses = int(space.pointers[:, 1].max()) + 1
        codes = int((space.high[0].astype(int) + 1).sum())
        self.read, self.query = nn.Linear(codes, UNITS), nn.Linear(width, self.uses * UNITS)
        active = space.shape[1]
        nn.init.normal_(self.read.weight, std=active**-0.5)
        nn.init.orthogonal_(self.query.weight, 0.01)
        nn.init.zeros_(self.query.bias)
        pointing = np.flatnonzero(space.pointers[:, 0] >= 0)
        for name, values in (
            ("acts", pointing),
            ("row", space.pointers[pointing, 0]),
            ("use", space.pointers[pointing, 1]),
        ):
            self.register_buffer(name, torch.from_numpy(values.astype(np.int64)), persistent=False)

    def forward(self, hot: Tensor, hidden: Tensor) -> Tensor:
        n = len(hot)
        rows = torch.relu(self.read(hot.view(n, self.rows, -1).to(self.read.weight.dtype)))
        queries = self.query(hidden).view(n, self.uses, UNITS)
        scores = rows @ queries.transpose(1, 2)
        logits = scores.new_zeros(n, self.actions)
        return logits.index_copy(1, self.acts, scores[:, self.row, self.use])
