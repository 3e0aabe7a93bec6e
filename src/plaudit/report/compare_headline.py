"""Which way of using this LLM works best here, in one computed sentence, and whether the seeds carry it.

The best way is held against every other one; the one it is least clearly ahead of decides. A way with too few seeds, say
because a ceiling stopped it, is named and left out of that as long as others have enough and it is wholly behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from plaudit.analysis.claims import Contest, contest, too_few
from plaudit.analysis.statistics import MIN_SEEDS
from plaudit.report.compare_ways import Comparison, Way
from plaudit.report.words import REFERENCES, duration, label, money, number, percent, signed

SHORT = 160
"""Characters of a reason that stands above the table; the table has all of it."""


@dataclass(frozen=True)
class Headline:
    """The result in plain words."""

    sentence: str
    """The result."""
    warning: str = ""
    """Why it is no claim; empty where the seeds carry one."""
    cure: str = ""
    """What to type to change that; empty where nothing would."""
    carried: str = ""
    """That the seeds carry it; empty where they do not."""
    details: list[str] = field(default_factory=list)
    """What the sentence stands on."""
    notes: list[str] = field(default_factory=list)
    """What is missing from the comparison, and why."""


def headline(comparison: Comparison) -> Headline:
    """The result; a way that is not ahead of every control has not won."""
    scored = [way for way in comparison.scored if way.name not in REFERENCES]
    notes = [*unfinished(comparison), *reached(comparison), *cut_off(comparison)]
    ours, controls = [w for w in scored if not w.is_control], [w for w in scored if w.is_control]
    if not scored:
        return Headline("There is no result: none of the ways was finished.", notes=notes)
    if max(max(way.by_seed.values()) for way in scored) == 0:
        return Headline(_nothing(scored), details=[_basis(comparison)], notes=notes)
    if not ours:
        best = scored[0]
        return Headline(
            f"No way of using an LLM was finished. {_has(best)}.", notes=notes, details=[_basis(comparison)]
        )
    best, others = ours[0], [way for way in scored if way is not ours[0]]
    if not others:
        sentence = f"{_has(best)}. It is the only one that was finished, so there is nothing to compare it with."
        return Headline(sentence, too_few(len(best.by_seed)) or "", notes=notes, details=[_basis(comparison)])
    enough = [way for way in others if min(len(way.by_seed), len(best.by_seed)) >= MIN_SEEDS]
    if short := [way for way in others if enough and way not in enough]:
        notes.append(f"Too few seeds for any claim about them: {', '.join(map(_seeds, short))}.")
    against = {way.name: contest(best.by_seed, way.by_seed) for way in others}
    decide = [way for way in others if way in enough or not enough or against[way.name].order != "ahead"]
    rival = _rival(decide, against)
    warning, cure = _warning(comparison, best, rival, against[rival.name])
    return Headline(
        sentence=_sentence(best, others, against, bool(enough)),
        warning=warning,
        cure=cure,
        carried="" if warning else f"{against[rival.name].improvement.seeds} seeds carry this.",
        details=[_basis(comparison), *_differences(best, rival, controls, against)],
        notes=notes,
    )


def _rival(others: list[Way], against: dict[str, Contest]) -> Way:
    """The one that decides: a control that is ahead, else the first that is not told apart, else the next best."""
    ahead = (way for way in others if way.is_control and against[way.name].order == "behind")
    apart = (way for way in others if not against[way.name].is_claim)
    return next(ahead, None) or next(apart, None) or others[0]


def _sentence(best: Way, others: list[Way], against: dict[str, Contest], enough: bool) -> str:
    controls, ours = [w for w in others if w.is_control], [w for w in others if not w.is_control]
    control = next(iter(controls), None)
    floor = f"the best control, {label(control.name)}, {_percent(control)}" if control else "no control was run beside"
    if control and against[control.name].order == "behind":
        return (
            f"No way of using this LLM wins here: the best of them, {label(best.name)}, solves {_percent(best)} of new "
            f"episodes, {floor}."
        )
    if equal := [way for way in controls if against[way.name].order == "open"]:
        return (
            f"{_start(best)} does best of the ways to use this LLM, with {_percent(best)} of new episodes solved; these "
            f"seeds cannot tell it apart from a control, {label(equal[0].name)}, with {_percent(equal[0])}."
        )
    if equal := [way for way in ours if against[way.name].order == "open"]:
        names = ", ".join(f"{label(way.name)} ({_percent(way)})" for way in equal[:2])
        more = f" and {len(equal) - 2} more" if len(equal) > 2 else ""
        apart = f"these seeds cannot tell it apart from {names}{more}"
        return f"{_start(best)} ({_percent(best)}) does best here, but {apart}; {floor}."
    following = f"next is {label(ours[0].name)} with {_percent(ours[0])}; " if ours else ""
    works = "works best here" if enough else "looks best so far"
    return f"{_start(best)} {works}: {_percent(best)} of new episodes solved; {following}{floor}."


def _warning(comparison: Comparison, best: Way, rival: Way, found: Contest) -> tuple[str, str]:
    """(loud line, what to type); ``rival`` is the one that it has to be told apart from."""
    seeds = found.improvement.seeds
    command = f"plaudit compare {comparison.world} --train.seeds"
    if few := too_few(seeds):
        planned = comparison.setting("train", "seeds") or 0
        return few, f"{command} {MIN_SEEDS}" if planned < MIN_SEEDS else ""  # else more of the same command is enough
    if found.is_claim:
        return "", ""
    return (
        f"No claim: {seeds} seeds do not tell {label(best.name)} and {label(rival.name)} apart "
        f"(a rank test over the seeds gives p = {number(found.p)}).",
        f"{command} {2 * seeds}",
    )


def _basis(comparison: Comparison) -> str:
    scored = comparison.scored
    seeds = sorted({len(way.by_seed) for way in scored})
    each = sorted({round(way.episodes / len(way.by_seed)) for way in scored})
    span = [f"{a[0]}" if len(a) == 1 else f"{a[0]} to {a[-1]}" for a in (seeds, each)]
    over = "1 seed" if seeds == [1] else f"{span[0]} seeds"
    same = ", the same seeds for every way" if len(scored) > 1 else ""
    return f"Interquartile mean over {over} of {span[1]} freshly drawn episodes each{same}."


def _differences(best: Way, rival: Way, controls: list[Way], against: dict[str, Contest]) -> list[str]:
    """To the one that comes next, and to the best control where that is another."""
    shown = dict.fromkeys([rival.name, *(way.name for way in controls[:1])])
    return [f"{_start(best)} against {label(name)}: {difference(against[name])}." for name in shown]


def difference(found: Contest) -> str:
    """A paired difference in words, with what it stands on."""
    spread = found.difference
    if spread is None:
        return "no seed is shared, so no paired difference"
    text = f"{signed(spread.point)} points"
    if spread.low is None or spread.high is None:
        return f"{text}, one seed, no interval"
    ends = f"{signed(spread.low)} to {signed(spread.high)}"
    if spread.kind == "range":
        return f"{text}, paired by seed ({ends}: lowest and highest of {spread.seeds} seeds, not an interval)"
    p = "p < 0.001" if found.p < 0.001 else f"p = {number(found.p, 3)}"
    return f"{text}, paired by seed (95% interval {ends}; ahead in {found.wins} of {found.shared} seeds; rank test {p})"


def unfinished(comparison: Comparison) -> list[str]:
    """One line for each kind of way that is not (wholly) in the comparison."""
    lines = []
    for status, one, many in (
        ("failed", "failed", "failed"),
        ("stopped", "was stopped", "were stopped"),
        ("waiting", "was not begun", "were not begun"),
    ):
        found = [way for way in comparison.ways if way.status == status]
        if found:
            what = one if len(found) == 1 else many
            reasons = "; ".join(map(_reason, found))
            lines.append(f"{len(found)} of {len(comparison.ways)} ways {what}: {reasons}.")
    silent = [label(w.name) for w in comparison.ways if w.status == "done" and w.success is None]
    return [*lines, f"Without a recorded episode, though done: {', '.join(silent)}."] if silent else lines


def _reason(way: Way) -> str:
    reason = " ".join(way.text("reason").split())
    short = reason if len(reason) <= SHORT else f"{reason[:SHORT]} …"
    return f"{label(way.name)} ({short.rstrip('.')})" if short else label(way.name)


def reached(comparison: Comparison) -> list[str]:
    """The ceilings that were reached."""
    spent, ceilings = comparison.part("spent"), comparison.part("ceilings")
    rows = [
        ("--max-tokens", spent.get("tokens"), ceilings.get("max_tokens"), lambda v: f"{v:,.0f} tokens"),
        ("--max-usd", spent.get("usd"), ceilings.get("max_usd"), money),
        ("--max-hours", (spent.get("seconds") or 0) / 3600, ceilings.get("max_hours"), lambda v: duration(3600 * v)),
    ]
    return [
        f"The ceiling {name} was reached: {say(used or 0)} of {say(most)}. What was finished before is kept."
        for name, used, most, say in rows
        if most is not None and (used or 0) >= most
    ]


def cut_off(comparison: Comparison) -> list[str]:
    """That the acting model had fewer steps than the others, where it had; its success is held against theirs."""
    base, by_steps = comparison.setting("policy", "max_steps"), dict[int, list[str]]()
    for way in comparison.scored:
        switches = way.record.get("switches")
        own = switches.get("policy.max_steps", base) if isinstance(switches, dict) else base
        if way.route == "llm" and isinstance(own, int) and own > 0:
            by_steps.setdefault(own, []).append(label(way.name))
    return [
        f"Cut off after {steps} steps in each episode (--policy.max-steps): {', '.join(names)}. Agents that are trained "
        "had the world's own limit, so they may be ahead by their steps alone."
        for steps, names in sorted(by_steps.items())
    ]


def _nothing(scored: list[Way]) -> str:
    best = max(scored, key=lambda way: way.task_return or 0.0)
    sentence = "Nothing here solved a single new episode, with an LLM or without."
    if not best.task_return:
        return sentence
    return f"{sentence} The largest task return has {label(best.name)}: {number(best.task_return)}."


def _seeds(way: Way) -> str:
    return f"{label(way.name)} ({len(way.by_seed)})"


def _has(way: Way) -> str:
    return f"{_start(way)} solves {_percent(way)} of new episodes"


def _start(way: Way) -> str:
    name = label(way.name)
    return name[0].upper() + name[1:]


def _percent(way: Way) -> str:
    return percent(way.success.point if way.success else None)
