"""What a model is measured on: questions with given answers, instructions, passages, known pairs of worlds, pictures.

Items are frozen and have an identity made of their words, so that a before and an after can be matched one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plaudit.judging.base import Pair


def identity(*words: str) -> str:
    """First 12 hex digits of the SHA-256 of these words."""
    return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Choice:
    """A question whose answers are given; the one with the highest mean log-probability per token is taken."""

    set: str
    """Which set it counts for: knowledge, reasoning, statements, or a picture set."""
    kind: str
    """Relation or scheme that it comes from."""
    block: str
    """Items that share their answers, and are resampled together."""
    prompt: str
    """What the model reads."""
    answers: tuple[str, ...]
    """Two or more, each with its leading space."""
    correct: int
    """Place of the right one among them."""
    image: bytes = b""
    """A picture as PNG or JPEG that the question is about; empty for none."""

    def __post_init__(self) -> None:
        if len(set(self.answers)) != len(self.answers) or not 0 <= self.correct < len(self.answers) >= 2:
            raise ValueError(f"two or more different answers, one of them right; got {self.answers!r}, {self.correct}")

    @property
    def id(self) -> str:
        """Set and hash."""
        picture = hashlib.sha256(self.image).hexdigest() if self.image else ""
        return f"{self.set}/{identity(self.prompt, *self.answers, str(self.correct), picture)}"

    @property
    def chance(self) -> float:
        """Share that a model without knowledge has right."""
        return 1 / len(self.answers)


@dataclass(frozen=True)
class Instruction:
    """Something to write, of which a program can tell whether it was done as asked."""

    kind: str
    """Name of the check in :mod:`plaudit.finetune.general_sets.instructions`."""
    prompt: str
    """What the model is told, after some of the same kind that are done."""
    wanted: str = ""
    """What the check looks for, where the kind alone does not say it."""
    max_tokens: int = 40
    """At most this many new tokens."""

    set = "instructions"
    chance = 0.0

    @property
    def id(self) -> str:
        """Set and hash."""
        return f"{self.set}/{identity(self.kind, self.prompt, self.wanted)}"

    @property
    def block(self) -> str:
        """Tasks of one kind are not resampled together: it is the kind that is asked about."""
        return self.id


@dataclass(frozen=True)
class Passage:
    """A piece of a document: some words to begin with, and how it goes on, which is what is scored."""

    document: str
    """Identity of the document."""
    kind: str
    """encyclopaedic, narrative, technical, dialogue or instructions."""
    context: str
    """What the model has read."""
    text: str
    """How it goes on, with its leading white space."""

    @property
    def id(self) -> str:
        """Document and hash."""
        return f"{self.document}/{identity(self.context, self.text)}"


@dataclass(frozen=True)
class WorldPairs:
    """Pairs of observations of a world whose order is known from its own progress."""

    world: str
    """Name of the world and its task."""
    goal: str
    """What is wanted, as the judge is told."""
    pairs: tuple[Pair, ...]
    """The better observation first."""
    made: str
    """How they were recorded."""

    def __len__(self) -> int:
        return len(self.pairs)


def block_of(name: str, kind: str, prompts: Sequence[str], answers: Sequence[str]) -> Iterator[Choice]:
    """One question for each answer, all with the same choices, so each choice is right once, and each place too."""
    if len(prompts) != len(answers):
        raise ValueError(f"as many questions as answers, got {len(prompts)} and {len(answers)}")
    block = identity(*prompts, *answers)
    for right, prompt in enumerate(prompts):
        yield Choice(name, kind, block, prompt, tuple(f" {answer}" for answer in answers), right)
