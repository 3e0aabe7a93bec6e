"""Reward models and shaping against hand computations, and the wrapper's promises."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from plaudit.config import RunConfig, from_dict, shaping_used
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.errors import ConfigError, PlauditError
from plaudit.report import build
from plaudit.rewards import bradley_terry as bt
from plaudit.rewards import fitting, reward_net
from plaudit.rewards.base import Transitions
from plaudit.rewards.controls import ConstantReward, TaskReward
from plaudit.rewards.preference import PreferenceReward
from plaudit.rewards.reward_net import RewardModel, hashed_words
from plaudit.rewards.shaping import EpisodicCounts, Shaping
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.types import Comparison
from plaudit.vector import observation_keys

SPACE = DoorKeyVector(1, 5).single_observation_space
OPTIONS = bt.FitOptions(steps=150, batch=128, learning_rate=3e-3, weight_decay=1e-3)


def planted(noise: float, seed: int = 0, n: int = 120):
    """Descriptions whose worth lies in the words they hold, and a judge who sees that through noise."""
    rng = np.random.default_rng(seed)
    texts = list(dict.fromkeys(" ".join(rng.choice(["key", "door", "wall", "dust", "floor"], 5)) for _ in range(n)))
    worth = np.array([1.0 * ("key" in t) + 2.0 * ("door" in t) - 1.5 * ("dust" in t) for t in texts])
    first, second = rng.integers(0, len(texts), (2, 1500))
    logits = 2 * (worth[first] - worth[second]) + noise * rng.normal(size=1500)
    comparisons = [
        Comparison(texts[a], texts[b], "ok", float(1 / (1 + np.exp(-x))))
        for a, b, x in zip(first, second, logits, strict=True)
        if worth[a] != worth[b]
    ]
    return texts, worth, comparisons


@pytest.mark.parametrize("target", ["soft", "hard"])
def test_bradley_terry_finds_the_planted_order(target):
    texts, worth, comparisons = planted(noise=0.5)
    pairs = bt.targets(comparisons, {t: i for i, t in enumerate(texts)}, target, "half")
    model = RewardModel("text", SPACE, 32, 2, seed=0)
    report = bt.measured_fit(model, texts, pairs, 0.2, OPTIONS, seed=0)
    assert report.held_out_accuracy > 0.9
    assert spearmanr(model(texts), worth).statistic > 0.85


def test_a_coin_cannot_be_learnt():
    texts, _, comparisons = planted(noise=0)
    rng = np.random.default_rng(1)
    coin = [Comparison(c.first, c.second, "ok", float(rng.integers(0, 2))) for c in comparisons]
    pairs = bt.targets(coin, {t: i for i, t in enumerate(texts)}, "soft", "half")
    report = bt.measured_fit(RewardModel("text", SPACE, 32, 1, 0), texts, pairs, 0.3, OPTIONS, seed=0)
    assert abs(report.held_out_accuracy - 0.5) < 4 * np.sqrt(0.25 / report.held_out_pairs)


@pytest.mark.parametrize("segmented", [False, True])
def test_of_many_items_only_those_of_a_batch_are_computed(monkeypatch, segmented):
    texts, _, comparisons = planted(noise=0.5)
    pairs = bt.targets(comparisons, {t: i for i, t in enumerate(texts)}, "soft", "half")
    segments = np.stack([np.arange(len(texts)), np.arange(len(texts))[::-1]], axis=1) if segmented else None
    model, few = RewardModel("text", SPACE, 8, 2, seed=0), bt.FitOptions(20, 16, 3e-3, 1e-3)
    monkeypatch.setattr(reward_net, "PART", 7)  # rewards of all are computed in parts too
    rewards = []
    for most in (10_000, 0):
        monkeypatch.setattr(fitting, "WHOLE", most)
        bt.fit(model, texts, pairs, few, 0, segments)
        rewards.append(model(texts))
    # Preferences leave the mean open: its gradient is rounding alone, which Adam makes steps of.
    np.testing.assert_allclose(*(each - each.mean() for each in rewards), atol=1e-4)
    assert np.ptp(rewards[0]) > 0.05
    packed = model.pack(texts)
    np.testing.assert_array_equal(model(packed.rows(np.array([5, 2]))), model([texts[5], texts[2]]))
    np.testing.assert_array_equal(model(packed), rewards[1])


def test_failures_never_become_targets():
    rows = [
        Comparison("a", "b", "ok", 0.9),
        Comparison("a", "c", "tie", 0.5),
        Comparison("b", "c", "unparsed", None),
        Comparison("c", "a", "error", None),
    ]
    index = {"a": 0, "b": 1, "c": 2}
    assert bt.targets(rows, index, "soft", "half").target.tolist() == pytest.approx([0.9, 0.5])
    assert bt.targets(rows, index, "hard", "drop").target.tolist() == [1.0]


def test_held_out_pairs_share_no_observation_with_training():
    texts, _, comparisons = planted(noise=0)
    pairs = bt.targets(comparisons, {t: i for i, t in enumerate(texts)}, "soft", "half")
    train, held = bt.split(pairs, len(texts), 0.3, np.random.default_rng(0))
    assert not {*train.first, *train.second} & {*held.first, *held.second}


def test_what_was_held_out_is_learnt_in_the_end():
    """Two items of four hold all that is good; the delivered model knows them, whichever was held out."""
    texts = ["you opened the door", "you took the key", "you waited", "you turned"]
    order = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] * 20
    pairs = bt.Pairs(*np.array(order).T, np.full(len(order), 0.95, np.float32))
    for seed in range(4):
        model = RewardModel("text", SPACE, 32, 1, seed=0)
        report = bt.measured_fit(model, texts, pairs, 0.25, OPTIONS, seed)
        assert report.pairs == len(order) and report.held_out_accuracy is None
        assert model(texts).argsort().tolist() == [3, 2, 1, 0]
    many = texts + [f"a lamp and a chair of kind {i}" for i in range(8)]
    rest = [(a, b) for a in range(12) for b in range(a + 1, 12)] * 10
    pairs = bt.Pairs(*np.array(rest).T, np.full(len(rest), 0.95, np.float32))
    for seed in range(3):
        report = bt.measured_fit(model, many, pairs, 0.4, OPTIONS, seed)
        assert 10 <= report.held_out_pairs < len(rest) - report.train_pairs
        assert model(many).argsort()[-2:].tolist() == [1, 0]


def test_too_few_pairs_are_refused():
    pairs = bt.Pairs(np.array([0]), np.array([1]), np.array([1.0], np.float32))
    with pytest.raises(ConfigError, match="too few"):
        bt.split(pairs, 2, 0.2, np.random.default_rng(0))


def test_calibration_error_by_hand():
    predicted, judged = np.array([0.05, 0.05, 0.95, 0.95]), np.array([0.0, 0.0, 1.0, 0.0])
    assert bt.calibration_error(predicted, judged) == pytest.approx(0.5 * 0.05 + 0.5 * 0.45)
    assert bt.accuracy(predicted, judged) == 0.75


def test_words_are_hashed_alike_everywhere():
    assert hashed_words("You hold the key.") == hashed_words("you hold  the KEY.")
    assert hashed_words("key door") != hashed_words("door key")
    assert hashed_words("") == [0]


def test_shaping_by_hand():
    rewards = np.array([0.0, 1.0, 2.0, 3.0])
    shaping = Shaping.from_rewards(rewards, normalize=True, quantile=0.5, count_power=3.0)
    n = (rewards - 1.5) / rewards.std()
    np.testing.assert_allclose(shaping.value(rewards), np.where(n > 0, n, 0))
    np.testing.assert_allclose(Shaping.from_rewards(rewards, False, -1).value(rewards), rewards)


def test_counts_are_by_copy_and_episode():
    counts = EpisodicCounts(2)
    ids = np.array([counts.id("turned"), counts.id("moved")])
    assert counts.add(ids).tolist() == [1, 1]
    assert counts.add(ids[[0, 0]]).tolist() == [2, 1]
    counts.reset(np.array([True, False]))
    assert counts.add(ids).tolist() == [1, 2]
    many = np.array([counts.id(f"event {i}") for i in range(40)])
    assert counts.add(many[[39, 38]]).tolist() == [1, 1]


class Scores:
    """A reward that is the event's number, and counts how often it is asked."""

    of = "observation"

    def __init__(self):
        self.asked = 0

    def __call__(self, transitions):
        self.asked += len(transitions.task_reward)
        assert not transitions.task_reward.any(), "a route must not see the world's own reward"
        return transitions.observations["event"].astype(np.float32)


def wrapped(reward_fn, shaping=None, copies=8):
    shaping = Shaping() if shaping is None else shaping
    return RewardWrapper(DoorKeyVector(copies, 5), reward_fn, shaping, DoorKey(5).event)


def play(envs, steps=150, seed=0):
    envs.reset(seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        observations, reward, terminated, truncated, info = envs.step(rng.integers(0, 7, envs.num_envs))
        ended = terminated | truncated
        yield (info["final_obs"] if ended.any() else observations), reward, ended, info


def test_wrapper_counts_each_event_in_its_episode():
    envs, seen = wrapped(Scores(), Shaping(count_power=2.0)), [{} for _ in range(8)]
    for observations, reward, ended, _ in play(envs):
        for i, event in enumerate(observations["event"].tolist()):
            seen[i][event] = seen[i].get(event, 0) + 1
            assert reward[i] == pytest.approx(event / seen[i][event] ** 2)
            if ended[i]:
                seen[i] = {}


def test_wrapper_asks_once_for_each_distinct_observation():
    scores, keys = Scores(), set()
    for observations, *_ in play(wrapped(scores)):
        keys.update(observation_keys(observations))
    assert scores.asked == len(keys)


def test_potential_form_telescopes():
    """Over an episode the shaping terms, discounted, add up to -potential of the start (Ng et al. 1999)."""
    gamma = 0.9
    envs = wrapped(Scores(), Shaping(potential=True, gamma=gamma), copies=1)
    first, _ = envs.reset(seed=5)
    start, total, discount = float(first["event"][0]), 0.0, 1.0
    rng = np.random.default_rng(5)
    for _ in range(10_000):
        _, reward, terminated, truncated, info = envs.step(rng.integers(0, 7, 1))
        total, discount = total + discount * reward[0], discount * gamma
        if terminated[0] or truncated[0]:
            end = 0.0 if terminated[0] else float(info["final_obs"]["event"][0])
            assert total == pytest.approx(discount * end - start)
            return
    raise AssertionError("no episode ended")


def test_differences_add_up_to_what_the_end_is_worth_more_than_the_start():
    envs = wrapped(Scores(), Shaping(difference=True, gamma=0.9, threshold=0.5), copies=1)
    first, _ = envs.reset(seed=5)
    start, total, ended = float(first["event"][0]), 0.0, 0
    rng = np.random.default_rng(5)
    for _ in range(10_000):
        observation, reward, terminated, truncated, info = envs.step(rng.integers(0, 7, 1))
        total += reward[0]
        if terminated[0] or truncated[0]:
            assert total == pytest.approx(float(info["final_obs"]["event"][0]) - start)
            start, total, ended = float(observation["event"][0]), 0.0, ended + 1  # the next one begins at its own start
            if ended == 2:
                return
    raise AssertionError("no two episodes ended")


def test_a_program_s_reward_is_of_a_step_and_no_potential():
    """Its quantile and counts stay where a recipe pays others by their gain, and the report says so."""
    config = from_dict(RunConfig, {"shaping": {"difference": True}})
    assert shaping_used(config).difference and dict(build.shaping(config)).keys() >= {"difference"}
    code = from_dict(RunConfig, {"route": "code", "shaping": {"difference": True}})
    assert not shaping_used(code).difference and dict(build.shaping(code)).keys() >= {"quantile", "count_power"}


def test_controls_pass_through_and_the_true_reward_rides_along():
    for reward_fn, expected in ((ConstantReward(1.0), 1.0), (ConstantReward(-1.0), -1.0), (TaskReward(), None)):
        rewards, task = [], []
        for _, reward, _, info in play(wrapped(reward_fn, Shaping(count_power=3, llm_weight=5)), steps=400):
            rewards.append(reward)
            task.append(info["task_reward"])
        assert np.sum(task) > 0
        np.testing.assert_allclose(rewards, task if expected is None else np.full_like(rewards, expected))


def test_mixing_with_the_task_reward():
    for _, reward, _, info in play(wrapped(Scores(), Shaping(task_weight=2.0, llm_weight=0.0)), steps=400):
        np.testing.assert_allclose(reward, 2 * info["task_reward"])


def test_a_reward_that_is_not_finite_stops_the_training():
    class Broken(Scores):
        def __call__(self, transitions):
            return np.full(len(transitions.task_reward), np.nan)

    with pytest.raises(PlauditError, match="not finite"):
        next(play(wrapped(Broken())))


@pytest.mark.parametrize("kind", ["text", "observation"])
def test_preference_reward_is_the_models(kind):
    world, envs = DoorKey(5), DoorKeyVector(4, 5)
    observations, _ = envs.reset(seed=0)
    model = RewardModel(kind, SPACE, 16, 3, seed=1)
    reward = PreferenceReward(model, world.describe)(Transitions(observations, np.zeros(4)))
    singles = [{k: v[i] for k, v in observations.items()} for i in range(4)]
    items = [world.describe(o) for o in singles] if kind == "text" else singles
    np.testing.assert_allclose(reward, model(items), rtol=1e-5)
    other = RewardModel(kind, SPACE, 16, 3, seed=2)
    other.load_state(model.state())
    np.testing.assert_array_equal(other(items), model(items))
