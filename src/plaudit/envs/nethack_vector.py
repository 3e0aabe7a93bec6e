"""Games side by side in one process: a plain list of them, read into one batch.

Gymnasium's own vector environments need more time than nle itself: they walk through every observation's parts in Python,
or send them between processes. Leaves out saving a game: nle cannot, so a stopped run begins new episodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from plaudit.envs import nethack_tasks as tasks
from plaudit.envs.nethack_games import GameError, Watched
from plaudit.envs.nethack_reader import SPAN, Reader, observation_space

ABORTED, SUCCESSFUL = -1, 2


class Copies:
    """``n`` games of one task, with what an episode has come to."""

    def __init__(self, make: Callable[[], Watched], n: int, name: str, task: str, description: str) -> None:
        self.name, self.task = name, task
        self.games = [make() for _ in range(n)]
        screen = description in ("screen", "image")
        self.reader = Reader(n, screen, SPAN if description == "changes" else 1)
        self.observation_space = observation_space(screen)
        self.action_space = spaces.Discrete(len(self.games[0].actions))
        self.earned, self.success = np.zeros(n), np.zeros(n, bool)
        self._rngs = [seeding.np_random(None)[0] for _ in range(n)]
        self._seeds = [(0, 0)] * n

    def begin(self, copies: NDArray[np.int64], seeds: list[int] | None = None) -> dict[str, NDArray]:
        """Start new games; copy ``i`` from ``seeds[i]`` where seeds are given, else from its own generator."""
        for i in copies.tolist():
            if seeds is not None:
                self._rngs[i] = seeding.np_random(seeds[i])[0]
            core, display = (int(seed) for seed in self._rngs[i].integers(2**31, size=2))
            self._seeds[i] = core, display
            try:
                self.games[i].begin(core, display)
            except Exception as error:
                raise self._failed("could not begin", i, error) from error
        self.earned[copies], self.success[copies] = 0, False
        return self.reader.observe(self.games, copies, begun=True)

    def act(self, i: int, action: int) -> tuple[float, bool, bool]:
        """One step of one game: reward, whether it has ended, whether it was cut off by the limit of steps."""
        if not 0 <= action < self.action_space.n:
            raise ValueError(f"{self.name} has actions from 0 to {self.action_space.n - 1}, got {action}.")
        game = self.games[i]
        try:
            _, reward, over, _, info = game.step(action)
        except Exception as error:
            raise self._failed(f"failed at action {game.actions[action].name}", i, error) from error
        status = int(info["end_status"])
        self.earned[i] += max(0.0, round(reward))
        target = tasks.TARGETS.get(self.task)
        self.success[i] = self.earned[i] >= target if target else status == SUCCESSFUL
        return float(reward), over and status != ABORTED, status == ABORTED

    def status(self, observation: dict[str, NDArray]) -> dict[str, NDArray]:
        """Success and progress, ``(n,)``."""
        progress = tasks.progress(self.task, observation["status"], self.earned, self.success)
        return {"success": self.success.copy(), "progress": progress}

    def close(self) -> None:
        """End all games."""
        for game in self.games:
            game.close()

    def _failed(self, what: str, i: int, error: Exception) -> GameError:
        return GameError(
            f"{self.name}:{self.task}, copy {i}, game of seeds {self._seeds[i]}: {what}: {type(error).__name__}: {error}. "
            "Run it again with another --seed."
        )


class GameVector(VectorEnv):
    """``num_envs`` games that step together and reset in the same step."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, make: Callable[[], Watched], num_envs: int, name: str, task: str, description: str) -> None:
        self.num_envs = num_envs
        self.copies = Copies(make, num_envs, name, task, description)
        self.single_observation_space, self.single_action_space = (
            self.copies.observation_space,
            self.copies.action_space,
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._all = np.arange(num_envs)

    def reset(self, *, seed: int | list[int] | None = None, options: dict | None = None) -> tuple[Any, dict[str, Any]]:
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        observation = self.copies.begin(self._all, seeds)
        return observation, self.copies.status(observation)

    def step(self, actions: NDArray) -> tuple[Any, NDArray, NDArray, NDArray, dict[str, Any]]:
        made = [self.copies.act(i, action) for i, action in enumerate(np.asarray(actions).tolist())]
        reward, terminated, truncated = (np.array(column) for column in zip(*made, strict=True))
        observation = self.copies.reader.observe(self.copies.games, self._all)
        info: dict[str, Any] = self.copies.status(observation) | {"task_reward": reward}
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            info |= {"final_obs": observation, "final_info": dict(info), "_final_obs": terminated | truncated}
            fresh = self.copies.begin(ended)
            observation = {name: part.copy() for name, part in observation.items()}
            for name, part in fresh.items():
                observation[name][ended] = part
            info |= self.copies.status(observation)
        return observation, reward, terminated, truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        if hasattr(self, "copies"):  # else making them has failed
            self.copies.close()
