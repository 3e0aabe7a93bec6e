"""What a taught model forgets, made up: the stage ``measure`` without asking anything."""

from __future__ import annotations

from plaudit.finetune import forgetting
from plaudit.finetune.records import Answer, Measurement, TextScore
from plaudit.finetune.run import Finetune

SETS = ("knowledge", "reasoning", "statements", "instructions", "worlds")


def measurement(model: str, wrong: int, logprob: float) -> Measurement:
    """40 items of each set, the first few answered wrongly; 12 passages."""
    answers = [
        Answer(f"{name}/{i}", name, "one", f"{name}/{i}", 0.5, float(i >= wrong), None)
        for name in SETS
        for i in range(40)
    ]
    texts = [TextScore(f"text/{i}", "narrative", "d", logprob - i % 3, 50, 200) for i in range(12)]
    return Measurement(model, tuple(answers), tuple(texts))


def measure(run: Finetune) -> None:
    """In place of :func:`plaudit.finetune.handover.measure`: three items of each set are lost, English is 2% worse."""
    run.require("export")
    before, after = measurement("before", 4, -150.0), measurement("after", 7, -151.0)
    forgetting.write(before, after, run.stage("measure"))
    run.finish("measure", 0.1, items=len(before.answers))
