"""Reward as code: a program that an LLM wrote, run in a sandbox on the named features of what a step led from and to.

Features of each distinct observation are computed once, and each distinct pair of features is put to the program once,
so that a run pays for what is new. The program is the whole state: in another process it is made again from its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import ConfigError, RewardCodeError
from plaudit.rewards.base import Depends, Transitions
from plaudit.rewards.sandbox import Features, Limits, Pair, Sandbox
from plaudit.vector import observation_keys, rows

MEMO = 200_000
"""Distinct observations, and pairs of features, that are remembered; when there are more, the tables start anew."""


class CodeReward:
    """Reward as code: a program that the LLM wrote from the named features, run in a sandbox.

    ``features`` gives the named facts of one observation. A program that fails while an agent is trained stops the
    training with a :class:`~plaudit.errors.RewardCodeError`.
    """

    of: Depends = "transition"

    def __init__(
        self, program: str, features: Callable[[Any], Mapping[str, Any]], limits: Limits | None = None
    ) -> None:
        self.program, self.features = program, features
        self.sandbox = Sandbox(program, limits)
        self._observations: dict[bytes, Features] = {}
        self._features: dict[tuple[Any, ...], Features] = {}
        self._known: dict[tuple[int, int], float] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return CodeReward, (self.program, self.features, self.sandbox.limits)

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        pairs = self.pairs(transitions)
        keys = [(id(before), id(after)) for before, after in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._known}
        if new:
            try:
                rewards = self.sandbox.rewards(list(new.values()))
            except RewardCodeError as error:
                raise RewardCodeError(
                    error.kind, f"{error.message}\nThe reward program failed during training. Write another one."
                ) from None
            self._known.update(zip(new, rewards.tolist(), strict=True))
        return np.array([self._known[key] for key in keys], np.float32)

    def components(self, transitions: Transitions) -> list[dict[str, float]]:
        """The named parts of each reward, for traces; ``{"reward": r}`` where the program gives one number."""
        return self.sandbox.components(self.pairs(transitions))

    def pairs(self, transitions: Transitions) -> list[Pair]:
        """The features before and after each step; equal features are one dictionary."""
        if max(len(self._observations), len(self._known)) > MEMO:
            for memo in (self._observations, self._features, self._known):
                memo.clear()
        before, after = self._look_up(transitions.previous), self._look_up(transitions.observations)
        return list(zip(before, after, strict=True))

    def close(self) -> None:
        """End the sandbox's worker."""
        self.sandbox.close()

    def _look_up(self, observations: Any) -> list[Features]:
        keys = observation_keys(observations)
        singles: list[Any] = []
        for place, key in enumerate(keys):
            if key not in self._observations:
                singles = singles or rows(observations)
                facts = plain_features(self.features(singles[place]))
                # 1, 1.0 and True are equal, and not the same feature.
                content = tuple((name, type(value), value) for name, value in facts.items())
                self._observations[key] = self._features.setdefault(content, facts)
        return [self._observations[key] for key in keys]


def plain_features(features: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Features as plain Python values; numpy's scalars are converted, anything else is an error of the world."""
    plain: dict[str, bool | int | float | str] = {}
    for name, value in features.items():
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()
        if type(value) not in (bool, int, float, str) or value != value:
            raise ConfigError(
                f"the feature {name!r} must be a bool, an int, a float or a text, got {value!r}. "
                "Mend the world's features()."
            )
        plain[str(name)] = value
    return plain
