"""MetaWorld: a robot arm at one of 50 tasks on a table (Meta-World's MT1, Sawyer arm in MuJoCo).

Success is what the benchmark calls success, at any step of the episode (``info["success"]`` stays true from then on); the
benchmark's dense reward is ``info["task_reward"]`` and is never a score: the two disagree. An episode does not end at
success but always after the same number of steps, so that its end tells an agent nothing. Actions are the benchmark's four
numbers, or words that are each held for some steps: the coarser the words, the shorter the way that has to be learnt.

Run: ``plaudit run metaworld:drawer-close``. Leaves out: several tasks in one agent (MT10, MT50), held-out tasks (ML1 ...),
and the benchmark's 500 steps, of which its own experts need fewer than 200.
Source: metaworld 3.1.1 (Farama Foundation; Yu et al. 2019, arXiv 1910.10897; McLean et al. 2025, arXiv 2505.11289).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from plaudit.envs import metaworld_camera as camera
from plaudit.envs import metaworld_words as words
from plaudit.envs.base import Observation, World
from plaudit.envs.metaworld_tasks import TASKS
from plaudit.errors import ConfigError
from plaudit.vector import stack

camera.choose_gl()
from plaudit.envs.metaworld_arm import FRAME, STATE, Arm  # noqa: E402  (MuJoCo reads MUJOCO_GL when it is imported)

LIMIT = 200
"""Steps of the simulator in one episode."""
HELD = {"continuous": 1, "words": 5, "fine-words": 2, "coarse-words": 10}
"""Steps of the simulator that one action lasts; the hand moves 1 cm in each."""
SIDES = {"pixels": 64, "large-pixels": 224}
"""Side of the pictures in an observation, pixels."""
SHOWN = 224
"""Side of the pictures that are rendered for people."""


class _Episodes:
    """One copy with its choices: observations and actions as an agent knows them."""

    def __init__(self, task: str, actions: str, observation: str) -> None:
        self.arm, self.task = Arm(task), TASKS[task]
        self.held, self.side = HELD[actions], SIDES.get(observation, 0)
        self.discrete = actions != "continuous"
        self.table = np.array(list(words.ACTIONS.values()), np.float32)
        self.history: list[Any] = []
        self.started: Any = self.arm.rng.bit_generator.state
        self._begin: tuple[float, float] = (1.0, 1.0)
        self.steps, self.success = 0, False

    def reset(self) -> Observation:
        """Begin an episode."""
        self.started, self.history = self.arm.rng.bit_generator.state, []
        self.steps, self.success = 0, False
        state = self.arm.reset()
        self._begin = self._ways(state)
        return self.observe(state)

    def step(self, action: Any) -> tuple[Observation, float, bool, dict[str, Any]]:
        """Observation, the benchmark's reward over the steps that the action lasts, whether time is up, info."""
        state, reward = self.move(action)
        info = {"success": self.success, "progress": self.progress(state), "task_reward": reward}
        return self.observe(state), reward, self.steps >= LIMIT, info

    def move(self, action: Any) -> tuple[NDArray[np.float64], float]:
        """The simulator's part of a step."""
        if self.steps >= LIMIT:
            raise ValueError(f"the episode ended after {LIMIT} steps. Call reset().")
        self.history.append(action)
        numbers = self.table[int(action)] if self.discrete else np.asarray(action, np.float32)
        total, before = 0.0, None
        for _ in range(min(self.held, LIMIT - self.steps)):
            state, reward, success = self.arm.step(numbers)
            if before is None:
                before = state[FRAME : 2 * FRAME].copy()
            total += reward
            self.steps += 1
            self.success |= success
        # What "the frame before" is: the one in which the agent chose its action, however long that lasted.
        state[FRAME : 2 * FRAME] = before
        return state, total

    def progress(self, state: NDArray[np.float64]) -> float:
        """For measuring only: 1 at success; before it, how much nearer hand and object are than at the start."""
        if self.success:
            return 1.0
        reach, place = (
            max(0.0, 1 - way / max(0.01, begin)) for way, begin in zip(self._ways(state), self._begin, strict=True)
        )
        return 0.9 * (0.3 * reach + 0.7 * place)

    def _ways(self, state: NDArray[np.float64]) -> tuple[float, float]:
        """From the fingers to the object, and from the object to its place, metres."""
        numbers = state.tolist()
        _, to_thing, rest = words.offsets(self.task, numbers[:FRAME], numbers[2 * FRAME :])
        return math.hypot(*to_thing), math.hypot(*rest)

    def observe(self, state: NDArray[np.float64]) -> Observation:
        """The state as float32 ``(39,)``, or the picture and the hand."""
        if not self.side:
            return state.astype(np.float32)
        return {"pixels": self.arm.picture(self.side), "hand": state[:4].astype(np.float32)}

    def get_state(self) -> dict[str, Any]:
        """The generator as it was when the episode began, and what was done since."""
        shape = (0,) if self.discrete else (0, 4)
        done = np.array(self.history) if self.history else np.zeros(shape, np.int64 if self.discrete else np.float32)
        return {"rng": self.started, "done": done}

    def set_state(self, state: dict[str, Any]) -> None:
        """Do the same again: exact, since an episode depends on nothing else."""
        self.arm.rng.bit_generator.state = state["rng"]
        side, self.side = self.side, 0
        self.reset()
        for action in state["done"]:
            self.move(action)
        self.side = side


def observation_space(observation: str) -> spaces.Space[Any]:
    """One observation of either form."""
    if observation == "state":
        return spaces.Box(-np.inf, np.inf, (STATE,), np.float32)
    side = SIDES[observation]
    return spaces.Dict(
        {
            "pixels": spaces.Box(0, 255, (side, side, 3), np.uint8),
            "hand": spaces.Box(-np.inf, np.inf, (4,), np.float32),
        }
    )


def action_space(actions: str) -> spaces.Space[Any]:
    """Four numbers (right, forward, up, gripper closes), or the number of a word."""
    return spaces.Box(-1, 1, (4,), np.float32) if actions == "continuous" else spaces.Discrete(len(words.NAMES))


class Expert:
    """The benchmark's scripted policy of a task: states ``(n, 39)`` to actions ``(n, 4)``."""

    def __init__(self, task: str) -> None:
        from metaworld.policies import ENV_POLICY_MAP

        policy: Any = ENV_POLICY_MAP[f"{task}-v3"]
        self._policy = policy()

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Remembers nothing."""

    def act(self, observations: Any) -> NDArray[Any]:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for more than 1, and says so each time
            moves = [np.clip(self._policy.get_action(np.asarray(one, np.float64)), -1, 1) for one in observations]
        return np.array(moves, np.float32)


def _check(task: str, actions: str, observation: str, description: str) -> None:
    given = {"task": task, "actions": actions, "observation": observation, "description": description}
    for name, value in given.items():
        if value not in (known := MetaWorld.choices[name]):
            raise ConfigError(f"metaworld has no {name} {value!r}; it has: {', '.join(known)}.")


class MetaWorld(World):
    """A robot arm at one of 50 tasks (MetaWorld MT1), from its state or pixels."""

    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "task": tuple(TASKS),
        "actions": tuple(HELD),
        "observation": ("state", *SIDES),
        "description": ("words", "directions"),
    }
    most_copies: ClassVar[int] = 64
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        task: str = "reach",
        actions: str = "continuous",
        observation: str = "state",
        description: str = "words",
        render_mode: str | None = "rgb_array",
    ) -> None:
        _check(task, actions, observation, description)
        self.task, self.kind, self.render_mode = task, actions, render_mode
        self.words, self.directions = TASKS[task], description == "directions"
        self.goal = self.words.goal
        self.rules = words.RULES.format(", ".join(words.NAMES))
        self.episodes = _Episodes(task, actions, observation)
        self.observation_space, self.action_space = observation_space(observation), action_space(actions)
        self.fallback = 0 if actions != "continuous" else np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.episodes.arm.seed(seed)
        return self.episodes.reset(), {"success": False, "progress": 0.0}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict]:
        _check_actions(np.asarray(action)[None], self.kind)
        obs, reward, over, info = self.episodes.step(action)
        return obs, reward, False, over, info

    def render(self) -> Any:
        """What the camera sees: ``(224, 224, 3)`` uint8."""
        return self.episodes.arm.picture(SHOWN)

    def describe(self, obs: Observation) -> str:
        if isinstance(obs, dict):
            return words.hand_only(obs["hand"])
        return words.describe(self.words, obs.tolist(), self.directions)

    def picture(self, obs: Observation) -> NDArray[np.uint8] | None:
        return np.asarray(obs["pixels"]) if isinstance(obs, dict) else None

    def event(self, obs: Observation) -> str:
        return words.hand_only(obs["hand"]) if isinstance(obs, dict) else words.event(self.words, obs.tolist())

    def places(self, obs: Observation) -> dict[str, str]:
        hand = (obs["hand"] if isinstance(obs, dict) else obs)[:3]
        return {"place of the hand": ",".join(str(round(20 * float(at))) for at in hand)}  # to 5 cm

    def features(self, obs: Observation) -> dict[str, bool | int | float | str]:
        if isinstance(obs, dict):
            return dict(zip(("hand_x", "hand_y", "hand_z", "gripper_open"), map(float, obs["hand"]), strict=True))
        return words.features(self.words, obs.tolist())

    def actions(self, obs: Observation) -> list[str] | None:
        return list(words.NAMES)

    def parse_action(self, reply: str) -> Any | None:
        found = words.parse_action(reply)
        if self.kind == "continuous":
            numbers = words.ACTIONS[found] if isinstance(found, str) else found
            return None if numbers is None else np.array(numbers, np.float32)
        return words.NAMES.index(found) if isinstance(found, str) else None

    def expert(self) -> Expert | None:
        """The benchmark's scripted policy, on the state and in numbers: as the nearest word it would miss its mark."""
        return Expert(self.task) if self.kind == "continuous" and not self.episodes.side else None

    @classmethod
    def practice(cls, part: Literal["train", "held_out"], seed: int, **options: Any) -> list[dict[str, Any]]:
        """Beside copies that are moved by words, one that is moved by numbers: its expert shows what a goal looks like."""
        words_alone = options["actions"] != "continuous" and options["observation"] == "state"
        return [options, options | {"actions": "continuous"}] if words_alone else [options]

    @classmethod
    def vector(cls, num_envs: int, **options: Any) -> VectorEnv:
        return MetaWorldVector(num_envs, **options)


def _check_actions(actions: NDArray[Any], kind: str) -> None:
    if kind != "continuous":
        if actions.dtype.kind not in "iu" or actions.min() < 0 or actions.max() >= len(words.NAMES):
            raise ValueError(f"an action is a number from 0 to {len(words.NAMES) - 1}, got {actions.tolist()}.")
    elif actions.shape[1:] != (4,) or not np.abs(actions).max() <= 1 + 1e-6:
        raise ValueError(f"an action is four numbers from -1 to 1, got {actions.tolist()}.")


class MetaWorldVector(VectorEnv):
    """``num_envs`` copies of a task in this process, with one model between them."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        num_envs: int,
        task: str = "reach",
        actions: str = "continuous",
        observation: str = "state",
        description: str = "words",
    ) -> None:
        _check(task, actions, observation, description)
        self.num_envs, self.kind = num_envs, actions
        self.single_observation_space, self.single_action_space = observation_space(observation), action_space(actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.copies = [_Episodes(task, actions, observation) for _ in range(num_envs)]

    def reset(self, *, seed: int | list[int] | None = None, options: dict | None = None) -> tuple[Observation, dict]:
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        for i, one in enumerate(self.copies):
            if seeds is not None:
                one.arm.seed(seeds[i])
        info = {"success": np.zeros(self.num_envs, bool), "progress": np.zeros(self.num_envs)}
        return stack([one.reset() for one in self.copies]), info

    def step(self, actions: NDArray) -> tuple[Observation, NDArray, NDArray, NDArray, dict[str, Any]]:
        actions = np.asarray(actions)
        _check_actions(actions, self.kind)
        made = [one.step(action) for one, action in zip(self.copies, actions, strict=True)]
        observations, rewards, over, infos = zip(*made, strict=True)
        info: dict[str, Any] = {name: np.array([one[name] for one in infos]) for name in infos[0]}
        ended, obs = np.array(over), stack(list(observations))
        if ended.any():
            info |= {"final_obs": obs, "final_info": dict(info), "_final_obs": ended}
            fresh = [self.copies[i].reset() if over[i] else observations[i] for i in range(self.num_envs)]
            obs = stack(fresh)
        return obs, np.array(rewards), np.zeros(self.num_envs, bool), ended, info

    def get_state(self) -> dict[str, Any]:
        """All that :meth:`set_state` needs to go on exactly from here."""
        return {str(i): one.get_state() for i, one in enumerate(self.copies)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`get_state`; an agent keeps its own last observation."""
        for i, one in enumerate(self.copies):
            one.set_state(state[str(i)])
