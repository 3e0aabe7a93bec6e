"""The annotation engine: what streams, what is asked once, what a bar shows, and what a shared ledger saves."""

import io
import itertools
import re
import tracemalloc

import numpy as np
import pytest
from rich.console import Console

from plaudit import console, prompts
from plaudit.budget import Budget
from plaudit.config import RunConfig, from_dict
from plaudit.errors import ConfigError
from plaudit.judging import base
from plaudit.judging.pairwise import Pairwise
from plaudit.judging.pointwise import Pointwise
from plaudit.llms.answers import Ledger
from plaudit.llms.base import Reply
from plaudit.llms.ledger import LedgerLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.routes import feedback
from plaudit.stages import arms, parts, run_stages
from plaudit.stages.calibrate import calibrate
from plaudit.stages.forecast import forecast
from plaudit.stages.play_actor import actor
from plaudit.store import Run, read_batches, read_table, table_writer, write_table
from plaudit.texts import Texts
from plaudit.types import Judgement

SMALL = {"world": {"size": 5}, "collect": {"steps": 3200, "num_envs": 16}, "fit": {"steps": 20}}


def worth(text):
    return sum(map(ord, text)) % 97 / 20


def score(request):
    """Some order of the texts, the same whichever way they are asked."""
    asked = request.prompt.rsplit("Goal:", 1)[1]
    if request.answers == (" A", " B"):
        return [worth(text) for text in asked.split("\nA: ")[1].removesuffix("\nMore progress:").split("\nB: ")]
    return [worth(asked) - 5, *(-5.0 for _ in request.answers[1:])]


def made_up(folder, items, **judge):
    """A run whose observations are made up."""
    run = Run.create(folder, from_dict(RunConfig, SMALL | {"judge": {"items": items, "max_failures": 1.0} | judge}))
    rows = [{"text": f"You see {i} things.", "event": "abc"[i % 3], "count": 1} for i in range(items)]
    write_table(run.stage("collect") / "observations.parquet", rows)
    run.finish("collect", 0.0)
    return run


def annotated(run):
    """All tables of the stage, but for what time was spent."""
    run_stages(run, ("annotate",))
    tables = sorted((run.folder / "annotate").glob("*.parquet"))
    return {table.name: [row | {"seconds": 0} for row in read_table(table)] for table in tables}


@pytest.fixture
def scripted(monkeypatch):
    words = lambda r: ("1234x" if r.prompt.endswith("Rating:") else "ABABx")[sum(r.prompt.encode()) % 5]  # noqa: E731
    model = ScriptedLLM(words, score, failure_rate=0.05)
    monkeypatch.setattr(parts, "make_llm", lambda config: model)
    return model


@pytest.mark.parametrize("protocol", ["pointwise", "pairwise"])
def test_a_model_that_wants_many_at_once_gets_them(tmp_path, scripted, monkeypatch, protocol):
    """A call of the batch API may take a day: parts must not cut one into many."""
    for module in (feedback, base):
        monkeypatch.setattr(module, "PART", 16)
    scripted.window, choose, seen = 100, scripted.choose, []
    monkeypatch.setattr(
        scripted, "choose", lambda asked, arrived=None: seen.append(len(asked)) or choose(asked, arrived)
    )
    annotated(made_up(tmp_path, 250, pairs=500, protocol=protocol))
    assert seen[0] == 100 and all(size > 80 for size in seen[:-1])  # a pair that was drawn twice is asked once


@pytest.mark.parametrize("protocol", ["pointwise", "pairwise", "rating", "verdict"])
def test_in_which_parts_it_is_asked_changes_nothing(tmp_path, scripted, monkeypatch, protocol):
    whole = annotated(made_up(tmp_path / "a", 50, pairs=60, protocol=protocol))
    for module in (feedback, base):
        monkeypatch.setattr(module, "PART", 16)
    assert annotated(made_up(tmp_path / "b", 50, pairs=60, protocol=protocol)) == whole
    assert len(whole["comparisons.parquet"]) == 60
    kinds = {row["status"] for row in whole["comparisons.parquet"]}
    assert "error" in kinds and {"ok", "tie"} & kinds


def test_memory_does_not_grow_with_the_items(tmp_path, monkeypatch):
    """The records of 2,000 more would be 2 MB; what is kept is some numbers for each."""

    class Forgetful(ScriptedLLM):
        def choose(self, requests, arrived=None):
            self.asked.clear()
            return super().choose(requests, arrived)

    monkeypatch.setattr(parts, "make_llm", lambda config: Forgetful())
    for module in (feedback, base):
        monkeypatch.setattr(module, "PART", 100)
    peaks = []
    for items in (100, 500, 2500):  # the first one imports what there is to import
        run = made_up(tmp_path / str(items), items, pairs=100)
        tracemalloc.start()
        run_stages(run, ("annotate",))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[2] - peaks[1]) / 2000 < 300, peaks


def test_too_few_items_for_rounds_are_told_as_such(tmp_path, scripted):
    with pytest.raises(ConfigError, match=r"too few usable labels .*--judge\.rounds 1"):
        annotated(made_up(tmp_path, 2, pairs=500, protocol="pairwise", rounds=3))


def test_the_same_is_asked_once(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "PART", 2)  # so that some repeats lie in other parts
    model = ScriptedLLM(score=score)
    llm = LedgerLLM(model, Ledger(tmp_path / "l.sqlite"))
    judged = Pointwise(prompts.load("pointwise")).judge(llm, "win", ["a", "a", "b", "a", "b"])
    assert len(model.asked) == 2 and [j.text for j in judged] == ["a", "a", "b", "a", "b"]
    model.asked.clear()
    pairs = [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a"), ("c", "a")]
    both = Pairwise(prompts.load("pairwise")).compare(llm, "win", pairs)
    assert len(model.asked) == 4 and len({r.prompt for r in model.asked}) == 4  # each of two pairs in both orders
    assert both[0].forward == pytest.approx(1 - both[1].backward) and both[0].probability == both[2].probability
    assert both[0].probability == pytest.approx(1 - both[1].probability)
    model.asked.clear()
    one = Pairwise(prompts.load("pairwise"), both_orders=False).compare(llm, "win", [("x", "y"), ("y", "x")])
    assert len(model.asked) == 1 and one[0].probability == pytest.approx(1 - one[1].probability)


def test_only_what_earlier_answers_do_not_settle_is_asked(tmp_path, monkeypatch):
    model = ScriptedLLM(score=score)
    monkeypatch.setattr(parts, "make_llm", lambda config: model)
    run = made_up(tmp_path / "r", 40, pairs=5000, protocol="pairwise", selection="transitive")
    rows = annotated(run)["comparisons.parquet"]
    assert 100 < len(rows) < 40 * 39 / 2 / 2 and len({frozenset((r["first"], r["second"])) for r in rows}) == len(rows)
    labels = run.finished("annotate")["summary"]["labels"]
    assert labels["cyclic"] == 0 and labels["triples"] > 10
    few = made_up(tmp_path / "few", 40, pairs=30, protocol="pairwise", selection="transitive")
    assert len(annotated(few)["comparisons.parquet"]) == 30
    with pytest.raises(ConfigError, match="pointwise scores one item at a time"):
        annotated(made_up(tmp_path / "s", 40, selection="transitive"))
    with pytest.raises(ConfigError, match="at most 4,096 items"):
        annotated(made_up(tmp_path / "m", 5000, selection="transitive", protocol="pairwise"))


def test_texts_lie_on_disk_by_number(tmp_path):
    texts = Texts(tmp_path)
    texts.add(["eins", "", "zwei\n"])
    texts.add(["drei ß", "half \ud800"])
    assert len(texts) == 5 and texts.take([3, 1, 0, 4]) == ["drei ß", "", "eins", "half \ud800"]
    assert not list(tmp_path.iterdir())  # it has no name that could be left behind
    texts.close()


def test_a_table_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "judgements.parquet"
    rows = [Judgement("a", "ok", 1.0, "yes"), Judgement("b", "error", None, "")]
    with pytest.raises(KeyboardInterrupt), table_writer(path, Judgement) as write:
        write(rows)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with table_writer(path, Judgement) as write:
        write(rows[1:])  # no value in sight yet
        write(rows)
    assert [Judgement(**row) for row in read_table(path)] == [rows[1], *rows]
    assert [b["value"] for b in read_batches(path, ["value"], rows=2)] == [[None, 1.0], [None]]


def test_what_a_killed_stage_left_is_swept_away(tmp_path, scripted):
    run = made_up(tmp_path / "r", 20, pairs=10)
    left = run.stage("annotate") / ".judgements.parquet.x1y2"
    left.write_bytes(b"half")
    annotated(run)
    assert not left.exists()


def bar(monkeypatch, terminal):
    """300,000 answers from a ledger, then 128 that were asked; what was shown."""
    file = io.StringIO()
    shown = Console(file=file, force_terminal=terminal, width=80, highlight=False, legacy_windows=False)
    monkeypatch.setattr(console, "console", shown)
    clock = itertools.count(0, 0.5)
    if not terminal:
        monkeypatch.setattr(console.time, "perf_counter", lambda: next(clock))
        monkeypatch.setattr(console, "LINE_SECONDS", 30)
    budget = Budget(usd=112.3456, questions=77)
    with console.answers("annotate", 1000 + 300, budget) as arrived:
        for i in range(300):
            arrived(i, Reply("ok"))
        for part in range(2):
            budget.questions += 64
            for i in range(64):
                arrived(i, Reply("error" if i % 8 == part else "ok"))
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())


def test_answers_from_a_ledger_do_not_count_for_the_rate(monkeypatch):
    lines = bar(monkeypatch, terminal=False).splitlines()
    assert lines[-1].startswith("annotate: 128 in ") and "16 failed, $112.35, 300 from ledger" in lines[-1]
    done, left = re.search(r"annotate: (\d+) of 1,000, about (\d+) s left \(", lines[-2]).groups()
    assert 60 < int(done) <= 128 and int(left) > 1000  # not a quarter of it, as if all went as fast as the ledger


def test_the_bar_fits_into_80_columns(monkeypatch):
    lines = re.split(r"[\r\n]", bar(monkeypatch, terminal=True))
    assert max(map(len, lines)) <= 80
    assert "128/1000" in lines[-2] and "16 failed, $112.35, 300 from ledger" in lines[-2]


def test_a_shared_ledger_serves_what_has_no_run(tmp_path, scripted):
    llm = {"ledger": str(tmp_path / "shared.sqlite")}
    config = from_dict(
        RunConfig,
        SMALL
        | {
            "llm": llm,
            "judge": {"items": 40},
            "train": {"seeds": 1, "num_envs": 8, "horizon": 16},
            "policy": {"episodes": 2, "max_steps": 20},
        },
    )

    def play():
        world = parts.make_world(config.world)
        with actor(config, "llm", world, 0, input, print) as policy:
            obs, _ = world.reset(seed=0)
            return policy.act({k: np.asarray(v)[None] for k, v in obs.items()})

    def told():
        rows = calibrate(config, pairs=10)
        foreseen = forecast(config, arms.choose(["preference"]))
        return [(r.protocol, r.accuracy, r.tokens) for r in rows], [(f.questions, f.tokens) for f in foreseen], play()

    first = told()
    asked = len(scripted.asked)
    assert asked and Ledger(tmp_path / "shared.sqlite").spend().answers
    failed = Ledger(tmp_path / "shared.sqlite").spend().failures
    again = told()
    assert again == first and len(scripted.asked) - asked <= 2 * failed  # only failures are asked again


def test_a_forecast_counts_what_is_asked_beside_training(scripted):
    small = {"judge": {"items": 40}, "train": {"seeds": 2, "num_envs": 8, "horizon": 16}}
    without, beside = (
        forecast(from_dict(RunConfig, SMALL | small | {"online": online}), arms.choose(["preference"]))[0]
        for online in ({}, {"beside": True, "questions": 500})
    )
    assert beside.questions - without.questions == pytest.approx(1000, rel=0.01) and beside.tokens > without.tokens
    assert beside.rough and not without.rough
