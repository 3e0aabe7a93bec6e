"""A LoRA adapter put into the weights of a GGUF model, once, in plaudit's cache: W + B A alpha / rank.

    path = merged(Path("model.gguf"), Path("adapter.gguf"))   # llama.cpp's convert_lora_to_gguf.py makes such adapters

The binding to llama.cpp can load an adapter and cannot switch it on, so it becomes part of the weights; what is run is
nearly as fast as the model alone. Matrices that the adapter touches become 16-bit floats, and are then requantised to 8
bits with the rest where the model is. Left out: adapters of embeddings, a strength other than 1. Source of the format:
https://github.com/ggml-org/llama.cpp/blob/master/src/llama-adapter.cpp
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.config import LLMConfig
from plaudit.errors import ConfigError, LLMError, MissingExtraError
from plaudit.llms import weights

NOTES = "plaudit."
"""What plaudit notes of an adapter that it has taught begins so: its base, and how it is to be asked."""
NOTED = "plaudit.json"
"""The same beside an adapter in a folder of peft's."""
ROLES = {"judge": ("compare", "progress"), "policy": ("action",)}
"""What a model is used as, and the kinds of examples that teach it that."""
ENDS = (".lora_a", ".lora_b")
"""How the two factors of a matrix's change are named."""
log = logging.getLogger(__name__)


def check(adapter: Path) -> None:
    """Raise where this is no adapter that can be merged."""
    if find_spec("gguf") is None:
        raise MissingExtraError("an adapter needs the package 'gguf'. Type: pip install 'plaudit[transformers]'")
    if not adapter.is_file():
        raise ConfigError(
            f"there is no adapter {adapter}. For a GGUF model it is a .gguf file, made by llama.cpp's "
            "convert_lora_to_gguf.py; a folder of peft's is one for --llm transformers:FOLDER."
        )
    weights.header(adapter)


def check_base(base: Path, adapter: Path) -> None:
    """Raise where an adapter says that it was taught on other weights; one of another origin says nothing."""
    said, found = noted(adapter) or {}, weights.fingerprint(base)
    if said.get("weights", found) != found:
        raise ConfigError(
            f"the adapter {adapter} was taught on {said['base']} (weights {said['weights']}), and {base} has other weights "
            f"({found}). Give the model that it was taught on: --llm {said['base']} --llm.adapter {adapter}"
        )


def taught(config: LLMConfig, role: str) -> dict[str, str]:
    """What is noted of the adapter that these settings name: see :func:`notes`. ``role`` is judge or policy.

    A warning where it was taught, and not as that.
    """
    found = known(config)
    kinds = found.get("kinds")
    if kinds and not set(kinds.split()) & set(ROLES[role]):
        _warn(
            f"{config.adapter or config.model} was taught {kinds} and is used as a {role}, in a prompt that it was not "
            f"taught. For a {role}: plaudit finetune WORLD --lora.kinds {ROLES[role][0]}"
        )
    return found


def known(config: LLMConfig) -> dict[str, str]:
    """What is noted of the adapter that these settings name; nothing of one that somebody else has made."""
    if not config.adapter:
        return notes(config.model)
    if found := beside(Path(config.adapter)):
        return found
    with contextlib.suppress(ConfigError):  # an adapter of somebody else's, beside its model
        return notes(config.adapter)
    return {}


def beside(adapter: Path) -> dict[str, str]:
    """What plaudit wrote into a folder of peft's; nothing in one of another origin."""
    file = adapter / NOTED
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}. Delete it, or teach the adapter anew") from None


def warn_of_met(config: LLMConfig, hidden: Iterable[str]) -> None:
    """Where agents are evaluated on words or tasks (``World.hidden``) of episodes that this adapter was taught."""
    every = {item.casefold() for item in hidden}
    if not every:
        return
    if met := sorted(every & {item.casefold() for item in known(config).get("drawn", "").splitlines()}):
        some = ", ".join(map(repr, met[:3])) + (", ..." if len(met) > 3 else "")
        _warn(
            f"{len(met)} of the {len(every)} hidden words or tasks of this world's episodes ({some}) were in what "
            f"{config.adapter or config.model} was taught: success on them proves little. Teach one with these settings of "
            "the world: plaudit finetune WORLD --world.SETTING VALUE"
        )


@functools.lru_cache(maxsize=64)
def _warn(text: str) -> None:
    """Once a process."""
    log.warning(text)


def notes(spec: str) -> dict[str, str]:
    """Of an adapter that plaudit has taught: ``base``, its ``weights``, and the ``protocol`` and ``prompt`` to ask it in.

    Nothing of a model; a :class:`ConfigError` where this is an adapter whose base nobody noted.
    """
    path = Path(spec).expanduser()
    if not spec.endswith(".gguf") or not path.is_file() or find_spec("gguf") is None:
        return {}
    found = noted(path)
    if found is not None and "base" not in found:
        raise ConfigError(f"{spec} is an adapter and no model. Name the model that it is for: --llm.adapter {spec}")
    return found or {}


def base_of(spec: str) -> str | None:
    """The base that an adapter names; None where this is no adapter that plaudit has taught."""
    base = notes(spec).get("base")
    if base and base != "embedded" and not Path(base).expanduser().is_file():
        raise ConfigError(
            f"the adapter {spec} names {base} as the model that it was taught on, and there is no such file. Name the file "
            f"where it is now: --llm MODEL.gguf --llm.adapter {spec}"
        )
    return base


def noted(adapter: Path) -> dict[str, str] | None:
    """What plaudit wrote into an adapter's file; None where it is no adapter."""
    return _noted(adapter, adapter.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _noted(path: Path, _mtime: int) -> dict[str, str] | None:
    import gguf

    weights.header(path)  # says what is wrong with a damaged file
    with contextlib.suppress(ValueError, KeyError, IndexError):
        reader = gguf.GGUFReader(path)
        if _said(reader, "general.type") == "adapter":
            return {name.removeprefix(NOTES): str(_said(reader, name)) for name in reader.fields if NOTES in name}
    return None


def merged(base: Path, adapter: Path, quantize: weights.Quantize = "none") -> Path:
    """The model with the adapter in its weights, quantised where that is asked for; what is between is not kept."""
    check(adapter)
    check_base(base, adapter)
    known = f"{weights.fingerprint(base)}-{weights.fingerprint(adapter)}"
    name = base.name if quantize == "none" else weights.copy_name(base, quantize)
    target = weights.cache_dir() / "merged" / known / name
    if not target.is_file():
        log.warning("putting the adapter %s into the weights of %s, once, as %s", adapter.name, base.name, target)
        try:
            with weights.replacing(target) as temporary:
                _make(base, adapter, temporary, quantize)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            cure = (
                f"Make room in {weights.cache_dir()}, or set PLAUDIT_CACHE to another folder"
                if isinstance(error, OSError)
                else "Give the model that it was made for, or make the adapter anew"
            )
            raise LLMError(f"the adapter {adapter} cannot be put into {base}: {str(error)[:300]}. {cure}") from error
    return target


def _make(base: Path, adapter: Path, target: Path, quantize: weights.Quantize) -> None:
    if quantize == "none":
        _merge(base, adapter, target)
        return
    whole = target.with_name(f"{target.name}.whole")  # larger than what is made of it
    try:
        _merge(base, adapter, whole)
        weights.quantise(whole, target, quantize)
    finally:
        whole.unlink(missing_ok=True)


def _merge(base: Path, adapter: Path, target: Path) -> None:
    import gguf

    model, lora = gguf.GGUFReader(base), gguf.GGUFReader(adapter)
    kind, made_for = _said(model, "general.architecture"), _said(lora, "general.architecture")
    if (_said(lora, "general.type"), _said(lora, "adapter.type")) != ("adapter", "lora") or kind != made_for:
        raise ValueError(f"it is no LoRA adapter for a model of the kind {kind!r}; it says {made_for!r}")
    changes = _changes(lora)
    shapes = {tensor.name: tuple(reversed(tensor.shape.tolist())) for tensor in model.tensors}
    for name, change in changes.items():
        if shapes.get(name) != change.shape:
            raise ValueError(f"it is for another model: {name} is {shapes.get(name)} here, {change.shape} there")
    writer = gguf.GGUFWriter(target, str(kind))
    for field in model.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):  # the writer has its own
            continue
        array = field.types[0] == gguf.GGUFValueType.ARRAY
        writer.add_key_value(field.name, field.contents(), field.types[0], field.types[-1] if array else None)
    for tensor in model.tensors:
        if tensor.name in changes:
            whole = gguf.dequantize(tensor.data, tensor.tensor_type) + changes[tensor.name]
            writer.add_tensor(tensor.name, whole.astype(np.float16))
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _changes(lora: Any) -> dict[str, NDArray[np.float32]]:
    """What is to be added to each matrix, by its name."""
    import gguf

    factors = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in lora.tensors}
    names = {name.removesuffix(end) for name in factors for end in ENDS if name.endswith(end)}
    others = sorted(
        {name for name in factors if not name.endswith(ENDS)} | {n for n in names if n.startswith("token_")}
    )
    if others or not names:
        raise ValueError(f"only changes of matrices can be merged, and it has {', '.join(others[:3]) or 'none'}")
    alpha = float(_said(lora, "adapter.lora.alpha") or 0)
    changes = {}
    for name in names:
        a, b = (factors[name + end].astype(np.float32) for end in ENDS)
        changes[name] = (b @ a) * np.float32(alpha / b.shape[1] if alpha else 1.0)
    return changes


def _said(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return field.contents() if field else None
