"""train on a cluster: each agent is a Ray task of one processor, on whatever node has one free.

The run's folder must be seen by every node under the same path; a node that does not see it says so. A task whose worker
or node dies is begun again up to three times, from the checkpoint. Ctrl-C, or a ceiling, cancels what is under way.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.budget import Budget
from plaudit.config import ClusterConfig
from plaudit.console import progress
from plaudit.stages.cluster import connect
from plaudit.stages.train import Job, attempt

RETRIES = 3
"""Times that an agent whose worker died is taken up again."""
LOOK_SECONDS = 0.5
"""Wall time between two looks at how far the agents are."""


class Steps:
    """An actor that knows how far each agent is."""

    def __init__(self) -> None:
        self.done: dict[int, int] = {}

    def put(self, number: int, steps: int) -> None:
        """Agent ``number`` has come to this many steps."""
        self.done[number] = steps

    def get(self) -> dict[int, int]:
        """All of them."""
        return self.done


def run_on_ray(
    waiting: Sequence[Job], workers: int, steps: int, budget: Budget, cluster: ClusterConfig
) -> dict[Job, str]:
    """Train on the cluster, at most ``workers`` at once (0 for no limit of our own); returns the failures in words."""
    ray = connect(cluster)
    counter: Any = ray.remote(num_cpus=0)(Steps).remote()
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_train)
    todo, failures = list(enumerate(waiting)), dict[Job, str]()
    running: dict[Any, Job] = {}
    reached: dict[int, int] = {}
    with progress(f"train {len(todo)} agents", len(todo) * steps) as advance:
        try:
            while todo or running:
                budget.check_time()
                while todo and len(running) < (workers or len(waiting)):
                    number, job = todo.pop(0)
                    absolute = dataclasses.replace(job, folder=job.folder.resolve())
                    running[task.remote(absolute, number, counter, str(Path.cwd()))] = job
                done, _ = ray.wait(list(running), timeout=LOOK_SECONDS)
                for number, now in ray.get(counter.get.remote()).items():
                    advance(max(0, now - reached.get(number, 0)))  # one that was begun again is behind for a while
                    reached[number] = max(now, reached.get(number, 0))
                for ref in done:
                    job = running.pop(ref)
                    if failure := _outcome(ray, ref, job):
                        failures[job] = failure
        finally:
            for ref in running:
                ray.cancel(ref, force=True)
            ray.kill(counter)
    return failures


def _outcome(ray: Any, ref: Any, job: Job) -> str:
    """What went wrong with a task that has ended, empty for nothing."""
    try:
        return ray.get(ref)
    except ray.exceptions.RayError as error:
        said = next(line for line in [*str(error).splitlines(), type(error).__name__] if line.strip())
        return f"{job}: its worker died {RETRIES + 1} times, or could not be started: {said.strip()[:300]}"


def _train(job: Job, number: int, counter: Any, folder: str) -> str:
    """A task's work."""
    import torch

    if not (job.folder / "run.json").is_file():
        return (
            f"{job}: the node {platform.node()} cannot see {job.folder}. A run that trains on a cluster lies on a "
            "filesystem that all nodes share: --out /SHARED/NAME"
        )
    if Path(folder).is_dir():  # a world's or a model's path may be relative to where the command was given
        os.chdir(folder)
    torch.set_num_threads(1)
    done, last = 0, 0.0

    def report(steps: int) -> None:
        nonlocal done, last
        done += steps
        if time.monotonic() - last > LOOK_SECONDS:
            counter.put.remote(number, done)
            last = time.monotonic()

    failure = attempt(job, report)
    counter.put.remote(number, done)
    return failure
