"""The card of a data set (``README.md``): what is in it, how it was made, and what is known not to be in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit import __version__
from plaudit.envs.base import World
from plaudit.finetune.gather import Part
from plaudit.finetune.rows import Row

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
TASKS = {"caption": "image-to-text"}
"""Names that the Hub has for kinds; all others are about text."""
FEW = 30
"""Held-out texts below which a share of right answers is of these texts, and hardly of others like them."""


def counts(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, int]]]:
    """Of each kind: how many by answer (actions and captions not told apart), by level, by source; states."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        answers = Counter("one's own" if kind in ("action", "caption") else row.answer for row in own)
        levels = Counter(f"{round(row.value, 1):.1f}" if np.isfinite(row.value) else "not known" for row in own)
        sources = Counter(" and ".join(sorted(set(row.sources))) for row in own)
        states = {"distinct": len({text for row in own for text in row.texts()})}
        if kind == "compare":
            states["nearer"] = len({row.first if row.answer == "A" else row.second for row in own})
        tables = {"answers": answers, "levels": levels, "sources": sources, "states": states}
        found[kind] = {name: dict(sorted(table.items())) for name, table in tables.items()}
    return found


def held_out_texts(facts: dict[str, Any]) -> list[str]:
    """Of each kind: how many different texts its held-out examples are about, in words."""
    found = []
    for kind, tables in facts["counts"]["held_out"].items():
        states, total = tables["states"], sum(tables["answers"].values())
        nearer = f", {states['nearer']:,} of them as the nearer one" if "nearer" in states else ""
        found.append(f"{kind}: {total:,} of {states['distinct']:,} texts{nearer}")
    return found


def few(facts: dict[str, Any]) -> str:
    """A warning where held-out examples are about few texts; else empty."""
    kept = {kind: min(tables["states"].values()) for kind, tables in facts["counts"]["held_out"].items()}
    if not (kinds := [f"{kind} {count}" for kind, count in kept.items() if count < FEW]):
        return ""
    return (
        f"warning: held-out examples are about few different texts ({', '.join(kinds)}; of pairs the nearer ones are "
        "counted), so intervals will be wide. More texts: raise --data.steps or --data.held-out"
    )


def card(facts: dict[str, Any], rows: dict[Part, list[Row]], world: World) -> str:
    """The text; its head tells ``datasets.load_dataset`` where the rows are."""
    settings, total = facts["settings"], sum(len(each) for each in rows.values())
    size = next((name for most, name in SIZES if total < most), "n>1M")
    kinds = dict.fromkeys(row.kind for row in rows["train"])
    tasks = dict.fromkeys(TASKS.get(kind, "text-generation") for kind in kinds)
    name = ":".join(filter(None, (settings["world"]["name"], settings["world"]["task"])))
    lines = ["---", "license: apache-2.0", "language:", "- en", "size_categories:", f"- {size}", "task_categories:"]
    lines += [*(f"- {task}" for task in tasks), "tags:", "- plaudit", "- synthetic", f"pretty_name: Judging {name}"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for part in rows:
        lines += [f"  - split: {part}", f"    path: {part}.parquet"]
    lines += ["---", "", f"# Examples of {name} whose answer the world knows", "", *_about(facts, rows, world)]
    return "\n".join(lines) + "\n"


def _about(facts: dict[str, Any], rows: dict[Part, list[Row]], world: World) -> list[str]:
    settings = facts["settings"]
    seeds: dict[str, list[int]] = {
        part: sorted({seed for row in each for seed in row.seeds}) for part, each in rows.items()
    }
    lines = [
        f"Made by plaudit {__version__} from {settings['data']['steps']:,} steps of the world; no person and no language "
        f"model had a part in it. The goal: {world.goal}.",
        "",
        "| kind | train | held out | distinct states | answers | levels of nearness | who acted |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, tables in facts["counts"]["train"].items():
        held = sum(facts["counts"]["held_out"].get(kind, {}).get("answers", {}).values())
        told = [
            ", ".join(f"{name} {count}" for name, count in tables[t].items()) for t in ("answers", "levels", "sources")
        ]
        numbers = (sum(tables["answers"].values()), held, tables["states"]["distinct"])
        lines.append(f"| {' | '.join((kind, *map(str, numbers), *told))} |")
    lines += [
        "",
        *_shortcut(rows),
        f"Held out are, {'; '.join(held_out_texts(facts))}. Examples that share a text are not independent.",
        "",
        "Columns: the text of `src/plaudit/finetune/rows.py`; a level is `value`, of the nearer one in a pair.",
        "",
    ]
    lines += ["## Apart from the rows to train on", ""]
    lines += [
        f"* Episodes: {len(seeds[part])} of the {name} rows, seeds {seeds[part][0]} to {seeds[part][-1]}, "
        f"{'even' if part == 'train' else 'odd'} numbers; collecting, calibration and evaluation use none of these."
        for part, name in (("train", "train"), ("held_out", "held-out"))
        if seeds[part]
    ]
    compared = ", ".join(f"{count} {what}" for what, count in facts["leaks"].items())
    lines += [f"* Compared on the rows themselves: {compared}. Nothing is on both sides.", *_drawn(rows, world), ""]
    lines += ["## How it was made", "", "```json", *_json(settings), "```", ""]
    lines += ["Prompts (hash of the text): " + ", ".join(f"{k} {v}" for k, v in facts["prompts"].items()) + ".", ""]
    lines += [
        "Apache-2.0, as plaudit is. Names and texts that come from the world itself stay under the world's own terms.",
    ]
    return lines


def _shortcut(rows: dict[Part, list[Row]]) -> list[str]:
    """How far one gets without reading: a taught judge must do better than this."""
    pairs = [(row.first, row.second, row.answer) for each in rows.values() for row in each if row.kind == "compare"]
    if not pairs:
        return []
    longer = [0.5 if len(a) == len(b) else float((len(a) > len(b)) == (answer == "A")) for a, b, answer in pairs]
    return [
        f"The longer text is the nearer one in {np.mean(longer):.0%} of the pairs: what a judge that cannot read gets."
    ]


def _drawn(rows: dict[Part, list[Row]], world: World) -> list[str]:
    """What can be said of the evaluation's episodes."""
    taught, kept = ({secret for row in rows[part] for secret in row.secrets} for part in ("train", "held_out"))
    if world.hidden:
        return [
            f"* Of the {len(world.hidden)} hidden things (words, tasks) that agents are evaluated on, none was drawn "
            f"here; the {len(taught)} that were drawn to train on and the {len(kept)} of the held-out rows differ. So "
            '"held out" means: never met by the model, neither in its lessons nor in the list that an agent plays. That '
            "list is the one of the settings of world below; another (--world.size) may hold words that were taught.",
        ]
    return [
        "* Agents are evaluated on episodes with other seeds. A small world says the same in many episodes, so what is "
        "seen there may read like a row to train on; a held-out row never does.",
    ]


def _json(value: Any) -> list[str]:
    import json

    return json.dumps(value, indent=1, ensure_ascii=False).splitlines()
