"""PPO on a vectorised environment: one batched forward pass per step of all copies (arXiv 1707.06347).

It maximises the reward that the environment hands out, whatever that is, and reports beside it what the world itself
says (``info["task_reward"]``, ``info["success"]``). A saved trainer goes on exactly where it stopped, given an
environment with ``get_state``/``set_state``.

Run: ``PPO(envs, PPOConfig(steps=100_000), seed=0).train()``. Leaves out recurrence and continuous actions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from plaudit.rl.networks import ActorCritic
from plaudit.vector import step_observations, step_value


@dataclass(frozen=True)
class PPOConfig:
    """How the agent learns."""

    steps: int = 200_000
    """Environment steps in total, over all copies."""
    num_envs: int = 64
    """Copies of the world that step together."""
    horizon: int = 64
    """Steps of each copy between two updates."""
    epochs: int = 4
    """Passes over the data of one update."""
    minibatch: int = 512
    """Transitions in one gradient step."""
    learning_rate: float = 1e-3
    """Adam's step size at the start; falls linearly to zero."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 0.95
    """Decay of generalised advantage estimation (arXiv 1506.02438)."""
    clip: float = 0.2
    """How far the ratio of new to old probability may leave 1."""
    entropy: float = 0.01
    """Weight of the policy's entropy."""
    value_weight: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    width: int = 64
    """Units of each hidden layer."""


@dataclass(frozen=True)
class Progress:
    """What one update reports; averages are over the episodes that ended in it, NaN-free: None without one."""

    steps: int
    """Environment steps so far."""
    episodes: int
    """Episodes that ended in this update."""
    success: float | None
    """Share of them that the world called a success."""
    task_return: float | None
    """Their mean undiscounted return of the world's own reward."""
    reward_return: float | None
    """Their mean undiscounted return of the reward that was maximised."""
    length: float | None
    """Their mean number of steps."""
    entropy: float
    """Mean entropy of the policy, nats."""
    seconds: float
    """Wall time of this update."""


@dataclass
class _Rollout:
    """``horizon`` steps of all copies; every array is ``(horizon, num_envs, ...)``."""

    packed: dict[str, Tensor]
    actions: Tensor
    logprobs: Tensor
    values: Tensor
    rewards: Tensor
    ends: Tensor


class PPO:
    """A trainer that can be stopped, saved, restored and asked for actions."""

    def __init__(self, envs: VectorEnv, config: PPOConfig, seed: int) -> None:
        self.envs, self.config, self.seed = envs, config, seed
        self.generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = ActorCritic(envs.single_observation_space, envs.single_action_space, config.width)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.learning_rate, eps=1e-5, foreach=True)
        self.steps = 0
        # Seeds of a copy are a step of 1 apart, so trainers start a million apart and never share a layout.
        self.obs, _ = envs.reset(seed=1_000_000 * (seed + 1))
        self._episode = {k: np.zeros(config.num_envs) for k in ("task_return", "reward_return", "length")}

    def train(self, on_update: Callable[[Progress], None] | None = None) -> None:
        """Update until ``config.steps`` are done; ``on_update`` may save or raise to stop."""
        while self.steps < self.config.steps:
            progress = self.update()
            if on_update is not None:
                on_update(progress)

    def update(self) -> Progress:
        """One rollout and the gradient steps on it."""
        start = time.perf_counter()
        rollout, ended = self._collect()
        entropy = self._learn(rollout)
        means = {k: float(np.mean([e[k] for e in ended])) if ended else None for k in _EPISODE}
        return Progress(self.steps, len(ended), **means, entropy=entropy, seconds=time.perf_counter() - start)

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on exactly from here, as a tree for ``store.save_tree``."""
        state = {
            "steps": self.steps,
            "net": dict(self.net.state_dict()),
            "optimizer": {str(k): v for k, v in self.optimizer.state_dict()["state"].items()},
            "generator": self.generator.get_state(),
            "observations": self.obs,
            "episode": self._episode,
        }
        envs = self.envs.get_state() if hasattr(self.envs, "get_state") else {}
        return state | ({"envs": envs} if envs else {})

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave; without a world's state the episodes in flight begin anew."""
        self.steps = state["steps"]
        self.net.load_state_dict(state["net"])
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {int(k): v for k, v in state["optimizer"].items()}
        self.optimizer.load_state_dict(optimizer)
        self.generator.set_state(state["generator"])
        if "envs" in state:
            self.obs = _numpy(state["observations"])
            self._episode = _numpy(state["episode"])
            self.envs.set_state(_numpy(state["envs"]))  # type: ignore[attr-defined]

    @torch.no_grad()
    def _collect(self) -> tuple[_Rollout, list[dict[str, float]]]:
        config, ended = self.config, list[dict[str, float]]()
        seen, columns = list[dict[str, Tensor]](), list[tuple[Tensor, ...]]()
        for _ in range(config.horizon):
            packed = self.net.encoder.pack(self.obs)
            logits, values = self.net(packed)
            logprobs = torch.log_softmax(logits, dim=-1)
            actions = torch.multinomial(logprobs.exp(), 1, generator=self.generator).squeeze(1)
            self.obs, rewards, terminated, truncated, infos = self.envs.step(actions.numpy())
            over = terminated | truncated
            ended += self._count_episodes(rewards, over, infos)
            cut_off = self._cut_off_value(truncated & ~terminated, infos, over)
            learned = torch.as_tensor(rewards, dtype=torch.float32) + config.gamma * cut_off
            chosen = logprobs.gather(1, actions[:, None]).squeeze(1)
            seen.append(packed)
            columns.append((actions, chosen, values, learned, torch.from_numpy(over)))
        self.steps += config.horizon * config.num_envs
        packed = {name: torch.stack([step[name] for step in seen]) for name in seen[0]}
        return _Rollout(packed, *(torch.stack(column) for column in zip(*columns, strict=True))), ended

    def _cut_off_value(self, truncated: NDArray[np.bool_], infos: dict[str, Any], ended: NDArray[np.bool_]) -> Tensor:
        """Value of what would have followed where an episode was cut off by the clock; else 0. ``(num_envs,)``."""
        values = torch.zeros(len(truncated))
        if truncated.any():
            _, final = self.net(self.net.encoder.pack(step_observations(self.obs, infos, ended)))
            values[torch.from_numpy(truncated)] = final[torch.from_numpy(truncated)]
        return values

    def _count_episodes(self, rewards: NDArray, ended: NDArray[np.bool_], infos: dict[str, Any]) -> list[dict]:
        success = step_value(infos, "success", ended)
        self._episode["task_return"] += step_value(infos, "task_reward", ended)
        self._episode["reward_return"] += rewards
        self._episode["length"] += 1
        rows = [
            {k: float(v[i]) for k, v in self._episode.items()} | {"success": float(success[i])}
            for i in np.flatnonzero(ended)
        ]
        for total in self._episode.values():
            total[ended] = 0
        return rows

    def _advantages(self, rollout: _Rollout) -> Tensor:
        """Generalised advantage estimation, ``(horizon, num_envs)``."""
        with torch.no_grad():
            following = self.net(self.net.encoder.pack(self.obs))[1]
        advantages, running = torch.empty_like(rollout.rewards), torch.zeros_like(following)
        for t in reversed(range(len(rollout.rewards))):
            goes_on = (~rollout.ends[t]).float()
            delta = rollout.rewards[t] + self.config.gamma * following * goes_on - rollout.values[t]
            running = delta + self.config.gamma * self.config.gae_lambda * goes_on * running
            advantages[t], following = running, rollout.values[t]
        return advantages

    def _learn(self, rollout: _Rollout) -> float:
        config, advantages = self.config, self._advantages(rollout)
        flat = {k: v.flatten(0, 1) for k, v in rollout.packed.items()}
        actions, old = rollout.actions.flatten(), rollout.logprobs.flatten()
        returns, advantages = (advantages + rollout.values).flatten(), advantages.flatten()
        done = (self.steps - config.horizon * config.num_envs) / config.steps
        self.optimizer.param_groups[0]["lr"] = config.learning_rate * max(1 - done, 0.0)
        entropies = []
        for _ in range(config.epochs):
            order = torch.randperm(len(actions), generator=self.generator)
            for rows in order.split(config.minibatch):
                logits, values = self.net({k: v[rows] for k, v in flat.items()})
                logprobs = torch.log_softmax(logits, dim=-1)
                ratio = (logprobs.gather(1, actions[rows, None]).squeeze(1) - old[rows]).exp()
                gain = advantages[rows]
                gain = (gain - gain.mean()) / (gain.std(unbiased=False) + 1e-8)
                surrogate = torch.min(ratio * gain, ratio.clamp(1 - config.clip, 1 + config.clip) * gain).mean()
                entropy = -(logprobs.exp() * logprobs).sum(-1).mean()
                value_loss = F.mse_loss(values, returns[rows])
                loss = -surrogate - config.entropy * entropy + config.value_weight * value_loss
                self.optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.max_grad_norm)
                self.optimizer.step()
                entropies.append(float(entropy.detach()))
        return float(np.mean(entropies))


_EPISODE = ("success", "task_return", "reward_return", "length")


def _numpy(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: _numpy(v) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_numpy(v) for v in tree]
    return tree.numpy().copy() if isinstance(tree, Tensor) else tree
