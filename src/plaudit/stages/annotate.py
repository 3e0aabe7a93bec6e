"""annotate: ask the LLM what the run's route has to ask it: judgements, ratings, or reward programs.

Every answer goes through the run's ledger, so a killed run asks nothing twice.
"""

from __future__ import annotations

from plaudit.stages.parts import make_route
from plaudit.store import Run


def annotate(run: Run) -> None:
    """Run the stage."""
    run.require("collect")
    run.stage("annotate")
    make_route(run.config.route).annotate(run)
