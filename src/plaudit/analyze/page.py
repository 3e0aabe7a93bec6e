"""The page of an analysis: any :class:`plaudit.analyze.base.Finding`, in the style of a run's report."""

from __future__ import annotations

import json
from typing import Any

from plaudit.analyze.base import Finding, Subject
from plaudit.report.page import page


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
