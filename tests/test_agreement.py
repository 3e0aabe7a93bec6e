"""analyze agreement: planted judges (one who knows, a coin, a seat, the too sure) are told for what they are."""

import hashlib

import numpy as np
import pytest
from labelled_runs import answer_all, judged_run
from test_routes import knows, made, scripted  # noqa: F401  scripted is a fixture

from plaudit.analysis import reliability
from plaudit.analysis.reliability import Answers
from plaudit.analyze import rewards
from plaudit.analyze.agreement import Agreement
from plaudit.analyze.agreement_read import AgreementOptions
from plaudit.analyze.base import Subject
from plaudit.analyze.run import analyze
from plaudit.errors import ConfigError
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages import parts
from plaudit.types import Comparison


def random_pairs(rng, items, pairs):
    drawn = {tuple(rng.choice(items, 2, replace=False).tolist()) for _ in range(pairs)}
    return [(f"o{a}", f"o{b}") for a, b in drawn if (b, a) not in drawn]


def answers(said, true):
    return Answers([(f"a{i}", f"b{i}") for i in range(len(said))], np.asarray(said, float), np.asarray(true, float))


def seated(pairs, worth, bias, rng, noise=0.5):
    """Both orders of each pair: worth, plus and minus the seat, in log-odds."""
    sigmoid = lambda x: float(1 / (1 + np.exp(-x)))  # noqa: E731
    found = []
    for a, b in pairs:
        forward = sigmoid(worth[a] - worth[b] + bias + noise * rng.normal())
        backward = sigmoid(worth[a] - worth[b] - bias + noise * rng.normal())
        found.append(Comparison(a, b, "ok", (forward + backward) / 2, forward, backward))
    return found


@pytest.mark.parametrize("bias", [0.0, 0.7, -1.5])
def test_a_planted_seat_preference_is_recovered_within_its_interval(bias):
    inside = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        worth = {f"o{i}": float(v) for i, v in enumerate(rng.normal(size=30))}
        found = reliability.seating(seated(random_pairs(rng, 30, 120), worth, bias, rng))
        assert found.bias == pytest.approx(bias, abs=0.2)
        inside += found.bias_low <= bias <= found.bias_high
    assert inside >= 34, "an interval of 95% must hold the planted size about 38 times in 40"


def test_who_names_the_seat_alone_flips_always_and_an_honest_judge_never():
    rng, worth = np.random.default_rng(0), {f"o{i}": float(i) for i in range(20)}
    pairs = random_pairs(rng, 20, 80)
    assert reliability.seating(seated(pairs, dict.fromkeys(worth, 0.0), 3.0, rng)).flips.share == 1.0
    honest = reliability.seating(seated(pairs, {k: 9 * v for k, v in worth.items()}, 0.0, rng))
    assert honest.flips.share == 0.0
    assert 0.2 < honest.flips.high < 0.3, "twenty observations make ten pairs that share none"


def test_who_knows_scores_one_and_a_coin_one_half_inside_its_interval():
    rng, inside = np.random.default_rng(1), 0
    true = rng.integers(0, 2, 400)
    knower = reliability.accuracy(answers(np.where(true == 1, 0.9, 0.1), true))
    assert (knower.share, knower.high) == (1.0, 1.0)
    assert knower.low > 0.98
    for _ in range(40):
        coin = reliability.accuracy(answers(rng.random(400), true))
        inside += coin.low <= 0.5 <= coin.high
    assert inside >= 34


def test_pairs_that_share_observations_make_the_interval_wider():
    """Errors that sit in observations: each of 20 is misplaced or not, and all of its pairs with it."""
    rng, covered, naive = np.random.default_rng(2), 0, 0
    from plaudit.intervals import wilson

    for _ in range(60):
        quality = rng.normal(
            0, 1, 24
        )  # a pair is right the likelier, the better known its two are; the mean is one half
        pairs = [(f"o{a}", f"o{b}") for a in range(24) for b in range(a)]
        right = np.array(
            [
                float(rng.random() < 1 / (1 + np.exp(-2 * (quality[a] + quality[b]))))
                for a in range(24)
                for b in range(a)
            ]
        )
        share = reliability.share_of(pairs, right)
        covered += share.low <= 0.5 <= share.high
        low, high = wilson(share.share, len(pairs))
        naive += low <= 0.5 <= high
    assert covered >= 50
    assert naive < 35, "Wilson alone is too narrow here: else this test shows nothing"


def test_calibration_error_tells_true_probabilities_from_too_sure_ones():
    rng = np.random.default_rng(3)
    chance = rng.uniform(0, 1, 2000)
    true = (rng.random(2000) < chance).astype(float)
    honest, sure = answers(chance, true), answers(np.where(chance > 0.5, 0.99, 0.01), true)
    floor = reliability.error_of_the_calibrated(honest, 10)
    assert reliability.expected_calibration_error(honest, 10) < 2 * floor
    error = reliability.expected_calibration_error(sure, 10)
    low, high = reliability.error_interval(sure, 10)
    assert error == pytest.approx(0.24, abs=0.03)
    assert floor < low <= error <= high
    curve = reliability.calibration_curve(honest, 5)
    assert [round(b.middle, 1) for b in curve] == pytest.approx([0.55, 0.65, 0.75, 0.85, 0.95], abs=0.06)
    assert all(b.right.low - 0.02 <= b.middle <= b.right.high + 0.02 for b in curve)


def test_accuracy_grows_with_the_distance_where_errors_are_planted_in_near_pairs():
    rng = np.random.default_rng(4)
    far = rng.uniform(0, 1, 600)
    said = np.where((far > 0.4) | (rng.random(600) < 0.5), 0.9, 0.1)
    told = answers(said, np.ones(600))
    bins = reliability.by_distance(told, dict(zip(told.pairs, far.tolist(), strict=True)), 5)
    assert len(bins) == 5
    assert bins[0].right.low <= 0.5 <= bins[0].right.high
    assert bins[-1].right.share == 1.0
    assert sum(b.right.pairs for b in bins) == 600


def hashes(run):
    files = [p for p in run.folder.rglob("*") if p.is_file() and "analyze" not in p.relative_to(run.folder).parts]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def look(run, **options):
    subject = Subject(run.config, run.folder / "analyze" / "agreement", run)
    return analyze("agreement", subject, AgreementOptions(**options))


def test_a_run_with_a_person_and_a_second_way_of_asking(tmp_path, scripted):  # noqa: F811
    run = judged_run(tmp_path / "run", ("collect", "annotate", "fit"))
    good = lambda text: text.count("hold the key") + text.count("open door")  # noqa: E731
    answer_all(run, lambda a, b: 0.5 + 0.5 * np.sign(good(a) - good(b)))
    before = hashes(run)
    found = look(run, protocols=("pairwise",), asked=30)
    assert hashes(run) == before
    value = {m.name: m for m in found.measures}
    for who in ("the judge", "the fitted reward", "person", "asked by pairwise"):
        measure = value[f"{who} orders as the world does"]
        assert measure.low <= measure.value <= measure.high
        assert measure.chance == 0.5
    assert value["the judge orders as the world does"].low > 0.6
    assert value["asked by pairwise: verdict flips with the seats"].value == 0.0
    assert abs(value["asked by pairwise: worth of the first seat"].value) < 1e-9
    assert not any("that lesson carries" in warning for warning in found.warnings)
    titles = [t.title for t in found.tables]
    assert "Who agrees with whom" in titles and "How much the seat decides" in titles
    matrix = next(t for t in found.tables if t.title == "Who agrees with whom")
    assert any({row[0], row[1]} == {"the judge", "person"} and row[4] > 0.5 for row in matrix.rows)
    asked = sum(len(model.asked) for model in scripted)
    assert asked == 60, "30 pairs, both orders"
    again = look(run, protocols=("pairwise",), asked=30)
    assert [m.value for m in again.measures] == [m.value for m in found.measures]
    assert sum(len(model.asked) for model in scripted) == asked, "the ledger knew it all"


def test_a_judge_that_was_taught_by_the_world_is_said_to_be(tmp_path, monkeypatch):
    run = judged_run(tmp_path / "run", ("collect", "annotate"))
    monkeypatch.setattr(rewards.gguf_adapter, "taught", lambda llm, role: {"kinds": "progress"})
    assert any("taught (progress)" in warning and "that lesson carries" in warning for warning in look(run).warnings)


def test_a_seat_preference_of_known_size_is_found_through_the_whole_analysis(tmp_path, monkeypatch):
    run = judged_run(tmp_path / "run", ("collect", "annotate"))
    biased = ScriptedLLM(score=knows, position_bias=0.8, noise=0.3)
    monkeypatch.setattr(parts, "make_llm", lambda config: biased)
    found = look(run, protocols=("pairwise",), asked=80)
    worth = next(m for m in found.measures if m.name == "asked by pairwise: worth of the first seat")
    assert worth.low <= 0.8 <= worth.high
    assert worth.low > 0.6


def test_a_reward_program_orders_pairs_without_any_judge(tmp_path, scripted):  # noqa: F811
    found = look(made(tmp_path, "code"), pairs=500)
    (only,) = found.measures
    assert only.name == "the fitted reward orders as the world does"
    assert only.value > 0.6
    assert any("no seat" in warning for warning in found.warnings)


def test_a_run_without_opinions_is_told_what_to_do(tmp_path, scripted):  # noqa: F811
    run = made(tmp_path, "task", stages=("collect",))
    with pytest.raises(ConfigError, match="plaudit label"):
        look(run)
    assert Agreement.__doc__
