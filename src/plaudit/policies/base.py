"""The policy contract: batched observations in, actions out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Policy(Protocol):
    """Anything that acts."""

    def act(self, observations: Any) -> NDArray[Any]:
        """One action for each observation of a batch, ``(n, ...)`` like the world's action space."""
        ...

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """These copies, ``(n,)``, have begun a new episode: forget what was remembered of the one before."""
        ...
