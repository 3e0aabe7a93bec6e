"""What a configuration names, made: the world, its vectorised form, the policy, the route, the LLM and its ledger."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

from gymnasium.vector import VectorEnv

from plaudit import prompts, registry
from plaudit.config import JudgeConfig, LLMConfig, RunConfig, WorldConfig
from plaudit.envs.base import World
from plaudit.errors import ConfigError, MissingExtraError, StoreError, did_you_mean
from plaudit.llms.base import LLM
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.openai_ways import is_server
from plaudit.llms.replay import ReplayLLM
from plaudit.policies.base import Policy
from plaudit.policies.random import RandomPolicy
from plaudit.routes.base import Route
from plaudit.store import Run
from plaudit.world_file import split_task

EVALUATION_SEED = 800_000_000
"""Evaluation's seeds start here; training's end below 500 million, collecting's and calibration's lie between."""
COLLECT_SEED = 500_000_000
CALIBRATION_SEED = 700_000_000


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_world(config: WorldConfig) -> World:
    """One copy, that can render."""
    return registry.load("worlds", config.name)(**world_choices(config))


def make_envs(config: WorldConfig, num_envs: int) -> VectorEnv:
    """Many copies that step together."""
    return registry.load("worlds", config.name).vector(num_envs, **world_choices(config))


def evaluation_envs(config: WorldConfig, episodes: int) -> VectorEnv:
    """As many copies as episodes, or as many as this world can bear."""
    return make_envs(config, min(episodes, registry.load("worlds", config.name).most_copies))


def settled(config: RunConfig) -> RunConfig:
    """The same settings with all that the world leaves to choose filled in, so that a run's record shows it.

    A file's path becomes absolute.
    """
    filled = {"name": split_task(config.world.name)[0]} | world_choices(config.world)
    files: dict[str, Any] = {key: getattr(config.llm, key) for key in ("ledger", "replay")}
    files = {key: name and str(Path(name).absolute()) for key, name in files.items()}
    return dataclasses.replace(
        config,
        world=dataclasses.replace(config.world, **filled),
        llm=dataclasses.replace(config.llm, **files),
    )


def world_choices(config: WorldConfig) -> dict[str, Any]:
    """Arguments of the world's constructor; the usual one where nothing was chosen."""
    cls: type[World] = registry.load("worlds", config.name)
    chosen = {k: v for k, v in vars(config).items() if k != "name" and v}
    for key, value in chosen.items():
        known = cls.choices.get(key)
        if known is None:
            has = ", ".join(cls.choices) or "none"
            raise ConfigError(
                f"the world {config.name!r} has no choice of {key} (it has: {has}). Leave out world.{key}."
            )
        if value not in known:
            raise ConfigError(f"{config.name} has no {key} {value!r}.{did_you_mean(str(value), map(str, known))}")
    return {key: chosen.get(key, values[0]) for key, values in cls.choices.items()}


def make_route(name: str) -> Route:
    """The route of this name."""
    return registry.load("routes", name)()


def trained_arms(config: RunConfig) -> list[str]:
    """The run's own route, where an agent is trained on it, and the controls that are trained beside it."""
    return [name for name in arms(config) if make_route(name).trains]


def arms(config: RunConfig) -> list[str]:
    """Everything that is measured: the run's own route and, beside it, the controls with a random policy."""
    beside = (*config.train.controls, "random") if config.train.controls else ()
    return list(dict.fromkeys((config.route, *beside)))


@contextlib.contextmanager
def open_llm(run: Run, max_failures: float = 1.0) -> Iterator[LedgerLLM]:
    """The run's model behind the run's ledgers and budget; all are closed at the end."""
    with contextlib.ExitStack() as stack:
        own, shared = (each and stack.enter_context(contextlib.closing(each)) for each in ledgers(run))
        llm = stack.enter_context(contextlib.closing(make_llm(run.config.llm)))
        assert own is not None
        yield LedgerLLM(llm, own, max_failures, run.budget, shared)


@contextlib.contextmanager
def open_shared_llm(config: LLMConfig) -> Iterator[LLM]:
    """The model behind the ledger that runs share, where the settings name one; for what has no run of its own."""
    with contextlib.closing(make_llm(config)) as llm:
        if not config.ledger:
            yield llm
            return
        with contextlib.closing(Ledger(Path(config.ledger))) as ledger:
            yield LedgerLLM(llm, ledger)


def ledgers(run: Run) -> tuple[Ledger, Ledger | None]:
    """The run's own ledger, and the one that it shares with other runs, if it does."""
    own, name = run.folder / "ledger.sqlite", run.config.llm.ledger
    shared = Path(name) if name and Path(name).resolve() != own.resolve() else None
    return Ledger(own), Ledger(shared) if shared else None


def llm_spend(run: Run) -> dict[str, Any]:
    """What the run's ledger holds, in the words of a stage's summary."""
    ledger = Ledger(run.folder / "ledger.sqlite")
    spend = ledger.spend()
    ledger.close()
    return {
        "questions": spend.answers,
        "tokens": spend.tokens,
        "usd": spend.usd,
        "llm_seconds": round(spend.seconds, 2),
    }


def make_policy(config: RunConfig, name: str, world: World, seed: int) -> Policy:
    """'random', 'expert' (the world's own script), or the agent in this folder."""
    if name == "random":
        return RandomPolicy(world.action_space, seed)
    if name == "expert":
        return make_expert(world)
    from plaudit.policies.trained import TrainedPolicy

    folder = Path(name)
    if not folder.is_dir():
        raise StoreError(
            f"there is no policy {name!r}. Give 'random', 'expert' or the folder of a trained agent: "
            "runs/NAME/train/ARM-SEED"
        )
    return TrainedPolicy.load(folder, world.observation_space, world.action_space, seed)


def make_expert(world: World) -> Policy:
    """The world's own scripted policy."""
    if (expert := world.expert()) is None:
        raise ConfigError(
            f"{type(world).__name__} has no expert for these settings: no script plays it so. Try 'random'."
        )
    return expert


def check(config: RunConfig) -> None:
    """Raise now what a stage would raise later: a part that is missing, damaged or does not fit."""
    world = make_world(config.world)
    if config.collect.policy != "llm":
        make_policy(config, config.collect.policy, world, config.seed)
    if trained_arms(config):
        check_agent(config, world)
    route = make_route(config.route)
    route.check(config, world)
    if route.asks or config.collect.policy == "llm":
        check_llm(config)


def check_agent(config: RunConfig, world: World) -> None:
    """Raise now what making the trainer would raise later."""
    from plaudit.rl.agents import agent_record, make_agent, trainer_class

    trainer_class(config.train.algorithm)
    make_agent(agent_record(config.train), world.observation_space, world.action_space)


def check_llm(config: RunConfig) -> None:
    """Raise now what loading the model would raise later, without loading it; a server is looked for, asked nothing."""
    if config.llm.replay:
        make_llm(config.llm).close()
        return
    if config.llm.ledger:
        Ledger(Path(config.llm.ledger)).close()
    if is_server(config.llm.model):
        _make_server(config.llm, probe=False).close()
        return
    if "/" not in config.llm.model and not config.llm.model.endswith(".gguf"):
        registry.find("llms", config.llm.model)  # a name, and if it is misspelt: did you mean
    from plaudit.llms import weights

    if util.find_spec("cyllama") is None:
        raise MissingExtraError("the embedded model needs the package 'cyllama'. Type: pip install 'plaudit[embedded]'")
    weights.resolve(config.llm.model)


def make_llm(config: LLMConfig) -> LLM:
    """The language model, loaded; or the ledger that stands in for it."""
    if config.replay:
        return ReplayLLM(config.replay, config.model)
    if is_server(config.model):
        return _make_server(config, probe=True)
    cls = registry.load("llms", "embedded")
    return cls(config.model, threads=config.threads or None, context=config.context)


def _make_server(config: LLMConfig, probe: bool) -> LLM:
    """The client of the server that the settings name."""
    options = {k: v for k, v in vars(config).items() if k not in ("model", "threads", "context", "ledger", "replay")}
    return registry.load("llms", "openai")(config.model, **options, probe=probe)


def make_protocol(config: JudgeConfig, own: str = "pointwise") -> Any:
    """The judging protocol with its prompt; ``own`` where the settings name none."""
    name = config.protocol or own
    cls = registry.load("protocols", name)
    prompt = prompts.load(config.prompt or name)
    prompt.require(*cls.fields)
    options = {"both_orders": config.both_orders} if "both_orders" in cls.__dataclass_fields__ else {}
    return cls(prompt, chat=config.chat, **options)
