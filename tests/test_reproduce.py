"""reproduce: rules on planted results for each status, recipes that parse, and a runner that loses nothing."""

import json
import shlex
from pathlib import Path

import pytest

from plaudit import registry
from plaudit.cli import main
from plaudit.cli_words import parse_analyze, parse_config, parse_finetune, take_arms
from plaudit.config import RunConfig, from_dict, to_dict
from plaudit.errors import ConfigError, StoreError
from plaudit.reproduce.recipe import PLACE, Check, load, names
from plaudit.reproduce.rules import Evidence, Verdict, figure, judge, status
from plaudit.reproduce.run import UNKNOWN, Project, evidence, failed, judged, reproduce
from plaudit.store import provenance, write_json, write_table

SMALL = {recipe.name: recipe for recipe in load("small")}
FULL = {recipe.name: recipe for recipe in load("full")}


def arms(**means: float) -> Evidence:
    """Success of five seeds scattered around these; an arm's double underscore is a colon."""
    spread = (-0.04, -0.02, 0.0, 0.02, 0.04)
    scores = {
        arm.replace("__", ":"): {s: min(1.0, max(0.0, mean + d)) for s, d in enumerate(spread)}
        for arm, mean in means.items()
    }
    return Evidence(
        {"success": scores, "met description": {a: {s: 100 * v for s, v in x.items()} for a, x in scores.items()}}
    )


def told(**facts: object) -> Evidence:
    return Evidence(result={"facts": facts})


def measured(**measures: tuple[float, float, float]) -> Evidence:
    rows = [dict(zip(("value", "low", "high"), v, strict=True)) | {"name": n} for n, v in measures.items()]
    return Evidence(result={"measures": rows})


def levels(**shares: float) -> Evidence:
    """``fine_llm=0.1``: success with an interval of 5 points to either side."""
    names = {"fine": "moves", "coarse": "macros"}
    rows = [
        {"level": names[k.split("_")[0]], "arm": k.split("_")[1], "success": v, "low": v - 0.05, "high": v + 0.05}
        for k, v in shares.items()
    ]
    return told(outcomes=rows)


def point(dynamics: tuple, judge: tuple) -> Evidence:
    return told(point={"dynamics": [*dynamics], "judge": [*judge]})


def credit(own: tuple, network: tuple, gain: float) -> Evidence:
    rho = {"rho of LLM feedback and value, in episodes": own, "rho of a random network and value, in episodes": network}
    return Evidence(arms(preference=0.5 + gain, task=0.5).scores, measured(**rho).result)


def unlearnt(change: float, half: float = 0.01) -> Evidence:
    return Evidence(result={"text": [{"name": "all", "change": change, "interval": [change - half, change + half]}]})


GOOD = arms(
    preference=0.9, scalar=0.3, embedding=0.2, llm=0.05, random=0.05, llm__thought=0, llm__examples=0.1, llm__refine=0
)
BAD = arms(
    preference=0.05,
    scalar=0.9,
    embedding=0.9,
    llm=0.5,
    random=0.05,
    llm__thought=0.5,
    llm__examples=0.6,
    llm__refine=0.5,
)
DIVERSE = "preference__diverse-segments"
PLANTED = {
    "indirect": {
        "reproduced": dict.fromkeys(("minihack", "miniwob", "metaworld", "wordle"), GOOD),
        "partly": {**dict.fromkeys(("minihack", "miniwob", "metaworld"), GOOD), "wordle": BAD},
        "not": dict.fromkeys(("minihack", "miniwob", "metaworld", "wordle"), BAD),
    },
    "direct": {
        "reproduced": dict.fromkeys(("doorkey", "minihack", "miniwob", "metaworld", "wordle"), GOOD),
        "partly": {**dict.fromkeys(("doorkey", "minihack", "miniwob", "metaworld"), GOOD), "wordle": BAD},
        "not": dict.fromkeys(("doorkey", "minihack", "miniwob", "metaworld", "wordle"), BAD),
    },
    "granularity": {
        "reproduced": {"granularity": levels(fine_llm=0.1, coarse_llm=0.8, fine_preference=0.9, coarse_preference=0.9,
                                             fine_random=0.1, coarse_random=0.3)},
        "partly": {"granularity": levels(fine_llm=0.1, coarse_llm=0.1, fine_preference=0.9, coarse_preference=0.9,
                                         fine_random=0.1, coarse_random=0.3)},
        "not": {"granularity": levels(fine_llm=0.5, coarse_llm=0.5, fine_preference=0.1, coarse_preference=0.1,
                                      fine_random=0.1, coarse_random=0.3)},
    },
    "dynamics": {
        "reproduced": dict.fromkeys(("dynamics-doorkey", "dynamics-wordle"), point((0.52, 0.47, 0.57), (0.8, 0.7, 0.9))),
        "partly": dict.fromkeys(("dynamics-doorkey", "dynamics-wordle"), point((0.52, 0.47, 0.57), (0.5, 0.4, 0.6))),
        "not": dict.fromkeys(("dynamics-doorkey", "dynamics-wordle"), point((0.9, 0.85, 0.95), (0.5, 0.4, 0.6))),
    },
    "credit": {
        "reproduced": {"run-doorkey": GOOD, "credit": credit((0.6, 0.5, 0.7), (0.0, -0.2, 0.2), 0.3)},
        "partly": {"run-doorkey": GOOD, "credit": credit((0.6, 0.5, 0.7), (0.5, 0.2, 0.8), 0.0)},
        "not": {"run-doorkey": GOOD, "credit": credit((0.0, -0.1, 0.1), (0.0, -0.2, 0.2), -0.3)},
    },
    "exploration": {
        "reproduced": {"exploration": arms(**{DIVERSE: 0.9}, count=0.9, constant=0.05)},
        "partly": {"exploration": arms(**{DIVERSE: 0.5}, count=0.9, constant=0.05)},
        "not": {"exploration": arms(**{DIVERSE: 0.05}, count=0.9, constant=0.05)},
    },
    "finetuning": {
        "reproduced": {"taught": GOOD, "untaught": BAD, "teach-judge": unlearnt(0.01), "teach-policy": unlearnt(0.2)},
        "partly": {"taught": GOOD, "untaught": BAD, "teach-judge": unlearnt(0.3), "teach-policy": unlearnt(0.2)},
        "not": {"taught": BAD, "untaught": BAD, "teach-judge": unlearnt(0.3), "teach-policy": unlearnt(0.3)},
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "wanted"), [(n, s) for n in names() for s in ("reproduced", "partly", "not")])
def test_each_rule_gives_each_status(name, wanted):
    verdicts = [judge(check, PLANTED[name][wanted]) for check in SMALL[name].checks]
    assert not [v.why for v in verdicts if v.said == "missing"], "the planted results fit the rule"
    assert status(verdicts) == wanted


@pytest.mark.parametrize("name", names())
def test_nothing_finished_is_not_run_and_a_missing_step_keeps_reproduced_away(name):
    recipe, planted = SMALL[name], PLANTED[name]["reproduced"]
    assert status([judge(check, {}) for check in recipe.checks]) == "not run"
    for gone in {check.step or check.steps[0] for check in recipe.checks}:
        kept = {step: found for step, found in planted.items() if step != gone}
        assert status([judge(check, kept) for check in recipe.checks]) != "reproduced"


def test_one_of_several_chances_has_to_stand_out_more():
    """Two steps of which one would do: what is just ahead in one alone (p = 0.03) is not ahead somewhere."""
    first, second = {0: 0.5, 1: 0.6, 2: 0.7, 3: 0.8, 4: 0.9}, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4, 4: 0.65}
    just = Evidence({"success": {"preference": first, "scalar": second}})
    tie = Evidence({"success": {"preference": first, "scalar": first}})
    ahead = Check("ahead", "ahead", step="wordle", first="preference", second="scalar")
    assert judge(ahead, {"wordle": just}).said == "yes"
    somewhere = Check("one", "ahead somewhere", steps=("minihack", "wordle"), first="preference", second="scalar")
    assert judge(somewhere, {"wordle": just, "minihack": tie}).said == "open"
    behind = Check("one", "ahead somewhere", steps=("minihack", "wordle"), first="random", second="preference")
    assert judge(behind, {"wordle": GOOD, "minihack": GOOD}).said == "no"
    assert judge(somewhere, {"wordle": GOOD, "minihack": tie}).said == "yes"


def test_seeds_too_few_or_intervals_over_the_bound_decide_nothing():
    check = Check("", "ahead", step="a", first="preference", second="random")
    few = Evidence({"success": {"preference": {0: 1.0, 1: 0.9}, "random": {0: 0.0, 1: 0.1}}})
    assert judge(check, {"a": few}).said == "open"
    assert judge(Check("", "ahead", step="a", first="random", second="preference"), {"a": GOOD}).said == "no"
    result = told(x=[0.55, 0.45, 0.65], y=[0.5, 0.4, 0.6])
    for kind, more in (
        ("above", {"than": 0.5}),
        ("below", {"than": 0.5}),
        ("over", {"second": "y"}),
        ("within", {"low": 0.5, "high": 0.6}),
    ):
        assert judge(Check("", kind, step="a", first="x", **more), {"a": result}).said == "open"
    assert (
        judge(Check("", "not behind", step="a", first="preference", second="random", than=0.1), {"a": few}).said
        == "open"
    )
    told_status = {
        ("no", "open"): "not",
        ("yes", "no"): "partly",
        ("open",): "open",
        ("open", "missing"): "not run",
    }
    assert {said: status([Verdict(check, s) for s in said]) for said in told_status} == told_status


def test_figures_are_found_by_path_and_by_name_and_nothing_is_guessed():
    result = levels(fine_llm=0.1).result | {"measures": [{"name": "rho of x", "value": 0.1, "low": None, "high": None}]}
    found = figure(result, "outcomes[level=moves,arm=llm]")
    assert found is not None and (found.value, found.low) == (0.1, pytest.approx(0.05))
    for name in ("outcomes[level=macros,arm=llm]", "nothing", "outcomes", "outcomes.level"):
        assert figure(result, name) is None


def test_a_number_of_too_few_seeds_is_open_and_not_missing():
    rows = [{"level": "moves", "arm": arm, "success": v, "low": None, "high": None, "n": 4} for arm, v in
            (("preference", 0.9), ("llm", None))]  # fmt: skip
    result = told(outcomes=[*rows, {"level": "moves", "arm": "random", "success": 0.1, "low": 0.05, "high": 0.15}])
    own, other = "outcomes[level=moves,arm=preference]", "outcomes[level=moves,arm=random]"
    for first, second in ((own, other), (other, own)):
        verdict = judge(Check("", "over", step="a", first=first, second=second), {"a": result})
        assert verdict.said == "open" and "too few seeds" in verdict.why and len(verdict.figures) == 2
    assert judge(Check("", "above", step="a", first=own), {"a": result}).said == "open"
    assert judge(Check("", "above", step="a", first="outcomes[level=moves,arm=llm]"), {"a": result}).said == "missing"
    bare = Evidence(result={"measures": [{"name": "rho of x", "value": 0.1, "low": None, "high": None},
                                         {"name": "rho of x too", "value": 0.2, "low": 0.1, "high": 0.3}]})  # fmt: skip
    assert judge(Check("", "above", step="a", first="^rho of x"), {"a": bare}).said == "yes", "one with an interval"
    assert judge(Check("", "above", step="a", first="^rho of x$"), {"a": bare}).said == "open"


def compared(folder: Path, lengths: dict[str, list[tuple[bool, int]]], steps: int) -> Path:
    """A comparison of five seeds with these episodes in each, in which acting was cut off after so many steps."""
    arms = [{"name": arm, "route": arm.split(":")[0], "folder": f"arms/{arm.replace(':', '-')}"} for arm in lengths]
    folder.mkdir()
    write_json(folder / "compare.json", {"arms": arms})
    for arm in arms:  # every arm has the setting; it holds where a language model acts
        (folder / arm["folder"]).mkdir(parents=True)
        config = to_dict(from_dict(RunConfig, {"route": arm["route"], "policy": {"max_steps": steps}}))
        write_json(folder / arm["folder"] / "run.json", {"config": config})
    rows = [{"arm": arm, "seed": seed, "episode": i, "success": won, "length": length}
            for arm, each in lengths.items() for seed in range(5) for i, (won, length) in enumerate(each)]  # fmt: skip
    write_table(folder / "episodes.parquet", rows)
    return folder


def test_agents_have_no_more_steps_than_the_acting_model(tmp_path):
    slow = {"preference": [(True, 100), (True, 300)], "llm": [(False, 40)] * 2, "random": [(False, 360)] * 2}
    quick = {"preference": [(True, 40), (True, 300), (True, 12)], "llm": [(False, 40)] * 2}
    late = {"preference": [(True, 300)] * 2, "llm:thought": [(True, 30), (False, 40)]}
    against = Check("", "ahead", step="a", first="preference", second="llm")
    cut = evidence(compared(tmp_path / "slow", slow, 40))
    assert cut.cut == {"llm": 40}
    verdict = judge(against, {"a": cut})
    assert verdict.said == "open" and verdict.figures[0][1].value == 0 and "within 40 steps" in verdict.why
    random = judge(Check("", "ahead", step="a", first="preference", second="random"), {"a": cut})
    assert random.said == "yes" and not random.why, "where nothing was cut off all of it counts"
    free = judge(against, {"a": evidence(compared(tmp_path / "free", slow, 0))})
    assert free.said == "yes" and not free.why
    ahead = judge(against, {"a": evidence(compared(tmp_path / "quick", quick, 40))})
    assert ahead.said == "yes" and ahead.figures[0][1].value == pytest.approx(2 / 3)
    behind = Check("", "ahead", step="a", first="preference", second="llm:thought")
    assert judge(behind, {"a": evidence(compared(tmp_path / "late", late, 40))}).said == "no"


@pytest.mark.parametrize("size", ["small", "full"])
def test_a_recipe_gives_acting_and_agents_as_many_steps(size):
    """Where acting is cut off, only worlds whose episodes end at success can tell what agents came to by then."""
    held = 0
    for recipe in load(size):
        steps = {step.name: shlex.split(step.command) for step in recipe.steps}
        for check in recipe.checks:
            words = steps.get(check.step, [])
            if check.second.partition(":")[0] != "llm":
                continue
            config = parse_config(words[0], take_arms(words[1:])[0])[-1]
            if config.policy.max_steps == 0:
                continue
            assert check.kind == "ahead"
            assert config.world.name in ("doorkey", "minihack"), "MetaWorld's last always 40 steps, whatever is reached"
            assert "cut off" in recipe.differs and "cut off" in recipe.rule
            held += 1
    assert held == (5 if size == "small" else 0)


def test_the_full_size_asks_for_every_route_in_every_domain():
    domains = ("minihack", "miniwob", "metaworld", "wordle")
    asked = {check.second: check.steps for check in FULL["indirect"].checks if check.kind == "ahead somewhere"}
    assert asked == dict.fromkeys(("scalar", "embedding", "code"), domains)
    everywhere = dict.fromkeys(domains, arms(preference=0.5, scalar=0.1, embedding=0.1, code=0.9, random=0.05))
    assert status([judge(check, everywhere) for check in FULL["indirect"].checks]) == "partly"
    beaten = dict.fromkeys(domains, arms(preference=0.5, scalar=0.1, embedding=0.1, code=0.1, random=0.05))
    assert status([judge(check, beaten) for check in FULL["indirect"].checks]) == "reproduced"
    small = {check.second: check.steps for check in SMALL["indirect"].checks if check.kind == "ahead somewhere"}
    assert small == dict.fromkeys(("scalar", "embedding"), ("minihack", "wordle"))


def test_what_was_chosen_after_a_look_is_said():
    for name in ("indirect", "direct", "finetuning"):
        assert "shaping.difference" in SMALL[name].differs
    assert "is the other way round" in SMALL["direct"].rule


@pytest.mark.parametrize("size", ["small", "full"])
def test_every_step_is_a_command_that_plaudit_understands(size, tmp_path):
    skipped = set()
    for step in {step.name: step for recipe in load(size) for step in recipe.steps}.values():
        words = [PLACE.sub("runs/other", word) for word in shlex.split(step.command)]
        if words[0] == "finetune":
            parse_finetune(words[1:])
        elif words[0] == "analyze":
            if words[1] not in registry.entries("analyses"):
                skipped.add(words[1])
                continue
            parse_analyze(["doorkey" if word == "runs/other" else word for word in words[1:]])
        else:
            parse_config(words[0], take_arms(words[1:])[0])
    if skipped:
        pytest.skip(f"there are no analyses {', '.join(sorted(skipped))}")


def test_the_small_size_takes_less_than_an_hour_and_says_what_it_claims():
    steps = {step.name: step.minutes for recipe in SMALL.values() for step in recipe.steps}
    assert sum(steps.values()) < 60
    for recipe in SMALL.values():
        assert all(
            (recipe.title, recipe.claim, recipe.source, recipe.rule, recipe.differs, recipe.about, recipe.checks)
        )
        assert not any(letter.isdigit() for letter in recipe.claim), "a claim has a direction and no figure"


def plant(folder: Path, found: Evidence) -> None:
    """What a step of this evidence would have left."""
    folder.mkdir(parents=True, exist_ok=True)
    if "text" in found.result:
        (folder / "measure").mkdir(exist_ok=True)
        write_json(folder / "measure" / "summary.json", found.result)
    elif found.result:
        write_json(folder / "result.json", found.result)
    if found.scores:
        rows = [{"arm": a, "seed": s, "success": v, "met description": found.scores["met description"][a][s]}
                for a, seeds in found.scores["success"].items() for s, v in seeds.items()]  # fmt: skip
        write_table(
            folder / ("agents.parquet" if found.result or "count" in found.scores["success"] else "episodes.parquet"),
            rows,
        )
    (folder / "report.html").write_text("<p>a step's page</p>")


def test_a_failed_step_loses_nothing_and_the_same_command_goes_on(tmp_path):
    planted = {name: found for each in PLANTED.values() for name, found in each["reproduced"].items()}
    calls, broken = [], {"teach-judge", "miniwob"}

    def process(words, log):
        name = Path(words[-1]).name
        calls.append(name)
        if name in broken:
            log.write_text("step 1\nplaudit: the disk is full. Make room.\n")
            return 3
        plant(Path(words[-1]), planted[name])
        return 0

    project = Project(tmp_path / "paper", "small", load("small"))
    page = reproduce(project, process)
    record = json.loads((project.folder / "paper.json").read_text())
    found = {each["name"]: each["status"] for each in record["experiments"]}
    assert found == {
        "credit": "reproduced", "dynamics": "reproduced", "exploration": "reproduced", "granularity": "reproduced",
        "direct": "partly", "indirect": "partly", "finetuning": "not run",
    }  # fmt: skip
    html = page.read_text()
    assert "the disk is full. Make room." in html and 'href="steps/credit/report.html"' in html
    assert "taught" not in calls, "what needs a failed step is left out"
    assert sorted(failed(project)) == ["miniwob", "taught", "teach-judge"]
    assert max(map(calls.count, calls)) == 1, "a shared step is tried once, whether it fails or not"
    calls.clear()
    broken.clear()
    reproduce(project, process)
    assert sorted(calls) == sorted({"teach-judge", "miniwob", "taught"}), "only what was not finished"
    assert {judged(project, recipe).status for recipe in project.recipes} == {"reproduced"}
    with pytest.raises(StoreError, match="another folder"):
        reproduce(Project(project.folder, "small", project.recipes, "other.gguf"), process)


def test_each_step_keeps_its_commit_and_a_mixture_is_told(tmp_path, monkeypatch):
    planted, at = PLANTED["dynamics"]["reproduced"], {"commit": "aaa1111"}
    monkeypatch.setattr("plaudit.reproduce.run.provenance", lambda: provenance() | at)
    project = Project(tmp_path / "paper", "small", load("small", ("dynamics",)))

    def process(words, log):
        plant(Path(words[-1]), planted[Path(words[-1]).name])
        return 0

    def written():
        return reproduce(project, process).read_text(), json.loads((project.folder / "paper.json").read_text())

    html, record = written()
    assert "aaa1111" in html and "different commits" not in html
    assert record["commits"] == {"aaa1111": ["dynamics-doorkey", "dynamics-wordle"]}
    path = project.folder / "steps" / "dynamics-wordle.json"
    old = json.loads(path.read_text())
    write_json(path, old | {"state": "failed"})
    at["commit"] = "bbb2222"
    html, record = written()
    own = next(each for each in record["experiments"] if each["name"] == "dynamics")
    assert own["steps"][1]["commits"] == ["aaa1111", "bbb2222"], "it went on by another"
    assert "different commits of plaudit" in html and "aaa1111, bbb2222: dynamics-wordle" in html
    write_json(path, {key: old[key] for key in ("command", "state", "seconds", "reason")})
    html, record = written()
    assert record["commits"][UNKNOWN] == ["dynamics-wordle"] and "not recorded: dynamics-wordle" in html


def test_the_commands_name_folders_and_the_model(tmp_path):
    project = Project(tmp_path, "small", load("small"), "m.gguf")
    words = {step.name: project.words(step) for step in project.steps}
    assert words["credit"][2] == str(tmp_path / "steps" / "run-doorkey") and "--llm" not in words["credit"]
    assert words["run-doorkey"][-4:] == ["--llm", "m.gguf", "--out", str(tmp_path / "steps" / "run-doorkey")]
    assert words["taught"].count("--llm") == 1


def test_damaged_results_are_told_and_not_judged(tmp_path):
    project = Project(tmp_path / "paper", "small", load("small", ("dynamics",)))

    def process(words, log):
        Path(words[-1]).mkdir(parents=True)
        (Path(words[-1]) / "result.json").write_text("{")
        return 0

    reproduce(project, process)
    outcome = judged(project, project.recipes[0])
    assert outcome.status == "not run" and "cannot be read" in outcome.steps[0].reason
    assert evidence(tmp_path) == Evidence()


def test_the_command_line(tmp_path, capsys):
    assert main(["reproduce", "paper", "--small", "--only", "dynamics", "--dry-run", "--out", str(tmp_path / "x")]) == 0
    said = capsys.readouterr().out
    assert "dynamics-wordle" in said and "credit" not in said and not (tmp_path / "x").exists()
    for words in (
        ["paper"],
        ["book", "--small"],
        ["paper", "--small", "--full"],
        ["paper", "--small", "--only", "magic"],
    ):
        assert main(["reproduce", *words]) == 2
    assert main(["reproduce", "paper", "--full", "--out", str(tmp_path / "y")]) != 0, "which model?"
    with pytest.raises(ConfigError, match="experiment"):
        load("small", ("magic",))
