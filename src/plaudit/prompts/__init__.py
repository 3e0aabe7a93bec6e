"""Prompts are files: found by name here or by path, filled in, recorded by hash.

A prompt is a text with ``$goal`` and ``$observation`` (or ``$first`` and ``$second``). What is put in is data:
it is folded into one line, so that a text inside a world cannot start a new field of the prompt or answer it; what nobody
sees is taken out, and what chat templates are made of (``<|im_end|>``) is broken up, for servers read it as their own. Only
a :class:`Block`, text of ours or of the LLM's own such as a program, keeps its lines.
Lines that begin with ``##`` are comments for people and are not sent.
"""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from plaudit.errors import ConfigError, did_you_mean

MAX_OBSERVATION = 4000
"""Characters of one observation in a prompt; a longer one is shortened in the middle, and says so."""
UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e01ef]"
)
"""Characters without a width, that turn the direction of writing, or that spell hidden text; the two joiners that some
languages need are none of them."""
TEMPLATE = re.compile(r"<(?=[|｜<]|/?[\w:.▁-]+[|｜]?>)|\[(?=\||/?[A-Z][A-Z_]+\])|\](?=~)")
"""How a chat template's control token begins: ``<|im_end|>``, ``</s>``, ``<end_of_turn>``, ``[INST]``, ``[|user|]``."""


class Block(str):
    """Lines that are put into a prompt as they are. Never what a world wrote: that is folded before it gets in here."""

    __slots__ = ()


@dataclass(frozen=True)
class Prompt:
    """A prompt's text and where it came from."""

    name: str
    """Name or path, as it was asked for."""
    text: str
    """The template, without comments."""

    @property
    def hash(self) -> str:
        """First 12 hex digits of the template's SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def fields(self) -> set[str]:
        """Names of what is filled in."""
        return set(string.Template(self.text).get_identifiers())

    def require(self, *fields: str) -> None:
        """Raise unless the template has exactly these fields."""
        if (found := self.fields) != set(fields):
            raise ConfigError(
                f"the prompt {self.name!r} must have the fields {', '.join('$' + f for f in fields)}, it has "
                f"{', '.join('$' + f for f in sorted(found)) or 'none'}. A dollar sign is written $$."
            )

    def fill(self, **values: str) -> str:
        """The template with its fields filled in; an unknown field is an error."""
        try:
            filled = {k: v if isinstance(v, Block) else one_line(v) for k, v in values.items()}
            return string.Template(self.text).substitute(filled)
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"the prompt {self.name!r} has a field that is not filled in here: {error}. "
                f"Fields are: {', '.join('$' + k for k in values)}; a dollar sign is written $$."
            ) from None


def names() -> list[str]:
    """The prompts that come with plaudit."""
    return sorted(p.name.removesuffix(".txt") for p in resources.files(__name__).iterdir() if p.name.endswith(".txt"))


def load(name: str) -> Prompt:
    """The prompt of this name, or the file at this path."""
    if Path(name).suffix == ".txt":
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"there is no prompt file {name!r}. Copy one that works: plaudit list --prompts")
        text = path.read_text(encoding="utf-8")
    elif name in names():
        text = (resources.files(__name__) / f"{name}.txt").read_text(encoding="utf-8")
    else:
        raise ConfigError(f"there is no prompt {name!r}.{did_you_mean(name, names())} Or give the path of a .txt file.")
    lines = [line for line in text.splitlines() if not line.startswith("##")]
    return Prompt(name, "\n".join(lines).strip())


def one_line(text: str) -> str:
    """Text as data: marked off (see :func:`marked_off`), the middle left out where it is too long."""
    text = marked_off(text)
    if len(text) > MAX_OBSERVATION:
        half = MAX_OBSERVATION // 2
        text = f"{text[:half]} [... {len(text) - 2 * half} characters left out ...] {text[-half:]}"
    return text


def marked_off(text: str) -> str:
    """Text that can end nothing: in one line, without unseen characters, a space inside what opens a control token.

    Half of a surrogate pair, which no file or model can take, becomes a question mark.
    """
    if not text.isascii():
        text = UNSEEN.sub("", text.encode("utf-8", "replace").decode())
    text = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()
    return TEMPLATE.sub(r"\g<0> ", text)
