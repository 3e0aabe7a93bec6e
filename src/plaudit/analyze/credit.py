"""credit: how a reward spreads over a trajectory, and how far ahead of success it speaks.

    plaudit analyze credit runs/doorkey
    plaudit analyze credit runs/doorkey --credit.discounts 0 0.5 0.9 0.95 0.99      # trains agents with each of these

Episodes of a random policy, the run's agents and the expert, on seeds of their own, are given a value that no reward had a
part in: in DoorKey the exact one of the best player, elsewhere the best that the world can tell (``credit_walks``). The
reward of each observation, and its changes, are held against it, beside controls: the task reward, a constant, and
networks of the reward model's shape with their first weights, which show what chance correlates. The value measures and is
never part of a reward; a judge that was taught by it has learned from it in other episodes, and a warning says so. Leaves
out the LLM itself: it is the reward as made that is looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.analyze import credit_discounts
from plaudit.analyze.base import Analysis, Finding, Subject
from plaudit.analyze.credit_says import CONSTANT, PAID, TASK, Seen, describe, repeats
from plaudit.analyze.credit_walks import (
    Numbers,
    ValueKind,
    Walk,
    different,
    random_networks,
    run_reward,
    sources,
    values,
    walks,
)
from plaudit.analyze.rewards import apart, caveats, taught
from plaudit.console import progress
from plaudit.errors import ConfigError
from plaudit.report.words import label
from plaudit.stages.parts import make_route, make_world
from plaudit.store import Run, write_columns, write_table


@dataclass(frozen=True)
class CreditOptions:
    """How credit is looked at."""

    episodes: int = 20
    """Episodes of each policy: random, the run's agents, the expert."""
    steps: int = 300
    """Steps of an episode that are looked at, at most."""
    value: ValueKind = "auto"
    """What the reward is held against: exact, world, progress, monte-carlo; auto takes the first that there is."""
    gamma: float = 0.0
    """Discount of the exact and the Monte Carlo value; 0 for the run's own."""
    networks: int = 20
    """Random networks of the reward model's shape."""
    ahead: int = 60
    """Steps before success that are shown."""
    discounts: tuple[float, ...] = ()
    """Discounts that agents are trained with, on the run's reward and the task's (0 0.5 0.9 0.95 0.99); none: no one."""
    controls: tuple[str, ...] = ("count",)
    """Rewards beside these two for each discount: novelty alone (count), constant, ...; none: no other."""
    seeds: int = 5
    """Agents of each discount and reward."""
    train_steps: int = 0
    """Environment steps of each; 0 for as many as the run's agents had."""


class Credit(Analysis):
    """How a reward spreads over episodes, how far ahead it speaks."""

    options = CreditOptions
    reads = ("collect",)

    def find(self, subject: Subject, options: CreditOptions) -> Finding:
        test = credit_discounts.Test(options.discounts, options.controls, options.seeds, options.train_steps)
        credit_discounts.check(test)
        _check(options)
        run = _with_reward(subject.finished_run("collect"))
        world = make_world(run.config.world)
        acting, played = sources(run, world), list[Walk]()
        with progress("credit", len(acting) * options.episodes) as advance:
            for walk in walks(run, world, acting, options.episodes, options.steps):
                played.append(walk)
                advance(1)
        found = different(played)
        kind, value = values(found, options.gamma or run.config.train.gamma, options.value)
        own, paid = run_reward(apart(subject, run), world, found)
        name = label(run.config.route)
        rewards = {name: own, PAID: paid, TASK: [w.task_reward for w in found]}
        rewards |= {CONSTANT: [np.ones(len(w.steps)) for w in found]}
        networks = [_of_steps(said) for said in random_networks(run, world, found, options.networks)]
        world.close()
        _keep(subject, found, value, rewards)
        rewards = {name: _of_steps(said) for name, said in rewards.items()}
        made = describe(Seen(found, kind, value, rewards, networks), options.ahead)
        doubts = [*made.warnings, *repeats(played, found), *caveats(run, ()), *taught(run)]
        made = dataclasses.replace(made, warnings=doubts)
        if not options.discounts:
            return made
        trained = credit_discounts.train(run, subject.folder, test)
        write_table(subject.folder / "agents.parquet", credit_discounts.by_seed(trained))
        return made.joined(credit_discounts.finding(trained, run.config.route))


def _check(options: CreditOptions) -> None:
    """Raise where the value's discount is none."""
    if not 0 <= options.gamma < 1:
        raise ConfigError(
            f"--credit.gamma must be above 0 and below 1, or 0 for the run's own, got {options.gamma:g}. "
            "For instance: --credit.gamma 0.97"
        )


def _with_reward(run: Run) -> Run:
    """The run, if it has a reward of its own to look at."""
    route = make_route(run.config.route)
    if not route.trains:
        raise ConfigError(
            f"the route {run.config.route!r} acts and makes no reward, so there is no credit to look at. "
            "Give a run of another route: plaudit list --routes"
        )
    if route.makes_reward:
        run.require("fit")
    return run


def _of_steps(reward: Sequence[Numbers]) -> list[Numbers]:
    """Without the start, which nobody is paid for: so all rewards are looked at on the same steps."""
    return [np.append(np.nan, each[1:]) for each in reward]


def _keep(subject: Subject, found: Sequence[Walk], value: Sequence[Numbers], rewards: dict[str, list[Numbers]]) -> None:
    """Every step as a row of ``steps.parquet``."""
    rows = {
        "episode": np.repeat(np.arange(len(found)), [len(w.steps) for w in found]),
        "source": [w.source for w in found for _ in w.steps],
        "step": [s.step for w in found for s in w.steps],
        "action": [s.action for w in found for s in w.steps],
        "text": [s.text for w in found for s in w.steps],
        "success": [s.success for w in found for s in w.steps],
        "value": np.concatenate(value),
    }
    write_columns(
        subject.folder / "steps.parquet", rows | {f"reward:{k}": np.concatenate(v) for k, v in rewards.items()}
    )
