"""credit: how a reward spreads over a trajectory, and how far ahead of success it speaks.

    plaudit analyze credit runs/doorkey
    plaudit analyze credit runs/doorkey --credit.discounts 0 0.5 0.9 0.95 0.99      # trains agents with each of these

Episodes of a random policy, the run's agents and the expert, on seeds of their own, are given a value that no reward had a
part in: in DoorKey the exact one of the best player, elsewhere the best that the world can tell (``credit_walks``). The
reward of each observation, and its changes, are held against it, beside controls: the task reward, a constant, and
networks of the reward model's shape with their first weights, which show what chance correlates. The value measures and is
never part of a reward. Leaves out the LLM itself: it is the reward as made that is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.analysis import ranks
from plaudit.analysis.ranks import Rank
from plaudit.analyze import credit_discounts
from plaudit.analyze.base import Analysis, Finding, Measure, Plot, Subject, Table
from plaudit.analyze.credit_walks import (
    VALUES,
    Numbers,
    ValueKind,
    Walk,
    random_networks,
    run_reward,
    sources,
    values,
    walks,
)
from plaudit.console import progress
from plaudit.errors import ConfigError
from plaudit.report.curves import Point
from plaudit.report.lines import Line, lines
from plaudit.report.words import NONE, label, number
from plaudit.stages.parts import make_route, make_world
from plaudit.store import Run, write_columns

PAID, TASK, CONSTANT, NETWORK = "reward as paid", "task reward", "constant", "random network"


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
    """Discounts that agents are trained with, under the task reward and the run's (0 0.5 0.9 0.95 0.99); none: no one."""
    seeds: int = 5
    """Agents of each discount and reward."""
    train_steps: int = 0
    """Environment steps of each; 0 for as many as the run's agents had."""


@dataclass(frozen=True)
class Held:
    """One reward held against the value."""

    name: str
    """Which reward."""
    within: Rank
    """Inside episodes, their mean."""
    pooled: Rank
    """Over all steps."""
    changes: Rank
    """Changes of the reward and of the value, inside episodes."""
    pooled_changes: Rank
    """The same over all steps."""


@dataclass(frozen=True)
class Seen:
    """Episodes with their value and with what each reward says of them."""

    walks: list[Walk]
    """The episodes."""
    kind: str
    """Which value they have."""
    value: list[Numbers]
    """The value of each observation of each."""
    rewards: dict[str, list[Numbers]]
    """Each reward of each; the run's own first."""
    networks: list[list[Numbers]]
    """What each random network says of each."""

    @property
    def won(self) -> list[bool]:
        """Which of them succeed."""
        return [walk.success for walk in self.walks]

    @property
    def acting(self) -> list[str]:
        """Whose episodes they are."""
        return list(dict.fromkeys(walk.source for walk in self.walks))


class Credit(Analysis):
    """How a reward spreads over a trajectory, and how far ahead of success it speaks."""

    options = CreditOptions
    reads = ("collect",)

    def find(self, subject: Subject, options: CreditOptions) -> Finding:
        run = _with_reward(subject.finished_run("collect"))
        world = make_world(run.config.world)
        acting, found = sources(run, world), list[Walk]()
        with progress("credit", len(acting) * options.episodes) as advance:
            for walk in walks(run, world, acting, options.episodes, options.steps):
                found.append(walk)
                advance(1)
        kind, value = values(found, options.gamma or run.config.train.gamma, options.value)
        own, paid = run_reward(run, world, found)
        name = label(run.config.route)
        rewards = {name: own, PAID: paid, TASK: [w.task_reward for w in found]}
        rewards |= {CONSTANT: [np.ones(len(w.steps)) for w in found]}
        networks = random_networks(run, world, found, options.networks)
        world.close()
        _keep(subject, found, value, rewards)
        held = [hold(reward, said, value) for reward, said in rewards.items()]
        chance = [hold(NETWORK, said, value) for said in networks]
        seen = Seen(found, kind, value, rewards, networks)
        made = _describe(seen, held, chance, options)
        if not options.discounts:
            return made
        trained = credit_discounts.train(run, subject.folder, options.discounts, options.seeds, options.train_steps)
        return _joined(made, credit_discounts.finding(trained, run.config.route))


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


def hold(name: str, reward: Sequence[Numbers], value: Sequence[Numbers]) -> Held:
    """A reward of each observation against the value of each."""
    changes = ranks.differences(reward), ranks.differences(value)
    return Held(name, ranks.within(reward, value), ranks.pooled(reward, value), ranks.within(*changes),
                ranks.pooled(*changes))  # fmt: skip


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


def _describe(seen: Seen, held: Sequence[Held], chance: Sequence[Held], options: CreditOptions) -> Finding:
    won, main = seen.won, held[0]
    reach = {
        name: ranks.reach(said, won, options.ahead) for name, said in {"value": seen.value, **seen.rewards}.items()
    }
    by_chance = [ranks.reach(said, won, options.ahead) for said in seen.networks]
    measures = [
        _measure(f"rho of {main.name} and value, in episodes", main.within),
        _measure(f"rho of {main.name} and value, over all", main.pooled),
        _measure("rho of their changes, in episodes", main.changes),
        *(_measure(f"rho of {each.name} and value, in episodes", each.within) for each in held[1:]),
        _of_networks([each.within.rho for each in chance if each.within.rho is not None]),
        *(_ahead(name, reach[name], sum(won)) for name in ("value", main.name, TASK)),
        _networks_ahead(by_chance),
    ]
    return Finding(
        headline=_headline(main, seen.kind, reach[main.name], sum(won)),
        lede=f"Value: {VALUES[seen.kind]} (--credit.value {seen.kind}). {len(won)} episodes, {sum(won)} of them a success, "
        f"of {', '.join(seen.acting)}, on seeds that nothing else uses. Intervals resample episodes. An episode in which a "
        "reward never changes counts as 0, one in which the value never changes is left out.",
        measures=measures,
        plots=_plots(seen, options) if sum(won) >= ranks.LEAST else [],
        tables=[_by_source(seen), _all(held)],
        warnings=_warnings(seen),
        facts={"value": seen.kind, "episodes": len(won), "successes": sum(won), "ahead": reach, "by_chance": by_chance},
    )


def _measure(name: str, rank: Rank) -> Measure:
    return Measure(name, rank.rho, rank.low, rank.high, rank.episodes, chance=0.0, share=False)


def _of_networks(said: Sequence[float]) -> Measure:
    """Where the correlations of random networks lie: 95% of them."""
    low, high = np.percentile(said, [2.5, 97.5]).tolist() if said else (None, None)
    note = "mean and 95% range over networks with their first weights: what chance correlates"
    name, mean = f"rho of a {NETWORK} and value, in episodes", float(np.mean(said)) if said else None
    return Measure(name, mean, low, high, len(said), 0.0, share=False, note=note)


def _ahead(name: str, steps: int, successes: int) -> Measure:
    note = "steps before success over which it lies above its mean over all steps, not by chance"
    return Measure(f"steps ahead of success: {name}", float(steps), n=successes, share=False, note=note)


def _networks_ahead(steps: Sequence[int]) -> Measure:
    low, high = np.percentile(steps, [2.5, 97.5]).tolist() if steps else (None, None)
    name, mean = f"steps ahead of success: {NETWORK}", float(np.mean(steps)) if steps else None
    return Measure(name, mean, low, high, len(steps), share=False, note="mean and 95% range over networks")


def _headline(main: Held, kind: str, reach: int, successes: int) -> str:
    if main.within.rho is None:
        return f"There is nothing to hold {main.name} against: {VALUES[kind]} is the same everywhere."
    rank = main.within
    span = NONE if rank.low is None else f"{number(rank.low)} to {number(rank.high)}"
    ahead = f"; it speaks {reach} steps ahead of success" if successes >= ranks.LEAST else ""
    with_value = f"with a rank correlation of {number(rank.rho)} ({span})"
    return f"Inside an episode {main.name} follows {VALUES[kind]} {with_value}{ahead}."


def _plots(seen: Seen, options: CreditOptions) -> list[Plot]:
    """The value, the reward and controls by time to success."""
    name, series = next(iter(seen.rewards)), []
    shown = {"the value": seen.value, name: seen.rewards[name], TASK: seen.rewards[TASK]}
    shown |= {f"a {NETWORK}": seen.networks[0]} if seen.networks else {}
    for slot, (what, said) in enumerate(shown.items()):
        moments = ranks.before_success(ranks.standard(said), seen.won, options.ahead + 1)
        points = [Point(-m.ahead, m.mean, m.low, m.high) for m in reversed(moments)]
        series += [Line(what, points, slot)] if points else []
    picture = lines(series, "Reward and value by steps before success")
    note = (
        "Across: steps until success, which is at 0. Up: standard deviations above the mean over all steps of all "
        "episodes. Bands are 95%, over the episodes that succeed and are that long. One random network is shown."
    )
    return [Plot("By time to success", picture, note)]


def _by_source(seen: Seen) -> Table:
    rows = []
    for source in seen.acting:
        chosen = [i for i, walk in enumerate(seen.walks) if walk.source == source]
        for name, said in seen.rewards.items():
            if name != CONSTANT:
                held = hold(name, [said[i] for i in chosen], [seen.value[i] for i in chosen])
                rows.append(
                    [source, name, *map(_written, (held.within, held.pooled, held.changes)), held.within.episodes]
                )
    columns = ["episodes of", "reward", "in episodes", "over all steps", "changes, in episodes", "episodes"]
    return Table("By who acted", columns, rows, "Rank correlation with the value.")


def _all(held: Sequence[Held]) -> Table:
    rows = [
        [h.name, *map(_written, (h.within, h.pooled, h.changes, h.pooled_changes)), h.within.episodes] for h in held
    ]
    columns = [
        "reward",
        "inside episodes",
        "over all steps",
        "changes, inside",
        "changes, over all",
        "episodes with ranks",
    ]
    return Table("All episodes together", columns, rows)


def _written(rank: Rank) -> str:
    span = "" if rank.low is None else f" ({number(rank.low)} to {number(rank.high)})"
    return NONE if rank.rho is None else number(rank.rho) + span


def _warnings(seen: Seen) -> list[str]:
    said, won = [], sum(seen.won)
    if won < ranks.LEAST:
        said.append(f"Only {won} episodes succeeded: how far ahead of success it speaks cannot be told.")
    valued = {w.source for w, value in zip(seen.walks, seen.value, strict=True) if np.isfinite(value).any()}
    if not valued:
        said.append(
            "There is no value to hold against: the world tells none, and neither an expert nor a task agent acts."
        )
    elif silent := [source for source in seen.acting if source not in valued]:
        said.append(f"Episodes of {', '.join(silent)} have no value here and count only by time to success.")
    return said


def _joined(one: Finding, other: Finding) -> Finding:
    """Both as one."""
    return Finding(
        headline=" ".join(filter(None, (one.headline, other.headline))),
        lede=one.lede,
        measures=[*one.measures, *other.measures],
        plots=[*one.plots, *other.plots],
        tables=[*one.tables, *other.tables],
        warnings=[*one.warnings, *other.warnings],
        facts=one.facts | other.facts,
    )
