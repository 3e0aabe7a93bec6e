"""plaudit: large language models as judges, reward writers and policies for reinforcement learning.

The public names below are imported when they are first used::

    import plaudit
    run = plaudit.run(plaudit.load_recipe("demo"), "runs/demo")   # the whole way
    plaudit.train(run)                                            # or one stage
    plaudit.compare(run.config, plaudit.arms([]), "runs/all")     # every way of using the LLM

"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# OpenMP's threads spin while they wait for each other, and its library reads this once, as PyTorch loads it. On processors
# that others use too, a language model with two threads was 5 times slower without; on idle ones it costs nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "300")

_NAMES = {
    "RunConfig": "plaudit.config:RunConfig",
    "load_recipe": "plaudit.config:load_recipe",
    "Run": "plaudit.store:Run",
    "run": "plaudit.stages:run",
    "collect": "plaudit.stages.collect:collect",
    "annotate": "plaudit.stages.annotate:annotate",
    "label": "plaudit.stages.label:label",
    "label_by_model": "plaudit.stages.label:by_model",
    "LabelOptions": "plaudit.stages.label:LabelOptions",
    "fit": "plaudit.stages.fit:fit",
    "train": "plaudit.stages.train:train",
    "evaluate": "plaudit.stages.evaluate:evaluate",
    "write_report": "plaudit.report.build:report",
    "calibrate": "plaudit.stages.calibrate:calibrate",
    "compare": "plaudit.stages.compare:compare",
    "forecast": "plaudit.stages.forecast:forecast",
    "arms": "plaudit.stages.arms:choose",
    "World": "plaudit.envs.base:World",
    "Wrapped": "plaudit.envs.wrapped:Wrapped",
    "LLM": "plaudit.llms.base:LLM",
    "RewardWrapper": "plaudit.rewards.wrapper:RewardWrapper",
    "export": "plaudit.exports.base:export",
    "ExportOptions": "plaudit.exports.base:ExportOptions",
    "reward_wrapper": "plaudit.exports.environment:reward_wrapper",
    "PlauditError": "plaudit.errors:PlauditError",
}
__all__ = sorted([*_NAMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'plaudit' has no attribute {name!r}")
    module, attribute = _NAMES[name].split(":")
    return getattr(import_module(module), attribute)
