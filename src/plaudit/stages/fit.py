"""fit: make the run's reward out of what the LLM has answered; how is the route's part."""

from __future__ import annotations

import torch

from plaudit.stages.parts import make_route
from plaudit.store import Run


def fit(run: Run) -> None:
    """Run the stage."""
    torch.set_num_threads(1)  # the networks are so small that a second thread only waits for the first
    run.require("annotate")
    run.stage("fit")
    make_route(run.config.route).fit(run)
