"""A fitted reward model as safetensors and JSON, with a loader that needs torch and safetensors and no plaudit.

``reward.safetensors`` holds the weights of all networks, stacked; ``reward.json`` how an input becomes numbers, and the
run's shaping; ``load_reward.py`` computes the rewards that :class:`plaudit.rewards.reward_net.RewardModel` does. Models
that read texts have one loader, those that read observations another.

Leaves out observations with texts, pictures or tables of ids, whose networks do not fit a short loader, and the rewards
of other routes (a program, an embedding), which are no networks of ours: ``plaudit.reward_wrapper`` gives all of them.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plaudit.errors import ConfigError
from plaudit.exports.base import origin
from plaudit.routes.base import shaping
from plaudit.store import Run, atomic, load_tree, write_json

if TYPE_CHECKING:
    from plaudit.encoder import Encoder
    from plaudit.rewards.reward_net import RewardModel


def write_reward(run: Run, folder: Path) -> None:
    """Fill the folder."""
    from safetensors.torch import save

    from plaudit.routes.networks import make_model
    from plaudit.stages.parts import make_world

    path = run.require("fit") / "reward.safetensors"
    if not path.is_file():
        raise ConfigError(
            f"the route {run.config.route!r} has fitted no networks here. In a script of your own "
            "plaudit.reward_wrapper takes the reward of any route."
        )
    model = make_model(run.config, make_world(run.config.world))
    model.load_state(load_tree(path)["nets"])
    read, weights = of_texts(model) if model.kind == "text" else of_observations(model)
    with atomic(folder / "reward.safetensors") as file:
        file.write(save(weights))
    loader = Path(__file__).with_name(f"load_{'text' if model.kind == 'text' else 'observation'}_reward.py")
    with atomic(folder / "load_reward.py") as file:
        file.write(loader.read_bytes())
    write_json(folder / "reward.json", {"reads": model.kind, "shaping": asdict(shaping(run))} | read)
    write_json(folder / "export.json", {"kind": "reward", "networks": len(model.nets)} | origin(run))


def stacked(model: RewardModel, names: dict[str, str]) -> dict[str, Any]:
    """Weights by their new names, each ``(networks, ...)`` float32."""
    import torch

    states = [net.state_dict() for net in model.nets]
    return {new: torch.stack([state[old] for state in states]).float().contiguous() for new, old in names.items()}


def of_texts(model: RewardModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """How words become rows, and the weights: rows ``(networks, buckets, width)``, then one linear layer."""
    from plaudit.encoder.words import BUCKETS

    weights = stacked(model, {"embed": "embed.weight", "weight": "head.1.weight", "bias": "head.1.bias"})
    return {"buckets": BUCKETS}, flat_head(weights)


def of_observations(model: RewardModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where the parts of an observation stand among the inputs, and the weights of the two linear layers."""
    encoder: Encoder = model.nets[0].encoder  # type: ignore[assignment]
    if encoder.words is not None or encoder.ids or encoder.pictures:
        raise ConfigError(
            "a reward model that reads observations with texts, pictures or tables of ids has no short loader. Fit one "
            "that reads descriptions (--fit.input text), or take plaudit.reward_wrapper."
        )
    parts = [{"name": n, "codes": True, "places": at.tolist()} for n, at in encoder.codes.items()]
    start = encoder.table
    for name, size in encoder.sizes.items():
        parts.append({"name": name, "codes": False, "places": np.arange(start, start + size).tolist()})
        start += size
    names = {"inputs": "encoder.linear.weight", "shift": "encoder.linear.bias"}
    weights = stacked(model, names | {"weight": "head.weight", "bias": "head.bias"})
    return {"parts": parts}, flat_head(weights)


def flat_head(weights: dict[str, Any]) -> dict[str, Any]:
    """The last layer has one output: ``weight`` ``(networks, width)``, ``bias`` ``(networks,)``."""
    return weights | {"weight": weights["weight"][:, 0].contiguous(), "bias": weights["bias"][:, 0].contiguous()}
