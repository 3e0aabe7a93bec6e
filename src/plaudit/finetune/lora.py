"""LoRA: a few low-rank matrices beside a frozen model's weights, taught on lessons whose answer the world knows.

    teacher = Teacher(llm, samples, windows, options, seed)     # llm: a TransformersLLM, whose weights stay as they are
    teacher.run(on_step)

Each step takes ``batch`` lessons, in parts of like length whose gradients add up, and some general text that the taught
model must not read otherwise than the base does (``kl``) or must go on to learn (``replay``). The order is a function of
seed and step, so that a run that was stopped goes on exactly. A loss that is no number ends it; what was learnt up to the
last checkpoint is kept.

Left out: several GPUs, 4-bit bases, packing into one sequence (its attention mask needs a GPU's kernels). Sources: Hu et
al. 2021 (arXiv 2106.09685) through https://github.com/huggingface/peft.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.errors import PlauditError
from plaudit.finetune import losses
from plaudit.finetune.encode import Sample, parts
from plaudit.finetune.settings import LoraConfig
from plaudit.llms.transformers_model import TransformersLLM

GLANCE = "The quick brown fox jumps over the lazy dog."
"""What a model's logits are compared by before it is taught."""


@dataclass(frozen=True)
class Step:
    """What one step came to."""

    step: int
    """Its number, from 1."""
    loss: float
    """Mean loss of its lessons, nats."""
    right: float
    """Share of its lessons that were answered rightly before the step."""
    kl: float
    """KL(base || taught) on general text, nats per token; 0 where it is not asked for."""
    text: float
    """Cross-entropy of general text, nats per token; 0 where there is none."""
    tokens: int
    """Tokens that went through the model, padding not counted."""
    seconds: float
    """Wall time."""


class Teacher:
    """Teaches one model.

    Args:
        llm: the model; LoRA weights are put into it, and asking it afterwards asks the taught one.
        samples: the lessons.
        windows: general text, ``(n, tokens)`` int64; may be empty where neither ``kl`` nor ``replay`` is asked for.
        options: rank, rate, steps and so on.
        seed: of first weights and order.
    """

    def __init__(
        self, llm: TransformersLLM, samples: Sequence[Sample], windows: Tensor, options: LoraConfig, seed: int
    ) -> None:
        self.llm, self.samples, self.windows, self.options, self.seed = llm, list(samples), windows, options, seed
        if (options.kl or options.replay) and not len(windows):
            raise PlauditError("there is no general text to keep: set --lora.kl 0 and --lora.replay 0, or give some")
        losses.check_head(llm.model, llm.text_tokens(GLANCE))
        torch.manual_seed(seed)
        self.model = llm.teach(
            options.vision,
            r=options.rank,
            lora_alpha=options.alpha or 2 * options.rank,
            lora_dropout=options.dropout,
            target_modules="all-linear" if not options.targets else list(options.targets),
        )
        self._weights = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        self._adam = torch.optim.AdamW(list(self._weights.values()), lr=options.learning_rate, weight_decay=0.0)
        self.step = 0
        self._base: dict[int, Tensor] = {}

    def run(self, on_step: Callable[[Step], None]) -> None:
        """Up to the last step; ``on_step`` is told each."""
        self.model.train()
        while self.step < self.options.steps:
            on_step(self.take_step())
        self.model.eval()

    def take_step(self) -> Step:
        """One step of the weights; what it came to."""
        start, options = time.perf_counter(), self.options
        torch.manual_seed(self.seed * 1_000_003 + self.step)  # of dropout
        batch = [self.samples[i] for i in order(len(self.samples), options.batch, self.step, self.seed)]
        self._adam.param_groups[0]["lr"] = rate(self.step, options)
        total, right, tokens = 0.0, 0.0, 0
        for part in parts(batch, options.part_tokens):
            weights = losses.answer_weights(self.model, part)
            each = torch.stack([losses.loss(s, w) for s, w in zip(part, weights, strict=True)])
            (each.sum() / len(batch)).backward()
            total += float(each.sum().detach()) / len(batch)
            right += sum(losses.is_right(s, w.detach()) for s, w in zip(part, weights, strict=True)) / len(batch)
            tokens += sum(len(path.tokens) for sample in part for path in sample.paths)
        kl, text, read = self._keep()
        norm = torch.nn.utils.clip_grad_norm_(list(self._weights.values()), options.clip)
        if not math.isfinite(total + kl + text + float(norm)):
            raise PlauditError(
                f"step {self.step + 1} came to a loss or gradient that is no number. The weights before it are kept. "
                f"Lower --lora.learning-rate (now {options.learning_rate:g}) and give another --out."
            )
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self.step += 1
        return Step(self.step, total, right, kl, text, tokens + read, time.perf_counter() - start)

    def _keep(self) -> tuple[float, float, int]:
        """The gradient of what protects general skill: (KL, cross-entropy, tokens read)."""
        options = self.options
        if not (options.kl or options.replay):
            return 0.0, 0.0, 0
        chosen = order(len(self.windows), options.windows, self.step, self.seed + 1)
        windows = self.windows[chosen]
        base = torch.stack([self._of_base(place) for place in chosen]) if options.kl else None
        kl, text = losses.text_losses(self.model, windows, base)
        (options.kl * kl + options.replay * text).backward()
        return float(kl.detach()), float(text.detach()), windows.numel()

    def _of_base(self, place: int) -> Tensor:
        """What the base makes of a window; each alone, so that one that was stopped finds the same."""
        if place not in self._base:
            self._base[place] = losses.read_by_base(self.model, self.windows[place])
        return self._base[place]

    def get_state(self) -> dict[str, Any]:
        """All that a later process needs to go on exactly."""
        return {"step": self.step, "weights": dict(self._weights), "adam": self._adam.state_dict()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.step = state["step"]
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(state["weights"][name])
        adam = state["adam"]
        adam["state"] = {int(number): value for number, value in adam["state"].items()}
        self._adam.load_state_dict(adam)


def order(count: int, size: int, step: int, seed: int) -> list[int]:
    """Which of ``count`` things this step takes: each comes once before any comes again, shuffled anew each time."""
    chosen = list[int]()
    for place in range(step * size, (step + 1) * size):
        turn, at = divmod(place, count)
        chosen.append(int(np.random.default_rng([seed, turn]).permutation(count)[at]))
    return chosen


def rate(step: int, options: LoraConfig) -> float:
    """The step size: up over the first tenth, then linearly down to 0."""
    warm = max(1, options.steps // 10)
    return options.learning_rate * min((step + 1) / warm, (options.steps - step) / max(1, options.steps - warm))


def text_windows(llm: TransformersLLM, texts: Sequence[str], tokens: int) -> Tensor:
    """General text cut into windows of so many tokens, ``(n, tokens)``; what is left over at a text's end is left out."""
    cut = list[tuple[int, ...]]()
    for text in texts:
        ids = llm.text_tokens(text)
        cut += [tuple(ids[start : start + tokens]) for start in range(0, len(ids) - tokens + 1, tokens)]
    return torch.tensor(cut, dtype=torch.long).reshape(-1, tokens)
