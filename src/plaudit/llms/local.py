"""What back-ends that run a model inside this process share: tasks from requests, tokens that fit, replies told once.

A subclass turns texts into tokens and evaluates strands (:mod:`plaudit.llms.token_tree`): llama.cpp in
:mod:`plaudit.llms.embedded`, PyTorch in :mod:`plaudit.llms.transformers_model`. Requests that are the same are answered
once, prompts that are too long lose the middle of their longest observation, and an interrupt leaves the model usable.
Left out: work in several threads (a lock lets one call in at a time).
"""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from plaudit.config import LLMConfig
from plaudit.errors import LLMError
from plaudit.llms.base import Arrived, Reply, Request, unheard
from plaudit.llms.reading import shortened
from plaudit.llms.token_tree import Question, Strand, Task, Tokens, Writer


@dataclass
class Stats:
    """What was really computed; it only grows."""

    tokens: int = 0
    """Tokens that went through the model; a shared one counts once."""
    seconds: float = 0.0
    """Wall time inside the model's library."""
    batches: int = 0
    """Forward passes."""
    shortened: int = 0
    """Prompts whose longest observation had to be shortened to fit into the context."""


T = TypeVar("T", bound=Task)


class LocalLLM(ABC):
    """A model in this process."""

    name: str
    context: int
    """Tokens of a prompt and what is written behind it, at most."""
    adapters: ClassVar[bool] = True
    """Whether it takes ``--llm.adapter``."""
    sees: bool = False
    """Whether the model takes images."""

    def __init__(self) -> None:
        self.stats, self._lock, self._closed = Stats(), threading.Lock(), False

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """Log-probability of each request's answers.

        An answer is tokenised by itself and never merged with the end of the prompt: so it is when a model writes it.
        """
        keys = [(request.chat, request.prompt, request.answers, request.images) for request in requests]
        return self._ask(requests, keys, Question, self._question_strands, arrived)

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """Continue each prompt. A sample depends on its request's seed and prompt, not on the rest of the call."""
        return self._ask(requests, requests, Writer, self._writer_strands, arrived)

    @classmethod
    def takes_images(cls, config: LLMConfig) -> bool | None:
        """Whether the model that these settings name takes images, told without loading it; None: not known yet."""
        return cls.sees

    @abstractmethod
    def clear(self) -> None:
        """Forget what is cached: the next call evaluates its prompts from the first token on."""

    @abstractmethod
    def prompt_tokens(self, request: Request) -> Tokens:
        """The prompt with its chat template; control tokens that it spells out stay text."""

    @abstractmethod
    def answer_tokens(self, answer: str) -> Tokens:
        """An answer, tokenised by itself."""

    @abstractmethod
    def _text(self, tokens: list[int]) -> str:
        """New tokens as text, a leading space kept."""

    @abstractmethod
    def _ends(self, token: int) -> bool:
        """Whether a text is over with this token."""

    @abstractmethod
    def _run(self, strands: Iterator[Strand], tell: Callable[[Task], None]) -> None:
        """Evaluate all strands; ``tell`` each task once it is done."""

    def _ask(
        self,
        requests: Sequence[Request],
        keys: Sequence[Hashable],
        kind: type[T],
        strands: Callable[[list[T]], Iterator[Strand]],
        arrived: Arrived | None,
    ) -> list[Reply]:
        """Answer each distinct request once; ``keys`` says which are the same."""
        tasks: dict[Hashable, T] = {}
        for place, (key, request) in enumerate(zip(keys, requests, strict=True)):
            tasks.setdefault(key, kind(request)).places.append(place)
        # Sorting the text brings common beginnings together as sorting the tokens would, and lets them be made late.
        ordered = sorted(tasks.values(), key=lambda task: (task.request.chat, task.request.prompt, task.request.images))
        with self._lock:
            if self._closed:  # else llama.cpp would crash the process
                raise LLMError(f"{self.name} is closed; make a new {type(self).__name__}")
            untold: dict[Task, None] = dict.fromkeys(ordered)

            def tell(task: Task) -> None:
                untold.pop(task)
                for place in task.places:
                    (arrived or unheard)(place, task.reply())

            try:
                self._run(strands(ordered), tell)
                for task in list(untold):  # failed before any batch
                    tell(task)
            except BaseException:  # KeyboardInterrupt too: the cache may be half written
                self.clear()
                raise
        return [tasks[key].reply() for key in keys]

    def _question_strands(self, tasks: list[Question]) -> Iterator[Strand]:
        strand: Strand | None = None
        for task in tasks:
            task.answers = tuple(map(self.answer_tokens, task.request.answers))
            if not task.answers or () in task.answers:
                task.fail(f"choose needs answers that are not empty, got {task.request.answers!r}")
            if not self._read(task, max(map(len, task.answers), default=0)):
                continue
            for path, taker in task.rows():
                if strand and strand.leads_to(path, task):  # goes on from it: lives in the same sequence
                    strand.path = path
                else:
                    if strand:
                        yield strand
                    strand = Strand([], path, {})
                strand.tasks.append(task)
                strand.takers.setdefault(len(path), []).append(taker)
        if strand:
            yield strand

    def _writer_strands(self, tasks: list[Writer]) -> Iterator[Strand]:
        for task in tasks:
            if self._read(task, task.request.max_tokens):
                task.begin(self._text, self._ends)
                yield Strand([task], task.prompt, {len(task.prompt): [task.take]}, task)

    def _read(self, task: Task, more: int) -> bool:
        """Tokenise the prompt; False and a failed task where that, or its room in the context, is impossible."""
        if task.request.images and not self.sees:
            task.fail(f"{self.name} reads text only, and takes no images. Name a model that sees, or leave them out")
            return False
        try:
            task.prompt = self.prompt_tokens(task.request)
        except (ValueError, RuntimeError, LLMError) as error:
            task.fail(f"the prompt cannot be put into tokens: {error}")
        if not (task.prompt or task.done):
            task.fail("the prompt has no tokens")
        if not task.done and len(task.prompt) + more > self.context:
            self._shorten(task, more)
        if (total := len(task.prompt) + more) > self.context:
            task.fail(
                f"prompt and answer need {total} tokens, but the context holds {self.context}; shorten the prompt, or "
                "load the model with a larger context"
            )
        return not task.done

    def _shorten(self, task: Task, more: int) -> None:
        """Leave out the middle of the longest observation until the prompt fits, where that helps, and say so once."""
        request, whole = task.request, task.prompt
        longest = max(map(len, request.prompt.split("\n")))
        low, high = 0, longest  # characters to leave out: too few, enough
        while high - low > max(8, longest // 100):
            middle = (low + high + 1) // 2
            tried = replace(request, prompt=shortened(request.prompt, middle))
            if tried.prompt == request.prompt:
                high = middle
                continue
            tokens = self.prompt_tokens(tried)
            if len(tokens) + more > self.context:
                low = middle
            else:
                high, task.prompt = middle, tokens
        if task.prompt is not whole:
            if not self.stats.shortened:
                warnings.warn(
                    f"an observation does not fit into the model's context of {self.context} tokens; the middle of such "
                    "ones is left out. More fits with --llm.context",
                    stacklevel=2,
                )
            self.stats.shortened += 1
