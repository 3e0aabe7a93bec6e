"""A fitted reward of observations: ``load_reward.load(folder)(list)``: ``(n,)`` float32; needs torch and safetensors."""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from safetensors.torch import load_file


def load(folder: str | pathlib.Path = pathlib.Path(__file__).parent) -> Callable[[Sequence[Any]], torch.Tensor]:
    parts = json.loads((pathlib.Path(folder) / "reward.json").read_text(encoding="utf-8"))["parts"]
    w = {name: tensor.double() for name, tensor in load_file(pathlib.Path(folder) / "reward.safetensors").items()}

    def one(seen: Any) -> torch.Tensor:
        inputs = torch.zeros(w["inputs"].shape[2], dtype=torch.float64)
        for part in parts:  # of a code, the place that it names becomes 1; numbers are taken as they are
            values = torch.as_tensor(seen[part["name"]] if part["name"] else seen).float().double().flatten()
            places = torch.tensor(part["places"]) + (values.long() if part["codes"] else 0)
            inputs[places] = torch.ones_like(values) if part["codes"] else values
        hidden = (w["inputs"] @ inputs + w["shift"]).relu()
        return ((hidden * w["weight"]).sum(dim=1) + w["bias"]).float().mean()

    return lambda observations: torch.stack([one(seen) for seen in observations])
