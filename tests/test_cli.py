"""The command line: bad input gets one clear line that names the next thing to do, never a traceback."""

import json
import os
import subprocess
import sys

import pytest

from plaudit import cli, stages
from plaudit.cli import VERBS, main
from plaudit.config import RunConfig
from plaudit.store import Run


def fails(capsys, *words, code=2):
    assert main(list(words)) == code
    error = capsys.readouterr().err
    assert error.startswith("plaudit: ") and "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("runn", "doorkey"), "Did you mean 'run'"),
        (("run", "dorkey"), "Did you mean 'doorkey'"),
        (("run", "doorkey", "--recipe", "dooorkey"), "Did you mean 'doorkey'"),
        (("run", "--recipe", "absent.toml"), "cannot be read"),
        (("run", "doorkey", "--recipe"), "--recipe needs a value"),
        (("run", "doorkey", "--route", "preferense"), "Did you mean 'preference'"),
        (("run", "doorkey", "--train.controls", "taks"), "Did you mean 'task'"),
        (("run", "doorkey", "--train.controls", "scalar"), "routes without an LLM"),
        (("run", "doorkey", "--route", "scalar", "--judge.protocol", "pairwise"), "does not serve the route"),
        (("run", "doorkey", "--max-tokens", "many"), "--max-tokens takes a number"),
        (("compare", "doorkey", "--arms", "preferense"), "Did you mean 'preference'"),
        (("compare", "doorkey", "--arms"), "--arms needs"),
        (("run", "doorkey", "--judge.protocol", "pointwse"), "Did you mean 'pointwise'"),
        (("run", "doorkey", "--train.gamma", "1.5"), "train.gamma must be"),
        (("run", "doorkey", "--world.size", "7"), "has no size 7"),
        (("run", "doorkey", "--llm", "absent.gguf"), "absent.gguf"),
        (("calibrate", "doorkey", "--pairs", "many"), "--pairs takes a number"),
        (("calibrate", "doorkey", "--pairs", "3"), "--pairs must be"),
        (("list", "--worldz"), "plaudit list takes"),
        (("run", "doorkey", "--llm", "embeded"), "Did you mean 'embedded'"),
        (("run", "doorkey", "--judge.prompt", "verdict"), "must have the fields $goal, $observation"),
        (("run", "doorkey", "--collect.policy", "nobody"), "there is no policy"),
        (("run", "doorkey", "--shaping.potential"), "task-weight above 0"),
        (("run", "doorkey", "--train.workers", "-1"), "train.workers must be"),
        (("run", "doorkey", "--seed", "-1"), "seed must be"),
        (("run", "doorkey", "--judge.pairs", "40"), "held out"),
        (("collect", "some/where"), "is no run"),
        (("analyze", "runs/absent"), "runs/absent is no run"),
        (("analyze", "credit", "absent"), "no world and no run 'absent'"),
        (("calibrate", "doorkey", "--ledger"), "--ledger needs a value"),
        (("run", "metaworld:reach-v3", "--train.algorithm", "sac"), "--train.no-normalize"),
        (("fit",), "give the folder"),
    ],
)
def test_bad_words_get_one_clear_line(capsys, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    main_code = main(list(words))
    captured = capsys.readouterr()
    assert main_code not in (0, 70) and says in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "runs").exists(), "a wrong setting must not leave a run behind"


def test_a_bad_recipe_key_is_named(capsys, tmp_path):
    (tmp_path / "mine.toml").write_text("[train]\nstepps = 3\n")
    assert "Did you mean 'steps'" in fails(capsys, "run", "--recipe", str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text("[train\n")
    assert "not valid TOML" in fails(capsys, "run", "--recipe", str(tmp_path / "mine.toml"))


def test_stages_ask_for_what_comes_before(capsys, tmp_path):
    Run.create(tmp_path / "r", RunConfig())
    error = fails(capsys, "fit", str(tmp_path / "r"), code=4)
    assert f"plaudit annotate {tmp_path / 'r'}" in error
    assert "is no run" in fails(capsys, "train", str(tmp_path), code=4)


def test_a_run_with_other_settings_is_refused(capsys, tmp_path):
    Run.create(tmp_path / "r", RunConfig())
    words = ("run", "doorkey", "--out", str(tmp_path / "r"), "--train.steps", "5")
    assert "train.steps: 204800 -> 5" in fails(capsys, *words, code=4)


def test_unexpected_errors_are_short_without_debug(capsys, monkeypatch):
    def broken(words):
        raise KeyError("oops")

    monkeypatch.setattr("plaudit.cli.show_list", broken)
    error = fails(capsys, "list", code=70)
    assert "--debug" in error
    with pytest.raises(KeyError):
        main(["list", "--debug"])


def test_ctrl_c_says_that_nothing_is_lost(capsys, monkeypatch):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setattr("plaudit.cli.show_list", interrupted)
    assert main(["list"]) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_list_names_every_part(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("doorkey", "embedded", "pointwise", "preference", "demo"):
        assert f"  {name}" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    environment = os.environ | {"COLUMNS": "80"}
    command = [sys.executable, "-m", "plaudit", verb, "--help"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0 and verb in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_unwritable_folder_and_full_disk(capsys, tmp_path):
    """A file size limit of one kilobyte is a disk that is full for whatever is larger."""
    (tmp_path / "file").write_text("")
    words = ["run", "doorkey", "--out", str(tmp_path / "file" / "r")]
    assert "cannot write" in fails(capsys, *words, code=4)
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))"
    code = f"{limit}; from plaudit.cli import main; sys.exit(main())"
    words = ["collect", "doorkey", "--out", str(tmp_path / "r"), "--collect.steps", "640"]
    result = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert result.returncode == 4 and "cannot write" in result.stderr and "Traceback" not in result.stderr
    again = subprocess.run([sys.executable, "-m", "plaudit.cli", *words], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "r" / "collect" / "stage.json").read_text())["summary"]["steps"] == 640


@pytest.mark.parametrize(
    ("words", "route"),
    [
        (["wordle"], "task"),
        (["wordle", "--llm", "embedded"], "preference"),
        (["wordle", "--llm=embedded", "--route", "task"], "task"),
        (["doorkey", "--route", "scalar", "--llm", "embedded"], "scalar"),
        (["wordle", "--llm", "embedded", "--collect.policy", "llm"], "task"),
    ],
)
def test_a_model_that_is_named_is_asked(monkeypatch, capsys, words, route):
    """Wordle's recipe trains on the task reward: --llm alone would else be of no effect, and nobody would be told."""
    seen = []
    monkeypatch.setattr(stages, "run", lambda config, *_: seen.append(config))
    monkeypatch.setattr(cli, "summary", lambda current: "")
    assert main(["run", *words]) == 0
    assert seen[0].route == route
    assert ("asks no model" in capsys.readouterr().out) == (words == ["wordle", "--llm", "embedded"])


def test_a_run_is_told_by_the_figures_of_its_page(tmp_path):
    from types import SimpleNamespace

    from plaudit.cli import summary
    from plaudit.store import write_table

    (tmp_path / "evaluate").mkdir()
    wins = {"preference": (2, 8, 9, 9, 10), "task": (5,)}
    rows = [
        {"arm": arm, "seed": seed, "episode": episode, "success": episode < won}
        for arm, every in wins.items()
        for seed, won in enumerate(every)
        for episode in range(10)
    ]
    write_table(tmp_path / "evaluate" / "episodes.parquet", rows)
    record = {"seconds": 2.0, "summary": {"success": dict.fromkeys(wins, 0.0)}}
    told = summary(SimpleNamespace(folder=tmp_path, finished=lambda name: record if name == "evaluate" else None))
    assert "preference        86.7%  (" in told and "  task              50.0%\n" in told  # the middle three; one seed
    assert (
        "interquartile means over seeds; 95% stratified bootstrap interval over 5 seeds, one seed, no interval" in told
    )


def test_what_is_analysed_is_told_from_an_analysis_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "credit").mkdir()  # a folder of that name is not in the way of the analysis
    (tmp_path / "mine.py").write_text("")
    assert "no world and no run 'absent'" in fails(capsys, "analyze", "credit", "absent")
    assert "is a world, and a run of it is wanted" in fails(capsys, "analyze", "./mine.py")
