"""PPO learns what it is given, computes its advantages rightly, and goes on exactly where it stopped."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from plaudit.encoder import Encoder
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.errors import ConfigError
from plaudit.rewards.controls import TaskReward
from plaudit.rewards.shaping import Shaping
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.rl.ppo import PPO, PPOConfig, _Rollout
from plaudit.store import load_tree, save_tree


class Corridor(gym.Env):
    """Five cells; reward 1 for stepping off the right end, episodes of at most 20 steps."""

    observation_space, action_space = spaces.Discrete(5), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cell, self.time = int(self.np_random.integers(0, 3)), 0
        return self.cell, {}

    def step(self, action):
        self.cell, self.time = max(0, self.cell + (1 if action else -1)), self.time + 1
        done = self.cell == 5
        info = {"task_reward": float(done), "success": float(done)}
        return min(self.cell, 4), float(done), done, self.time >= 20, info


def corridors(n=8):
    return SyncVectorEnv([Corridor] * n, autoreset_mode=AutoresetMode.SAME_STEP)


def test_learns_a_corridor():
    """A random walk succeeds in about a third of the episodes; three trained agents must all beat that by far."""
    for seed in range(3):
        trainer = PPO(corridors(), PPOConfig(steps=6000, num_envs=8, horizon=32, minibatch=64), seed)
        last = []
        trainer.train(lambda update, last=last: last.append(update.success))
        assert np.mean([s for s in last[-4:] if s is not None]) > 0.9


def test_same_seed_same_curve():
    curves = []
    for _ in range(2):
        rows = []
        PPO(doorkeys(), PPOConfig(steps=2048, num_envs=16, horizon=32, minibatch=128), 7).train(rows.append)
        curves.append([(r.steps, r.entropy, r.episodes) for r in rows])
    assert curves[0] == curves[1]


def doorkeys():
    return RewardWrapper(DoorKeyVector(16, 5), TaskReward(), Shaping(), DoorKey(5, render_mode=None).event)


class Events:
    """The event's number, as a reward of the observation alone."""

    of = "observation"

    def __call__(self, transitions):
        return transitions.observations["event"].astype(np.float32)


SHAPINGS = [
    Shaping(count_power=3.0),
    Shaping(potential=True, task_weight=1.0, gamma=0.99),
    Shaping(difference=True),
]


@pytest.mark.parametrize("shaping", SHAPINGS, ids=["counts", "potential", "difference"])
def test_resume_gives_the_same_weights(tmp_path, shaping):
    def doorkeys():
        return RewardWrapper(DoorKeyVector(16, 5), Events(), shaping, DoorKey(5, render_mode=None).event)

    config = PPOConfig(steps=16 * 32 * 8, num_envs=16, horizon=32, minibatch=128)
    straight = PPO(doorkeys(), config, 0)
    straight.train()
    stopped = PPO(doorkeys(), config, 0)
    for _ in range(3):
        stopped.update()
    save_tree(tmp_path / "checkpoint.safetensors", {"trainer": stopped.get_state()})
    resumed = PPO(doorkeys(), config, 123)
    resumed.set_state(load_tree(tmp_path / "checkpoint.safetensors")["trainer"])
    resumed.train()
    for name, weights in straight.net.state_dict().items():
        assert torch.equal(weights, resumed.net.state_dict()[name]), name


def test_resume_without_a_worlds_state_begins_the_episodes_anew(tmp_path):
    trainer = PPO(corridors(), PPOConfig(steps=512, num_envs=8, horizon=32, minibatch=64), 0)
    trainer.update()
    save_tree(tmp_path / "c.safetensors", trainer.get_state())
    resumed = PPO(corridors(), trainer.config, 5)
    before = resumed.obs.copy()
    resumed.set_state(load_tree(tmp_path / "c.safetensors"))
    assert resumed.steps == 256 and np.array_equal(resumed.obs, before)


@pytest.mark.parametrize("ends", [False, True], ids=["cut off", "ended"])
def test_only_an_episode_that_was_cut_off_is_worth_what_would_follow(ends):
    class OneStep(Corridor):
        def step(self, action):
            return 4, 1.0, ends, True, {"task_reward": 1.0, "success": 0.0}

    envs = SyncVectorEnv([OneStep], autoreset_mode=AutoresetMode.SAME_STEP)
    trainer = PPO(envs, PPOConfig(steps=1, num_envs=1, horizon=1, gamma=0.5), 0)
    rollout, _ = trainer._collect()
    with torch.no_grad():
        after = float(trainer.net(trainer.net.encoder.pack(np.array([4])))[1])
    assert abs(after) > 1e-4
    assert float(rollout.rewards) == pytest.approx(1.0 if ends else 1.0 + 0.5 * after)


def test_advantages_by_hand():
    trainer = PPO(corridors(1), PPOConfig(steps=1, num_envs=1, horizon=3, gamma=0.5, gae_lambda=0.5), 0)
    column = lambda *x: torch.tensor(x, dtype=torch.float32)[:, None]  # noqa: E731
    rollout = _Rollout({}, column(0, 0, 0), column(0, 0, 0), column(1, 2, 3), column(1, 0, 4), column(0, 1, 0) > 0)
    with torch.no_grad():
        after = float(trainer.net(trainer.net.encoder.pack(trainer.obs))[1])
    third = 4 + 0.5 * after - 3
    second = 0 - 2  # the episode ended: nothing follows
    first = (1 + 0.5 * 2 - 1) + 0.25 * second
    assert trainer._advantages(rollout).squeeze().tolist() == pytest.approx([first, second, third], rel=1e-5)


def test_encoder_is_linear_in_one_hot_codes():
    space = spaces.Dict({"grid": spaces.Box(0, 3, (2, 2), np.uint8), "x": spaces.Box(-1, 1, (2,), np.float32)})
    encoder = Encoder(space, 8)
    obs = {"grid": np.array([[[0, 3], [1, 2]]], np.uint8), "x": np.array([[0.5, -0.5]], np.float32)}
    packed = encoder.pack(obs)
    assert packed["codes"].shape == (1, 16) and packed["codes"].nonzero()[:, 1].tolist() == [0, 7, 9, 14]
    assert encoder(packed).shape == (1, 8)


def test_spaces_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="encoder"):
        Encoder(spaces.Text(5), 8)
