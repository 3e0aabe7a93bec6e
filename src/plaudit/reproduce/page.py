"""The page of ``plaudit reproduce``: each experiment with its claim, rule, status, figures and steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.report.page import page
from plaudit.reproduce.run import Outcome, Project

SAID = {"yes": "holds", "no": "the other way round", "open": "open", "missing": "not measured"}
"""Verdicts in words."""


def render(project: Project, outcomes: list[Outcome], record: dict[str, Any]) -> str:
    """One self-contained HTML page; reports of the steps are linked where they are."""
    return page(
        "reproduce.html",
        name="the paper's experiments",
        outcomes=outcomes,
        headline=headline(outcomes),
        record=record,
        size=project.size,
        said=SAID,
        mixed=mixed(record.get("commits", {})),
        reports={step.name: link for step in project.steps if (link := report_of(project, step.name))},
        player={},
    )


def headline(outcomes: list[Outcome]) -> str:
    """How many of which status."""
    words = {
        "reproduced": "reproduced",
        "partly": "partly reproduced",
        "not": "not reproduced",
        "open": "open",
        "not run": "not yet run",
    }
    counts = {kind: sum(o.status == kind for o in outcomes) for kind in words}
    said = [f"{count} {words[kind]}" for kind, count in counts.items() if count]
    return f"Of {len(outcomes)} experiments: {', '.join(said)}."


def mixed(commits: Mapping[str, Sequence[str]]) -> str:
    """That not all steps were made by the same plaudit, where so; a finished step is not carried out again for that."""
    if len(commits) < 2 and not any("," in commit for commit in commits):
        return ""
    said = "; ".join(f"{commit}: {', '.join(steps)}" for commit, steps in commits.items())
    return (
        f"The steps are of different commits of plaudit ({said}). What is finished is not carried out again when plaudit "
        "changes; for all of one commit give another folder: --out NAME."
    )


def report_of(project: Project, name: str) -> str:
    """Address of a step's own page, from this one; empty where there is none yet."""
    return f"steps/{name}/report.html" if (project.where(name) / "report.html").is_file() else ""
