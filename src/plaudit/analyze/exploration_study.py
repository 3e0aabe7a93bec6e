"""The arms of the study of exploration: one thing changed in each, and controls; trained side by side by ``compare``.

Leaves out nothing of compare's ways: arms lie in ``study/arms``, finished ones are skipped, ``study/report.html`` is their
comparison. What is measured of them is in :mod:`plaudit.analyze.exploration`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.config import RunConfig
from plaudit.errors import ConfigError, did_you_mean
from plaudit.stages.arms import Arm

POWERS = (0.0, 1.0, 2.0, 3.0)
"""Count exponents that are compared."""
SEGMENT = 3
"""Observations of a segment."""
CONTROLS = ("count", "rnd", "constant", "task", "random")


def arms(config: RunConfig, names: Sequence[str] = ()) -> list[Arm]:
    """The arms of these names; none takes all."""
    usual = config.shaping.count_power

    def judge(**switches: Any) -> dict[str, Any]:
        return {"judge": switches}

    every = [
        Arm("preference", f"progress only, single observations, count exponent {usual:g}, judged before training", {}),
        Arm("preference:novel", "the question is of progress or novelty", judge(prompt="pointwise-novel")),
        Arm("preference:diverse", "the question is of a varied sequence", judge(prompt="pointwise-diverse")),
        Arm("preference:segments", f"segments of {SEGMENT} are judged", judge(segment=SEGMENT)),
        Arm(
            "preference:diverse-segments",
            f"segments of {SEGMENT}, and the question is of a varied sequence",
            judge(prompt="pointwise-diverse", segment=SEGMENT),
        ),
        *(
            Arm(f"preference:power-{power:g}", f"count exponent {power:g}", {"shaping": {"count_power": power}})
            for power in POWERS
            if power != usual
        ),
        Arm("preference:online", "judged again while it trains", {"online": {"beside": True}}),
        Arm("count", "control: novelty of events in the episode alone", {}),
        Arm("rnd", "control: novelty by random network distillation", {}),
        Arm("constant", "control: +1 for every step", {}),
        Arm("task", "control: the world's own reward", {}),
        Arm("random", "control: a random policy", {}),
    ]
    known = {arm.name: arm for arm in every}
    for name in names:
        if name not in known:
            raise ConfigError(f"the study has no arm {name!r}.{did_you_mean(name, known)} It has: {', '.join(known)}.")
    return [arm for arm in every if not names or arm.name in names]


def settings(config: RunConfig, steps: int, seeds: int, items: int, episodes: int) -> RunConfig:
    """The study's common settings: the subject's own, made small, judged pointwise, with what is met in the curves."""
    replace = dataclasses.replace
    return replace(
        config,
        route="preference",
        judge=replace(config.judge, protocol="pointwise", items=items, segment=1, input="text", rounds=1),
        fit=replace(config.fit, input="text", labels="judge", online=False),
        online=replace(config.online, beside=False),
        train=replace(config.train, steps=steps, seeds=seeds, visits=True, controls=()),
        evaluate=replace(config.evaluate, episodes=episodes, examples=1),
        shaping=replace(config.shaping, potential=False, difference=False),  # without counts no exponent would tell
    )


def study(config: RunConfig, chosen: list[Arm], folder: Path) -> None:
    """Say what it will cost, then train the arms; goes on where it was stopped."""
    from plaudit.stages.compare import compare
    from plaudit.stages.forecast import forecast, show

    if not (folder / "compare.json").exists():
        show(forecast(config, chosen), config)
    compare(config, chosen, folder)
