"""A LoRA adapter for llama.cpp: peft's two matrices of each layer, under the names that the base's GGUF file gives them.

    to_gguf(Path("adapter"), base=Path("model.gguf"), target=Path("adapter.gguf"), notes={"base": "model.gguf"})

llama.cpp adds them to the base as it runs, so a quantised base stays as small as it is. Llama's query and key rows stand in
another order in a GGUF file than in transformers; their rows of B are put into that order too. Left out: adapters of
embeddings and of the output layer, DoRA, bases that are no GGUF file (serve these with their own engine).
Source of the format: https://github.com/ggml-org/llama.cpp (convert_lora_to_gguf).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import ConfigError
from plaudit.llms import weights
from plaudit.llms.gguf_adapter import NOTES

A, B = ".lora_A.weight", ".lora_B.weight"
PERMUTED = ("llama",)
"""Architectures whose query and key rows are reordered."""


def to_gguf(adapter: Path, base: Path, target: Path, notes: Mapping[str, str]) -> Path:
    """Write the adapter for this base; a :class:`ConfigError` where it does not fit it.

    ``notes`` are kept in the file: see :func:`plaudit.llms.gguf_adapter.notes`.
    """
    import gguf
    from safetensors.numpy import load_file

    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    matrices = load_file(adapter / "adapter_model.safetensors")
    about = _Base(base)
    names = gguf.get_tensor_name_map(about.kind, about.blocks)
    with weights.replacing(target) as temporary:
        writer = gguf.GGUFWriter(temporary, about.architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        for name, text in notes.items():
            writer.add_string(f"{NOTES}{name}", text)
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(settings))
        for name in sorted(name.removesuffix(A) for name in matrices if name.endswith(A)):
            own = names.get_name(f"{name.removeprefix('base_model.model.')}.weight", try_suffixes=(".weight",))
            low, high = (matrices[name + end].astype(np.float32) for end in (A, B))
            if own is None or about.shapes.get(own) != (high.shape[0], low.shape[1]):
                raise ConfigError(
                    f"the adapter {adapter} is not for {base.name}: its {name} ({high.shape[0]} x {low.shape[1]}) has no "
                    "place there. Give the model that it was taught on."
                )
            if about.architecture in PERMUTED and own.endswith((".attn_q.weight", ".attn_k.weight")):
                high = _reordered(high, about.heads if own.endswith(".attn_q.weight") else about.key_heads)
            writer.add_tensor(f"{own}.lora_a", low)
            writer.add_tensor(f"{own}.lora_b", high)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return target


class _Base:
    """What of the base has to be known."""

    def __init__(self, path: Path) -> None:
        import gguf

        reader: Any = gguf.GGUFReader(path)

        def read(name: str) -> Any:
            return reader.fields[name].contents()

        self.architecture = str(read("general.architecture"))
        self.kind = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}[self.architecture]
        self.blocks = int(read(f"{self.architecture}.block_count"))
        self.heads = int(read(f"{self.architecture}.attention.head_count"))
        self.key_heads = int(read(f"{self.architecture}.attention.head_count_kv"))
        self.shapes = {tensor.name: tuple(int(n) for n in tensor.shape[::-1]) for tensor in reader.tensors}


def _alpha(settings: dict[str, Any]) -> float:
    """llama.cpp scales by alpha / rank; rank-stabilised adapters by alpha / sqrt(rank)."""
    rank, alpha = settings["r"], float(settings["lora_alpha"])
    if settings.get("use_dora"):
        raise ConfigError("llama.cpp has no DoRA adapters: merge it into the model's weights with peft.")
    return alpha * float(np.sqrt(rank)) if settings.get("use_rslora") else alpha


def _reordered(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Each head's rows from halves (transformers) to pairs (GGUF)."""
    count, width = rows.shape
    return rows.reshape(heads, 2, count // heads // 2, width).swapaxes(1, 2).reshape(count, width)
