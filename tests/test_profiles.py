"""Profiles, win probabilities and claims, against numbers worked out by hand; what few seeds may not say is not said."""

import math

import numpy as np
import pytest

from plaudit.analysis.claims import LEVEL, by_chance, contest, rank_test, too_few
from plaudit.analysis.profiles import (
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    sample_efficiency,
)
from plaudit.analysis.statistics import MIN_SEEDS, interquartile_mean


def test_profile_by_hand() -> None:
    found = performance_profile([0.0, 0.5, 0.5, 1.0, 0.9], [0.0, 0.5, 0.9, 1.0])
    assert found.share.tolist() == [0.8, 0.4, 0.2, 0.0], "above, not at"
    assert found.low is not None and found.high is not None and found.seeds == 5
    assert (found.low <= found.share).all() and (found.share <= found.high).all()
    assert (np.diff(found.low) <= 0).all() and (found.low[3], found.high[3]) == (0.0, 0.0)
    few = performance_profile([0.2, 0.4], [0.3])
    assert few.share.tolist() == [0.5] and few.low is None and few.high is None


def test_profile_keeps_every_world_in_every_resample() -> None:
    # One world always solved, one never: half of the runs are above, in any resample within the worlds.
    found = performance_profile(np.tile([0.0, 1.0], (6, 1)), [0.5])
    assert found.low is not None and found.high is not None
    assert (found.share[0], found.low[0], found.high[0]) == (0.5, 0.5, 0.5)


def test_probability_of_improvement_by_hand() -> None:
    # Of the six pairs: 1 > 0, 1 = 1, 1 < 2, 3 > 0, 3 > 1, 3 > 2: four and a half.
    assert probability_of_improvement([1, 3], [0, 1, 2]).probability == 4.5 / 6
    assert probability_of_improvement([0, 1, 2], [1, 3]).probability == 1.5 / 6
    assert probability_of_improvement([1, 1], [1, 1]).probability == 0.5
    # The mean over worlds, each held against itself only.
    assert probability_of_improvement([[1, 0]], [[0, 1]]).probability == 0.5


def test_probability_of_improvement_is_scipys_u() -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    for n, m in ((3, 5), (8, 8), (20, 4)):
        x, y = rng.integers(0, 5, n), rng.integers(0, 6, m)
        assert probability_of_improvement(x, y).probability == pytest.approx(mannwhitneyu(x, y).statistic / (n * m))


def test_few_seeds_have_no_interval_of_improvement() -> None:
    few = probability_of_improvement([0.5] * (MIN_SEEDS - 1), [0.1] * 9)
    assert (few.probability, few.low, few.high, few.seeds) == (1.0, None, None, MIN_SEEDS - 1)
    enough = probability_of_improvement([0.1, 0.2, 0.3, 0.4, 0.5], [0.0, 0.25, 0.3, 0.2, 0.1])
    assert enough.low is not None and enough.high is not None
    assert 0 <= enough.low < enough.probability < enough.high <= 1


@pytest.mark.parametrize("scores", [[], [0.1, math.nan], [math.inf], 0.5, [[[1.0]]]])
def test_what_is_no_score_is_refused(scores: object) -> None:
    for function in (lambda s: performance_profile(s, [0.5]), lambda s: probability_of_improvement(s, [1.0])):
        with pytest.raises(ValueError, match="finite"):
            function(scores)
    with pytest.raises(ValueError, match="same worlds"):
        probability_of_improvement([[1.0, 2.0]], [[1.0]])


def test_optimality_gap_by_hand() -> None:
    assert optimality_gap([0.5, 1.0]) == 0.25
    assert optimality_gap([0.5, 3.0]) == 0.25, "more than the best makes up for nothing"
    assert optimality_gap([5.0, 10.0], best=10) == 2.5


def test_sample_efficiency_stands_on_seeds_that_are_all_there() -> None:
    found = sample_efficiency([{10: 0.0, 20: 0.5, 30: 1.0}, {20: 0.7, 30: 0.8}])
    assert [x for x, _ in found] == [20, 30]
    assert [round(i.point, 9) for _, i in found] == [0.6, 0.9] and found[0][1].kind == "range"
    many = sample_efficiency([dict.fromkeys(range(1000), 0.0)], most=120)
    assert len(many) <= 120 and many[-1][0] == 999
    assert sample_efficiency([]) == [] and sample_efficiency([{1: 0.0}, {2: 0.0}]) == []


def test_rank_test_is_exact_with_few_seeds_and_with_draws() -> None:
    # All five of one above all five of the other: 2 of the 252 ways to split ten.
    assert rank_test([1] * 5, [0] * 5) == pytest.approx(2 / 252)
    assert rank_test([6, 7, 8], [1, 2, 3]) == pytest.approx(2 / 20)
    assert rank_test([1, 1], [1, 1]) == 1.0 and rank_test([2], [1]) == 1.0
    assert rank_test(np.arange(30) + 20.5, np.arange(30)) < 1e-6, "many seeds: asymptotic"
    assert by_chance(5) == 2 / 252 and by_chance(1) == 1.0


def test_few_seeds_are_told_loudly() -> None:
    assert [bool(too_few(n)) for n in range(7)] == [True] * 5 + [False] * 2
    said = too_few(3)
    assert said is not None and "3 seeds are too few for a claim" in said and "10%" in said
    assert "1 seed is too few" in (too_few(1) or "") and "Nothing was finished" in (too_few(0) or "")
    assert too_few(5, claims=6) is None
    many = too_few(5, claims=20)
    assert many is not None and "20 claims at once" in many and "16%" in many


def test_a_contest_by_hand() -> None:
    found = contest({0: 0.9, 1: 0.8, 2: 0.7, 3: 0.9, 4: 1.0}, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.1, 4: 0.0, 9: 0.5})
    assert (found.wins, found.draws, found.shared) == (5, 0, 5)
    assert found.difference is not None and found.difference.point == pytest.approx((0.8 + 0.6 + 0.8) / 3)
    assert found.order == "ahead" and found.is_claim and found.improvement.probability == 1
    back = contest({4: 0.0, 0: 0.1, 1: 0.2, 2: 0.3, 3: 0.1}, {0: 0.9, 1: 0.8, 2: 0.7, 3: 0.9, 4: 1.0})
    assert back.order == "behind" and back.is_claim


def test_no_claim_without_seeds_or_without_a_difference() -> None:
    one = contest({0: 0.9}, {0: 0.1})
    assert one.order == "ahead" and not one.is_claim, "what was seen, and no claim"
    four = contest(dict.fromkeys(range(4), 1.0), dict.fromkeys(range(4), 0.0))
    assert four.order == "ahead" and not four.is_claim
    apart = contest({0: 1.0}, {1: 0.0})
    assert apart.difference is None and apart.order == "ahead" and not apart.is_claim
    equal = contest(dict.fromkeys(range(9), 0.5), dict.fromkeys(range(9), 0.5))
    assert equal.order == "open" and equal.p == 1 and equal.draws == 9
    # The interval alone would claim this: five times a little better, within the spread between seeds.
    close = contest(
        {i: v + 0.01 for i, v in enumerate([0.1, 0.4, 0.6, 0.8, 0.9])}, dict(enumerate([0.1, 0.4, 0.6, 0.8, 0.9]))
    )
    assert close.difference is not None and close.difference.low is not None and close.difference.low > 0
    assert close.p > LEVEL and close.order == "open"


@pytest.mark.parametrize("arms", [2, 8])
def test_the_best_of_equal_arms_is_rarely_called_the_best(arms: int) -> None:
    rng = np.random.default_rng(arms)
    claims = []
    for _ in range(150):
        scores = rng.normal(size=(arms, 5))
        best, second = np.argsort(-interquartile_mean(scores))[:2]
        claims.append(contest(dict(enumerate(scores[best])), dict(enumerate(scores[second]))).is_claim)
    assert np.mean(claims) <= 0.07, "5% are promised; with 150 draws up to 7% are chance"


def test_a_clear_winner_is_found() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(60, 2, 5)) + np.array([[3.0], [0.0]])
    found = [contest(dict(enumerate(a)), dict(enumerate(b))).is_claim for a, b in scores]
    assert np.mean(found) > 0.9
