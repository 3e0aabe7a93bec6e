"""A model that is gone, replayed from a ledger: the same answers, offline, at no cost.

    plaudit run doorkey --replay runs/doorkey/ledger.sqlite --out runs/again

What the ledger does not hold is an error; a replay never asks. Stored failures are answered as the failures they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plaudit.errors import LLMError
from plaudit.llms.answers import Ledger
from plaudit.llms.base import Arrived, Reply, Request, unheard

SHOWN = 120
"""Characters of a missing question that the error shows."""


class ReplayLLM:
    """Answers from a ledger, and nothing else.

    Args:
        path: the ledger; nothing is written into it.
        model: which model's answers, where it holds those of several.
    """

    def __init__(self, path: str | Path, model: str = "") -> None:
        self._ledger = Ledger(Path(path), readonly=True)
        self.source = str(path)
        """Where the answers are from; says that they cost nothing."""
        self.name = _chosen(self._ledger, model)

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        keys = [request.key(self.name) for request in requests]
        found = self._ledger.find(keys, failures=True)
        missing = [request for key, request in zip(keys, requests, strict=True) if key not in found]
        if missing:
            raise LLMError(
                f"{len(missing)} of {len(requests)} questions have no answer of {self.name} in {self.source}, and a replay "
                f"asks nothing. The first ends: {missing[0].prompt[-SHOWN:]!r}. Give the settings of the run that made "
                "the ledger; to ask the model what is missing, type the same command with --ledger in place of --replay."
            )
        replies = [found[key] for key in keys]
        for place, reply in enumerate(replies):
            (arrived or unheard)(place, reply)
        return replies

    choose = generate

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()


def _chosen(ledger: Ledger, model: str) -> str:
    names = ledger.models()
    if not names:
        raise LLMError(f"the ledger {ledger.path} holds no answers: there is nothing to replay. Leave out --replay.")
    if model in names or len(names) == 1:
        return model if model in names else names[0]
    if len(near := [name for name in names if name.startswith(f"{model}:")]) == 1:  # its back-end's only one
        return near[0]
    raise LLMError(
        f"the ledger {ledger.path} holds answers of {len(names)} models. Say whose: --llm with one of {', '.join(names)}"
    )
