"""The last stage of ``plaudit finetune``: one HTML file that says what was taught, what was gained and what was lost.

Run again by ``plaudit report runs/finetune-wordle``. Reads finished stages only; what is missing is said to be.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from plaudit.config import to_dict
from plaudit.console import console
from plaudit.finetune.outcome import GENERAL, Gain, Loss, Outcome, outcome
from plaudit.finetune.settings import base_spec, seen
from plaudit.report import teaching_plots as plots
from plaudit.report.page import page
from plaudit.report.words import percent, signed, size
from plaudit.store import atomic, read_json, read_table
from plaudit.world_file import title

if TYPE_CHECKING:
    from plaudit.finetune.run import Finetune

SHOWN = 3
"""Examples of each kind of change that the page shows."""
CHANGES = (
    ("Wrong before, right after", False, True),
    ("Right before, wrong after", True, False),
    ("Right both times", True, True),
    ("Wrong both times", False, False),
)
"""Heading, right before, right after."""
STAGES = {
    "data": "made the examples",
    "train": "taught, and asked the held-out examples before and after",
    "export": "wrote the adapter for llama.cpp and compared the engines",
    "measure": "asked what is not to be forgotten, before and after",
}
"""What each stage did."""
NO_EPISODES: dict[str, list[Any]] = {"frames": [], "texts": [], "episodes": []}
"""The pages of teaching have no player."""


def report(run: Finetune) -> None:
    """Run the stage."""
    start = time.perf_counter()
    html = render(run).encode("utf-8", errors="replace")
    path = run.folder / "report.html"
    with atomic(path) as file:
        file.write(html)
    run.finish("report", time.perf_counter() - start, bytes=len(html))
    console.print(f"report: {path} ({size(len(html))})", markup=False)


def render(run: Finetune) -> str:
    """The page."""
    found, config = outcome(run), run.config
    done = {name: run.finished(name) for name in STAGES}
    facts = read_json(run.folder / "data" / "synthesis.json") if done["data"] else None
    return page(
        "taught.html",
        name=run.folder.name,
        record=run.record,
        player=NO_EPISODES,
        world_name=":".join(filter(None, (title(config.world.name), config.world.task))),
        config=config,
        config_text=json.dumps(to_dict(config), indent=2, ensure_ascii=False),
        headline=headline(found),
        lede=lede(found),
        found=found,
        general=GENERAL,
        counts=counts(facts),
        leaks=compared((facts or {}).get("leaks", {})),
        done=done,
        stages=[{"stage": n, "seconds": each["seconds"], "did": STAGES[n]} for n, each in done.items() if each],
        curves=curves(found),
        strips={gain: strip(gain) for gain in (*found.gains, *(found.open_gains or ()), *found.apart)},
        changes={row: change(row, found.losses) for row in found.losses},
        sets=sets(found),
        shots=((done["measure"] or {}).get("summary", {})).get("shots", []),
        examples=examples(found),
        engines=engines(run) if done["export"] else None,
        seen=seen(config.lora, done["train"]["summary"]["examples"]) if done["train"] else None,
        export=(done["export"] or {}).get("summary", {}),
        base=base_spec(config),
        adapter=run.folder / "train" / "adapter",
    )


def headline(found: Outcome) -> str:
    """What was gained, in a sentence."""
    if not found.gains:
        return "Examples were made; nothing has been taught yet"
    first = found.gains[0]
    what = {
        "compare": "Held-out pairs judged rightly",
        "progress": "Held-out observations judged rightly",
        "action": "The expert's action chosen in held-out states",
    }.get(first.name, "Held-out questions answered rightly")
    if not first.choice:
        what = f"Probability per token of the right {first.name}, held out"
    return f"{what}: {percent(first.before, 1)} before teaching, {percent(first.after, 1)} after"


def lede(found: Outcome) -> list[str]:
    """What the intervals allow to say, and what was lost."""
    lines = []
    if found.gains:
        first = found.gains[0]
        sides = ((first.before, first.before_interval), (first.after, first.after_interval))
        was, now = (f"{percent(at, 1)} ({percent(low, 0)} to {percent(high, 0)})" for at, (low, high) in sides)
        lines.append(f"{was} before, {now} after: a change of {_points(first)} on {first.n:,} held-out examples.")
        if found.open_gains and (rest := [g for g in found.open_gains if g.name == first.name]):
            lines[0] += f" Without the end of an episode in them: {_points(rest[0])} on {rest[0].n:,}."
    told = [f"{loss.name} {told_change(loss)}" for loss in found.losses]
    lines.append(f"Not taught, and changed: {'; '.join(told)}." if told else "What was unlearnt was not measured here.")
    return lines


def told_change(loss: Loss) -> str:
    """A change with its interval, and how it stands to the limit."""
    said = [signed(value) for value in (loss.change, *loss.interval)]
    unit = "%" if loss.limit > 0 else " points"
    return f"{said[0]}{unit} ({said[1]} to {said[2]}; limit {signed(loss.limit, 0)}{unit}, {loss.verdict})"


def counts(facts: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A row for each kind and part."""
    rows = list[dict[str, Any]]()
    for part, kinds in (facts or {}).get("counts", {}).items():
        for kind, tables in kinds.items():
            told = {
                name: ", ".join(f"{what} {count:,}" for what, count in tables[name].items())
                for name in ("answers", "sources")
            }
            total, states = sum(tables["answers"].values()), tables["states"]
            own = {"total": total, "states": states["distinct"], "nearer": states.get("nearer")}
            rows.append({"kind": kind, "part": part.replace("_", " ")} | own | told)
    return sorted(rows, key=lambda row: str(row["kind"]))


def compared(leaks: dict[str, int]) -> list[tuple[str, int, int]]:
    """What was compared, how many to train on, how many held out."""
    whats = dict.fromkeys(name.rpartition(", ")[0] for name in leaks)
    return [(what, leaks[f"{what}, train"], leaks[f"{what}, held out"]) for what in whats]


def curves(found: Outcome) -> list[tuple[str, Markup]]:
    """Loss, share right, KL, cross-entropy and speed over the steps; what was not asked for is left out."""
    series = (
        ("Loss of the examples, nats", [row["loss"] for row in found.curve]),
        ("KL to the base on English, nats per token", [row["kl"] for row in found.curve]),
        ("Cross-entropy of English, nats per token", [row["text"] for row in found.curve]),
        ("Tokens per second", [row["tokens"] / max(row["seconds"], 1e-9) for row in found.curve]),
    )
    return [(name, plots.steps(values, _ends(name, values))) for name, values in series if any(values)]


def strip(row: Gain) -> Markup:
    """Before and after, drawn."""
    said = f"{row.name}: {percent(row.before, 1)} before, {percent(row.after, 1)} after"
    return plots.before_after(row.before, row.after, *row.after_interval, said)


def change(row: Loss, every: Sequence[Loss]) -> Markup:
    """A change on the scale of all, with its limit."""
    span = 1.1 * max(abs(end) for each in every for end in (each.limit, *each.interval))
    return plots.change(row.change, *row.interval, span, row.limit, f"{row.name}: {told_change(row)}")


def sets(found: Outcome) -> list[tuple[Any, Markup]]:
    """Each set, and its change drawn on one scale."""
    if found.forgotten is None:
        return []
    rows = found.forgotten.sets
    span = 1.1 * max((abs(end) for row in rows for end in row.interval), default=0.0) or 0.1
    return [
        (row, plots.change(row.difference, *row.interval, span, None, f"{row.name}: {signed(row.difference)} points"))
        for row in rows
    ]


def examples(found: Outcome) -> list[dict[str, Any]]:
    """The first few of each kind of change, in the order of the file: not picked."""
    shown = []
    for heading, was, now in CHANGES:
        rows = [
            row
            for row in found.answers
            if (row["right_before"] > 0.5) == was and (row["right_after"] > 0.5) == now and row.get("goal")
        ]
        if rows:
            shown.append({"title": heading, "count": len(rows), "rows": [example(row) for row in rows[:SHOWN]]})
    return shown


def example(row: dict[str, Any]) -> dict[str, Any]:
    """One held-out example: its texts by what they are, and how far the right answer led before and after."""
    if row["kind"] == "compare":
        seats = ("first", "second") if row["answer"] == "A" else ("second", "first")
        texts = list(zip(("nearer", "farther"), (row[seat] for seat in seats), strict=True))
    else:
        names = ("observation", "action", "following", "first", "second")
        texts = [(name, row[name]) for name in names if row.get(name)] + [("right", row["answer"])]
    margins = {when: row.get(f"margin_{when}") for when in ("before", "after")}
    return {"kind": row["kind"], "texts": texts, "gap": row.get("gap")} | margins


def engines(run: Finetune) -> Markup | None:
    """PyTorch's log-odds against llama.cpp's; None where there was nothing to hand over."""
    path = run.folder / "export" / "agreement.parquet"
    rows = read_table(path) if path.is_file() else []
    if not rows:
        return None
    xs, ys = ([row[name] for row in rows] for name in ("pytorch", "llama_cpp"))
    return plots.engines(xs, ys, f"Log-odds of {len(rows)} questions by llama.cpp over those by PyTorch")


def _points(row: Gain) -> str:
    low, high = row.interval
    return f"{signed(row.difference)} points (95% interval {signed(low)} to {signed(high)})"


def _ends(name: str, values: Sequence[float]) -> str:
    return f"{name}: {values[0]:.3g} at first, {values[-1]:.3g} at the last of {len(values)} steps"
