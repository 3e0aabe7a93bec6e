"""The page of a teaching: figures that its tables bear out, limits that few items cannot keep, hostile texts."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from browser import HOSTILE, Page, assert_fits_and_is_quiet, headline

pytest.importorskip("torch")
pytest.importorskip("peft")

import taught_models
import tiny_models

from plaudit.cli import main
from plaudit.config import LLMConfig, WorldConfig
from plaudit.finetune.outcome import Loss, gain, outcome
from plaudit.finetune.paired import independent, mean_difference, of_two, share
from plaudit.finetune.report import render
from plaudit.finetune.run import STAGES, Finetune, finetune
from plaudit.finetune.settings import AskConfig, DataConfig, FinetuneConfig, LoraConfig, MeasureConfig
from plaudit.intervals import wilson
from plaudit.report.words import percent
from plaudit.store import read_table, write_table


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A folder with all stages, of a model without any skill; what it forgets is made up."""
    folder = tmp_path_factory.mktemp("taught")
    config = FinetuneConfig(
        world=WorldConfig("wordle", size=100),
        llm=LLMConfig(model=f"transformers:{tiny_models.make_text(folder / 'tiny')}"),
        data=DataConfig(kinds=("compare", "progress"), examples=40, steps=1500),
        ask=AskConfig(prompt="pointwise-b"),
        lora=LoraConfig(kinds=("compare", "progress"), steps=2, rank=2, kl=0.0),
        measure=MeasureConfig(every=100),
    )
    run = finetune(config, folder / "f", STAGES[:3])
    taught_models.measure(run)
    return finetune(config, folder / "f")


@pytest.fixture
def copy(taught, tmp_path):
    return Finetune.open(shutil.copytree(taught.folder, tmp_path / "f"))


def test_the_page_says_what_the_tables_say(taught):
    found = outcome(taught)
    rows = read_table(taught.folder / "train/answers.parquet")
    kept = read_table(taught.folder / "data/held_out.parquet")
    assert [row["kind"] for row in rows] == [kept[row["place"]]["kind"] for row in rows]
    assert [row["ended"] for row in rows] == [any(kept[row["place"]]["ended"]) for row in rows]
    assert {row["ended"] for row in rows} == {True, False}  # games that were won, among others
    compare = [row for row in rows if row["kind"] == "compare"]
    after = sum(row["right_after"] for row in compare) / len(compare)
    assert found.gains[0].name == "compare" and found.gains[0].after == pytest.approx(after)
    unended = [row for row in compare if not row["ended"]]
    assert found.open_gains and found.open_gains[0].n == len(unended) < len(compare)
    assert sum(each.n for each in found.apart) == len(compare)
    for row in rows:
        right = 0.5 if row["margin_after"] == 0 else float(row["margin_after"] > 0)
        assert row["right_after"] == right
    html = (taught.folder / "report.html").read_text()
    assert percent(after, 1) in headline(html) and percent(found.gains[0].before, 1) in headline(html)
    text = Page(html).text
    assert "perplexity of English" in text and "judging other worlds" in text and "Only every 100th item" in text
    assert kept[compare[0]["place"]]["first"] in text  # a judgement with its texts
    assert "no GGUF file, so there was nothing to hand over" in text
    assert taught.record["command"] in text and "MB in memory" in text


def test_missing_stages_are_said_to_be_missing(copy, capsys):
    for name in ("measure", "export"):
        shutil.rmtree(copy.folder / name)
    assert main(["report", str(copy.folder)]) == 0
    text = Page((copy.folder / "report.html").read_text()).text
    assert "the stage “measure” has not run" in text and "the stage “export” has not run" in text
    assert "Held-out pairs judged rightly" in text
    shutil.rmtree(copy.folder / "train")
    text = Page(render(copy)).text
    assert "nothing has been taught yet" in text and "the stage “train” has not run" in text
    shutil.rmtree(copy.folder / "data")
    assert "No examples have been made" in Page(render(copy)).text


def test_data_without_ends_of_episodes_are_said_not_to_tell(copy):
    path = copy.folder / "train/answers.parquet"
    known = ("kind", "right_before", "right_after", "loss_before", "loss_after")
    write_table(path, [{key: row[key] for key in known} for row in read_table(path)])  # as an older plaudit wrote it
    text = Page(render(copy)).text
    assert "do not tell which states end an episode" in text and "which example each one is of" in text


def test_gains_by_hand():
    rows = [
        {"kind": "next", "right_before": before, "right_after": after}
        for before, after in ((1.0, 1.0), (0.0, 1.0), (0.0, 1.0), (1.0, 0.0))
    ]
    found = gain("next", rows)
    assert (found.before, found.after, found.difference, found.gained, found.lost) == (0.5, 0.75, 0.25, 2, 1)
    assert found.after_interval == pytest.approx((0.3006, 0.9544), abs=1e-3)  # Wilson's, 3 of 4
    assert found.interval[0] < 0.25 < found.interval[1]


def pairs(near, far, before, after):
    return [
        {"kind": "compare", "answer": "A", "first": f"n{a}", "second": f"f{b}", "right_before": x, "right_after": y}
        for a, b, x, y in zip(near, far, before, after, strict=True)
    ]


def test_pairs_that_share_either_text_count_for_less():
    assert independent([1, 0, 1, 0], list("abcd")) == 4
    assert independent([1, 1, 0, 0], list("aabb")) == 1  # two texts tell nothing of a third
    assert independent([1, 1, 1, 1], list("aabc")) == 3
    places, few, right = range(60), [i % 6 for i in range(60)], [float(i % 6 > 2) for i in range(60)]
    alone, nearer, farther = (
        gain("compare", pairs(*seats, right, [1.0] * 60)) for seats in ((places, places), (few, places), (places, few))
    )
    assert alone.before_interval == pytest.approx(wilson(0.5, 60))
    assert nearer.before_interval == pytest.approx(farther.before_interval) and nearer.before_interval[0] < 0.2
    assert nearer.interval == pytest.approx(farther.interval) and nearer.interval[0] < 0.1 < alone.interval[0]
    assert nearer.after_interval == farther.after_interval == wilson(1, 6)  # where all are alike: texts


def test_intervals_of_pairs_hold_the_truth():
    """A text that is hard to judge is so in every pair; 120 pairs of 12 nearer and 40 farther texts."""
    rng, held = np.random.default_rng(0), []
    near, far = rng.integers(0, 12, 120), rng.integers(0, 40, 120)
    blocks = [of_two(f"n{a}", f"f{b}") for a, b in zip(near, far, strict=True)]
    for _ in range(200):
        hard, far_hard = rng.normal(size=(2, 40))
        right = (hard[near] + far_hard[far] + rng.normal(size=120) > 0).astype(float)
        ends = (*share(right, blocks), *mean_difference(right - 0.5, blocks))
        held.append((ends[0] <= 0.5 <= ends[1], ends[2] <= 0 <= ends[3]))
    assert np.mean(held, axis=0).min() > 0.92


def test_few_draws_say_little_about_another():
    items, rng = [str(i) for i in range(100)], np.random.default_rng(0)
    alike = np.tile(rng.random(100) < 0.8, (3, 1)).astype(float)
    apart = np.array([rng.random(100) < p for p in (0.6, 0.8, 1.0)], float)
    assert share(alike, items) == pytest.approx(wilson(alike.mean(), 100), abs=0.01)
    (low, high), (lower, higher) = share(apart, items), mean_difference(apart - 0.8, items)
    assert low < 0.4 < 0.9 < high and lower < -0.3 and higher > 0.3


def test_examples_in_the_prompt_are_on_the_page(copy):
    path = copy.folder / "measure/stage.json"
    record = json.loads(path.read_text())
    told = {"kind": "compare", "model": "base", "shots": 16, "draws": 3, "asked": 77, "right": 0.625, "chance": 0.5}
    record["summary"]["shots"] = [told | {"interval": [0.5, 0.75], "tokens": 1234.0}]
    path.write_text(json.dumps(record))
    text = Page(render(copy)).text
    assert "In the prompt, or taught" in text and "62.5%" in text and "1,234" in text


@pytest.mark.parametrize(
    ("limit", "interval", "items", "verdict"),
    [
        (0.05, (0.01, 0.04), 100, "kept"),
        (0.05, (0.01, 0.06), 100, "not settled"),
        (0.05, (0.06, 0.09), 100, "broken"),
        (-0.02, (-0.01, 0.03), 900, "kept"),
        (-0.02, (-0.03, 0.01), 900, "not settled"),
        (-0.02, (-0.09, -0.03), 900, "broken"),
        (-0.02, (0.0, 0.0), 40, "not settled"),  # nothing changed, of too few to be sure
        (-0.02, (0.0, 0.0), 300, "kept"),
        (-0.02, (0.0, 0.07), 40, "not settled"),  # nor was any lost
        (-0.02, (-0.01, 0.03), 100, "kept"),  # some were lost and some gained, which the interval knows
    ],
)
def test_a_limit_is_kept_by_the_whole_interval(limit, interval, items, verdict):
    assert Loss("x", sum(interval) / 2, interval, limit, items).verdict == verdict


@pytest.fixture(scope="module")
def hostile(taught, tmp_path_factory):
    """Every text of the data is hostile."""
    folder = shutil.copytree(taught.folder, tmp_path_factory.mktemp("hostile") / ("f" * 60))
    path = folder / "data/held_out.parquet"
    words = ("goal", "first", "second", "observation", "answer")
    write_table(path, [row | {key: HOSTILE for key in words if key != "answer"} for row in read_table(path)])
    record = json.loads((folder / "run.json").read_text()) | {"command": HOSTILE, "machine": HOSTILE}
    (folder / "run.json").write_text(json.dumps(record))
    page = folder / "report.html"
    page.write_text(render(Finetune.open(folder)))
    return page


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_quiet(chromium, hostile, width):
    assert_fits_and_is_quiet(chromium, hostile, width, dark=width == 390)


def test_hostile_text_stays_text(hostile):
    page = Page(hostile.read_text())
    assert [tag for tag, _ in page.tags].count("script") == 2 and not any("onerror" in attrs for _, attrs in page.tags)
    assert "<script>window.hacked=1</script>" in page.text


def test_the_last_stage_is_the_report(taught):
    assert STAGES[-1] == "report" and taught.finished("report")["files"] == ["report.html"]
