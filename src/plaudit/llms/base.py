"""The LLM contract: two batched calls, ``generate`` (text) and ``choose`` (log-probabilities of given answers).

A back-end is one file with one class that fulfils :class:`LLM`. Requests and answers are plain frozen records, so that
the ledger can store them and a run can be replayed from it. **A failure is a status, never a number.**
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_TEMPLATE = (
    "it has no chat template: leave out --judge.chat, --policy.chat, --code.chat, or take its instruct version"
)
"""What is said where a chat is asked for and the model has no form for one."""
Status = Literal["ok", "refused", "error"]
"""What became of a request: answered, declined by the model or its server, or failed technically."""


@dataclass(frozen=True, order=True)
class Image:
    """A picture that belongs to a question; two are the same where their pixels are."""

    sha256: str
    """Of width, height and pixels: what keys and ledgers hold of a picture."""
    png: bytes = field(default=b"", repr=False, compare=False)
    """The picture as a PNG file; empty where it was read back from a ledger, which does not keep it."""

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> Image:
        """The picture with these pixels, ``(height, width, 3)``."""
        import numpy as np
        from PIL import Image as Pillow

        pixels = np.ascontiguousarray(pixels)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"a picture is (height, width, 3) of uint8, got {pixels.shape} of {pixels.dtype}")
        file = io.BytesIO()
        Pillow.fromarray(pixels).save(file, "PNG")
        digest = hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]}:".encode() + pixels.tobytes()).hexdigest()
        return cls(digest, file.getvalue())

    @classmethod
    def read(cls, file: bytes) -> Image:
        """The picture in a file's bytes, such as PNG or JPEG."""
        import numpy as np
        from PIL import Image as Pillow

        with Pillow.open(io.BytesIO(file)) as picture:
            return cls.of(np.asarray(picture.convert("RGB")))


@dataclass(frozen=True)
class Request:
    """One question to a language model."""

    prompt: str
    """The text that the model reads. Prompts of a batch that begin alike share that part's evaluation."""
    chat: bool = False
    """Whether the prompt is put into the model's chat template as a user's message."""
    answers: tuple[str, ...] = ()
    """For ``choose``: the candidate answers, each with its leading space if it has one. Empty for ``generate``."""
    max_tokens: int = 16
    """For ``generate``: at most this many new tokens."""
    temperature: float = 0.0
    """For ``generate``: 0 takes the most likely token."""
    stop: tuple[str, ...] = ()
    """For ``generate``: the text is cut before the first of these."""
    seed: int = 0
    """For ``generate`` with a temperature: the sampler's seed."""
    images: tuple[Image, ...] = ()
    """Pictures that the model sees before the prompt, for models that take them."""

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a request needs a prompt, got an empty text")
        if len(set(self.answers)) != len(self.answers) or len(self.answers) == 1:
            raise ValueError(f"answers must be none, or two or more different texts, got {self.answers!r}")

    def key(self, model: str) -> str:
        """Identity of this question to this model: hex SHA-256 over JSON of the model and :meth:`record`."""
        head, tail = _frame(model, *(value for name, value in vars(self).items() if name != "prompt"))
        return hashlib.sha256(f"{head}{_quoted(self.prompt)}{tail}".encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """What a ledger keeps: all fields; of pictures their hashes, and nothing where there are none."""
        return _record(vars(self))


def _record(values: dict[str, Any]) -> dict[str, Any]:
    values = dict(values)
    if images := values.pop("images"):
        values["images"] = [image.sha256 for image in images]
    return values


_quoted = json.JSONEncoder(ensure_ascii=False).encode


@lru_cache(maxsize=4096, typed=True)
def _frame(model: str, *parameters: Any) -> tuple[str, str]:
    """JSON of a model and a request around the prompt, which alone differs from question to question."""
    names = [f.name for f in fields(Request)]
    text = _quoted([model, _record(dict(zip(names, ("", *parameters), strict=True)))])
    head = f'[{_quoted(model)}, {{"prompt": '
    return head, text.removeprefix(f'{head}""')


@dataclass(frozen=True)
class Reply:
    """What came back for one request."""

    status: Status
    """``ok``, or why there is nothing to read in the fields below."""
    text: str = ""
    """For ``generate``: the new text, as the model wrote it."""
    logprobs: tuple[float, ...] = ()
    """For ``choose``: natural-log probability of each answer given the prompt, summed over its tokens; the order of
    ``Request.answers``."""
    lengths: tuple[int, ...] = ()
    """For ``choose``: number of tokens of each answer, for length-normalised choices."""
    prompt_tokens: int = 0
    """Tokens of the prompt, counted in full even where a shared prefix was not evaluated again."""
    new_tokens: int = 0
    """Tokens that were generated or scored as an answer."""
    seconds: float = 0.0
    """Wall time; those of a call's replies add up to the call's."""
    usd: float = 0.0
    """Money."""
    error: str = ""
    """For ``refused`` and ``error``: the reason in words."""


Arrived = Callable[[int, Reply], None]
"""Called with a request's place in the call and its reply as soon as that is final: once for each request, in any order, in
the caller's thread. So answers are stored while others are still under way. An error that it raises ends the call."""


def unheard(place: int, reply: Reply) -> None:
    """An :data:`Arrived` that does nothing."""


class LLM(Protocol):
    """What every back-end can do."""

    name: str
    """Identity of the model for the ledger: two models that may answer differently have different names. A back-end that
    works on more than 64 requests at a time also has ``window``, how many it wants to be given in one call. One that waits
    long for its answers also has ``attach(ledger, waiting)``, to keep there what is under way and to call ``waiting``
    meanwhile, and ``stored()``, called when all answers of a call are in the ledger."""

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """Continue each prompt; replies in the order of the requests."""
        ...

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """Log-probability of each request's ``answers``; no text is generated."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...
