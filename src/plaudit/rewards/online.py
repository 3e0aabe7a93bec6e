"""Direct scalar, online: the LLM is asked about each new description while the agent trains, and remembered.

Nothing is fitted, so nothing is lost in fitting; every description costs a question. A judgement that failed is counted
and rewarded like the mean of the known values: neither good nor bad. Too many of them stop the training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import JudgeFailedError
from plaudit.rewards.base import Depends, Transitions
from plaudit.types import Judgement
from plaudit.vector import rows

GRACE = 20
"""So many questions are asked at least before the share of failures counts."""


class OnlineReward:
    """Direct scalar: the LLM's own number for each observation, asked during training.

    Args:
        judge: a judgement for each of these descriptions, in order.
        describe: what the LLM is shown of one observation.
        known: values that were judged before.
        max_failures: share of the questions that may fail.
    """

    of: Depends = "observation"

    def __init__(
        self,
        judge: Callable[[Sequence[str]], Sequence[Judgement]],
        describe: Callable[[Any], str],
        known: Mapping[str, float] | None = None,
        max_failures: float = 0.1,
    ) -> None:
        self.judge, self.describe, self.max_failures = judge, describe, max_failures
        self.judgements: list[Judgement] = []
        """What was asked here, failures too."""
        self.failures = 0
        """How many of them failed."""
        self._rewards = dict(known or {})
        self._sum, self._count = sum(self._rewards.values()), len(self._rewards)

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        texts = [self.describe(o) for o in rows(transitions.observations)]
        new = [t for t in dict.fromkeys(texts) if t not in self._rewards]
        if new:
            self._ask(new)
        return np.array([self._rewards[t] for t in texts], np.float32)

    def _ask(self, texts: Sequence[str]) -> None:
        judgements = self.judge(texts)
        values = [j.value for j in judgements if j.value is not None]
        self.judgements += judgements
        self.failures += len(judgements) - len(values)
        self._sum, self._count = self._sum + sum(values), self._count + len(values)
        failed = [j for j in judgements if j.value is None]
        asked = len(self.judgements)
        if failed and (not self._count or self.failures > self.max_failures * max(asked, GRACE)):
            raise JudgeFailedError(
                f"{self.failures} of the {asked} judgements during training failed, more than the limit of "
                f"{self.max_failures:.0%}. The last reply was: {failed[-1].reply[:200]!r}. Try another protocol (plaudit "
                "calibrate) or another model (--llm), or raise --judge.max-failures."
            )
        mean = self._sum / max(1, self._count)
        for text, judgement in zip(texts, judgements, strict=True):
            self._rewards[text] = mean if judgement.value is None else judgement.value
