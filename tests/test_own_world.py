"""A world from a file of one's own: found by path or entry point, run like any other, and its faults told clearly."""

import ast
import dataclasses
import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from plaudit import registry, world_file
from plaudit.cli import WORLD_FAILED, main
from plaudit.cli_words import parse_config
from plaudit.config import PolicyConfig, RunConfig, WorldConfig, from_dict
from plaudit.envs.check import check
from plaudit.envs.wrapped import Wrapped
from plaudit.errors import ConfigError, MissingExtraError, PlauditError
from plaudit.spaces import Codes, Text
from plaudit.stages import parts
from plaudit.stages.parts import settled, world_choices
from plaudit.stages.train import run_jobs
from plaudit.store import STAGES, Run, read_json

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SMALL = [
    "--collect.steps",
    "320",
    "--collect.num-envs",
    "8",
    "--judge.items",
    "12",
    "--judge.pairs",
    "4000",
    "--train.controls",
    "task",
    "--train.seeds",
    "1",
    "--train.steps",
    "256",
    "--train.num-envs",
    "8",
    "--train.horizon",
    "32",
    "--evaluate.episodes",
    "2",
    "--evaluate.examples",
    "1",
    "--fit.steps",
    "20",
    "--fit.held-out",
    "0.5",
    "--fit.members",
    "1",
]
LAKE = """
from plaudit import Wrapped

class Lake(Wrapped):
    id = "FrozenLake-v1"
    goal = "cross the lake"
    action_words = ("left", "down", "right", "up")

    def describe(self, obs):
        return f"You are at {obs}."
"""


def needed(path: Path):
    """Skips a test where the example's package is missing."""
    missing = path.stem == "textworld_game" and find_spec("textworld") is None
    return pytest.param(path, id=path.stem, marks=pytest.mark.skipif(missing, reason="needs the extra 'textworld'"))


def write(folder: Path, text: str = LAKE, name: str = "lake.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def code_lines(path: Path) -> int:
    """Lines that are neither empty, comments nor docstrings."""
    text = path.read_text()
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            prose |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(bool(line) and not line.startswith("#") and number not in prose for number, line in lines)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_short(path):
    assert code_lines(path) <= 30


@pytest.mark.parametrize("path", [needed(path) for path in EXAMPLES])
def test_examples_keep_the_contract(path, capsys):
    assert main(["check", str(path)]) == 0, capsys.readouterr().out
    assert "0 failed" in capsys.readouterr().out


@pytest.mark.parametrize("path", [needed(path) for path in EXAMPLES])
def test_examples_run_all_the_way(path, tmp_path):
    command = [sys.executable, "-m", "plaudit.cli", "run", str(path.relative_to(ROOT)), "--out", str(tmp_path / "r")]
    result = subprocess.run([*command, *SMALL], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert all((tmp_path / "r" / stage / "stage.json").is_file() for stage in STAGES)
    assert read_json(tmp_path / "r" / "run.json")["config"]["world"]["name"] == str(path)
    page = (tmp_path / "r" / "report.html").read_text()
    assert f"world {path.stem}" in page


def test_a_path_is_a_world_everywhere(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for verb in ("run", "compare", "calibrate", "forecast", "collect", "check"):
        _, name, config = parse_config(verb, ["./lake.py"])
        assert name == "lake" and config.world.name == str(tmp_path / "lake.py")
    assert registry.load("worlds", "lake.py") is registry.load("worlds", config.world.name)
    relative = from_dict(RunConfig, {"world": {"name": "lake.py"}})
    assert settled(relative).world.name == config.world.name


def test_its_task_and_settings_are_its_own(tmp_path):
    own = (
        LAKE
        + '    choices = {"task": ("FrozenLake-v1", "FrozenLake8x8-v1")}\n    settings = {"train": {"gamma": 0.9}}\n'
    )
    path = write(tmp_path, own)
    _, name, config = parse_config("run", [f"{path}:FrozenLake8x8-v1"])
    assert name == "lake-FrozenLake8x8-v1" and config.train.gamma == 0.9
    world = registry.load("worlds", str(path))(**world_choices(config.world))
    assert world.env.observation_space.n == 64
    with pytest.raises(ConfigError, match="has no task 'FrozenLake9x9"):
        world_choices(parse_config("run", [f"{path}:FrozenLake9x9-v1"])[2].world)


def test_a_changed_file_is_noticed(tmp_path):
    path = write(tmp_path)
    run = Run.create(tmp_path / "r", from_dict(RunConfig, {"world": {"name": str(path)}}))
    before, cls = run.expected("collect"), registry.load("worlds", str(path))
    path.write_text(LAKE.replace("You are at", "You stand at"))
    assert run.expected("collect") != before
    assert registry.load("worlds", str(path)) is not cls


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("x = 1\n", ConfigError, "holds no World"),
        ("x = (1\n", ConfigError, "line 1: '[(]' was never closed"),
        ("x = 1\ny = x / 0\n", ConfigError, "line 2: ZeroDivisionError"),
        ("\nimport absent_package\n", MissingExtraError, "line 2 needs the package 'absent_package'"),
        (
            LAKE + "class Other(Lake):\n    pass\nclass Third(Lake):\n    pass\n",
            ConfigError,
            "several worlds: Other, Third",
        ),
    ],
)
def test_a_file_that_is_no_world_is_explained(tmp_path, text, kind, says):
    with pytest.raises(kind, match=says):
        registry.load("worlds", str(write(tmp_path, text)))


def test_a_base_in_the_file_and_a_module_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    write(tmp_path, "WORD = 'hello'\n", "beside_the_world.py")
    own = (
        LAKE.replace("from plaudit", "from beside_the_world import WORD\nfrom plaudit", 1)
        + "class Mine(Lake):\n    word = WORD\n"
    )
    assert registry.load("worlds", str(write(tmp_path, own))).word == "hello"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "absent.py"), "there is no file"),
        (("check", "absent.py"), "there is no file"),
        (("run", "lake.py", "--world.size", "3"), "has no choice of size"),
        (("compare", "two.py", "--dry-run"), "several worlds"),
    ],
)
def test_bad_paths_get_one_clear_line(tmp_path, monkeypatch, capsys, words, says):
    write(tmp_path)
    write(tmp_path, LAKE + LAKE.replace("Lake(", "Pond("), "two.py")
    monkeypatch.chdir(tmp_path)
    assert main(list(words)) == 2
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error and not (tmp_path / "runs").exists()


def test_by_entry_point(tmp_path, monkeypatch):
    write(tmp_path, name="lake_package.py")
    info = tmp_path / "lake-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lake\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[plaudit.worlds]\nlake = lake_package:Lake\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert registry.load("worlds", "lake").id == "FrozenLake-v1"
    assert parse_config("run", ["lake"])[2].world.name == "lake"


@pytest.mark.parametrize("name", ["Taxi-v3", "Blackjack-v1", "CartPole-v1", "Pendulum-v1"])
def test_other_environments_of_gymnasium_keep_the_contract(name):
    """Many states, a tuple, floats, and actions that are numbers."""
    cls = type("Own", (Wrapped,), {"id": name, "goal": "win", "describe": lambda self, obs: f"{self.original(obs)}"})
    failed = [f"{f.name}: {f.text}" for f in check(cls, cls.vector) if f.status == "failed"]
    assert failed == []


def test_the_page_shows_the_example_as_it_is():
    page = (ROOT / "docs" / "own-world.md").read_text()
    assert (ROOT / "examples" / "babyai_goto.py").read_text() in page


class Nested(gym.Env):
    """Every kind of part that has a fixed size."""

    observation_space = spaces.Dict(
        {
            "agent": spaces.Dict({"place": spaces.Discrete(500), "hot": spaces.MultiBinary(3)}),
            "pair": spaces.Tuple((spaces.Discrete(3, start=5), spaces.Box(-1, 1, (2,), np.float64))),
            "said": spaces.Text(40),
            "small": spaces.Discrete(4),
        }
    )
    action_space = spaces.Box(-1, 1, (2,), np.float32)
    one = {
        "agent": {"place": 421, "hot": np.array([1, 0, 1], np.int8)},
        "pair": (6, np.array([0.25, -0.5])),
        "said": "Grüße",
        "small": 2,
    }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.one, {}

    def step(self, action):
        return self.one, 1.0, True, False, {"is_success": False, "progress": 0.5, "odd": object()}


class WrappedNested(Wrapped):
    goal = "do it"

    def make(self):
        return Nested()

    def describe(self, obs):
        return self.original(obs)["said"]


def test_nested_observations_become_flat_and_come_back():
    world = WrappedNested()
    obs, _ = world.reset(seed=0)
    assert list(obs) == ["agent/hot", "agent/place", "pair/0", "pair/1", "said", "small"]
    assert obs in world.observation_space and world.describe(obs) == "Grüße"
    kinds = world.observation_space.spaces
    assert isinstance(kinds["agent/place"], Codes) and isinstance(kinds["said"], Text)
    back = world.original(obs)
    assert back["agent"]["place"] == 421 and back["pair"][0] == 6 and back["small"] == 2
    assert np.array_equal(back["pair"][1], [0.25, -0.5]) and np.array_equal(back["agent"]["hot"], [1, 0, 1])
    facts = world.features(obs)
    assert facts["pair_0"] == 6 and facts["pair_1_1"] == -0.5 and facts["said"] == "Grüße" and facts["agent_hot_0"] == 1


def test_what_the_environment_says_of_success_counts():
    world = WrappedNested()
    world.reset(seed=0)
    *_, info = world.step(np.zeros(2, np.float32))
    assert info == {"success": False, "task_reward": 1.0, "progress": 0.5}
    with pytest.raises(ConfigError, match="has no action"):
        world.step(np.zeros(3, np.float32))


def test_numbers_as_actions_are_read_strictly():
    world = WrappedNested()
    assert np.array_equal(world.parse_action("[0.5, -1]"), np.array([0.5, -1], np.float32))
    for reply in ("0.5, -1", "[0.5]", "[0.5, 3]", "nothing", '["a", 1]', "true", "[[1], 2]"):
        assert world.parse_action(reply) is None, reply


def test_numbers_of_an_action_are_short_and_can_be_read_back():
    world = WrappedNested()
    word = world.action_word(np.array([-0.07496243715286255, 1], np.float32), None)
    assert word == "[-0.075, 1.0]" and world.action_space.contains(world.parse_action(word))


@pytest.mark.parametrize(
    ("low", "high", "number", "word"),
    [
        (100.4, 100.6, 100.4734, "[100.4734]"),
        (-0.07496, 0.07496, 0.07496, "[0.07496]"),
        (0, 1999, 1999, "[1999.0]"),
        (0, 1999, 1234, "[1234.0]"),
        (-np.pi, np.pi, 1.23456, "[1.23]"),
        (-np.inf, np.inf, 0.123456, "[0.123]"),
    ],
)
def test_every_action_of_a_box_is_read_back_nearly_as_it_was(low, high, number, word):
    env = Nested()
    env.action_space = spaces.Box(low, high, (1,), np.float32, seed=0)
    world = type("Own", (WrappedNested,), {"make": lambda self: env})()
    assert world.action_word(np.array([number], np.float32), None) == word
    for action in (env.action_space.low, env.action_space.high, *(env.action_space.sample() for _ in range(100))):
        if np.isfinite(action).all():
            assert abs(world.parse_action(world.action_word(action, None)) - action) <= (high - low) / 999


def test_spaces_without_a_size_are_refused():
    class Growing(WrappedNested):
        def make(self):
            env = Nested()
            env.observation_space = spaces.Dict({"list": spaces.Sequence(spaces.Discrete(3))})
            return env

    with pytest.raises(ConfigError, match="'list' of the observation has no fixed size"):
        Growing()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"goal": ""}, "says no goal"),
        ({"describe": Wrapped.__mro__[1].describe}, "cannot describe"),
        ({"id": ""}, "names no environment"),
        ({"id": "FrozenLak-v1"}, "FrozenLak"),
        ({"action_words": ("left",)}, "has 1 words for 4 actions"),
    ],
)
def test_what_is_missing_in_a_class_is_named(tmp_path, change, says):
    lake = registry.load("worlds", str(write(tmp_path)))
    with pytest.raises(ConfigError, match=says):
        type("Changed", (lake,), change)()


BROKEN = LAKE.replace(
    "    def describe",
    """    def step(self, action):
        self.count = getattr(self, "count", 0) + 1
        if self.count > LIMIT:
            raise RuntimeError("the ice broke")
        return super().step(action)

    def describe""",
)


@pytest.mark.parametrize("method", ["reset", "describe", "event"])
def test_a_world_that_fails_is_named_and_no_defect_of_plaudit(tmp_path, monkeypatch, capsys, method):
    path = write(tmp_path, LAKE + f"    def {method}(self, *a, **k):\n        return 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(path), *SMALL]) == WORLD_FAILED
    error = capsys.readouterr().err
    assert f"the world Lake failed in {method}, line" in error and "ZeroDivisionError" in error
    assert "defect of plaudit" not in error


def test_an_error_inside_of_the_environment_is_its_world_s(tmp_path):
    path = write(
        tmp_path,
        LAKE + "    def make(self):\n        e = super().make()\n        del e.unwrapped.P\n        return e\n",
    )
    world = registry.load("worlds", str(path))()
    world.reset(seed=0)
    with pytest.raises(Exception) as caught:
        world.step(0)
    assert "the world Lake failed in step: AttributeError" in world_file.blame(caught.value)
    assert world_file.blame(ValueError("elsewhere")) == ""


def test_a_world_that_fails_in_training_stops_its_agent_only(tmp_path):
    from plaudit.budget import Budget
    from plaudit.stages.train import Job

    limit = "LIMIT = 10\n" + BROKEN
    path = write(tmp_path, limit)
    settings = {"name": str(path)}
    config = from_dict(RunConfig, {"world": settings, "train": {"steps": 512, "num_envs": 8, "horizon": 32}})
    run = Run.create(tmp_path / "r", config)
    run.stage("train")
    failures = run_jobs([Job(run.folder, "task", 0)], 1, 512, Budget())
    (said,) = failures.values()
    assert "task-0: the world Lake failed in step, line" in said and "the ice broke" in said
    log = next(run.folder.rglob("error-task-0.txt"))
    assert "RuntimeError" in log.read_text()
    path.write_text(limit.replace("LIMIT = 10", "LIMIT = 10_000"))
    assert run_jobs([Job(run.folder, "task", 0)], 1, 512, Budget()) == {}


@pytest.mark.parametrize("words", [["train"], ["label"], ["export", "--to", "trl"]])
def test_a_world_in_the_place_of_a_run_is_told_how_to_make_one(tmp_path, capsys, words):
    path = write(tmp_path)
    assert main([words[0], str(path), *words[1:]]) == 2
    assert f"Make one: plaudit run {path}" in capsys.readouterr().err


def test_a_missing_world_file_is_told_where_a_run_goes_on(tmp_path, capsys):
    path = write(tmp_path)
    Run.create(tmp_path / "r", from_dict(RunConfig, {"world": {"name": str(path)}}))
    path.unlink()
    assert main(["collect", str(tmp_path / "r")]) == 2
    assert "there is no file" in capsys.readouterr().err


def test_errors_are_plaudit_s(tmp_path):
    with pytest.raises(PlauditError):
        world_file.load(str(tmp_path / "absent.py"))


def test_an_llm_that_can_choose_no_action_is_told_before_anything_is_played(tmp_path):
    file = tmp_path / "swing.py"
    file.write_text(
        "from plaudit import Wrapped\n\nclass Swing(Wrapped):\n    id, goal = 'Pendulum-v1', 'stand'\n"
        "    def describe(self, obs):\n        return str(self.original(obs))\n"
    )
    config = RunConfig(world=WorldConfig(str(file)), route="llm")
    with pytest.raises(ConfigError, match=r"does not list its actions.*--policy\.action generate.*action_words"):
        parts.check(config)
    parts.check(dataclasses.replace(config, policy=PolicyConfig(action="generate")))
    parts.check(dataclasses.replace(config, route="task"))


def test_a_file_that_is_named_like_a_world_is_pointed_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("swing.py").touch()
    with pytest.raises(ConfigError, match=r"there is no world 'swing'.*Your file swing\.py: \./swing\.py"):
        registry.load("worlds", "swing")
