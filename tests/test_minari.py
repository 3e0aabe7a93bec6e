"""Minari's data sets come back from ``minari.load_dataset`` as they were, and what stands in the way is said."""

import sys

import numpy as np
import pytest
from gymnasium import spaces

from plaudit import registry
from plaudit.cli import main
from plaudit.envs.base import World
from plaudit.envs.gridworld import DoorKey
from plaudit.recording import load_recording
from plaudit.spaces import Codes, Text, to_bytes
from plaudit.stages.minari_data import whole_episodes
from plaudit.store import load_tree, save_tree

minari = pytest.importorskip("minari")


class Pages(World):
    """A world of text, ids, a picture and continuous actions, which ends or is cut off by its seed."""

    goal, rules, fallback, most_copies = "read on", "Answer with two numbers.", np.zeros(2, np.float32), 4

    def __init__(self):
        pixels = spaces.Box(0, 255, (8, 8, 3), np.uint8)
        self.observation_space = spaces.Dict({"ids": Codes(6000, (3, 2)), "pixels": pixels, "text": Text(40)})
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n = 0
        return self.see(), {"success": False}

    def see(self):
        pixels = self.np_random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        ids = self.np_random.integers(0, 6000, (3, 2)).astype(np.int16)
        return {"ids": ids, "pixels": pixels, "text": to_bytes(f"page {self.n}, ü", 40)}

    def step(self, action):
        self.n += 1
        over = self.n == 5 or (self.n >= 2 and self.np_random.random() < 0.3)
        return self.see(), float(action[0]), over and self.n < 5, self.n == 5, {"success": over and self.n < 5}

    def describe(self, obs):
        return f"On page {int(obs['ids'][0, 0])}."

    def parse_action(self, reply):
        return None


def load(monkeypatch, folder, name):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return minari.load_dataset(name)


def collect(*words):
    return main(["collect", *map(str, words), "--to", "minari"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "r"
    words = ["--world.size", "5", "--collect.steps", "12000", "--collect.num-envs", "16"]
    assert main(["collect", "doorkey", *words, "--out", str(folder)]) == 0
    return folder


def equal(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            equal(one[key], other[key])
        return
    one = np.asarray(one)
    assert one.dtype == np.asarray(other).dtype
    np.testing.assert_array_equal(one, other)


def test_a_runs_episodes_come_back_equal(run, tmp_path, monkeypatch, capsys):
    assert collect(run, "--out", tmp_path, "--dataset", "mine/doorkey-v3") == 0
    assert str(tmp_path / "mine" / "doorkey-v3") in capsys.readouterr().out
    data = load(monkeypatch, tmp_path, "mine/doorkey-v3")
    recording = load_recording(run / "collect", truth=True)
    wholes = list(whole_episodes(recording))
    assert len(data) == len(wholes) == recording.ended.sum() > 16 and data.spec.total_steps < len(recording)
    for episode, whole in zip(data.iterate_episodes(), wholes, strict=True):
        equal(episode.observations, whole.observations)
        equal(episode.actions, whole.actions)
        equal(episode.rewards, whole.rewards)
        assert episode.terminations.sum() + episode.truncations.sum() == 1
        assert episode.terminations[-1] == whole.terminated == bool(episode.rewards[-1] > 0)
        equal(episode.infos["success"][1:], whole.success)
    assert {episode.truncations[-1] for episode in data} == {True, False}


def test_what_it_says_of_itself(run, tmp_path, monkeypatch):
    assert collect(run, "--out", tmp_path, "--episodes", "2") == 0
    data = load(monkeypatch, tmp_path, "plaudit/doorkey-random-v0")
    facts = data.storage.metadata
    assert facts["plaudit"]["goal"] == DoorKey.goal and facts["plaudit"]["world"]["size"] == 5
    assert facts["algorithm_name"] == "random" and data.total_episodes == 2
    world = data.recover_environment()
    assert isinstance(world.unwrapped, DoorKey) and world.unwrapped.grid.width == 5
    assert world.observation_space == data.observation_space and world.action_space == data.action_space
    observation, _ = world.reset(seed=0)
    assert data.observation_space.contains(observation)


def test_every_kind_of_space_comes_back(tmp_path, monkeypatch):
    """Ids and text are boxes to Minari; a picture is not made a JPEG."""
    monkeypatch.setitem(registry.KINDS["worlds"], "pages", registry.Entry("test_minari:Pages"))
    words = ("pages", "--policy", "random", "--episodes", "10", "--texts", "--out", tmp_path)
    assert collect(*words, "--dataset", "pages-v0") == 0
    data = load(monkeypatch, tmp_path, "pages-v0")
    assert len(data) == 10 and data.observation_space == spaces.Dict(
        {name: spaces.Box(s.low, s.high, s.shape, s.dtype) for name, s in Pages().observation_space.items()}
    )
    for number, episode in enumerate(data.iterate_episodes()):
        world = Pages()
        seen, _ = world.reset(seed=500_000_000 + number)
        assert episode.infos["description"][0] == world.describe(seen)
        for i, action in enumerate(episode.actions):
            equal({name: part[i] for name, part in episode.observations.items()}, seen)
            seen, reward, terminated, truncated, info = world.step(action)
            ends = reward, terminated, truncated, info["success"]
            kept = episode.rewards[i], episode.terminations[i], episode.truncations[i], episode.infos["success"][i + 1]
            assert ends == kept
        assert terminated or truncated


def test_the_expert_plays_for_it(tmp_path, monkeypatch):
    assert collect("doorkey", "--policy", "expert", "--episodes", "5", "--out", tmp_path) == 0
    data = load(monkeypatch, tmp_path, "plaudit/doorkey-expert-v0")
    assert len(data) == 5 and all(episode.terminations[-1] for episode in data)


def test_what_is_there_is_not_overwritten(run, tmp_path, capsys):
    words = (run, "--out", tmp_path, "--episodes", "1")
    assert collect(*words) == 0
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert collect(*words) == 4
    error = capsys.readouterr().err
    assert "exists already" in error and "--dataset" in error
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_what_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def broken(self, obs):
        raise KeyboardInterrupt

    monkeypatch.setattr(DoorKey, "describe", broken)
    words = ("doorkey", "--policy", "expert", "--episodes", "1", "--texts", "--out", tmp_path)
    assert collect(*words, "--dataset", "half-v0") == 130
    assert not (tmp_path / "half-v0").exists()


def test_an_older_recording_is_not_guessed_at(run, tmp_path, capsys):
    path = run / "collect" / "truth.safetensors"
    whole = load_tree(path)
    save_tree(path, {name: part for name, part in whole.items() if name != "terminated"})
    try:
        assert collect(run, "--out", tmp_path) == 4
        assert "older plaudit" in capsys.readouterr().err and not list(tmp_path.iterdir())
    finally:
        save_tree(path, whole)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("doorkey", "--dataset", "no version"), "NAMESPACE/NAME-vN"),
        (("doorkey", "--dataset", "../up-v0"), "NAMESPACE/NAME-vN"),
        (("doorkey", "--episodes", "0"), "--episodes must be at least 1"),
        (("doorkey", "--policy", "nobody"), "there is no policy 'nobody'"),
        (("doorkey", "--policy", "llm"), "--collect.policy llm"),
        (("RUN", "--policy", "expert"), "recorded already"),
        (("RUN", "--episodes", "100000"), "whole episodes, fewer than"),
        (("RUN", "--seed", "1"), "a run's settings are fixed"),
    ],
)
def test_what_is_wrong_is_said(run, tmp_path, capsys, words, says):
    assert collect(*(run if word == "RUN" else word for word in words), "--out", tmp_path) in (2, 4)
    assert says in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_other_formats_and_a_missing_package(capsys, monkeypatch, tmp_path):
    assert main(["collect", "doorkey", "--to", "d4rl"]) == 2 and "--to takes minari" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "minari", None)
    assert collect("doorkey", "--episodes", "1", "--out", tmp_path) == 3
    assert "plaudit[record]" in capsys.readouterr().err
