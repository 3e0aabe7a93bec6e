"""What a configuration names, made: the world, its vectorised form, the policy, the route, the LLM and its ledger."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gymnasium.vector import VectorEnv

from plaudit import prompts, registry
from plaudit.config import JudgeConfig, LLMConfig, RunConfig, WorldConfig
from plaudit.console import console
from plaudit.envs.base import World
from plaudit.errors import ConfigError, StoreError, did_you_mean
from plaudit.llms.answers import Spend
from plaudit.llms.base import LLM
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.policies.base import Policy
from plaudit.policies.random import RandomPolicy
from plaudit.routes.base import Route
from plaudit.stages.models import check_llm as check_llm
from plaudit.stages.models import check_sees
from plaudit.stages.models import make_llm as make_llm
from plaudit.store import Run
from plaudit.world_file import split_task

DESCRIBED = ("observation", "first", "second")
"""Fields of judging prompts that hold a description; prompts for pictures alone have none of them."""


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
    files: dict[str, Any] = {key: getattr(config.llm, key) for key in ("adapter", "ledger", "replay")}
    files = {key: name and str(Path(name).absolute()) for key, name in files.items()}
    labels = config.fit.labels_from and str(Path(config.fit.labels_from).absolute())
    return dataclasses.replace(
        config,
        fit=dataclasses.replace(config.fit, labels_from=labels),
        world=settled_world(config.world),
        llm=dataclasses.replace(config.llm, **files),
    )


def settled_world(config: WorldConfig) -> WorldConfig:
    """The same with all that the world leaves to choose filled in; a file's path becomes absolute."""
    return dataclasses.replace(config, **{"name": split_task(config.name)[0]} | world_choices(config))


def as_made(config: RunConfig, before: WorldConfig) -> RunConfig:
    """These settings with a folder's own record of the world, where both mean the same: a choice may be younger than it."""
    same = before.name == config.world.name and settled_world(before) == config.world
    return dataclasses.replace(config, world=before) if same else config


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


def spent(folder: Path) -> Spend:
    """What a run's model was asked by this folder itself; answers taken over from another ledger cost nothing."""
    if not (path := folder / "ledger.sqlite").exists():
        return Spend(0, 0, 0, 0.0, 0.0)
    with contextlib.closing(Ledger(path)) as ledger:
        return ledger.spend(asked_only=True)


@contextlib.contextmanager
def open_llm(run: Run, max_failures: float = 1.0) -> Iterator[LedgerLLM]:
    """The run's model behind the run's ledgers and budget; all are closed at the end."""
    with contextlib.ExitStack() as stack:
        own, shared = (each and stack.enter_context(contextlib.closing(each)) for each in ledgers(run))
        llm = stack.enter_context(contextlib.closing(place_llm(run.config)))
        assert own is not None
        try:
            yield LedgerLLM(llm, own, max_failures, run.budget, shared)
        finally:
            if again := getattr(llm, "asked_again", 0):
                console.print(f"a worker died: up to {again:,} questions were asked twice")


def place_llm(config: RunConfig) -> LLM:
    """The language model, in this process or on a cluster's workers, as the settings want it."""
    if config.cluster.on == "local" or config.llm.replay:
        return make_llm(config.llm)
    from plaudit.stages.cluster import spread

    # Threads are a worker's own, not all that its node has.
    threads = config.llm.threads or max(1, int(config.cluster.cpus))
    make = functools.partial(make_llm, dataclasses.replace(config.llm, threads=threads))
    if config.cluster.serve:
        make = functools.partial(make_served, config.cluster.serve, config.llm)
    return spread(make, config.cluster)


def make_served(command: str, config: LLMConfig) -> LLM:
    """The client of a server that this command starts."""
    from plaudit.stages.serving import ServedLLM

    return ServedLLM(command, lambda url: make_llm(dataclasses.replace(config, url=url)))


@contextlib.contextmanager
def open_shared_llm(config: RunConfig) -> Iterator[LLM]:
    """The model behind the ledger that runs share, where the settings name one; for what has no run of its own."""
    with contextlib.closing(place_llm(config)) as llm:
        if not config.llm.ledger:
            yield llm
            return
        with contextlib.closing(Ledger(Path(config.llm.ledger))) as ledger:
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
    return load_agent(Path(name), world, seed)


def load_agent(folder: Path, world: World, seed: int) -> Policy:
    """The agent in this folder."""
    from plaudit.policies.trained import TrainedPolicy

    if not folder.is_dir():
        raise StoreError(
            f"there is no policy {str(folder)!r}. Give 'random', 'expert' or the folder of a trained agent: "
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
    if config.cluster.on != "local":
        from plaudit.stages import cluster

        cluster.check(config.cluster)
    world = make_world(config.world)
    if config.collect.policy != "llm":
        make_policy(config, config.collect.policy, world, config.seed)
    if trained_arms(config):
        check_agent(config, world)
    route = make_route(config.route)
    route.check(config, world)
    if (route.asks or config.collect.policy == "llm") and not config.cluster.serve:  # else it is not there yet
        check_llm(config.llm)
        if route.protocols and config.judge.input != "text":
            check_sees(config.llm)
        from plaudit.llms import gguf_adapter

        gguf_adapter.warn_of_met(config.llm, world.hidden)


def check_agent(config: RunConfig, world: World) -> None:
    """Raise now what making the trainer would raise later."""
    from plaudit.rl.agents import agent_record, make_agent, trainer_class

    trainer_class(config.train.algorithm)
    make_agent(agent_record(config.train), world.observation_space, world.action_space)


def make_protocol(config: JudgeConfig, own: str = "pointwise", llm: LLMConfig | None = None) -> Any:
    """The judging protocol with its prompt; ``own`` where the settings name none.

    A judge that plaudit has taught (``llm`` names its adapter) is asked in the prompt that it was taught in.
    """
    from plaudit.llms import gguf_adapter

    name = config.protocol or own
    cls, sees = registry.load("protocols", name), config.input != "text"
    taught = gguf_adapter.taught(llm, "judge") if llm else {}
    if sees and "pictures" not in cls.__dataclass_fields__:
        raise ConfigError(f"the protocol {name!r} shows no pictures: --judge.input text, or another protocol.")
    usual = f"{name}-{config.input}" if sees else name
    if taught.get("protocol") == name and taught.get("input", "text") == config.input:
        usual = taught.get("prompt", usual)
    prompt = prompts.load(config.prompt or usual)
    prompt.require(*(f for f in cls.fields if config.input != "image" or f not in DESCRIBED))
    options = {"both_orders": config.both_orders} if "both_orders" in cls.__dataclass_fields__ else {}
    return cls(prompt, chat=config.chat or sees, **options)  # pictures can be sent within a chat only
