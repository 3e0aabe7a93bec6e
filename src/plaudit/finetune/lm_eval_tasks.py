"""Tasks of EleutherAI's lm-eval before and after, for a person who has it and the tasks' data: pip install 'lm-eval[hf]'.

    before = measure_tasks("path/of/model", ["arc_easy", "piqa"])
    after = measure_tasks("path/of/model", ["arc_easy", "piqa"], adapter="path/of/adapter")

``model="embedded"``, or a GGUF file, is turned into a model of transformers once, in plaudit's cache, as for teaching; its
adapter is then ``train/adapter`` of ``plaudit finetune``, and not ``export/adapter.gguf``, which is llama.cpp's.
``forgetting.summary(before, after)`` compares them as it does our own sets: each document is an item, right by acc_norm,
acc or exact_match. Source: https://github.com/EleutherAI/lm-evaluation-harness (0.4.13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.errors import ConfigError, MissingExtraError
from plaudit.finetune.records import Answer, Measurement
from plaudit.llms.transformers_files import find, is_gguf

METRICS = ("acc_norm", "acc", "exact_match")
"""What makes an item right, the first that a task has."""


def measure_tasks(
    model: str, tasks: Sequence[str | dict[str, Any]], *, adapter: str = "", limit: int | None = None, **options: Any
) -> Measurement:
    """Ask a model of transformers, with or without a LoRA adapter of peft.

    Args:
        model: a folder, a name on the hub, a GGUF file, or ``embedded``, the packaged model.
        tasks: names of lm-eval's, or configurations of a task.
        adapter: folder of an adapter on top of it, as peft saves it.
        limit: documents of each task, at most; all by default.
        options: more of ``lm_eval.simple_evaluate``, such as batch_size, device and num_fewshot.
    """
    try:
        import lm_eval
    except ImportError:
        raise MissingExtraError("lm-eval is not installed: pip install 'lm-eval[hf]'") from None
    if adapter.endswith(".gguf"):
        raise ConfigError(
            f"the adapter {adapter} is one for llama.cpp, and lm-eval asks transformers. Give peft's folder: the one that "
            "plaudit finetune leaves as train/adapter, beside export/adapter.gguf."
        )
    folder = str(find(model)) if is_gguf(model) else model
    of_model = {"pretrained": folder, "dtype": "float32"} | ({"peft": adapter} if adapter else {})
    found = lm_eval.simple_evaluate(
        model="hf", model_args=of_model, tasks=list(tasks), limit=limit, log_samples=True, bootstrap_iters=0, **options
    )
    answers = [answer for task, samples in found["samples"].items() for answer in _answers(task, samples)]
    return Measurement(f"lm-eval:{model}" + (f"+{adapter}" if adapter else ""), tuple(answers))


def _answers(task: str, samples: Sequence[dict[str, Any]]) -> list[Answer]:
    metric = next((m for m in METRICS if samples and m in samples[0]), None)
    if metric is None:
        has = ", ".join(samples[0]["metrics"]) if samples else "no documents"
        raise ConfigError(f"the task {task!r} of lm-eval has none of {', '.join(METRICS)}; it has {has}. Leave it out.")
    first = samples[0]["filter"]  # a task may read the same replies in several ways
    return [_answer(task, sample, metric) for sample in samples if sample["filter"] == first]


def _answer(task: str, sample: dict[str, Any], metric: str) -> Answer:
    choices = len(sample["arguments"]) if metric.startswith("acc") else 0
    item = f"lm-eval:{task}/{sample['doc_id']}/{sample['doc_hash'][:12]}"
    chance = 1 / choices if choices > 1 else 0.0
    return Answer(
        item, f"lm-eval:{task}", task, item, chance, float(sample[metric]), None, str(sample["filtered_resps"])[:200]
    )
