"""One page, and one table, out of a comparison folder: which way of using this LLM works best here, and what it costs.

Run: ``plaudit compare doorkey``. Reads ``compare.json``, ``episodes.parquet``, ``curves.parquet`` and
``trajectories.parquet``; writes ``report.html``, ``arms.csv`` and ``arms.parquet`` beside them. What is missing is left
out and said; ways that failed stay in the table, with their reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from plaudit.analysis.claims import Contest, contest, too_few
from plaudit.analysis.statistics import MIN_SEEDS
from plaudit.console import console
from plaudit.report import compare_charts, compare_plots, plots, words
from plaudit.report.compare_asked import asked, examples, judges
from plaudit.report.compare_headline import cut_off, headline
from plaudit.report.compare_matrix import agreements, improvements
from plaudit.report.compare_rewards import tracks
from plaudit.report.compare_table import write_tables
from plaudit.report.compare_ways import Comparison, Way, read
from plaudit.report.page import page
from plaudit.store import atomic


@dataclass(frozen=True)
class Technique:
    """The direct policy with one switch turned, against the plain one."""

    way: Way
    """The one with the switch."""
    switches: list[str]
    """What was changed, as it is typed."""
    against: Contest | None
    """The comparison with the plain one; None for the plain one itself or without scores of both."""
    plot: Markup | None
    """The difference, drawn."""
    times: float | None
    """Tokens, as a multiple of the plain one's."""


def compare_report(folder: Path) -> Path:
    """Write the page and the tables; the page's path."""
    html = render(folder).encode("utf-8", errors="replace")
    path = folder / "report.html"
    with atomic(path) as file:
        file.write(html)
    write_tables(folder)
    for note in cut_off(read(folder)):
        console.print(note, markup=False)
    console.print(f"report: {path} ({words.size(len(html))})")
    return path


def render(folder: Path) -> str:
    """The page."""
    comparison = read(folder)
    first, more, player = tracks(comparison)
    conversations, techniques = asked(comparison), ablation(comparison)
    return page(
        "compare.html",
        name=folder.resolve().name,
        record=provenance(comparison.record),
        world=comparison.world,
        models=list(dict.fromkeys(way.text("model") for way in comparison.ways if way.text("model"))),
        config_text=json.dumps(comparison.part("config"), indent=2, ensure_ascii=False),
        headline=headline(comparison),
        min_seeds=MIN_SEEDS,
        ways=comparison.ways,
        scored=comparison.scored,
        most=max((len(way.by_seed) for way in comparison.scored), default=0),
        strips={way.name: _strip(way) for way in comparison.scored},
        spent=comparison.part("spent"),
        ceilings=comparison.part("ceilings"),
        learning=compare_charts.learning(comparison),
        shown=compare_charts.shown(comparison),
        profile=compare_charts.profile(comparison),
        gap=compare_charts.gap,
        costs=compare_charts.costs(comparison),
        improvements=improvements(comparison.scored),
        first=first,
        more=more,
        player=player.data(),
        agreements=agreements(comparison),
        judges=judges(comparison),
        examples=examples(conversations),
        asked=conversations,
        techniques=techniques,
        techniques_warning=_few_techniques(techniques),
    )


def provenance(record: dict[str, Any]) -> dict[str, Any]:
    """How it was made; what was not recorded is empty."""
    keys = ("plaudit", "commit", "command", "created", "machine")
    versions = record.get("versions")
    return {key: str(record.get(key) or "") for key in keys} | {
        "versions": versions if isinstance(versions, dict) else {}
    }


def _strip(way: Way) -> Markup:
    spread = way.success
    assert spread is not None, "only scored ways are drawn"
    seeds = ", ".join(words.percent(value, 0) for value in way.by_seed.values())
    title = f"{words.label(way.name)}: success {words.percent(spread.point)}; each seed: {seeds}"
    return plots.strip(list(way.by_seed.values()), spread.point, spread.low, spread.high, way.slot, title)


def ablation(comparison: Comparison) -> list[Technique]:
    """The plain direct policy and every technique beside it; empty without techniques."""
    plain = next((way for way in comparison.ways if way.name == "llm"), None)
    ways = [way for way in comparison.ways if way.name.startswith("llm:")]
    if not ways:
        return []
    scores = plain.by_seed if plain else {}
    found = {way.name: contest(way.by_seed, scores) for way in ways if way.by_seed and scores}
    ends = [
        v for c in found.values() if c.difference for v in (c.difference.point, c.difference.low, c.difference.high)
    ]
    span = max((abs(v) for v in ends if v is not None), default=0.0) or 0.1
    rows = [_technique(way, found.get(way.name), plain, span) for way in ways]
    return [_technique(plain, None, plain, span), *rows] if plain else rows


def _technique(way: Way, against: Contest | None, plain: Way | None, span: float) -> Technique:
    tokens, base = way.number("tokens"), plain.number("tokens") if plain else None
    switches = way.record.get("switches")
    plot = None
    if against and against.difference:
        d = against.difference
        title = f"{words.label(way.name)}: {words.signed(d.point)} points against the plain policy"
        plot = compare_plots.difference(d.point, d.low, d.high, span, way.slot, title)
    return Technique(
        way=way,
        switches=[f"{k} {_plain(v)}" for k, v in switches.items()] if isinstance(switches, dict) else [],
        against=against,
        plot=plot,
        times=tokens / base if tokens and base and way is not plain else None,
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _few_techniques(rows: list[Technique]) -> str | None:
    """Why these seeds carry no claim about a technique, each of which is one; None where they may."""
    seeds = [row.against.improvement.seeds for row in rows if row.against]
    return too_few(max(seeds), len(seeds)) if seeds else None  # a row with fewer says so itself
