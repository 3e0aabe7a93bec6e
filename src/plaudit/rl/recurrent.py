"""A memory of the episode: a GRU that steps with the world and learns over whole stretches of it.

Episodes that begin inside a stretch split it: the pieces run side by side as one packed batch, in compiled code, in place
of a loop over time that clears states. Leaves out LSTMs and gradients beyond a stretch (``horizon`` steps).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Memory(nn.Module):
    """Features ``(n, width)`` to what is remembered, ``(n, units)``."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, units)

    def forward(self, features: Tensor, state: Tensor | None, begun: Tensor | None = None) -> Tensor:
        """One step from ``state`` ``(copies, units)``; with ``begun`` ``(steps, copies)`` bool a whole stretch.

        A stretch's features are ``(steps * copies, width)``, time first; ``begun`` says which are the first of an episode.
        The result has a row for each row of features: the state after it. No state: nothing is remembered yet.
        """
        if state is None:
            state = features.new_zeros(len(features) if begun is None else begun.shape[1], self.gru.hidden_size)
        if begun is None:
            return self.gru(features[None], state[None])[1][0]
        rows, lengths, copies, goes_on = _pieces(begun.numpy())
        first = state[copies] * torch.from_numpy(goes_on)[:, None]
        padded = features[torch.from_numpy(rows.clip(min=0))]
        packed = pack_padded_sequence(padded, torch.from_numpy(lengths), enforce_sorted=False)
        out, _ = pad_packed_sequence(self.gru(packed, first[None])[0])
        where = np.empty(begun.numel(), np.int64)
        flat = rows.ravel()
        where[flat[flat >= 0]] = np.flatnonzero(flat >= 0)
        return out.flatten(0, 1)[torch.from_numpy(where)]


def _pieces(begun: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A stretch's pieces of episodes: row of each step (longest, pieces), -1 behind the end; their lengths; whose they are;
    and whether they go on from before the stretch, as 1.0 or 0.0."""
    steps, copies = begun.shape
    starts = begun.T.copy()
    starts[:, 0] = True
    whose, times = np.nonzero(starts)
    ends = np.append(whose[1:] * steps + times[1:], copies * steps)
    lengths = ends - (whose * steps + times)
    offsets = np.arange(lengths.max())[:, None]
    rows = np.where(offsets < lengths, (times + offsets) * copies + whose, -1)
    return rows, lengths, whose, ((times == 0) & ~begun[0, whose]).astype(np.float32)
