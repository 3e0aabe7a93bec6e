"""The stages after teaching: ``export`` hands the judge to llama.cpp and checks it, ``measure`` says what it unlearnt.

``export`` writes ``adapter.gguf``, which ``--llm`` takes as it is, and ``agreement.parquet``: each held-out question as
PyTorch and as llama.cpp answer it; where they disagree, that is told, and clear disagreement is an error
(:mod:`plaudit.finetune.agreement`). Where the base is no GGUF file there is nothing to hand over. ``measure`` asks base and
taught model the same general questions, with the engine that will be used (:mod:`plaudit.finetune.forgetting`); answers
are kept in ``ledger.sqlite``, so that a stopped one goes on; the base's where a sweep's other folders find them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit import registry
from plaudit.console import Advance, console, progress
from plaudit.finetune import skill
from plaudit.finetune.agreement import Agreement, agreement, refusal
from plaudit.finetune.gather import PARTS
from plaudit.finetune.items import Choice
from plaudit.finetune.lessons import Lesson
from plaudit.finetune.refusals import enough_memory
from plaudit.finetune.settings import MeasureConfig, base_spec
from plaudit.finetune.teach import base, base_of, examples, lessons, notes
from plaudit.llms.base import LLM, Reply, Request
from plaudit.llms.transformers_files import find, is_gguf, takes_images
from plaudit.store import explain_disk_errors, read_table, write_table

if TYPE_CHECKING:
    from plaudit.finetune.run import Finetune

MOST_ACTIONS = 30
"""Held-out actions that both engines are asked: each is weighed against all that could be done."""
SAMPLE = 20
"""Held-out examples that both engines are asked in a cell of a sweep, which compares teachings and not engines."""
log = logging.getLogger(__name__)


def export(run: Finetune) -> None:
    """Write the adapter for llama.cpp and compare the engines on the held-out questions."""
    start, folder, adapter = time.perf_counter(), run.stage("export"), run.require("train") / "adapter"
    spec = base_spec(run.config)
    if not is_gguf(spec):
        run.finish("export", time.perf_counter() - start, gguf=False)
        return
    from plaudit.finetune.export import to_gguf
    from plaudit.llms import weights

    source = weights.resolve(spec)
    noted = notes(run.config, examples(run, "train")) | {"weights": weights.fingerprint(source)}
    with explain_disk_errors(folder):
        target = to_gguf(adapter, source, folder / "adapter.gguf", noted)
    found, pace = _compared(run, adapter, target)
    write_table(folder / "agreement.parquet", found.rows)
    instead = f"--llm transformers:{base_of(run.config)} --llm.adapter {adapter}"
    if found.refused:
        target.unlink()  # nobody is to use it by mistake
        raise refusal(found, str(folder / "agreement.parquet"), instead)
    run.finish(
        "export",
        time.perf_counter() - start,
        gguf=True,
        **found.summary(),
        questions_per_second=round(pace, 2) if found.rows else None,
    )
    said = {name: "no choice asked" if share is None else f"{share:.1%} right" for name, share in found.right.items()}
    console.print(
        f"export: {target.name}: {said['llama_cpp']} by llama.cpp, {said['pytorch']} by PyTorch", markup=False
    )
    if doubts := found.doubts():
        how = "disagree" if found.rows else "were not compared"
        log.warning("llama.cpp and PyTorch %s: %s. As it was taught, it runs by %s", how, "; ".join(doubts), instead)


def _compared(run: Finetune, adapter: Path, target: Path) -> tuple[Agreement, float]:
    """Both engines on the held-out questions, and how many of them llama.cpp answers in a second."""
    held_out = lessons(run, "held_out")
    rows = read_table(run.folder / "train" / "answers.parquet")
    same = len(rows) == len(held_out)  # else another version of plaudit chose them
    before = {id(each): row.get("margin_before") for each, row in zip(held_out, rows, strict=True)} if same else {}
    asked = [each for each in held_out if len(each.answers) > 1]
    asked += [each for each in held_out if each.choices][:MOST_ACTIONS]
    asked = asked[:SAMPLE] if run.shared else asked
    requests = [request for each in asked for request in skill.requests(each)]
    with enough_memory(), base(run.config, str(adapter)) as llm:
        exact, _ = _choose(llm, requests, "ask by PyTorch")
    options = {"threads": run.config.llm.threads or None, "context": run.config.llm.context}
    taught = registry.load("llms", "embedded")(base_spec(run.config), adapter=str(target), **options)
    with contextlib.closing(taught):
        taught.choose(requests[:16])  # its pages come from disk, its threads start: not what the pace is about
        taught.clear()
        used, seconds = _choose(taught, requests, "ask by llama.cpp")
    return agreement(asked, exact, used, [before.get(id(each)) for each in asked]), len(requests) / max(seconds, 1e-9)


def measure(run: Finetune) -> None:
    """Ask base and taught model what is not to be forgotten."""
    start, config = time.perf_counter(), run.config
    run.require("export")
    shutil.rmtree(run.stage("measure"))  # of other settings, or half done: the answers are in the ledger
    folder, done = run.stage("measure"), dict[str, Any]()
    if config.measure.shots:
        done["shots"] = in_context(run, folder)
    if config.measure.every:
        done["items"] = forgotten(run, folder)
    run.finish("measure", time.perf_counter() - start, **done)


def forgotten(run: Finetune, folder: Path) -> int:
    """General questions to the base and to the taught model; how many there are."""
    from plaudit.finetune import forgetting, forgotten_table

    config = run.config
    suite = forgetting.standard_suite(leave_out=[config.world.name], every=config.measure.every)
    if not is_gguf(spec := base_spec(config)) and takes_images(str(find(spec))):
        suite = dataclasses.replace(suite, choices=suite.choices + seen(config.measure))
    found = []
    for taught in (False, True):
        bar = functools.partial(_bar, "measure after" if taught else "measure before")
        with opened(run, taught) as llm:
            found.append(forgetting.measure(llm, suite, bar=bar))
    forgotten_table.show(forgetting.write(found[0], found[1], folder))
    return suite.size


def in_context(run: Finetune, folder: Path) -> list[dict[str, Any]]:
    """Held-out examples to the base behind worked ones, and to the taught model: ``shots.parquet`` and its summary."""
    from plaudit.finetune import shots

    rows = {part: lessons(run, part) for part in PARTS}
    found = list[shots.Asked]()
    for taught in (False, True):
        plan = [(0, 0)] if taught else planned(run.config.measure)
        asked = {kind: questions(run, rows["held_out"], kind) for kind in run.config.lora.kinds}
        total = sum(len(skill.requests(each)) for one in asked.values() for each in one) * len(plan)
        with opened(run, taught) as llm, progress(f"ask the {'taught' if taught else 'base'}", total) as advance:
            for kind, own in asked.items():
                examples = [each for each in rows["train"] if each.kind == kind]
                told = functools.partial(console.print, markup=False)
                name = "taught" if taught else "base"
                found += shots.measure(llm, name, examples, own, plan, run.config.seed, told, advance)
    summary = shots.write(found, folder)
    shots.show(summary)
    return summary


def planned(measure: MeasureConfig) -> list[tuple[int, int]]:
    """(examples, draw) from the smallest number on, none first."""
    return [(0, 0), *((count, draw) for count in sorted(set(measure.shots)) for draw in range(measure.draws))]


def questions(run: Finetune, held_out: Sequence[Lesson], kind: str) -> list[Lesson]:
    """The held-out examples of a kind that are asked."""
    own, most = [each for each in held_out if each.kind == kind], run.config.measure.questions
    order = np.random.default_rng([run.config.seed, 17]).permutation(len(own))
    return [own[place] for place in sorted(order[: most or None].tolist())]


def seen(options: MeasureConfig) -> tuple[Choice, ...]:
    """Questions about pictures: those that are drawn here, and the sets that a person has."""
    from plaudit.finetune.general_sets.pictures import pictures
    from plaudit.finetune.picture_sets import load_pictures

    drawn = pictures()
    kept = set(list(dict.fromkeys(item.block for item in drawn))[:: options.every])
    found = [item for item in drawn if item.block in kept]
    for each in options.pictures:
        name, _, folder = each.partition(":")
        found += load_pictures(name, Path(folder), options.most_pictures)
    return tuple(found)


@contextlib.contextmanager
def opened(run: Finetune, taught: bool) -> Iterator[LLM]:
    """The base or the taught model, in the engine that will be used, behind the folder's ledger or the one it shares."""
    from plaudit.llms import weights
    from plaudit.llms.ledger import Ledger, LedgerLLM

    spec = base_spec(run.config)
    gguf = is_gguf(spec)
    adapter = run.folder / "export" / "adapter.gguf" if gguf else run.require("train") / "adapter"
    options: dict[str, Any] = {"adapter": str(adapter) if taught else "", "threads": run.config.llm.threads or None}
    options["context"] = run.config.llm.context
    if not gguf:
        options["device"] = run.config.llm.device
    else:
        options["quantize"] = weights.adapted_kind(weights.resolve(spec))  # else rounding would be taken for forgetting
    own = (run.folder if taught else run.shared or run.folder) / "ledger.sqlite"
    where = Path(run.config.llm.ledger or own)
    llm = registry.load("llms", "embedded" if gguf else "transformers")(spec, **options)
    with contextlib.closing(llm), contextlib.closing(Ledger(where)) as ledger:
        yield LedgerLLM(llm, ledger)


def _bar(stage: str, what: str, size: int) -> AbstractContextManager[Advance]:
    return progress(f"{stage} ({what})", size)


def _choose(llm: LLM, requests: list[Request], what: str) -> tuple[list[Reply], float]:
    start = time.perf_counter()
    with progress(what, len(requests)) as advance:
        replies = llm.choose(requests, lambda place, reply: advance(1))
    return replies, time.perf_counter() - start
