"""The sets that everyone has: knowledge, statements, reasoning, instructions, English text, known pairs of worlds.

Facts and texts are files beside this one, written or collected by hand; here they become items. They were fixed before any
model was fine-tuned. Where they come from: ``sources.md``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Literal

from plaudit.errors import ConfigError, did_you_mean
from plaudit.finetune.general_sets.schemes import logic_by_scheme, reasoning_by_scheme
from plaudit.finetune.items import Choice, Passage, WorldPairs, block_of, identity

CONTEXT = 40
"""Words of a passage that the model has read before it is scored."""
SCORED = 120
"""Words of a passage that are scored, about 170 tokens."""


def knowledge() -> tuple[Choice, ...]:
    """Capitals, opposites, animals, materials, tools, time, physics: choices of the same kind."""
    return tuple(_blocks("knowledge", "knowledge.toml"))


def reasoning() -> tuple[Choice, ...]:
    """Cause and effect, analogies, series, where a thing was put: everyday reasoning."""
    return (*_blocks("reasoning", "reasoning.toml"), *reasoning_by_scheme())


def logic() -> tuple[Choice, ...]:
    """Membership, order in time and space, comparing, sums: for models that are above chance there."""
    return (*_blocks("logic", "logic.toml"), *logic_by_scheme())


def statements() -> tuple[Choice, ...]:
    """True statements to complete, each with the ending of another one beside it."""
    return tuple(_statements())


def yes_no() -> tuple[Choice, ...]:
    """Questions to be answered by yes or no, as often the one as the other, in the same words."""
    return tuple(_yes_no())


def passages() -> tuple[Passage, ...]:
    """General English to measure perplexity on."""
    return tuple(passage for document in _documents("held_out") for passage in _passages(document))


def replay_texts() -> list[str]:
    """General English to train on beside; of other documents than :func:`passages`."""
    return [document["text"] for document in _documents("replay")]


def worlds() -> list[str]:
    """Worlds and tasks whose known pairs are here."""
    return sorted(p.name.removesuffix(".json") for p in _files("worlds").iterdir() if p.name.endswith(".json"))


@cache
def world_pairs(name: str) -> WorldPairs:
    """The known pairs that were recorded in this world."""
    if name not in worlds():
        raise ConfigError(f"no pairs of the world {name!r} were recorded.{did_you_mean(name, worlds())}")
    data = json.loads((_files("worlds") / f"{name}.json").read_text(encoding="utf-8"))
    texts: list[str] = data["texts"]
    return WorldPairs(name, data["goal"], tuple((texts[a], texts[b]) for a, b in data["pairs"]), data["made"])


def _files(*path: str) -> Any:
    return resources.files(__name__).joinpath(*path)


def _relations(file: str) -> list[dict[str, Any]]:
    relations: list[dict[str, Any]] = tomllib.loads((_files() / file).read_text(encoding="utf-8"))["relation"]
    return relations


def _blocks(name: str, file: str) -> Iterator[Choice]:
    for relation in _relations(file):
        templates = relation["templates"]
        for number, line in enumerate(relation["facts"].strip().splitlines()):
            asked, answers = zip(*(fact.strip().split(" = ") for fact in line.split(" | ")), strict=True)
            template = templates[number % len(templates)]
            yield from block_of(name, relation["name"], [_sentence(template, a) for a in asked], answers)


def _squares() -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Relation, and subject, property, other subject, its property."""
    for relation in _relations("statements.toml"):
        for line in relation["facts"].strip().splitlines():
            yield relation, tuple(line.split(" | "))


def _statements() -> Iterator[Choice]:
    for relation, (a, its, b, other) in _squares():
        begun = [_sentence(relation["statement"], subject) for subject in (a, b)]
        yield from block_of("statements", relation["name"], begun, (its, other))


def _yes_no() -> Iterator[Choice]:
    for relation, (a, its, b, other) in _squares():
        block = identity(a, its, b, other)
        for subject, thing, true in ((a, its, True), (b, other, True), (a, other, False), (b, its, False)):
            prompt = f"{_EXAMPLES}Question: {relation['question'].format(subject, thing)}\nAnswer:"
            yield Choice("yes or no", relation["name"], block, prompt, (" Yes", " No"), 0 if true else 1)


_EXAMPLES = """Question: Is rain wet?
Answer: Yes

Question: Can a stone sing a song?
Answer: No

Question: Do chairs have wings?
Answer: No

Question: Can a child throw a ball?
Answer: Yes

"""


def _sentence(template: str, fact: str) -> str:
    """The fact in the template, with "an" before a vowel and a capital letter at the beginning."""
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", template.replace("{}", fact))
    return text[0].upper() + text[1:]


def _documents(split: Literal["held_out", "replay"]) -> list[dict[str, str]]:
    return [json.loads(line) for line in (_files() / f"text_{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def _passages(document: dict[str, str]) -> Iterator[Passage]:
    """Pieces of a document that lie end to end; each but the first has read the end of the piece before."""
    words = re.findall(r"\s*\S+", document["text"])
    starts = list(
        range(CONTEXT, max(CONTEXT + 1, len(words) - SCORED // 2), SCORED)
    )  # a short end joins the last piece
    for start, end in pairwise([*starts, len(words)]):
        context = "".join(words[start - CONTEXT : start]).lstrip()
        yield Passage(document["id"], document["kind"], context, "".join(words[start:end]))
