"""The comparison report of made-up folders: true to the data, honest about seeds, safe against hostile text."""

import csv
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import HOSTILE, Page, assert_fits_and_is_quiet, headline, open_page, picture
from comparisons import RATES, make_comparison

from plaudit.errors import StoreError
from plaudit.report import compare_plots, words
from plaudit.report.compare import compare_report, render
from plaudit.report.compare_asked import TAIL, tail
from plaudit.report.compare_charts import shown
from plaudit.report.compare_matrix import agreements, improvements, needed
from plaudit.report.compare_table import write_tables
from plaudit.report.compare_ways import read
from plaudit.store import read_json, read_table, write_json, write_table

FAILED = {"code": {"status": "failed", "reason": "none of the 12 reward programs ran"}}
STOPPED = {"llm:history": {"status": "stopped", "reason": "stopped after 3 of 5 seeds"}}


def scores(folder: Path, by_arm: dict[str, list[float]], returns: float = 1.0) -> None:
    """Exactly these success rates, one for each seed, of ten episodes."""
    rows = []
    for arm, rates in by_arm.items():
        for seed, rate in enumerate(rates):
            won = [episode < round(10 * rate) for episode in range(10)]
            common = {"arm": arm, "seed": seed, "length": 20}
            rows += [common | {"episode": i, "success": w, "task_return": returns * w} for i, w in enumerate(won)]
    write_table(folder / "episodes.parquet", rows)


def compared(tmp_path: Path, by_arm: dict[str, list[float]], **settings: Any) -> Path:
    """A folder in which every arm has exactly these scores."""
    folder = make_comparison(
        tmp_path / "c", dict.fromkeys(by_arm, 0.5), seeds=len(next(iter(by_arm.values()))), **settings
    )
    scores(folder, by_arm)
    return folder


def section(html: str, name: str) -> str:
    """The text of one section, tags taken out."""
    inside = html.split(f'<section id="{name}">')[1].split("</section>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", inside)).split())


# ------------------------------------------------------------------------------------------------------ the page


def test_it_writes_the_page_and_the_tables(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "c")
    assert compare_report(folder) == folder / "report.html"
    assert 50_000 < (folder / "report.html").stat().st_size < 1_000_000
    assert {p.name for p in folder.iterdir()} >= {"arms.csv", "arms.parquet"}
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_it_needs_no_network(tmp_path: Path) -> None:
    page = Page(render(make_comparison(tmp_path / "c")))
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    policy = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0] is not None and "default-src 'none'" in policy[0]
    linked = {str(a["href"])[1:] for tag, a in page.tags if tag == "a"}
    assert linked <= {a.get("id") for _, a in page.tags}, "every link of the page leads to a section"


def test_every_arm_is_in_the_table_whatever_became_of_it(tmp_path: Path) -> None:
    waiting = {"scalar": {"status": "waiting", "reason": "the ceiling was reached before"}}
    html = render(make_comparison(tmp_path / "c", changes=FAILED | STOPPED | waiting))
    table = section(html, "ways")
    assert all(words.label(name) in table for name in RATES)
    assert "failed code" in table and "none of the 12 reward programs ran" in table
    assert "stopped llm:history" in table and "stopped after 3 of 5 seeds" in table
    assert "waiting scalar" in table
    order = [table.index(words.label(name)) for name in ("preference", "llm:history", "code", "scalar")]
    assert order[0] < min(order[1:]) and order[1] < order[2] < order[3], "scores first, then stopped, failed, waiting"
    notes = " ".join(unescape(re.sub("<[^>]*>", " ", html.split("<nav")[0])).split())
    assert "1 of 16 ways failed: LLM reward code (none of the 12 reward programs ran)." in notes
    assert "1 of 16 ways was stopped" in notes and "1 of 16 ways was not begun" in notes
    assert table.count("control") >= 5


def test_ceilings_that_were_reached_are_told(tmp_path: Path) -> None:
    ceilings = {"max_tokens": 1000, "max_usd": None, "max_hours": 1000.0}
    html = render(make_comparison(tmp_path / "c", ceilings=ceilings))
    assert "The ceiling --max-tokens was reached" in html and "--max-hours was reached" not in html
    assert "of 1k" in section(html, "ways") and "of 1000.0 h" in section(html, "ways")


def test_an_acting_model_that_was_cut_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = dict.fromkeys(("preference", "llm", "llm:thought", "random"), 0.5)
    config = {"train": {"seeds": 5}, "policy": {"max_steps": 40}}
    changes = {"llm:thought": {"switches": {"policy.max_steps": 60}}}
    folder = make_comparison(tmp_path / "c", rates, seeds=5, changes=changes, config=config)
    html = " ".join(unescape(compare_report(folder).read_text()).split())
    said = "Cut off after 40 steps in each episode (--policy.max-steps): LLM as policy. Agents that are trained had"
    assert said in html and "Cut off after 60 steps" in html
    assert said in " ".join(capsys.readouterr().out.split())
    assert "Cut off after" not in render(make_comparison(tmp_path / "d", rates, seeds=5))


def test_missing_pieces_leave_a_page_that_makes_sense(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    write_json(bare / "compare.json", {"format": 1, "arms": [{"name": "llm"}, {"name": "mine", "status": "done"}]})
    no_curves = make_comparison(tmp_path / "no-curves", curves=False, trajectories=0)
    all_failed = make_comparison(
        tmp_path / "failed", changes={name: {"status": "failed", "reason": "no disk"} for name in RATES}, trajectories=0
    )
    empty = make_comparison(tmp_path / "empty", {}, trajectories=0)
    one = make_comparison(tmp_path / "one", {"preference": 0.9}, seeds=1, trajectories=1)
    for folder in (bare, no_curves, all_failed, empty, one):
        compare_report(folder)
        page = Page((folder / "report.html").read_text())
        assert not {"nan", "None", "undefined"} & set(page.text.split()), folder
        assert headline((folder / "report.html").read_text())
    assert "Nothing was trained" in section(render(no_curves), "learning")
    html = render(all_failed)
    assert "none of the ways was finished" in headline(html) and html.count("no disk") >= 16
    assert "nothing to compare it with" in headline(render(one)) and "1 seed is too few" in render(one)


@pytest.mark.parametrize(
    "content", [None, "[]", '{"format": 1}', '{"format": 1, "arms": [3]}', '{"format": 9, "arms": []}', "{"]
)
def test_what_is_no_comparison_is_refused_with_a_next_step(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "compare.json").write_text(content)
    with pytest.raises(StoreError, match=r"plaudit compare|pip install|run the same command"):
        compare_report(tmp_path)


# -------------------------------------------------------------------------------------------------- the headline


def test_a_winner_that_the_seeds_carry(tmp_path: Path) -> None:
    by_arm = {"preference": [1.0, 0.9, 1.0, 0.9, 1.0], "llm": [0.1] * 5, "task": [0.0, 0.2, 0.1, 0.0, 0.1]}
    html = render(compared(tmp_path, by_arm))
    assert headline(html) == (
        "LLM feedback works best here: 96.7% of new episodes solved; next is LLM as policy with 10%; the best control, "
        "task reward, 6.7%."
    )
    assert "5 seeds carry this." in html and "too few" not in html.split("<nav")[0] and "No claim" not in html
    assert "ahead in 5 of 5 seeds; rank test p = 0.008" in html


def test_few_seeds_are_loud(tmp_path: Path) -> None:
    html = render(compared(tmp_path, {"preference": [1.0, 0.9], "llm": [0.1, 0.1], "task": [0.0, 0.2]}))
    assert "looks best so far" in headline(html) and "works best" not in html
    warning = html.split('<p class="warning" role="note">')[1].split("</p>")[0]
    assert "2 seeds are too few for a claim" in warning and "plaudit compare doorkey --train.seeds 5" in warning
    assert "seeds carry this" not in html and "range of seeds" in html and "95% interval" not in section(html, "ways")
    assert "No field is told apart from chance" in section(html, "wins")


def test_ways_that_cannot_be_told_apart(tmp_path: Path) -> None:
    by_arm = {"preference": [1.0, 0.6, 0.9, 0.8, 0.9], "scalar": [0.9, 0.8, 0.7, 0.9, 0.8], "task": [0.0] * 5}
    html = render(compared(tmp_path, by_arm))
    assert "LLM feedback (87%) does best here, but these seeds cannot tell it apart from LLM rating (83%)" in headline(
        html
    )
    assert "No claim: 5 seeds do not tell LLM feedback and LLM rating apart" in html
    assert "--train.seeds 10" in html


def test_a_control_that_wins_is_told(tmp_path: Path) -> None:
    html = render(compared(tmp_path, {"preference": [0.1] * 5, "task": [0.9, 0.9, 0.8, 0.9, 1.0], "llm": [0.0] * 5}))
    assert headline(html) == (
        "No way of using this LLM wins here: the best of them, LLM feedback, solves 10% of new episodes, the best "
        "control, task reward, 90%."
    )


def test_a_draw_with_a_control_is_no_win(tmp_path: Path) -> None:
    html = render(compared(tmp_path, {"preference": [0.5, 0.4, 0.6, 0.5, 0.4], "count": [0.4, 0.5, 0.5, 0.4, 0.6]}))
    assert "cannot tell it apart from a control, novelty count" in headline(html) and "No claim" in html


def test_a_way_that_was_stopped_early_takes_no_claim_from_the_others(tmp_path: Path) -> None:
    by_arm = {"preference": [1.0, 0.9, 1.0, 0.9, 1.0], "scalar": [0.2] * 5, "llm": [0.1, 0.0], "task": [0.0] * 5}
    html = render(compared(tmp_path, by_arm))
    assert "Too few seeds for any claim about them: LLM as policy (2)." in html and "5 seeds carry this" in html
    assert "95% interval" in section(html, "ways") and "0% to 10% 2 seeds" in section(html, "ways")


def test_a_way_that_was_stopped_early_and_may_be_the_best_is_not_passed_over(tmp_path: Path) -> None:
    by_arm = {"preference": [1.0, 0.9, 1.0, 0.9, 1.0], "scalar": [0.2] * 5, "llm": [1.0, 0.9], "task": [0.0] * 5}
    html = render(compared(tmp_path, by_arm))
    assert "cannot tell it apart from LLM as policy" in headline(html), "what is open is not called won"
    assert "2 seeds are too few for a claim" in html and "seeds carry this" not in html


def test_a_control_that_cannot_be_told_apart_is_found_wherever_it_stands(tmp_path: Path) -> None:
    by_arm = {"preference": [0.9, 0.8, 0.9, 0.9, 0.8], "count": [0.5] * 5, "task": [1.0, 0.0, 1.0, 0.0, 0.0]}
    html = render(compared(tmp_path, by_arm))
    assert "cannot tell it apart from a control, task reward" in headline(html) and "No claim: 5 seeds" in html


def test_nothing_solved_is_told(tmp_path: Path) -> None:
    folder = compared(tmp_path, {"preference": [0.0] * 5, "task": [0.0] * 5})
    assert "Nothing here solved a single new episode" in headline(render(folder))


def test_only_controls(tmp_path: Path) -> None:
    assert "No way of using an LLM was finished. Task reward solves 90%" in headline(
        render(compared(tmp_path, {"task": [0.9] * 5, "random": [0.0] * 5}))
    )


# ------------------------------------------------------------------------------------------------- the numbers


def test_the_table_is_the_data(tmp_path: Path) -> None:
    folder = compared(tmp_path, {"preference": [0.9, 0.1, 0.8, 0.7, 1.0], "task": [0.0, 0.0, 0.1, 0.0, 0.0]})
    csv_path, parquet = write_tables(folder)
    rows = {row["arm"]: row for row in read_table(parquet)}
    assert rows["preference"]["success_iqm"] == pytest.approx(0.8), "the middle three of five"
    assert rows["preference"]["success_mean"] == pytest.approx(0.7)
    assert rows["preference"]["task_return"] == pytest.approx(0.7)
    assert rows["preference"]["optimality_gap"] == pytest.approx(0.3)
    assert rows["preference"]["success_low"] < 0.8 < rows["preference"]["success_high"]
    assert rows["preference"]["interval"] == "bootstrap" and rows["task"]["control"] is True
    assert rows["task"]["model"] == "" and rows["task"]["failures"] is None and rows["task"]["tokens"] == 0
    text = list(csv.DictReader(csv_path.open(newline="")))
    assert [row["arm"] for row in text] == ["preference", "task"] and float(text[0]["success_iqm"]) == pytest.approx(
        0.8
    )
    assert list(text[0]) == list(rows["task"]) and text[1]["failures"] == ""


def test_the_tables_hold_failed_arms_and_no_formulas(tmp_path: Path) -> None:
    changes = {"code": {"status": "failed", "reason": '=HYPERLINK("http://x")\n"quoted", comma'}}
    folder = make_comparison(tmp_path / "c", changes=changes)
    csv_path, parquet = write_tables(folder)
    failed = next(row for row in csv.DictReader(csv_path.open(newline="")) if row["arm"] == "code")
    assert failed["reason"] == '\'=HYPERLINK("http://x")\n"quoted", comma', "shown, not run, by a spreadsheet"
    assert failed["success_iqm"] == "" and failed["tokens"] == "4440"
    stored = next(row for row in read_table(parquet) if row["arm"] == "code")
    assert stored["reason"].startswith("=HYPERLINK") and stored["success_iqm"] is None and stored["seeds"] == 0
    import pyarrow.parquet as pq

    schema = pq.read_schema(write_tables(make_comparison(tmp_path / "d", {"task": 0.5}))[1])
    assert str(schema.field("difference_to_llm").type) == "double", "a column without any value is one of numbers"


def test_wins_by_hand(tmp_path: Path) -> None:
    folder = compared(tmp_path, {"preference": [0.9, 0.4], "task": [0.4, 0.1]})
    (best, row), (_, other) = improvements(read(folder).scored)
    assert best.name == "preference" and row[0] is None and other[1] is None
    assert row[1] is not None and other[0] is not None
    assert (row[1].text, row[1].side, row[1].weight, row[1].strong) == ("88", "for", 75, False), "3.5 of 4 pairs"
    assert (other[0].text, other[0].side) == ("12", "against")
    assert "ahead in 2 of 2 shared seeds" in row[1].title and "no interval" in row[1].title


def planted(folder: Path, trajectories: int) -> None:
    """Trajectory i has i + 3 steps and true return i; ``up`` is its step, ``down`` the reverse, ``flat`` says nothing."""
    rows = []
    for i in range(trajectories):
        for step in range(i + 3):
            row = {"trajectory": i, "source": "task", "step": step, "action": "a", "text": "t", "success": False}
            row |= {"task_reward": float(i) if step == i + 2 else 0.0, "frame": picture(9 * i)}
            gap = None if step == 0 else -float(step)
            rows.append(row | {"reward:up": float(step), "reward:down": gap, "reward:flat": 1.0, "reward:none": None})
    write_table(folder / "trajectories.parquet", rows)


def test_rank_correlations_by_hand(tmp_path: Path) -> None:
    folder = compared(tmp_path, {"up": [0.5], "down": [0.4], "flat": [0.3]})
    planted(folder, 6)
    found = agreements(read(folder))
    assert found is not None and found.routes == ["up", "down", "flat"], "a route without any value is left out"
    steps = {(a, b): found.steps[i][j].text for i, a in enumerate(found.routes) for j, b in enumerate(found.routes)}
    assert steps["up", "down"] == steps["down", "up"] == "−1.00" and steps["up", "flat"] == "–"
    assert "over 27 steps" in found.steps[0][1].title and found.count == 33, "only where both are known"
    assert [cell.text for cell in found.returns[0]] == ["1.00", "1.00"]
    assert [cell.text for cell in found.returns[1]] == ["−1.00", "−1.00"]
    assert [cell.text for cell in found.returns[2]] == ["1.00", "–"], "the sum of a constant is the length"
    assert found.needed == pytest.approx(0.811, abs=0.001), "as in the tables of Spearman's rho, about"
    assert "6 trajectories carry little" in section(render(folder), "agreement")


def test_few_trajectories_carry_nothing(tmp_path: Path) -> None:
    folder = compared(tmp_path, {"up": [0.5], "down": [0.4]})
    planted(folder, 4)
    found = agreements(read(folder))
    assert found is not None and needed(4) is None
    assert {cell.text for row in found.returns for cell in row} == {"–"}
    assert "With 4 trajectories nothing can be said" in section(render(folder), "agreement")


def test_techniques_are_held_against_the_plain_policy_by_seed(tmp_path: Path) -> None:
    by_arm = {
        "llm": [0.1, 0.5, 0.3],
        "llm:examples": [0.3, 0.7, 0.5],
        "llm:thought": [0.0, 0.4, 0.4],
        "task": [0.0] * 3,
    }
    folder = compared(tmp_path, by_arm, changes={"llm:refine": {"status": "failed", "reason": "too long"}})
    html = render(folder)
    told = section(html, "techniques")
    assert "3 seeds are too few for 2 claims at once" in told
    assert "policy.examples 3 50% +20.0" in told and "3 of 3" in told
    assert "policy.thought true 27% −3.3" in told and "1 of 3" in told
    assert "plain 30% the one to compare with" in told
    stored = {row["arm"]: row for row in read_table(write_tables(folder)[1])}
    assert stored["llm:examples"]["difference_to_llm"] == pytest.approx(0.2)
    assert stored["llm"]["difference_to_llm"] is None


def test_a_technique_with_fewer_seeds_says_so_in_its_row(tmp_path: Path) -> None:
    by_arm = {"llm": [0.1, 0.2, 0.3, 0.1, 0.2], "llm:examples": [0.3] * 5, "llm:thought": [0.0, 0.1], "task": [0.0] * 5}
    told = section(render(compared(tmp_path, by_arm)), "techniques")
    assert "too few" not in told and "−10.0 to −10.0 2 seeds" in told


def test_flips_and_failures_are_shown(tmp_path: Path) -> None:
    told = section(render(make_comparison(tmp_path / "c")), "judges")
    assert "LLM feedback preference 400 1.0% 24% 61% 370" in told
    assert "LLM writes the action llm:generate 21,000 31.0%" in told


def test_what_was_asked_and_tried_is_shown(tmp_path: Path) -> None:
    told = section(render(make_comparison(tmp_path / "c")), "asked")
    assert "Goal: open the door" in told and "refused" in told
    assert "Round 1, program 1 missing_key KeyError: 'carrying' def reward" in told and "program 2 ok" in told


def test_curves_are_drawn_only_where_every_seed_has_one(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "c")
    rows = [r for r in read_table(folder / "curves.parquet") if r["arm"] != "scalar" or r["seed"] or r["steps"] < 9000]
    write_table(folder / "curves.parquet", rows)
    shown_ = section(render(folder), "learning")
    assert "LLM feedback preference" in shown_ and "LLM rating" not in shown_ and "not trained" in shown_


def test_of_many_techniques_the_best_and_the_plain_one_are_drawn(tmp_path: Path) -> None:
    by_arm = {"llm": [0.1] * 5, "llm:examples": [0.5] * 5, "llm:thought": [0.3] * 5, "task": [0.0] * 5}
    assert [way.name for way in shown(read(compared(tmp_path, by_arm)))] == ["llm:examples", "llm", "task"]


def test_labels_of_dots_do_not_hide_each_other() -> None:
    spots = [compare_plots.Spot("c0", f"a way {i}", "told", 1000.0, 0.02 * i, None, None) for i in range(8)]
    svg = compare_plots.over_cost(spots, [100.0, 1000.0], str, "title")
    found = re.findall(r'<text class="(begin|end)" x="([\d.]+)" y="([-\d.]+)"[^>]*>([^<]*)', svg)
    boxes = []
    for side, x, y, name in found:
        wide = compare_plots.LETTER * len(name)
        boxes.append((float(x) if side == "begin" else float(x) - wide, float(y), wide))
    assert len(boxes) == 8
    for i, (x, y, wide) in enumerate(boxes):
        assert all(x >= a + w or a >= x + wide or abs(y - b) >= compare_plots.LINE - 0.2 for a, b, w in boxes[:i])


def test_numbers_and_colours() -> None:
    values = (0, 999, 1000, 204_800, 999_600, 14_763_000, None)
    assert [words.compact(v) for v in values] == ["0", "999", "1k", "205k", "1M", "14.8M", "–"]
    assert words.signed(-0.053) == "−5.3" and words.signed(None) == "–"
    slots = words.slots(["llm", "llm:thought", "mine", "yours", "theirs"])
    assert slots["llm"] == slots["llm:thought"] and slots["mine"] != slots["yours"]
    assert max(slots.values()) < words.COLOURS
    style = (Path(words.__file__).parent / "style.css").read_text()
    assert all(style.count(f"--c{i}: #") == 2 for i in range(words.COLOURS)), "every colour for light and for dark"
    assert all(f".c{i} {{ --c: var(--c{i}); }}" in style for i in range(words.COLOURS))


def test_a_long_question_is_cut_to_its_end() -> None:
    text = "\n".join(f"line {i}" for i in range(200))
    assert tail("short") == "short"
    assert tail(text).startswith("… line") and tail(text).endswith("line 199") and len(tail(text)) <= TAIL + 2
    assert len(tail("x" * 9999)) == TAIL + 2


# ------------------------------------------------------------------------------------------------- hostile text


def hostile(folder: Path) -> Path:
    """Every text that comes from outside is hostile, long and without a place to break; so is the name of an arm."""
    changes = {
        "code": {"status": "failed", "reason": HOSTILE},
        "llm:refine": {"status": "stopped", "reason": HOSTILE, "switches": {HOSTILE: HOSTILE}},
        "llm": {"model": HOSTILE, "folder": HOSTILE},
    }
    rates = RATES | {HOSTILE: 0.4}
    make_comparison(folder, rates, text=HOSTILE, changes=changes, versions={HOSTILE: HOSTILE}, created=HOSTILE)
    rows = read_table(folder / "trajectories.parquet")
    write_table(folder / "trajectories.parquet", [row | {f"reward:{HOSTILE}": 1.0, "source": HOSTILE} for row in rows])
    return folder


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    html = render(hostile(tmp_path / "c"))
    page = Page(html)
    assert [a.get("type") for tag, a in page.tags if tag == "script"] == ["application/json", None]
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert "<script>window" not in html and 'onerror="' not in html
    assert "<script>window.hacked=1</script>" in page.text and "{{ 7*7 }}" in page.text, "the text itself must be shown"
    data = html.split('<script type="application/json" id="episodes">')[1].split("</script>")[0]
    assert HOSTILE[:20] in json.loads(data)["texts"][0] or "You see" in json.loads(data)["texts"][0]


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compare_report(hostile(tmp_path_factory.mktemp("runs") / ("c" * 80)))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_quiet(chromium: Any, hostile_page: Path, width: int, dark: bool) -> None:
    assert_fits_and_is_quiet(chromium, hostile_page, width, dark)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_a_plain_page_fits_too(chromium: Any, tmp_path: Path, width: int, seeds: int) -> None:
    page = compare_report(make_comparison(tmp_path / "c", seeds=seeds, changes=FAILED | STOPPED))
    assert_fits_and_is_quiet(chromium, page, width, False)
    if width == 1280:
        wide = "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        assert chromium.execute_script(wide) == 0, "on a desktop no table needs to be scrolled"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_cursor_moves_in_every_line(chromium: Any, tmp_path: Path, width: int) -> None:
    from selenium.webdriver.common.keys import Keys

    folder = make_comparison(tmp_path / "c")
    open_page(chromium, compare_report(folder), width)
    figure = chromium.find_element("css selector", ".episode")
    lanes = figure.find_elements("css selector", ".lane")
    assert len(lanes) == 6, "five routes and the world"
    figure.find_element("css selector", "input").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert figure.find_element("css selector", "output").text == "3 of 24"
    row = next(r for r in read_table(folder / "trajectories.parquet") if (r["trajectory"], r["step"]) == (0, 3))
    told = [lane.find_element("css selector", ".now").text for lane in lanes]
    assert told[0] == words.number(row["reward:preference"]) and told[-1] == "0.00"
    moved = {lane.find_element("css selector", ".cursor").get_attribute("transform") for lane in lanes}
    assert len(moved) == 1 and moved != {None}
    assert chromium.get_log("browser") == []


def test_it_reads_without_scripts(chromium: Any, hostile_page: Path) -> None:
    open_page(chromium, hostile_page, 390, scripts=False)
    assert "best" in chromium.find_element("css selector", "h1").text
    assert len(chromium.find_elements("css selector", ".lane svg")) >= 14
    assert all(image.get_attribute("alt") for image in chromium.find_elements("css selector", "img"))
    assert np.all([s.get_attribute("aria-label") for s in chromium.find_elements("css selector", "svg.chart")])
    open_page(chromium, hostile_page, 390)


def test_the_fixture_keeps_the_contract(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "c")
    assert {"name", "route", "status", "reason", "switches", "attempts"} <= set(
        read_json(folder / "compare.json")["arms"][0]
    )
    assert {"arm", "seed", "episode", "success", "task_return", "length"} == set(
        read_table(folder / "episodes.parquet")[0]
    )
