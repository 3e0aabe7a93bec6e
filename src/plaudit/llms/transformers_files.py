"""What ``transformers:...`` names: a folder, a GGUF file turned into one, or a model of the Hugging Face hub.

``transformers:embedded`` is the packaged model, its weights turned once into 16-bit floats in plaudit's cache: a real
model for this back-end without a network. A model's identity is a fingerprint of its files, never where they lie. Left
out: weights in pickles' formats (``.bin``: convert them to safetensors), code that comes with a model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from plaudit.errors import ConfigError, LLMError, MissingExtraError
from plaudit.llms import weights
from plaudit.llms.gguf_adapter import NOTED, beside

HUB = re.compile(r"[\w.-]+/[\w.-]+")
"""A model's name on the hub."""
FILES = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.txt")
"""What of a model is used: its settings, tokenizer, chat template and weights."""
HEAD = 4096
"""Bytes of each tensor that a fingerprint looks at, as in :func:`plaudit.llms.weights.fingerprint`."""
log = logging.getLogger(__name__)


def check(spec: str, adapter: str) -> None:
    """Raise what finding these would raise, as far as that can be said without a network."""
    _require("transformers", "the model")
    folder = None if _of_hub(spec) else find(spec, make=False)
    if adapter:
        check_adapter(Path(adapter))
    if adapter and folder and folder.is_dir():
        check_base(Path(adapter), spec, folder)


def find(spec: str, make: bool = True) -> Path:
    """The folder of a model; from the hub's cache, or the hub itself, where it is no path."""
    if is_gguf(spec):
        _require("gguf", "a GGUF file")
        source = weights.resolve(spec)
        return converted(source) if make else source
    if _of_hub(spec):
        return _from_hub(spec)
    folder = Path(spec).expanduser()
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"there is no model in {spec or 'the folder that was not named'}: no config.json. Give the folder of a "
            "transformers model, ORG/NAME for one of the hub, or 'embedded' for the packaged one."
        )
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(f"the model in {folder} has no weights as safetensors. Take the whole folder, or convert it.")
    return folder


def takes_images(spec: str) -> bool | None:
    """Whether a folder holds a vision-language model; None where there is no folder yet."""
    if is_gguf(spec):
        return False
    if _of_hub(spec):
        return None
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    kind = json.loads((find(spec) / "config.json").read_text(encoding="utf-8")).get("model_type")
    return kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def check_adapter(folder: Path) -> None:
    """Raise where this is no folder of a LoRA adapter that peft has saved."""
    _require("peft", "an adapter")
    missing = [n for n in ("adapter_config.json", "adapter_model.safetensors") if not (folder / n).is_file()]
    if missing:
        raise ConfigError(
            f"the adapter {folder} has no {' and no '.join(missing)}. For transformers it is a folder that peft has saved; "
            "a GGUF file is one for GGUF models."
        )


def fingerprint(folder: Path) -> str:
    """Cheap identity of a model's folder: SHA-256 (12 hex digits) of its small files and of the head of every tensor."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern)}):
        digest.update(f"{path.name}:{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            if path.suffix != ".safetensors":
                digest.update(file.read())
                continue
            size = file.read(8)
            header = file.read(struct.unpack("<Q", size)[0])
            digest.update(header)
            try:
                tensors = {k: v["data_offsets"][0] for k, v in json.loads(header).items() if k != "__metadata__"}
            except (ValueError, KeyError, TypeError) as error:
                raise LLMError(f"the weights {path} are damaged: {error}. Copy or download them again") from error
            for start in sorted(tensors.values()):
                file.seek(8 + len(header) + start)
                digest.update(file.read(HEAD))
    return digest.hexdigest()[:12]


def mark(folder: Path) -> str:
    """Identity of a model's weights alone: SHA-256 (12 hex digits) of each tensor's name, shape and first 4 KiB.

    Settings and tokenizer are left out, which another version of transformers may write otherwise.
    """
    told = list[tuple[str, str, bytes]]()
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            for name, about in json.loads(file.read(size)).items():
                if name != "__metadata__":
                    start, end = about["data_offsets"]
                    file.seek(8 + size + start)
                    told.append((name, f"{about['dtype']}{about['shape']}", file.read(min(HEAD, end - start))))
    digest = hashlib.sha256()
    for name, shape, head in sorted(told):
        digest.update(f"{name} {shape} ".encode() + head)
    return digest.hexdigest()[:12]


def note_base(adapter: Path, notes: dict[str, str], folder: Path) -> None:
    """Write down beside an adapter what is to be known of it, and which weights it was taught on."""
    (adapter / NOTED).write_text(json.dumps(notes | {"mark": mark(folder)}), encoding="utf-8")


def check_base(adapter: Path, spec: str, folder: Path) -> None:
    """Raise where an adapter says that it was taught on other weights; one of another origin says nothing."""
    known = beside(adapter)
    wanted = known.get("mark")
    if wanted and wanted != (found := mark(folder)):
        raise ConfigError(
            f"the adapter {adapter} was taught on {known.get('base')} (weights {wanted}), and {spec} has other weights "
            f"({found}). Give the model that it was taught on: --llm transformers:{known.get('base')}"
        )


def converted(source: Path) -> Path:
    """A GGUF model as a folder for transformers, made once and kept in the cache."""
    target = weights.cache_dir() / "transformers" / weights.fingerprint(source) / source.stem
    if (target / "config.json").is_file():
        return target
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    log.warning("turning %s into a transformers model, once, into %s", source.name, target)
    try:
        with _appearing(target) as folder, quiet():
            place, name = str(source.parent), source.name
            whole = GgufConfig(dequantize=True)  # else packed weights stay packed where there are kernels for them
            model: Any = AutoModelForCausalLM.from_pretrained(
                place, gguf_file=name, dtype=torch.float32, quantization_config=whole
            )
            model.hf_quantizer = None  # else saving it would ask for the GGUF format
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.half().save_pretrained(folder)
            AutoTokenizer.from_pretrained(place, gguf_file=name).save_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise LLMError(
            f"{source} cannot be turned into a transformers model: {str(error)[:300]}. Without 'transformers:' before it, "
            "llama.cpp runs it"
        ) from error
    return target


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` at the end; another process may have been quicker."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir()
        yield temporary
        if not target.exists():
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_gguf(spec: str) -> bool:
    """Whether llama.cpp runs it: the packaged model, or a GGUF file."""
    return spec == "embedded" or spec.endswith(".gguf")


def _of_hub(spec: str) -> bool:
    return HUB.fullmatch(spec) is not None and not is_gguf(spec) and not Path(spec).expanduser().exists()


def _from_hub(name: str, cache_dir: Path | None = None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return find(snapshot_download(name, allow_patterns=list(FILES), cache_dir=cache_dir))
    except (OSError, ValueError) as error:  # its own errors are kinds of these; so are ours
        reason = str(error).strip().splitlines()[0][:300]
        raise LLMError(f"the model {name} is not in the hub's cache and cannot be fetched: {reason}") from error


def _require(package: str, what: str) -> None:
    if find_spec(package) is None:
        raise MissingExtraError(f"{what} needs the package {package!r}. Type: pip install 'plaudit[transformers]'")


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no warnings of transformers' own; what matters is an error here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def language_layers(model: Any, ends: Sequence[str] | str | None) -> list[str]:
    """Linear layers of a vision-language model's language part, by their whole names; those whose names end so, or all."""
    from torch.nn import Linear

    inside = model.get_decoder()
    (root,) = (name for name, module in model.named_modules() if module is inside)
    names = [f"{root}.{name}" for name, module in inside.named_modules() if isinstance(module, Linear)]
    if isinstance(ends, list):
        names = [name for name in names if name.endswith(tuple(f".{end}" for end in ends))]
        if not names:
            raise ConfigError(
                f"lora.targets: the language model has no linear layer whose name ends in {', '.join(ends)}. Leave it "
                "out for all of them, or set --lora.vision for those that see."
            )
    return names


def no_memory(said: str) -> bool:
    """Whether an error's words tell of too little memory, and not of an access that is illegal, for one."""
    return (
        re.search("out of memory|not enough memory|can't allocate memory|alloc_failed|bad_alloc", said.lower())
        is not None
    )
