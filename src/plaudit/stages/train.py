"""train: one agent for each arm and seed, several at a time in processes of their own.

Writes ``ARM-SEED/agent.safetensors`` and ``curve.parquet``; while it runs, ``checkpoint.safetensors``, from which a
stopped agent goes on exactly where it was. One agent's failure does not stop the others.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import time
import traceback
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from plaudit.console import progress
from plaudit.errors import PlauditError
from plaudit.rewards.shaping import Shaping
from plaudit.stages.parts import cores, make_envs, make_world
from plaudit.store import Run, load_tree, read_table, save_tree, write_table

CHECKPOINT_SECONDS = float(os.environ.get("PLAUDIT_CHECKPOINT_SECONDS", "5"))
"""Wall time between two checkpoints: what a kill -9 can cost at most."""
REPORTED = 3
"""Exit code of a worker whose failure is told already."""


def train(run: Run) -> None:
    """Run the stage."""
    start, config = time.perf_counter(), run.config.train
    if "preference" in config.arms:
        run.require("fit")
    folder = run.stage("train")
    jobs = [(arm, seed) for seed in range(config.seeds) for arm in config.arms]
    todo = [job for job in jobs if not is_trained(run, *job)]
    failures = _run_jobs(run, todo, config.workers or cores()) if todo else []
    if failures:
        raise PlauditError(
            f"{len(failures)} of {len(jobs)} agents failed; the others are kept. The first failure:\n{failures[0]}"
        )
    speeds = {arm: [_speed(folder / f"{arm}-{seed}") for seed in range(config.seeds)] for arm in config.arms}
    run.finish(
        "train",
        time.perf_counter() - start,
        agents=len(jobs),
        steps=config.steps,
        steps_per_second={arm: round(sorted(s)[len(s) // 2]) for arm, s in speeds.items()},
    )


def is_trained(run: Run, arm: str, seed: int) -> bool:
    """Whether this agent is finished, on the reward and settings that are there now."""
    folder = run.folder / "train" / f"{arm}-{seed}"
    if not (folder / "agent.safetensors").is_file() or not (folder / "curve.parquet").is_file():
        return False
    return bool(load_tree(folder / "agent.safetensors").get("settings") == run.expected("train"))


def _speed(folder: Path) -> float:
    curve = read_table(folder / "curve.parquet")
    return float(curve[-1]["steps"] / max(1e-9, sum(row["seconds"] for row in curve)))


def _run_jobs(run: Run, jobs: list[tuple[str, int]], workers: int) -> list[str]:
    """Train in processes; returns the failures in words. The processes end with this one."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    waiting, failures = list(jobs), list[str]()
    running: dict[tuple[str, int], Any] = {}
    with progress(f"train {len(jobs)} agents", len(jobs) * run.config.train.steps) as advance:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    job = waiting.pop(0)
                    arguments = (str(run.folder), *job, results)
                    running[job] = context.Process(target=_work, args=arguments, daemon=True)
                    running[job].start()
                _drain(results, advance, failures)
                for job, process in list(running.items()):
                    if not process.is_alive():
                        del running[job]
                        if process.exitcode not in (0, REPORTED):
                            failures.append(
                                f"{job[0]}-{job[1]}: its process ended with code {process.exitcode} and no word. "
                                "(A script must call plaudit under: if __name__ == '__main__':)"
                            )
            _drain(results, advance, failures)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.join(5)
    return failures


def _drain(results: Any, advance: Any, failures: list[str]) -> None:
    try:
        while True:
            message = results.get(timeout=0.1)
            if isinstance(message, int):
                advance(message)
            else:
                failures.append(message)
    except queue.Empty:
        pass


def _work(folder: str, arm: str, seed: int, results: Any) -> None:
    """A process's work; reports steps done (int) or a failure (str)."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this process
    torch.set_num_threads(1)
    parent = os.getppid()

    def report(steps: int) -> None:
        results.put(steps)
        if os.getppid() != parent:
            os._exit(2)  # the parent was killed: leave at once, the checkpoint is on disk

    try:
        train_agent(Run.open(Path(folder)), arm, seed, report)
    except PlauditError as error:
        results.put(f"{arm}-{seed}: {error}")
        raise SystemExit(REPORTED) from None
    except Exception as error:
        log = Path(folder) / "train" / f"error-{arm}-{seed}.txt"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        results.put(f"{arm}-{seed}: unexpected {type(error).__name__}: {error} (the whole of it: {log})")
        raise SystemExit(REPORTED) from None


def train_agent(run: Run, arm: str, seed: int, report: Any = None) -> None:
    """Train one agent to the end, from its checkpoint where there is one."""
    from plaudit.rl.ppo import PPO, PPOConfig

    folder, settings = run.stage(f"train/{arm}-{seed}"), run.expected("train")
    config = run.config.train
    shared = {f.name: getattr(config, f.name) for f in fields(PPOConfig) if hasattr(config, f.name)}
    trainer = PPO(wrapped_envs(run, arm), PPOConfig(**shared), seed)
    checkpoint, curve = folder / "checkpoint.safetensors", []
    if checkpoint.exists() and (tree := load_tree(checkpoint)).get("settings") == settings:
        trainer.set_state(tree["trainer"])
        curve = tree["curve"]
        if report is not None:
            report(trainer.steps)
    saved = time.perf_counter()

    def on_update(update: Any) -> None:
        nonlocal saved
        curve.append(asdict(update))
        if time.perf_counter() - saved > CHECKPOINT_SECONDS:
            save_tree(checkpoint, {"settings": settings, "trainer": trainer.get_state(), "curve": curve})
            saved = time.perf_counter()
        if report is not None:
            report(config.num_envs * config.horizon)

    trainer.train(on_update)
    write_table(folder / "curve.parquet", curve)
    save_tree(folder / "agent.safetensors", {"settings": settings, "net": dict(trainer.net.state_dict())})
    checkpoint.unlink(missing_ok=True)


def wrapped_envs(run: Run, arm: str) -> Any:
    """The world with this arm's reward in place of its own."""
    from plaudit import registry
    from plaudit.rewards.wrapper import RewardWrapper
    from plaudit.stages.fit import load_reward

    world, envs = make_world(run.config.world), make_envs(run.config.world, run.config.train.num_envs)
    if arm == "preference":
        reward_fn, shaping = load_reward(run, world)
    else:
        reward_fn, shaping = registry.load("routes", arm)(), Shaping()
    return RewardWrapper(envs, reward_fn, shaping, world.event)
