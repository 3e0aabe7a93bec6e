"""Labels by people and models: kept whole, drawn fairly, measured rightly, and learnt from."""

import json
import math

import numpy as np
import pytest
from labelled_runs import answer_all, judged_run, made_up_run
from test_routes import knows

from plaudit.analysis import authors, sharpness
from plaudit.cli import main
from plaudit.config import RunConfig, from_dict, to_dict
from plaudit.errors import ConfigError, StoreError
from plaudit.labelling.plan import GAP, REPEATED, Plan, dispute, ordered
from plaudit.labels import Label, LabelBook, comparisons, file_name, oriented, read_labels
from plaudit.llms.scripted import ScriptedLLM
from plaudit.report.build import render
from plaudit.report.labels import JUDGE, judged, standings
from plaudit.stages import parts, run_stages
from plaudit.stages.label import LabelOptions, by_model, ensemble_spread
from plaudit.store import PEOPLE, Run, read_json, read_table, write_json
from plaudit.types import Comparison

PAIRS = [(f"a{i}", f"b{i}") for i in range(200)]


def test_a_label_is_on_the_disk_at_once_and_half_a_line_is_none(tmp_path):
    book = LabelBook(tmp_path, "person")
    first = book.add(left="a\n<b>", right="ü\udc80", answer="left", probability=1.0, seconds=2.5)
    book.add(left="a", right="c", answer="skip", probability=None)
    assert read_labels(tmp_path) == book.labels and book.labels[0].preference is not None
    with pytest.raises(StoreError, match="labelling this run in another"):
        LabelBook(tmp_path, "person")
    book.undo(first.id)
    book.close()
    path = tmp_path / PEOPLE / "person.jsonl"
    with path.open("ab") as file:
        file.write(b'{"id": 9, "author": "person", "le')  # as a kill leaves it
    assert [label.right for label in read_labels(tmp_path)] == ["c"]
    book = LabelBook(tmp_path, "person")
    again = book.add(left="a", right="d", answer="tie", probability=0.5)
    book.close()
    assert again.id == 3 and [label.right for label in read_labels(tmp_path)] == ["c", "d"]
    assert len(path.read_text().splitlines()) == 4 and all(map(json.loads, path.read_text().splitlines()))


def test_a_damaged_line_is_named_and_names_stay_apart(tmp_path):
    book = LabelBook(tmp_path, "A/B ü")
    book.add(left="a", right="b", answer="left", probability=1.0)
    book.close()
    assert (
        file_name("A/B ü") != file_name("A B u")
        and "/" not in file_name("../../etc")
        and "." not in file_name("..")[:1]
    )
    with book.path.open("a") as file:
        file.write('{"id": 2}\n')
    with pytest.raises(StoreError, match="line 2 is no label"):
        read_labels(tmp_path)


def sitting(plan, prefers=lambda left, right: 1.0):
    """The labels of somebody who answers all that comes."""
    given = []
    while task := plan.next(given):
        p = prefers(task.left, task.right)
        said = "skip" if p is None else "tie" if p == 0.5 else "left" if p > 0.5 else "right"
        given.append(Label(len(given) + 1, "p", "person", task.left, task.right, said, p, task.turn))
    return given


def test_a_plan_shows_each_pair_once_and_some_again_with_the_seats_swapped():
    plan = Plan(PAIRS, 150, seed=3)
    expected = plan.counts([])[1]
    given = sitting(plan)
    first = {label.pair: i for i, label in enumerate(given) if not label.turn}
    again = {label.pair: i for i, label in enumerate(given) if label.turn}
    assert len(first) == 150 and len(given) == expected == 150 + len(again)
    assert 0.5 * REPEATED < len(again) / 150 < 1.5 * REPEATED
    for pair, i in again.items():
        assert (given[i].left, given[i].right) == (given[first[pair]].right, given[first[pair]].left)
    assert np.mean([again[p] - first[p] > GAP for p in again]) > 0.8, "only the last ones may come back sooner"
    assert 0.4 < np.mean([label.left.startswith("a") for label in given]) < 0.6, "seats are drawn by a coin"
    others = Plan(PAIRS, 150, seed=4)
    assert 0.3 < np.mean([others.task(p, 0) == plan.task(p, 0) for p in others.pairs]) < 0.7


def test_what_comes_next_follows_from_the_labels_alone():
    given = sitting(Plan(PAIRS, 40, seed=0))
    for cut in range(len(given)):
        task = Plan(PAIRS, 40, seed=0).next(given[:cut])
        assert (task.left, task.right, task.turn) == (given[cut].left, given[cut].right, given[cut].turn)
    assert not any(label.turn for label in sitting(Plan(PAIRS, 40, seed=0), lambda a, b: None)), (
        "a skip does not return"
    )


def test_disputed_pairs_come_first_uniform_ones_do_not():
    sure = [Comparison(f"a{i}", f"b{i}", "ok", 0.9, 0.9, 0.9) for i in range(50)]
    torn = [Comparison(f"c{i}", f"d{i}", "ok", 0.6, 0.99, 0.21) for i in range(5)]
    failed = [Comparison("e", "f", "error", None)]
    drawn = ordered(sure + torn + failed, "disputed", 0)
    assert {min(p)[0] for p in drawn[:5]} == {"c"} and len(drawn) == 55
    assert {min(p)[0] for p in ordered(sure + torn, "uniform", 0)[:5]} != {"c"}
    assert dispute(Comparison("a", "b", "ok", 0.55), None) > dispute(Comparison("a", "b", "ok", 0.9), None)
    with pytest.raises(ConfigError, match="nothing to label"):
        ordered(failed, "uniform", 0)


def test_agreement_and_kappa_by_hand():
    keys = [oriented(*p) for p in PAIRS[:10]]
    one = authors.Author("x", "judge", dict(zip(keys, [0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9], strict=True)))
    two = authors.Author(
        "y", "person", dict(zip(keys, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.5], strict=True))
    )
    found = authors.concord(one, two)
    assert (found.pairs, found.decided, found.same) == (10, 8, 6)
    assert found.half == pytest.approx((6 + 2 * 0.5) / 10)
    # Observed 7 of 10; by chance 0.5 * 0.4 + 0.4 * 0.4 + 0.1 * 0.2 = 0.38.
    assert found.kappa == pytest.approx((0.7 - 0.38) / (1 - 0.38))
    z, p, n = 1.959964, 0.75, 8
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert found.low == pytest.approx(centre - half, abs=1e-6) and found.high == pytest.approx(centre + half, abs=1e-6)
    assert authors.kappa([(1, 1)] * 3) is None and authors.wilson(0, 0) == (None, None)


def test_a_person_who_goes_by_the_seat_is_found_out():
    always_a = authors.label_authors(sitting(Plan(PAIRS, 100, seed=0)))[0]
    steady = authors.label_authors(sitting(Plan(PAIRS, 100, seed=0), lambda left, right: float(left[0] == "a")))[0]
    assert always_a.named[0] == always_a.named[1] >= 100 and always_a.repeated[0] == 0 < always_a.repeated[1]
    assert 0.35 < steady.named[0] / steady.named[1] < 0.65 and steady.repeated[0] == steady.repeated[1]
    assert all(value == float(pair[0][0] == "a") for pair, value in steady.opinions.items())


@pytest.mark.parametrize(("truth", "low", "high"), [(0.4, 0.25, 0.55), (2.0, 1.5, 2.7), (-1.0, 0.0, 0.0)])
def test_the_sharpness_of_a_judge_is_found(truth, low, high):
    rng = np.random.default_rng(0)
    keys = [oriented(f"a{i}", f"b{i}") for i in range(1500)]
    odds = rng.normal(0, 1.5, len(keys))
    judge = dict(zip(keys, (1 / (1 + np.exp(-odds))).tolist(), strict=True))
    person = dict(
        zip(keys, (rng.random(len(keys)) < 1 / (1 + np.exp(-truth * odds))).astype(float).tolist(), strict=True)
    )
    found = sharpness.calibration(judge, person, resamples=40)
    assert low <= found.sharpness <= high and found.low <= found.sharpness <= found.high
    assert found.log_loss_fitted < found.log_loss
    few = sharpness.calibration(judge, dict(list(person.items())[:10]))
    assert few.sharpness is None and few.pairs == 10
    assert sharpness.calibration(judge, {}) is None


def test_labels_of_both_orders_become_one_comparison():
    there = Label(1, "m", "model", "a", "b", "left", 0.9)
    back = Label(2, "m", "model", "b", "a", "left", 0.7, turn=1)
    (c,) = comparisons([there, back])
    p = c.probability if c.first == "a" else 1 - c.probability
    assert p == pytest.approx((0.9 + 0.3) / 2) and c.flipped
    failed = Label(3, "m", "model", "a", "b", "unparsed", None)
    assert comparisons([there, failed])[0].status == "unparsed" and comparisons([]) == []


# ------------------------------------------------------------------------------------------------- fits and models


def test_labels_change_the_fit_and_only_where_it_asks_for_them(tmp_path):
    run = judged_run(tmp_path / "judge", ("collect", "annotate", "fit"))
    (run.folder / "collect" / "truth.parquet").rename(tmp_path / "truth")  # nothing that makes a reward reads it
    contrary = {(c.first, c.second): 1.0 - round(c.probability) for c in judged(run)}
    answer_all(run, lambda a, b: contrary[a, b])
    assert run.finished("fit") is not None, "the judge's fit does not rest on labels"

    def fitted(name, **fit):
        config = from_dict(
            RunConfig, to_dict(run.config) | {"fit": {"steps": 30, "labels_from": str(run.folder)} | fit}
        )
        other = Run.create(tmp_path / name, config)
        for stage in ("collect", "annotate"):
            (other.folder / stage).symlink_to(run.folder / stage)
            other.finish(stage, 1.0)
        run_stages(other, ("fit",))
        return other, {row["text"]: row["reward"] for row in read_table(other.folder / "fit" / "rewards.parquet")}

    def rho(rewards, others):
        return np.corrcoef(list(rewards.values()), [others[t] for t in rewards])[0, 1]

    by_judge = {row["text"]: row["reward"] for row in read_table(run.folder / "fit" / "rewards.parquet")}
    by_person_run, by_person = fitted("by-person", labels="person")
    assert rho(by_judge, by_person) < -0.5, "a person who says the opposite of the judge turns the reward round"
    assert by_person_run.finished("fit")["summary"]["person_pairs"] > 100
    both, mixed = fitted("both", labels="both", calibrate=True)
    assert both.finished("fit")["summary"]["sharpness"] == 0.0 and rho(mixed, by_person) > 0.5
    book = LabelBook(run.folder, "somebody else")
    left, right = next(iter(contrary))
    book.add(left=left, right=right, answer="tie", probability=0.5)
    book.close()
    assert both.finished("fit") is None and by_person_run.finished("fit") is None
    run_stages(both, ("fit",))
    assert both.finished("fit")


def test_a_fit_without_labels_says_how_to_get_them(tmp_path):
    run = judged_run(tmp_path / "r", fit={"steps": 30, "labels": "person"})
    with pytest.raises(ConfigError, match="plaudit label"):
        run_stages(run, ("fit",))
    book = LabelBook(run.folder, "person")
    book.add(left="from another", right="world", answer="left", probability=1.0)
    book.close()
    with pytest.raises(ConfigError, match="about what this run has seen"):
        run_stages(run, ("fit",))


@pytest.mark.parametrize("route", ["scalar", "code"])
def test_only_pairs_are_fitted_to_labels(capsys, tmp_path, monkeypatch, route):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "doorkey", "--route", route, "--fit.labels", "person"]) == 2
    assert "only the route preference" in capsys.readouterr().err


def test_a_second_model_stands_beside_person_judge_and_world(tmp_path, monkeypatch, capsys):
    run = judged_run(tmp_path / "r")
    pairs = answer_all(run, lambda a, b: 1.0 if "hold the key" in a else 0.0, selection="uniform")[:5]
    assert pairs
    same = ScriptedLLM(score=knows, name="twin")
    biased = ScriptedLLM(score=lambda r: [0.0, -9.0], name="biased")
    broken = ScriptedLLM(score=knows, failure_rate=0.5, name="broken")
    for model, more in (
        (same, []),
        (biased, ["--judge.protocol", "pairwise"]),
        (broken, ["--judge.protocol", "pairwise"]),
    ):
        monkeypatch.setattr(parts, "make_llm", lambda config, model=model: model)
        assert main(["label", str(run.folder), "--by", "x.gguf", "--pairs", "60", *more]) == 0
    said = capsys.readouterr().out
    assert (
        "label: 120 in" in said
        and "twin" in said
        and "the world" in said
        and "biased pairwise prefers the first seat" in said
    )
    (standing,) = standings(run)
    by_name = {author.name: author for author in standing.authors}
    assert [a.name for a in standing.authors][:2] == [JUDGE, "person"]
    assert standing.concord[JUDGE, "twin pointwise"].share == 1.0 and len(by_name["twin pointwise"].opinions) == 60
    assert by_name["twin pointwise"].named == (0, 0), "a model that is asked about one at a time has no seat to prefer"
    assert by_name["biased pairwise"].named == (120, 120) and by_name["biased pairwise"].repeated == (0, 60)
    assert (
        by_name["broken pairwise"].failed > 20
        and len(by_name["broken pairwise"].opinions) + by_name["broken pairwise"].failed == 60
    )
    assert 0.5 < standing.concord[JUDGE, "the world"].share <= 1
    assert standing.calibration["person"].pairs == len(by_name["person"].opinions)
    assert main(["label", str(run.folder), "--show"]) == 0


def test_a_second_model_does_not_get_the_judges_adapter(tmp_path, monkeypatch):
    run = judged_run(tmp_path / "r")
    record = read_json(run.folder / "run.json")
    record["config"]["llm"] |= {"adapter": "/its/own.gguf"}
    write_json(run.folder / "run.json", record)
    monkeypatch.setattr(Run, "require", lambda run, stage: run.folder / stage)
    asked = []
    second = ScriptedLLM(score=knows, name="second")
    monkeypatch.setattr(parts, "make_llm", lambda config: asked.append((config.model, config.adapter)) or second)
    by = ["label", str(run.folder), "--by", "x.gguf", "--pairs", "5"]
    assert main(by) == 0 and main([*by, "--llm.adapter", "other.gguf"]) == 0
    by_model(Run.open(run.folder), "y.gguf", LabelOptions(pairs=5))
    assert asked == [("x.gguf", ""), ("x.gguf", "other.gguf"), ("y.gguf", "")]


def test_disputed_labels_are_kept_apart(tmp_path):
    run = judged_run(tmp_path / "r", ("collect", "annotate", "fit"))
    spread = ensemble_spread(run, judged(run))
    assert set(spread) == set(ordered(judged(run), "uniform", 0)) and 0 < max(spread.values()) <= 0.5
    first = ordered(judged(run), "disputed", 0, spread)[0]
    assert spread[first] == max(spread.values())
    answer_all(run, lambda a, b: 0.5, selection="disputed")
    (standing,) = standings(run)
    assert standing.selection == "disputed" and standing.calibration["person"].sharpness is None


def test_the_report_is_made_anew_and_tells_it(tmp_path):
    from test_report import WINS, make_run

    from plaudit.report.build import report

    run = make_run(tmp_path / "r", WINS, pointwise=False)
    report(run)
    assert run.finished("report") and "people and other models" not in render(run)
    answer_all(run, lambda a, b: 0.0)
    assert run.finished("report") is None and run.finished("evaluate")
    html = render(run)
    assert "Do people and other models agree with the judge?" in html and "Cohen's κ" in html
    # The judge says that the second is better in all but one tie and one failure, as this person does.
    assert "100% (88% to 100%) of 28" in html
    book = LabelBook(run.folder, "<script>alert(1)</script>")
    book.add(left="x", right="y", answer="left", probability=1.0)
    book.close()
    assert "<script>alert(1)" not in render(run)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "give the folder of one run"),
        (("RUN", "--pairs", "many"), "--pairs takes a whole number"),
        (("RUN", "--select", "all"), "uniform or disputed"),
        (("RUN", "--judge.protocol", "scale"), "only behind --by"),
        (("RUN", "--as", "the judge"), "a person's name"),
        (("RUN", "--port", "99999"), "cannot be had"),
        (("RUN", "--by", "absent.gguf"), "absent.gguf"),
    ],
)
def test_what_is_wrong_is_said(capsys, tmp_path, words, says):
    run = made_up_run(tmp_path / "r", ["one", "two", "three"])
    assert main(["label", *(str(run.folder) if word == "RUN" else word for word in words or ("--show",))]) in (2, 5)
    assert says in capsys.readouterr().err
