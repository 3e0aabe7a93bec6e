"""Tiny worlds whose best policy is known, one for each thing an agent must be able to do."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from plaudit.spaces import MASK, Codes, Text, to_bytes


def copies(world, n):
    return SyncVectorEnv([world] * n, autoreset_mode=AutoresetMode.SAME_STEP)


class OneStep(gym.Env):
    """Episodes of one step; reward and success 1 for the right action."""

    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.right = int(self.np_random.integers(2))
        return self.observe(), {}

    def step(self, action):
        won = float(self.won(action))
        return self.observe(), won, True, False, {"task_reward": won, "success": won}

    def won(self, action):
        return action == self.right


class Told(OneStep):
    """A sentence says which action is right."""

    observation_space = spaces.Dict({"said": Text(64), "noise": spaces.Box(-1, 1, (2,), np.float32)})

    def observe(self):
        said = ("push the left one, not the right", "push the right one, not the left")[self.right]
        return {"said": to_bytes(said, 64), "noise": self.np_random.uniform(-1, 1, 2).astype(np.float32)}


class Glyph(OneStep):
    """One of 6,000 ids in the middle of a crop of others says which action is right."""

    observation_space = Codes(6000, (5, 5))

    def observe(self):
        ids = self.np_random.integers(0, 3, (5, 5)).astype(np.int16)
        ids[2, 2] = (4711, 5999)[self.right]
        return ids


class Picture(OneStep):
    """A bright square, left or right."""

    observation_space = spaces.Box(0, 255, (40, 48, 3), np.uint8)

    def observe(self):
        pixels = self.np_random.integers(0, 60, (40, 48, 3)).astype(np.uint8)
        pixels[10:22, (4, 30)[self.right] :][:, :12] = 220
        return pixels


class Masked(OneStep):
    """Of 50 actions one can be taken at a time; any other ends the test."""

    action_space = spaces.Discrete(50)
    observation_space = spaces.Dict({"x": spaces.Box(0, 1, (1,), np.float32), MASK: spaces.Box(0, 1, (50,), np.uint8)})

    def observe(self):
        self.only = int(self.np_random.integers(50))
        return {"x": np.zeros(1, np.float32), MASK: (np.arange(50) == self.only).astype(np.uint8)}

    def won(self, action):
        assert action == self.only
        return True


class Reach(gym.Env):
    """A number is to be brought to 0; 20 steps; actions in [-2, 6], so that 0 is not in the middle."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-2.0, 6.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.time = float(self.np_random.uniform(-5, 5)), 0
        return np.array([100 * self.x], np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.x, self.time = self.x + 0.5 * float(action[0]), self.time + 1
        reward, over = -abs(self.x), self.time == 20
        success = float(abs(self.x) < 0.5)
        return np.array([100 * self.x], np.float32), reward, False, over, {"task_reward": reward, "success": success}


class Recall(gym.Env):
    """A cue of two at the first step, then blanks; reward 1 for naming it at the seventh."""

    observation_space, action_space = spaces.Discrete(4), spaces.Discrete(2)
    blanks = 5

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.time = int(self.np_random.integers(2)), 0
        return self.cue, {}

    def step(self, action):
        self.time += 1
        over = self.time > self.blanks + 1
        won = float(over and action == self.cue)
        return 3 if self.time == self.blanks + 1 else 2, won, over, False, {"task_reward": won, "success": won}


class RecallVector(gym.vector.VectorEnv):
    """:class:`Recall` many times, with a state that can be saved."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs, world=Recall):
        self.num_envs, self.one = num_envs, world()
        self.single_observation_space, self.single_action_space = world.observation_space, world.action_space

    def reset(self, *, seed=None, options=None):
        self.draws = np.random.default_rng(seed)
        self.cue, self.time = self.draws.integers(0, 2, self.num_envs), np.arange(self.num_envs) % 3
        return np.where(self.time == 0, self.cue, 2), {}

    def step(self, actions):
        self.time = self.time + 1
        over = self.time > self.one.blanks + 1
        won = (over & (actions == self.cue)).astype(float)
        final = np.where(self.time == self.one.blanks + 1, 3, 2)
        self.cue = np.where(over, self.draws.integers(0, 2, self.num_envs), self.cue)
        self.time = np.where(over, 0, self.time)
        seen = np.where(over, self.cue, final)
        last = {"task_reward": won, "success": won}
        return seen, won, over, np.zeros_like(over), last | {"final_obs": list(final), "final_info": last}

    def get_state(self):
        state = self.draws.bit_generator.state["state"]
        return {"cue": self.cue, "time": self.time, "draws": {k: str(v) for k, v in state.items()}}

    def set_state(self, state):
        self.cue, self.time = state["cue"], state["time"]
        whole = self.draws.bit_generator.state
        whole["state"] = {k: int(v) for k, v in state["draws"].items()}
        self.draws.bit_generator.state = whole
