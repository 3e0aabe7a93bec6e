"""SAC learns, goes on exactly, gives every stored transition its new reward, and leaves the global generators alone."""

import numpy as np
import pytest
import tiny_worlds as tiny
import torch
from gymnasium import spaces

from plaudit.config import RunConfig, TrainConfig, from_dict
from plaudit.config_rules import validate
from plaudit.errors import ConfigError, MissingExtraError
from plaudit.policies.trained import TrainedPolicy
from plaudit.rl.actor import Flat
from plaudit.rl.agents import agent_record, make_agent, make_trainer, trainer_class
from plaudit.spaces import Text
from plaudit.store import load_tree, save_tree

torch.set_num_threads(1)
SETTINGS = TrainConfig(
    algorithm="sac", steps=5200, num_envs=8, horizon=50, minibatch=64, epochs=2, gamma=0.9, learning_rate=3e-3
)


class Dicts(tiny.Reach):
    """The same with a dictionary of two parts, the number at a scale that suits a network."""

    observation_space = spaces.Dict(
        {"x": spaces.Box(-99, 99, (1, 1), np.float32), "time": spaces.Box(0, 20, (), np.int64)}
    )

    def reset(self, **options):
        return self.seen(super().reset(**options)[0]), {}

    def step(self, action):
        obs, *rest = super().step(action)
        return self.seen(obs), *rest

    def seen(self, obs):
        return {"x": obs[None] / 100, "time": np.array(self.time)}


def far_from_goal(policy, n=100):
    envs = tiny.copies(Dicts, n)
    obs, _ = envs.reset(seed=5)
    for _ in range(19):
        obs, *_ = envs.step(policy.act(obs))
    return np.abs(obs["x"]).mean()


def test_learns_a_continuous_task_and_is_saved_without_the_library(tmp_path):
    """A random policy ends at a distance of several; one half of it is out of its reach."""
    trainer = make_trainer(SETTINGS, tiny.copies(Dicts, 8), 0)
    updates = []
    trainer.train(updates.append)
    assert trainer.steps == 5200 and sum(u.episodes for u in updates) == 8 * (650 // 20)
    assert updates[0].task_return < updates[-1].task_return and updates[-1].success > 0.4
    assert far_from_goal(TrainedPolicy(trainer.net, 0)) < 0.5
    save_tree(tmp_path / "agent.safetensors", {"agent": agent_record(SETTINGS), "net": dict(trainer.net.state_dict())})
    loaded = TrainedPolicy.load(tmp_path, Dicts.observation_space, Dicts.action_space, seed=0)
    obs, _ = tiny.copies(Dicts, 3).reset(seed=0)
    assert np.array_equal(loaded.act(obs), TrainedPolicy(trainer.net, 0).act(obs))
    means, _ = trainer.model.predict(trainer.copies.flat.flatten(obs), deterministic=True)
    assert np.allclose(loaded.act(obs), means, atol=1e-5)


def test_relabelling_gives_the_planted_reward_whatever_the_chunk():
    trainer = make_trainer(SETTINGS, tiny.copies(Dicts, 8), 0)
    for _ in range(2):
        trainer.update()
    store, sizes = trainer.stored, []
    assert np.allclose(store.rewards[:100], store.task_rewards[:100])

    def planted(made):
        sizes.append(len(made.task_reward))
        assert all(Dicts.action_space.contains(a) for a in made.actions)
        assert made.before["x"].shape[1:] == (1, 1) and made.before["time"].dtype == np.int64
        moved = made.after["x"][:, 0, 0] - made.before["x"][:, 0, 0]
        assert np.allclose(moved, 0.5 * made.actions[:, 0], atol=1e-3)  # also where an episode ended
        assert np.array_equal(made.after["time"], made.before["time"] + 1)
        assert np.allclose(made.task_reward, -np.abs(made.after["x"][:, 0, 0]), atol=1e-4)
        return 3 * made.before["x"][:, 0, 0] + 7 * made.actions[:, 0]

    found = []
    for chunk in (100, 8, 10**6):
        trainer.relabel(planted, chunk)
        found.append(store.rewards.copy())
    assert max(sizes) == 800 and sizes[0] == 96 and sum(sizes[:9]) == 800
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    expected = 3 * store.observations[:100, :, 1] + 7 * (2 + 4 * store.actions[:100, :, 0])
    assert np.allclose(found[0][:100], expected, atol=1e-3) and not found[0][100:].any()
    sampled = trainer.model.replay_buffer.sample(256)
    assert torch.allclose(
        sampled.rewards[:, 0], 3 * sampled.observations[:, 1] + 14 + 28 * sampled.actions[:, 0], atol=1e-3
    )
    with pytest.raises(ValueError, match="finite"):
        trainer.relabel(lambda made: np.full(len(made.task_reward), np.nan))


class Clockwork(tiny.RecallVector):
    """A world that can give its state, with numbers in and out."""

    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.single_observation_space = spaces.Box(-9, 9, (1,), np.float32)
        self.single_action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, **options):
        obs, info = super().reset(**options)
        return obs[:, None].astype(np.float32), info

    def step(self, actions):
        obs, *rest, info = super().step((actions[:, 0] > 0).astype(int))
        info["final_obs"] = [np.float32([o]) for o in info["final_obs"]]
        return obs[:, None].astype(np.float32), *rest, info


def test_resume_goes_on_exactly(tmp_path):
    def trainer(seed):
        settings = TrainConfig(algorithm="sac", steps=3000, num_envs=4, horizon=100, minibatch=32, epochs=1, width=16)
        return make_trainer(settings, Clockwork(4), seed)

    straight, stopped, resumed = trainer(0), trainer(0), trainer(9)
    straight.train()
    for _ in range(6):  # the learning begins in the fifth
        stopped.update()
    save_tree(tmp_path / "c.safetensors", {"trainer": stopped.get_state()})
    resumed.set_state(load_tree(tmp_path / "c.safetensors")["trainer"])
    resumed.seed = 0  # of the steps by chance alone
    resumed.train()
    for name, weights in straight.model.policy.state_dict().items():
        assert torch.equal(weights, resumed.model.policy.state_dict()[name]), name


def test_the_global_generators_are_left_alone_and_do_not_matter():
    weights = []
    for outer in (0, 1):
        torch.manual_seed(outer)
        np.random.seed(outer)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        trainer = make_trainer(SETTINGS, tiny.copies(Dicts, 8), 3)
        trainer.update()
        assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(before[1], np.random.get_state()[1])
        weights.append(trainer.net.mu.weight.clone())
    assert torch.equal(*weights)


def test_flat_rows_and_back():
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2, 3)), "b": spaces.Box(0, 2**20, (2,), np.int32)})
    space.seed(0)
    found = [space.sample() for _ in range(5)]
    batch = {k: np.stack([o[k] for o in found]) for k in space}
    back = Flat(space).unflatten(Flat(space).flatten(batch))
    assert all(np.array_equal(back[k], batch[k]) and back[k].dtype == batch[k].dtype for k in space)


def test_what_sac_cannot_do_is_refused_beforehand(monkeypatch):
    record, box = agent_record(SETTINGS), spaces.Box(-1, 1, (2,))
    for seen, actions, word in (
        (box, spaces.Discrete(2), "bounded Box"),
        (Text(9), box, "numbers only"),
        (spaces.Box(0, 255, (64, 64, 3), np.uint8), box, "at most"),
    ):
        with pytest.raises(ConfigError, match=word):
            make_agent(record, seen, actions)
    with pytest.raises(ConfigError, match=r"train\.memory"):
        validate(from_dict(RunConfig, {"train": {"algorithm": "sac", "memory": 8}}))
    monkeypatch.setitem(__import__("sys").modules, "stable_baselines3", None)
    monkeypatch.delitem(__import__("sys").modules, "plaudit.rl.sac", raising=False)
    with pytest.raises(MissingExtraError, match="sac"):
        trainer_class("sac")
