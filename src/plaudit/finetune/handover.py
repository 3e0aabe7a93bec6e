"""The stages after teaching: ``export`` hands the judge to llama.cpp and checks it, ``measure`` says what it unlearnt.

``export`` writes ``adapter.gguf``, which ``--llm`` takes as it is, and ``agreement.parquet``: each held-out question as
PyTorch and as llama.cpp answer it. Where the base is no GGUF file there is nothing to hand over. ``measure`` asks base and
taught model the same general questions, with the engine that will be used (:mod:`plaudit.finetune.forgetting`); answers
are kept in ``ledger.sqlite``, so that a stopped one goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit import registry
from plaudit.console import console, progress
from plaudit.finetune.lessons import Lesson
from plaudit.finetune.teach import base, base_spec, lessons
from plaudit.llms.base import LLM, Reply, Request
from plaudit.llms.transformers_files import is_gguf
from plaudit.store import explain_disk_errors, write_table

if TYPE_CHECKING:
    from plaudit.finetune.run import Finetune


def export(run: Finetune) -> None:
    """Write the adapter for llama.cpp and compare the engines on the held-out questions."""
    start, folder, adapter = time.perf_counter(), run.stage("export"), run.require("train") / "adapter"
    spec = base_spec(run.config)
    if not is_gguf(spec):
        run.finish("export", time.perf_counter() - start, gguf=False)
        return
    from plaudit.finetune.export import to_gguf
    from plaudit.llms import weights

    ask = run.config.ask
    source = weights.resolve(spec)
    notes = {"base": spec, "weights": weights.fingerprint(source)}
    notes |= {"protocol": ask.protocol, "prompt": ask.prompt or ask.protocol}
    with explain_disk_errors(folder):
        target = to_gguf(adapter, source, folder / "adapter.gguf", notes)
    asked = [each for each in lessons(run, "held_out") if len(each.answers) > 1]
    requests = [Request(prompt, answers=each.answers) for each in asked for prompt in each.prompts]
    with base(run.config, str(adapter)) as llm:
        exact, _ = _choose(llm, requests, "ask by PyTorch")
    taught = registry.load("llms", "embedded")(spec, adapter=str(target), threads=run.config.llm.threads or None)
    with contextlib.closing(taught):
        taught.choose(requests[:16])  # its pages come from disk, its threads start: not what the pace is about
        taught.clear()
        used, seconds = _choose(taught, requests, "ask by llama.cpp")
    rows = [_row(request, one, two) for request, one, two in zip(requests, exact, used, strict=True)]
    write_table(folder / "agreement.parquet", rows)
    apart = np.array([row["apart"] for row in rows])
    shares = {name: _share(asked, replies) for name, replies in (("pytorch", exact), ("llama_cpp", used))}
    run.finish(
        "export",
        time.perf_counter() - start,
        gguf=True,
        questions=len(rows),
        right=shares,
        apart_rms=float(np.sqrt((apart**2).mean())) if len(apart) else None,
        questions_per_second=round(len(rows) / seconds, 2) if rows else None,
    )
    console.print(
        f"export: {target.name}: {shares['llama_cpp']:.1%} right by llama.cpp, {shares['pytorch']:.1%} by PyTorch",
        markup=False,
    )


def measure(run: Finetune) -> None:
    """Ask base and taught model what is not to be forgotten."""
    from plaudit.finetune import forgetting, forgotten_table

    start, config, folder = time.perf_counter(), run.config, run.stage("measure")
    run.require("export")
    suite = forgetting.standard_suite(leave_out=[config.world.name], every=config.measure.every)
    found = []
    for taught in (False, True):
        with opened(run, taught) as llm, progress(f"measure {'after' if taught else 'before'}", suite.size) as advance:
            found.append(forgetting.measure(llm, suite, advance=advance))
    forgotten_table.show(forgetting.write(found[0], found[1], folder))
    run.finish("measure", time.perf_counter() - start, items=suite.size)


@contextlib.contextmanager
def opened(run: Finetune, taught: bool) -> Iterator[LLM]:
    """The base or the taught model, in the engine that will be used, behind the folder's ledger."""
    from plaudit.llms import weights
    from plaudit.llms.ledger import Ledger, LedgerLLM

    spec = base_spec(run.config)
    gguf = is_gguf(spec)
    adapter = run.folder / "export" / "adapter.gguf" if gguf else run.require("train") / "adapter"
    options: dict[str, Any] = {"adapter": str(adapter) if taught else "", "threads": run.config.llm.threads or None}
    if not gguf:
        options["device"] = run.config.llm.device
    elif not weights.is_float(weights.resolve(spec)):
        options["quantize"] = "q8_0"  # as adapters run: else rounding would be taken for forgetting
    llm = registry.load("llms", "embedded" if gguf else "transformers")(spec, **options)
    with contextlib.closing(llm), contextlib.closing(Ledger(Path(run.folder) / "ledger.sqlite")) as ledger:
        yield LedgerLLM(llm, ledger)


def _choose(llm: LLM, requests: list[Request], what: str) -> tuple[list[Reply], float]:
    start = time.perf_counter()
    with progress(what, len(requests)) as advance:
        replies = llm.choose(requests, lambda place, reply: advance(1))
    return replies, time.perf_counter() - start


def _row(request: Request, exact: Reply, used: Reply) -> dict[str, Any]:
    """``apart``: by how much the first answer's log-odds against the second differ."""
    odds = [reply.logprobs[0] - reply.logprobs[1] for reply in (exact, used)]
    return {"prompt": request.prompt, "pytorch": odds[0], "llama_cpp": odds[1], "apart": odds[1] - odds[0]}


def _share(asked: list[Lesson], replies: list[Reply]) -> float:
    """Share of the lessons that these replies, one for each of their questions, answer rightly."""
    import torch

    from plaudit.finetune import losses

    left, right = iter(replies), list[float]()
    for each in asked:
        weights = torch.tensor([next(left).logprobs for _ in each.prompts])
        right.append(losses.right(weights, each.right))
    return float(np.mean(right)) if right else float("nan")
