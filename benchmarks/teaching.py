"""Teaching by plaudit's trainer beside a bare loop of transformers and peft on the same batches; or a taught judge's pace.

    python benchmarks/teaching.py [--rounds N] [--steps N] [--prompt pointwise-b] [--threads N]
    python benchmarks/teaching.py --judge runs/finetune-wordle/export/adapter.gguf

The bare loop is what a user of peft writes: a padded batch, ``model(input_ids, attention_mask, labels)`` with labels of
-100 but for the answer (yes to the nearer of a pair, no to the other), AdamW over the adapter's weights. Ours makes the
pair's loss of the same tokens. Both have rank 8 on all linear layers, the same pairs in the same order, no KL and no
replay; a third line is ours with its KL, which the bare loop has not. Each runs in a process of its own, in turn in each
round, after one step that is not timed. Said are medians over rounds of pairs a second by the clock and by processor time
(which says more where others use the machine), and each process's peak memory.

``--judge`` asks the held-out pairs of Wordle of the 4-bit base and of the base with the adapter, both warm, in turn.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.finetune.settings import AskConfig, FinetuneConfig, LoraConfig, load_recipe

ARMS = ("bare", "ours", "ours with KL")
PAIRS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="timed steps of each arm in a round")
    parser.add_argument("--batch", type=int, default=4, help="pairs of one step")
    parser.add_argument("--prompt", default="pointwise-b", help="the judge's prompt")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 takes all")
    parser.add_argument("--judge", default="", help="adapter.gguf: measure its pace instead")
    parser.add_argument("--arm", default="", help=argparse.SUPPRESS)
    parser.add_argument("--data", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(one(given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        from plaudit.finetune.synthesize import synthesize

        synthesize(settings(given), Path(folder))
        given.data = folder
        judge(given) if given.judge else teaching(given)


def settings(given: argparse.Namespace) -> FinetuneConfig:
    """Wordle's recipe with fewer examples: pairs alone."""
    recipe = load_recipe("wordle")
    data = replace(recipe.data, kinds=("compare",), examples=PAIRS, steps=4000)
    return replace(recipe, data=data, ask=AskConfig(prompt=given.prompt))


def teaching(given: argparse.Namespace) -> None:
    """All arms in turn, each in a process of its own."""
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for number in range(given.rounds):
        for arm in ARMS if number % 2 == 0 else ARMS[::-1]:
            command = [sys.executable, __file__, *sys.argv[1:], "--arm", arm, "--data", given.data]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[arm].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"round {number + 1}, {arm}: {found[arm][-1]}", file=sys.stderr, flush=True)

    def median(arm: str, key: str) -> float:
        return float(np.median([each[key] for each in found[arm]]))

    print(f"{given.prompt}, {given.batch} pairs a step, {given.steps} steps, {given.rounds} rounds")
    print(f"{'':14} pairs/s  of bare  pairs/cpu-s  of bare  tokens/step  peak memory")
    for arm in ARMS:
        wall, cpu = median(arm, "wall"), median(arm, "cpu")
        shares = wall / median("bare", "wall"), cpu / median("bare", "cpu")
        print(
            f"{arm:14} {wall:7.2f} {shares[0]:8.0%} {cpu:12.2f} {shares[1]:8.0%} {median(arm, 'tokens'):12.0f} "
            f"{median(arm, 'memory'):9.0f} MB"
        )


def one(given: argparse.Namespace) -> dict[str, float]:
    """One arm: pairs for each second of wall and processor time, padded tokens of a step, peak memory in MB."""
    import torch

    from plaudit.finetune.encode import encode
    from plaudit.finetune.lessons import lesson
    from plaudit.finetune.rows import load_rows
    from plaudit.llms.transformers_model import TransformersLLM

    llm = TransformersLLM("embedded", threads=given.threads or None)
    torch.set_num_threads(llm.threads)
    samples = [encode(llm, lesson(row, "pointwise")) for row in load_rows(Path(given.data), "train")]
    read = list[int]()
    options = LoraConfig(batch=given.batch, steps=given.steps + 1, kl=1.0 if "KL" in given.arm else 0.0)
    step = _bare(llm, samples, options, read) if given.arm == "bare" else _ours(llm, samples, options, read)
    step()
    start, used = time.perf_counter(), time.process_time()
    for _ in range(given.steps):
        step()
    pairs = given.batch * given.steps
    return {
        "wall": pairs / (time.perf_counter() - start),
        "cpu": pairs / (time.process_time() - used),
        "tokens": float(np.mean(read)),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _ours(llm: Any, samples: list[Any], options: LoraConfig, read: list[int]) -> Callable[[], None]:
    from plaudit.finetune.general_sets import replay_texts
    from plaudit.finetune.lora import Teacher, text_windows

    windows = text_windows(llm, replay_texts() if options.kl else [], options.window)
    teacher = Teacher(llm, samples, windows, options, seed=0)
    body = teacher.model.get_base_model().get_decoder()
    body.register_forward_pre_hook(lambda _, __, given: read.append(given["input_ids"].numel()), with_kwargs=True)
    teacher.model.train()

    def step() -> None:
        before = len(read)
        teacher.take_step()
        read[before:] = [sum(read[before:])]

    return step


def _bare(llm: Any, samples: list[Any], options: LoraConfig, read: list[int]) -> Callable[[], None]:
    import peft
    import torch

    from plaudit.finetune.lora import order

    torch.manual_seed(0)
    wanted = peft.LoraConfig(r=options.rank, lora_alpha=2 * options.rank, target_modules="all-linear")
    model: Any = peft.get_peft_model(llm.model, wanted)
    model.train()
    adam = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=options.learning_rate)
    done = 0

    def step() -> None:
        nonlocal done
        texts = list[tuple[int, ...]]()
        for i in order(len(samples), options.batch, done, 0):
            for path, answer in zip(samples[i].paths, (0, 1), strict=True):  # the nearer: yes, the other: no
                texts.append((*path.tokens, path.wanted[answer][1]))
        width = max(map(len, texts))
        ids, mask = torch.zeros((2, len(texts), width), dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
            labels[row, len(text) - 1] = text[-1]
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        adam.step()
        adam.zero_grad()
        read.append(ids.numel())
        done += 1

    return step


def judge(given: argparse.Namespace) -> None:
    """Judgements a second of the base as it is run, and with the adapter."""
    from plaudit.finetune.lessons import lesson
    from plaudit.finetune.rows import load_rows
    from plaudit.llms import gguf_adapter
    from plaudit.llms.base import Request
    from plaudit.llms.embedded import EmbeddedLLM

    known = gguf_adapter.notes(given.judge)
    lessons = [lesson(row, "pointwise") for part in ("held_out", "train") for row in load_rows(Path(given.data), part)]
    asked = [Request(prompt, answers=each.answers) for each in lessons for prompt in each.prompts]
    threads = given.threads or None
    models = {
        "the base, 4 bits": EmbeddedLLM(known["base"], threads=threads),
        "the base, 8 bits": EmbeddedLLM(known["base"], threads=threads, quantize="q8_0"),
        "with the adapter, 8 bits": EmbeddedLLM(known["base"], adapter=given.judge, threads=threads),
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for llm in models.values():
        llm.choose(asked[:32])
    for _ in range(given.rounds):
        for name, llm in models.items():
            llm.clear()
            start, used = time.perf_counter(), time.process_time()
            replies = llm.choose(asked)
            assert all(reply.status == "ok" for reply in replies)
            rates[name].append((len(asked) / (time.perf_counter() - start), len(asked) / (time.process_time() - used)))
    print(f"{len(asked)} descriptions of Wordle, {given.prompt}, {given.rounds} rounds: judgements a second, medians")
    for name, each in rates.items():
        wall, cpu = np.median(each, axis=0)
        print(f"{name:26} {wall:8.1f}   of processor time {cpu:8.1f}")
        models[name].close()


if __name__ == "__main__":
    main()
