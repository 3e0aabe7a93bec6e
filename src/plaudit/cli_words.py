"""The words behind a verb: options that are no settings, the recipe, the world, and single settings.

Settings are read by tyro; what is cut out here before it are options that name files, arms and ceilings.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from plaudit.budget import Budget
    from plaudit.config import RunConfig
    from plaudit.stages.arms import Arm

VERBS = {
    "run": "All stages, from world to report; goes on where it stopped.",
    "compare": "Every way of using the LLM, and controls, side by side.",
    "forecast": "What a comparison will cost, from a small pilot.",
    "calibrate": "Try the judging protocols on pairs with known answers.",
    "collect": "Gather distinct observations with a policy.",
    "annotate": "Ask the LLM which observations show more progress.",
    "fit": "Fit a Bradley-Terry reward model to the answers.",
    "train": "Train an agent for each reward and control.",
    "evaluate": "Measure the agents on freshly drawn episodes.",
    "report": "Write the run's report.html.",
    "check": "Try a world against the contract, and say what is wrong.",
    "list": "Worlds, models, protocols, routes, prompts, recipes.",
}
CEILINGS = {"--max-tokens": int, "--max-usd": float, "--max-hours": float}
"""Hard ceilings: what would pass one is not begun, what is done is kept."""
OPTIONS = {
    "run": ("[--max-tokens N] [--max-usd X] [--max-hours H]",),
    "compare": ("[--arms NAME ...] [--dry-run]", "[--max-tokens N] [--max-usd X] [--max-hours H]"),
    "forecast": ("[--arms NAME ...]",),
}


def take_budget(words: list[str]) -> tuple[list[str], Budget]:
    """The words without the ceilings, and the ceilings."""
    from plaudit.budget import Budget

    found: dict[str, Any] = {}
    for option, kind in CEILINGS.items():
        words, text = take(words, option)
        if text:
            try:
                value = kind(text.replace(",", "").replace("_", ""))
            except ValueError:
                raise ConfigError(f"{option} takes a number, got {text!r}.") from None
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{option} takes a number of 0 or more, got {text!r}.")
            found[option.removeprefix("--").replace("-", "_")] = value
    return words, Budget(**found)


def take_arms(words: list[str]) -> tuple[list[str], list[Arm]]:
    """The words without ``--arms NAME ...``, and the arms; all where none is named."""
    from plaudit.stages.arms import choose

    if "--arms" not in words:
        return words, choose([])
    start = words.index("--arms")
    end = next((i for i in range(start + 1, len(words)) if words[i].startswith("-")), len(words))
    if end == start + 1:
        raise ConfigError("--arms needs one or more names: plaudit compare doorkey --dry-run lists them.")
    return words[:start] + words[end:], choose(words[start + 1 : end])


def parse_config(verb: str, words: list[str]) -> tuple[str, str, RunConfig]:
    """(out, name, config) from the words behind a verb: recipe first, then the world, then single settings."""
    import tyro

    from plaudit.config import RunConfig, load_recipe
    from plaudit.registry import entries, find
    from plaudit.world_file import is_path, split_task, title

    words, recipe = take(words, "--recipe")
    words, model = take(words, "--llm")
    words, out = take(words, "--out")
    world = task = ""
    if words and not words[0].startswith("-"):
        (world, task), words = split_task(words[0]), words[1:]
        if is_path(world):
            find("worlds", world)
        elif world not in entries("worlds") and ("/" in world or Path(world).exists()):
            raise ConfigError(f"{world} is no run: it has no run.json. Make one: plaudit {verb} doorkey --out {world}")
        elif world not in entries("worlds"):
            raise ConfigError(f"there is no world {world!r}.{did_you_mean(world, entries('worlds'))}")
    base = load_recipe(recipe) if recipe else _usual(world or "doorkey", task)
    if world:
        chosen: Any = {"name": world} | ({"task": task} if task else {})
        base = dataclasses.replace(base, world=dataclasses.replace(base.world, **chosen))
    if model:
        base = dataclasses.replace(base, llm=dataclasses.replace(base.llm, model=model))

    own = ("[WORLD] [--recipe NAME|FILE.toml] [--llm embedded|FILE.gguf]", *OPTIONS.get(verb, ()))
    lines = f"\n{' ' * (len(verb) + 9)}".join((*own, "[--out PATH] [settings, as below]"))
    about = f"{VERBS[verb]}\n\nplaudit {verb} {lines}"
    config = tyro.cli(RunConfig, args=words, default=base, prog=f"plaudit {verb}", description=about)
    named = "-".join(filter(None, (title(config.world.name), config.world.task)))
    return out, Path(recipe).stem if recipe else named, config


def _usual(world: str, task: str) -> RunConfig:
    """The recipe of the world's task, else of the world, else the settings that the world itself brings."""
    from plaudit.config import RunConfig, from_dict, load_recipe, recipes
    from plaudit.registry import load
    from plaudit.world_file import is_path

    for name in () if is_path(world) else (f"{world}-{task}", world):
        if name in recipes():
            return load_recipe(name)
    return from_dict(RunConfig, dict(load("worlds", world).settings))


def take(words: list[str], option: str) -> tuple[list[str], str]:
    """The words without ``option VALUE`` (or ``option=VALUE``), and the value; empty where it is not given."""
    for i, word in enumerate(words):
        if word == option:
            if i + 1 == len(words):
                raise ConfigError(f"{option} needs a value.")
            return words[:i] + words[i + 2 :], words[i + 1]
        if word.startswith(option + "="):
            return words[:i] + words[i + 1 :], word.removeprefix(option + "=")
    return words, ""
