"""Teaching data: right answers, nothing of what is measured, the judge's own prompts, the same bytes, clear refusals."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from plaudit import prompts
from plaudit.cli import main
from plaudit.config import WorldConfig, from_dict, to_dict
from plaudit.envs.wordle import Wordle
from plaudit.envs.wordle_value import exact
from plaudit.errors import ConfigError, LeakError, StoreError
from plaudit.finetune import leaks
from plaudit.finetune.card import few, held_out_texts
from plaudit.finetune.gather import PARTS, Visit
from plaudit.finetune.lessons import lesson, wordings
from plaudit.finetune.pool import pools, sides
from plaudit.finetune.rows import Row, load_rows
from plaudit.finetune.run import YOUNGER, Finetune
from plaudit.finetune.settings import AskConfig, DataConfig, FinetuneConfig, load_recipe, recipes
from plaudit.finetune.synthesize import synthesize
from plaudit.finetune.tasks import compare, inverse, progress, thirds
from plaudit.judging.pairwise import Pairwise
from plaudit.judging.pointwise import Pointwise
from plaudit.llms.base import Reply
from plaudit.policies.questions import Questions
from plaudit.seeds import FINETUNE_SEED
from plaudit.store import Run

CONFIG = FinetuneConfig(
    world=WorldConfig(name="wordle", size=100), data=DataConfig(examples=40, steps=1200, wordings=2), seed=3
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthesize(CONFIG, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def rows(folder):
    return {part: load_rows(folder, part) for part in PARTS}


class Listening:
    """A model that keeps what it is asked."""

    def __init__(self):
        self.asked = []

    def choose(self, requests, arrived=None):
        self.asked += requests
        return [Reply("ok", logprobs=(-1.0,) * len(r.answers), lengths=(1,) * len(r.answers)) for r in requests]


def test_datasets_loads_it_and_every_kind_is_balanced(folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    data = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert set(data) == set(PARTS)
    for part, count in (("train", 40), ("held_out", 8)):
        for kind in ("compare", "progress", "next", "inverse", "action"):
            own = [row for row in data[part] if row["kind"] == kind]
            assert len(own) == count
            shown = [(r["observation"], r["action"], r["following"], r["first"], r["second"]) for r in own]
            assert len(set(shown)) == count, "a row comes twice"
            if kind != "action":
                first = ("Yes" if kind == "progress" else "A",)
                assert sum(r["answer"] in first for r in own) == count // 2
                for name in {r["wording"] for r in own}:  # each wording with each answer: no shortcut
                    assert len({r["answer"] for r in own if r["wording"] == name}) == 2
    card = (folder / "README.md").read_text()
    assert re.search(r"\| compare \| 40 \| 8 \| \d+ \| A 20, B 20 \|", card) and "The longer text is" in card


def test_answers_are_true(rows):
    for row in rows["train"]:
        texts = (row["first"], row["second"])
        right, wrong = texts if row["answer"] == "A" else texts[::-1]
        if row["kind"] == "compare":
            assert row["gap"] >= 0.15
            assert "no guess is left" not in right
            assert "You found the hidden word" not in wrong
        if row["kind"] == "next":
            assert f"You guessed {row['action'].upper()}" in right or f"hidden word, {row['action'].upper()}" in right
            assert row["action"].upper() not in wrong
        if row["kind"] == "inverse":
            assert right.upper() in row["following"]
        if row["kind"] == "progress" and "no guess is left" in row["observation"]:
            assert row["answer"] == "No"


def test_nothing_that_is_measured_is_taught(rows):
    words = {part: {secret for row in each for secret in row["secrets"]} for part, each in rows.items()}
    played = set(Wordle(size=100).words.guesses)
    assert words["train"] and words["held_out"]
    assert not words["train"] & words["held_out"] and not (words["train"] | words["held_out"]) & played
    acted = {row["action"] for each in rows.values() for row in each} | {
        row["answer"] for each in rows.values() for row in each if row["kind"] == "action"
    }
    assert not acted & played, "not even a guess is of the evaluated list"
    seeds = {part: {seed - FINETUNE_SEED for row in each for seed in row["seeds"]} for part, each in rows.items()}
    assert all(seed % 2 == 0 for seed in seeds["train"]) and all(seed % 2 == 1 for seed in seeds["held_out"])
    assert all(0 <= seed < 100_000_000 for each in seeds.values() for seed in each)


def test_same_settings_same_bytes_another_seed_others(folder, tmp_path):
    again = synthesize(CONFIG, tmp_path / "again")
    names = sorted(p.name for p in folder.iterdir())
    assert names == ["README.md", "held_out.parquet", "synthesis.json", "train.parquet"]
    assert all((folder / name).read_bytes() == (again / name).read_bytes() for name in names)
    other = synthesize(dataclasses.replace(CONFIG, seed=4), tmp_path / "other")
    assert (other / "train.parquet").read_bytes() != (folder / "train.parquet").read_bytes()


@pytest.mark.parametrize(
    "train, held, evaluated, found",
    [
        ({"observation": "a state"}, {"observation": "a state"}, (), "a state"),
        ({"seeds": [FINETUNE_SEED]}, {"seeds": [FINETUNE_SEED]}, (), str(FINETUNE_SEED)),
        ({"secrets": ["crane"]}, {"secrets": ["crane"]}, (), "crane"),
        ({"secrets": ["crane"]}, {}, ("crane",), "crane"),
        ({}, {"seeds": [800_000_000]}, (), "800000000"),
    ],
)
def test_a_leak_is_refused_with_the_item(train, held, evaluated, found):
    with pytest.raises(LeakError, match=found) as caught:
        leaks.check([Row("progress", "Yes", **train)], [Row("progress", "No", **held)], evaluated)
    assert caught.value.items == (found,)
    assert leaks.check([Row("progress", "Yes", seeds=[FINETUNE_SEED])], [Row("progress", "No")], ("slate",))


def test_a_leak_is_found_in_a_folder_too(folder, tmp_path):
    assert leaks.check_folder(folder, Wordle(size=100).hidden)["seeds, train"] > 10
    shutil.copytree(folder, tmp_path / "data")
    shutil.copy(folder / "train.parquet", tmp_path / "data" / "held_out.parquet")
    with pytest.raises(LeakError, match="states are in held-out rows and in rows to train on") as caught:
        leaks.check_folder(tmp_path / "data", ())
    assert len(caught.value.items) > 50


@pytest.mark.parametrize(
    "row",
    [
        Row("action", "crane", observation="a board"),
        Row("action", "slate", observation="a board", allowed=["slate", "crane"]),
        Row("next", "A", observation="a board", action="crane", first="b", second="c"),
        Row("inverse", "A", observation="a board", following="b", first="crane", second="slate"),
        Row("progress", "Yes", observation="You guessed CRANE: 2 in place."),
    ],
)
def test_a_word_of_the_evaluation_is_found_where_it_was_not_drawn(row):
    with pytest.raises(LeakError, match="'crane'") as caught:
        leaks.check([row], [], ("crane", "board"))  # in small letters a text may say what it likes
    assert caught.value.items == ("crane",)
    leaks.check([row], [], ("board", "place"))


def test_a_larger_list_of_words_holds_some_that_were_taught(folder):
    with pytest.raises(LeakError, match="in the evaluation's episodes"):
        leaks.check_folder(folder, Wordle(size=500).hidden)
    assert "another (--world.size) may hold words that were taught" in (folder / "README.md").read_text()


def test_few_held_out_texts_are_counted_and_warned_of(folder):
    facts = json.loads((folder / "synthesis.json").read_text())
    states = facts["counts"]["held_out"]["compare"]["states"]
    rows = [row for row in load_rows(folder, "held_out") if row["kind"] == "compare"]
    nearer = {row["first"] if row["answer"] == "A" else row["second"] for row in rows}
    assert states["nearer"] == len(nearer) < states["distinct"]
    (said,) = (each for each in held_out_texts(facts) if each.startswith("compare"))
    assert said == f"compare: {len(rows)} of {states['distinct']} texts, {len(nearer)} of them as the nearer one"
    assert said in (folder / "README.md").read_text()
    states["nearer"] = 10
    assert "few different texts" in few(facts) and "compare 10" in few(facts)
    facts["counts"]["held_out"] = {"compare": {"states": {"distinct": 300, "nearer": 100}}}
    assert few(facts) == ""


def test_lessons_are_what_the_judge_asks(rows):
    row = next(r for r in rows["train"] if r["kind"] == "compare" and r["wording"] == "pointwise")
    better, worse = (row["first"], row["second"]) if row["answer"] == "A" else (row["second"], row["first"])
    llm = Listening()
    Pointwise(prompts.load("pointwise")).judge(llm, row["goal"], [better, worse])
    made = lesson(row, "pointwise")
    assert made.prompts == tuple(r.prompt for r in llm.asked)
    assert made.answers == llm.asked[0].answers and made.right is None
    llm = Listening()
    Pairwise(prompts.load("pairwise"), both_orders=True).compare(llm, row["goal"], [(row["first"], row["second"])])
    made = lesson(row | {"wording": "pairwise"}, "pairwise")
    assert made.prompts[0] == llm.asked[0].prompt and made.answers == llm.asked[0].answers
    assert made.right == (0 if row["answer"] == "A" else 1)
    single = next(r for r in rows["train"] if r["kind"] == "progress")
    assert lesson(single, "pointwise").answers[lesson(single, "pointwise").right].strip() == single["answer"]


def test_actions_are_asked_as_the_policy_asks(rows):
    row = next(r for r in rows["train"] if r["kind"] == "action" and r["wording"] == "act")
    asked = Questions(SimpleNamespace(goal=row["goal"], rules=row["rules"]), "", [], 0, "any").ask(
        "act", row["observation"]
    )
    assert lesson(row, "pointwise").prompts == (asked,)
    assert lesson(row, "pointwise").answers == (f" {row['answer']}",)


def test_every_protocol_and_wording_has_lessons(rows):
    one = {row["kind"]: row for row in rows["train"]}
    for protocol in ("pointwise", "scale", "rating", "pairwise", "verdict"):
        for kind, row in one.items():
            for name in wordings(kind, AskConfig(protocol=protocol), 3):
                made = lesson(row | {"wording": name}, protocol)
                assert all("$" not in text and text for text in made.prompts)
                assert (len(made.prompts) == 2) == (made.right is None)
    assert wordings("compare", AskConfig(prompt="mine.txt"), 2) == ["mine.txt", "pointwise"]
    assert wordings("next", AskConfig(prompt="mine.txt"), 1) == ["next"]


def test_a_held_out_state_beyond_all_that_was_taught_has_the_rating_at_the_end():
    """Nearness is a share of the range met in training: two states of a farther range would be IndexError and the best."""
    row = {"kind": "progress", "wording": "rating", "goal": "g", "observation": "o", "answer": "Yes"}
    for value, rating in ((1.2, " 5"), (1.0, " 5"), (0.0, " 1"), (-0.2, " 1")):
        made = lesson(row | {"value": value}, "rating")
        assert made.answers[made.right] == rating


def visit(episode, step, text, truth=0.0, action="go", event=""):
    return Visit(
        episode, step, "random", FINETUNE_SEED + episode, "", action, "", (), text, text, True, event, truth, b""
    )


def test_a_text_is_on_one_side_and_values_are_means_over_the_range():
    train = [visit(0, 0, "start", 0), visit(0, 1, "door", 1), visit(0, 2, "goal", 4), visit(2, 0, "start", 2)]
    held = [visit(1, 0, "start", 0), visit(1, 1, "elsewhere", 2)]
    side = sides({"train": train, "held_out": held}, 0.5, 0)
    assert (side["door"], side["elsewhere"]) == ("train", "held_out")
    both = pools({"train": train, "held_out": held}, 1.0, 0)
    assert [s.visit.text for s in both["train"].states] == ["door", "goal"]
    assert [s.visit.text for s in both["held_out"].states] == ["start", "elsewhere"]
    assert [s.value for s in both["train"].states] == [0.25, 1.0]
    assert [s.change for s in both["train"].states] == [0.25, 0.75]
    assert [m.after.text for m in both["train"].moves] == ["goal"]


def test_pairs_of_the_same_step():
    train = [visit(2 * e, n, f"{e} at {n}", (e + n) % 5) for e in range(8) for n in range(6)]
    pool = pools({"train": train, "held_out": []}, 0.2, 0)["train"]
    for share, least in ((1.0, 40), (0.0, 0)):
        found = compare(pool, DataConfig(same_step=share), 40, np.random.default_rng(0))
        assert len({frozenset((r.first, r.second)) for r in found}) == 40
        same = sum(len(set(r.steps)) == 1 for r in found)
        assert same >= least and (share or same < 30)


def test_thirds_move_away_from_a_heap():
    assert thirds([0, 0.2, 0.4, 0.6, 0.8, 1.0], 0.15) == pytest.approx((0.4, 0.6))
    assert thirds([0.0] * 8 + [0.5, 1.0], 0.15) == pytest.approx((0.0, 0.15))
    assert thirds([0.0, 0.5] + [1.0] * 8, 0.15) == pytest.approx((0.85, 1.0))


def test_progress_of_steps_and_actions_with_the_same_effect():
    train = [visit(0, n, f"at {n}", n % 5, ("go", "wait")[n % 2], ("moved", "still")[n % 2]) for n in range(20)]
    pool = pools({"train": train, "held_out": []}, 0.2, 0)["train"]
    rng = np.random.default_rng(0)
    found = progress(pool, DataConfig(progress="step"), 8, rng)
    assert {r.answer for r in found} == {"Yes", "No"}
    assert all((r.answer == "No") == r.observation.endswith(("0", "5")) for r in found)
    assert len(inverse(pool, DataConfig(), 5, rng)) == 5
    same = [dataclasses.replace(v, event="nothing") for v in train]
    assert not inverse(pools({"train": same, "held_out": []}, 0.2, 0)["train"], DataConfig(), 5, rng)


def refused(data, match, tmp_path, world="doorkey", error=ConfigError, **ask):
    config = from_dict(FinetuneConfig, {"world": {"name": str(world)}, "data": data, "ask": ask})
    with pytest.raises(error, match=match):
        synthesize(config, tmp_path)
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(
    "data, ask, match",
    [
        ({"steps": 200}, {}, r"action, train: 200 asked for, \d+ there \(of \d+ states.*raise --data.steps"),
        ({"steps": 400, "sources": ["random"], "kinds": ["progress"]}, {}, "progress, train: 200 asked for"),
        ({"kinds": ["action"], "sources": ["random"]}, {}, "none acts here: --data.sources random noisy"),
        ({"kinds": ["comparison"]}, {}, "no kind 'comparison'. Did you mean 'compare'"),
        ({"sources": ["random", "expert"], "shares": [1.0]}, {}, "one for each of data.sources"),
        ({"truth": "value"}, {}, "has no value"),
        ({"held_out": 0.0}, {}, "data.held_out must be above 0"),
        ({"steps": 200}, {"prompt": "pairwise"}, "must have the fields"),
        ({"steps": 200}, {"protocol": "pointwize"}, "Did you mean 'pointwise'"),
    ],
)
def test_what_cannot_be_is_refused(data, ask, match, tmp_path):
    refused(data, match, tmp_path, **ask)


def test_a_world_without_progress_or_expert_says_what_is_possible(tmp_path):
    lake = Path(__file__).parent.parent / "examples" / "frozen_lake.py"
    (tmp_path / "out").mkdir()
    few = {"steps": 2000, "examples": 10}
    refused(few | {"kinds": ["compare"]}, "tells no progress.*Possible: next, inverse", tmp_path / "out", lake)
    refused(few | {"kinds": ["action"]}, "has none that acts", tmp_path / "out", lake)
    refused(few | {"sources": ["noisy"]}, "no expert for these settings", tmp_path / "out", lake)


def test_wordle_with_all_words_has_none_left_to_practise_on():
    with pytest.raises(ConfigError, match="none is left to teach"):
        Wordle.practice("train", 0, size=2223)
    lists = [options["own"] for options in Wordle.practice("train", 0, size=100)]
    assert len(lists) == 8 and len(set().union(*lists)) == 800
    world = Wordle(size=100, own=lists[0])
    assert world.hidden == world.words.guesses == lists[0] and world.action_space.n == 100
    obs, _ = world.reset(seed=0)
    opening = world.value(obs)
    assert opening == pytest.approx(1 - exact(world.expert(), obs).guesses / 6) and 0.5 < opening < 0.6
    wrong = next(i for i, word in enumerate(lists[0]) if not set(word) & set(world.secret()))
    values = [world.value(world.step(wrong)[0]) for _ in range(6)]
    assert opening < values[0] and values[:5] == values[:1] * 5, "guesses left are no matter, knowledge is"
    assert values[5] == opening, "a lost game is worth no more than knowing nothing"
    world.reset(seed=0)
    assert world.value(world.step(world.words.numbers[world.secret()])[0]) == 1


def test_pictures_are_pictures(tmp_path):
    datasets = pytest.importorskip("datasets")
    data = DataConfig(kinds=("caption",), examples=12, steps=300)
    folder = synthesize(FinetuneConfig(world=WorldConfig(size=5), data=data), tmp_path / "data")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert loaded[0]["image"].size[0] > 50 and loaded[0]["answer"].startswith("You see")
    made = lesson(load_rows(folder, "train")[0], "pointwise")
    ((seen,),) = made.images
    assert seen.png.startswith(b"\x89PNG") and made.answers == (loaded[0]["answer"],)


def test_the_command_makes_it_once(tmp_path, capsys):
    words = ["finetune", "doorkey", "--world.size", "5", "--data.examples", "10", "--data.steps", "2000", "--data-only"]
    out = tmp_path / "tune"
    assert main([*words, "--out", str(out)]) == 0
    assert f"data: {out / 'data'}" in capsys.readouterr().out
    before = (out / "data" / "train.parquet").stat().st_mtime_ns
    assert main([*words, "--out", str(out)]) == 0
    assert "data: finished before, skipped" in capsys.readouterr().out
    assert (out / "data" / "train.parquet").stat().st_mtime_ns == before
    assert main([*words, "--data.gap", "0.3", "--out", str(out)]) == 4
    assert "data.gap: 0.15 -> 0.3" in capsys.readouterr().err
    with pytest.raises(StoreError, match="a folder of plaudit finetune, not of plaudit run"):
        Run.open(out)
    shutil.copy(out / "run.json", out / "data" / "mine.txt")
    with pytest.raises(StoreError, match=r"holds 'mine.txt'"):
        synthesize(CONFIG, out / "data")


def test_what_an_older_plaudit_has_taught_stays_taught(tmp_path):
    """Fingerprints of the usual settings as they were before pictures and examples in the prompt."""
    marks = {stage: Finetune(tmp_path, FinetuneConfig()).expected(stage) for stage in ("data", "train", "measure")}
    assert marks == {"data": "17131c7660a0", "train": "f99cdd16a124", "measure": "05472aa788e3"}
    for (section, key), before in YOUNGER.items():
        own = getattr(FinetuneConfig(), section)
        assert to_dict(own)[key] == before
        changed = dataclasses.replace(FinetuneConfig(), **{section: dataclasses.replace(own, **{key: "x"})})
        assert Finetune(tmp_path, changed).expected("measure") != marks["measure"], (section, key)


def test_an_agent_that_acted_and_was_trained_anew_makes_other_data(tmp_path):
    agent = tmp_path / "agent"
    agent.mkdir()
    (agent / "agent.safetensors").write_bytes(b"one")
    config = FinetuneConfig(data=DataConfig(sources=("random", str(agent))))
    before = Finetune(tmp_path, config).expected("data")
    (agent / "agent.safetensors").write_bytes(b"another")
    assert Finetune(tmp_path, config).expected("data") != before


def test_recipes_are_settings():
    assert {"wordle", "metaworld"} <= set(recipes())
    assert all(load_recipe(name).world.name == name for name in recipes())
    with pytest.raises(ConfigError, match=r"no setting 'data\.exmples'"):
        from_dict(FinetuneConfig, {"data": {"exmples": 3}})
