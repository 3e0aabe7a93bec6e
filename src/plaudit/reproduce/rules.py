"""From results to a status: rules that were written before any result, on directions with intervals only.

Each direction gets a verdict. With ``d`` a difference of success (or of what was met) between two arms, seed by seed.
Where a language model acted and its episodes were cut off (``policy.max_steps``), both arms are given as many steps: a
success counts where its episode is over by then (an episode that goes on after success is over at its end):

* ``ahead``: yes where the first is ahead by :func:`plaudit.analysis.claims.contest` (the interval of d leaves out zero, an
  exact rank test has p < 0.05, five seeds or more); no where the second is; else open.
* ``not behind``: yes where the lower end of d is above minus the margin; no where the upper end is below it; else open.
* ``ahead somewhere``: yes where it is ``ahead`` in one step at least, with p < 0.05 divided by their number, since each is
  another chance; no where every step says no; missing while one is and none says yes; else open.
* ``above``, ``below``: yes where the measured interval is wholly on that side of a number that was fixed beforehand (that
  of chance, or a margin of ours); no where it is wholly on the other; else open.
* ``within``: yes where the interval is wholly inside; no where it is wholly outside; else open.
* ``over``: yes where the first interval is wholly over the second; no where it is wholly under it; else open.
* A number without an interval, for too few seeds, leaves the last four open.

**Status**: *reproduced* where every direction is a yes, *partly* where some are. Where none is: *not run* while a direction
is missing, *not* where one at least is a no, else *open*, for too few seeds to tell are no finding. No figure of the paper
is used: none was seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from plaudit.analysis.claims import LEVEL, contest
from plaudit.reproduce.recipe import Check

Said = Literal["yes", "no", "open", "missing"]
Status = Literal["reproduced", "partly", "not", "open", "not run"]
WHOLE = re.compile(r"(\w+)\[([^\]]*)\]")
"""A list in a path with the item that is meant: ``outcomes[level=word,arm=llm]``."""


@dataclass(frozen=True)
class Evidence:
    """What a step has left behind."""

    scores: Mapping[str, Mapping[str, Mapping[int, float]]] = field(default_factory=dict)
    """By column (success, ...), arm and seed; of a comparison, a run, or agents that an analysis has trained."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """``result.json`` of an analysis, or what was unlearnt of a teaching."""
    episodes: Mapping[str, Mapping[int, Sequence[tuple[bool, int]]]] = field(default_factory=dict)
    """By arm and seed, each episode's success and steps; where single episodes are known."""
    cut: Mapping[str, int] = field(default_factory=dict)
    """Arms that a language model acted for and that were cut off short of the world's own limit: after so many steps."""


@dataclass(frozen=True)
class Figure:
    """A number with its interval."""

    value: float
    """The number."""
    low: float | None
    """Lower end; None where too few seeds allow no interval."""
    high: float | None
    """Upper end."""


@dataclass(frozen=True)
class Verdict:
    """What came of one direction."""

    check: Check
    """The direction."""
    said: Said
    """Whether it holds."""
    figures: tuple[tuple[str, Figure], ...] = ()
    """What that rests on, by name."""
    why: str = ""
    """Why it is missing; what was seen besides."""


def status(verdicts: Sequence[Verdict]) -> Status:
    """The rule at the top of this module."""
    said = [verdict.said for verdict in verdicts]
    if said and all(each == "yes" for each in said):
        return "reproduced"
    if "yes" in said:
        return "partly"
    if not said or "missing" in said:
        return "not run"
    return "not" if "no" in said else "open"


def judge(check: Check, evidence: Mapping[str, Evidence], chances: int = 1) -> Verdict:
    """One direction, by what its steps have left; ``chances``: of so many like it one would do."""
    if check.kind == "ahead somewhere":
        return _somewhere(check, evidence)
    lacking = [name for name in (check.step, check.other) if name and name not in evidence]
    if lacking:
        return Verdict(check, "missing", why=f"the step {lacking[0]} is not finished")
    first, second = evidence[check.step], evidence[check.other or check.step]
    if check.kind in ("ahead", "not behind"):
        return _of_arms(check, first, second, chances)
    return _of_results(check, first, second)


def _of_arms(check: Check, first: Evidence, second: Evidence, chances: int = 1) -> Verdict:
    sides = ((first, check.first), (second, check.second))
    caps = [evidence.cut[arm] for evidence, arm in sides if check.column == "success" and arm in evidence.cut]
    fewest = min(caps, default=0)
    scores, others = (scored(evidence, arm, check.column, fewest) for evidence, arm in sides)
    if not scores or not others:
        name = check.second if scores else check.first
        return Verdict(check, "missing", why=f"{name} has no {check.column}")
    found = contest(scores, others)
    d = found.difference
    if d is None or d.low is None or d.high is None:
        return Verdict(check, "open", why="fewer than two seeds that both have")
    figures = (("difference", Figure(d.point, d.low, d.high)),)
    few = f"{d.seeds} seeds carry no claim" if d.kind != "bootstrap" else ""
    held = f"both within {fewest} steps, where the acting model was cut off" if fewest else ""
    why = "; ".join(filter(None, (few, held)))
    if check.kind == "not behind":
        margin = check.than * (1.0 if check.column == "success" else abs(sum(others.values()) / len(others)))
        said: Said = "open" if few else "yes" if d.low > -margin else "no" if d.high < -margin else "open"
        return Verdict(check, said, figures, why)
    if not found.is_claim or chances * found.p >= LEVEL:
        return Verdict(check, "open", figures, why)
    return Verdict(check, "yes" if found.order == "ahead" else "no", figures, why)


def scored(evidence: Evidence, arm: str, column: str = "success", steps: int = 0) -> Mapping[int, float]:
    """An arm's seeds; of success, with ``steps``, what was over by then counts alone. Empty where that is not known."""
    if not steps:
        return evidence.scores.get(column, {}).get(arm, {})
    by_seed = evidence.episodes.get(arm, {})
    return {s: sum(won and length <= steps for won, length in each) / len(each) for s, each in by_seed.items() if each}


def _somewhere(check: Check, evidence: Mapping[str, Evidence]) -> Verdict:
    parts = [
        judge(Check(check.what, "ahead", step=name, first=check.first, second=check.second), evidence, len(check.steps))
        for name in check.steps
    ]
    figures = tuple((name, v.figures[0][1]) for name, v in zip(check.steps, parts, strict=True) if v.figures)
    if any(part.said == "yes" for part in parts):
        return Verdict(check, "yes", figures)
    missing = [part.why for part in parts if part.said == "missing"]
    if missing:
        return Verdict(check, "missing", figures, missing[0])
    return Verdict(check, "no" if all(part.said == "no" for part in parts) else "open", figures)


def _of_results(check: Check, first: Evidence, second: Evidence) -> Verdict:
    own = figure(first.result, check.first)
    if own is None:
        return Verdict(check, "missing", why=f"there is no {check.first!r} in the result")
    figures, against = [("measured", own)], None
    if check.kind == "over":
        if (against := figure(second.result, check.second)) is None:
            return Verdict(check, "missing", why=f"there is no {check.second!r} in the result")
        figures.append(("against", against))
    bare = [name for name, each in figures if each.low is None or each.high is None]
    if bare or own.low is None or own.high is None:
        return Verdict(check, "open", tuple(figures), f"too few seeds for an interval: {', '.join(bare)}")
    low, high, than = own.low, own.high, check.than
    if check.kind == "above":
        yes, no = low > than, high < than
    elif check.kind == "below":
        yes, no = high < than, low > than
    elif check.kind == "within":
        yes, no = check.low <= low and high <= check.high, high < check.low or low > check.high
    else:
        assert against and against.low is not None and against.high is not None
        yes, no = low > against.high, high < against.low
    return Verdict(check, "yes" if yes else "no" if no else "open", tuple(figures))


def figure(result: Mapping[str, Any], name: str) -> Figure | None:
    """A number of a result: a path into ``facts`` (or the file itself), else the first measure whose name fits.

    One without an interval, as of too few seeds, is taken where none has one.
    """
    told = [_at(root, name) for root in (result.get("facts", {}), result)]
    told += [measure for measure in result.get("measures", ()) if re.search(name, str(measure.get("name")))]
    found = [number for each in told if (number := _number(each)) is not None]
    return next((number for number in found if number.low is not None), found[0] if found else None)


def _at(value: Any, path: str) -> Any:
    """``point.judge``; ``outcomes[level=word,arm=llm]``: the item of a list with these values."""
    if re.search(r"[^\w.\[\]=,:+ -]", path):
        return None
    for part in re.findall(r"\w+\[[^\]]*\]|\w+", path):
        if chosen := WHOLE.fullmatch(part):
            wanted = dict(each.split("=", 1) for each in chosen[2].split(",") if "=" in each)
            items = value.get(chosen[1]) if isinstance(value, dict) else None
            fits = [item for item in items or () if all(str(item.get(k)) == v for k, v in wanted.items())]
            value = fits[0] if fits else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return None
    return value


def _number(value: Any) -> Figure | None:
    """``[value, low, high]``, or a record with a number and its ends, which may be None."""
    if isinstance(value, list) and len(value) == 3:
        own, low, high = value
    elif isinstance(value, dict):
        own = next((value[k] for k in ("value", "success", "difference", "change") if value.get(k) is not None), None)
        low, high = value.get("interval") or (value.get("low"), value.get("high"))
    else:
        return None
    if not isinstance(own, int | float):
        return None
    return (
        Figure(float(own), None, None) if low is None or high is None else Figure(float(own), float(low), float(high))
    )
