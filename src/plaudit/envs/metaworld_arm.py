"""One copy of a MetaWorld task: the package's own environment, with its model shared between all copies.

A model holds 20 MB of meshes and takes 0.3 s to load, so 64 copies of their own would be a gigabyte and 20 s. All that an
episode writes into a model is where bodies and sites stand (``body_pos``, ``site_pos``, checked over all 50 tasks), so
one model serves every copy of a process, and each copy puts its own two arrays into it before it moves.

Three things differ from the package, and a test holds the rest to it step by step: goals and objects are drawn anew in
each episode from the package's own ranges (its MT1 has a list of 50); an episode depends on its seed alone, not on those
before it; and the first observation is read after the object was moved (in seven tasks the package shows it where it stood
before).
"""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from numpy.typing import NDArray

from plaudit.envs import metaworld_camera as camera

FRAME = 18
"""Numbers of one frame: hand (3), gripper's opening, first object (3 + 4 of its rotation), second object (3 + 4)."""
STATE = 2 * FRAME + 3
"""Numbers of the state: this frame, the frame before, the goal's position."""


class _Model:
    """A model, and where everything stood in it before any episode."""

    def __init__(self, path: str) -> None:
        self.model = mujoco.MjModel.from_xml_path(path)
        camera.prepare(self.model)
        # Views into the model's memory: what is written to them is where things are.
        self.places = (self.model.body_pos, self.model.site_pos)
        self.first = tuple(place.copy() for place in self.places)
        self.holder: Any = None

    def put(self, places: tuple[NDArray[np.float64], ...], holder: Any) -> None:
        """Let everything stand where it does in this copy."""
        if holder is None or holder is not self.holder:
            for place, value in zip(self.places, places, strict=True):
                place[...] = value
            self.holder = holder


@cache
def _model(path: str) -> _Model:
    return _Model(path)


@cache
def _environment(task: str) -> type[Any]:
    """The package's class of this task, with a model that is loaded once."""

    def share(self: Any) -> tuple[Any, Any]:
        shared = _model(self.fullpath)
        shared.put(shared.first, None)
        return shared.model, mujoco.MjData(shared.model)

    own = ALL_V3_ENVIRONMENTS[f"{task}-v3"]
    ours = {"_initialize_simulation": share, "_get_curr_obs_combined_no_goal": _frame}
    return type(own.__name__, (own,), ours)


def _frame(env: Any) -> NDArray[np.float64]:
    """The package's frame, number for number, without its splitting and stacking, which cost as much as the physics."""
    data, frame = env.data, np.zeros(FRAME)
    frame[:3] = data.body("hand").xpos
    right, left = data.body("rightclaw").xpos.tolist(), data.body("leftclaw").xpos.tolist()
    frame[3] = min(math.dist(right, left) / 0.1, 1.0)
    positions, rotations = env._get_pos_objects(), env._get_quat_objects()
    for i in range(min(len(positions) // 3, len(rotations) // 4)):
        frame[4 + 7 * i : 7 + 7 * i] = positions[3 * i : 3 * i + 3]
        frame[7 + 7 * i : 11 + 7 * i] = rotations[4 * i : 4 * i + 4]
    return frame


def _is_view(value: Any) -> bool:
    return isinstance(value, np.ndarray) and not value.flags.owndata


class Arm:
    """A simulated arm at one task; ``state`` is the benchmark's own observation, goal included."""

    def __init__(self, task: str) -> None:
        self.task = task
        env = self.env = _environment(task)()
        self.shared = _model(env.fullpath)
        self.shared.holder = None
        # As the package's MT1 does: the goal can be seen. Unlike it: a new one in each episode.
        env._partially_observable, env._freeze_rand_vec, env.seeded_rand_vec = False, False, True
        env.__dict__.pop("sawyer_observation_space", None)
        env._set_task_called = True
        fixed = (mujoco.MjModel, mujoco.MjData, spaces.Space)
        kept = {k: v for k, v in vars(env).items() if not isinstance(v, fixed)}
        kept = {k: v for k, v in kept.items() if k not in ("mujoco_renderer", "_np_random") and not _is_view(v)}
        self._before = copy.deepcopy(kept)
        self._places = self.shared.first
        self.rng = seeding.np_random(None)[0]

    def seed(self, seed: int) -> None:
        """What the following episodes are drawn from."""
        self.rng = seeding.np_random(seed)[0]

    def reset(self) -> NDArray[np.float64]:
        """Begin an episode; the state ``(39,)``: metres, and rotations as quaternions."""
        env = self.env
        self.shared.put(self.shared.first, None)
        self.shared.holder = self
        vars(env).update(copy.deepcopy(self._before))
        env.np_random = self.rng
        mujoco.mj_resetData(env.model, env.data)
        env.reset()
        mujoco.mj_forward(env.model, env.data)
        frame = env._get_curr_obs_combined_no_goal()
        env._prev_obs = frame
        self._places = tuple(place.copy() for place in self.shared.places)
        return np.concatenate([frame, frame, env._get_pos_goal()])

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float64], float, bool]:
        """State, the benchmark's dense reward (0 to 10), and whether the benchmark calls this a success."""
        self.shared.put(self._places, self)
        state, reward, _, _, info = self.env.step(action)
        return state, float(reward), bool(info["success"])

    def picture(self, side: int) -> NDArray[np.uint8]:
        """What the camera sees, ``(side, side, 3)``."""
        self.shared.put(self._places, self)
        return camera.picture(self.env.model, self.env.data, self.task, side)
