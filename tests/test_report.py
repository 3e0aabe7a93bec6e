"""The report of small made-up runs: true to the data, safe against hostile text, and good in a real browser."""

import base64
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import HOSTILE, Page, assert_fits_and_is_quiet, headline, open_page, picture

from plaudit.config import RunConfig, from_dict
from plaudit.config_rules import WITH_LLM
from plaudit.errors import StoreError
from plaudit.report import canvas, curves, episodes, words
from plaudit.report.build import render, report
from plaudit.report.results import more_seeds
from plaudit.store import Run, write_table


def make_run(
    folder: Path,
    success: dict[str, list[float]],
    pointwise: bool = True,
    text: str = "You see the key.",
    reply: str = "log P(Yes) = -0.1",
    judged: bool = True,
    **settings: Any,
) -> Run:
    """A finished run without any LLM or training; ``success`` is the rate of each arm's seeds."""
    arms, seeds = [a for a in success if a != "random"], len(next(iter(success.values())))
    route = next((a for a in arms if a in WITH_LLM), arms[0])
    train = {"controls": [a for a in arms if a != route], "seeds": seeds, "steps": 100, "num_envs": 2}
    run = Run.create(folder, from_dict(RunConfig, {"route": route, "train": train} | settings))
    texts = [f"{text} {i}" for i in range(40)]
    write_table(run.stage("collect") / "observations.parquet", [{"text": t, "count": i} for i, t in enumerate(texts)])
    write_table(run.stage("collect") / "truth.parquet", [{"text": t, "progress": i / 40} for i, t in enumerate(texts)])
    run.finish("collect", 1.0, steps=1000, distinct=40, steps_per_second=1000)
    if judged:
        write_answers(run, texts, pointwise, reply)
        rewards = [{"text": t, "reward": float(i), "spread": 0.1} for i, t in enumerate(texts)]
        rewards[3]["reward"] = math.nan
        write_table(run.stage("fit") / "rewards.parquet", rewards)
        run.finish("fit", 1.0, held_out_accuracy=0.9, held_out_pairs=20, train_accuracy=0.95, train_pairs=80)
    write_agents(run, success, texts, judged)
    return run


def write_answers(run: Run, texts: list[str], pointwise: bool, reply: str) -> None:
    cost: dict[str, Any] = {"tokens": 9, "seconds": 0.1, "usd": 0.0}
    pairs = []
    for i, (a, b) in enumerate(zip(texts[:30], texts[5:35], strict=True)):
        status = "tie" if i == 4 else "unparsed" if i == 5 else "ok"
        sure = None if status == "unparsed" else 0.5 if i == 4 else 0.2
        seats = {"forward": None, "backward": None} if pointwise else {"forward": sure, "backward": sure}
        pairs.append({"first": a, "second": b, "status": status, "probability": sure, "reply": reply} | seats | cost)
    write_table(run.stage("annotate") / "comparisons.parquet", pairs)
    if pointwise:
        values = [i / 10 - 2 if i % 7 else None for i in range(35)]
        states = [{"status": "refused" if v is None else "ok", "value": v} for v in values]
        rows = [{"text": t, "reply": reply} | s | cost for t, s in zip(texts, states, strict=False)]
        write_table(run.stage("annotate") / "judgements.parquet", rows)
    labels: dict[str, Any] = {"judged": 35, "pairs": 30, "by_status": {"ok": 29, "unparsed": 1}}
    labels |= {"flip_rate": None, "first_rate": None} if pointwise else {"flip_rate": 0.25, "first_rate": 0.75}
    told = {"prompt": "mine", "prompt_hash": "abc", "prompt_text": f"Is it good? {reply}", "questions": 30}
    run.finish("annotate", 2.0, model="made-up", tokens=1234, usd=0.5, labels=labels, **told)


def write_agents(run: Run, success: dict[str, list[float]], texts: list[str], judged: bool) -> None:
    evaluated, steps = [], []
    for arm, rates in success.items():
        for seed, rate in enumerate(rates):
            evaluated += [
                {"arm": arm, "seed": seed, "episode": e, "success": e < 10 * rate, "task_return": rate, "length": 20}
                for e in range(10)
            ]
            if arm != "random":
                (run.stage("train") / f"{arm}-{seed}").mkdir()
                write_table(run.folder / "train" / f"{arm}-{seed}" / "curve.parquet", curve(rate))
        for i in range(12):
            reward = None if not judged or i == 2 else math.nan if i == 7 else float(i % 5)
            frame = picture(20 * i) if i < 8 else None
            row = {"arm": arm, "episode": 0, "step": i, "action": texts[0] if i else "", "text": texts[i]}
            steps.append(row | {"reward": reward, "task_reward": 0.0, "success": i == 11, "frame": frame})
    run.finish("train", 3.0, agents=2, steps=100, steps_per_second={})
    write_table(run.stage("evaluate") / "episodes.parquet", evaluated)
    write_table(run.stage("evaluate") / "examples.parquet", steps)
    run.finish("evaluate", 1.0, episodes=10, success={})


def curve(rate: float) -> list[dict[str, Any]]:
    """Ten updates of which every third ends no episode; one value is NaN."""
    rows = []
    for i in range(10):
        ended = 0 if i % 3 == 0 else 4
        value = None if not ended else rate
        row = {"steps": 10 * (i + 1), "episodes": ended, "success": value, "task_return": value, "length": 20.0}
        rows.append(row | {"reward_return": math.nan if i == 5 else value, "entropy": 1.0, "seconds": 0.01})
    return rows


WINS = {"preference": [0.9, 1.0], "task": [0.1, 0.0], "constant": [0.0, 0.0], "random": [0.0, 0.1]}
LOSES = {"preference": [0.0, 0.1], "task": [0.9, 0.8], "random": [0.0, 0.0]}


def test_it_writes_one_file_and_finishes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", WINS)
    report(run)
    size = (run.folder / "report.html").stat().st_size
    record = run.finished("report")
    assert record is not None and record["summary"]["bytes"] == size < 400_000
    assert [p.name for p in run.folder.iterdir() if p.name.startswith(".")] == []


def test_it_needs_no_network(tmp_path: Path) -> None:
    page = Page(render(make_run(tmp_path / "r", WINS)))
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    policy = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0] is not None and "default-src 'none'" in policy[0]


def test_the_report_waits_for_evaluation(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="plaudit evaluate"):
        report(Run.create(tmp_path / "r", RunConfig()))


def test_a_win_is_told(tmp_path: Path) -> None:
    html = render(make_run(tmp_path / "r", WINS))
    assert headline(html) == (
        "The agent trained only on the LLM's reward solves 95% of new episodes; on the task reward alone 5%."
    )
    assert "2 seeds are too few for a claim" in html and "plaudit run doorkey" in html
    assert "+90.0 points (+80.0 to +100.0: lowest and highest of 2 seeds, not an interval)" in html


@pytest.mark.parametrize(
    ("typed", "more"),
    [
        ("plaudit run --recipe demo", "plaudit run --recipe demo --train.seeds 5 --out runs/5-seeds"),
        (
            "plaudit run doorkey --out 'my runs/x' --world.size 5 --train.seeds=1 --llm m.gguf",
            "plaudit run doorkey --world.size 5 --llm m.gguf --train.seeds 5 --out runs/5-seeds",
        ),
        ("pytest tests", "plaudit run doorkey"),
    ],
)
def test_a_claim_takes_the_same_settings_with_more_seeds(typed: str, more: str) -> None:
    assert more_seeds(typed, "doorkey") == more


def test_a_loss_is_told(tmp_path: Path) -> None:
    said = headline(render(make_run(tmp_path / "r", LOSES)))
    assert "does not win" in said and "solves 5%" in said and "the agent trained on the task reward 85%" in said


def test_a_draw_is_told(tmp_path: Path) -> None:
    said = headline(render(make_run(tmp_path / "r", {"preference": [0.2, 0.4], "task": [0.4, 0.2]})))
    assert "cannot tell apart from the agent trained on the task reward: 30%" in said


def test_beating_the_task_but_not_a_constant_is_no_win(tmp_path: Path) -> None:
    said = headline(
        render(make_run(tmp_path / "r", {"preference": [0.5, 0.6], "task": [0.0, 0.0], "constant": [0.9, 0.9]}))
    )
    assert "does not win" in said and "the agent trained on a constant +1 90%" in said


def test_a_mixed_reward_is_not_called_the_llms_alone(tmp_path: Path) -> None:
    said = headline(render(make_run(tmp_path / "r", WINS, shaping={"task_weight": 1.0})))
    assert "beside the task's" in said and "only" not in said


def test_five_seeds_give_an_interval_and_no_warning(tmp_path: Path) -> None:
    html = render(make_run(tmp_path / "r", {"preference": [0.9, 1.0, 0.8, 1.0, 0.9], "task": [0.1] * 5}))
    assert "too few" not in html and "95% stratified bootstrap interval over 5 seeds" in html


def test_a_single_seed_has_no_interval(tmp_path: Path) -> None:
    html = render(make_run(tmp_path / "r", {"preference": [0.9], "task": [0.1]}))
    assert "1 seed is too few" in html and "one seed, no interval" in html


@pytest.mark.parametrize("pointwise", [True, False])
def test_hostile_text_stays_text(tmp_path: Path, pointwise: bool) -> None:
    html = render(make_run(tmp_path / "r", WINS, pointwise, text=HOSTILE, reply=HOSTILE))
    page = Page(html)
    assert [a.get("type") for tag, a in page.tags if tag == "script"] == ["application/json", None]
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert "<script>window" not in html and 'onerror="' not in html
    assert "<script>window.hacked=1</script>" in page.text, "the text itself must be shown"
    assert "{{ 7*7 }}" in page.text
    assert set(page.text) & {"\u202e"} and "<bdi" in html, "right-to-left marks must not leave their box"


def test_missing_parts_are_left_out(tmp_path: Path) -> None:
    html = render(make_run(tmp_path / "r", {"task": [0.1, 0.2], "random": [0.0, 0.0]}, judged=False))
    assert "No agent here was trained on an LLM" in html
    assert "No judgement was stored" in html and "No reward model was fitted" in html
    shown = Page(html).text
    assert not {"nan", "None", "undefined"} & set(shown.split())


def test_missing_numbers_are_dashes() -> None:
    for value in (None, math.nan, math.inf):
        for show in (words.percent, words.number, words.count, words.money, words.duration):
            assert show(value) == words.NONE
    shares = {0.005: "0.5%", 0.0: "0%", 0.085: "8.5%", 0.97: "97%", 0.995: "99.5%", 1.0: "100%"}
    assert [words.percent(v) for v in shares] == list(shares.values())
    assert words.number(-0.5) == "−0.50" and words.money(0.00012) == "$0.00012" and words.duration(120) == "2.0 min"


def test_pairwise_judges_show_seats_and_failures(tmp_path: Path) -> None:
    html = render(make_run(tmp_path / "r", WINS, pointwise=False))
    assert "verdicts that flipped" in html and "25%" in html and "75%" in html
    assert "Failed, drawn at random" in html and "unparsed" in html


def test_truth_is_only_for_measuring(tmp_path: Path) -> None:
    html = render(make_run(tmp_path / "r", WINS, pointwise=False))
    assert "never entered the reward" in html
    # Every pair's second is ahead in progress, the judge says so in all but the tie: 28.5 of 29.
    assert "98.3%" in html


def test_a_curve_counts_episodes_not_updates_and_waits_for_slow_ones() -> None:
    def row(steps: int, episodes: int, success: float | None) -> dict[str, Any]:
        return {"steps": steps, "episodes": episodes, "success": success}

    # Two early successes, then 8 episodes hit the clock at step 40: the rate is 2 of 10, never 100%.
    rows = [row(10, 2, 1.0), row(20, 0, None), row(30, 0, None), row(40, 8, 0.0), row(50, 3, math.nan), row(60, 4, 0.5)]
    assert curves.pooled(rows, "success", 40) == {40: 0.2, 50: 0.0, 60: pytest.approx(2 / 12)}
    assert curves.pooled(rows, "success", 100) == {}


def test_pictures_fit_their_budget() -> None:
    frames: list[bytes | None] = [bytes([i]) * 20_000 for i in range(20)]
    kept = episodes.thin(frames)
    assert sum(len(f) for f in kept if f) <= episodes.FRAME_BYTES and kept[::4] == frames[::4]
    assert episodes.thin([b"same" * 10_000] * 100) == [b"same" * 10_000] * 100, "equal pictures count once"
    assert episodes.thin([b"x" * 10**6]) == [None]


def test_long_episodes_are_cut() -> None:
    rows = [{"text": f"{i:05}" * 200} for i in range(500)]
    assert len(episodes.beginning(rows)) == episodes.TEXT_CHARACTERS // 1000
    assert len(episodes.beginning([{"text": "same"}] * 5000)) == episodes.MAX_STEPS


def test_floor_is_the_quantile_of_the_judged(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", WINS)
    from plaudit.report.tables import read

    # Judged are 0 to 34 without 3, whose reward is not a number: the median of the other 34 is 17.5.
    assert episodes.floor(read(run), run.config) == 17.5


def test_ticks_are_round() -> None:
    assert canvas.ticks(0, 160_000, 4) == [0, 50_000, 100_000, 150_000]
    assert canvas.ticks(-0.13, 0.92, 5) == [0, 0.25, 0.5, 0.75]
    assert canvas.ticks(3, 3) == [3]
    assert canvas.ticks(1.2, 19, 3) == [5, 10, 15], "10 alone would be no scale"


# ---------------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose every text is hostile, long and without a place to break."""
    run = make_run(tmp_path_factory.mktemp("runs") / ("r" * 80), WINS, text=HOSTILE, reply=HOSTILE)
    report(run)
    return run.folder / "report.html"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_quiet(chromium: Any, hostile_page: Path, width: int, dark: bool) -> None:
    assert_fits_and_is_quiet(chromium, hostile_page, width, dark)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_player_steps(chromium: Any, hostile_page: Path, width: int) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    open_page(chromium, hostile_page, width)
    figure = chromium.find_element("css selector", ".episode")

    def find(selector: str) -> Any:
        return figure.find_element("css selector", selector)

    def state() -> tuple[str, str, str]:
        source = find(".picture img").get_attribute("src")
        return find("output").text, source, find(".cursor").get_attribute("transform")

    assert state()[0] == "0 of 11"
    find("input").send_keys(Keys.ARROW_RIGHT)
    find(".play").send_keys(Keys.ARROW_RIGHT)
    at, source, cursor = state()
    assert at == "2 of 11"
    assert base64.b64decode(source.split(",")[1]) == picture(40), "the picture is that of the step"
    assert HOSTILE.split("\n")[0][:30] in find(".said").text and "reward" not in find(".said").text
    chromium.execute_script("arguments[0].click()", figure.find_elements("css selector", ".film button")[-1])
    assert state()[0] == "7 of 11" and state()[2] != cursor
    find(".play").click()
    WebDriverWait(chromium, 10).until(lambda _: state()[0] == "11 of 11")
    assert "stale" in find(".picture").get_attribute("class"), "step 11 has no picture and says so"
    WebDriverWait(chromium, 10).until(lambda _: find(".play").get_attribute("aria-label") == "Play")
    assert "reward 1.00" in find(".said").text
    assert chromium.get_log("browser") == []


def test_it_reads_without_scripts(chromium: Any, hostile_page: Path) -> None:
    open_page(chromium, hostile_page, 390, scripts=False)
    assert chromium.find_element("css selector", "h1").text.startswith("The agent trained only")
    assert not chromium.find_element("css selector", ".controls").is_displayed()
    assert len(chromium.find_elements("css selector", ".episode .film img")) >= 16
    assert all(image.get_attribute("alt") for image in chromium.find_elements("css selector", "img"))
    assert np.all([s.get_attribute("aria-label") for s in chromium.find_elements("css selector", "svg.chart")])
    open_page(chromium, hostile_page, 390)
