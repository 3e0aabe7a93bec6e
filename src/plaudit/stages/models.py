"""The language model that the settings name: its back-end found by name, opened, or checked without being loaded.

``--llm NAME`` or ``--llm NAME:WHICH`` names a back-end of :mod:`plaudit.registry`, ours or one that a package adds by an
entry point in the group ``plaudit.llms``; a URL means ``openai``, any other path ``embedded``. Left out: more than one
model in a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from plaudit import registry
from plaudit.config import LLMConfig
from plaudit.errors import ConfigError
from plaudit.llms.answers import Ledger
from plaudit.llms.base import LLM
from plaudit.llms.replay import ReplayLLM


class BackEnd(Protocol):
    """What the class of a back-end has beside the contract of :class:`plaudit.llms.base.LLM`."""

    def open(self, config: LLMConfig) -> LLM:
        """A classmethod: the model that these settings name, ready to be asked."""
        ...

    def check(self, config: LLMConfig) -> None:
        """A classmethod: raise now what ``open`` would raise, without loading anything; a server is asked nothing."""
        ...


def back_end(config: LLMConfig) -> BackEnd:
    """The class behind ``--llm``, imported."""
    spec = config.model
    if spec.startswith(("http://", "https://")):
        return cast(BackEnd, registry.load("llms", "openai"))
    name, colon, _ = spec.partition(":")
    if name in registry.entries("llms"):
        return cast(BackEnd, registry.load("llms", name))
    if colon and "/" not in name and len(name) > 1:  # one letter: a drive of Windows
        registry.find("llms", name)  # raises: did you mean
    if "/" not in spec and not spec.endswith(".gguf"):
        registry.find("llms", spec)
    return cast(BackEnd, registry.load("llms", "embedded"))


def make_llm(config: LLMConfig) -> LLM:
    """The language model, loaded; or the ledger that stands in for it."""
    if config.replay:
        return ReplayLLM(config.replay, config.model)
    return back_end(config).open(config)


def check_llm(config: LLMConfig) -> None:
    """Raise now what loading the model would raise later, without loading it; a server is looked for, asked nothing."""
    if config.replay:
        make_llm(config).close()
        return
    if config.ledger:
        Ledger(Path(config.ledger)).close()
    found = back_end(config)
    if config.adapter and not getattr(found, "adapters", False):
        raise ConfigError(
            f"the model {config.model!r} takes no adapter. Leave out --llm.adapter, or name a model of this machine: "
            "a GGUF file, or transformers:FOLDER."
        )
    if hasattr(found, "check"):  # a back-end of somebody else's may have none
        found.check(config)


def check_sees(config: LLMConfig) -> None:
    """Raise where it is known, without loading it, that the model takes no images; of a server it is not."""
    if config.replay:
        return
    takes = getattr(back_end(config), "takes_images", None)
    if takes is not None and takes(config) is False:
        raise ConfigError(
            f"the model {config.model!r} reads text only, and cannot judge by pictures (--judge.input). Name one that "
            "sees: --llm transformers:FOLDER of a vision-language model, or a server; or --judge.input text."
        )
