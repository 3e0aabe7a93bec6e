"""Reward programs and text: what the LLM is told of features and traces, and how a program is read out of its reply.

Names and values of features come from a world, so each is quoted, folded into one line and cut.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence

import numpy as np

from plaudit.prompts import Block
from plaudit.rewards.sandbox import Pair
from plaudit.rewards.sandbox_errors import folded

HEADER = "def reward(features, next_features):"
"""Where a model continues a text, its reply begins behind this."""
VALUES = 20
"""Different texts of one feature that are listed."""
MAX_REPLY = 100_000
"""Characters of a reply that are looked at."""
START = re.compile(r"def\s+\w+\s*\(|from\s+[\w.]+\s+import\s|import\s+[\w.]+(\s+as\s+\w+)?\s*$|@\w")
"""How the first line of a program looks."""
MORE = re.compile(
    r"(class|if|elif|else|for|while|try|except|finally|with|async)\b.*:\s*(#.*)?$|[#)\]}]|"
    r"[A-Za-z_][\w.\[\]\"']*\s*(:[^=]+)?[-+*/|]?=[^=]"
)
"""How the others look that are not indented."""


def feature_lines(pairs: Sequence[Pair]) -> Block:
    """A line for each feature: name, type, and the values that were met in the recorded steps.

    Texts come last, next to where the program begins: a small model copies them rightly only from nearby.
    """
    met: dict[str, dict[tuple[type, object], object]] = {}
    dictionaries = {id(features): features for pair in pairs for features in pair}
    for features in dictionaries.values():
        for name, value in features.items():
            met.setdefault(name, {})[type(value), value] = value
    kinds = {name: _kind(list(values.values())) for name, values in met.items()}
    names = sorted(kinds, key=lambda name: len(kinds[name]) if kinds[name].startswith("text") else 0)
    return Block("\n".join(f"- {folded(name, 80)}: {kinds[name]}" for name in names))


def _kind(values: list[object]) -> str:
    if all(isinstance(value, bool) for value in values):
        return "True or False"
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        kind = "whole number" if all(isinstance(value, int) for value in numbers) else "number"
        return f"{kind}, from {min(numbers)} to {max(numbers)}"
    texts = [json.dumps(folded(value, 100), ensure_ascii=False) for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        return "text, number or True or False"
    if len(texts) <= VALUES:
        return f"text, one of {', '.join(texts)}"
    return f"text, for example {', '.join(texts[:VALUES])}; {len(texts) - VALUES} more were met"


def component_lines(components: Sequence[dict[str, float]]) -> Block:
    """A line for each part of the reward over recorded steps: mean in each third of them, range, how often not 0."""
    names = dict.fromkeys(name for parts in components for name in parts)
    lines = []
    for name in names:
        values = np.array([parts.get(name, 0.0) for parts in components])
        thirds = ", ".join(f"{third.mean():.3g}" if len(third) else "-" for third in np.array_split(values, 3))
        lines.append(
            f"- {folded(name, 80)}: mean of the first, second and last third {thirds}; from {values.min():.3g} to "
            f"{values.max():.3g}; not 0 in {np.mean(values != 0):.1%} of the steps"
        )
    return Block("\n".join(lines))


def extract(reply: str, header: str = "") -> str:
    """The program in a reply, empty where there is none.

    ``header`` is what was already written when the model went on. Of several code blocks the last one that defines
    ``reward`` counts; without blocks, the lines from the first that looks like a program to the first that does not.
    """
    text = reply[:MAX_REPLY].replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"<think>.*?(</think>|\Z)", "", text, flags=re.S)
    if header and re.match(
        r"[ \t]*(#[^\n]*)?\n\s*?[ \t]+\S|[ \t]+return\b", text
    ):  # it did go on, with an indented line
        return _lines(header + text.split("\n```")[0])
    blocks = re.findall(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", text, flags=re.S | re.M)
    if blocks:
        defining = [block for block in blocks if re.search(r"\breward\b", block) and "def " in block]
        return textwrap.dedent((defining or blocks)[-1]).strip("\n")
    return _lines(text)


def _lines(text: str) -> str:
    """From the first line of a program on, until after a function comes a line that is none of a program."""
    kept: list[str] = []
    defined = False
    for line in text.split("\n"):
        begins = bool(START.match(line))
        if not kept and not begins:
            continue
        if line.strip() and not line[0].isspace() and not begins and not MORE.match(line):
            if defined:
                break
            kept.clear()
            continue
        defined |= line.startswith("def ")
        kept.append(line)
    return "\n".join(kept).strip("\n") if defined else ""
