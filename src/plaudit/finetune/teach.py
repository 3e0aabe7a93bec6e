"""The stage that teaches: a LoRA adapter from the data, with the held-out examples answered before and after.

``train`` writes ``adapter/`` (peft's format), ``curve.parquet`` (a row for each step) and ``answers.parquet`` (each
held-out example before and after, and where it stands); while it runs, ``checkpoint.safetensors``, from which a stopped one
goes on exactly. What the base answers is kept where a sweep's other folders find it (``run.shared``).
Nothing here looks at a held-out example to decide anything. What follows: :mod:`plaudit.finetune.handover`.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from plaudit import prompts
from plaudit.config import fingerprint
from plaudit.console import console, progress
from plaudit.errors import LLMError, PlauditError
from plaudit.finetune import skill
from plaudit.finetune.gather import PARTS, Part
from plaudit.finetune.lessons import Lesson, lesson, wordings
from plaudit.finetune.refusals import (
    blind,
    digest,
    enough_memory,
    no_examples,
    refuse_leaks,
    refuse_one_sided,
    refuse_untaught,
    too_few,
)
from plaudit.finetune.rows import load_rows
from plaudit.finetune.settings import AskConfig, FinetuneConfig, base_spec, seen
from plaudit.llms import gguf_adapter
from plaudit.llms.transformers_files import no_memory, note_base
from plaudit.store import explain_disk_errors, load_tree, read_table, save_tree, write_table

if TYPE_CHECKING:
    from plaudit.finetune.encode import Sample
    from plaudit.finetune.lora import Teacher
    from plaudit.finetune.run import Finetune
    from plaudit.llms.transformers_model import TransformersLLM

MOST_ACTIONS = 100
"""Held-out actions that are asked before and after: each is weighed against all that could be done, a second or two."""
CHECKPOINT_SECONDS = 20.0
"""Wall time between two checkpoints."""
log = logging.getLogger(__name__)


def train(run: Finetune) -> None:
    """Teach the base on the rows to train on, and answer the held-out ones before and after."""
    from plaudit.finetune import losses
    from plaudit.finetune.encode import encode
    from plaudit.finetune.general_sets import replay_texts
    from plaudit.finetune.lora import GLANCE, Teacher, text_windows

    start, config, folder = time.perf_counter(), run.config, run.stage("train")
    data, rows = digest(run), {part: examples(run, part) for part in PARTS}
    options = config.lora
    refuse_leaks(run)
    with enough_memory(options), base(config) as llm:
        told = {part: [lesson(row, config.ask.protocol) for row in rows[part]] for part in PARTS}
        refuse_one_sided(told["train"])
        if not llm.sees and any(each.images for part in PARTS for each in told[part]):
            raise blind(config)
        losses.check_head(llm.model, llm.text_tokens(GLANCE))  # as the teacher does, but before all is asked
        taught = [encode(llm, each, ended=True) for each in told["train"]]
        kept = [encode(llm, each) for each in told["held_out"]]
        asked = fingerprint(llm.name, _digest(run), [repr(each) for each in told["held_out"]])
        before = _once(
            run,
            f"before-{asked}.parquet",
            lambda: answered(llm, told["held_out"], kept, "ask before", options.part_tokens),
        )
        windows = text_windows(llm, replay_texts() if options.kl or options.replay else [], options.window)
        teacher = Teacher(llm, taught, windows, options, config.seed)
        curve = _teach(run, teacher, fingerprint(run.expected("train"), data))
        after = answered(llm, told["held_out"], kept, "ask after", options.part_tokens)
        save_adapter(run, llm)
    write_table(folder / "curve.parquet", curve)
    write_table(folder / "answers.parquet", _answers(rows["held_out"], before, after))
    for path in (folder / "checkpoint.safetensors", *folder.glob("before-*.parquet")):
        path.unlink(missing_ok=True)
    gained = {kind: _gain(kind, told["held_out"], before, after) for kind in options.kinds}
    seconds = sum(row["seconds"] for row in curve)
    run.finish(
        "train",
        time.perf_counter() - start,
        base=llm.name,
        data=data,
        examples=len(taught),
        seen=seen(options, len(taught)),
        steps=options.steps,
        taught_seconds=round(seconds, 1),
        tokens_per_second=round(sum(row["tokens"] for row in curve) / max(seconds, 1e-9)),
        memory_mb=round(peak_memory() / 1e6),
        held_out=gained,
    )
    for kind, (was, now, chance) in ((kind, each.values()) for kind, each in gained.items()):
        console.print(
            f"train: {kind}: {was:.1%} of the held-out examples right before, {now:.1%} after (by chance {chance:.1%})",
            markup=False,
        )


def notes(config: FinetuneConfig, rows: Sequence[dict[str, Any]] = ()) -> dict[str, str]:
    """What is to be known of an adapter: its base, what it was taught, and the prompts that it was taught in.

    ``rows`` are those that it was taught: the hidden words or tasks of their episodes are noted, a line each.
    """
    ask, kinds = config.ask, config.lora.kinds
    found = {"base": base_of(config), "world": Path(config.world.name).stem, "kinds": " ".join(kinds)}
    if drawn := sorted({secret for row in rows for secret in row["secrets"]}):
        found["drawn"] = "\n".join(drawn)
    if set(kinds) & set(gguf_adapter.ROLES["judge"]):
        found |= {"protocol": ask.protocol, "prompt": prompt_of("compare", ask), "input": ask.input}
    if set(kinds) & set(gguf_adapter.ROLES["policy"]):
        found["act"] = prompt_of("action", ask)
    return found


def base_of(config: FinetuneConfig) -> str:
    """The base by its name, or its path from anywhere."""
    spec = base_spec(config)
    path = Path(spec).expanduser()
    return str(path.absolute()) if spec != "embedded" and path.exists() else spec


def prompt_of(kind: str, ask: AskConfig) -> str:
    """The prompt that a kind is taught in and asked in later, by its name, or its path from anywhere."""
    (name,) = wordings(kind, ask, 1)
    return name if name in prompts.names() else str(Path(name).expanduser().absolute())


def peak_memory() -> int:
    """Bytes that this process has had in memory at most, up to now."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


@contextlib.contextmanager
def base(config: FinetuneConfig, adapter: str = "") -> Iterator[TransformersLLM]:
    """The model that is taught, in PyTorch; a GGUF file is turned into what PyTorch reads."""
    from plaudit import registry

    refuse_untaught(config)
    spec, cls = base_spec(config), registry.load("llms", "transformers")
    threads = config.lora.threads or config.llm.threads or None
    llm = cls(spec, adapter=adapter, device=config.llm.device, threads=threads, context=config.llm.context)
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(llm.threads)
    try:
        yield llm
    finally:
        torch.set_num_threads(before)
        llm.close()


@dataclass(frozen=True)
class Answered:
    """How a model, as it is, answers one example."""

    right: float
    """1 where it does rightly, 0.5 for a tie; of an action its probability per token."""
    loss: float
    """Nats."""
    margin: float
    """By how much the right answer leads, as :func:`plaudit.finetune.losses.margin` has it."""


def lessons(run: Finetune, part: Part) -> list[Lesson]:
    """What :func:`examples` are asked as."""
    return [lesson(row, run.config.ask.protocol) for row in examples(run, part)]


def examples(run: Finetune, part: Part) -> list[dict[str, Any]]:
    """What is taught, or asked before and after: the chosen kinds, as many as are wanted, drawn evenly.

    ``place`` is the number of each in its file.
    """
    options, every = run.config.lora, load_rows(run.require("data"), part)
    rows = [row | {"place": place} for place, row in enumerate(every) if row["kind"] in options.kinds]
    if missing := [kind for kind in options.kinds if not any(row["kind"] == kind for row in rows)]:
        raise no_examples(missing)
    if part == "held_out":  # they come evenly over actions: so do the first of them
        acted = [row for row in rows if row["kind"] == "action"]
        left_out = set(map(id, acted[MOST_ACTIONS:]))
        rows = [row for row in rows if id(row) not in left_out]
    if part == "train" and options.examples:
        each = {kind: [row for row in rows if row["kind"] == kind] for kind in options.kinds}
        rng = np.random.default_rng([run.config.seed, 7])
        wanted = np.bincount(np.arange(options.examples) % len(each), minlength=len(each))
        for kind, count in zip(each, wanted.tolist(), strict=True):
            if count > len(each[kind]):
                raise too_few(count, kind, len(each[kind]))
        chosen = [rng.permutation(len(rows))[:count] for rows, count in zip(each.values(), wanted, strict=True)]
        rows = [rows[i] for rows, places in zip(each.values(), chosen, strict=True) for i in sorted(places.tolist())]
    return rows


def save_adapter(run: Finetune, llm: TransformersLLM) -> None:
    """The adapter, whole or not at all, with a note of the weights that it is for."""
    target = run.stage("train") / "adapter"
    temporary = target.with_name(".adapter.part")
    shutil.rmtree(temporary, ignore_errors=True)
    with explain_disk_errors(target):
        try:
            llm.model.save_pretrained(temporary)
        except SafetensorError as error:  # a disk that is full, for one
            raise OSError(str(error)) from error
        note_base(temporary, notes(run.config, examples(run, "train")), llm.folder)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)


def answered(
    llm: TransformersLLM, asked: Sequence[Lesson], samples: Sequence[Sample], what: str, part_tokens: int = 1024
) -> list[Answered]:
    """How each lesson and its sample is answered, as the model is now.

    An action is right where it is the likeliest of all that could be done: see :mod:`plaudit.finetune.skill`.
    """
    import torch

    from plaudit.finetune import losses
    from plaudit.finetune.encode import parts

    found: dict[int, Answered] = {}
    numbers = {id(sample): number for number, sample in enumerate(samples)}
    with torch.inference_mode(), progress(what, len(samples)) as advance:
        for part in parts(samples, 4 * part_tokens):  # no gradients are kept
            for sample, weights in zip(part, losses.answer_weights(llm.model, part), strict=True):
                how = (losses.is_right(sample, weights), float(losses.loss(sample, weights)))
                found[numbers[id(sample)]] = Answered(*how, losses.margin(sample, weights))
            advance(len(part))
    acted = [number for number, each in enumerate(asked) if each.kind == "action"]
    if acted:
        with progress(f"{what}: actions", len(acted)) as advance:
            told = skill.asked(llm, [asked[number] for number in acted], advance)
        for number, one in zip(acted, told, strict=True):
            if one.right is None:
                if no_memory(one.error):  # the back-end makes a reply of it
                    raise MemoryError(one.error)
                raise LLMError(
                    f"a held-out action could not be asked: {one.error}. Shorten the prompt (--ask.act act-b)"
                )
            found[number] = replace(found[number], right=one.right)
    return [found[number] for number in range(len(samples))]


def _digest(run: Finetune) -> str:
    """Of the held-out examples as they are on disk, pictures too."""
    return hashlib.sha256((run.folder / "data" / "held_out.parquet").read_bytes()).hexdigest()


def _once(run: Finetune, name: str, make: Callable[[], list[Answered]]) -> list[Answered]:
    """What was made before, here or in a sweep's other folders, under a name that tells what was asked; else made now."""
    path = (run.shared or run.stage("train")) / name
    if path.is_file():
        return [Answered(**row) for row in read_table(path)]
    made = make()
    write_table(path, made)
    return made


def _teach(run: Finetune, teacher: Teacher, settings: str) -> list[dict[str, Any]]:
    """All steps, from the checkpoint where there is one of these settings and examples."""
    checkpoint, curve = run.stage("train") / "checkpoint.safetensors", list[dict[str, Any]]()
    tree = load_tree(checkpoint) if checkpoint.is_file() else {}
    if tree.get("settings") == settings:
        teacher.set_state(tree["teacher"])
        curve = tree["curve"]
    elif tree:
        log.warning("%s is of other settings or examples: teaching begins anew", checkpoint)
    saved = time.perf_counter()
    with progress("teach", run.config.lora.steps) as advance:
        advance(teacher.step)

        def on_step(step: Any) -> None:
            nonlocal saved
            curve.append(asdict(step))
            last = curve[-20:]
            advance(1, f"loss {sum(row['loss'] for row in last) / len(last):.3f}")
            if time.perf_counter() - saved > CHECKPOINT_SECONDS:
                keep()
                saved = time.perf_counter()

        def keep() -> None:
            save_tree(checkpoint, {"settings": settings, "teacher": teacher.get_state(), "curve": curve})

        try:
            teacher.run(on_step)
        except PlauditError:  # a loss that is no number: the step was not made
            keep()
            raise
    return curve


def _gain(
    kind: str, asked: Sequence[Lesson], before: Sequence[Answered], after: Sequence[Answered]
) -> dict[str, float]:
    """Shares of a kind's held-out lessons that were answered rightly, and by chance."""
    places = [place for place, each in enumerate(asked) if each.kind == kind]
    was, now = (float(np.mean([each[place].right for place in places])) for each in (before, after))
    return {"before": was, "after": now, "chance": skill.chance(asked[place] for place in places)}


def _answers(
    rows: Sequence[dict[str, Any]], before: Sequence[Answered], after: Sequence[Answered]
) -> list[dict[str, Any]]:
    """Where each example stands in its file, what is known of it, and how it was answered."""
    return [
        {key: row.get(key) for key in ("place", "kind", "value", "gap")}
        | {"ended": any(row["ended"]) if "ended" in row else None}
        | {f"{key}_before": value for key, value in asdict(was).items()}
        | {f"{key}_after": value for key, value in asdict(now).items()}
        for row, was, now in zip(rows, before, after, strict=True)
    ]
