"""synthesize: a data set to teach a model an unfamiliar world, from episodes whose truth the program knows.

    folder = synthesize(FinetuneConfig(world=WorldConfig("wordle")), Path("wordle-data"))
    datasets.load_dataset(str(folder))                         # splits train and held_out, columns as in rows.py

Reads the world's value or progress, its expert's actions and what its actions led to; a judge that is taught with them has
been told the truth about these episodes, and about no other. What it is asked later is in :mod:`plaudit.finetune.lessons`.
The same settings and seed give the same bytes. Leaves out data from elsewhere, such as a person's own labels.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from plaudit import prompts
from plaudit.config import to_dict
from plaudit.console import progress
from plaudit.envs.base import World
from plaudit.errors import ConfigError, StoreError
from plaudit.finetune import leaks
from plaudit.finetune.card import card, counts
from plaudit.finetune.gather import EXPERTS, PARTS, Part, Visit, copies, gather, sources_of
from plaudit.finetune.lessons import fields, wordings
from plaudit.finetune.pool import Pool, pools
from plaudit.finetune.rows import IMAGES, Row
from plaudit.finetune.settings import USUAL, FinetuneConfig, validate
from plaudit.finetune.tasks import MAKERS
from plaudit.stages.parts import make_world
from plaudit.store import atomic, explain_disk_errors, write_json
from plaudit.world_file import title

FILES = {*(f"{part}.parquet" for part in PARTS), "README.md", "synthesis.json", "stage.json"}
"""What the folder holds."""
CURES = {
    "compare": "raise --data.steps, lower --data.gap or --data.examples",
    "progress": "raise --data.steps, add a source that comes nearer to the goal (--data.sources), or lower --data.examples",
    "action": "raise --data.steps, or lower --data.examples: the expert has been seen in so many different states only",
}
"""What helps where there are too few of a kind."""
LEAST = 10
"""Fewer held-out examples of a kind measure nothing; more than these are taken as far as there are."""


def synthesize(config: FinetuneConfig, folder: Path) -> Path:
    """Write the data set into this folder; returns it."""
    validate(config)
    refuse_foreign(folder)
    world = make_world(config.world)
    kinds = wanted_kinds(config, world)
    names = named_prompts(config, kinds)
    pictured = "caption" in kinds or config.ask.input != "text"
    with progress("synthesize", config.data.steps) as advance:
        visits = {part: gather(config, part, pictured, advance) for part in PARTS}
    kinds = [kind for kind in kinds if shown(config, kind, visits["train"])]
    material = pools(visits, config.data.held_out, config.seed)
    rows = {part: make(config, material[part], kinds, names) for part in PARTS}
    require_enough(config, rows, material, kinds)
    checked = leaks.check(rows["train"], rows["held_out"], world.hidden)
    write(folder, config, world, rows, checked)
    return folder


def wanted_kinds(config: FinetuneConfig, world: World) -> list[str]:
    """The kinds that are asked for, or all usual ones; what this world cannot give is refused before anything is played."""
    worlds = copies(config.world, "train", config.seed)
    adviser = any(copy.expert and copy.native for copy in worlds)
    expert = adviser and any(name in EXPERTS for name in sources_of(config, worlds))
    if config.data.truth == "value":
        seen, _ = worlds[0].world.reset(seed=0)
        if worlds[0].world.value(seen) is None:
            raise ConfigError(f"{type(world).__name__} has no value(obs): leave out data.truth, or give it one.")
    possible = [kind for kind in USUAL if kind != "action" or expert]
    if "action" in config.data.kinds and not expert:
        cure = "--data.sources random noisy" if adviser else "leave action out of --data.kinds"
        lack = "none acts here" if adviser else "this world has none that acts as agents do"
        raise ConfigError(
            f"data.kinds: for action an expert must say what to do, and {lack}: {cure}. "
            f"Possible: {', '.join(possible)}."
        )
    return list(config.data.kinds or possible)


def shown(config: FinetuneConfig, kind: str, visits: list[Visit]) -> bool:
    """Whether the episodes show what this kind is made of; an error where it was asked for by name."""
    known = {v.truth for v in visits if np.isfinite(v.truth)}
    missing = ""
    if kind in ("compare", "progress") and len(known) < 2:
        what = "tells no progress and has no value(obs)" if not known else "shows the same progress in all that was met"
        missing = f"the world {title(config.world.name)!r} {what}"
    sees = kind == "caption" or (kind in ("compare", "progress") and config.ask.input != "text")
    if sees and not any(v.image for v in visits):
        missing = f"the world {title(config.world.name)!r} draws no pictures"
    if missing and kind in config.data.kinds:
        others = [k for k in USUAL if k not in ("compare", "progress", "caption")]
        raise ConfigError(f"data.kinds: {missing}, so there is nothing for {kind}. Possible: {', '.join(others)}.")
    return not missing


def named_prompts(config: FinetuneConfig, kinds: list[str]) -> dict[str, list[str]]:
    """Each kind's prompts by name, checked."""
    found = {kind: wordings(kind, config.ask, config.data.wordings) for kind in kinds}
    for kind, names in found.items():
        for name in names:
            prompts.load(name).require(*fields(kind, config.ask.protocol, config.ask.input))
    return found


def wanted(config: FinetuneConfig, part: Part) -> int:
    """How many examples of each kind a part is to have."""
    return config.data.examples if part == "train" else math.ceil(config.data.examples * config.data.held_out)


def make(config: FinetuneConfig, pool: Pool, kinds: list[str], names: dict[str, list[str]]) -> list[Row]:
    """A part's rows, kind by kind; wordings by turns of two, since seats and answers alternate."""
    rows = list[Row]()
    for kind in kinds:
        rng = np.random.default_rng([config.seed, PARTS.index(pool.part), list(MAKERS).index(kind)])
        made = MAKERS[kind](pool, config.data, wanted(config, pool.part), rng)
        if config.ask.input == "text" and kind != "caption":
            made = [replace(row, image=None, first_image=None, second_image=None) for row in made]
        rows += [replace(row, wording=names[kind][i // 2 % len(names[kind])]) for i, row in enumerate(made)]
    return rows


def require_enough(
    config: FinetuneConfig, rows: dict[Part, list[Row]], material: dict[Part, Pool], kinds: list[str]
) -> None:
    """Refuse what is too little or one-sided, with what there is and what helps."""
    faults = []
    for kind in kinds:
        for part in PARTS:
            there, asked = sum(row.kind == kind for row in rows[part]), wanted(config, part)
            asked = asked if part == "train" else min(asked, LEAST)
            if there < asked:
                of = f"{len(material[part].states)} states and {len(material[part].moves)} steps"
                cure = CURES.get(kind, "raise --data.steps, or lower --data.examples")
                cure += ", or raise --data.held-out" * (part == "held_out")
                faults.append(f"{kind}, {part}: {asked} asked for, {there} there (of {of}): {cure}")
    if faults:
        raise ConfigError("there are too few examples, or too few on one side:\n  " + "\n  ".join(faults))


def refuse_foreign(folder: Path) -> None:
    """What is not ours is not written over."""
    with explain_disk_errors(folder):
        others = (
            [p.name for p in folder.iterdir() if p.name not in FILES and not p.name.startswith(".")]
            if folder.exists()
            else []
        )
        if others:
            raise StoreError(f"{folder} holds {others[0]!r}, which is none of ours. Give another folder: --out FOLDER")
        folder.mkdir(parents=True, exist_ok=True)


def write(
    folder: Path, config: FinetuneConfig, world: World, rows: dict[Part, list[Row]], checked: dict[str, int]
) -> None:
    """Tables, numbers and card; each appears whole, the card last."""
    told = {"world": title(config.world.name), "task": config.world.task, "goal": world.goal, "rules": world.rules}
    for part, each in rows.items():
        write_rows(folder / f"{part}.parquet", each, told)
    settings = to_dict(config)
    settings["world"]["name"] = title(config.world.name)
    settings["data"]["sources"] = [Path(name).name for name in config.data.sources]
    facts = {"settings": {k: settings[k] for k in ("world", "data", "ask", "seed")}, "leaks": checked}
    facts |= {"counts": {part: counts(each) for part, each in rows.items()}}
    facts |= {
        "prompts": {name: prompts.load(name).hash for name in sorted({r.wording for e in rows.values() for r in e})}
    }
    write_json(folder / "synthesis.json", facts)
    with atomic(folder / "README.md") as file:
        file.write(card(facts, rows, world).encode())


def write_rows(path: Path, rows: list[Row], told: dict[str, str]) -> None:
    """Rows as Parquet, marked so that ``datasets`` reads pictures as such."""
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures = [name for name in IMAGES if any(getattr(row, name) for row in rows)]
    lists = {name: pa.string() for name in ("allowed", "sources", "secrets")} | dict.fromkeys(
        ("seeds", "steps"), pa.int64()
    )
    lists["ended"] = pa.bool_()
    columns: dict[str, Any] = {"kind": pa.string()} | dict.fromkeys(told, pa.string())
    for name in asdict(rows[0]) if rows else ():
        if name not in IMAGES:
            columns[name] = pa.list_(lists[name]) if name in lists else pa.string()
    columns |= dict.fromkeys(("value", "gap"), pa.float64())
    features: dict[str, Any] = {}
    for name, kind in columns.items():
        value = {"dtype": str(lists.get(name, kind)).replace("double", "float64"), "_type": "Value"}
        features[name] = {"feature": value, "_type": "List"} if name in lists else value
    for name in pictures:
        columns[name] = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        features[name] = {"_type": "Image"}
    schema = pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": features}})})
    plain = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(r).items()} for r in rows]
    with atomic(path) as file:
        pq.write_table(pa.Table.from_pylist([told | row for row in plain], schema), file, compression="zstd")
