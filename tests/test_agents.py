"""An agent reads text, ids, pictures and numbers, obeys masks, moves in continuous spaces and remembers."""

import numpy as np
import pytest
import tiny_worlds as tiny
import torch
from gymnasium import spaces
from torch import nn

from plaudit.config import TrainConfig
from plaudit.encoder import Encoder
from plaudit.encoder.moments import Moments
from plaudit.encoder.words import SLOTS, Words
from plaudit.envs.gridworld import DoorKey
from plaudit.errors import ConfigError
from plaudit.policies.trained import TrainedPolicy
from plaudit.rewards.reward_net import RewardModel
from plaudit.rl.agents import agent_record
from plaudit.rl.distributions import Choice, Gaussian
from plaudit.rl.networks import ActorCritic
from plaudit.rl.pointer import Pointer
from plaudit.rl.ppo import PPO, PPOConfig
from plaudit.rl.recurrent import Memory
from plaudit.spaces import MASK, Codes, Rows, Text, to_bytes
from plaudit.store import load_tree, save_tree

torch.set_num_threads(1)


def success(trainer, envs=None):
    """Share of successes in the last quarter of a training."""
    updates = []
    trainer.train(updates.append)
    last = [u for u in updates[-max(1, len(updates) // 4) :] if u.episodes]
    return sum(u.success * u.episodes for u in last) / sum(u.episodes for u in last)


def quick(steps, n=16, **options):
    options = {"horizon": 32, "minibatch": 128, "learning_rate": 3e-3, "width": 32} | options
    return PPOConfig(steps=steps, num_envs=n, **options)


@pytest.mark.parametrize("world", [tiny.Told, tiny.Glyph, tiny.Picture, tiny.Masked], ids=lambda w: w.__name__)
def test_learns_to_read(world):
    """Chance is one half (and nearly nothing under a mask); over 1,000 episodes .9 is beyond any luck."""
    assert success(PPO(tiny.copies(world, 16), quick(4096), 0)) > 0.9


def test_doorkeys_network_is_what_it_was():
    """The network before encoders had parts, written out: same first weights, same outputs, to the last bit."""
    space, width = DoorKey(5, render_mode=None).observation_space, 64
    torch.manual_seed(5)
    net = ActorCritic(space, spaces.Discrete(7), width)
    torch.manual_seed(5)
    highs = np.concatenate([np.atleast_1d(p.n - 1 if hasattr(p, "n") else p.high).ravel() for p in space.values()])
    linear = nn.Linear(int((highs.astype(int) + 1).sum()), width)
    nn.init.normal_(linear.weight, std=len(highs) ** -0.5)
    nn.init.zeros_(linear.bias)
    first = nn.Linear(width, width)
    policy, value = nn.Linear(width, 7), nn.Linear(width, 1)
    for layer, gain in ((first, 2**0.5), (policy, 0.01), (value, 1.0)):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    layers = {"encoder.linear": linear, "trunk.0": first, "policy": policy, "value": value}
    before = {f"{name}.{k}": v for name, layer in layers.items() for k, v in layer.state_dict().items()}
    assert list(before) == list(net.state_dict())
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())
    space.seed(0)
    batch = [space.sample() for _ in range(32)]
    packed = net.pack({k: np.stack([o[k] for o in batch]) for k in space})
    hidden = torch.relu(first(torch.relu(linear(packed["codes"].float()))))
    choice, values, state = net(packed)
    assert state is None and torch.equal(values, value(hidden).squeeze(-1))
    assert torch.equal(choice.logprobs, torch.log_softmax(policy(hidden), -1))


def test_words_are_hashed_once_and_a_text_is_the_same_however_it_comes(monkeypatch):
    words = Words({"a": 300, "b": 8}, 16)
    texts = ["the door is open", "", "open the door", "the door is open", "é" * 200]
    raw = np.stack([to_bytes(t, 300) for t in texts])
    rows = words.pack("a", raw)
    assert rows.shape == (5, SLOTS) and rows.dtype == torch.int16 and not rows[1].any()
    assert torch.equal(rows[0], rows[3]) and not torch.equal(rows[0], rows[2])
    assert (rows[0] > 0).sum() == 4 + 3  # words and pairs
    monkeypatch.setattr("plaudit.encoder.words.word_rows", lambda *_: pytest.fail("hashed twice"))
    assert torch.equal(words.pack("a", raw[::-1].copy()), rows.flip(0))
    assert not torch.equal(words(rows)[0], words(rows)[2])
    assert torch.allclose(words(rows)[0], words.table.weight[rows[0][:7].long()].sum(0) / 7**0.5, atol=1e-6)


def everything():
    parts = {"text": Text(40), "ids": Codes(6000, (9, 9)), "map": Codes(6000, (21, 79)), "cell": spaces.Discrete(7)}
    parts |= {"pixels": spaces.Box(0, 255, (170, 200, 3), np.uint8), "x": spaces.Box(-9, 9, (2, 3), np.float32)}
    return spaces.Dict(parts | {"taxi": spaces.Discrete(500), MASK: spaces.Box(0, 1, (4,), np.uint8)})


def batch_of(space, n):
    space.seed(0)
    found = [space.sample() for _ in range(n)]
    return {k: np.stack([np.asarray(o[k]) for o in found]) for k in space}


def test_every_kind_of_part_is_read_and_the_mask_is_not():
    space = everything()
    torch.manual_seed(0)
    encoder, obs = Encoder(space, 32), batch_of(space, 6)
    packed = encoder.pack(obs)
    assert all(len(v) == 6 for v in packed.values()) and packed["picture pixels"].shape == (6, 85, 100, 3)
    before = encoder(packed)
    assert before.shape == (6, 32) and 0.1 < before.std() < 3
    for name in space:
        other = {**obs, name: batch_of(space, 12)[name][6:]}
        assert torch.equal(encoder(encoder.pack(other)), before) == (name == MASK), name


def test_a_reward_model_reads_every_kind_of_part():
    space = everything()
    model = RewardModel("observation", space, 16, members=2, seed=0)
    obs = batch_of(space, 4)
    items = [{k: v[i] for k, v in obs.items()} for i in range(4)]
    assert model(items).shape == (4,) and np.isfinite(model(items)).all()
    assert np.array_equal(model(items[:1]), model(items)[:1])


def test_moments_by_numpy_in_any_portions():
    values = torch.from_numpy(np.random.default_rng(0).normal(3, [1, 20], (500, 2)))
    moments = Moments(2)
    for part in values.split([1, 9, 300, 190]):
        moments.update(part)
    assert torch.allclose(moments.mean, values.mean(0)) and torch.allclose(
        moments.variance, values.var(0, unbiased=False)
    )
    scaled = moments.scaled(values)
    assert scaled.dtype == torch.float32 and torch.allclose(scaled.std(0), torch.ones(2), atol=0.01)


def test_a_mask_takes_an_actions_probability_entropy_and_gradient_away():
    logits = torch.randn(3, 4, requires_grad=True)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=torch.bool)
    choice = Choice(logits, mask)
    p = torch.softmax(logits[0, :2], 0)
    assert torch.allclose(choice.entropy()[:2], torch.stack([-(p * p.log()).sum(), torch.tensor(0.0)]), atol=1e-6)
    assert torch.allclose(choice.logprobs[2].exp(), torch.full((4,), 0.25))
    assert (choice.logprobs[0].exp()[2:] == 0).all()
    (choice.log_prob(torch.tensor([0, 3, 0]))[:2].sum() + choice.entropy()[:2].sum()).backward()
    assert torch.isfinite(logits.grad).all() and not logits.grad[0, 2:].any()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([choice.sample(generator) for _ in range(200)] + [choice.play(generator) for _ in range(200)])
    assert set(drawn[:, 0].tolist()) == {0, 1} and set(drawn[:, 1].tolist()) == {3}


def pointing(rows: int, uses: int) -> Rows:
    """Action 0 points nowhere, then ``uses`` actions for each row."""
    pointers = [[-1, 0]] + [[row, use] for row in range(rows) for use in range(uses)]
    return Rows([3, 1], rows, np.array(pointers, np.int64))


def test_an_actions_logit_goes_with_its_row():
    space = pointing(rows=4, uses=2)
    net = Pointer(space, 8)
    nn.init.normal_(net.query.weight)
    rows, order = np.array([[0, 0], [1, 0], [2, 1], [3, 1]], np.uint8), [2, 0, 3, 1]
    encoder = Encoder(spaces.Dict({"a": spaces.Discrete(3), "rows": space}), 8)
    pack = lambda table: encoder.pack({"a": np.array([1]), "rows": table[None]})  # noqa: E731
    hidden = torch.randn(1, 8)
    plain, moved = (net(encoder.hot(pack(t), "rows"), hidden)[0] for t in (rows, rows[order]))
    assert plain[0] == 0 and len(set(plain.tolist())) == 9
    torch.testing.assert_close(moved[1:].view(4, 2), plain[1:].view(4, 2)[order])


def test_rows_of_large_codes_are_refused():
    with pytest.raises(ValueError, match="below 64"):
        Rows([3, 64], 2, np.zeros((1, 2), np.int64))


def test_what_is_only_for_words_is_not_read():
    told = spaces.Dict({"n": spaces.Discrete(3), "page": Text(20, told_only=True)})
    read = spaces.Dict({"n": spaces.Discrete(3), "page": Text(20)})
    assert Encoder(told, 8).words is None and Encoder(read, 8).words is not None


def test_a_mask_that_fits_no_action_space_is_refused():
    space = spaces.Dict({"x": spaces.Box(0, 1, (1,)), MASK: spaces.Box(0, 1, (3,), np.uint8)})
    for actions in (spaces.Discrete(2), spaces.Box(-1, 1, (3,))):
        with pytest.raises(ConfigError, match="action_mask"):
            ActorCritic(space, actions, 8)


def test_gaussian_by_torchs_own():
    mean, log_std = torch.randn(5, 3), torch.tensor([-1.0, 0.0, 0.5])
    ours, theirs = Gaussian(mean, log_std), torch.distributions.Normal(mean, log_std.exp())
    drawn = ours.sample(torch.Generator().manual_seed(0))
    assert torch.allclose(ours.log_prob(drawn), theirs.log_prob(drawn).sum(-1), atol=1e-5)
    assert torch.allclose(ours.entropy(), theirs.entropy().sum(-1), atol=1e-5)
    many = torch.stack([ours.sample(torch.Generator().manual_seed(i)) for i in range(4000)])
    assert torch.allclose(many.std(0), log_std.exp().expand(5, 3), rtol=0.06)


def test_continuous_actions_are_brought_to_the_box():
    space = spaces.Box(np.float32([[-2, 0]]), np.float32([[6, 1]]))
    net = ActorCritic(spaces.Box(-1, 1, (1,)), space, 8)
    executed = net.executed(torch.tensor([[-1.0, 1.0], [-7.0, 7.0], [0.0, 0.0]]))
    assert executed.dtype == np.float32 and executed.tolist() == [[[-2, 1]], [[-2, 1]], [[2, 0.5]]]
    with pytest.raises(ConfigError, match="bounds"):
        ActorCritic(spaces.Box(-1, 1, (1,)), spaces.Box(-np.inf, np.inf, (1,)), 8)


def test_learns_a_continuous_task():
    """The observation is 100 times too large and the reward negative; a random policy is near the goal in 1 of 20."""
    config = quick(24_576, gamma=0.9, normalize=True, entropy=0.0)
    trainer = PPO(tiny.copies(tiny.Reach, 16), config, 0)
    trainer.train()
    envs, policy = tiny.copies(tiny.Reach, 100), TrainedPolicy(trainer.net, 0)
    obs, _ = envs.reset(seed=5)
    for _ in range(19):
        obs, *_ = envs.step(policy.act(obs))
    assert np.mean(np.abs(obs) < 50) > 0.9


@pytest.mark.parametrize("memory", [0, 16])
def test_only_a_memory_recalls_a_cue(memory):
    """1,000 episodes and more: at chance .5 with a standard error of 0.016."""
    share = success(PPO(tiny.RecallVector(32), quick(28_672, n=32, horizon=28, memory=memory, gamma=0.95), 0))
    assert share > 0.95 if memory else abs(share - 0.5) < 0.06


def test_a_stretch_gives_what_single_steps_give():
    torch.manual_seed(0)
    memory, steps, copies = Memory(4, 6), 9, 5
    features, state = torch.randn(steps, copies, 4), torch.randn(copies, 6)
    begun = torch.rand(steps, copies) < 0.3
    begun[0] = torch.tensor([True, False, False, True, False])
    begun[1:, 4] = False
    one, single = state, []
    for t in range(steps):
        one = memory(features[t], one * ~begun[t][:, None])
        single.append(one)
    whole = memory(features.flatten(0, 1), state, begun)
    assert torch.allclose(whole.reshape(steps, copies, 6), torch.stack(single), atol=1e-6)


def test_the_first_pass_over_a_rollout_gives_the_probabilities_it_was_played_with():
    trainer = PPO(tiny.RecallVector(6), quick(1, n=6, horizon=20, memory=8, minibatch=40), 1)
    for _ in range(2):  # the second begins in the middle of episodes
        rollout, _ = trainer._collect()
    flat = {k: v.flatten(0, 1) for k, v in rollout.packed.items()}
    seen = []
    for rows, state, begun in trainer._minibatches(rollout):
        choice, values, _ = trainer.net({k: v[rows] for k, v in flat.items()}, state, begun)
        assert torch.allclose(
            choice.log_prob(rollout.actions.flatten()[rows]), rollout.logprobs.flatten()[rows], atol=1e-5
        )
        assert torch.allclose(values, rollout.values.flatten()[rows], atol=1e-5)
        seen += rows.tolist()
    assert sorted(seen) == list(range(120))


@pytest.mark.parametrize("kind", ["memory", "normalize"])
def test_resume_goes_on_exactly(tmp_path, kind):
    options = {"memory": {"memory": 8}, "normalize": {"normalize": True, "memory": 4}}[kind]
    config = quick(8 * 30 * 6, n=8, horizon=30, minibatch=60, **options)
    straight = PPO(worlds(kind), config, 0)
    straight.train()
    stopped = PPO(worlds(kind), config, 0)
    for _ in range(3):
        stopped.update()
    save_tree(tmp_path / "c.safetensors", stopped.get_state())
    resumed = PPO(worlds(kind), config, 9)
    resumed.set_state(load_tree(tmp_path / "c.safetensors"))
    resumed.train()
    for name, weights in straight.net.state_dict().items():
        assert torch.equal(weights, resumed.net.state_dict()[name]), name


def worlds(kind):
    return tiny.RecallVector(8) if kind == "memory" else Drift(8)


class Drift(tiny.RecallVector):
    """The same clockwork seen as a number of odd scale, with continuous actions."""

    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.single_action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, **options):
        obs, info = super().reset(**options)
        return obs[:, None].astype(np.float32) * 50, info

    def step(self, actions):
        obs, won, over, cut, info = super().step((actions[:, 0] > 0).astype(int))
        info["final_obs"] = [np.float32([o * 50]) for o in info["final_obs"]]
        return obs[:, None].astype(np.float32) * 50, won * 7, over, cut, info


def test_a_saved_agent_with_a_memory_acts_as_the_one_it_was_saved_from(tmp_path):
    trainer = PPO(tiny.RecallVector(8), quick(1, n=8, memory=8), 0)
    trainer.update()
    tree = {"agent": agent_record(TrainConfig(memory=8, width=32)), "net": dict(trainer.net.state_dict())}
    save_tree(tmp_path / "agent.safetensors", tree)
    spaces_ = tiny.Recall.observation_space, tiny.Recall.action_space
    loaded, kept = TrainedPolicy.load(tmp_path, *spaces_, seed=3), TrainedPolicy(trainer.net, 3)
    draws = np.random.default_rng(0)
    for _ in range(30):
        obs, begun = draws.integers(0, 4, 8), draws.random(8) < 0.2
        loaded.reset(begun)
        kept.reset(begun)
        assert np.array_equal(loaded.act(obs), kept.act(obs))
        assert torch.equal(loaded._state, kept._state)
    assert loaded._state.any()
    loaded.reset(np.arange(8) < 4)
    assert not loaded._state[:4].any() and loaded._state[4:].any(dim=1).all()


def test_numbers_are_scaled_in_training_and_frozen_when_acting():
    trainer = PPO(tiny.copies(tiny.Reach, 8), quick(1, n=8, normalize=True), 0)
    trainer.update()
    moments = trainer.net.encoder.moments
    assert moments.count == 8 * 32 and moments.deviation > 10
    assert "encoder.moments.mean" in trainer.net.state_dict()
    before = {k: v.clone() for k, v in moments.state_dict().items()}
    TrainedPolicy(trainer.net, 0).act(np.full((8, 1), 1e6, np.float32))
    assert all(torch.equal(v, before[k]) for k, v in moments.state_dict().items())


def test_the_reward_is_scaled_and_the_report_is_not():
    class Rich(tiny.Reach):
        def step(self, action):
            obs, reward, *rest, info = super().step(action)
            return obs, reward * 1000, *rest, info

    trainer = PPO(tiny.copies(Rich, 8), quick(1, n=8, horizon=40, normalize=True), 0)
    rollout, ended = trainer._collect()
    assert rollout.rewards.abs().max() <= 10 + 10 and trainer.scale.moments.deviation > 1000
    assert np.mean([e["reward_return"] for e in ended]) == pytest.approx(
        1000 * np.mean([e["task_return"] for e in ended])
    )


def test_spaces_that_no_agent_fits_are_refused():
    for actions in (spaces.MultiDiscrete([2, 2]), spaces.Box(0, 3, (2,), np.int32)):
        with pytest.raises(ConfigError, match="action space"):
            ActorCritic(spaces.Discrete(2), actions, 8)
    with pytest.raises(ConfigError, match="nothing to read"):
        Encoder(spaces.Dict({MASK: spaces.Box(0, 1, (3,), np.uint8)}), 8)


@pytest.mark.parametrize(("steps", "done"), [(1, 4096), (4096, 4096), (12_000, 12_288)])
def test_steps_are_rounded_up_to_whole_updates(steps, done):
    assert TrainConfig(steps=steps).whole_steps == done
