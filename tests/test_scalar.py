"""Numbers as labels: fitted by squared error, or asked for online; segments; and every way from label to target."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from plaudit import prompts
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.errors import ConfigError, JudgeFailedError
from plaudit.judging.pairwise import Pairwise
from plaudit.judging.verdict import Verdict
from plaudit.llms.scripted import ScriptedLLM
from plaudit.rewards import bradley_terry as bt
from plaudit.rewards import regression
from plaudit.rewards.base import Transitions
from plaudit.rewards.fitting import FitOptions, disagreement, item_rewards
from plaudit.rewards.online import GRACE, OnlineReward
from plaudit.rewards.reward_net import RewardModel
from plaudit.rewards.shaping import Shaping
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.types import Comparison, Judgement

SPACE = DoorKeyVector(1, 5).single_observation_space
OPTIONS = FitOptions(steps=150, batch=128, learning_rate=1e-2, weight_decay=1e-3)


@pytest.fixture(autouse=True)
def one_thread():
    """The networks are so small that a second thread only waits for the first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def worded(n=150, seed=0):
    """Descriptions whose worth lies in the words they hold."""
    rng = np.random.default_rng(seed)
    texts = list(dict.fromkeys(" ".join(rng.choice(["key", "door", "wall", "dust", "floor"], 5)) for _ in range(n)))
    return texts, np.array([1.0 * ("key" in t) + 2.0 * ("door" in t) - 1.5 * ("dust" in t) for t in texts])


def judged(texts, worth, noise=0.0, seed=0):
    values = 3 + 0.2 * worth + noise * np.random.default_rng(seed).normal(size=len(texts))
    return [Judgement(t, "ok", float(v), "") for t, v in zip(texts, values, strict=True)]


def fit_values(judgements, texts, seed=0, **options):
    values = regression.values(judgements, {t: i for i, t in enumerate(texts)})
    model = RewardModel("text", SPACE, 32, 2, seed=seed)
    return model, regression.measured_fit(model, texts, values, 0.2, OPTIONS, seed, **options)


def test_regression_finds_the_planted_values():
    texts, worth = worded()
    model, report = fit_values(judged(texts, worth, noise=0.02), texts)
    assert report.held_out_spearman > 0.9 and report.held_out_r2 > 0.8 and report.train_r2 > report.held_out_r2 - 0.1
    assert spearmanr(model(texts), worth).statistic > 0.9 and 0 < report.disagreement < 0.5
    assert report.train_items + report.held_out_items == len(texts)
    assert abs(float(model(texts).mean())) < 0.3 and 0.7 < float(model(texts).std()) < 1.3  # in standard units


def test_noise_cannot_be_regressed():
    texts, worth = worded()
    _, report = fit_values(judged(texts, 0 * worth, noise=1.0), texts)
    assert report.held_out_r2 < 0.2 and abs(report.held_out_spearman) < 0.5


def test_failed_judgements_are_not_fitted():
    texts, worth = worded()
    rows = judged(texts, worth)
    rows[3] = Judgement(texts[3], "unparsed", None, "hm")
    values = regression.values(rows, {t: i for i, t in enumerate(texts)})
    assert len(values) == len(texts) - 1 and 3 not in values.item


def test_values_are_split_by_item():
    values = regression.Values(np.repeat(np.arange(60), 2), np.arange(120, dtype=np.float32))
    train, held = regression.split(values, 60, 0.3, np.random.default_rng(0))
    assert not set(train.item) & set(held.item) and len(train) + len(held) == 120


def test_values_that_cannot_be_fitted_are_refused():
    none = regression.Values(np.arange(0), np.arange(0, dtype=np.float32))
    with pytest.raises(ConfigError, match="no value"):
        regression.split(none, 12, 0.2, np.random.default_rng(0))
    constant = regression.Values(np.arange(100), np.full(100, 2, np.float32))
    with pytest.raises(ConfigError, match="same value, 2"):
        regression.split(constant, 100, 0.2, np.random.default_rng(0))


def test_where_few_are_judged_all_are_learnt_and_none_held_out():
    few = regression.Values(np.arange(12), np.arange(12, dtype=np.float32))
    train, held = regression.split(few, 12, 0.2, np.random.default_rng(0))
    assert len(train) == 12 and len(held) == 0


def test_explained_variance_by_hand():
    assert regression.explained(np.array([1.0, 2, 4]), np.array([1.0, 2, 3])) == pytest.approx(1 - 1 / 2)
    assert regression.explained(np.zeros(3), np.ones(3)) == 0.0


def test_disagreement_is_blind_to_the_networks_means():
    rewards = np.array([[0.0, 1, 2], [5, 6, 7]])
    assert disagreement(rewards) == 0 and disagreement(np.array([[0.0, 1], [1, 0]])) > 1


def compared(texts, worth, n=1500, seed=0):
    first, second = np.random.default_rng(seed).integers(0, len(texts), (2, n))
    return [
        Comparison(texts[a], texts[b], "ok", float(1 / (1 + np.exp(-2 * (worth[a] - worth[b])))))
        for a, b in zip(first, second, strict=True)
        if worth[a] != worth[b]
    ]


def fit_pairs(items, comparisons, observations, segments):
    pairs = bt.targets(comparisons, {t: i for i, t in enumerate(items)}, "soft", "half")
    model = RewardModel("text", SPACE, 32, 2, seed=0)
    return model, bt.measured_fit(model, observations, pairs, 0.3, OPTIONS, 0, segments)


def test_segments_of_one_are_the_observations_themselves():
    texts, worth = worded()
    comparisons = compared(texts, worth)
    plain, report = fit_pairs(texts, comparisons, texts, None)
    ones, same = fit_pairs(texts, comparisons, texts, np.arange(len(texts))[:, None])
    assert np.array_equal(plain(texts), ones(texts))
    assert asdict(report) == pytest.approx(asdict(same))


def test_a_segment_is_worth_the_mean_of_its_members():
    """The judge sees whole segments only; what single observations are worth is found."""
    words = ["key", "door", "wall", "dust", "floor", "lamp"]
    worth = np.array([1.0, 2, 0, -1.5, 0, 0])
    segments = np.array([(a, b, c) for a in range(6) for b in range(6) for c in range(6)])
    items = [f"segment {i}" for i in range(len(segments))]
    model, report = fit_pairs(items, compared(items, worth[segments].mean(axis=1)), words, segments)
    assert report.held_out_accuracy > 0.9 and spearmanr(model(words), worth).statistic > 0.85
    by_hand = model.members(words)[:, segments].mean(axis=2)
    np.testing.assert_array_equal(item_rewards(model, words, segments), by_hand)
    np.testing.assert_allclose(by_hand[0, 7], model.members(words)[0][segments[7]].mean(), rtol=1e-5)


def test_segments_have_values_too():
    words, worth = ["key", "door", "wall", "dust", "floor", "lamp"], np.array([1.0, 2, 0, -1.5, 0, 0])
    segments = np.array([(a, b) for a in range(6) for b in range(6)] * 3)
    values = regression.Values(np.arange(len(segments)), worth[segments].mean(axis=1).astype(np.float32))
    model = RewardModel("text", SPACE, 32, 2, seed=0)
    assert regression.measured_fit(model, words, values, 0.2, OPTIONS, 0, segments).held_out_r2 > 0.9


ANSWERS = [
    Comparison("a", "b", "ok", 0.9, 0.95, 0.85),
    Comparison("a", "c", "tie", 0.5, 1.0, 0.0),
    Comparison("b", "c", "ok", 0.5, 0.7, 0.3),
    Comparison("c", "b", "ok", 0.2),
    Comparison("b", "a", "unparsed", None),
]


@pytest.mark.parametrize(
    ("target", "ties", "wanted"),
    [
        ("soft", "half", [0.9, 0.5, 0.5, 0.2]),
        ("soft", "drop", [0.9, 0.2]),
        ("hard", "half", [1, 0.5, 0.5, 0]),
        ("hard", "drop", [1, 0]),
    ],
)
def test_every_way_from_label_to_target(target, ties, wanted):
    pairs = bt.targets(ANSWERS, {"a": 0, "b": 1, "c": 2}, target, ties)
    assert pairs.target.tolist() == pytest.approx(wanted)


def test_targets_are_the_average_of_both_orders_or_the_one_that_was_asked():
    def biased(request):
        first, second = (("key" in line) for line in request.prompt.split("\n")[-3:-1])
        return (1.0 * first - 1.0 * second + 3, 0.0)  # prefers the first seat, whatever sits in it

    index = {"key": 0, "wall": 1}
    both = Pairwise(prompts.load("pairwise")).compare(ScriptedLLM(score=biased), "g", [("key", "wall")])
    sigmoid = 1 / (1 + np.exp(-np.array([4.0, 2.0])))
    average = (sigmoid[0] + 1 - sigmoid[1]) / 2
    assert bt.targets(both, index, "soft", "half").target.tolist() == pytest.approx([average], abs=1e-6)
    assert bt.targets(both, index, "hard", "half").target.tolist() == [1.0]
    one = Pairwise(prompts.load("pairwise"), both_orders=False)
    (single,) = one.compare(ScriptedLLM(score=biased), "g", [("key", "wall")])
    assert single.probability == pytest.approx(sigmoid[0] if single.forward is not None else 1 - sigmoid[1])
    # Words that contradict each other in the two orders are a tie, which is then one half or dropped.
    words = Verdict(prompts.load("verdict")).compare(ScriptedLLM(lambda request: "A"), "g", [("key", "wall")])
    assert bt.targets(words, index, "hard", "half").target.tolist() == [0.5]
    assert len(bt.targets(words, index, "hard", "drop")) == 0


class Judge:
    """Scores a description by its length and fails on some, counting what it is asked."""

    def __init__(self, fails=lambda text: False):
        self.asked, self.fails = [], fails

    def __call__(self, texts):
        self.asked += texts
        return [
            Judgement(t, "unparsed", None, "hm") if self.fails(t) else Judgement(t, "ok", float(len(t)), "")
            for t in texts
        ]


def steps(*texts):
    return Transitions(np.array(texts, object), np.zeros(len(texts)))


def test_online_asks_about_each_description_once():
    judge = Judge()
    reward = OnlineReward(judge, str, known={"known": 7.0})
    assert reward(steps("a", "bb", "a", "known")).tolist() == [1, 2, 1, 7]
    assert reward(steps("bb", "ccc")).tolist() == [2, 3]
    assert judge.asked == ["a", "bb", "ccc"] and len(reward.judgements) == 3 and reward.failures == 0
    assert reward(steps("a")).dtype == np.float32


def test_a_failure_online_is_worth_the_mean_and_is_counted():
    judge = Judge(fails=lambda text: "x" in text)
    reward = OnlineReward(judge, str, known={"known": 6.0})
    assert reward(steps("bb", "x", "known")).tolist() == [2, 4, 6]
    assert reward(steps("x", "dddddddddd")).tolist() == [4, 10] and judge.asked == ["bb", "x", "dddddddddd"]
    assert reward.failures == 1 and reward.judgements[1].status == "unparsed" and reward.judgements[1].value is None


def test_too_many_failures_online_stop_the_training():
    few = OnlineReward(Judge(fails=lambda text: text.endswith("7")), str, {"known": 1.0}, max_failures=0.15)
    few(steps(*(f"text {i}" for i in range(100))))
    assert few.failures == 10
    reward = OnlineReward(Judge(fails=lambda text: "x" in text), str, {"known": 1.0}, max_failures=0.15)
    reward(steps("x1", "x2", "x3"))  # three of twenty, were twenty asked
    with pytest.raises(JudgeFailedError, match=r"4 of the 4 .* 15%.*'hm'"):
        reward(steps("x4"))
    assert GRACE == 20
    with pytest.raises(JudgeFailedError, match="1 of the 1"):  # there is no mean of nothing
        OnlineReward(Judge(fails=lambda text: True), str)(steps("a"))
    with pytest.raises(JudgeFailedError):
        OnlineReward(Judge(fails=lambda text: "x" in text), str, {"known": 1.0}, max_failures=0)(steps("x"))


def test_online_in_the_wrapper_asks_no_more_than_there_are_descriptions():
    world, judge = DoorKey(5, render_mode=None), Judge()
    envs = RewardWrapper(DoorKeyVector(4, 5), OnlineReward(judge, world.describe), Shaping(), world.event)
    observations, _ = envs.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(30):
        observations, reward, terminated, truncated, _ = envs.step(rng.integers(0, 7, 4))
        if not (terminated | truncated).any():
            singles = [{k: v[i] for k, v in observations.items()} for i in range(4)]
            np.testing.assert_allclose(reward, [len(world.describe(o)) for o in singles])
    assert len(judge.asked) == len(set(judge.asked)) > 10


def test_a_fit_is_the_same_every_time():
    texts, worth = worded()
    rows = judged(texts, worth)
    assert fit_values(rows, texts)[1] == fit_values(rows, texts)[1]
