"""plaudit analyze RUN: all that trains nothing, one page over them; what cannot be made stops none of the others."""

import json

import pytest
from test_hacking import GOOD, hashes, made

from plaudit import registry
from plaudit.cli import main
from plaudit.cli_words import parse_analyze
from plaudit.errors import ConfigError

SMALL = (
    "--hacking.episodes 5 --hacking.items 0 --exploration.steps 256 --credit.episodes 2 --credit.networks 2 "
    "--dynamics.states 4 --dynamics.episodes 4 --agreement.bins 3"
)


def test_a_run_without_a_name_gets_every_analysis_that_trains_nothing(tmp_path, monkeypatch, capsys):
    run = made(tmp_path, monkeypatch, GOOD, 0.0, route="task", train={"controls": [], "seeds": 1, "steps": 512})
    before = hashes(run.folder)
    assert main(["analyze", str(run.folder), *SMALL.split()]) == 0
    told = capsys.readouterr().out
    assert hashes(run.folder) == before, "an analysis changes nothing of the run"
    folder = run.folder / "analyze"
    done = {path.parent.name for path in folder.glob("*/result.json")}
    assert done == {"dynamics", "credit", "exploration", "hacking"}
    page = (folder / "index.html").read_text()
    for name in done:
        assert f'href="{name}/report.html"' in page
        assert json.loads((folder / name / "result.json").read_text())["headline"].split(":")[0][:30] in page
    assert 'href="agreement/report.html"' not in page and "judges nothing" in page and "not here: " in told
    assert 'href="granularity/report.html"' not in page and "plaudit analyze granularity" in page
    assert "index.html" in told


def test_options_go_to_their_analysis_and_each_has_its_folder(tmp_path, monkeypatch):
    run = made(tmp_path, monkeypatch, GOOD, 0.0, route="task", train={"controls": [], "seeds": 1, "steps": 256})
    asked, folder = parse_analyze([str(run.folder), "--out", str(tmp_path / "out"), *SMALL.split()])
    assert folder == tmp_path / "out"
    options = {name: given for name, _, given in asked}
    assert options["hacking"].episodes == 5 and options["credit"].episodes == 2
    assert {subject.folder for _, subject, _ in asked} == {tmp_path / "out" / name for name in options}
    assert set(registry.entries("analyses")) - set(options) == {"granularity"}
    (one,), folder = parse_analyze(["credit", str(run.folder)])
    assert one[0] == "credit" and folder == one[1].folder == run.folder / "analyze" / "credit"


def test_what_is_neither_a_run_nor_an_analysis_is_told_so(tmp_path):
    with pytest.raises(ConfigError, match="hacking"):
        parse_analyze(["hackin", "doorkey"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="plaudit run doorkey --out"):
        parse_analyze(["credit", str(tmp_path / "empty")])
