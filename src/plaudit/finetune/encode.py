"""Lessons as tokens: what goes through the model, which of its rows matter, and how good an answer it gives.

A *sample* is one lesson. Only the rows that predict an answer's tokens are ever turned into logits; answers of one token
share the prompt's last row, so that a question costs one pass whatever the number of its answers. Tokens are those of the
back-end that will ask later, so what is taught is what is asked. Behind what a model will have to write itself, an action
or a caption, it is also taught to stop: that end is made here, in no data set, and is in nothing that is weighed or shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from plaudit.finetune.lessons import Lesson
from plaudit.llms.base import Request
from plaudit.llms.token_tree import Tokens, common_length
from plaudit.llms.transformers_model import TransformersLLM

SHARED = 8
"""Tokens that prompts must share at least to be read once for all."""


@dataclass(frozen=True)
class Path:
    """One sequence of tokens that goes through the model."""

    tokens: Tokens
    """What is read."""
    wanted: tuple[tuple[int, int, int], ...]
    """(row, token, slot): the row's log-probability of the token is added to the slot, an answer of the sample."""
    look: Callable[[], dict[str, Any]] | None = field(default=None, compare=False)
    """Makes the pixels that belong to the tokens, anew each time: those of all lessons would fill the memory."""
    form: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Names and sizes of these pixels: paths go through the model together where they are the same."""


@dataclass(frozen=True)
class Sample:
    """One lesson."""

    kind: str
    """See :class:`plaudit.finetune.rows.Row`."""
    paths: tuple[Path, ...]
    """What goes through the model."""
    answers: int
    """Answers of each question; slot ``q * answers + a`` is answer ``a`` of question ``q``."""
    right: int | None
    """The right answer's number; None where the first of two questions is to score higher than the second."""
    length: int
    """Tokens of the right answer, where it stands alone."""

    @property
    def longest(self) -> int:
        """Tokens of its longest path."""
        return max(len(path.tokens) for path in self.paths)


def encode(llm: TransformersLLM, lesson: Lesson, ended: bool = False) -> Sample:
    """A lesson in the tokens of this model; ``ended`` with what comes behind an answer that is written, to be taught."""
    answers = [llm.answer_tokens(answer) for answer in lesson.answers]
    paths = list[Path]()
    for question, text in enumerate(lesson.prompts):
        images = lesson.images[question] if lesson.images else ()
        request = Request(text, chat=bool(images), images=images)
        prompt = llm.prompt_tokens(request)
        if ended:
            answers = [answer + _end(llm, lesson.kind, prompt) for answer in answers]
        made = _paths(prompt, answers, question * len(answers))
        if images:
            look = partial(llm.pixels, request)
            form = _form(look(), len(prompt))
            made = (replace(path, look=look, form=form) for path in made)
        paths += made
    return Sample(lesson.kind, tuple(paths), len(answers), lesson.right, len(answers[lesson.right or 0]))


def _end(llm: TransformersLLM, kind: str, prompt: Tokens) -> Tokens:
    """Where the writer stops: an action at the next line, a caption at the end of its turn, as the turn before it ended."""
    if kind == "action":
        return llm.answer_tokens("x\n")[len(llm.answer_tokens("x")) :]  # SentencePiece puts a space before a text
    if kind == "caption":
        told = llm.model.generation_config.eos_token_id
        ends = told if isinstance(told, list) else [] if told is None else [told]
        return tuple([token for token in prompt if token in ends] or ends[:1])[-1:]
    return ()


def _form(pixels: dict[str, Any], length: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What is one thing for each picture; the rest is a number for each token."""
    return tuple((name, tuple(v.shape[1:])) for name, v in pixels.items() if tuple(v.shape) != (1, length))


def together(paths: Sequence[Path]) -> Iterator[list[tuple[int, Path]]]:
    """Paths, with their numbers, that go through a model side by side: with pixels of one form, or with none."""
    found: dict[Any, list[tuple[int, Path]]] = {}
    for number, path in enumerate(paths):
        found.setdefault((path.look is None, path.form), []).append((number, path))
    yield from found.values()


def _paths(prompt: Tokens, answers: Sequence[Tokens], slot: int) -> Iterator[Path]:
    last = len(prompt) - 1
    together = tuple((last, answer[0], slot + a) for a, answer in enumerate(answers) if len(answer) == 1)
    if together:
        yield Path(prompt, together)
    for a, answer in enumerate(answers):
        if len(answer) > 1:
            yield Path(prompt + answer[:-1], tuple((last + i, token, slot + a) for i, token in enumerate(answer)))


def beginning(paths: Sequence[Path]) -> int:
    """Tokens that all paths begin with and nobody wants the logits behind; 0 where too few to be worth a pass."""
    if len(paths) < 2:
        return 0
    first, last = (pick(path.tokens for path in paths) for pick in (min, max))  # what these share, all share
    most = min(row for path in paths for row, _, _ in path.wanted)
    shared = min(most, common_length(first, last))
    return shared if shared >= SHARED else 0


def parts(samples: Sequence[Sample], tokens: int) -> Iterator[list[Sample]]:
    """Samples of like length together, padded to at most so many tokens; one that is longer goes alone.

    What all of them begin with is counted once, for it goes through the model once.
    """
    paths = [path for sample in samples for path in sample.paths]
    shared = 0 if any(path.look for path in paths) else beginning(paths)
    part = list[Sample]()
    count = 0
    for sample in sorted(samples, key=lambda each: each.longest):
        more = count + len(sample.paths)
        if part and shared + more * (sample.longest - shared) > tokens:
            yield part
            part, more = [], len(sample.paths)
        part.append(sample)
        count = more
    if part:
        yield part
