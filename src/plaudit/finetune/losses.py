"""What is minimised: a question's answer, a pair's order, and how far general text strays from what it was.

* A question: cross-entropy of the right one among its answers (of an answer that stands alone: nats per token).
* A pair: -log sigmoid(s(nearer) - s(other)), Bradley-Terry; s is the judge's own score, log P(yes) - log P(no), or the mean
  of ratings weighted by their probabilities.
* General text: KL(base || taught) of the next token, and the text's own cross-entropy (replay), in nats per token.

Only rows that are wanted are turned into logits: the vocabulary's matrix is a third of a small model's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from plaudit.finetune.encode import Path, Sample, together


def answer_weights(model: Any, samples: Sequence[Sample]) -> list[Tensor]:
    """Log-probability of every answer, one ``(questions, answers)`` for each sample; what can be, in one pass."""
    paths, offsets, offset = list[Path](), list[int](), 0
    for sample in samples:
        paths += sample.paths
        offsets += [offset] * len(sample.paths)
        offset += _slots(sample)
    sums = torch.zeros(offset, device=model.device)
    for group in together(paths):
        slots, taken = _answers(model, [path for _, path in group], [offsets[number] for number, _ in group])
        sums = sums.index_add(0, torch.tensor(slots, device=taken.device), taken)
    return [
        part.view(-1, sample.answers) for part, sample in zip(sums.split([*map(_slots, samples)]), samples, strict=True)
    ]


def _answers(model: Any, paths: Sequence[Path], offsets: Sequence[int]) -> tuple[list[int], Tensor]:
    """Log-probabilities of the tokens that these paths want, and the slot of each."""
    width = max(len(path.tokens) for path in paths)
    ids, mask = torch.zeros((2, len(paths), width), dtype=torch.long)
    rows: dict[tuple[int, int], int] = {}
    at, tokens, slots = [], [], []
    for number, (path, offset) in enumerate(zip(paths, offsets, strict=True)):
        ids[number, : len(path.tokens)] = torch.tensor(path.tokens)
        mask[number, : len(path.tokens)] = 1
        for row, token, slot in path.wanted:
            at.append(rows.setdefault((number, row), len(rows)))
            tokens.append(token)
            slots.append(offset + slot)
    places = torch.tensor(list(rows), device=model.device).T
    logits = rows_of(model, ids, mask, places[0], places[1], pixels_of(paths, width))
    return slots, logits.log_softmax(-1)[at, tokens]


def pixels_of(paths: Sequence[Path], width: int) -> dict[str, Tensor]:
    """What these paths are shown, side by side; nothing where they are text."""
    looked = [path.look() for path in paths if path.look]
    if not looked:
        return {}
    pictures = {name for name, _ in paths[0].form}
    return {
        name: torch.cat([each[name] if name in pictures else _padded(each[name], width) for each in looked])
        for name in looked[0]
    }


def _padded(numbers: Tensor, width: int) -> Tensor:
    """One for each token, as many as are read: answers and padding are text."""
    return functional.pad(numbers, (0, width - numbers.shape[1]))


def rows_of(
    model: Any, ids: Tensor, mask: Tensor, sequence: Tensor, row: Tensor, pixels: dict[str, Tensor] | None = None
) -> Tensor:
    """Logits of some rows, ``(rows, vocabulary)`` float32; of the others none are made, or few where there are pixels."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    if pixels:  # the whole model knows what becomes of them
        columns = row.unique()
        given = {name: value.to(model.device) for name, value in pixels.items()}
        read = {"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device), "use_cache": False}
        logits = whole(**read, **given, logits_to_keep=columns).logits
        return logits[sequence, torch.searchsorted(columns, row.contiguous())].float()
    body = whole.get_decoder()
    hidden = body(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False)
    return whole.get_output_embeddings()(hidden.last_hidden_state[sequence, row]).float()


def score(weights: Tensor) -> Tensor:
    """The judge's score of each question, ``(questions,)``, from ``(questions, answers)`` log-probabilities."""
    if weights.shape[1] == 2:
        return weights[:, 0] - weights[:, 1]
    ratings = torch.arange(1.0, weights.shape[1] + 1, device=weights.device)
    return weights.softmax(-1) @ ratings


def loss(sample: Sample, weights: Tensor) -> Tensor:
    """One sample's, a scalar."""
    if sample.right is None:
        nearer, other = score(weights)
        return -functional.logsigmoid(nearer - other)
    if sample.answers == 1:
        return -weights[0, 0] / sample.length
    return -weights[0].log_softmax(-1)[sample.right]


def margin(sample: Sample, weights: Tensor) -> float:
    """By how much the right answer leads, nats (of ratings: points); of an answer that stands alone, nats per token."""
    if sample.right is None:
        nearer, other = score(weights)
        return float(nearer - other)
    if sample.answers == 1:
        return float(weights[0, 0] / sample.length)
    others = [i for i in range(sample.answers) if i != sample.right]
    return float(weights[0, sample.right] - weights[0, others].max())


def is_right(sample: Sample, weights: Tensor) -> float:
    """1 where the model answers rightly, 0.5 for a tie; of an answer that stands alone, its probability per token."""
    if sample.answers == 1:
        return float((weights[0, 0] / sample.length).exp())
    return right(weights, sample.right)


def right(weights: Tensor, answer: int | None) -> float:
    """Of ``(questions, answers)`` log-probabilities: 1 where this answer, or the first question, has most; ties shared."""
    values = score(weights) if answer is None else weights[0]
    best = values == values.max()
    return float(best[answer or 0]) / max(1, int(best.sum()))


def text_losses(model: Any, windows: Tensor, kl: bool) -> tuple[Tensor, Tensor]:
    """(KL to the base, cross-entropy), nats per token, of windows of general text ``(windows, tokens)``."""
    windows = windows.to(model.device)
    count, width = windows.shape
    sequence = torch.arange(count, device=windows.device).repeat_interleave(width - 1)
    row = torch.arange(width - 1, device=windows.device).repeat(count)
    mask = torch.ones_like(windows)
    taught = rows_of(model, windows, mask, sequence, row).log_softmax(-1)
    own = functional.nll_loss(taught, windows[:, 1:].reshape(-1))
    if not kl:
        return torch.zeros((), device=own.device), own
    with torch.no_grad(), model.disable_adapter():
        base = rows_of(model, windows, mask, sequence, row).log_softmax(-1)
    return functional.kl_div(taught, base, log_target=True, reduction="batchmean"), own


def _slots(sample: Sample) -> int:
    return sample.answers * (2 if sample.right is None else 1)
