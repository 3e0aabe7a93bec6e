"""SAC by Stable-Baselines3 on our vectorised worlds: few steps of the world, many of the optimiser (arXiv 1801.01290).

For continuous actions where a step of the world is dear. Transitions are kept, and when the reward changes
:meth:`SAC.relabel` gives every one its new reward. A saved trainer goes on exactly where it stopped, given an environment
with ``get_state``/``set_state``; checkpoints hold all transitions (about 350 bytes each in MetaWorld).

Run: ``SAC(envs, SACConfig(steps=100_000), seed=0).train()``. Leaves out text, pictures and memory: those are PPO's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import stable_baselines3
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from plaudit.rl.actor import Actor, unscaled
from plaudit.rl.base import Progress, means, to_numpy
from plaudit.rl.sb3 import Copies, Replay


@dataclass(frozen=True)
class SACConfig:
    """How the agent learns."""

    steps: int = 200_000
    """Environment steps in total, over all copies."""
    num_envs: int = 8
    """Copies of the world that step together."""
    horizon: int = 64
    """Steps of each copy between two reports."""
    epochs: int = 4
    """Gradient steps after each step of all copies."""
    minibatch: int = 256
    """Transitions in one gradient step."""
    learning_rate: float = 1e-3
    """Adam's step size; it stays the same."""
    gamma: float = 0.99
    """Discount per step."""
    width: int = 64
    """Units of each hidden layer."""
    warmup: int = 2_000
    """Steps by chance before the learning."""
    replay: int = 1_000_000
    """Transitions that are kept, the latest."""


@dataclass(frozen=True)
class Stored:
    """Transitions out of the replay buffer, n of them."""

    before: Any
    """Observations, batched like the observation space."""
    actions: NDArray[Any]
    """``(n, ...)`` like the action space."""
    after: Any
    """What they led to; the final observation where an episode ended."""
    task_reward: NDArray[np.float32]
    """The world's own reward ``(n,)``."""


class SAC:
    """A trainer of the same kind as :class:`plaudit.rl.ppo.PPO`."""

    def __init__(self, envs: VectorEnv, config: SACConfig, seed: int) -> None:
        spaces = envs.single_observation_space, envs.single_action_space
        with torch.random.fork_rng():
            self._actor = Actor(*spaces, config.width)  # first of all: it refuses spaces that do not fit
        self.config, self.seed, self.envs = config, seed, envs
        self.copies = Copies(envs, 1_000_000 * (seed + 1))
        self._streams: tuple[Any, Any] = (torch.get_rng_state(), np.random.get_state())
        with self._own_streams():
            torch.manual_seed(seed)
            np.random.seed(seed)
            self.model = stable_baselines3.SAC(
                "MlpPolicy",
                self.copies,
                config.learning_rate,
                buffer_size=min(config.replay, config.steps + config.num_envs * config.horizon),
                learning_starts=config.warmup,
                batch_size=config.minibatch,
                gamma=config.gamma,
                train_freq=1,
                gradient_steps=config.epochs,
                policy_kwargs={"net_arch": [config.width, config.width]},
                replay_buffer_class=Replay,
                device="cpu",
            )

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return self.model.num_timesteps

    @property
    def net(self) -> Actor:
        """The actor as it is now."""
        self._actor.load_state_dict(self.model.actor.state_dict())
        return self._actor

    @property
    def stored(self) -> Replay:
        """The transitions."""
        assert isinstance(self.model.replay_buffer, Replay)
        return self.model.replay_buffer

    def train(self, on_update: Callable[[Progress], None] | None = None) -> None:
        """Update until ``config.steps`` are done; ``on_update`` may save or raise to stop."""
        while self.steps < self.config.steps:
            progress = self.update()
            if on_update is not None:
                on_update(progress)

    def update(self) -> Progress:
        """``horizon`` steps of all copies, with the learning between them."""
        start, chunk = time.perf_counter(), self.config.horizon * self.config.num_envs
        with self._own_streams():
            self.model.action_space.seed(self.seed + self.steps)
            self.model.learn(chunk, log_interval=None, reset_num_timesteps=False)  # type: ignore[arg-type]
            with torch.no_grad():
                _, logprobs = self.model.actor.action_log_prob(torch.from_numpy(self.copies.rows))
        ended, self.copies.ended = self.copies.ended, []
        entropy, seconds = -float(logprobs.mean()), time.perf_counter() - start
        return Progress(self.steps, len(ended), **means(ended), entropy=entropy, seconds=seconds)

    def relabel(self, reward: Callable[[Stored], NDArray[Any]], chunk: int = 4096) -> None:
        """Give every stored transition the reward that this function has for it now, ``chunk`` at a time.

        The reward is of the transition alone: counts and potentials of a wrapper are not applied.
        """
        store, flat = self.stored, self.copies.flat
        rows = max(1, chunk // store.n_envs)
        for start in range(0, store.filled, rows):
            part = slice(start, min(start + rows, store.filled))
            before, after, actions = (
                getattr(store, name)[part].reshape(-1, getattr(store, name).shape[-1])
                for name in ("observations", "next_observations", "actions")
            )
            executed = unscaled(self._actor.action_space, actions)
            own = store.task_rewards[part].ravel()
            new = np.asarray(reward(Stored(flat.unflatten(before), executed, flat.unflatten(after), own)), np.float32)
            if not np.isfinite(new).all():
                raise ValueError("the reward gave numbers that are not finite.")
            store.rewards[part] = new.reshape(-1, store.n_envs)

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on from here, as a tree for ``store.save_tree``."""
        generator, numbers = self._streams
        state = {
            "steps": self.steps,
            "policy": dict(self.model.policy.state_dict()),
            "temperature": self.model.log_ent_coef,
            "optimizers": [{str(k): v for k, v in o.state_dict()["state"].items()} for o in self._optimizers],
            "torch": generator,
            "numpy": [numbers[0], np.asarray(numbers[1], np.int64), *numbers[2:]],
            "replay": self.stored.get_state(),
            "observations": self.copies.rows,
            "episode": self.copies.episodes.totals,
        }
        envs = self.envs.get_state() if hasattr(self.envs, "get_state") else {}
        return state | ({"envs": envs} if envs else {})

    def set_state(self, state: dict[str, Any]) -> None:
        """What :meth:`get_state` gave; without a world's state the episodes in flight begin anew."""
        model = self.model
        model.num_timesteps = state["steps"]
        model.policy.load_state_dict(state["policy"])
        assert model.log_ent_coef is not None
        model.log_ent_coef.data.copy_(state["temperature"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            whole = optimizer.state_dict()
            optimizer.load_state_dict(whole | {"state": {int(k): v for k, v in saved.items()}})
        kind, keys, *rest = state["numpy"]
        self._streams = state["torch"], (kind, to_numpy(keys).astype(np.uint32), *rest)
        self.stored.set_state(to_numpy(state["replay"]))
        if "envs" in state:
            self.copies.rows = to_numpy(state["observations"])
            self.copies.episodes.totals = to_numpy(state["episode"])
            self.envs.set_state(to_numpy(state["envs"]))  # type: ignore[attr-defined]
        model._last_obs = None  # it asks the copies where they stand

    @property
    def _optimizers(self) -> list[torch.optim.Optimizer]:
        assert self.model.ent_coef_optimizer is not None
        return [self.model.actor.optimizer, self.model.critic.optimizer, self.model.ent_coef_optimizer]

    @contextlib.contextmanager
    def _own_streams(self) -> Iterator[None]:
        """The library draws from the global generators: lend them this trainer's streams, and give them back."""
        outer = torch.get_rng_state(), np.random.get_state()
        torch.set_rng_state(self._streams[0])
        np.random.set_state(self._streams[1])
        try:
            yield
        finally:
            self._streams = torch.get_rng_state(), np.random.get_state()
            torch.set_rng_state(outer[0])
            np.random.set_state(outer[1])
