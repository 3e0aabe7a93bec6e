"""The same task by coarse and by fine actions: a model that knows the coarse ones alone is told apart, and work goes on."""

import pytest

from plaudit import registry
from plaudit.analyze import granularity
from plaudit.analyze.base import Subject
from plaudit.analyze.granularity import GranularityOptions, ordered, outcome
from plaudit.analyze.run import analyze
from plaudit.cli import main
from plaudit.config import RunConfig, from_dict, to_dict
from plaudit.errors import ConfigError
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages import parts, prepare
from plaudit.store import FORMAT, Run, write_json, write_table

SETTINGS = {
    "world": {"size": 5},
    "collect": {"steps": 1600, "num_envs": 16},
    "judge": {"items": 30, "pairs": 500},
    "fit": {"steps": 20},
    "train": {"seeds": 2, "steps": 256, "num_envs": 8, "horizon": 16, "workers": 1},
    "evaluate": {"episodes": 6},
    "policy": {"episodes": 4, "max_steps": 12},
}


def plans(request):
    """Knows the order of the macros, and what shows progress; of single moves nothing."""
    seen = request.prompt.rsplit("Now:", 1)[-1].rsplit("Goal:", 1)[-1]
    if len(request.answers) == 2:
        return [seen.count("hold the key") - 0.5, 0.0]
    wanted = (
        "open the door" if "picked up the key" in seen else "go to the goal" if "unlocked" in seen else "go to the key"
    )
    return [-1.0 if answer.strip() in (wanted, "turn left") else -9.0 for answer in request.answers]


@pytest.fixture
def scripted(monkeypatch):
    opened = []
    monkeypatch.setattr(parts, "make_llm", lambda config: opened.append(ScriptedLLM(score=plans)) or opened[-1])
    return opened


@pytest.fixture
def untrained(monkeypatch):
    """Where agents would be trained, they are made up: one seed won everything, the other nothing."""
    real = granularity.carry_out

    def carry_out(config, folder):
        if config.route == "llm":
            return real(config, folder)
        rows = [
            {"arm": arm, "seed": seed, "success": bool(seed), "length": 9 if config.world.actions == "macros" else 99}
            for arm in ("preference", "task", "random")
            for seed in range(2)
        ]
        run = Run.create(folder, config)
        write_table(run.stage("evaluate") / "episodes.parquet", rows)
        return run

    monkeypatch.setattr(granularity, "carry_out", carry_out)


def test_a_model_that_knows_the_coarse_actions_alone(scripted, untrained, tmp_path):
    subject = Subject(from_dict(RunConfig, SETTINGS), tmp_path)
    finding = analyze("granularity", subject, GranularityOptions(forecast=False))
    by = {m.name: m for m in finding.measures}
    assert by["macros: LLM as policy"].value == 1 and by["macros: LLM as policy"].low > 0.6
    assert by["moves: LLM as policy"].value == 0 and by["moves: LLM as policy"].high < 0.4
    assert by["moves: LLM feedback"].n == 2 and by["moves: LLM feedback"].low is None  # two seeds: no interval
    assert next(iter(by)).startswith("moves")  # the finest first
    assert any("no interval" in warning for warning in finding.warnings)
    assert "by moves 0.0%" in finding.headline and "by macros 100.0%" in finding.headline
    asked = sum(len(model.asked) for model in scripted)
    again = analyze("granularity", subject, GranularityOptions(forecast=False))
    assert again.measures == finding.measures and sum(len(model.asked) for model in scripted) == asked


@pytest.mark.slow
def test_all_of_it_is_run_once_and_the_time_told_before(scripted, tmp_path, capsys):
    subject = Subject(from_dict(RunConfig, SETTINGS), tmp_path)
    finding = analyze("granularity", subject, GranularityOptions())
    by = {m.name: m for m in finding.measures}
    assert by["macros: random policy"].value > by["moves: random policy"].value
    assert "in all about" in capsys.readouterr().out  # the time, before anything is run
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("stage.json")}
    assert len(before) == 2 * (3 + 6)
    asked = sum(len(model.asked) for model in scripted)
    again = analyze("granularity", subject, GranularityOptions())
    assert again.measures == finding.measures and sum(len(model.asked) for model in scripted) == asked
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("stage.json")} == before


def test_a_world_with_one_kind_of_actions_is_refused_in_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(registry.KINDS["worlds"], "corridor", registry.Entry("test_dynamics:Corridor"))
    assert main(["analyze", "granularity", "corridor", "--out", str(tmp_path / "x")]) != 0
    assert "one kind of actions" in capsys.readouterr().err
    subject = Subject(RunConfig(), tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'macros'"):
        analyze("granularity", subject, GranularityOptions(levels=("macro", "moves")))


def test_a_way_that_the_actions_do_not_allow_is_told_and_the_others_go_on(scripted, untrained, tmp_path):
    with pytest.raises(ConfigError, match="at least 500"):
        small = Subject(from_dict(RunConfig, SETTINGS | {"judge": {"pairs": 20}}), tmp_path)
        analyze("granularity", small, GranularityOptions())
    values = SETTINGS | {"policy": {"prior": True, "action": "generate"}}  # which the acting model refuses
    subject = Subject(from_dict(RunConfig, values), tmp_path)
    finding = analyze("granularity", subject, GranularityOptions(forecast=False))
    by = {m.name: m for m in finding.measures}
    assert by["macros: LLM as policy"].value is None and by["macros: LLM feedback"].value is not None
    assert any("--policy.prior" in warning for warning in finding.warnings)


def test_seeds_are_the_unit_of_what_is_trained_and_episodes_of_what_is_not():
    rows = [{"seed": seed, "success": seed < 3, "length": 5} for seed in range(5) for _ in range(20)]
    trained, acting = outcome("moves", "preference", rows), outcome("moves", "llm", rows)
    assert trained.n == 5 and trained.high - trained.low > 0.9  # five seeds that do not agree
    assert acting.n == 100 and acting.success == 0.6 and acting.high - acting.low < 0.2
    coarse = outcome("macros", "random", [{"seed": 0, "success": True, "length": 3}])
    fine = outcome("moves", "random", rows)
    assert [each.level for each in ordered([coarse, fine])] == ["moves", "macros"]


def test_a_run_made_before_the_world_had_this_choice_goes_on(tmp_path):
    old = to_dict(from_dict(RunConfig, {"world": {"size": 5}}))  # with world.actions empty, as it was recorded then
    write_json(tmp_path / "run.json", {"format": FORMAT, "config": old})
    config = from_dict(RunConfig, {"world": {"size": 5}})
    assert prepare(config, tmp_path).config.world.actions == ""
    assert prepare(from_dict(RunConfig, {"world": {"size": 5, "actions": "moves"}}), tmp_path).config.world.size == 5
    with pytest.raises(Exception, match="other settings"):
        prepare(from_dict(RunConfig, {"world": {"size": 5, "actions": "macros"}}), tmp_path)
    assert Run.open(tmp_path).config == config
