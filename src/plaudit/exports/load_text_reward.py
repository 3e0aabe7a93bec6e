"""A fitted reward of texts: ``load_reward.load(folder)(texts)`` gives ``(n,)`` float32; needs torch and safetensors."""

import itertools
import json
import pathlib
import re
import zlib
from collections.abc import Callable, Sequence

import torch
from safetensors.torch import load_file


def load(folder: str | pathlib.Path = pathlib.Path(__file__).parent) -> Callable[[Sequence[str]], torch.Tensor]:
    buckets = json.loads((pathlib.Path(folder) / "reward.json").read_text(encoding="utf-8"))["buckets"]
    w = {name: tensor.double() for name, tensor in load_file(pathlib.Path(folder) / "reward.safetensors").items()}

    def one(text: str) -> torch.Tensor:
        words = re.findall(r"\w+|[^\w\s]", text.lower())
        grams = words + [" ".join(pair) for pair in itertools.pairwise(words)]
        rows = sorted({zlib.crc32(gram.encode()) % buckets for gram in grams}) or [0]
        hidden = w["embed"][:, rows].mean(dim=1).relu()
        return ((hidden * w["weight"]).sum(dim=1) + w["bias"]).float().mean()

    return lambda texts: torch.stack([one(text) for text in texts])
