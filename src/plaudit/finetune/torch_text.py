"""How probable a model of transformers finds texts: passages by length in one forward pass each few, in fp32.

    TorchText(model, tokenizer).score(passages)

For perplexity while the model is in memory for training; a LoRA adapter of peft may be on it. Only the rows of logits that
are needed are computed, where the model allows it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from plaudit.finetune.items import Passage


class TorchText:
    """Log-probability of passages by a causal model and its tokenizer.

    Args:
        model: a causal language model of transformers, with or without an adapter.
        tokenizer: its tokenizer.
        tokens: tokens in one forward pass, padding counted.
    """

    def __init__(self, model: Any, tokenizer: Any, tokens: int = 2048) -> None:
        self.model, self.tokenizer, self.tokens = model, tokenizer, tokens
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._keeps = "logits_to_keep" in inspect.signature(base.forward).parameters

    def score(self, passages: Sequence[Passage]) -> list[tuple[float, int]]:
        """Log-probability of each passage's text after its context, and the number of its tokens."""
        split = [(self._ids(p.context), self._ids(p.text)) for p in passages]
        found: dict[int, tuple[float, int]] = {}
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                for batch in self._batches([len(a) + len(b) for a, b in split]):
                    for place, logprob in zip(batch, self._batch([split[i] for i in batch]), strict=True):
                        found[place] = logprob, len(split[place][1])
        finally:
            self.model.train(training)
        return [found[i] for i in range(len(passages))]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Places of passages of like length, so that little is padded."""
        batches: list[list[int]] = []
        for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > self.tokens:
                batches.append([])
            batches[-1].append(place)
        return batches

    def _batch(self, split: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        """Padded on the left, so that the scored tokens of all passages are at the end."""
        longest, scored = max(len(a) + len(b) for a, b in split), max(len(b) for _, b in split)
        rows = [[0] * (longest - len(a) - len(b)) + a + b for a, b in split]
        mask = [[0] * (longest - len(a) - len(b)) + [1] * (len(a) + len(b)) for a, b in split]
        device = next(self.model.parameters()).device
        ids, seen = torch.tensor(rows, device=device), torch.tensor(mask, device=device)
        positions = (seen.cumsum(1) - 1).clamp(min=0)
        more = {"logits_to_keep": scored + 1} if self._keeps else {}
        logits = self.model(input_ids=ids, attention_mask=seen, position_ids=positions, **more).logits
        logprobs = logits[:, -scored - 1 : -1].float().log_softmax(-1)
        of_each = logprobs.gather(2, ids[:, -scored:, None]).squeeze(2).double()
        return [float(row[scored - len(b) :].sum()) for row, (_, b) in zip(of_each, split, strict=True)]
