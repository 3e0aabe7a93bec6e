"""report: one HTML file out of a run folder, readable without network, script or this program.

Run: ``plaudit report runs/doorkey``. Reads finished stages only; no stage pushes to it. Several arms of a comparison are
in ``compare``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from plaudit.analysis.agreement import CLEAR_GAP
from plaudit.analysis.statistics import MIN_SEEDS
from plaudit.config import RunConfig, WorldConfig, shaping_used, to_dict
from plaudit.console import console
from plaudit.report import asked, curves, episodes, judge, labels, plots, results, words
from plaudit.report.page import page
from plaudit.report.tables import Tables, read
from plaudit.store import STAGES, Run, atomic
from plaudit.world_file import title


def report(run: Run) -> None:
    """Run the stage."""
    start = time.perf_counter()
    html = render(run).encode("utf-8", errors="replace")
    path = run.folder / "report.html"
    with atomic(path) as file:
        file.write(html)
    run.finish("report", time.perf_counter() - start, bytes=len(html))
    console.print(f"report: {path} ({words.size(len(html))})")


def render(run: Run) -> str:
    """The page."""
    tables, config = read(run), run.config
    found = results.arms(tables)
    first, more, player = episodes.panels(tables, found, config)
    most, least = judge.extremes(tables)
    return page(
        "run.html",
        name=run.folder.name,
        config=config,
        world_name=_world_name(config.world),
        record=run.record,
        config_text=json.dumps(to_dict(config), indent=2, ensure_ascii=False),
        min_seeds=MIN_SEEDS,
        arms=found,
        strips={arm.name: _strip(arm) for arm in found},
        headline=results.headline(found, config, run.record["command"]),
        stages=stages(tables),
        summaries={stage: tables.summary(stage) for stage in STAGES},
        panels=first,
        more_panels=more,
        player=player.data(),
        floor=episodes.floor(tables, config),
        most=most,
        least=least,
        pointwise=bool(tables.judgements),
        question=asked.question(tables),
        programs=asked.programs(tables),
        acted=asked.acted(tables),
        understood=asked.understood(tables),
        label_curve=tables.label_curve,
        samples=judge.samples(tables),
        spread=judge.spread(tables),
        agreement=judge.agreement(tables),
        clear_gap=CLEAR_GAP,
        against_progress=judge.against_progress(tables),
        standings=labels.standings(run),
        beside=labels,
        shaping=shaping(config),
        **learning(tables, found, config),
    )


def learning(tables: Tables, found: Sequence[results.Arm], config: RunConfig) -> dict[str, Any]:
    """The plots of training; the success plot is None where no training was long enough for an honest rate."""
    every = [row["length"] for rows in (tables.episodes, *tables.curves.values()) for row in rows]
    span = curves.window(every, config.train.num_envs)
    steps = max((arm.steps or 0 for arm in found), default=0)
    of_arm = {arm.name: [curve for (name, _), curve in tables.curves.items() if name == arm.name] for arm in found}
    rates = [(arm, curves.over_seeds(of_arm[arm.name], "success", span)) for arm in found]
    ends = ", ".join(f"{words.label(arm.name)} {words.percent(points[-1].y)}" for arm, points in rates if points)
    drawn = [(arm.css, points) for arm, points in rates if points]
    title = f"Success rate over environment steps; at the end: {ends}"
    returns = []
    for arm in found:
        if points := curves.over_seeds(of_arm[arm.name], "reward_return", span):
            end = f"Return of the reward that {words.label(arm.name)} maximises; at the end {words.number(points[-1].y, 1)}"
            returns.append((arm, plots.curves([(arm.css, points)], steps, end, small=True, shares=False)))
    return {
        "window": span,
        "trained": [arm for arm, points in rates if points],
        "success_plot": plots.curves(drawn, steps, title) if drawn else None,
        "return_plots": returns,
    }


def _strip(arm: results.Arm) -> Markup:
    seeds = ", ".join(words.percent(value, 0) for value in arm.by_seed.values())
    spread = arm.success
    title = f"{words.label(arm.name)}: success {words.percent(spread.point)}; each seed: {seeds}"
    return plots.strip(list(arm.by_seed.values()), spread.point, spread.low, spread.high, arm.slot, title)


def stages(tables: Tables) -> list[dict[str, Any]]:
    """Time and cost of each stage, with what it did."""
    rows = []
    for stage, record in tables.stages.items():
        if stage != "report":
            summary = tables.summary(stage)
            asked = {key: summary.get(key) for key in ("tokens", "usd")}
            rows.append({"stage": stage, "seconds": record.get("seconds"), "did": _did(stage, summary)} | asked)
    return rows


def _did(stage: str, summary: dict[str, Any]) -> str:
    parts = {
        "collect": (("steps", "steps"), ("distinct", "distinct observations")),
        "annotate": (("questions", "questions to the model"),),
        "fit": (("train_pairs", "pairs fitted"),),
        "train": (("agents", "agents"), ("steps", "steps each")),
        "evaluate": (("episodes", "episodes of each agent"),),
    }
    known = [(summary.get(key), what) for key, what in parts.get(stage, ())]
    said = [f"{words.count(value)} {what}" for value, what in known if value is not None]
    if beside := summary.get("judged_beside"):
        said.append(f"judged beside: {words.judged_beside(beside)}")
    return ", ".join(said)


def shaping(config: RunConfig) -> list[tuple[str, str]]:
    """The switches between the reward model's output and what the agent maximises: (setting, what it did)."""
    s = shaping_used(config)
    power = f"{s.count_power:g}"
    kept = (
        "All values are kept."
        if s.quantile < 0
        else (f"Values at or below the {words.percent(s.quantile, 0)} quantile of the judged observations became 0.")
    )
    counted = (
        "Repeats were not discounted."
        if s.count_power == 0
        else (f"Divided by N to the power {power}, N = how often the same event had happened in the episode.")
    )
    rows = [("normalize", "Mean subtracted, divided by the standard deviation." if s.normalize else "Left as it came.")]
    if s.potential:
        rows.append(("potential", f"γ·r(s′) − r(s) with γ = {config.train.gamma:g}; no quantile and no counts then."))
    elif s.difference:
        rows.append(("difference", "r(s′) − r(s), at the end of an episode too; no quantile and no counts then."))
    else:
        rows += [("quantile", kept), ("count_power", counted)]
    rows.append(("llm_weight", f"Weight of this reward in the sum: {s.llm_weight:g}."))
    rows.append(("task_weight", f"Weight of the world's own reward in the sum: {s.task_weight:g}."))
    return rows


def _world_name(config: WorldConfig) -> str:
    """The world and what was chosen of it."""
    return ", ".join([title(config.name), *(str(v) for k, v in vars(config).items() if v and k != "name")])
