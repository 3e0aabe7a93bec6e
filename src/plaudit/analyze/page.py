"""The page of an analysis: any :class:`plaudit.analyze.base.Finding`, in the style of a run's report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plaudit import registry
from plaudit.analyze.base import Finding, Subject
from plaudit.report.page import page
from plaudit.store import provenance, read_json


def render(name: str, subject: Subject, finding: Finding, record: dict[str, Any]) -> str:
    """One self-contained HTML page; all texts are escaped by the template."""
    return page(
        "analysis.html",
        name=f"{name} of {subject.name}",
        analysis=name,
        subject=subject.name,
        model=subject.config.llm.model,
        finding=finding,
        record=record,
        player=finding.player,
        config_text=json.dumps({key: record[key] for key in ("options", "config")}, indent=2, ensure_ascii=False),
    )


def index(subject: str, folder: Path, refused: dict[str, str]) -> str:
    """One page over all results in this folder, and why others are not there."""
    found, missing = list[dict[str, Any]](), list[dict[str, str]]()
    for name in registry.entries("analyses"):
        about = {"name": name, "asks": registry.summary("analyses", name)}
        if (folder / name / "result.json").is_file() and name not in refused:
            found.append(about | {"result": read_json(folder / name / "result.json")})
        else:
            made = f"made only where it is named: plaudit analyze {name}"
            missing.append(about | {"why": refused.get(name, made)})
    return page(
        "analyses.html",
        name=f"analyses of {subject}",
        subject=subject,
        found=found,
        missing=missing,
        record=provenance(),
        player={},
    )
