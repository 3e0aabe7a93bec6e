"""Judges that see: what they are shown, what is asked once, what is refused before anything is asked."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from openai_echo import serve

from plaudit.config import RunConfig, from_dict
from plaudit.config_rules import validate
from plaudit.envs.gridworld import DoorKey
from plaudit.errors import ConfigError, JudgeFailedError
from plaudit.judging.base import PICTURED
from plaudit.llms.base import Image
from plaudit.llms.scripted import ScriptedLLM
from plaudit.routes import feedback
from plaudit.routes.pictures import CollectedPictures
from plaudit.stages import models, parts, run_stages
from plaudit.stages.calibrate import calibrate
from plaudit.stages.label import LabelOptions, by_model
from plaudit.store import Run, load_tree, read_table

SMALL = {"world": {"size": 5}, "collect": {"steps": 1600, "num_envs": 16}, "fit": {"steps": 20}}


def worth(image):
    return int(image.sha256[:8], 16) % 97 / 20


def score(request):
    """An opinion of the pictures alone: of one, or of two as they are seated."""
    if len(request.images) == 2:
        return [worth(image) for image in request.images]
    value = worth(request.images[0])
    return [value - 5, -5.0] if len(request.answers) == 2 else [-abs(i - value) for i in range(5)]


def write(request):
    if len(request.images) == 2:
        first, second = map(worth, request.images)
        return "neither" if first == second else "AB"[first < second]
    return str(1 + round(worth(request.images[0])) % 5)


@pytest.fixture
def scripted(monkeypatch):
    model = ScriptedLLM(write, score)
    monkeypatch.setattr(parts, "make_llm", lambda config: model)
    return model


def made(folder, shown="image", stages=("collect", "annotate"), **judge):
    settings = {"items": 60, "pairs": 500, "input": shown} | judge
    run = Run.create(folder, from_dict(RunConfig, SMALL | {"judge": settings}))
    run_stages(run, stages)
    return run


def pictures(run):
    """The picture of each collected description, made here."""
    world, batch = DoorKey(5), load_tree(run.folder / "collect" / "observations.safetensors")["observations"]
    texts = [row["text"] for row in read_table(run.folder / "collect" / "observations.parquet")]
    seen = [{k: v[i].numpy() for k, v in batch.items()} for i in range(len(texts))]
    return {text: Image.of(world.picture(each)) for text, each in zip(texts, seen, strict=True)}


@pytest.mark.parametrize(("protocol", "shown"), [("pointwise", "both"), ("scale", "image"), ("rating", "both")])
def test_each_observation_is_judged_by_its_own_picture(tmp_path, scripted, protocol, shown):
    run = made(tmp_path / "a", shown, protocol=protocol)
    own, rows = pictures(run), read_table(run.folder / "annotate" / "judgements.parquet")
    assert len(rows) == 60 and all(row["status"] == "ok" for row in rows)
    value = {row["text"]: row["value"] for row in rows}
    expected = {
        "pointwise": worth,
        "scale": lambda image: -abs(worth(image) - 2.0),
        "rating": lambda image: 1 + round(worth(image)) % 5,
    }[protocol]
    if protocol == "scale":  # the expectation over ratings rises with what is seen
        order = sorted(value, key=lambda text: worth(own[text]))
        assert np.all(np.diff([value[text] for text in order]) > -1e-9)
    else:
        assert all(value[text] == pytest.approx(expected(own[text])) for text in value)
    for request in scripted.asked:
        assert request.chat and len(request.images) == 1 and request.images[0].png.startswith(b"\x89PNG")
        assert not any(answer.startswith(" ") for answer in request.answers)
        assert ("You see" in request.prompt) == (shown == "both") and run.config.judge.input == shown
    if shown == "both":
        words = {text: own[text] for text in value}
        assert all(words[_words(request)] == request.images[0] for request in scripted.asked)


def _words(request):
    return request.prompt.split("\nWords: ")[1].split("\n")[0]


@pytest.mark.parametrize(("protocol", "shown"), [("pairwise", "both"), ("verdict", "image")])
def test_pictures_sit_as_the_question_says(tmp_path, scripted, protocol, shown):
    run = made(tmp_path / "a", shown, protocol=protocol)
    own, rows = pictures(run), read_table(run.folder / "annotate" / "comparisons.parquet")
    assert len(rows) == 500
    for row in rows:
        first, second = worth(own[row["first"]]), worth(own[row["second"]])
        assert np.sign(row["forward"] - 0.5) == np.sign(row["backward"] - 0.5) == np.sign(first - second)
    for request in scripted.asked:
        assert request.chat and len(request.images) == 2
        if shown == "both":
            a, b = (
                request.prompt.split("\nA: the first picture. ")[1]
                .split("\nGoal:")[0]
                .split("\nB: the second picture. ")
            )
            assert (own[a], own[b]) == request.images


def test_what_looks_the_same_is_asked_once(tmp_path, scripted):
    run = made(tmp_path / "a")
    own = pictures(run)
    judged = [own[row["text"]] for row in read_table(run.folder / "annotate" / "judgements.parquet")]
    assert len(set(judged)) < len(judged), "two events in front of the same picture"
    assert Counter(image for r in scripted.asked for image in r.images) == Counter(set(judged))


def test_of_two_that_look_the_same_neither_wins_by_its_seat(tmp_path, scripted):
    scripted.position_bias = 3.0
    run = made(tmp_path / "a", protocol="pairwise", both_orders=False)
    own, rows = pictures(run), read_table(run.folder / "annotate" / "comparisons.parquet")
    alike = [row for row in rows if own[row["first"]] == own[row["second"]]]
    assert alike and all(row["probability"] == pytest.approx(0.5) for row in alike)
    assert all(None in (row["forward"], row["backward"]) for row in rows if row not in alike)


@pytest.mark.parametrize("protocol", ["pointwise", "pairwise"])
def test_no_more_pictures_than_a_part_has_are_in_memory(tmp_path, scripted, monkeypatch, protocol):
    whole = made(tmp_path / "a", protocol=protocol)
    held, drawn = [], CollectedPictures.of

    def count(self, numbers):
        held.append(len(numbers))
        return drawn(self, numbers)

    monkeypatch.setattr(CollectedPictures, "of", count)
    monkeypatch.setattr(feedback, "PICTURED", 16)
    parts_ = made(tmp_path / "b", protocol=protocol)
    assert len(held) > 3 and max(held) <= 16 < PICTURED
    tables = [read_table(run.folder / "annotate" / "comparisons.parquet") for run in (whole, parts_)]
    first, second = ([(row["first"], row["second"], row["probability"]) for row in table] for table in tables)
    assert first == second


def test_a_run_of_pictures_is_replayed_without_the_model(tmp_path, scripted, monkeypatch):
    run = made(tmp_path / "a")
    asked, before = len(scripted.asked), read_table(run.folder / "annotate" / "judgements.parquet")
    monkeypatch.setattr(parts, "make_llm", models.make_llm)
    config = dataclasses.replace(
        run.config, llm=dataclasses.replace(run.config.llm, replay=str(run.folder / "ledger.sqlite"), model="scripted")
    )
    again = Run.create(tmp_path / "b", config)
    parts.check(config)
    run_stages(again, ("collect", "annotate"))
    after = read_table(again.folder / "annotate" / "judgements.parquet")
    assert [(r["text"], r["value"]) for r in after] == [(r["text"], r["value"]) for r in before]
    assert len(scripted.asked) == asked


def test_calibration_forecast_and_second_models_see_too(tmp_path, scripted):
    config = from_dict(RunConfig, SMALL | {"judge": {"input": "image"}})
    rows = calibrate(config, pairs=10)
    assert len(rows) == 5 and all(row.chat and row.failures == 0 for row in rows)
    asked = len(scripted.asked)
    world = DoorKey(5)
    observations = [world.reset(seed=seed)[0] for seed in range(8)]
    planned, tried = feedback.pilot(config, world, scripted, observations, ("pointwise",))
    assert planned == config.judge.items and 0 < tried == len(scripted.asked) - asked
    assert all(r.images for r in scripted.asked[asked:])
    run = made(tmp_path / "a", "text", ("collect",))
    scripted._score = lambda request: [-1.0, -1.5] if not request.images else score(request)
    run_stages(run, ("annotate",))
    asked = len(scripted.asked)
    config = dataclasses.replace(run.config, judge=dataclasses.replace(run.config.judge, input="image"))
    config = dataclasses.replace(config, llm=dataclasses.replace(config.llm, model="http://127.0.0.1:1/v1"))
    by_model(run, config.llm.model, LabelOptions(pairs=10), config)
    assert len(scripted.asked) > asked and all(r.images for r in scripted.asked[asked:])
    (path,) = Path(run.folder / "labels").rglob("*image*")
    assert path.is_file()


def test_what_cannot_be_seen_is_refused_before_anything_is_asked(tmp_path, monkeypatch):
    config = from_dict(RunConfig, SMALL | {"judge": {"input": "image"}})
    with pytest.raises(ConfigError, match="reads text only, and cannot judge by pictures"):
        parts.check(config)  # the embedded model
    for wrong in ({"segment": 3}, {"prompt": "pointwise"}):
        judge = dataclasses.replace(config.judge, **wrong)
        with pytest.raises(ConfigError, match=r"judge\.segment must be 1 where|must have the fields \$goal, it has"):
            each = dataclasses.replace(config, judge=judge)
            validate(each)
            parts.check(each)
    with pytest.raises(ConfigError, match=r"judge\.input must be text with"):
        validate(from_dict(RunConfig, {"route": "scalar", "judge": {"input": "both"}, "fit": {"online": True}}))
    monkeypatch.setattr(DoorKey, "picture", lambda self, obs: None)
    with pytest.raises(ConfigError, match=r"makes no pictures .*--judge\.input text"):
        parts.check(config)


def test_a_server_sees_or_says_that_it_does_not(tmp_path):
    with serve() as server:
        run = made(tmp_path / "a", "both", ("collect",))
        run = _served(run, tmp_path / "sees", server.url)
        rows = read_table(run.folder / "annotate" / "judgements.parquet")
        assert all(row["status"] == "ok" for row in rows) and len({row["value"] for row in rows}) > 3
        told = [text for text in server.sold if "Words: " in text]
        assert len(told) == len(rows) and all(text.startswith("#") for text in told)
    with (
        serve(blind=True) as server,
        pytest.raises(JudgeFailedError, match=r"does this model see.*content must be a string"),
    ):
        _served(run, tmp_path / "blind", server.url)
    with serve(endpoints=("completions",)) as server, pytest.raises(JudgeFailedError, match="completions only"):
        _served(run, tmp_path / "plain", server.url)


def _served(run, folder, url):
    config = dataclasses.replace(run.config, llm=dataclasses.replace(run.config.llm, model=url))
    parts.check(config)
    run = Run.create(folder, config)
    run_stages(run, ("collect", "annotate"))
    return run


def test_a_vision_language_model_judges_and_a_reward_is_fitted(tmp_path):
    """Random weights: that the path is whole, no skill."""
    pytest.importorskip("transformers")
    import tiny_models

    model = str(tiny_models.make_seeing(tmp_path / "seeing"))
    text = str(tiny_models.make_text(tmp_path / "text"))
    settings = SMALL | {"judge": {"items": 20, "pairs": 500, "input": "image"}}
    with pytest.raises(ConfigError, match="reads text only"):
        parts.check(from_dict(RunConfig, settings | {"llm": {"model": f"transformers:{text}"}}))
    config = from_dict(RunConfig, settings | {"llm": {"model": f"transformers:{model}"}})
    parts.check(config)
    run = Run.create(tmp_path / "run", config)
    run_stages(run, ("collect", "annotate", "fit"))
    rows = read_table(run.folder / "annotate" / "judgements.parquet")
    assert all(row["status"] == "ok" for row in rows) and len({row["value"] for row in rows}) > 5
    assert len(read_table(run.folder / "fit" / "rewards.parquet")) >= 20


@pytest.mark.slow
def test_a_whole_run_by_pictures_comes_to_its_end(tmp_path):
    pytest.importorskip("transformers")
    import tiny_models

    from plaudit.cli import main

    model = str(tiny_models.make_seeing(tmp_path / "seeing"))
    few = "--judge.items 30 --judge.pairs 500 --collect.steps 3200 --train.seeds 1 --train.steps 1024 --fit.steps 20"
    words = f"run doorkey --world.size 5 --judge.input image {few} --evaluate.episodes 4 --train.controls --out"
    assert main([*words.split(), str(tmp_path / "run"), "--llm", f"transformers:{model}"]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "shown the world's picture of each observation, in place of the words" in page
