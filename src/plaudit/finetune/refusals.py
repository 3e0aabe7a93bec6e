"""What cannot be taught, each refused with what to do: before anything is played where that can be known, else later.

    check(config)          # settings and model, before the examples are made
    refuse_leaks(run)      # the examples as they lie in the folder, before any teaching
    changed(run)           # afterwards: whether they are still those that were taught

Leaves out what the settings alone tell (:func:`plaudit.finetune.settings.validate`) and what a world cannot give
(:mod:`plaudit.finetune.synthesize`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plaudit import prompts
from plaudit.config import fingerprint
from plaudit.errors import ConfigError, LLMError
from plaudit.finetune import picture_sets
from plaudit.finetune.gather import PARTS
from plaudit.finetune.lessons import Lesson, rates, wordings
from plaudit.finetune.settings import FinetuneConfig, LoraConfig, base_spec
from plaudit.llms import gguf_adapter
from plaudit.llms import transformers_files as files
from plaudit.prompts import Prompt

if TYPE_CHECKING:
    from plaudit.finetune.run import Finetune

OF_ROW = {"observation", "action", "following", "first", "second"}
"""What differs from lesson to lesson in a prompt."""


def check(config: FinetuneConfig) -> None:
    """Raise what teaching would raise after the examples are made, as far as that is known before a model is loaded."""
    spec, sets = base_spec(config), config.measure.pictures
    for name, _, folder in (each.partition(":") for each in sets):
        picture_sets.check(name, Path(folder))
    refuse_untaught(config)
    seen = {"caption"} if config.ask.input == "text" else {"caption", "compare", "progress"}
    if (seen & set(config.lora.kinds) or config.ask.input != "text" or sets) and files.takes_images(spec) is False:
        raise blind(config)
    if seen & set(config.lora.kinds) and config.measure.shots:
        raise ConfigError(
            "measure.shots: worked examples are words, and these lessons show pictures: leave --measure.shots out."
        )
    if config.measure.shots:
        refuse_gap(config)
    if "progress" in config.lora.kinds and config.data.progress == "step" and rates(config.ask.protocol):
        raise ConfigError(
            f"data.progress: a rating ({config.ask.protocol}) is of a state, and 'step' tells of the last step alone: "
            "leave --data.progress out, or teach --ask.protocol pointwise."
        )
    require_examples(config)


def refuse_gap(config: FinetuneConfig) -> None:
    """Raise where a prompt of the lessons has a blank line inside its question: worked examples go in at the last one."""
    for name in {each for kind in config.lora.kinds for each in wordings(kind, config.ask, config.data.wordings)}:
        prompt = prompts.load(name)
        asked = Prompt(name, prompt.text.rpartition("\n\n")[2])
        if lacking := sorted((prompt.fields & OF_ROW) - asked.fields):
            raise ConfigError(
                "measure.shots: worked examples stand before the last paragraph of a prompt, and that of "
                f"{name!r} is without ${', $'.join(lacking)}. Take the blank lines out of the question, or leave "
                "--measure.shots out."
            )


def refuse_untaught(config: FinetuneConfig) -> None:
    """Raise where no weights of the model are here, or where it has an adapter already, which would be left out."""
    spec = base_spec(config)
    if spec.startswith(("http://", "https://", "openai")):
        raise ConfigError(
            f"a model behind a server cannot be taught: {spec}. Give --llm embedded or transformers:FOLDER"
        )
    if config.llm.adapter or gguf_adapter.notes(spec):
        raise ConfigError(
            f"{config.llm.adapter or spec} is an adapter, and what is taught is a model without one. Leave --llm.adapter "
            "out and name the model itself (--llm), or put the adapter into its weights with peft first."
        )
    files.check(spec, "")


def require_examples(config: FinetuneConfig) -> None:
    """Raise where more is to be taught than the data will hold; of each kind they hold just ``data.examples``."""
    data, lora = config.data, config.lora
    if missing := [kind for kind in lora.kinds if data.kinds and kind not in data.kinds]:
        raise no_examples(missing)
    if (most := -(-lora.examples // len(lora.kinds))) > data.examples:
        raise too_few(most, lora.kinds[0], data.examples)


def no_examples(kinds: Sequence[str]) -> ConfigError:
    """Of kinds that are to be taught."""
    return ConfigError(f"lora.kinds: the data hold no examples of {', '.join(kinds)}. Add them to --data.kinds.")


def too_few(wanted: int, kind: str, there: int) -> ConfigError:
    """Fewer examples of a kind than are to be drawn."""
    return ConfigError(
        f"lora.examples: {wanted} of {kind} are wanted, the data hold {there}. Raise --data.examples, with another --out."
    )


def blind(config: FinetuneConfig) -> ConfigError:
    """A model without eyes, and pictures."""
    return ConfigError(
        f"the model {base_spec(config)!r} reads text only, and cannot be shown pictures. Name a vision-language model "
        "(--llm transformers:FOLDER), or leave caption out of --lora.kinds, set --ask.input text and leave out "
        "--measure.pictures."
    )


def refuse_one_sided(taught: Sequence[Lesson]) -> None:
    """Raise where all examples of a kind have one answer: what would be learnt is to give it, whatever is asked."""
    for kind in {each.kind for each in taught}:
        sides = [each.answers[each.right] if each.right is not None else None for each in taught if each.kind == kind]
        if len(set(sides)) == 1 and sides[0] is not None:
            raise ConfigError(
                f"all {len(sides)} examples of {kind} have the answer {sides[0].strip()!r}: that is all that would be "
                "learnt. Make more or other data (--data.examples, --data.steps, --data.sources) with another --out."
            )


@contextlib.contextmanager
def enough_memory(options: LoraConfig | None = None) -> Iterator[None]:
    """Say what to do where the memory does not suffice: which settings to lower; None where all is taught already."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error).splitlines()[0][:200] if str(error) else "no more could be had"
        if not isinstance(error, MemoryError) and not files.no_memory(str(error)):
            raise
        cure = "End what else needs memory and run the same command again: what was taught is kept."
        if options:
            cure = (
                f"Lower --lora.part-tokens (now {options.part_tokens}), --lora.batch (now {options.batch}) or --lora.rank "
                f"(now {options.rank}), or take a smaller --llm; and give another --out."
            )
        raise LLMError(f"the memory does not suffice: {said}. {cure}") from error


def digest(run: Finetune) -> str:
    """Of the examples as they lie in the folder now, pictures too."""
    return fingerprint(
        [hashlib.sha256((run.require("data") / f"{part}.parquet").read_bytes()).hexdigest() for part in PARTS]
    )


def changed(run: Finetune) -> str:
    """That other examples were taught than lie in the folder now, and what to do; empty where that is not so.

    A folder of an older plaudit does not know what was taught: nothing is said of it.
    """
    known = ((run.finished("train") or {}).get("summary") or {}).get("data")
    if known is None or run.finished("data") is None or known == digest(run):
        return ""
    return (
        f"the examples in {run.folder / 'data'} have changed since they were taught. Restore them; or delete "
        f"{run.folder / 'train'} and run the same command again, which teaches those that are there now."
    )


def refuse_leaks(run: Finetune) -> None:
    """The data as they lie in the folder now: somebody may have added rows since they were made."""
    from plaudit.finetune.leaks import check_folder
    from plaudit.stages.parts import make_world

    check_folder(run.require("data"), make_world(run.config.world).hidden)
