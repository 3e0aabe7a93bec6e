"""Which observations and pairs are asked about, and how segments are made."""

from collections import Counter

import numpy as np
import pytest

from plaudit.judging import segments, selection
from plaudit.judging.consistency import triples

EVENTS = [int(i % 20 == 7) for i in range(100)]


def draw(events, items, pairs, seed):
    """As annotate draws them: numbers of items, and pairs of these."""
    rng = np.random.default_rng(seed)
    chosen = selection.evenly(events, rng)[:items]
    return chosen.tolist(), chosen[selection.random_pairs(len(chosen), pairs, rng)].tolist()


def test_a_draw_is_even_over_events():
    items, pairs = draw(EVENTS, 10, 500, seed=3)
    assert Counter(EVENTS[i] for i in items) == {1: 5, 0: 5} and len(set(items)) == 10
    assert len(pairs) == 500 and all(a != b and {a, b} <= set(items) for a, b in pairs)
    everything, _ = draw(EVENTS, 1000, 10, seed=3)
    assert sorted(everything) == list(range(100)) and everything[:10] == items
    assert selection.evenly([], np.random.default_rng(0)).tolist() == []


def test_a_draw_depends_on_its_seed_alone():
    """These are the draws that runs were made with: another order would ask other questions."""
    items, pairs = draw(EVENTS, 4, 3, seed=0)
    assert items == [82, 27, 36, 87]
    assert pairs == [[36, 82], [82, 87], [36, 27]]


def test_one_item_alone_makes_no_pair():
    assert draw(EVENTS[:1], 10, 5, seed=0) == ([0], [])


def test_pairs_are_asked_once_whichever_way_round():
    pairs = np.array([(0, 1), (1, 0), (0, 0), (2, 0), (0, 1), (1, 2)])
    assert selection.distinct(pairs).tolist() == [[0, 1], [2, 0], [1, 2]]
    assert selection.distinct(pairs, asked=np.array([(2, 1), (1, 0)])).tolist() == [[2, 0]]
    assert selection.distinct(pairs[:0]).tolist() == []


def ensemble():
    """Two networks of one mind, but for items 0 and 1; and with different means, which do not count."""
    agreed = np.linspace(0, 3, 30)
    other = agreed.copy()
    other[:2] = 4, -5
    return np.stack([agreed, other + 10])


def test_the_most_disputed_come_first():
    rewards = ensemble()
    assert selection.disputed_items(rewards, 2).tolist() == [1, 0]
    assert selection.disputed_items(rewards, 1, judged=[1]).tolist() == [0]
    assert len(selection.disputed_items(rewards, 100)) == 30
    pairs = selection.disputed_pairs(rewards, 12, seed=0)
    assert all({0, 1} & set(pair) for pair in pairs.tolist()) and len(set(map(frozenset, pairs.tolist()))) == 12
    again = selection.disputed_pairs(rewards, 12, seed=0, asked=pairs[:, ::-1])
    assert not set(map(frozenset, pairs.tolist())) & set(map(frozenset, again.tolist()))


def test_where_all_pairs_are_asked_nothing_is_left():
    rewards, asked = np.zeros((2, 3)), np.array([(0, 1), (1, 2), (2, 0)])
    assert len(selection.disputed_pairs(rewards, 5, seed=0, asked=asked)) == 0
    assert len(selection.disputed_pairs(rewards, 5, seed=0)) == 3


def settle(worth, seed=0, answer=None):
    """Ask until nothing is open; (order, every pair that was asked)."""
    answer = answer or (lambda a, b: 0.5 if worth[a] == worth[b] else float(worth[a] > worth[b]))
    order, rng, asked = selection.Order(len(worth)), np.random.default_rng(seed), []
    while len(pairs := order.next_pairs(10_000, rng)):
        assert len(set(pairs.ravel().tolist())) == pairs.size  # they can be asked together
        order.add(pairs, np.array([answer(a, b) for a, b in pairs.tolist()]))
        asked += pairs.tolist()
    return order, asked


def test_a_transitive_judge_is_asked_about_n_log_n_pairs():
    worth = np.random.default_rng(1).permutation(128)
    order, asked = settle(worth)
    assert (order.better == (worth[:, None] > worth)).all() and order.settled == 1
    assert len(set(map(frozenset, asked))) == len(asked)  # none twice
    assert 128 * 7 * 0.8 < len(asked) < 128 * 7 * 1.4 < 128 * 127 / 2 / 6  # log2 128 = 7


def test_ties_failures_and_cycles_are_not_asked_again():
    order, asked = settle([0, 0, 0, 0])
    assert len(asked) == 6 and order.settled == 0
    order, asked = settle([0, 1, 2], answer=lambda a, b: float("nan"))
    assert len(asked) == 3 and not order.better.any()
    wins = {(0, 1), (1, 2), (2, 0)}
    order = selection.Order(3)
    order.add(np.array([(0, 1), (1, 2)]), np.array([1.0, 1.0]))
    assert order.better[0, 2] and not len(order.next_pairs(5, np.random.default_rng(0)))  # it follows: no question
    order.add(np.array([(2, 0)]), np.array([1.0]))
    assert order.better[list(zip(*wins, strict=True))].all() and order.settled == 1


def test_circles_of_three_are_counted():
    pairs = np.array([(0, 1), (1, 2), (2, 0), (3, 0), (3, 1), (4, 3)])
    sure = np.array([0.9, 0.8, 0.7, 0.9, 0.9, np.nan])
    assert triples(pairs, sure) == {"triples": 2, "cyclic": 0.5}  # 0 1 2 goes round, 0 1 3 does not
    assert triples(pairs, np.array([0.9, 0.8, 0.3, 0.9, 0.9, np.nan])) == {"triples": 2, "cyclic": 0.0}
    assert triples(pairs, np.array([0.5, *sure[1:]])) == {"triples": 0, "cyclic": None}
    both = np.array([(0, 1), (1, 0), (1, 2), (2, 0)])  # asked twice: the mean counts
    assert triples(both, np.array([0.9, 0.7, 0.9, 0.9])) == {"triples": 1, "cyclic": 1.0}
    assert triples(both, np.array([0.7, 0.9, 0.9, 0.9])) == {"triples": 1, "cyclic": 0.0}
    assert triples(pairs[:0], sure[:0]) == {"triples": 0, "cyclic": None}


def test_coins_go_round_in_a_quarter_of_all_triples(monkeypatch):
    monkeypatch.setattr("plaudit.judging.consistency.CELLS", 700)  # in several parts
    pairs = np.array([(a, b) for a in range(60) for b in range(a)])
    found = triples(pairs, np.random.default_rng(0).random(len(pairs)))
    assert found["triples"] == 60 * 59 * 58 / 6 and abs(found["cyclic"] - 0.25) < 0.01


def test_a_curve_is_flat_when_the_last_rounds_gained_nothing():
    assert not selection.flat([0.6, 0.7, 0.8], patience=1)
    assert selection.flat([0.6, 0.8, 0.805], patience=1) and not selection.flat([0.6, 0.8, 0.805], patience=2)
    assert selection.flat([0.8, 0.7, 0.79], patience=2) and not selection.flat([0.8, 0.805], 1, tolerance=0.001)
    assert not selection.flat([0.8, 0.8], patience=2) and not selection.flat([0.8] * 9, patience=0)
    assert not selection.flat([], patience=1)


def test_a_segment_reads_as_moments_in_order():
    assert segments.join(["You turned."]) == "You turned."
    assert segments.join(["a.", "b\nThen: x.", "c."]) == "First: a. Then: b Then x. Then: c."


@pytest.mark.parametrize("items", [0, 1, 2])
def test_few_items_have_few_pairs(items):
    pairs = selection.random_pairs(items, 50, np.random.default_rng(0))
    assert pairs.shape == (50 * (items > 1), 2) and (pairs[:, 0] != pairs[:, 1]).all()
    assert len(selection.disputed_pairs(np.zeros((3, items)), 5, 0)) == (items > 1)
