"""Where the seeds of episodes begin: a range for each use, so that nothing is measured on layouts that it was made from.

``STARTS`` is the whole list; a new use takes a range of its own here, and :mod:`tests.test_seeds` holds that they stay
apart. Leaves out the seeds of random policies, networks and draws, which choose no layout.
"""

from __future__ import annotations

TRAIN_SEED = 0
"""Training: a million for each agent (``plaudit.rl``, which imports nothing from here), of 399 at most."""
COLLECT_SEED = 500_000_000
"""Collecting, and data sets of a world: ten thousand for each value of the setting ``seed``."""
FINETUNE_SEED = 600_000_000
"""Teaching and its held-out part: even and odd numbers."""
CALIBRATION_SEED = 700_000_000
"""Calibration and the forecast's pilot."""
CREDIT_SEED = 740_000_000
"""``plaudit analyze credit``."""
PROBE_SEED = 750_000_000
"""``plaudit analyze dynamics``."""
EVALUATION_SEED = 800_000_000
"""Evaluation, and the recorded episodes of the report."""
EXPLORATION_SEED = 810_000_000
"""``plaudit analyze exploration``."""
HACKING_SEED = 900_000_000
"""``plaudit analyze hacking``."""
PLAY_SEED = 950_000_000
"""``plaudit play``."""
END = 1_000_000_000
"""Behind the last."""
STARTS = {
    "train": TRAIN_SEED,
    "collect": COLLECT_SEED,
    "finetune": FINETUNE_SEED,
    "calibrate": CALIBRATION_SEED,
    "credit": CREDIT_SEED,
    "dynamics": PROBE_SEED,
    "evaluate": EVALUATION_SEED,
    "exploration": EXPLORATION_SEED,
    "hacking": HACKING_SEED,
    "play": PLAY_SEED,
}
"""Use to first seed, in order; a range ends where the next begins."""


def room(use: str) -> int:
    """How many seeds a use has."""
    starts = [*STARTS.values(), END]
    return starts[[*STARTS].index(use) + 1] - STARTS[use]
