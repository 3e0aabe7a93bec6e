"""PPO on a vectorised environment: one batched forward pass per step of all copies (arXiv 1707.06347).

It maximises the reward that the environment hands out, whatever that is, and reports beside it what the world itself
says (``info["task_reward"]``, ``info["success"]``). A saved trainer goes on exactly where it stopped, given an
environment with ``get_state``/``set_state``.

With ``memory`` the agent is recurrent: minibatches are whole copies, and gradients run back through the ``horizon`` steps
of one rollout, from the state that was stored before it.

Run: ``PPO(envs, PPOConfig(steps=100_000), seed=0).train()``. Leaves out several actions at once (``MultiDiscrete``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from plaudit.rl.base import Episodes, Progress, means, to_numpy
from plaudit.rl.networks import ActorCritic
from plaudit.rl.scale import RewardScale
from plaudit.vector import step_observations


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
    memory: int = 0
    """Units of the recurrent memory of the episode; 0 for none."""
    normalize: bool = False
    """Whether observed numbers and the reward are brought to unit scale by their running deviation."""


@dataclass
class _Rollout:
    """``horizon`` steps of all copies; every array is ``(horizon, num_envs, ...)``."""

    packed: dict[str, Tensor]
    actions: Tensor
    logprobs: Tensor
    values: Tensor
    rewards: Tensor
    ends: Tensor
    state: Tensor | None = None
    """What was remembered before the first step, ``(num_envs, memory)``."""


class PPO:
    """A trainer that can be stopped, saved, restored and asked for actions."""

    def __init__(self, envs: VectorEnv, config: PPOConfig, seed: int) -> None:
        self.envs, self.config, self.seed = envs, config, seed
        self.generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            spaces = envs.single_observation_space, envs.single_action_space
            self.net = ActorCritic(*spaces, config.width, config.memory, config.normalize)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.learning_rate, eps=1e-5, foreach=True)
        self.steps = 0
        # Seeds of a copy are a step of 1 apart, so trainers start a million apart and never share a layout.
        self.obs, _ = envs.reset(seed=1_000_000 * (seed + 1))
        self.state = torch.zeros(config.num_envs, config.memory) if config.memory else None
        self.scale = RewardScale(config.num_envs, config.gamma) if config.normalize else None
        self._episodes = Episodes(config.num_envs)

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
        return Progress(self.steps, len(ended), **means(ended), entropy=entropy, seconds=time.perf_counter() - start)

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on exactly from here, as a tree for ``store.save_tree``."""
        state = {
            "steps": self.steps,
            "net": dict(self.net.state_dict()),
            "optimizer": {str(k): v for k, v in self.optimizer.state_dict()["state"].items()},
            "generator": self.generator.get_state(),
            "observations": self.obs,
            "episode": self._episodes.totals,
            "memory": self.state,
            "scale": self.scale.get_state() if self.scale is not None else None,
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
        if self.scale is not None:
            self.scale.set_state(state["scale"])
        if "envs" in state:
            self.obs, self.state = to_numpy(state["observations"]), state["memory"]
            self._episodes.totals = to_numpy(state["episode"])
            self.envs.set_state(to_numpy(state["envs"]))  # type: ignore[attr-defined]
        elif self.scale is not None:
            self.scale.forget()

    @torch.no_grad()
    def _collect(self) -> tuple[_Rollout, list[dict[str, float]]]:
        config, ended, before = self.config, list[dict[str, float]](), self.state
        seen, columns = list[dict[str, Tensor]](), list[tuple[Tensor, ...]]()
        for _ in range(config.horizon):
            self.net.encoder.observe(self.obs)
            packed = self.net.pack(self.obs)
            choice, values, self.state = self.net(packed, self.state)
            actions = choice.sample(self.generator)
            self.obs, rewards, terminated, truncated, infos = self.envs.step(self.net.executed(actions))
            over = terminated | truncated
            ended += self._episodes.add(rewards, over, infos)
            if self.scale is not None:
                rewards = self.scale(rewards, over)
            cut_off = self._cut_off_value(truncated & ~terminated, infos, over)
            learned = torch.as_tensor(rewards, dtype=torch.float32) + config.gamma * cut_off
            ends = torch.from_numpy(over)
            seen.append(packed)
            columns.append((actions, choice.log_prob(actions), values, learned, ends))
            if self.state is not None:
                self.state = self.state * ~ends[:, None]
        self.steps += config.horizon * config.num_envs
        packed = {name: torch.stack([step[name] for step in seen]) for name in seen[0]}
        acted, logprobs, estimates, rewarded, ends = (torch.stack(column) for column in zip(*columns, strict=True))
        return _Rollout(packed, acted, logprobs, estimates, rewarded, ends, before), ended

    def _cut_off_value(self, truncated: NDArray[np.bool_], infos: dict[str, Any], ended: NDArray[np.bool_]) -> Tensor:
        """Value of what would have followed where an episode was cut off by the clock; else 0. ``(num_envs,)``."""
        values = torch.zeros(len(truncated))
        if truncated.any():
            _, final, _ = self.net(self.net.pack(step_observations(self.obs, infos, ended)), self.state)
            values[torch.from_numpy(truncated)] = final[torch.from_numpy(truncated)]
        return values

    def _advantages(self, rollout: _Rollout) -> Tensor:
        """Generalised advantage estimation, ``(horizon, num_envs)``."""
        with torch.no_grad():
            following = self.net(self.net.pack(self.obs), self.state)[1]
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
        actions, old = rollout.actions.flatten(0, 1), rollout.logprobs.flatten()
        returns, advantages = (advantages + rollout.values).flatten(), advantages.flatten()
        done = (self.steps - config.horizon * config.num_envs) / config.steps
        self.optimizer.param_groups[0]["lr"] = config.learning_rate * max(1 - done, 0.0)
        entropies = []
        for _ in range(config.epochs):
            for rows, state, begun in self._minibatches(rollout):
                choice, values, _ = self.net({k: v[rows] for k, v in flat.items()}, state, begun)
                ratio = (choice.log_prob(actions[rows]) - old[rows]).exp()
                gain = advantages[rows]
                gain = (gain - gain.mean()) / (gain.std(unbiased=False) + 1e-8)
                surrogate = torch.min(ratio * gain, ratio.clamp(1 - config.clip, 1 + config.clip) * gain).mean()
                entropy = choice.entropy().mean()
                value_loss = F.mse_loss(values, returns[rows])
                loss = -surrogate - config.entropy * entropy + config.value_weight * value_loss
                self.optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.max_grad_norm)
                self.optimizer.step()
                entropies.append(float(entropy.detach()))
        return float(np.mean(entropies))

    def _minibatches(self, rollout: _Rollout) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
        """Every row of the flattened rollout once, in random order; with a memory, whole copies.

        Beside the rows ``(n,)``: what these copies remembered before them, and which steps begin an episode,
        ``(horizon, copies)``.
        """
        config, (horizon, copies) = self.config, rollout.ends.shape
        if rollout.state is None:
            for rows in torch.randperm(horizon * copies, generator=self.generator).split(config.minibatch):
                yield rows, None, None
            return
        begun = rollout.ends.roll(1, dims=0)
        begun[0] = False  # the state before the first step is cleared already
        times = torch.arange(horizon)[:, None] * copies
        for some in torch.randperm(copies, generator=self.generator).split(max(1, config.minibatch // horizon)):
            yield (times + some).flatten(), rollout.state[some], begun[:, some]
