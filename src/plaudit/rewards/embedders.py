"""Embedding models: texts or pictures as unit vectors. Small static word vectors by default, any local model by path.

``wordllama`` carries its weights in its package (MIT): token vectors distilled from a language model, averaged. A folder is
taken as a ``transformers`` model: a text encoder, or one of the CLIP family, which puts pictures and texts into one space.
Of a text encoder's last hidden states the mean is taken, or what ``1_Pooling`` says where the folder is of a
sentence-transformers model. A folder that lacks weights is refused: transformers would fill them in at random. Left out:
downloads from model hubs, layers after the pooling, prefixes such as "query: ".
"""

from __future__ import annotations

import json
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
POOLINGS = {"mean": "mean", "mean_tokens": "mean", "mean_sqrt_len_tokens": "mean", "cls": "cls", "cls_token": "cls",
            "lasttoken": "last"}  # fmt: skip
"""What sentence-transformers calls them, and what is done; as all vectors get length 1, both means are the same."""
MODULES = {"Transformer", "Pooling", "Normalize", "Dropout"}
"""Parts of a sentence-transformers model that are known here."""


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
            self._pooling = pooling(folder)
            model, info = AutoModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
            loader = AutoProcessor if kind == "image" else AutoTokenizer
            self._processor: Any = loader.from_pretrained(folder, local_files_only=True)
        except (ImportError, KeyError, OSError, RuntimeError, SafetensorError, ValueError) as error:
            said = str(error)[:300]
            raise ConfigError(f"the embedding model in {folder} cannot be loaded: {said}") from None
        self._model: Any = model.eval()
        self._joint = hasattr(model, "get_text_features")
        if kind == "image" and not self._joint:
            raise ConfigError(f"the model in {folder} has no common space of pictures and texts; take one like CLIP.")
        # The last hidden states are read of a text encoder: its pooler may be missing, and often is.
        if missing := sorted(k for k in info["missing_keys"] if self._joint or not k.startswith("pooler.")):
            raise ConfigError(
                f"the embedding model in {folder} lacks {len(missing)} weights, {missing[0]} among them: take a folder "
                "whose weights belong to its config.json."
            )
        self._padding = self._text_padding(folder)

    def _text_padding(self, folder: Path) -> dict[str, Any]:
        """How texts are padded and cut off; many tokenizers do not know how long a text their model can read."""
        tokenizer = getattr(self._processor, "tokenizer", self._processor)
        if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
            raise ConfigError(f"the embedding model in {folder} has no tokenizer beside it: take the whole folder.")
        config = getattr(self._model.config, "text_config", self._model.config)
        positions = getattr(config, "max_position_embeddings", None) or 512
        if config.model_type in ("roberta", "xlm-roberta", "mpnet", "camembert"):
            positions -= config.pad_token_id + 1  # theirs are counted from behind the padding's
        # SigLIP takes the last position for the text, whatever stands there: it was taught with the full length.
        pad = "max_length" if config.model_type.startswith("siglip") else True
        return {"padding": pad, "truncation": True, "max_length": min(positions, tokenizer.model_max_length)}

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`Embedder`."""

        def run(batch: list[str]) -> Any:
            inputs = self._processor(text=batch, return_tensors="pt", **self._padding)
            if self._joint:
                return _pooled(self._model.get_text_features(**inputs))
            return pool(self._model(**inputs).last_hidden_state, inputs["attention_mask"], self._pooling)

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


def pooling(folder: Path) -> str:
    """``mean``, ``cls`` or ``last``: what the folder of a sentence-transformers model says; else the mean."""
    modules, file = folder / "modules.json", folder / "1_Pooling" / "config.json"
    if modules.is_file():
        kinds = {str(m["type"]).rpartition(".")[2] for m in json.loads(modules.read_text("utf-8"))}
        if unknown := sorted(kinds - MODULES):
            raise ValueError(f"it has {', '.join(unknown)} after its encoder, which is not supported")
    if not file.is_file():
        return "mean"
    said = json.loads(file.read_text("utf-8"))
    old = [k.removeprefix("pooling_mode_") for k, v in said.items() if k.startswith("pooling_mode_") and v]
    asked = said.get("pooling_mode") or old
    asked = [asked] if isinstance(asked, str) else list(asked)
    if len(asked) != 1 or asked[0] not in POOLINGS:
        raise ValueError(
            f"1_Pooling asks for {' and '.join(map(str, asked)) or 'nothing'}, not for mean, cls or lasttoken"
        )
    return POOLINGS[asked[0]]


def pool(hidden: Any, mask: Any, how: str) -> Any:
    """One vector of each text, ``(n, d)``, from ``(n, length, d)``; padding, on either side, does not count."""
    if how == "mean":
        return (hidden * mask[..., None]).sum(1) / mask[..., None].sum(1)
    real = mask.cumsum(1)  # 1 at the first word, the number of words at the last
    at = (mask * (real == (1 if how == "cls" else real[:, -1:]))).argmax(1)
    return hidden[range(len(hidden)), at]


def _pooled(features: Any) -> Any:
    """Newer versions give a record with the pooled vector in it."""
    return getattr(features, "pooler_output", features)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of length 1; a row of zeros (a text without a known word) stays as it is."""
    if not np.isfinite(vectors).all():
        raise PlauditError("the embedding model gives numbers that are not finite: its weights are damaged.")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
