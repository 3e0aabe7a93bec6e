"""Embedding models: texts or pictures as unit vectors. Small static word vectors by default, any local model by path.

``wordllama`` carries its weights in its package (MIT): token vectors distilled from a language model, averaged. A folder is
taken as a ``transformers`` model: a text encoder (mean over its last hidden states), or one of the CLIP family, which
puts pictures and texts into one space. Left out: downloads from model hubs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import ConfigError, MissingExtraError, PlauditError, did_you_mean

Input = Literal["text", "image"]
BATCH = 32
"""Items in one forward pass of a transformers model."""


class Embedder(Protocol):
    """What every embedding model can do."""

    name: str
    """Identity of the model."""

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of texts, ``(n, d)``."""
        ...

    def images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Unit vectors of pictures ``(height, width, 3)``, in the same space as the texts', ``(n, d)``."""
        ...


def make_embedder(model: str, kind: Input) -> Embedder:
    """The embedding model of this name, or in this folder."""
    check_embedder(model, kind)
    return WordLlamaEmbedder() if model == "wordllama" else TransformersEmbedder(Path(model).expanduser(), kind)


def check_embedder(model: str, kind: Input) -> None:
    """Raise what making it would, without loading it."""
    from importlib.util import find_spec

    if model == "wordllama":
        if kind == "image":
            raise ConfigError(
                "wordllama reads texts only: for pictures give the folder of an image-text model "
                "(--embedding.model FOLDER)."
            )
        if find_spec("wordllama") is None:
            raise MissingExtraError("the embedding model needs wordllama. Type: pip install 'plaudit[embedding]'")
        return
    folder = Path(model).expanduser()
    if not (folder / "config.json").is_file():
        hint = did_you_mean(model, ["wordllama"]) if "/" not in model else ""
        raise ConfigError(f"there is no embedding model {model!r}: no config.json in that folder.{hint}")
    if find_spec("transformers") is None:
        raise MissingExtraError("this embedding model needs transformers. Type: pip install 'plaudit[vision]'")


class WordLlamaEmbedder:
    """Static word vectors inside the package wordllama: thousands of texts a second on one core."""

    name = "wordllama"

    def __init__(self) -> None:
        root = logging.getLogger()
        level, handlers = root.level, list(root.handlers)
        import wordllama

        root.setLevel(level)  # its import makes every library's log lines appear
        root.handlers[:] = handlers
        # By default it looks into a folder of the user's, and downloads.
        folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`Embedder`."""
        return unit(self._model.embed(list(texts)))

    def images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """It has no eyes."""
        raise ConfigError("wordllama reads texts only")


class TransformersEmbedder:
    """A transformers model in a local folder."""

    def __init__(self, folder: Path, kind: Input) -> None:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModel, AutoProcessor, AutoTokenizer

        self.name, self._torch = f"transformers:{folder.name}", torch
        try:
            self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
            loader = AutoProcessor if kind == "image" else AutoTokenizer
            self._processor: Any = loader.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            raise ConfigError(f"the embedding model in {folder} cannot be loaded: {str(error)[:300]}") from None
        self._joint = hasattr(self._model, "get_text_features")
        tokenizer = getattr(self._processor, "tokenizer", self._processor)
        config = getattr(self._model.config, "text_config", self._model.config)
        self._longest = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512))
        if kind == "image" and not self._joint:
            raise ConfigError(f"the model in {folder} has no common space of pictures and texts; take one like CLIP.")

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`Embedder`."""

        def run(batch: list[str]) -> Any:
            options = {"padding": True, "truncation": True, "max_length": self._longest}
            inputs = self._processor(text=batch, return_tensors="pt", **options)
            if self._joint:
                return _pooled(self._model.get_text_features(**inputs))
            hidden, mask = self._model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
            return (hidden * mask).sum(1) / mask.sum(1)

        return self._batched(list(texts), run)

    def images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """See :class:`Embedder`."""

        def run(batch: list[NDArray[np.uint8]]) -> Any:
            return _pooled(self._model.get_image_features(**self._processor(images=batch, return_tensors="pt")))

        return self._batched(list(images), run)

    def _batched(self, items: list[Any], run: Any) -> NDArray[np.float32]:
        parts = []
        with self._torch.no_grad():
            for start in range(0, len(items), BATCH):
                parts.append(run(items[start : start + BATCH]).float().numpy())
        return unit(np.concatenate(parts))


def _pooled(features: Any) -> Any:
    """Newer versions give a record with the pooled vector in it."""
    return getattr(features, "pooler_output", features)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of length 1; a row of zeros (a text without a known word) stays as it is."""
    if not np.isfinite(vectors).all():
        raise PlauditError("the embedding model gives numbers that are not finite: its weights are damaged.")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
