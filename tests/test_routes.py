"""Routes through their stages with a scripted model: segments, rounds, one order, online ratings, programs, reflection."""

import numpy as np
import pytest

from plaudit.config import RunConfig, from_dict
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.llms.scripted import ScriptedLLM
from plaudit.rewards.base import Transitions
from plaudit.stages import parts, run_stages
from plaudit.stages.parts import make_route
from plaudit.stages.train import wrapped_envs
from plaudit.store import Run, read_table

PROGRAM = """def reward(features, next_features):
    return {"key": 1.0 * next_features["carrying_key"], "door": 1.0 * (next_features["door_state"] == "open")}"""
BETTER = PROGRAM.replace('"door": 1.0', '"door": 2.0')
SMALL = {
    "world": {"size": 5},
    "collect": {"steps": 3200, "num_envs": 16},
    "fit": {"steps": 30},
    "train": {"seeds": 1, "steps": 512, "num_envs": 16, "horizon": 16, "controls": []},
}


def knows(request):
    """Likes the key in hand and the open door; whatever is asked about last counts."""
    asked = request.prompt.rsplit("Goal:", 1)[1]
    if request.answers == (" A", " B"):
        first, second = asked.split("\nA: ")[1].split("\nB: ")
        a, b = (text.count("hold the key") + text.count("open door") for text in (first, second))
        return [float(a), float(b)]
    good = asked.count("hold the key") + asked.count("open door")
    return [good - 3.0, -3.0] if len(request.answers) == 2 else [-abs(i - good) for i in range(len(request.answers))]


@pytest.fixture
def scripted(monkeypatch):
    """Every model that is opened says this."""
    opened = []

    def make(config):
        program = lambda request: BETTER if "Result of the training" in request.prompt else PROGRAM  # noqa: E731
        opened.append(ScriptedLLM(program, knows))
        return opened[-1]

    monkeypatch.setattr(parts, "make_llm", make)
    return opened


def made(tmp_path, route, stages=("collect", "annotate", "fit"), **sections):
    config = from_dict(RunConfig, {"route": route} | SMALL | sections)
    run = Run.create(tmp_path / route, config)
    run_stages(run, stages)
    return run


def rewards_follow_the_judge(run):
    rows = {row["text"]: row["reward"] for row in read_table(run.folder / "fit" / "rewards.parquet")}
    held = [r for t, r in rows.items() if "hold the key" in t]
    empty = [r for t, r in rows.items() if "hands are empty" in t]
    return np.mean(held) > np.mean(empty) + np.std(empty) / 2


def test_segments_are_judged_and_rewarded_by_their_members(tmp_path, scripted):
    run = made(tmp_path, "preference", judge={"items": 80, "pairs": 800, "segment": 3})
    items = read_table(run.folder / "annotate" / "items.parquet")
    assert all(len(i["members"]) == 3 and i["text"].startswith("First: ") for i in items)
    assert all(i["text"].count("Then: ") == 2 for i in items) and rewards_follow_the_judge(run)


@pytest.mark.parametrize("selection", ["uniform", "disagreement"])
@pytest.mark.parametrize("protocol", ["pointwise", "pairwise"])
def test_labels_in_rounds_give_a_learning_curve(tmp_path, scripted, protocol, selection):
    judge = {"items": 60, "pairs": 600, "rounds": 3, "selection": selection, "protocol": protocol}
    run = made(tmp_path, "preference", judge=judge)
    curve = read_table(run.folder / "annotate" / "curve.parquet")
    labels = [row["labels"] for row in curve]
    assert len(curve) == 3 and labels == sorted(set(labels)) and rewards_follow_the_judge(run)
    assert all(0.5 < row["held_out_accuracy"] <= 1 for row in curve)
    comparisons = read_table(run.folder / "annotate" / "comparisons.parquet")
    if protocol == "pairwise":
        asked = [frozenset((c["first"], c["second"])) for c in comparisons]
        assert len(set(asked)) >= 0.95 * len(asked)
        assert all(c["forward"] is not None and c["backward"] is not None for c in comparisons)


def test_asking_stops_when_the_curve_is_flat(tmp_path, scripted):
    judge = {"items": 100, "pairs": 1000, "rounds": 8, "patience": 2}
    run = made(tmp_path, "preference", judge=judge)
    curve = read_table(run.folder / "annotate" / "curve.parquet")
    assert 3 <= len(curve) < 8 and curve[-1]["labels"] < 100


def test_one_order_asks_half(tmp_path, scripted):
    judge = {"items": 40, "pairs": 500, "protocol": "pairwise", "both_orders": False}
    run = made(tmp_path, "preference", judge=judge)
    rows = read_table(run.folder / "annotate" / "comparisons.parquet")
    assert all((row["forward"] is None) != (row["backward"] is None) for row in rows) and rewards_follow_the_judge(run)


def test_ratings_are_distilled_or_asked_online(tmp_path, scripted):
    run = made(tmp_path / "a", "scalar", judge={"items": 80})
    assert run.finished("fit")["summary"]["held_out_spearman"] > 0.5 and rewards_follow_the_judge(run)
    online = made(tmp_path / "b", "scalar", judge={"items": 40}, fit={"online": True})
    asked = sum(len(llm.asked) for llm in scripted)
    reward, _ = make_route("scalar").reward(online, DoorKey(5, render_mode=None))
    observations = DoorKeyVector(64, 5).reset(seed=9)[0]
    first = reward(Transitions(observations, np.zeros(64)))
    new = sum(len(llm.asked) for llm in scripted) - asked
    assert 0 < new < 64 and np.isfinite(first).all()
    assert reward(Transitions(observations, np.zeros(64))).tolist() == first.tolist()
    assert sum(len(llm.asked) for llm in scripted) == asked + new  # remembered


def test_a_program_goes_all_the_way(tmp_path, scripted):
    run = made(tmp_path, "code", code={"candidates": 2, "rounds": 1})
    assert (run.folder / "annotate" / "reward.py").read_text().strip() == PROGRAM and rewards_follow_the_judge(run)
    envs = wrapped_envs(run, "code")
    envs.reset(seed=0)
    _, rewards, *_ = envs.step(np.zeros(16, np.int64))
    assert rewards.shape == (16,) and np.isfinite(rewards).all()
    envs.reward_fn.close()


def test_reflection_trains_tells_and_keeps_the_better_program(tmp_path, scripted):
    run = made(tmp_path, "code", code={"candidates": 1, "rounds": 1, "reflections": 1})
    attempts = read_table(run.folder / "annotate" / "attempts.parquet")
    assert [a["purpose"] for a in attempts] == ["write", "reflect"]
    told = attempts[1]["prompt"]
    assert PROGRAM in told and "of its episodes" in told and "- key: mean" in told and "- door: mean" in told
    assert (run.folder / "annotate" / "reward.py").read_text().strip() in (PROGRAM, BETTER)


def test_nothing_of_the_world_s_own_reward_reaches_an_llm(tmp_path, scripted):
    """Where the files that hold it are gone, everything that makes a reward still runs."""
    for route, sections in (("preference", {"judge": {"items": 60, "pairs": 600}}), ("code", {"code": {"rounds": 1}})):
        run = made(tmp_path, route, ("collect",), **sections)
        record = run.folder / "collect" / "stage.json"
        for name in ("truth.parquet", "truth.safetensors"):
            (run.folder / "collect" / name).write_bytes(b"")  # there, but empty
        assert record.exists()
        run_stages(run, ("annotate", "fit"))
        assert run.finished("fit")
