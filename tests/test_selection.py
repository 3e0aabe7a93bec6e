"""Which observations and pairs are asked about, and how segments are made."""

from collections import Counter

import numpy as np

from plaudit.judging import segments, selection

ROWS = [{"text": f"text {i}", "event": "rare" if i % 20 == 7 else "common"} for i in range(100)]


def test_a_draw_is_even_over_events():
    texts, pairs = selection.draw(ROWS, 10, 500, seed=3)
    events = {row["text"]: row["event"] for row in ROWS}
    assert Counter(events[t] for t in texts) == {"rare": 5, "common": 5} and len(set(texts)) == 10
    assert len(pairs) == 500 and all(a != b and {a, b} <= set(texts) for a, b in pairs)
    everything, _ = selection.draw(ROWS, 1000, 10, seed=3)
    assert sorted(everything) == sorted(row["text"] for row in ROWS) and everything[:10] == texts


def test_a_draw_depends_on_its_seed_alone():
    """These are the draws that runs were made with: another order would ask other questions."""
    assert selection.draw(ROWS, 10, 500, seed=3) == selection.draw(ROWS, 10, 500, seed=3)
    texts, pairs = selection.draw(ROWS, 4, 3, seed=0)
    assert texts == ["text 82", "text 27", "text 36", "text 87"]
    assert pairs == [("text 36", "text 82"), ("text 82", "text 87"), ("text 36", "text 27")]


def test_one_text_alone_makes_no_pair():
    assert selection.draw(ROWS[:1], 10, 5, seed=0) == (["text 0"], [])


def test_pairs_are_asked_once_whichever_way_round():
    pairs = [("a", "b"), ("b", "a"), ("a", "a"), ("c", "a"), ("a", "b"), ("b", "c")]
    assert selection.distinct(pairs) == [("a", "b"), ("c", "a"), ("b", "c")]
    assert selection.distinct(pairs, asked=[("c", "b"), ("b", "a")]) == [("c", "a")]


def ensemble():
    """Two networks of one mind, but for texts 0 and 1; and with different means, which do not count."""
    agreed = np.linspace(0, 3, 30)
    other = agreed.copy()
    other[:2] = 4, -5
    return [f"t{i}" for i in range(30)], np.stack([agreed, other + 10])


def test_the_most_disputed_come_first():
    texts, rewards = ensemble()
    assert selection.disputed_items(texts, rewards, 2) == ["t1", "t0"]
    assert selection.disputed_items(texts, rewards, 1, judged=["t1"]) == ["t0"]
    assert len(selection.disputed_items([*texts[:29], "t0"], rewards, 100)) == 29
    pairs = selection.disputed_pairs(texts, rewards, 12, seed=0)
    assert all({"t0", "t1"} & set(pair) for pair in pairs) and len(set(map(frozenset, pairs))) == 12
    again = selection.disputed_pairs(texts, rewards, 12, seed=0, asked=[(b, a) for a, b in pairs])
    assert not set(map(frozenset, pairs)) & set(map(frozenset, again))


def test_where_all_pairs_are_asked_nothing_is_left():
    texts, rewards = ["a", "b", "c"], np.zeros((2, 3))
    asked = [("a", "b"), ("b", "c"), ("c", "a")]
    assert selection.disputed_pairs(texts, rewards, 5, seed=0, asked=asked) == []
    assert len(selection.disputed_pairs(texts, rewards, 5, seed=0)) == 3


def test_a_curve_is_flat_when_the_last_rounds_gained_nothing():
    assert not selection.flat([0.6, 0.7, 0.8], patience=1)
    assert selection.flat([0.6, 0.8, 0.805], patience=1) and not selection.flat([0.6, 0.8, 0.805], patience=2)
    assert selection.flat([0.8, 0.7, 0.79], patience=2) and not selection.flat([0.8, 0.805], 1, tolerance=0.001)
    assert not selection.flat([0.8, 0.8], patience=2) and not selection.flat([0.8] * 9, patience=0)
    assert not selection.flat([], patience=1)


def test_a_segment_reads_as_moments_in_order():
    assert segments.join(["You turned."]) == "You turned."
    assert segments.join(["a.", "b\nThen: x.", "c."]) == "First: a. Then: b Then x. Then: c."
