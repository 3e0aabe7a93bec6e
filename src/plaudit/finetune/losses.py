"""What is minimised: a question's answer, a pair's order, and how far general text strays from what it was.

* A question: cross-entropy of the right one among its answers (of an answer that stands alone: nats per token).
* A pair: -log sigmoid(s(nearer) - s(other)), Bradley-Terry; s is the judge's own score, log P(yes) - log P(no), or the mean
  of ratings weighted by their probabilities.
* General text: KL(base || taught) of the next token, and the text's own cross-entropy (replay), in nats per token.

Only rows that are wanted are turned into logits: the vocabulary's matrix is a third of a small model's work. What all
prompts begin with is read once, with its gradient; the rest goes through in groups of like length. That is exact but for
dropout, which draws one mask for a beginning that is shared.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from plaudit.errors import LLMError
from plaudit.finetune.encode import Path, Sample, beginning, together
from plaudit.llms.token_tree import Tokens

PASS = 32
"""What one more pass through the model costs, in tokens."""
ROUNDING = 1e-4
"""By how much logits may differ that are worked out in two ways, as a share of the largest."""


def answer_weights(model: Any, samples: Sequence[Sample]) -> list[Tensor]:
    """Log-probability of every answer, one ``(questions, answers)`` for each sample."""
    paths, offsets, offset = list[Path](), list[int](), 0
    for sample in samples:
        paths += sample.paths
        offsets += [offset] * len(sample.paths)
        offset += _slots(sample)
    sums = torch.zeros(offset, device=model.device)
    for group in together(paths):
        own, at = [path for _, path in group], [offsets[number] for number, _ in group]
        slots, taken = (_pictured if own[0].look else _texts)(model, own, at)
        sums = sums.index_add(0, torch.tensor(slots, device=taken.device), taken)
    return [
        part.view(-1, sample.answers) for part, sample in zip(sums.split([*map(_slots, samples)]), samples, strict=True)
    ]


def _texts(model: Any, paths: Sequence[Path], offsets: Sequence[int]) -> tuple[list[int], Tensor]:
    """The slots of what these paths want, and the log-probability for each."""
    shared = beginning(paths)
    kept = _read(model, paths[0].tokens[:shared]) if shared else None
    slots, found = list[int](), list[Tensor]()
    for places in alike([len(path.tokens) - shared for path in paths]):
        found.append(_part(model, [paths[i] for i in places], shared, kept))
        slots += [offsets[i] + slot for i in places for _, _, slot in paths[i].wanted]
    return slots, torch.cat(found)


def _pictured(model: Any, paths: Sequence[Path], offsets: Sequence[int]) -> tuple[list[int], Tensor]:
    """The same of paths with pixels of one form: the whole model reads them, for it knows what becomes of pixels."""
    found = _part(model, paths, 0, None, pixels_of(paths, max(len(path.tokens) for path in paths)))
    return [offset + slot for path, offset in zip(paths, offsets, strict=True) for _, _, slot in path.wanted], found


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


def alike(lengths: Sequence[int], cost: int = PASS) -> list[list[int]]:
    """Places of sequences in groups of like length: least padding, where each group costs as much as so many tokens."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    best: list[tuple[int, int]] = [(0, 0)]  # (what the first so many cost, where their last group begins)
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        best.append(min((best[start][0] + cost + (end - start) * longest, start) for start in range(end)))
    groups, end = list[list[int]](), len(order)
    while end:
        groups.append(order[best[end][1] : end])
        end = best[end][1]
    return groups[::-1]


def _read(model: Any, tokens: Tokens) -> Any:
    """The keys and values of these tokens, which gradients flow back through."""
    from transformers import DynamicCache

    ids = torch.tensor([tokens], device=model.device)
    return _body(model)(input_ids=ids, past_key_values=DynamicCache(), use_cache=True).past_key_values


def _part(model: Any, paths: Sequence[Path], shared: int, kept: Any, pixels: dict[str, Tensor] | None = None) -> Tensor:
    """Log-probabilities of what these paths want, in their order, in one padded pass behind what is kept."""
    width = max(len(path.tokens) for path in paths) - shared
    ids, mask = torch.zeros((len(paths), width), dtype=torch.long), torch.ones((len(paths), shared + width))
    rows: dict[tuple[int, int], int] = {}
    at, tokens = list[int](), list[int]()
    for number, path in enumerate(paths):
        own = path.tokens[shared:]
        ids[number, : len(own)] = torch.tensor(own)
        mask[number, shared + len(own) :] = 0
        for row, token, _ in path.wanted:
            at.append(rows.setdefault((number, row - shared), len(rows)))
            tokens.append(token)
    places = torch.tensor(list(rows), device=model.device).T
    if pixels:
        logits = _rows_seen(model, ids, mask.long(), places[0], places[1], pixels)
    else:
        logits = rows_of(model, ids, mask.long(), places[0], places[1], kept)
    return logits.log_softmax(-1)[at, tokens]


def _rows_seen(
    model: Any, ids: Tensor, mask: Tensor, sequence: Tensor, row: Tensor, pixels: dict[str, Tensor]
) -> Tensor:
    """:func:`rows_of` for a model that is shown something; of the other rows few are made."""
    columns = row.unique()
    given = {name: value.to(model.device) for name, value in pixels.items()}
    read = {"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device), "use_cache": False}
    logits = _whole(model)(**read, **given, logits_to_keep=columns).logits
    found: Tensor = logits[sequence, torch.searchsorted(columns, row.contiguous())].float()
    return found


def rows_of(model: Any, ids: Tensor, mask: Tensor, sequence: Tensor, row: Tensor, kept: Any = None) -> Tensor:
    """Logits of some rows, ``(rows, vocabulary)`` float32; the others are never made."""
    hidden = hidden_of(model, ids, mask, kept)
    return head(model, hidden[sequence, row])


def hidden_of(model: Any, ids: Tensor, mask: Tensor, kept: Any = None) -> Tensor:
    """What the last layer makes of each token, ``(sequences, tokens, width)``; ``kept`` was read before all of them."""
    from transformers import DynamicCache

    more: dict[str, Any] = {"use_cache": kept is not None}
    if kept is not None:
        spread: Any = DynamicCache()
        spread.layers = [copy.copy(layer) for layer in kept.layers]
        for layer in spread.layers:  # a view: one beginning for all sequences
            layer.keys = layer.keys.expand(len(ids), *layer.keys.shape[1:])
            layer.values = layer.values.expand(len(ids), *layer.values.shape[1:])
        more["past_key_values"] = spread
    body = _body(model)
    found: Tensor = body(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), **more).last_hidden_state
    return found


def head(model: Any, hidden: Tensor) -> Tensor:
    """Logits of what the last layer made, float32; behind the matrix comes what some families do in their own forward."""
    whole = _whole(model)
    config, logits = whole.config.get_text_config(), whole.get_output_embeddings()(hidden)
    if divisor := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / divisor
    if factor := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * factor
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma
        logits = torch.tanh(logits / cap) * cap
    found: Tensor = logits.float()
    return found


def check_head(model: Any, tokens: Sequence[int]) -> None:
    """Raise where the model's own logits are not what :func:`head` makes: every loss would be another model's."""
    ids = torch.tensor([tokens], device=model.device)
    mask = torch.ones_like(ids)
    with torch.no_grad():
        own = _whole(model)(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
        apart = float((head(model, hidden_of(model, ids, mask)) - own).abs().max())
    if apart > max(ROUNDING, 2 * torch.finfo(model.dtype).eps) * float(own.abs().max()):
        raise LLMError(
            f"{type(_whole(model)).__name__} cannot be taught: it does something with its logits that is not known here "
            f"(they are up to {apart:.3g} apart). Take a model of another family (--llm)."
        )


def _whole(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _body(model: Any) -> Any:
    return _whole(model).get_decoder()


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


def text_losses(model: Any, windows: Tensor, base: Tensor | None) -> tuple[Tensor, Tensor]:
    """(KL to the base, cross-entropy), nats per token, of windows of general text ``(windows, tokens)``.

    ``base``: what :func:`read_by_base` gave for these windows; None where KL is not wanted, which then is 0.
    """
    windows = windows.to(model.device)
    hidden = hidden_of(model, windows, torch.ones_like(windows))[:, :-1]
    taught = head(model, hidden.flatten(0, 1)).log_softmax(-1)
    own = functional.nll_loss(taught, windows[:, 1:].reshape(-1))
    if base is None:
        return torch.zeros((), device=own.device), own
    with torch.no_grad():
        target = head(model, base.to(model.device).flatten(0, 1)).log_softmax(-1)
    return functional.kl_div(taught, target, log_target=True, reduction="batchmean"), own


def read_by_base(model: Any, window: Tensor) -> Tensor:
    """What the base's last layer makes of a window's tokens but the last, ``(tokens - 1, width)``.

    The base stays as it is, so this is worked out once for a window; the logits follow from it exactly, and would be
    as many numbers as there are words in the vocabulary.
    """
    training, ids = model.training, window[None]
    model.eval()  # a base's own dropout would be kept with it, and a stopped teaching would draw it anew
    with torch.no_grad(), model.disable_adapter():
        found = hidden_of(model, ids, torch.ones_like(ids))[0, :-1].clone()
    model.train(training)
    return found


def _slots(sample: Sample) -> int:
    return sample.answers * (2 if sample.right is None else 1)
