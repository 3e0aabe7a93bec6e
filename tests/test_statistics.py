"""Statistics over seeds and agreement with the world, against numbers worked out by hand."""

import math
from itertools import product

import numpy as np
import pytest

from plaudit.analysis.agreement import pair_accuracy, rank_correlation, score_pairs
from plaudit.analysis.statistics import (
    MIN_SEEDS,
    interquartile_mean,
    interval,
    paired_difference,
    stratified_bootstrap,
)


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean([0, 10, 20, 100]) == 15  # one cut off either end
    assert interquartile_mean([3, 1, 2, 0, 100]) == 2  # floor(5 / 4) = 1: the mean of 1, 2, 3
    assert interquartile_mean([7, 6, 5, 4, 3, 2, 1, 0]) == 3.5  # two off either end
    assert interquartile_mean([0, 1, 5]) == 2  # too few to cut: the mean
    assert interquartile_mean([4]) == 4
    assert interquartile_mean([[0, 10, 20, 100], [1, 1, 1, 9]]).tolist() == [15, 1]


def test_interquartile_mean_is_scipys_trimmed_mean() -> None:
    from scipy.stats import trim_mean

    rng = np.random.default_rng(0)
    for n in range(1, 30):
        scores = rng.normal(size=n)
        assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25))


def test_bootstrap_matches_all_resamples_worked_out() -> None:
    scores = [0.1, 0.3, 0.35, 0.7, 0.9]
    every = interquartile_mean(np.array(list(product(scores, repeat=5))))  # all 3125 equally likely resamples
    low, high = stratified_bootstrap(scores, resamples=20_000)
    assert (low, high) == pytest.approx(tuple(np.percentile(every, [2.5, 97.5])), abs=0.02)


def test_bootstrap_draws_within_each_stratum() -> None:
    # Seeds agree within a world, the worlds differ: no resample may move, as each has every world equally often.
    scores = np.tile([0.0, 1.0], (6, 1))
    assert stratified_bootstrap(scores) == (0.5, 0.5)
    # Drawn over both worlds together the mean would vary.
    assert stratified_bootstrap(scores.ravel()) != (0.5, 0.5)


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = [(i := interval(rng.normal(size=10), resamples=300)).low < 0 < i.high for _ in range(200)]  # type: ignore[operator]
    assert 0.82 <= np.mean(hits) <= 0.99  # percentile intervals of ten runs are known to be somewhat narrow


def test_few_seeds_give_no_interval() -> None:
    one, two = interval([0.4]), interval([0.4, 0.8])
    assert (one.point, one.low, one.high, one.kind) == (0.4, None, None, "none")
    assert two.point == pytest.approx(0.6) and (two.low, two.high, two.kind) == (0.4, 0.8, "range")
    assert "not an interval" in two.label and "no interval" in one.label
    assert interval([0.5] * (MIN_SEEDS - 1)).kind == "range"
    enough = interval([0.5] * MIN_SEEDS)
    assert (enough.kind, enough.low, enough.high) == ("bootstrap", 0.5, 0.5) and "95%" in enough.label


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = [0.1, 0.5, 0.2, 0.9, 0.4, 0.3]
    assert interval(scores, seed=3) == interval(scores, seed=3)


@pytest.mark.parametrize("scores", [[], [0.1, math.nan], [math.inf], 0.5, [[[1.0]]]])
def test_what_is_no_score_is_refused(scores: object) -> None:
    with pytest.raises(ValueError, match="finite"):
        interval(scores)  # type: ignore[arg-type]


def test_differences_are_paired_by_seed() -> None:
    # 0.9 - 0.5 and 0.6 - 0.1; seeds 2 and 7 have no partner.
    found = paired_difference({0: 0.9, 1: 0.6, 2: 0.0}, {1: 0.1, 0: 0.5, 7: 1.0})
    assert found is not None
    assert [found.point, found.low, found.high] == pytest.approx([0.45, 0.4, 0.5])
    assert paired_difference({0: 0.9}, {1: 0.1}) is None


def test_pair_accuracy_by_hand() -> None:
    progress = {"a": 0.0, "b": 0.5, "c": 0.52, "d": 1.0}
    pairs = [
        ("a", "b", 0.2),  # right
        ("d", "a", 0.9),  # right
        ("b", "d", 0.7),  # wrong
        ("a", "d", 0.5),  # undecided: half
        ("b", "c", 0.9),  # no known order
        ("a", "x", 0.9),  # unknown
    ]
    assert pair_accuracy(pairs, progress) == (4, 2.5 / 4)
    assert pair_accuracy([], progress) == (0, None)


def test_scores_order_pairs() -> None:
    pairs = score_pairs([("a", "b"), ("b", "a"), ("a", "c"), ("a", "x")], {"a": 1.0, "b": 2.0, "c": 1.0})
    assert pairs == [("a", "b", 0.0), ("b", "a", 1.0), ("a", "c", 0.5)]


def test_rank_correlation_by_hand() -> None:
    progress = {"a": 0.0, "b": 0.2, "c": 0.4, "d": 0.9}
    # Ranks 1, 3, 2, 4 against 1, 2, 3, 4: 1 - 6 * (1 + 1) / (4 * 15) = 0.8
    assert list(rank_correlation({"a": -5, "b": 3, "c": 2, "d": 70, "x": 1}, progress)) == pytest.approx([4, 0.8])
    assert rank_correlation({"a": 1, "b": 1}, progress) == (2, None)
    assert rank_correlation({"x": 1}, progress) == (0, None)
