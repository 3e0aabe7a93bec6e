"""Run folders: what is finished stays, what does not fit is refused, nothing half-written is ever read."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from plaudit import store
from plaudit.config import (
    JudgeConfig,
    RunConfig,
    TrainConfig,
    differences,
    from_dict,
    load_recipe,
    recipes,
    to_dict,
)
from plaudit.config_rules import validate
from plaudit.errors import ConfigError, StoreError
from plaudit.store import Run


def test_a_run_goes_on_with_the_same_settings(tmp_path):
    run = Run.create(tmp_path / "r", RunConfig())
    run.finish("collect", 1.0, distinct=3)
    again = Run.create(tmp_path / "r", RunConfig())
    assert again.finished("collect")["summary"] == {"distinct": 3}
    assert again.finished("annotate") is None


def test_other_settings_are_refused_and_named(tmp_path):
    Run.create(tmp_path / "r", RunConfig())
    with pytest.raises(StoreError, match=r"train\.gamma: 0\.97 -> 0\.5"):
        Run.create(tmp_path / "r", RunConfig(train=TrainConfig(gamma=0.5)))


def test_settings_that_change_only_the_speed_are_taken(tmp_path):
    Run.create(tmp_path / "r", RunConfig()).finish("collect", 1.0)
    assert Run.create(tmp_path / "r", RunConfig(train=TrainConfig(workers=7))).finished("collect")


def test_a_run_that_its_failures_stopped_goes_on_with_a_higher_limit(tmp_path):
    """As the error advises: what was asked and paid for lies in this folder."""
    Run.create(tmp_path / "r", RunConfig()).finish("collect", 1.0)
    again = Run.create(tmp_path / "r", RunConfig(judge=JudgeConfig(max_failures=0.5)))
    assert again.finished("collect") and again.config.judge.max_failures == 0.5


def test_a_stage_is_done_again_when_what_it_rests_on_has_changed(tmp_path):
    prompt = tmp_path / "mine.txt"
    prompt.write_text("one")
    run = Run.create(tmp_path / "r", RunConfig(judge=JudgeConfig(prompt=str(prompt))))
    for stage in ("collect", "annotate", "fit"):
        (run.stage(stage) / "table").write_text(stage)
        run.finish(stage, 1.0)
    assert run.finished("fit")
    prompt.write_text("another question")
    assert run.finished("collect") and not run.finished("annotate") and not run.finished("fit")
    run.finish("annotate", 2.0)
    assert run.finished("annotate") and not run.finished("fit")
    (run.stage("annotate") / "table").unlink()
    assert not run.finished("annotate")


def test_what_an_older_plaudit_has_finished_stays_finished(tmp_path):
    """Fingerprints of the usual settings as they were before adapters, devices, batches, clusters and people's labels."""
    marks = {stage: Run(tmp_path, RunConfig()).expected(stage) for stage in ("collect", "annotate", "fit", "train")}
    assert marks == {
        "collect": "c0af231f87a8",
        "annotate": "2c9bc282e8c9",
        "fit": "12f17d0a7bc0",
        "train": "f1223dcad64e",
    }
    for section, key in store.LATER:
        changed = RunConfig()
        section_ = dataclasses.replace(getattr(changed, section), **{key: "x" if key != "label_weight" else 3})
        changed = dataclasses.replace(changed, **{section: section_})
        stage = "train" if section in ("shaping", "train", "online") else "fit"
        assert Run(tmp_path, changed).expected(stage) != marks[stage], (section, key)
    for (section, key), before in store.LATER.items():
        assert getattr(getattr(RunConfig(), section), key) == before


def test_one_process_at_a_time(tmp_path):
    run = Run.create(tmp_path / "r", RunConfig())
    with run.lock(), pytest.raises(StoreError, match="another plaudit"), Run.open(run.folder).lock():
        pass
    with run.lock():
        pass


def test_the_lock_does_not_call_other_errors_a_full_disk(tmp_path):
    run = Run.create(tmp_path / "r", RunConfig())
    with pytest.raises(BrokenPipeError), run.lock():
        raise BrokenPipeError


def test_a_newer_folder_is_refused(tmp_path):
    Run.create(tmp_path / "r", RunConfig())
    path = tmp_path / "r" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99, "plaudit": "9.0"}))
    with pytest.raises(StoreError, match=r"newer plaudit \(9\.0"):
        Run.open(tmp_path / "r")


def test_a_setting_of_another_version_is_told_as_such(tmp_path):
    Run.create(tmp_path / "r", RunConfig())
    path = tmp_path / "r" / "run.json"
    record = json.loads(path.read_text()) | {"plaudit": "0.9"}
    record["config"]["judge"]["mood"] = "mild"
    path.write_text(json.dumps(record))
    with pytest.raises(StoreError, match=r"made by plaudit 0\.9 .*'judge\.mood'"):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize("content", ["", "{", "[1", "\x00\x01", "[]", '{"format": "2"}', "3"])
def test_a_damaged_record_is_named(tmp_path, content):
    Run.create(tmp_path / "r", RunConfig())
    (tmp_path / "r" / "run.json").write_text(content)
    with pytest.raises(StoreError, match=r"run\.json cannot be read"):
        Run.open(tmp_path / "r")


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "photo.jpg").write_text("mine")
    with pytest.raises(StoreError, match="is no run"):
        Run.create(tmp_path, RunConfig())
    assert [p.name for p in tmp_path.iterdir()] == ["photo.jpg"]
    with pytest.raises(StoreError, match="is no run"):
        Run.open(tmp_path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    store.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), store.atomic(path) as file:
        file.write(b"half of ")
        raise RuntimeError("killed")
    assert store.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Run.create(tmp_path / "file" / "r", RunConfig())


def test_nan_never_reaches_a_record(tmp_path):
    with pytest.raises(ValueError):
        store.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_trees_come_back(tmp_path):
    big = 2**127 + 1  # a PCG64 state needs 128 bits
    tree = {"net": {"w": torch.eye(2)}, "x": [np.arange(3, dtype=np.int8), "a", None, big], "empty": {}, "f": 0.1}
    store.save_tree(tmp_path / "t.safetensors", tree)
    back = store.load_tree(tmp_path / "t.safetensors")
    assert torch.equal(back["net"]["w"], torch.eye(2)) and back["x"][0].tolist() == [0, 1, 2]
    assert back["x"][1:] == ["a", None, big] and back["empty"] == {} and back["f"] == 0.1


@pytest.mark.parametrize("name", ["t.safetensors", "t.parquet"])
def test_damaged_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"PAR1 garbage")
    with pytest.raises(StoreError, match=name):
        (store.load_tree if "safe" in name else store.read_table)(tmp_path / name)


def test_config_round_trip_and_unknown_keys():
    assert from_dict(RunConfig, to_dict(RunConfig())) == RunConfig()
    with pytest.raises(ConfigError, match=r"'train\.gama'\. Did you mean 'gamma'"):
        from_dict(RunConfig, {"train": {"gama": 0.9}})
    for wrong in ({"train": {"gamma": "x"}}, {"train": 3}, {"fit": {"target": "sotf"}}, {"seed": True}):
        with pytest.raises(ConfigError):
            from_dict(RunConfig, wrong)


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_recipe_is_valid(name):
    validate(load_recipe(name))


@pytest.mark.parametrize(
    "values",
    [
        {"train": {"controls": ["task", "task"]}},
        {"train": {"controls": ["preference"]}},
        {"policy": {"history": -1}},
        {"embedding": {"alpha": 2.0}},
        {"train": {"seeds": 0}},
        {"train": {"gamma": 1.0}},
        {"judge": {"items": 3}},
        {"shaping": {"quantile": 1.0}},
        {"collect": {"steps": 0}},
        {"llm": {"batch": 100}, "cluster": {"on": "ray"}},
    ],
)
def test_senseless_values_are_refused_before_anything_runs(values):
    with pytest.raises(ConfigError):
        validate(from_dict(RunConfig, values))


def test_differences_name_each_value():
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}}) == ["a.b: 1 -> 3", "c: 2 -> None"]
