"""The calibration error, simulated: its interval holds the truth, also of a judge whose probabilities are true."""

import numpy as np
import pytest

from plaudit.analysis.reliability import Answers, corrected_error, error_interval, expected_calibration_error

BINS = 5


def judged(rng: np.random.Generator, pairs: int, items: int, too_sure: float) -> Answers:
    """Random pairs of these observations; in every bin it is right so much less often than it says."""
    first, second = np.triu_indices(items, 1)
    chosen = rng.permutation(len(first))[:pairs]
    sure = rng.uniform(0.5 + too_sure, 1, pairs)
    right, ahead = rng.random(pairs) < sure - too_sure, rng.random(pairs) < 0.5
    names = [(f"o{a}", f"o{b}") for a, b in zip(first[chosen], second[chosen], strict=True)]
    return Answers(names, np.where(ahead, sure, 1 - sure), (right == ahead).astype(np.float64))


@pytest.mark.parametrize("truth", [0.0, 0.05])
@pytest.mark.parametrize(("pairs", "items"), [(60, 24), (600, 60)])
def test_the_interval_of_the_calibration_error_holds_the_truth(pairs, items, truth):
    rng, inside, found, plain = np.random.default_rng(5), 0, [], []
    for _ in range(50):
        answers = judged(rng, pairs, items, truth)
        error, (low, high) = corrected_error(answers, BINS), error_interval(answers, BINS)
        assert 0 <= low <= error <= high
        inside += low <= truth <= high
        found.append(error)
        plain.append(expected_calibration_error(answers, BINS))
    assert inside >= 45, inside
    assert abs(np.mean(found) - truth) < max(0.01, abs(np.mean(plain) - truth) / 2), "it is nearer than the plain one"


def test_a_judge_that_is_far_too_sure_is_told_from_one_that_is_not():
    rng = np.random.default_rng(6)
    answers = judged(rng, 600, 60, 0.25)
    error, (low, high) = corrected_error(answers, BINS), error_interval(answers, BINS)
    assert 0.1 < low < 0.25 < high and error == pytest.approx(expected_calibration_error(answers, BINS), abs=0.01)
    certain = Answers([("a", "b"), ("a", "c")], np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    assert corrected_error(certain, BINS) == 0 and error_interval(certain, BINS) == (0, 0)
