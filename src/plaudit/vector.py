"""Batches of Gymnasium: what a vectorised step led to, and single observations in and out of a batch.

Vectorised environments here reset in the same step (``AutoresetMode.SAME_STEP``): what they return is the next episode's
first observation, and the one that ended the episode is in ``infos["final_obs"]``.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = 512
"""Bytes of an observation beyond which its key is a digest of 16 bytes, so that tables of a million keys stay small."""


def step_value(infos: dict[str, Any], name: str, ended: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``infos[name]`` of the step just made, ``(num_envs,)``: a copy that was reset in it keeps its final value."""
    value = np.zeros(len(ended))
    for source, rows in ((infos, ~ended), (infos.get("final_info", {}), ended)):
        if name in source and rows.any():
            value[rows] = np.asarray(source[name], np.float64)[rows]
    return value


def step_observations(observations: Any, infos: dict[str, Any], ended: NDArray[np.bool_]) -> Any:
    """What the step just made led to, batched: a copy that was reset in it keeps its final observation."""
    if not ended.any():
        return observations
    final = infos["final_obs"]
    if isinstance(final, dict):
        return final
    # Gymnasium's own vector environments give an object array that holds None where nothing ended.
    led_to = (
        {k: np.array(v) for k, v in observations.items()} if isinstance(observations, dict) else np.array(observations)
    )
    for i in np.flatnonzero(ended):
        if isinstance(led_to, dict):
            for name, part in led_to.items():
                part[i] = final[i][name]
        else:
            led_to[i] = final[i]
    return led_to


def observation_keys(observations: Any) -> list[bytes]:
    """One key for each observation of a batch, equal when the observations are equal; large ones by their digest."""
    parts = observations.values() if isinstance(observations, dict) else [observations]
    rows = [np.ascontiguousarray(p).reshape(len(p), -1).view(np.uint8) for p in parts]
    joined = np.ascontiguousarray(np.concatenate(rows, axis=1))
    keys: list[bytes] = joined.view(f"V{joined.shape[1]}").ravel().tolist()
    return keys if joined.shape[1] <= LARGE else [blake2b(key, digest_size=16).digest() for key in keys]


def take(observations: Any, indices: list[int]) -> Any:
    """Part of a batch, as a batch."""
    if isinstance(observations, dict):
        return {k: v[indices] for k, v in observations.items()}
    return observations[indices]


def rows(observations: Any) -> list[Any]:
    """The single observations of a batch."""
    if isinstance(observations, dict):
        return [dict(zip(observations, row, strict=True)) for row in zip(*observations.values(), strict=True)]
    return list(observations)


def stack(observations: list[Any]) -> Any:
    """Single observations as a batch."""
    if isinstance(observations[0], dict):
        return {k: np.stack([np.asarray(o[k]) for o in observations]) for k in observations[0]}
    return np.stack([np.asarray(o) for o in observations])
