"""Preference pairs in the form that TRL's trainers read: ``prompt``, ``chosen``, ``rejected``, as a Hugging Face data set.

``datasets.load_dataset(folder)`` reads it: ``train.parquet``, and a card (``README.md``) that says what is in it. A tie has
no better one and a failure no answer: both are counted in ``export.json`` and left out. A run with few descriptions draws
pairs again and again: how many are different is said beside how many there are. ``probability`` is the judge's P(chosen is
better), the soft label. ``margin`` is its log-odds; TRL's RewardTrainer takes it off in its loss wherever the column is
there (Llama 2, arXiv 2307.09288), so that it is written only when asked for.

Leaves out chat messages, images and a test split. Source: TRL 1.16, "Dataset formats", "Reward Modeling".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plaudit.console import console
from plaudit.errors import ConfigError
from plaudit.exports.base import origin
from plaudit.store import Run, explain_disk_errors, write_json

BATCH = 4096
"""Pairs in memory at a time."""
SUREST = 1 - 1e-4
"""A probability above this counts as this in the margin: the log-odds of certainty have no end."""
PROMPT = "The goal is to {goal}.\nWhat is seen on the way:\n"
"""What stands before an item; TRL joins the two without a space."""


def write_pairs(run: Run, folder: Path, margin: bool) -> dict[str, int]:
    """Fill the folder; returns how many pairs there are, and how many were left out and why."""
    path = run.require("annotate") / "comparisons.parquet"
    if not path.is_file():
        raise ConfigError(f"the route {run.config.route!r} has compared nothing here: there are no pairs to export.")
    facts, counts = origin(run), Counter[str]()
    write_parquet(folder / "train.parquet", path, PROMPT.format(goal=facts["goal"]), margin, counts)
    if not counts["pairs"]:
        raise ConfigError(f"{path} holds no pair of which one is better: {dict(counts)}. Nothing to export.")
    names = ("pairs", "tie", "unparsed", "refused", "error")
    written = {name: counts[name] for name in names}
    different = counts["different"]
    about = {"kind": "trl"} | facts | {"counts": written, "different": different, "margin": margin}
    write_json(folder / "export.json", about)
    with explain_disk_errors(folder):
        (folder / "README.md").write_text(card(facts, written, different, margin), encoding="utf-8")
    left = ", ".join(f"{count:,} {name}" for name, count in written.items() if name != "pairs")
    repeated = f" ({different:,} different)" if different < written["pairs"] else ""
    console.print(f"{written['pairs']:,} pairs{repeated}; left out: {left}", markup=False)
    return written


def write_parquet(path: Path, source: Path, prompt: str, margin: bool, counts: Counter[str]) -> None:
    """The pairs as a table, batch by batch; ``counts`` says how many there are, and how many of them are different."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.float64()
    columns = {"prompt": text, "chosen": text, "rejected": text, "probability": number}
    schema = pa.schema(columns | ({"margin": number} if margin else {}))
    met = set[int]()  # hashes: a run may have compared millions
    with explain_disk_errors(path), pq.ParquetWriter(path, schema, compression="zstd") as writer:
        wanted = ["first", "second", "status", "probability"]
        for batch in pq.ParquetFile(source).iter_batches(BATCH, columns=wanted):
            rows = list(pairs(batch.to_pylist(), prompt, counts))
            met.update(hash((row["chosen"], row["rejected"])) for row in rows)
            # Columns that are not in the schema (the margin, where nobody asked for it) are left out.
            writer.write_table(pa.Table.from_pylist(rows, schema))
    counts["different"] = len(met)


def pairs(comparisons: list[dict[str, Any]], prompt: str, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """The better one first; what has none is only counted."""
    for row in comparisons:
        sure = row["probability"]
        if row["status"] not in ("ok", "tie"):
            counts[row["status"]] += 1
        elif row["status"] == "tie" or sure == 0.5:
            counts["tie"] += 1
        else:
            counts["pairs"] += 1
            better, worse = ("first", "second") if sure > 0.5 else ("second", "first")
            sure = max(sure, 1 - sure)
            odds = min(sure, SUREST)
            margin = math.log(odds / (1 - odds))
            found = {"prompt": prompt, "chosen": row[better], "rejected": row[worse]}
            yield found | {"probability": sure, "margin": margin}


def card(facts: dict[str, Any], counts: dict[str, int], different: int, margin: bool) -> str:
    """The data set's card; its head tells ``load_dataset`` where the rows are."""
    last = "\n* `margin`: its log-odds. TRL's RewardTrainer takes it off in its loss." if margin else ""
    left = ", ".join(f"{counts[name]} {name}" for name in counts if name != "pairs")
    judge = facts["judge"]
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: train.parquet
task_categories:
- reinforcement-learning
tags:
- trl
- plaudit
---

# Preference pairs

{counts["pairs"]} pairs ({different} different) of observations in words from {facts["world"]["name"]}, compared by
{judge["model"]} ({judge["protocol"]}). Left out, as none was called better: {left}. Written by plaudit {facts["plaudit"]}.

* `prompt`: the goal, as the judge was told it
* `chosen`, `rejected`: the observation that shows more progress by the judge's word, and the other
* `probability`: the judge's P(chosen is better), above 0.5{last}
"""
