"""reproduce: which steps of a folder are finished, wherever it lies; some experiments alone keep the report of all."""

import dataclasses
import shutil
from pathlib import Path

from test_reproduce import PLANTED, SMALL, plant

from plaudit.cli import main
from plaudit.config import fingerprint
from plaudit.reproduce.recipe import load
from plaudit.reproduce.run import Project, judged, reproduce
from plaudit.store import read_json, write_json


def planter(calls: list[str]):
    """A process that leaves what reproduces each experiment, and says what it was called for."""
    planted = {name: found for each in PLANTED.values() for name, found in each["reproduced"].items()}

    def process(words, log):
        calls.append(Path(words[-1]).name)
        plant(Path(words[-1]), planted[calls[-1]])
        return 0

    return process


def test_some_experiments_alone_keep_the_report_of_all(tmp_path):
    calls = list[str]()
    project = Project(tmp_path / "paper", "small", load("small"))

    def written(*only):
        page = reproduce(dataclasses.replace(project, recipes=load("small", only)), planter(calls)).read_text()
        return page, read_json(project.folder / "paper.json")

    html, record = written("dynamics")
    assert {e["name"]: e["status"] for e in record["experiments"]} == dict.fromkeys(SMALL, "not run") | {
        "dynamics": "reproduced"
    }
    assert "1 reproduced, 6 not yet run" in html
    written()
    for step in project.steps:
        path = project.folder / "steps" / f"{step.name}.json"
        write_json(path, read_json(path) | {"seconds": 10.0, "commits": ["aaa1111"]})
    calls.clear()
    html, record = written("credit")
    assert not calls and {e["name"]: e["status"] for e in record["experiments"]} == dict.fromkeys(SMALL, "reproduced")
    assert record["seconds"] == 10 * len(project.steps)
    assert record["commits"] == {"aaa1111": [step.name for step in project.steps]}
    assert "Of 7 experiments: 7 reproduced." in html and 'href="steps/taught/report.html"' in html


def test_a_step_whose_folder_is_gone_is_made_again(tmp_path):
    calls = list[str]()
    project = Project(tmp_path / "paper", "small", load("small", ("dynamics",)))
    reproduce(project, planter(calls))
    shutil.rmtree(project.where("dynamics-wordle"))
    outcome = judged(project, project.recipes[0])
    assert [d.state for d in outcome.steps] == ["finished", "waiting"] and "folder is gone" in outcome.steps[1].reason
    calls.clear()
    reproduce(project, planter(calls))
    assert calls == ["dynamics-wordle"] and judged(project, project.recipes[0]).status == "reproduced"


def test_a_folder_is_known_by_any_path_and_where_it_was_moved(tmp_path, monkeypatch):
    calls, recipes = list[str](), load("small", ("dynamics", "credit"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    reproduce(Project(Path("runs/paper"), "small", recipes), planter(calls))
    calls.clear()
    reproduce(Project(tmp_path / "runs" / "paper", "small", recipes), planter(calls))
    shutil.move(tmp_path / "runs" / "paper", tmp_path / "elsewhere")
    moved = Project(Path("elsewhere"), "small", recipes)
    reproduce(moved, planter(calls))
    assert not calls
    other = dataclasses.replace(recipes[0].steps[0], command=recipes[0].steps[0].command + " --train.steps 1")
    assert moved.done(other).state == "waiting", "another command is another step"


def test_a_folder_of_before_counts_where_it_was_made_and_can_be_moved_from_then_on(tmp_path, monkeypatch):
    """Older folders are marked by their commands with the path; these are the marks of a real one."""
    marks = {"dynamics-doorkey": "476c21189529", "dynamics-wordle": "336968e62598"}
    monkeypatch.chdir(tmp_path)
    calls, project = list[str](), Project(Path("runs/paper-small"), "small", load("small", ("dynamics",)))
    (project.folder / "steps").mkdir(parents=True)
    for name, mark in marks.items():
        planter([])([str(project.where(name))], Path())
        old = {"command": mark, "state": "finished", "seconds": 60.0, "reason": "", "commits": ["cac2bf0"]}
        write_json(project.folder / "steps" / f"{name}.json", old)
    assert [fingerprint(project.words(step)) for step in project.steps] == list(marks.values())
    elsewhere = shutil.copytree(project.folder, tmp_path / "copy")
    assert {Project(elsewhere, "small", project.recipes).done(step).state for step in project.steps} == {"waiting"}
    reproduce(project, planter(calls))
    assert not calls and read_json(project.folder / "paper.json")["seconds"] == 120
    moved = Project(shutil.move(project.folder, tmp_path / "new"), "small", project.recipes)
    assert [moved.done(step).commits for step in moved.steps] == [("cac2bf0",)] * 2
    assert {moved.done(step).state for step in moved.steps} == {"finished"}


def test_the_command_fails_where_a_step_failed_after_the_others(tmp_path, monkeypatch, capsys):
    calls, words = list[str](), ["reproduce", "paper", "--small", "--only", "dynamics", "--out", str(tmp_path / "x")]

    def broken(words, log):
        return 1 if words[-1].endswith("doorkey") else planter(calls)(words, log)

    monkeypatch.setattr("plaudit.reproduce.run.as_process", broken)
    assert main(words) == 1
    said = capsys.readouterr()
    assert calls == ["dynamics-wordle"] and "not finished: dynamics-doorkey." in said.err and "report: " in said.out
    monkeypatch.setattr("plaudit.reproduce.run.as_process", planter(calls))
    assert main(words) == 0 and calls == ["dynamics-wordle", "dynamics-doorkey"]
