"""Our PPO beside Stable-Baselines3's on the same small tasks: steps/s and what they have learnt, trained in turn.

Run: python benchmarks/agents.py [seeds] (extra sac). Both get the same copies in the same process (Stable-Baselines3's
through the adapter of ``rl/sb3.py``), the same network sizes, rollouts, minibatches, epochs and step sizes; one trains,
then the other, the first one changing with the seed. Speeds are steps per second of the processor's time, medians;
returns are the mean over the last tenth of the training, medians over the seeds. Then what a memory costs on DoorKey,
update by update in turn; with ``--sac`` SAC on Pendulum.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper
from stable_baselines3.common.vec_env import VecNormalize

from plaudit.envs.gridworld import DoorKeyVector
from plaudit.rl.ppo import PPO, PPOConfig
from plaudit.rl.sac import SAC, SACConfig
from plaudit.rl.sb3 import Copies

CARTPOLE = PPOConfig(steps=65_536, num_envs=16, horizon=128, epochs=4, minibatch=256, learning_rate=1e-3)
PENDULUM = replace(CARTPOLE, steps=131_072, epochs=10, gamma=0.9, entropy=0.0, normalize=True)
TASKS = [
    ("CartPole-v1", CARTPOLE),
    ("CartPole-v1", replace(CARTPOLE, normalize=True)),
    ("Pendulum-v1", PENDULUM),
]
"""What is trained; ``normalize`` is Stable-Baselines3's VecNormalize for the other."""


class TaskReward(VectorWrapper):
    """Gymnasium's tasks with their reward where our trainers look for it."""

    def step(self, actions: Any) -> Any:
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        known = {"task_reward": rewards, "success": np.zeros(len(rewards))}
        return obs, rewards, terminated, truncated, infos | known | {"final_info": known}


def copies(task: str, num_envs: int) -> TaskReward:
    return TaskReward(SyncVectorEnv([lambda: gym.make(task)] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP))


def ours(task: str, config: PPOConfig, seed: int) -> tuple[float, float]:
    start, rows = time.process_time(), []
    trainer = PPO(copies(task, config.num_envs), config, seed)
    trainer.train(rows.append)
    last = [r for r in rows[-max(1, len(rows) // 10) :] if r.task_return is not None]
    return config.steps / (time.process_time() - start), statistics.fmean(r.task_return for r in last)


def theirs(task: str, config: PPOConfig, seed: int) -> tuple[float, float]:
    start = time.process_time()
    inner = Copies(copies(task, config.num_envs), 1_000_000 * (seed + 1))
    envs: Any = VecNormalize(inner, gamma=config.gamma) if config.normalize else inner
    model = stable_baselines3.PPO(
        "MlpPolicy",
        envs,
        learning_rate=lambda left: config.learning_rate * left,
        n_steps=config.horizon,
        batch_size=config.minibatch,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        ent_coef=config.entropy,
        vf_coef=config.value_weight,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs={"net_arch": [config.width, config.width]},
        seed=seed,
        device="cpu",
    )
    model.learn(config.steps, log_interval=None)
    # Episodes are shorter where the agent is worse: weigh by time, not by number.
    kept, last = 0.0, []
    for row in reversed(inner.ended):
        kept += row["length"]
        last.append(row["task_return"])
        if kept >= config.steps / 10:
            break
    return config.steps / (time.process_time() - start), statistics.fmean(last)


def compare(task: str, config: PPOConfig, seeds: int) -> None:
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for seed in range(seeds):
        order = [("ours", ours), ("theirs", theirs)]
        for name, run in order if seed % 2 else order[::-1]:
            found[name].append(run(task, config, seed))
    print(f"{task}{', normalize' if config.normalize else ''}, {config.steps:,} steps, {seeds} seeds")
    for name, label in (("ours", "plaudit PPO"), ("theirs", "Stable-Baselines3 PPO")):
        speeds, returns = zip(*found[name], strict=True)
        speed, middle, least, most = statistics.median(speeds), statistics.median(returns), min(returns), max(returns)
        print(f"  {label:22} {speed:8,.0f} steps/cpu-s   return {middle:6.0f} ({least:.0f} to {most:.0f})")
    ratios = [a[0] / b[0] for a, b in zip(found["ours"], found["theirs"], strict=True)]
    print(f"  ours / theirs: {statistics.median(ratios):.2f} times the speed (median of pairs)")


def memory(updates: int = 12) -> None:
    """PPO on DoorKey with memories of several sizes, one update each in turn."""
    sizes, seconds = (0, 64, 128), dict[int, list[float]]()
    trainers = {size: PPO(DoorKeyVector(64, 8), PPOConfig(memory=size), 0) for size in sizes}
    for update in range(updates):
        for size in sizes if update % 2 else sizes[::-1]:
            start = time.process_time()
            trainers[size].update()
            seconds.setdefault(size, []).append(time.process_time() - start)
    for size in sizes:
        speed = 64 * 64 / statistics.median(seconds[size])
        ratio = statistics.median(a / b for a, b in zip(seconds[0], seconds[size], strict=True))
        print(f"DoorKey 8x8, memory of {size:3} units: {speed:8,.0f} steps/cpu-s, {ratio:.2f} times that without")


def sac(task: str = "Pendulum-v1", seed: int = 0) -> None:
    """SAC's speed and return by the number of gradient steps for each step of the world."""
    base = SACConfig(steps=10_000, num_envs=8, horizon=50, learning_rate=1e-3, gamma=0.98, warmup=1000)
    for epochs in (8, 2):
        config, rows = replace(base, epochs=epochs), []
        start = time.process_time()
        SAC(copies(task, config.num_envs), config, seed).train(rows.append)
        speed = config.steps / (time.process_time() - start)
        last = statistics.fmean(r.task_return for r in rows[-5:] if r.task_return is not None)
        ratio = epochs / config.num_envs
        print(
            f"{task}, SAC, {ratio:g} gradient steps a step: {speed:,.0f} steps/cpu-s, return {last:.0f} at {config.steps:,}"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    words = [w for w in sys.argv[1:] if w != "--sac"]
    for name, settings in TASKS:
        compare(name, settings, int(words[0]) if words else 3)
    memory()
    if "--sac" in sys.argv:
        sac()
