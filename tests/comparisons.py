"""Made-up comparison folders for the tests of the report: no LLM, no training, a second to write."""

from pathlib import Path
from typing import Any

import numpy as np
from browser import picture

from plaudit.config import RunConfig, TrainConfig, to_dict
from plaudit.store import write_json, write_table

RATES = {
    "preference": 0.98,
    "scalar": 0.71,
    "embedding": 0.30,
    "code": 0.12,
    "task": 0.08,
    "count": 0.17,
    "constant": 0.03,
    "constant-minus": 0.02,
    "random": 0.02,
    "llm": 0.05,
    "llm:generate": 0.02,
    "llm:thought": 0.04,
    "llm:examples": 0.11,
    "llm:refine": 0.03,
    "llm:history": 0.05,
    "llm:prior": 0.09,
}
"""Every arm, with the success that its seeds scatter around."""
UNTRAINED = ("random",)
ABOUT = {
    "preference": "judged observations, Bradley-Terry, PPO",
    "scalar": "a number for each observation, expectation over 1 to 5",
    "code": "the LLM writes reward(features, next_features)",
    "embedding": "similarity to the goal, goal-baseline form",
    "llm": "zero-shot, chooses among the listed actions",
}
SWITCHES: dict[str, dict[str, Any]] = {
    "llm:generate": {"policy.action": "generate"},
    "llm:thought": {"policy.thought": True},
    "llm:examples": {"policy.examples": 3},
    "llm:refine": {"policy.refine": 1},
    "llm:history": {"policy.history": 4},
    "llm:prior": {"policy.prior": True},
}
PROGRAM = "def reward(features, next_features):\n    return float(next_features['carrying'] == 'key')\n"


def arm(name: str, seeds: int = 5, text: str = "", **changes: Any) -> dict[str, Any]:
    """Entry of ``compare.json``; ``text`` is put into everything that comes from outside."""
    route, uses_llm = name.partition(":")[0], name.partition(":")[0] in ("llm", "preference", "scalar", "code")
    entry: dict[str, Any] = {"name": name, "route": route, "status": "done", "reason": "", "seeds": seeds}
    entry |= {"about": f"{ABOUT.get(name, '')}{text}", "folder": f"arms/{name.replace(':', '-')}", "usd": 0.0}
    trained = route != "llm" and name not in UNTRAINED
    entry |= {
        "env_steps": 204_800 if trained else 0,
        "collect_steps": 200_000 if route in ("preference", "scalar") else 0,
    }
    asks = 400 if route in ("preference", "scalar") else 12 if route == "code" else 21_000
    longer = {"llm:thought": 2.4, "llm:refine": 3.1, "llm:examples": 1.9, "llm:history": 1.4, "llm:generate": 1.2}
    entry |= {"questions": asks if uses_llm else 0, "tokens": int(asks * 370 * longer.get(name, 1)) if uses_llm else 0}
    entry |= {"seconds": 90.0 + entry["tokens"] / 9000 + (60 if trained else 0), "switches": SWITCHES.get(name, {})}
    entry |= {"failures": (0.31 if name == "llm:generate" else 0.01) if uses_llm else None}
    entry |= {"flip_rate": 0.24 if name == "preference" else None, "first_rate": 0.61 if name == "preference" else None}
    entry |= {"model": "embedded:SmolLM2-135M-Instruct.Q4_0" if uses_llm else None, "asked": None, "replies": []}
    entry["attempts"] = []
    if uses_llm:
        question = f"Goal: open the door and reach the green square.\n{text}\nObservation: You see the key.\nProgress?"
        entry["asked"] = question
        answers = (("Yes", "ok"), (f"As an AI {text}", "refused"))
        entry["replies"] = [{"prompt": f"{question} {i}", "reply": r, "status": s} for i, (r, s) in enumerate(answers)]
    if route == "code":
        broken = {"status": "missing_key", "error": f"KeyError: 'carrying' {text}"}
        tried = {"round": 1, "program": PROGRAM + text}
        entry["attempts"] = [tried | {"candidate": 1} | broken, tried | {"candidate": 2, "status": "ok", "error": ""}]
    return entry | changes


def make_comparison(
    folder: Path,
    rates: dict[str, float] | None = None,
    seeds: int = 5,
    text: str = "",
    changes: dict[str, dict[str, Any]] | None = None,
    curves: bool = True,
    trajectories: int = 8,
    **record: Any,
) -> Path:
    """A folder as ``plaudit compare`` leaves it; ``changes`` are of single arms, an arm that is not done has no scores."""
    rates, changes = RATES if rates is None else rates, changes or {}
    folder.mkdir(parents=True)
    arms = [arm(name, seeds, text, **changes.get(name, {})) for name in rates]
    spent = {key: sum(entry[key] for entry in arms) for key in ("tokens", "usd", "seconds")}
    base: dict[str, Any] = {
        "format": 1,
        "world": {"name": "doorkey", "size": 8},
        "config": to_dict(RunConfig(train=TrainConfig(seeds=seeds))),
    }
    base |= {"plaudit": "0.1.0", "commit": "abc1234", "command": f"plaudit compare doorkey {text}", "machine": "Linux"}
    base |= {"created": "2026-11-24 12:00:00 UTC", "versions": {"numpy": "2.4.6"}, "spent": spent, "arms": arms}
    base |= {"ceilings": {"max_tokens": None, "max_usd": None, "max_hours": None}}
    write_json(folder / "compare.json", base | record)
    scored = {
        name: rates[name] for name, entry in zip(rates, arms, strict=True) if entry["status"] in ("done", "stopped")
    }
    if scored:
        write_table(folder / "episodes.parquet", episodes(scored, seeds))
    trained = {name: rate for name, rate in scored.items() if not name.startswith("llm") and name not in UNTRAINED}
    if trained and curves:
        write_table(
            folder / "curves.parquet", [row for name, rate in trained.items() for row in curve(name, rate, seeds)]
        )
    if trajectories:
        routes = [name for name in ("preference", "scalar", "code", "embedding", "count") if name in scored]
        write_table(folder / "trajectories.parquet", steps(trajectories, routes, text))
    return folder


def episodes(rates: dict[str, float], seeds: int) -> list[dict[str, Any]]:
    """50 episodes of each seed, whose success scatters around the arm's rate."""
    rng, rows = np.random.default_rng(0), []
    for name, rate in rates.items():
        for seed in range(seeds):
            own = float(np.clip(rate + rng.normal(0, 0.25 * np.sqrt(rate * (1 - rate))), 0, 1))
            for number in range(50):
                won = bool(number < round(50 * own))
                length = 60 if won else 320
                row = {"arm": name, "seed": seed, "episode": number, "success": won, "length": length}
                rows.append(row | {"task_return": 0.9 - length / 1000 if won else 0.0})
    return rows


def curve(name: str, rate: float, seeds: int) -> list[dict[str, Any]]:
    """50 updates of 4,096 steps; success rises late; the first update ends no episode."""
    rng, rows = np.random.default_rng(len(name)), []
    for seed in range(seeds):
        middle = rng.uniform(60_000, 110_000)
        for update in range(50):
            at = 4096 * (update + 1)
            share = float(np.clip(rate / (1 + np.exp((middle - at) / 12_000)) + rng.normal(0, 0.015), 0, 1))
            row = {"arm": name, "seed": seed, "steps": at, "episodes": 0 if update == 0 else 20}
            rows.append(row | {"success": share if update else None, "task_return": 0.8 * share if update else None})
    return rows


def steps(trajectories: int, routes: list[str], text: str) -> list[dict[str, Any]]:
    """Steps that get the key half-way; every second trajectory is solved; the rewards see it more or less."""
    rng, rows = np.random.default_rng(1), []
    for number in range(trajectories):
        length = 24 + 4 * number
        for step in range(length + 1):
            end = step == length and number % 2 == 0
            done = step / length * (1.0 if number % 2 == 0 else 0.5)
            row: dict[str, Any] = {"trajectory": number, "source": ("task", "preference", "random")[number % 3]}
            row |= {"step": step, "action": "forward" if step else "", "text": f"You see the key. {step % 7} {text}"}
            row |= {
                "task_reward": 0.9 if end else 0.0,
                "success": end,
                "frame": picture(3 * step % 255) if step < 30 else None,
            }
            for i, route in enumerate(routes):
                value = float(done * 3 - 1 + rng.normal(0, 0.3 + 0.3 * i)) if route != "code" else float(done > 0.4)
                row[f"reward:{route}"] = None if step == 0 else value
            rows.append(row)
    return rows
