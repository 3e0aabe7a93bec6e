"""An analysis carried out: read what there is, ask, write ``result.json`` and ``report.html``, tell the terminal."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table as Lines

from plaudit import registry
from plaudit.analyze.base import Finding, Measure, Subject
from plaudit.analyze.page import index, render
from plaudit.config import to_dict
from plaudit.console import console
from plaudit.errors import ConfigError, PlauditError
from plaudit.report.words import number, percent
from plaudit.store import atomic, explain_disk_errors, folder_lock, provenance, write_json

MAY_BE_NONE = {("hacking", "items"), ("hacking", "shown")}
"""Options that count something and may be 0, for none, beside those whose usual value is 0."""


def check(name: str, options: Any) -> None:
    """Raise where an option of this analysis counts something and there would be none of it."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        least = int(field.default != 0 and (name, field.name) not in MAY_BE_NONE)
        if type(value) is int and value < least:  # a bool is an int too, and counts nothing
            option = f"--{name}.{field.name.replace('_', '-')}"
            raise ConfigError(f"{option} must be at least {least}, got {value}. For instance: {option} {field.default}")


def analyze(name: str, subject: Subject, options: Any) -> Finding:
    """Carry out the analysis of this name; see :class:`plaudit.analyze.base.Analysis`."""
    check(name, options)
    analysis, folder = registry.load("analyses", name)(), subject.folder
    if analysis.reads:
        subject.finished_run(*analysis.reads)
    with explain_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        start = time.perf_counter()
        finding: Finding = analysis.find(subject, options)
        record = provenance() | {
            "analysis": name,
            "subject": subject.name,
            "seconds": round(time.perf_counter() - start, 2),
            "options": dataclasses.asdict(options),
            "config": to_dict(subject.config),
        }
        measures = [dataclasses.asdict(each) for each in finding.measures]
        said = {"headline": finding.headline, "measures": measures, "warnings": [*finding.warnings]}
        write_json(folder / "result.json", record | said | {"facts": finding.facts})
        with atomic(folder / "report.html") as file:
            file.write(render(name, subject, finding, record).encode("utf-8", errors="replace"))
    return finding


def analyze_all(asked: Sequence[tuple[str, Subject, Any]], folder: Path) -> Path:
    """One after the other, and a page over all of them; what cannot be made says why and stops none of the others."""
    for name, _, options in asked:
        check(name, options)
    refused = dict[str, str]()
    for name, subject, options in asked:
        console.print(f"\n{name}: {registry.summary('analyses', name)}", markup=False)
        try:
            finding = analyze(name, subject, options)
        except PlauditError as error:
            refused[name] = str(error)
            console.print(f"not here: {error}", markup=False)
            continue
        console.print(finding.headline, markup=False)
        for warning in finding.warnings:
            console.print(f"beware: {warning}", markup=False)
    with explain_disk_errors(folder), atomic(folder / "index.html") as file:
        file.write(index(asked[0][1].name, folder, refused).encode("utf-8", errors="replace"))
    return folder / "index.html"


def show(finding: Finding, folder: Path) -> None:
    """What the terminal tells of it."""
    console.print(f"\n{finding.headline}", markup=False)
    if finding.measures:
        lines = Lines(box=None, pad_edge=False)
        headings = (("", "left"), ("", "right"), ("95% interval", "left"), ("chance", "right"), ("n", "right"))
        for heading, justify in headings:
            lines.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for each in finding.measures:
            chance = "" if each.chance is None else written(each, each.chance)
            n = f"{each.n:,}" if each.n else ""
            lines.add_row(each.name, written(each, each.value), spread(each), chance, n)
        console.print(lines, markup=False)
    for warning in finding.warnings:
        console.print(f"beware: {warning}", markup=False)
    print(f"\nreport: {folder / 'report.html'}")


def written(measure: Measure, value: float | None) -> str:
    """A number as this measure is written."""
    return percent(value, 1) if measure.share else number(value)


def spread(measure: Measure) -> str:
    """The interval in words; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    return f"{written(measure, measure.low)} to {written(measure, measure.high)}"
