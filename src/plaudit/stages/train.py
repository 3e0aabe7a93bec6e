"""train: one agent for each arm and seed, several at a time in processes of their own.

Writes ``ARM-SEED/agent.safetensors`` and ``curve.parquet``; while it runs, ``checkpoint.safetensors``, from which a
stopped agent goes on exactly where it was. One agent's failure does not stop the others.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import time
import traceback
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from plaudit.budget import Budget
from plaudit.config import ClusterConfig, RunConfig
from plaudit.console import console, progress
from plaudit.errors import PlauditError
from plaudit.stages.parts import cores, make_envs, make_route, make_world, spent, trained_arms
from plaudit.stages.visits import Visits
from plaudit.store import Run, load_tree, read_table, save_tree, write_table
from plaudit.world_file import blame

CHECKPOINT_SECONDS = float(os.environ.get("PLAUDIT_CHECKPOINT_SECONDS", "5"))
"""Wall time between two checkpoints: what a kill -9 can cost at most."""
SMALL_SHARE = 0.15
"""Of the time: a judge beside that works no more than this has no processor kept free for it."""
REPORTED = 3
"""Exit code of a worker whose failure is told already."""


@dataclass(frozen=True)
class Job:
    """One agent to train."""

    folder: Path
    """The run's folder."""
    arm: str
    """Whose reward."""
    seed: int
    """Layouts and first weights."""
    processors: float = field(default=1.0, compare=False)
    """How many it keeps busy: more than one where a judge works beside it."""
    beside: bool = field(default=False, compare=False)
    """Whether a judge works beside it."""
    ceiling: Budget | None = field(default=None, compare=False)
    """What that judge may spend; None for no limit."""

    def __str__(self) -> str:
        return f"{self.arm}-{self.seed}"


def train(run: Run) -> None:
    """Run the stage."""
    if make_route(run.config.route).makes_reward:
        run.require("fit")
    todo = jobs(run)
    config = run.config.train
    failures = run_jobs(todo, config.workers, config.whole_steps, run.budget, run.config.cluster) if todo else {}
    if failures:
        first = next(iter(failures.values()))
        raise PlauditError(
            f"{len(failures)} of {len(todo)} agents failed; the others are kept. The first failure:\n{first}"
        )
    finish(run)


def jobs(run: Run) -> list[Job]:
    """The agents that are not trained yet."""
    run.stage("train")
    every = [
        Job(run.folder, arm, seed, processors(run.config, arm), judged_beside(run.config, arm))
        for seed in range(run.config.train.seeds)
        for arm in trained_arms(run.config)
    ]
    return [job for job in every if not is_trained(run, job.arm, job.seed)]


def processors(config: RunConfig, arm: str) -> float:
    """How many processors one agent keeps busy: its trainer's, and the share of one that its judge is promised. A small
    share is taken from where the trainer is, which loses something to it while they take turns."""
    share = config.online.share if judged_beside(config, arm) else 0.0
    return 1.0 + share * (share > SMALL_SHARE)


def finish(run: Run) -> None:
    """Mark the stage as finished; its time is what its agents took, one after the other."""
    folder, names, seeds = run.stage("train"), trained_arms(run.config), range(run.config.train.seeds)
    curves = {arm: [read_table(folder / f"{arm}-{seed}" / "curve.parquet") for seed in seeds] for arm in names}
    seconds = {arm: [sum(row["seconds"] for row in curve) for curve in each] for arm, each in curves.items()}
    speeds = {
        arm: [c[-1]["steps"] / max(1e-9, s) for c, s in zip(curves[arm], seconds[arm], strict=True)] for arm in names
    }
    run.finish(
        "train",
        sum(sum(each) for each in seconds.values()),
        agents=len(names) * len(seeds),
        steps=run.config.train.steps if names else 0,
        steps_per_second={arm: round(sorted(s)[len(s) // 2]) for arm, s in speeds.items()},
        **_online(run),
    )


def _online(run: Run) -> dict[str, Any]:
    """What judging beside the training came to, told and for the record."""
    config = run.config
    if not judged_beside(config, config.route):
        return {}
    from plaudit.report import words
    from plaudit.routes.beside import summary

    seeds = range(config.train.seeds)
    found = summary([run.folder / "train" / f"{config.route}-{seed}" for seed in seeds])
    console.print(f"judged beside training: {words.judged_beside(found)}")
    return {"judged_beside": found}


def is_trained(run: Run, arm: str, seed: int) -> bool:
    """Whether this agent is finished, on the reward and settings that are there now."""
    folder = run.folder / "train" / f"{arm}-{seed}"
    if not (folder / "agent.safetensors").is_file() or not (folder / "curve.parquet").is_file():
        return False
    return bool(load_tree(folder / "agent.safetensors").get("settings") == run.expected("train"))


def run_jobs(
    waiting: Sequence[Job], workers: int, steps: int, budget: Budget, cluster: ClusterConfig | None = None
) -> dict[Job, str]:
    """Train in processes, which end with this one, or on a cluster; returns the failures in words.

    ``workers`` are how many at once; 0 for as many as there are processors for.
    """
    with _under(budget, waiting) as waiting:
        if cluster is not None and cluster.on != "local":
            from plaudit.stages.train_ray import run_on_ray

            return run_on_ray(waiting, workers, steps, budget, cluster)
        return _run_here(waiting, workers, steps, budget)


@contextlib.contextmanager
def _under(budget: Budget, waiting: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """What the ceilings leave is shared among the judges beside these agents; what they spent is counted at the end."""
    folders = {job.folder for job in waiting if job.beside}
    if not folders:
        yield waiting
        return
    ceiling, before = _share(budget, sum(job.beside for job in waiting)), {each: spent(each) for each in folders}
    try:
        yield [replace(job, ceiling=ceiling if job.beside else None) for job in waiting]
    finally:
        for folder in folders:
            now, then = spent(folder), before[folder]
            budget.spend(now.answers - then.answers, now.tokens - then.tokens, now.usd - then.usd)


def _share(budget: Budget, judges: int) -> Budget:
    """What is left for each of so many. Nobody waits for them, so the hours are not theirs."""
    tokens = None if budget.max_tokens is None else max(0, budget.max_tokens - budget.tokens) // judges
    usd = None if budget.max_usd is None else max(0.0, budget.max_usd - budget.usd) / judges
    return Budget(max_tokens=tokens, max_usd=usd)


def _run_here(waiting: Sequence[Job], workers: int, steps: int, budget: Budget) -> dict[Job, str]:
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    todo, failures = list(waiting), dict[Job, str]()
    running: dict[Job, Any] = {}
    with progress(f"train {len(todo)} agents", len(todo) * steps) as advance:
        try:
            while todo or running:
                budget.check_time()
                while todo and _has_room(todo[0], running, workers):
                    job = todo.pop(0)
                    running[job] = context.Process(target=_work, args=(job, results), daemon=True)
                    _start(running[job])
                _drain(results, advance, failures)
                for job, process in list(running.items()):
                    if not process.is_alive():
                        del running[job]
                        if process.exitcode not in (0, REPORTED):
                            failures[job] = (
                                f"{job}: its process ended with code {process.exitcode} and no word. "
                                "(A script must call plaudit under: if __name__ == '__main__':)"
                            )
            _drain(results, advance, failures)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.join(5)
    return failures


def _start(process: Any) -> None:
    """Begin it deaf to Ctrl-C: this process hears it and ends that one, which would print a traceback while it imports."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _has_room(job: Job, running: Collection[Job], workers: int) -> bool:
    """Whether this one may begin beside those."""
    if workers:
        return len(running) < workers
    return not running or sum(each.processors for each in running) + job.processors <= cores()


def _drain(results: Any, advance: Any, failures: dict[Job, str]) -> None:
    try:
        while True:
            message = results.get(timeout=0.1)
            if isinstance(message, int):
                advance(message)
            else:
                failures[message[0]] = message[1]
    except queue.Empty:
        pass


def _work(job: Job, results: Any) -> None:
    """A process's work; reports steps done (int) or its job and the failure (str)."""
    import torch

    # What came while it was deaf is forgotten, what comes now is the parent's to hear.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = os.getppid()

    def report(steps: int) -> None:
        results.put(steps)
        if os.getppid() != parent:
            os._exit(2)  # the parent was killed: leave at once, the checkpoint is on disk

    if failure := attempt(job, report):
        results.put((job, failure))
        raise SystemExit(REPORTED)


def attempt(job: Job, report: Any) -> str:
    """Train its agent; returns what went wrong, empty for nothing."""
    try:
        train_agent(Run.open(job.folder), job.arm, job.seed, report, job.ceiling)
    except PlauditError as error:
        return f"{job}: {error}"
    except Exception as error:
        log = job.folder / "train" / f"error-{job}.txt"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        said = blame(error) or f"unexpected {type(error).__name__}: {error}"
        return f"{job}: {said} (the whole of it: {log})"
    return ""


def train_agent(run: Run, arm: str, seed: int, report: Any = None, ceiling: Budget | None = None) -> None:
    """Train one agent to the end, from its checkpoint where there is one; ``ceiling``: of a judge beside it."""
    from plaudit.rl.agents import agent_record, make_trainer
    from plaudit.rl.base import to_numpy
    from plaudit.routes.beside import keep_record

    folder, settings = run.stage(f"train/{arm}-{seed}"), run.expected("train")
    config = run.config.train
    envs = wrapped_envs(run, arm)
    trainer, visits = make_trainer(config, envs, seed), envs.env if config.visits else None
    checkpoint, curve = folder / "checkpoint.safetensors", []
    if checkpoint.exists() and (tree := load_tree(checkpoint)).get("settings") == settings:
        trainer.set_state(tree["trainer"])
        curve = tree["curve"]
        if visits is not None:
            visits.tally.set_state(to_numpy(tree["visits"]))
        if report is not None:
            report(trainer.steps)
    saved = time.perf_counter()

    with _beside(run, arm, folder, envs, trainer.steps, ceiling) as beside:

        def on_update(update: Any) -> None:
            nonlocal saved
            row = asdict(update) | (visits.columns() if visits is not None else {})
            curve.append(row | (beside.between(update.steps) if beside is not None else {}))
            if time.perf_counter() - saved > CHECKPOINT_SECONDS:
                tree = {"settings": settings, "trainer": trainer.get_state(), "curve": curve}
                tree |= {"visits": visits.tally.get_state()} if visits is not None else {}
                save_tree(checkpoint, tree)
                saved = time.perf_counter()
            if report is not None:
                report(config.num_envs * config.horizon)

        trainer.train(on_update)
    write_table(folder / "curve.parquet", curve)
    if beside is not None:
        keep_record(folder, beside)
    agent = {"settings": settings, "agent": agent_record(config), "net": dict(trainer.net.state_dict())}
    save_tree(folder / "agent.safetensors", agent)
    checkpoint.unlink(missing_ok=True)


def _beside(run: Run, arm: str, folder: Path, envs: Any, steps: int, ceiling: Budget | None) -> Any:
    """The judge beside this agent's training, from where it stands; None where there is none."""
    if not judged_beside(run.config, arm):
        return contextlib.nullcontext()
    from plaudit.routes.beside import annotating

    return annotating(run, folder, envs, make_world(run.config.world).goal, steps, ceiling)


def judged_beside(config: RunConfig, arm: str) -> bool:
    """Whether this arm's agents are judged while they train."""
    return config.online.beside and arm == config.route


def wrapped_task(config: RunConfig) -> Any:
    """The world with its own reward, through the same wrapper."""
    from plaudit.rewards.controls import TaskReward
    from plaudit.rewards.shaping import Shaping
    from plaudit.rewards.wrapper import RewardWrapper

    envs = make_envs(config.world, config.train.num_envs)
    return RewardWrapper(envs, TaskReward(), Shaping(), make_world(config.world).event)


def wrapped_envs(run: Run, arm: str) -> Any:
    """The world with this arm's reward in place of its own."""
    from plaudit.rewards.wrapper import RewardWrapper

    world, envs = make_world(run.config.world), make_envs(run.config.world, run.config.train.num_envs)
    if run.config.train.visits:
        envs = Visits(envs, world)
    if judged_beside(run.config, arm):
        from plaudit.routes.beside import changing_envs

        return changing_envs(run, world, envs)
    reward_fn, shaping = make_route(arm).reward(run, world)
    return RewardWrapper(envs, reward_fn, shaping, world.event)
