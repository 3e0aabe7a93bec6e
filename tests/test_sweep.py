"""Sweeps: one setting at a time, data and the base's answers made once, a cell that fails, going on, the page."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from browser import HOSTILE, Page, assert_fits_and_is_quiet, headline

pytest.importorskip("torch")
pytest.importorskip("peft")

import taught_models
import tiny_models

from plaudit.cli import main
from plaudit.cli_words import take_sweep
from plaudit.config import LLMConfig, WorldConfig
from plaudit.errors import ConfigError, StoreError
from plaudit.finetune import handover, run, teach
from plaudit.finetune import sweep as sweeping
from plaudit.finetune.settings import AskConfig, DataConfig, FinetuneConfig, LoraConfig
from plaudit.finetune.sweep import Figures, Sweep, axis, cells, sweep
from plaudit.finetune.sweep_report import render, summed
from plaudit.store import folder_lock, read_json, read_table, write_json

CENTRE = FinetuneConfig(
    world=WorldConfig("doorkey", size=5),
    data=DataConfig(kinds=("compare", "progress"), examples=10, steps=2000),
    ask=AskConfig(prompt="pointwise-b"),
    lora=LoraConfig(steps=1, batch=1, rank=2, kl=0.0),
)


def test_words_become_settings():
    assert axis("lora.rank=8,32,2", CENTRE).values == (2, 8, 32)  # in order
    assert axis("lora.rank=8,32", CENTRE).values == (2, 8, 32)  # with the centre's own
    assert axis("lora.replay=0,0.1", CENTRE).values == (0.0, 0.1)
    kinds = axis("lora.kinds=compare,action,compare+action", CENTRE)
    assert kinds.values == (("compare",), ("action",), ("compare", "action"))
    names = [cell.name for cell in cells(CENTRE, [axis("lora.rank=2,8", CENTRE), kinds])]
    assert names == ["centre", "lora.rank=8", "lora.kinds=action", "lora.kinds=compare+action"]
    close = axis("lora.learning_rate=0.00012345678,0.00012345679,1e-05", CENTRE)
    assert len({cell.folder(0) for cell in cells(CENTRE, [close])}) == 4
    words = ["wordle", "--sweep", "lora.rank=2,8", "--sweep=lora.kl=0,1", "--seeds", "3", "--seed", "5"]
    assert take_sweep(words) == (["wordle", "--seed", "5"], ["lora.rank=2,8", "lora.kl=0,1"], 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lora.rank", "takes SECTION.SETTING=VALUE"),
        ("lora.rnak=2", "Did you mean 'lora.rank'"),
        ("seed=1,2", "takes SECTION.SETTING"),
        ("arms.seeds=1,2", r"arms\.seeds is of --arms"),
        ("lora.rank=two", "takes numbers"),
        ("lora.rank=0,2", r"lora\.rank=0: lora\.rank must be at least 1"),
        ("lora.kinds=compare,compere", "lora.kinds=compere"),
        ("data.progress=never", "takes one of"),
        ("ask.prompt=a/b.txt,a_b.txt", "would have the same folder"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_runs(text, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        sweep(CENTRE, [axis(text, CENTRE)], 1, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_options_that_do_not_go_together(capsys):
    assert main(["finetune", "doorkey", "--seeds", "3"]) == 2
    assert main(["finetune", "doorkey", "--sweep", "lora.rank=2", "--data-only"]) == 2
    assert "do not go together" in capsys.readouterr().err


@pytest.fixture
def counted(monkeypatch):
    """What was asked of the base, and for whom data were made."""
    told = {"data": [], "ask before": 0}
    answered, data = teach.answered, run.data

    def ask(llm, asked, samples, what, part_tokens):
        told[what] = told.get(what, 0) + 1
        return answered(llm, asked, samples, what, part_tokens)

    def make(folder):
        told["data"].append(folder.config.seed)
        data(folder)

    monkeypatch.setattr(teach, "answered", ask)
    monkeypatch.setattr(run, "data", make)
    monkeypatch.setattr(handover, "measure", taught_models.measure)
    return told


def test_cells_share_what_is_the_same_and_one_that_fails_costs_no_other(tmp_path, counted, capsys):
    model = tiny_models.make_text(tmp_path / "tiny")
    centre = replace(CENTRE, llm=LLMConfig(model=f"transformers:{model}"))
    axes = [axis("lora.rank=2,4", centre), axis("lora.examples=0,99", centre)]
    work = sweep(centre, axes, 2, tmp_path / "s")
    assert counted["data"] == [0, 1]  # once for each seed
    assert counted["ask before"] == 2 and counted["ask after"] == 4  # of 6 cells two fail before
    said = capsys.readouterr().out
    assert "[6/6] lora.examples=99, seed 1" in said and " left" in said
    assert set(work.failed) == {("lora.examples=99", 0), ("lora.examples=99", 1)}
    rows = read_table(tmp_path / "s/sweep.parquet")
    assert [row["status"] for row in rows] == ["done", "done", "failed"] * 2
    assert "99 of compare are wanted" in rows[2]["reason"] and rows[2]["skill_after"] is None
    data = [(tmp_path / "s" / row["folder"] / "data/held_out.parquet").read_bytes() for row in rows]
    assert data[0] == data[1] == data[2] != data[3] == data[4]
    times = [read_json(tmp_path / "s" / row["folder"] / "data/stage.json")["seconds"] for row in rows]
    assert times[0] > 0 and times[1] == times[2] == 0  # what another cell had made costs nothing
    shares = [read_table(tmp_path / "s" / row["folder"] / "train/answers.parquet") for row in rows[:2]]
    assert [r["right_before"] for r in shares[0]] == [r["right_before"] for r in shares[1]]
    after = sum(r["right_after"] for r in shares[1]) / len(shares[1])
    assert rows[1]["skill_after"] == pytest.approx(after)
    assert rows[0]["general"] == pytest.approx(-3 / 40) and rows[0]["worlds"] == pytest.approx(-3 / 40)
    assert [(row["examples"], row["seen"]) for row in rows[:2]] == [(10, 1), (10, 1)]  # one step of one
    assert read_json(tmp_path / "s" / rows[0]["folder"] / "train/stage.json")["summary"]["seen"] == 1
    assert "1 were seen" in Page((tmp_path / "s" / rows[0]["folder"] / "report.html").read_text()).text
    assert (tmp_path / "s/sweep.csv").read_text().count("\n") == 7
    text = Page((tmp_path / "s/sweep.html").read_text()).text
    assert "2 of 6 failed" in text and "lora.rank=4" in text
    # The same again: what is done is skipped, what failed is tried again; another seed may be added, another centre not.
    sweep(centre, axes, 2, tmp_path / "s")
    assert capsys.readouterr().out.count("finished before, skipped\n[") == 4 and counted["ask after"] == 4
    with pytest.raises(StoreError, match=r"lora\.steps: 1 -> 9"):
        sweep(replace(centre, lora=replace(centre.lora, steps=9)), axes, 2, tmp_path / "s")
    with pytest.raises(StoreError, match="no sweep"):
        sweep(centre, axes, 2, shutil.copytree(model, tmp_path / "other"))


@pytest.fixture
def cheap(monkeypatch):
    """A teaching that is never finished; returns the cells' folders that were tried."""
    tried = []

    def teach_nothing(config, path, shared):
        tried.append(path.name)

    monkeypatch.setattr(sweeping, "finetune", teach_nothing)
    return tried


def test_a_damaged_cell_costs_no_other(tmp_path, cheap):
    axes = [axis("lora.rank=2,4,8", CENTRE)]
    sweep(CENTRE, axes, 1, tmp_path / "s")
    (tmp_path / "s/cells/lora.rank=4-seed0/run.json").write_text("{")
    damaged = tmp_path / "s/cells/centre-seed0/data/stage.json"
    damaged.parent.mkdir()
    damaged.write_text("{")
    cheap.clear()
    work = sweep(CENTRE, axes, 1, tmp_path / "s")
    assert {cell: reason.partition(":")[0].rpartition("/")[2] for (cell, _), reason in work.failed.items()} == {
        "centre": "stage.json cannot be read",
        "lora.rank=4": "run.json cannot be read",
    }
    assert cheap == ["lora.rank=8-seed0"]
    assert [row["status"] for row in read_table(tmp_path / "s/sweep.parquet")] == ["failed", "failed", "waiting"]


def test_what_is_finished_and_cannot_be_read_has_failed(tmp_path, cheap, monkeypatch):
    monkeypatch.setattr(run.Finetune, "finished", lambda self, name: {"files": [], "seconds": 0.0, "summary": {}})
    work = sweep(CENTRE, [axis("lora.rank=2,4", CENTRE)], 1, tmp_path / "s")
    assert len(work.failed) == 2 and "answers.parquet" in work.failed["centre", 0] and not cheap
    assert [row["status"] for row in read_table(tmp_path / "s/sweep.parquet")] == ["failed", "failed"]


def test_a_second_command_in_the_same_folder(tmp_path, cheap, capsys):
    sweep(CENTRE, [axis("lora.rank=2,4", CENTRE)], 1, tmp_path / "s")
    kept = (tmp_path / "s/sweep.json").read_text()
    with folder_lock(tmp_path / "s"), pytest.raises(StoreError, match="at work"):
        sweep(CENTRE, [axis("lora.batch=1,2", CENTRE)], 1, tmp_path / "s")
    assert (tmp_path / "s/sweep.json").read_text() == kept  # a refused one changes nothing
    capsys.readouterr()
    sweep(replace(CENTRE, llm=LLMConfig(threads=1)), [axis("lora.rank=2,4", CENTRE)], 1, tmp_path / "s")  # pace only
    assert "not in this table" not in capsys.readouterr().out
    sweep(CENTRE, [axis("lora.batch=1,2", CENTRE)], 1, tmp_path / "s")
    assert "not in this table (1, such as lora.rank=4-seed0)" in " ".join(capsys.readouterr().out.split())


def made_up(work: Sweep, seeds: int) -> list[Figures]:
    """Each cell gains 10 points more than the one before, and a point for each seed."""
    rows = []
    for seed in range(seeds):
        for number, cell in enumerate(work.cells):
            after = 0.6 + 0.1 * number + 0.01 * seed
            rows.append(
                Figures(
                    cell.name, seed, cell.folder(seed), "done", "", 0.5, after, 0.5, after - 0.1, 0.01 * number,
                    -0.01 * number, None, 40, 20, 8, 1.0, 2.0, 100,
                )
            )  # fmt: skip
    return rows


def test_figures_are_put_together_over_seeds(tmp_path):
    work = Sweep(tmp_path / "s", CENTRE, [axis("lora.rank=2,8,32", CENTRE), axis("lora.replay=0,0.1", CENTRE)], 3)
    centre, eight, *_ = summed(work, made_up(work, 3))
    assert centre.over["gained"].point == pytest.approx(0.11) and centre.over["gained"].kind == "range"
    assert (centre.over["gained"].low, centre.over["gained"].high) == pytest.approx((0.10, 0.12))
    assert eight.against["gained"].point == pytest.approx(0.1) and eight.short == "rank 8"
    assert centre.over["worlds"] is None  # not measured, and not 0
    work.create()
    html = render(work, made_up(work, 3))
    assert headline(html).startswith("The centre gains +11.0 points")
    text = Page(html).text
    assert "with fewer than 5 seeds done the lowest and the highest seed" in text and "lora.replay=0.1" in text
    assert "95% bootstrap" not in text
    assert html.count("lora.rank 32: ") >= 2  # on the dots of its plots


def test_cells_that_are_asked_other_questions_are_not_set_against_the_centre(tmp_path):
    work = Sweep(
        tmp_path / "s", CENTRE, [axis("lora.kinds=compare,progress", CENTRE), axis("lora.rank=2,8", CENTRE)], 3
    )
    _, other, rank = summed(work, made_up(work, 3))
    assert other.name == "lora.kinds=progress" and other.against["gained"] is other.against["skill_after"] is None
    assert other.against["perplexity"].point == pytest.approx(0.01)  # English is asked of all
    assert rank.against["gained"].point == pytest.approx(0.2)
    work.create()
    assert "are asked other held-out examples" in Page(render(work, made_up(work, 3))).text


def test_a_page_says_what_the_seeds_that_are_done_allow(tmp_path):
    """Of a sweep under way that is asked for five seeds."""
    work = Sweep(tmp_path / "s", CENTRE, [axis("lora.rank=2,8", CENTRE)], 5)
    work.create()
    rows = [replace(row, skill_before=0.9 if row.seed == 4 else 0.5) for row in made_up(work, 5)]

    def page(done):
        return Page(render(work, [row if done(row) else replace(row, status="waiting") for row in rows])).text

    assert "One seed at most: no spread is known" in page(lambda row: row.seed < 1)
    assert "95% bootstrap" not in page(lambda row: row.seed < 2)
    both = page(lambda row: row.seed < 4 or row.cell == "centre")
    assert "95% bootstrap intervals over seeds; with fewer than 5 seeds done the lowest and the highest seed" in both
    assert "fewer than" not in (whole := page(lambda row: True))
    assert "58.0%" not in whole  # before, by the same rule as after: no mean of 58%


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Names and reasons are hostile, and cells many."""
    work = Sweep(tmp_path_factory.mktemp("s"), CENTRE, [axis("lora.rank=" + "1,2,3,4,5,6,7,8", CENTRE)], 2)
    rows = made_up(work, 2)
    work.create()
    rows[3] = Figures(rows[3].cell, 0, rows[3].folder, "failed", HOSTILE)
    page = work.folder / "sweep.html"
    page.write_text(render(work, rows))
    return page


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_quiet(chromium, hostile, width):
    assert_fits_and_is_quiet(chromium, hostile, width, dark=width == 390)


def test_examples_that_no_step_comes_to_are_told(tmp_path):
    centre = replace(CENTRE, lora=replace(CENTRE.lora, steps=30, batch=4, examples=100))
    work = Sweep(tmp_path / "s", centre, [axis("lora.examples=30,120,300,1000", centre)], 1)
    said = sweeping.unseen(work)
    assert said.startswith("warning: 30 steps of 4 see 120 different examples at most")
    assert "lora.examples=300 (300), lora.examples=1000 (1000);" in said and "--lora.steps 250" in said
    assert "=120" not in said and "centre" not in said
    assert not sweeping.unseen(Sweep(tmp_path / "s", centre, [axis("lora.examples=30,120", centre)], 1))
    assert not sweeping.unseen(Sweep(tmp_path / "s", CENTRE, [axis("lora.rank=2,8", CENTRE)], 1))
    work.create()
    rows = [
        replace(row, examples=count, seen=min(count, 120))
        for row, count in zip(made_up(work, 1), (100, 30, 120, 300, 1000), strict=True)
    ]
    text = Page(render(work, rows)).text
    assert (
        "Not all of these examples were seen: 120 of 300 in lora.examples=300; 120 of 1,000 in lora.examples=1000."
        in text
    )


def test_a_folder_whose_teaching_did_not_note_what_was_seen(tmp_path, counted):
    centre = replace(CENTRE, llm=LLMConfig(model=f"transformers:{tiny_models.make_text(tmp_path / 'tiny')}"))
    sweep(centre, [axis("lora.rank=2", centre)], 1, tmp_path / "s")
    path = tmp_path / "s/cells/centre-seed0/train/stage.json"
    noted = read_json(path)
    del noted["summary"]["seen"]
    write_json(path, noted)
    row = sweeping.figures(run.Finetune.open(tmp_path / "s/cells/centre-seed0"), ("centre", 0, "cells/centre-seed0"))
    assert (row.examples, row.seen) == (10, 1)


def test_time_left_is_read_at_a_glance():
    assert [sweeping._clock(seconds) for seconds in (5, 90, 3600, 9000)] == [
        "1 min",
        "2 min",
        "1 h 00 min",
        "2 h 30 min",
    ]
