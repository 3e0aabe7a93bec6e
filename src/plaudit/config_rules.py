"""What settings must keep beside their types, checked before anything runs: ranges, and what makes no sense together."""

from __future__ import annotations

import math
import re
from operator import attrgetter

from plaudit import registry
from plaudit.config import RunConfig, TrainConfig
from plaudit.errors import ConfigError

WITH_LLM = ("llm", "preference", "scalar", "code", "embedding")
"""Routes that a language model has a part in; a run has one of them at most."""
NUMBERS_ONLY = tuple(name for name in WITH_LLM if name != "preference")
"""Those of them that have no use for a person's answers about pairs."""
LABELS_NEED_PAIRS = "judge: only the route preference is fitted to pairs, which is what a person labels"
POTENTIAL_NEEDS_TASK = (
    "used with --shaping.task-weight above 0: alone it adds up to the same for every way an episode can go"
)


def validate(config: RunConfig) -> None:
    """Settings that fit their types but make no sense together or out of range, all checked before anything runs."""
    registry.find("worlds", config.world.name)
    if config.judge.protocol:
        registry.find("protocols", config.judge.protocol)
    for route in (config.route, *config.train.controls):
        registry.find("routes", route)
    potential, task_weight = config.shaping.potential, config.shaping.task_weight
    rules = [
        *_judging(config),
        *_training(config.train),
        *_placing(config),
        *_beside(config),
        ("seed", 0 <= config.seed < 10_000, "between 0 and 9999"),
        ("shaping.potential", not potential or task_weight > 0, POTENTIAL_NEEDS_TASK),
        ("shaping.difference", not (potential and config.shaping.difference), "without shaping.potential: one of both"),
        ("fit.labels", config.fit.labels == "judge" or config.route not in NUMBERS_ONLY, LABELS_NEED_PAIRS),
        ("fit.held_out", 0 < config.fit.held_out < 0.9, "between 0 and 0.9"),
        ("shaping.quantile", config.shaping.quantile < 1, "below 1"),
        ("shaping.count_power", config.shaping.count_power >= 0, "at least 0"),
        ("evaluate.episodes", config.evaluate.episodes >= 1, "at least 1"),
        ("code.temperature", 0 <= config.code.temperature <= 2, "between 0 and 2"),
        ("code.reflections", config.code.reflections >= 0, "0 or more"),
        ("code.seconds", config.code.seconds > 0, "above 0"),
        ("embedding.alpha", 0 <= config.embedding.alpha <= 1, "between 0 and 1"),
        ("policy.temperature", 0 <= config.policy.temperature <= 10, "between 0 and 10"),
        ("policy.max_steps", config.policy.max_steps >= 0, "0 or more"),
        *((f"policy.{k}", getattr(config.policy, k) >= 0, "0 or more") for k in ("examples", "refine", "history")),
        ("evaluate.examples", config.evaluate.examples >= 0, "0 or more"),
        ("llm.context", config.llm.context >= 256, "at least 256"),
        ("llm.threads", config.llm.threads >= 0, "0 or more"),
        ("llm.timeout", config.llm.timeout > 0, "above 0"),
        *((f"llm.{k}", getattr(config.llm, k) >= 0, "0 or more") for k in ("usd_in", "usd_out", "retries")),
        ("llm.replay", not (config.llm.replay and config.llm.ledger), "empty where llm.ledger is given"),
    ]
    whole = {
        "collect": ("steps", "num_envs", "recorded"),
        "judge": ("segment", "rounds"),
        "llm": ("concurrency", "votes"),
        "code": ("candidates", "rounds", "max_tokens", "memory_mb"),
        "policy": ("max_tokens", "episodes"),
        "train": ("steps", "num_envs", "horizon", "epochs", "minibatch", "width"),
        "fit": ("members", "steps", "batch", "width", "label_weight"),
    }
    rules += [
        (f"{s}.{k}", getattr(getattr(config, s), k) >= 1, "at least 1") for s, keys in whole.items() for k in keys
    ]
    rates = [(f"{s}.learning_rate", getattr(config, s).learning_rate) for s in ("train", "fit")]
    rules += [(path, 0 < rate < 1, "above 0 and below 1") for path, rate in rates]
    for path, holds, wanted in rules:
        if not holds:
            raise ConfigError(f"{path} must be {wanted}, got {attrgetter(path)(config)!r}.")


def _judging(config: RunConfig) -> list[tuple[str, bool, str]]:
    """The rules of ``[judge]``: a setting, whether it keeps its rule, and the rule in words."""
    judge, reads = config.judge, config.judge.input == "text"
    enough = math.ceil(20 / max(0.01, config.fit.held_out) ** 2)  # about that many times held_out squared are held out
    return [
        ("judge.max_failures", 0 <= judge.max_failures <= 1, "between 0 and 1"),
        ("judge.items", judge.items >= 10, "at least 10"),
        ("judge.pairs", judge.pairs >= enough, f"at least {enough}, so that enough of them are held out"),
        ("judge.patience", judge.patience >= 0, "0 or more"),
        (
            "judge.segment",
            reads or judge.segment <= 1,
            "1 where judge.input is not text: a segment has several pictures",
        ),
        ("judge.input", reads or not config.fit.online, "text with fit.online, which asks by the description"),
    ]


def _training(train: TrainConfig) -> list[tuple[str, bool, str]]:
    """The rules of ``[train]``."""
    is_ppo = train.algorithm == "ppo"
    return [
        ("train.controls", len(set(train.controls)) == len(train.controls), "different routes"),
        ("train.controls", not set(train.controls) & set(WITH_LLM), "routes without an LLM; compare does more"),
        ("train.seeds", 1 <= train.seeds < 400, "between 1 and 399"),
        ("train.workers", train.workers >= 0, "0 or more"),
        ("train.memory", train.memory >= 0, "0 or more"),
        ("train.memory", not train.memory or is_ppo, "0 with sac"),
        ("train.normalize", not train.normalize or is_ppo, "false with sac (--train.no-normalize)"),
        ("train.gae_lambda", 0 <= train.gae_lambda <= 1, "between 0 and 1"),
        ("train.entropy", train.entropy >= 0, "0 or more"),
        ("train.gamma", 0 <= train.gamma < 1, "at least 0 and below 1"),
    ]


def _beside(config: RunConfig) -> list[tuple[str, bool, str]]:
    """The rules of ``[online]``; what is judged beside are single descriptions, and pairs are of the judge's alone."""
    online, off = config.online, not config.online.beside
    return [
        ("online.questions", online.questions >= 1, "at least 1"),
        ("online.refit", online.refit >= 1, "at least 1"),
        ("online.steps", online.steps >= 1, "at least 1"),
        ("online.share", 0 < online.share <= 1, "above 0 and at most 1"),
        (
            "online.beside",
            off or config.route in ("preference", "scalar"),
            "used with the routes preference and scalar",
        ),
        ("fit.online", off or not config.fit.online, "false with online.beside, which asks without waiting"),
        ("judge.segment", off or config.judge.segment == 1, "1 with online.beside: an agent meets no segments"),
        ("judge.input", off or config.judge.input == "text", "text with online.beside, which asks by the description"),
        ("fit.input", off or config.fit.input == "text", "text with online.beside, which judges by the description"),
        ("fit.labels", off or config.fit.labels == "judge", "judge with online.beside"),
        (
            "train.algorithm",
            off or config.train.algorithm == "ppo",
            "ppo with online.beside: rewards that are kept age",
        ),
        ("cluster.on", off or config.cluster.on == "local", "local with online.beside, which asks while it trains"),
        ("llm.batch", off or not config.llm.batch, "0 with online.beside, which cannot wait a day"),
    ]


def _placing(config: RunConfig) -> list[tuple[str, bool, str]]:
    """The rules of ``[cluster]``."""
    cluster, local = config.cluster, config.cluster.on == "local"
    known = re.fullmatch(r"local|ray|auto|(ray://)?[^/]+:\d+", cluster.on) is not None
    return [
        ("cluster.on", known, "local, ray, auto, HOST:PORT or ray://HOST:PORT"),
        ("cluster.on", local or not config.fit.online, "local with fit.online, which asks while it trains"),
        ("llm.batch", local or not config.llm.batch, "0 with --on: workers ask directly, at the full price"),
        (
            "cluster.serve",
            not cluster.serve or ("{port}" in cluster.serve and not local),
            "one with {port}, beside --on",
        ),
        ("llm.model", not cluster.serve or config.llm.model.startswith("openai:"), "openai:MODEL, of cluster.serve"),
        ("cluster.cpus", cluster.cpus > 0 or cluster.gpus > 0, "above 0 where cluster.gpus is 0"),
        *((f"cluster.{k}", getattr(cluster, k) >= 0, "0 or more") for k in ("workers", "cpus", "gpus", "block")),
    ]
