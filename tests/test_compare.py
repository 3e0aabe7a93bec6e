"""Every arm side by side, with the real embedded model: one fails and loses nothing of the others, ceilings hold,
what is done is never done again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plaudit.store import read_table

ARMS = ["llm", "scalar", "preference", "code", "embedding", "task", "random", "count"]
SMALL = [
    *("--world.size", "5", "--collect.steps", "3200", "--judge.items", "50", "--judge.pairs", "600"),
    *("--train.seeds", "1", "--train.steps", "2048", "--train.num-envs", "16", "--train.horizon", "32"),
    *("--evaluate.episodes", "4", "--evaluate.examples", "1", "--fit.steps", "50"),
    *("--code.rounds", "1", "--code.candidates", "2", "--code.max-tokens", "8"),
    *("--policy.episodes", "2", "--policy.max-steps", "10"),
]


def compare(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "plaudit.cli", "compare", "doorkey", "--out", str(folder), *SMALL]
    return subprocess.run([*command, "--arms", *ARMS, *words], capture_output=True, text=True)


def arms(folder: Path) -> dict[str, dict]:
    return {arm["name"]: arm for arm in json.loads((folder / "compare.json").read_text())["arms"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Stopped by a ceiling, then let go on."""
    folder = tmp_path_factory.mktemp("compare") / "c"
    first = compare(folder, "--max-tokens", "20000")
    assert first.returncode == 0, first.stderr
    stopped = {name: arm for name, arm in arms(folder).items() if arm["status"] == "stopped"}
    assert stopped and all("ceiling" in arm["reason"] for arm in stopped.values())
    assert sum(arm["tokens"] for arm in arms(folder).values()) <= 20_000
    assert {"task", "random", "count", "embedding"} <= {n for n, a in arms(folder).items() if a["status"] == "done"}
    (folder / "tokens-before").write_text(json.dumps({n: a["tokens"] for n, a in arms(folder).items()}))
    (folder / "curve-before").write_bytes((folder / "arms/task/train/task-0/curve.parquet").read_bytes())
    second = compare(folder)
    assert second.returncode == 0, second.stderr
    return folder


def test_all_arms_are_there_and_a_failure_is_its_own(folder):
    found = arms(folder)
    assert list(found) == ARMS
    # Eight tokens are no program: so this arm fails, whatever the model.
    assert found.pop("code")["status"] == "failed"
    assert {arm["status"] for arm in found.values()} == {"done"}
    code = arms(folder)["code"]
    assert "none of the 2 reward programs" in code["reason"] and len(code["attempts"]) == 2 and code["tokens"] > 0
    page = (folder / "report.html").read_text()
    assert "none of the 2 reward programs" in page and (folder / "arms.csv").exists()


def test_what_was_asked_before_the_ceiling_was_not_asked_again(folder):
    before, after = json.loads((folder / "tokens-before").read_text()), arms(folder)
    assert all(after[name]["tokens"] >= tokens for name, tokens in before.items())
    questions = {name: len(read_ledger(folder / "arms" / name)) for name in ("scalar", "preference")}
    assert questions == {"scalar": 50, "preference": 50}
    assert (folder / "arms/task/train/task-0/curve.parquet").read_bytes() == (folder / "curve-before").read_bytes()


def read_ledger(folder: Path) -> list:
    import sqlite3

    return (
        sqlite3.connect(folder / "ledger.sqlite").execute("SELECT key, COUNT(*) FROM answers GROUP BY key").fetchall()
    )


def test_everything_but_the_route_is_the_same(folder):
    collected = {p.stat().st_ino for p in folder.glob("arms/*/collect/transitions.safetensors")}
    assert len(collected) == 1  # one collection, linked
    configs = {n: json.loads((folder / "arms" / n / "run.json").read_text())["config"] for n in ARMS}
    for config in configs.values():
        config.pop("route")
    assert all(config == configs["task"] for config in configs.values())


def test_the_same_trajectories_under_every_reward(folder):
    rows = read_table(folder / "trajectories.parquet")
    rewards = [k for k in rows[0] if k.startswith("reward:")]
    assert set(rewards) == {"reward:scalar", "reward:preference", "reward:embedding"}
    assert {row["source"] for row in rows} == {"llm", "scalar", "preference", "embedding", "task", "random", "count"}
    assert all(row[name] is not None for row in rows for name in rewards)


def test_other_settings_are_refused(folder):
    result = compare(folder, "--train.gamma", "0.5")
    assert result.returncode == 4 and "train.gamma: 0.97 -> 0.5" in result.stderr


def test_a_dry_run_lists_the_arms_and_makes_nothing(tmp_path):
    result = compare(tmp_path / "c", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert all(f"\n  {name} " in "\n" + result.stdout for name in ARMS) and not (tmp_path / "c").exists()
    table = result.stdout.split("forecast:")[1]
    assert "tokens" in table and "50" in table
    assert max(map(len, result.stdout.splitlines())) <= 100
