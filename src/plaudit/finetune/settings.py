"""Settings of ``plaudit finetune``: dataclasses that are recipe, command line and record, as in :mod:`plaudit.config`.

Recipes are TOML files of their own (``recipes/finetune/WORLD.toml``). A stage that comes later adds its section here and
its name to ``NEEDS`` in :mod:`plaudit.finetune.run`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from plaudit import registry
from plaudit.config import LLMConfig, WorldConfig, read_recipe, recipe_files
from plaudit.errors import ConfigError, did_you_mean

KINDS = ("compare", "progress", "next", "inverse", "action", "caption")
"""Kinds of examples: see :mod:`plaudit.finetune.tasks`."""
USUAL = KINDS[:-1]
"""Kinds that are made where none is named: all but those with pictures."""
WORDINGS = ("", "-b", "-c")
"""Ends of the names of a prompt's wordings; ``-b`` and ``-c`` ask in few words, without examples."""


@dataclass(frozen=True)
class DataConfig:
    """Examples whose answer the world knows, from episodes set apart for it."""

    kinds: tuple[str, ...] = ()
    """compare, progress, next, inverse, action, caption; none takes all but caption that the world allows."""
    examples: int = 200
    """Examples of each kind to train on."""
    held_out: float = 0.2
    """Share of the steps, and of the examples beside those to train on, that is kept for measuring."""
    steps: int = 10_000
    """Environment steps that the examples are taken from, over all sources and both parts."""
    sources: tuple[str, ...] = ()
    """Who acts: random, expert, noisy (the expert, one action in three at random), or an agent's folder; none takes random
    and, where the world has an expert, noisy."""
    shares: tuple[float, ...] = ()
    """Each source's share of the steps; none shares them evenly."""
    truth: Literal["", "value", "progress"] = ""
    """How near the goal an observation is: by the world's value, or its progress; empty for the value where it has one."""
    gap: float = 0.15
    """Least difference between the two of a pair, as a share of the range that was met."""
    same_step: float = 0.5
    """Share of the pairs whose two were met at the same step of their episodes, so that time passed tells nothing."""
    progress: Literal["state", "step"] = "state"
    """What a yes means: the observation is among the nearer third, or the step that led to it came nearer."""
    wordings: int = 1
    """Prompts in which each kind is asked in turn, 1 to 3; the first is the one that is asked later."""


@dataclass(frozen=True)
class AskConfig:
    """How the taught model will be asked later: it is taught in the same prompts."""

    protocol: str = "pointwise"
    """The judge's protocol: see plaudit list --protocols."""
    prompt: str = ""
    """The judge's prompt, by name or path; empty for the protocol's own."""
    input: Literal["text", "image", "both"] = "text"
    """What the judge will be shown (judge.input): the description, the world's picture, or both."""
    act: str = ""
    """The acting model's prompt, by name or path; empty for plaudit's own."""


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank matrices that are taught beside the frozen model."""

    kinds: tuple[str, ...] = ("compare",)
    """Kinds of examples that are taught; action alone teaches the acting model."""
    examples: int = 0
    """Examples to teach from, drawn evenly over the kinds, of which steps times batch are seen; 0 takes all there are."""
    steps: int = 100
    """Gradient steps."""
    batch: int = 4
    """Examples of one step."""
    rank: int = 8
    """Rank of the matrices."""
    alpha: float = 0.0
    """Their strength is alpha / rank; 0 takes twice the rank."""
    dropout: float = 0.0
    """Share of what the matrices read that is left out by chance while they are taught."""
    targets: tuple[str, ...] = ()
    """Layers that get some, by the ends of their names (q_proj, v_proj, ...); none takes all linear ones."""
    vision: bool = False
    """Of a model that sees, teach the layers that see, too; else those of its language model alone."""
    learning_rate: float = 5e-4
    """Adam's largest step size; it rises over the first tenth of the steps and then falls to 0."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    kl: float = 1.0
    """Weight of KL(base || taught) on general text, which keeps what the model knew; 0 for none."""
    replay: float = 0.0
    """Weight of general text's own cross-entropy; 0 for none."""
    window: int = 128
    """Tokens of one window of general text."""
    windows: int = 1
    """Windows of general text in one step."""
    part_tokens: int = 1024
    """Tokens, padding included, that go through the model at once; less takes less memory."""
    threads: int = 0
    """Processor threads; 0 takes as many as this process may use."""


@dataclass(frozen=True)
class MeasureConfig:
    """What is asked before and after to see what is forgotten."""

    every: int = 1
    """Take every n-th of the general questions only, for a quick look; 0 for none."""
    shots: tuple[int, ...] = ()
    """Numbers of worked examples in the prompt of the untaught model, beside the taught one, such as 1 2 4 8 16; none for
    none."""
    draws: int = 3
    """Draws of these examples."""
    questions: int = 100
    """Held-out examples of each taught kind that are asked behind them; 0 takes all."""
    pictures: tuple[str, ...] = ()
    """For a model that sees: sets that are here as files, such as pope:data/POPE (pope, gqa, ai2d, mmmu)."""
    most_pictures: int = 500
    """Questions of each of these sets at most, drawn by chance."""


@dataclass(frozen=True)
class ArmsConfig:
    """How the two arms are put to use (--arms): agents trained on the judge's reward, and the policy that acts."""

    recipe: str = ""
    """Recipe of these runs, by name or path; empty for the world's own."""
    episodes: int = 100
    """Fresh episodes, the same for all."""
    seeds: int = 3
    """Agents that are trained on the judge's reward, before and after."""
    steps: int = 0
    """Steps of the world that each is trained with; 0 for the recipe's."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Teaching a model an unfamiliar world."""

    world: WorldConfig = field(default_factory=WorldConfig)
    llm: LLMConfig = field(default_factory=LLMConfig)
    data: DataConfig = field(default_factory=DataConfig)
    ask: AskConfig = field(default_factory=AskConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    arms: ArmsConfig = field(default_factory=ArmsConfig)
    seed: int = 0
    """Seed of episodes, draws and the split into parts."""


def base_spec(config: FinetuneConfig) -> str:
    """What is taught: a folder, a model of the hub, a GGUF file or ``embedded``, whichever engine asks it later."""
    return config.llm.model.removeprefix("transformers:")


def seen(lora: LoraConfig, examples: int) -> int:
    """How many of so many examples the steps come to; each is taken once before any is taken again."""
    return min(examples, lora.steps * lora.batch)


def recipes() -> dict[str, Path]:
    """The recipes that come with plaudit, by name."""
    return recipe_files("finetune")


def load_recipe(name: str) -> FinetuneConfig:
    """The recipe of this name, or the TOML file at this path."""
    return read_recipe(FinetuneConfig, name, recipes())


def validate(config: FinetuneConfig) -> None:
    """Settings that fit their types but make no sense together or out of range, all checked before anything runs."""
    registry.find("worlds", config.world.name)
    registry.find("protocols", config.ask.protocol)
    data = config.data
    for kind in data.kinds:
        if kind not in KINDS:
            raise ConfigError(f"data.kinds: there is no kind {kind!r}.{did_you_mean(kind, KINDS)}")
    rules = [
        ("seed", 0 <= config.seed < 10_000, "between 0 and 9999", config.seed),
        ("data.kinds", len(set(data.kinds)) == len(data.kinds), "different kinds", data.kinds),
        ("data.examples", data.examples >= 10, "at least 10", data.examples),
        ("data.held_out", 0 < data.held_out < 0.9, "above 0 and below 0.9", data.held_out),
        ("data.steps", data.steps >= 100, "at least 100", data.steps),
        ("data.sources", len(set(data.sources)) == len(data.sources), "different sources", data.sources),
        ("data.shares", all(share > 0 for share in data.shares), "above 0", data.shares),
        ("data.shares", len(data.shares) in (0, len(data.sources)), "one for each of data.sources", data.shares),
        ("data.same_step", 0 <= data.same_step <= 1, "between 0 and 1", data.same_step),
        ("data.gap", 0 < data.gap < 1, "above 0 and below 1", data.gap),
        ("data.wordings", 1 <= data.wordings <= len(WORDINGS), f"between 1 and {len(WORDINGS)}", data.wordings),
    ]
    rules += _teaching(config.lora)
    measure = config.measure
    rules += [
        ("measure.every", measure.every >= 0, "0 or more", measure.every),
        ("measure.shots", all(count >= 1 for count in measure.shots), "at least 1 each", measure.shots),
        ("measure.draws", measure.draws >= 1, "at least 1", measure.draws),
        ("measure.questions", measure.questions >= 0, "0 or more", measure.questions),
        ("measure.most_pictures", measure.most_pictures >= 1, "at least 1", measure.most_pictures),
        ("measure.pictures", all(":" in each for each in measure.pictures), "NAME:FOLDER each", measure.pictures),
        ("arms.episodes", config.arms.episodes >= 1, "at least 1", config.arms.episodes),
        ("arms.seeds", config.arms.seeds >= 1, "at least 1", config.arms.seeds),
        ("arms.steps", config.arms.steps >= 0, "0 or more", config.arms.steps),
    ]
    for path, holds, wanted, value in rules:
        if not holds:
            raise ConfigError(f"{path} must be {wanted}, got {value!r}.")


def _teaching(lora: LoraConfig) -> list[tuple[str, bool, str, Any]]:
    """The rules of ``[lora]``: a setting, whether it keeps its rule, the rule in words, and its value."""
    whole = ("steps", "batch", "rank", "windows")
    positive, free = ("learning_rate", "clip"), ("alpha", "kl", "replay", "examples", "threads")
    return [
        (
            "lora.kinds",
            len(lora.kinds) > 0 and set(lora.kinds) <= set(KINDS),
            f"some of {', '.join(KINDS)}",
            lora.kinds,
        ),
        ("lora.dropout", 0 <= lora.dropout < 1, "at least 0 and below 1", lora.dropout),
        ("lora.examples", lora.examples == 0 or lora.examples >= 10, "at least 10, or 0 for all", lora.examples),
        ("lora.window", lora.window >= 8, "at least 8", lora.window),
        ("lora.part_tokens", lora.part_tokens >= 64, "at least 64", lora.part_tokens),
        *((f"lora.{key}", getattr(lora, key) >= 1, "at least 1", getattr(lora, key)) for key in whole),
        *((f"lora.{key}", getattr(lora, key) > 0, "above 0", getattr(lora, key)) for key in positive),
        *((f"lora.{key}", getattr(lora, key) >= 0, "0 or more", getattr(lora, key)) for key in free),
    ]
