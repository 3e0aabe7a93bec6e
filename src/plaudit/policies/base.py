"""The policy contract: batched observations in, actions out."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray


class Policy(Protocol):
    """Anything that acts."""

    def act(self, observations: Any) -> NDArray[Any]:
        """One action for each observation of a batch, ``(n, ...)`` like the world's action space."""
        ...
