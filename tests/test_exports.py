"""Exports: what other programs read equals what plaudit has, and reads without plaudit."""

import json
import math
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import gymnasium as gym
import numpy as np
import pyarrow.parquet as pq
import pytest
from gymnasium import spaces
from test_routes import PROGRAM, SMALL, knows

import plaudit
from plaudit.cli import main
from plaudit.config import RunConfig, from_dict
from plaudit.envs.gridworld import DoorKey
from plaudit.exports import load_observation_reward, load_text_reward
from plaudit.exports.pairs import SUREST, pairs
from plaudit.exports.reward import of_observations
from plaudit.llms.scripted import ScriptedLLM
from plaudit.recording import load_recording
from plaudit.rewards.base import Transitions
from plaudit.rewards.reward_net import RewardModel
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.routes import base
from plaudit.routes.networks import load_model_reward
from plaudit.spaces import Text
from plaudit.stages import parts, run_stages
from plaudit.stages.parts import make_route
from plaudit.store import Run, read_table
from plaudit.vector import stack

PAGE = Path(__file__).parent.parent / "docs" / "exports.md"
JUDGE = {"items": 60, "pairs": 600}
READERS = {"text": {}, "observation": {"fit": {"steps": 30, "input": "observation"}}}


def made(folder, route="preference", **sections):
    """A run up to its fit, judged by a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "make_llm", lambda config: ScriptedLLM(lambda request: PROGRAM, knows))
        run = Run.create(folder, from_dict(RunConfig, {"route": route} | SMALL | {"judge": JUDGE} | sections))
        run_stages(run, ("collect", "annotate", "fit"))
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: made(folder / name, **sections) for name, sections in READERS.items()}


def without_plaudit(code, folder):
    """Run by this Python with no site of its own but what torch and safetensors need; returns what it printed."""
    blocked = "import sys; sys.modules['plaudit'] = None; sys.path = [p for p in sys.path if 'src' not in p]\n"
    command = [sys.executable, "-c", blocked + code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_pairs_are_the_judges(runs, tmp_path, capsys):
    run = runs["text"]
    assert main(["export", str(run.folder), "--to", "trl", "--margin", "--out", str(tmp_path / "p")]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "p") in said and "0 unparsed" in said
    table = pq.read_table(tmp_path / "p" / "train.parquet")
    assert [(f.name, str(f.type)) for f in table.schema] == [
        ("prompt", "string"),
        ("chosen", "string"),
        ("rejected", "string"),
        ("probability", "double"),
        ("margin", "double"),
    ]
    judged = {
        (c["first"], c["second"]): c["probability"] for c in read_table(run.folder / "annotate/comparisons.parquet")
    }
    for row in table.to_pylist():
        p = judged.get((row["chosen"], row["rejected"]))
        p = 1 - judged[row["rejected"], row["chosen"]] if p is None else p
        assert row["probability"] == pytest.approx(max(p, 1 - p)) and DoorKey.goal in row["prompt"]
        sure = min(row["probability"], SUREST)
        assert row["margin"] == pytest.approx(math.log(sure / (1 - sure))) and row["margin"] > 0
    facts = json.loads((tmp_path / "p" / "export.json").read_text())
    assert facts["counts"]["pairs"] == len(table) > 100
    different = len(set(zip(table["chosen"].to_pylist(), table["rejected"].to_pylist(), strict=True)))
    assert facts["different"] == different < len(table)  # few descriptions are drawn again and again
    assert f"({different} different)" in (tmp_path / "p" / "README.md").read_text()
    assert sum(facts["counts"].values()) == 600 and facts["counts"]["tie"] > 0


def test_ties_and_failures_are_counted_and_left_out():
    from collections import Counter

    def row(status, probability):
        return {"first": "a", "second": "b", "status": status, "probability": probability}

    rows = [row("ok", 0.8), row("ok", 0.1), row("ok", 1.0), row("ok", 0.5), row("tie", 0.5)]
    counts = Counter()
    found = list(pairs([*rows, row("unparsed", None), row("refused", None), row("error", None)], "p", counts))
    assert counts == {"pairs": 3, "tie": 2, "unparsed": 1, "refused": 1, "error": 1}
    assert [(r["chosen"], r["rejected"]) for r in found] == [("a", "b"), ("b", "a"), ("a", "b")]
    assert [r["probability"] for r in found] == pytest.approx([0.8, 0.9, 1.0])
    assert found[2]["margin"] == pytest.approx(math.log(SUREST / (1 - SUREST)))


def test_datasets_loads_the_folder(runs, tmp_path):
    datasets = pytest.importorskip("datasets")
    plaudit.export(runs["text"], plaudit.ExportOptions("trl", str(tmp_path / "p")))
    data = datasets.load_dataset(str(tmp_path / "p"), cache_dir=str(tmp_path / "cache"))
    assert list(data) == ["train"] and data["train"].column_names == ["prompt", "chosen", "rejected", "probability"]
    assert data["train"].to_list() == pq.read_table(tmp_path / "p" / "train.parquet").to_pylist()


@pytest.mark.parametrize("reads", READERS)
def test_the_loader_gives_plaudits_rewards_without_plaudit(runs, tmp_path, reads):
    run = runs[reads]
    assert main(["export", str(run.folder), "--to", "reward", "--out", str(tmp_path / "r")]) == 0
    world = parts.make_world(run.config.world)
    model = load_model_reward(run, world).model
    if reads == "text":
        items = [row["text"] for row in read_table(run.folder / "collect" / "observations.parquet")]
        items += ["", "Ünknown, wörds!", "never SEEN before 42"]
        written = items
    else:
        items = load_recording(run.folder / "collect").single_observations()
        written = [{k: np.asarray(v).tolist() for k, v in o.items()} for o in items]
    (tmp_path / "items.json").write_text(json.dumps(written))
    said = without_plaudit(
        "import json, sys; sys.path.insert(0, 'r'); from load_reward import load\n"
        "print(json.dumps(load('r')(json.load(open('items.json'))).tolist()))\n"
        "assert not {m.split('.')[0] for m in sys.modules if sys.modules[m]} & {'plaudit', 'gymnasium', 'transformers'}",
        tmp_path,
    )
    np.testing.assert_allclose(json.loads(said), model(items), rtol=0, atol=1e-6)
    assert np.ptp(model(items)) > 0.1
    assert json.loads((tmp_path / "r" / "reward.json").read_text())["shaping"]["std"] == base.shaping(run).std


@pytest.mark.parametrize("loader", [load_text_reward, load_observation_reward])
def test_a_loader_is_short(loader):
    assert sum(bool(line.strip()) for line in Path(loader.__file__).read_text().splitlines()) <= 20


def test_numbers_beside_codes_and_what_has_no_loader(tmp_path):
    """A space of codes and numbers keeps its order; texts, pictures and ids are refused."""
    from safetensors.torch import save_file

    box = spaces.Box(-9, 9, (2, 2), np.float32)
    space = spaces.Dict({"a": box, "b": spaces.Discrete(5), "c": spaces.Box(-1, 1, (3,), np.float64)})
    for each in (space, box, spaces.Discrete(5)):
        model = RewardModel("observation", each, 8, 3, 0)
        read, weights = of_observations(model)
        (tmp_path / "reward.json").write_text(json.dumps(read))
        save_file(weights, tmp_path / "reward.safetensors")
        seen = [each.sample() for _ in range(20)]
        np.testing.assert_allclose(load_observation_reward.load(tmp_path)(seen), model(seen), rtol=0, atol=1e-6)
    with pytest.raises(plaudit.PlauditError, match="short loader"):
        of_observations(RewardModel("observation", spaces.Dict({"said": Text(20)}), 8, 3, 0))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("RUN",), "--to trl, or --to reward"),
        (("RUN", "--to", "tlr"), "Did you mean 'trl'"),
        (("--to", "trl"), "give the folder of one run"),
        (("nowhere", "--to", "trl"), "is no run"),
        (("RUN", "--to", "reward", "--margin"), "--to trl"),
        (("RUN", "--to", "trl", "--out", "RUN"), "exists already"),
    ],
)
def test_what_is_wrong_is_said(runs, capsys, words, says):
    folder = str(runs["text"].folder)
    assert main(["export", *(folder if word == "RUN" else word for word in words)]) in (2, 4)
    assert says in capsys.readouterr().err and not list(runs["text"].folder.glob("export/*"))


def test_routes_without_pairs_or_networks_say_so(tmp_path):
    run = made(tmp_path / "code", "code")
    for to, says in (("trl", "compared nothing"), ("reward", "fitted no networks")):
        with pytest.raises(plaudit.PlauditError, match=says):
            plaudit.export(run, plaudit.ExportOptions(to))
        assert not (run.folder / "export" / to).exists() and not list((run.folder / "export").iterdir())
    env = plaudit.reward_wrapper(run)
    env.reset(seed=0)
    assert np.isfinite(env.step(2)[1])
    env.close()


def with_shaping(run, **shaping):
    """The same run under another shaping."""
    return Run(run.folder, from_dict(RunConfig, plaudit.config.to_dict(run.config) | {"shaping": shaping}))


@pytest.mark.parametrize("reads", READERS)
@pytest.mark.parametrize("shaping", [{}, {"potential": True}, {"task_weight": 0.5, "count_power": 1.0}])
def test_the_wrapper_gives_what_plaudits_agents_get(runs, reads, shaping):
    run = with_shaping(runs[reads], **shaping)
    env = plaudit.reward_wrapper(run, DoorKey(size=5))
    world = parts.make_world(run.config.world)
    envs = RewardWrapper(
        parts.make_envs(run.config.world, 1), *make_route(run.config.route).reward(run, world), world.event
    )
    actions = np.random.default_rng(0)
    seen, _ = env.reset(seed=3)
    seen_too, _ = envs.reset(seed=3)
    ends, rewards = 0, set()
    for _ in range(400):
        np.testing.assert_equal(stack([seen]), {k: np.asarray(v) for k, v in seen_too.items()})
        action = int(actions.integers(6))
        seen, reward, terminated, truncated, info = env.step(action)
        seen_too, reward_too, terminated_too, truncated_too, info_too = envs.step(np.array([action]))
        assert reward == pytest.approx(float(reward_too[0]), abs=1e-6) and type(reward) is float
        assert (terminated, truncated) == (terminated_too[0], truncated_too[0])
        assert info["task_reward"] == info_too["task_reward"][0] and "final_obs" not in info
        rewards.add(round(reward, 3))
        if terminated or truncated:
            ends += 1
            seen, _ = env.reset(options=None)
    assert ends and len(rewards) > 3


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped")
def test_it_is_a_stock_wrapper(runs):
    from gymnasium.utils.env_checker import check_env

    env = plaudit.reward_wrapper(runs["text"].folder)
    assert isinstance(env, gym.Wrapper) and isinstance(env.unwrapped, DoorKey)
    check_env(env, skip_render_check=True)
    with pytest.raises(plaudit.PlauditError, match="other wrappers around it"):
        plaudit.reward_wrapper(runs["text"], gym.make("FrozenLake-v1"))
    acting = Run(runs["text"].folder, from_dict(RunConfig, {"route": "llm"}))
    with pytest.raises(plaudit.PlauditError, match="makes no reward"):
        plaudit.reward_wrapper(acting)


def examples():
    """The Python of the page, by what it imports first."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


def test_the_pages_examples_run(runs, tmp_path, monkeypatch):
    """All of them, in a folder with such a run; ``datasets`` is stood in for where it is not installed."""
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs["text"].folder, "runs/doorkey")
    for to in ("trl", "reward"):
        assert main(["export", "runs/doorkey", "--to", to]) == 0
    try:
        import datasets  # noqa: F401
    except ModuleNotFoundError:
        read = lambda folder, split: pq.read_table(f"{folder}/{split}.parquet").to_pylist()  # noqa: E731
        monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=read))
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert len(examples()) == 4
    for code in examples():
        exec(compile(code.replace("100_000", "512"), str(PAGE), "exec"), {})


def test_an_observation_that_ends_an_episode_is_rewarded(runs):
    """The reward of a step is that of what it led to, the last one too."""
    run = with_shaping(runs["text"], normalize=False, quantile=-1.0, count_power=0.0)
    env = plaudit.reward_wrapper(run)
    expert, reward_fn = DoorKey().expert(), load_model_reward(run, DoorKey())
    seen, _ = env.reset(seed=1)
    terminated = False
    while not terminated:
        action = expert.act(stack([seen]))[0]
        seen, reward, terminated, _, info = env.step(action)
        assert reward == pytest.approx(float(reward_fn(Transitions(stack([seen]), np.zeros(1)))[0]))
    assert info["success"] and info["task_reward"] > 0
