"""One model, all items: which answer is likelier, is an instruction kept, which observation is better, is a text likely.

Works with every back-end that gives log-probabilities. A failure is counted as such and is never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from plaudit import prompts, registry
from plaudit.errors import LLMError
from plaudit.finetune.general_sets.instructions import kept
from plaudit.finetune.items import Choice, Instruction, Passage, WorldPairs, identity
from plaudit.finetune.paired import of_two
from plaudit.finetune.records import Answer, TextScore
from plaudit.judging.replies import checked
from plaudit.llms.base import LLM, Image, Reply, Request

OTHER = " the"
"""What a passage's continuation stands beside in ``choose``, which wants two answers; its probability is not used."""


class TextScorer(Protocol):
    """What finds out how probable texts are."""

    def score(self, passages: Sequence[Passage]) -> list[tuple[float, int]]:
        """Log-probability of each passage's text after its context, and the number of its tokens."""
        ...


def ask_choices(llm: LLM, items: Sequence[Choice]) -> Iterator[Answer]:
    """The answer with the highest mean log-probability per token is the model's."""
    asked = [_request(item) for item in items]
    for item, told in zip(items, llm.choose(asked), strict=True):
        reply = checked(told, len(item.answers))
        if reply.status != "ok":
            yield _failed(item, reply)
            continue
        means = np.asarray(reply.logprobs) / np.maximum(1, reply.lengths or 1)
        best = np.flatnonzero(means == means.max())
        others = np.delete(means, item.correct)
        log_odds = float(means[item.correct] - np.logaddexp.reduce(others))
        right = float(item.correct in best) / len(best)
        said = item.answers[best[0]].strip()
        yield Answer(item.id, item.set, item.kind, item.block, item.chance, right, log_odds, said)


def ask_instructions(llm: LLM, items: Sequence[Instruction]) -> Iterator[Answer]:
    """Greedy text up to the next instruction, checked by a program."""
    asked = [Request(item.prompt, max_tokens=item.max_tokens, stop=("\n\n", "\nInstruction")) for item in items]
    for item, reply in zip(items, llm.generate(asked), strict=True):
        if reply.status != "ok":
            yield _failed(item, reply)
        else:
            right = float(kept(item, reply.text))
            yield Answer(item.id, item.set, item.kind, item.block, item.chance, right, None, reply.text)


def ask_world(llm: LLM, world: WorldPairs, protocol: str, prompt: str, chat: bool) -> Iterator[Answer]:
    """Is the observation with more progress called the better one? Seats are drawn by a coin."""
    heads = np.random.default_rng(0).random(len(world.pairs)) < 0.5
    seated = [pair if head else pair[::-1] for pair, head in zip(world.pairs, heads, strict=True)]
    judge = registry.load("protocols", protocol)(prompts.load(prompt), chat=chat)
    for pair, head, c in zip(world.pairs, heads, judge.compare(llm, world.goal, seated), strict=True):
        item = f"worlds/{world.world}/{identity(*pair)}"
        block = of_two(*(f"{world.world}: {observation}" for observation in pair))
        if c.probability is None:
            yield Answer(item, "worlds", world.world, block, 0.5, None, None, f"{c.status}: {c.reply}")
            continue
        p = c.probability if head else 1 - c.probability
        right = 0.5 if p == 0.5 else float(p > 0.5)
        p = float(np.clip(p, 1e-12, 1 - 1e-12))
        yield Answer(item, "worlds", world.world, block, 0.5, right, float(np.log(p) - np.log1p(-p)), c.reply)


def ask_passages(llm: LLM, items: Sequence[Passage], scorer: TextScorer | None = None) -> Iterator[TextScore]:
    """Log-probability of each passage, by the scorer, the back-end's own ``score``, or ``choose``."""
    own = scorer or (llm if hasattr(llm, "score") else None)
    scored = own.score(items) if own else _score_by_choose(llm, items)
    for item, (logprob, tokens) in zip(items, scored, strict=True):
        size = len(item.text.encode())
        yield TextScore(item.id, item.kind, item.document, logprob, tokens, size)


def _score_by_choose(llm: LLM, items: Sequence[Passage]) -> list[tuple[float, int]]:
    asked = [Request(item.context, answers=(item.text, OTHER)) for item in items]
    replies = [checked(reply, 2) for reply in llm.choose(asked)]
    for reply in replies:
        if reply.status != "ok":
            raise LLMError(
                f"{llm.name} gives no log-probability of a text ({reply.error}). Measure perplexity with a GGUF file or "
                "with transformers, or leave the set 'text' out."
            )
    return [(reply.logprobs[0], reply.lengths[0]) for reply in replies]


def _request(item: Choice) -> Request:
    if not item.image:
        return Request(item.prompt, answers=item.answers)
    # A picture is sent within a chat only, and an answer that begins a turn has no space before it.
    answers = tuple(answer.strip() for answer in item.answers)
    return Request(item.prompt, chat=True, answers=answers, images=(Image.read(item.image),))


def _failed(item: Choice | Instruction, reply: Reply) -> Answer:
    said = f"{reply.status}: {reply.error}"
    return Answer(item.id, item.set, item.kind, item.block, item.chance, None, None, said)
