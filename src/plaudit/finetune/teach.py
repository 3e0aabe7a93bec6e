"""The stage that teaches: a LoRA adapter from the data, with the held-out examples answered before and after.

``train`` writes ``adapter/`` (peft's format), ``curve.parquet`` (a row for each step) and ``answers.parquet`` (each
held-out example before and after); while it runs, ``checkpoint.safetensors``, from which a stopped one goes on exactly.
Nothing here looks at a held-out example to decide anything. What follows: :mod:`plaudit.finetune.handover`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from plaudit.console import console, progress
from plaudit.errors import ConfigError, LLMError, PlauditError
from plaudit.finetune.gather import PARTS, Part
from plaudit.finetune.lessons import Lesson, lesson
from plaudit.finetune.rows import load_rows
from plaudit.finetune.settings import FinetuneConfig, LoraConfig
from plaudit.store import explain_disk_errors, load_tree, read_table, save_tree, write_table

if TYPE_CHECKING:
    from plaudit.finetune.encode import Sample
    from plaudit.finetune.lora import Teacher
    from plaudit.finetune.run import Finetune
    from plaudit.llms.transformers_model import TransformersLLM

CHECKPOINT_SECONDS = 20.0
"""Wall time between two checkpoints."""


def train(run: Finetune) -> None:
    """Teach the base on the rows to train on, and answer the held-out ones before and after."""
    from plaudit.finetune.encode import encode
    from plaudit.finetune.general_sets import replay_texts
    from plaudit.finetune.lora import Teacher, text_windows

    start, config, folder = time.perf_counter(), run.config, run.stage("train")
    rows = {part: lessons(run, part) for part in PARTS}
    refuse_leaks(run)
    with enough_memory(config.lora), base(config) as llm:
        options = config.lora
        taught, kept = ([encode(llm, each) for each in rows[part]] for part in ("train", "held_out"))
        before = _once(run, "before.parquet", lambda: answered(llm, kept, "ask before", options.part_tokens))
        windows = text_windows(llm, replay_texts() if options.kl or options.replay else [], options.window)
        teacher = Teacher(llm, taught, windows, options, config.seed)
        curve = _teach(run, teacher)
        after = answered(llm, kept, "ask after", options.part_tokens)
        save_adapter(run, llm)
    write_table(folder / "curve.parquet", curve)
    write_table(folder / "answers.parquet", _answers(kept, before, after))
    for name in ("checkpoint.safetensors", "before.parquet"):
        (folder / name).unlink(missing_ok=True)
    gained = {
        kind: {"before": _share(kept, before, kind), "after": _share(kept, after, kind)} for kind in options.kinds
    }
    seconds = sum(row["seconds"] for row in curve)
    run.finish(
        "train",
        time.perf_counter() - start,
        base=llm.name,
        examples=len(taught),
        steps=options.steps,
        taught_seconds=round(seconds, 1),
        tokens_per_second=round(sum(row["tokens"] for row in curve) / max(seconds, 1e-9)),
        held_out=gained,
    )
    for kind, (was, now) in ((kind, each.values()) for kind, each in gained.items()):
        console.print(f"train: {kind}: {was:.1%} of the held-out examples right before, {now:.1%} after", markup=False)


def base_spec(config: FinetuneConfig) -> str:
    """What is taught: a folder, a model of the hub, a GGUF file or ``embedded``, whichever engine asks it later."""
    return config.llm.model.removeprefix("transformers:")


@contextlib.contextmanager
def base(config: FinetuneConfig, adapter: str = "") -> Iterator[TransformersLLM]:
    """The model that is taught, in PyTorch; a GGUF file is turned into what PyTorch reads."""
    from plaudit import registry

    spec = base_spec(config)
    if spec.startswith(("http://", "https://", "openai")):
        raise ConfigError(
            f"a model behind a server cannot be taught: {spec}. Give --llm embedded or transformers:FOLDER"
        )
    cls = registry.load("llms", "transformers")
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


def lessons(run: Finetune, part: Part) -> list[Lesson]:
    """What is taught, or asked before and after: the chosen kinds, as many examples as are wanted, drawn evenly."""
    options, protocol = run.config.lora, run.config.ask.protocol
    rows = [row for row in load_rows(run.require("data"), part) if row["kind"] in options.kinds]
    if missing := [kind for kind in options.kinds if not any(row["kind"] == kind for row in rows)]:
        raise ConfigError(f"lora.kinds: the data hold no examples of {', '.join(missing)}. Add them to --data.kinds.")
    if part == "train" and options.examples:
        each = {kind: [row for row in rows if row["kind"] == kind] for kind in options.kinds}
        rng = np.random.default_rng([run.config.seed, 7])
        wanted = np.bincount(np.arange(options.examples) % len(each), minlength=len(each))
        for kind, count in zip(each, wanted.tolist(), strict=True):
            if count > len(each[kind]):
                raise ConfigError(f"lora.examples: {count} of {kind} are wanted, the data hold {len(each[kind])}.")
        chosen = [rng.permutation(len(rows))[:count] for rows, count in zip(each.values(), wanted, strict=True)]
        rows = [rows[i] for rows, places in zip(each.values(), chosen, strict=True) for i in sorted(places.tolist())]
    found = [lesson(row, protocol) for row in rows]
    if part == "train":
        refuse_one_sided(found)
    return found


def refuse_one_sided(taught: Sequence[Lesson]) -> None:
    """Raise where all examples of a kind have one answer: what would be learnt is to give it, whatever is asked."""
    for kind in {each.kind for each in taught}:
        sides = [each.answers[each.right] if each.right is not None else None for each in taught if each.kind == kind]
        if len(set(sides)) == 1 and sides[0] is not None:
            raise ConfigError(
                f"all {len(sides)} examples of {kind} have the answer {sides[0].strip()!r}: that is all that would be "
                "learnt. Make more or other data (--data.examples, --data.steps, --data.sources) with another --out."
            )


@contextlib.contextmanager
def enough_memory(options: LoraConfig) -> Iterator[None]:
    """Say which settings to lower where the memory does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error).splitlines()[0][:200] if str(error) else "no more could be had"
        if not isinstance(error, MemoryError) and not re.search("memory|bad_alloc", str(error).lower()):
            raise
        raise LLMError(
            f"the memory does not suffice: {said}. Lower --lora.part-tokens (now {options.part_tokens}), --lora.batch "
            f"(now {options.batch}) or --lora.rank (now {options.rank}), or take a smaller --llm; and give another --out."
        ) from error


def refuse_leaks(run: Finetune) -> None:
    """The data as they lie in the folder now: somebody may have added rows since they were made."""
    from plaudit.finetune.leaks import check_folder
    from plaudit.stages.parts import make_world

    check_folder(run.require("data"), make_world(run.config.world).hidden)


def save_adapter(run: Finetune, llm: TransformersLLM) -> None:
    """The adapter, whole or not at all, with a note of the weights that it is for."""
    from plaudit.llms.transformers_files import note_base

    target = run.stage("train") / "adapter"
    temporary = target.with_name(".adapter.part")
    shutil.rmtree(temporary, ignore_errors=True)
    with explain_disk_errors(target):
        try:
            llm.model.save_pretrained(temporary)
        except SafetensorError as error:  # a disk that is full, for one
            raise OSError(str(error)) from error
        note_base(temporary, base_spec(run.config), llm.folder)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)


def answered(
    llm: TransformersLLM, samples: Sequence[Sample], what: str, part_tokens: int = 1024
) -> list[tuple[float, float]]:
    """(1 where right, loss in nats) of each sample, as the model is now."""
    import torch

    from plaudit.finetune import losses
    from plaudit.finetune.encode import parts

    found: dict[int, tuple[float, float]] = {}
    numbers = {id(sample): number for number, sample in enumerate(samples)}
    with torch.inference_mode(), progress(what, len(samples)) as advance:
        for part in parts(samples, 4 * part_tokens):  # no gradients are kept
            for sample, weights in zip(part, losses.answer_weights(llm.model, part), strict=True):
                found[numbers[id(sample)]] = losses.is_right(sample, weights), float(losses.loss(sample, weights))
            advance(len(part))
    return [found[number] for number in range(len(samples))]


def _once(run: Finetune, name: str, make: Callable[[], list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """What this made before it was stopped, with the same settings; else made now, and kept."""
    path, settings = run.stage("train") / name, run.expected("train")
    if path.is_file() and (rows := read_table(path)) and rows[0]["settings"] == settings:
        return [(row["right"], row["loss"]) for row in rows]
    made = make()
    write_table(path, [{"right": right, "loss": loss, "settings": settings} for right, loss in made])
    return made


def _teach(run: Finetune, teacher: Teacher) -> list[dict[str, Any]]:
    """All steps, from the checkpoint where there is one of these settings."""
    folder, settings = run.stage("train"), run.expected("train")
    checkpoint, curve = folder / "checkpoint.safetensors", list[dict[str, Any]]()
    if checkpoint.is_file() and (tree := load_tree(checkpoint)).get("settings") == settings:
        teacher.set_state(tree["teacher"])
        curve = tree["curve"]
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


def _share(samples: Sequence[Sample], answers: Sequence[tuple[float, float]], kind: str) -> float:
    return float(np.mean([right for sample, (right, _) in zip(samples, answers, strict=True) if sample.kind == kind]))


def _answers(samples: Sequence[Sample], before: Sequence[Any], after: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"kind": s.kind, "right_before": b[0], "right_after": a[0], "loss_before": b[1], "loss_after": a[1]}
        for s, b, a in zip(samples, before, after, strict=True)
    ]
