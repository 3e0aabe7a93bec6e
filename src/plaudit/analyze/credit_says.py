"""What ``credit`` says of rewards that are held against a value: numbers, pictures, tables, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.analysis import ranks
from plaudit.analysis.ranks import Rank
from plaudit.analyze.base import Finding, Measure, Plot, Table
from plaudit.analyze.credit_walks import VALUES, Numbers, Walk
from plaudit.report.canvas import short
from plaudit.report.curves import Point
from plaudit.report.lines import Line, lines
from plaudit.report.words import NONE, number, percent

PAID, TASK, CONSTANT, NETWORK = "reward as paid", "task reward", "constant", "random network"


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


AHEAD = "steps before success over which it is larger than on average, not by chance"


def hold(name: str, reward: Sequence[Numbers], value: Sequence[Numbers]) -> Held:
    """A reward of each observation against the value of each."""
    changes = ranks.differences(reward), ranks.differences(value)
    return Held(name, ranks.within(reward, value), ranks.pooled(reward, value), ranks.within(*changes),
                ranks.pooled(*changes))  # fmt: skip


def describe(seen: Seen, ahead: int) -> Finding:
    """The reward against the value, as a finding; ``ahead`` steps before success are looked at."""
    held = [hold(name, said, seen.value) for name, said in seen.rewards.items()]
    won, main = seen.won, held[0]
    led_to = [np.append(np.nan, each[1:]) for each in seen.value]  # the steps that rewards are looked at on
    reach = {name: ranks.reach(said, won, ahead) for name, said in {"value": led_to, **seen.rewards}.items()}
    of_value = reach["value"]
    by_chance = [ranks.reach(said, won, ahead) for said in seen.networks]
    chance = _of_networks([rho for said in seen.networks if (rho := ranks.within(said, seen.value).rho) is not None])
    measures = [
        _measure(f"rho of {main.name} and value, in episodes", main.within),
        _measure(f"rho of {main.name} and value, over all", main.pooled),
        _measure("rho of their changes, in episodes", main.changes),
        *(_measure(f"rho of {each.name} and value, in episodes", each.within) for each in held[1:]),
        chance,
        _ahead("value", reach["value"], sum(won), AHEAD),
        *(_ahead(name, reach[name], sum(won)) for name in dict.fromkeys((main.name, TASK))),
        _networks_ahead(by_chance),
    ]
    return Finding(
        headline=_headline(main, seen.kind, chance, _claim(reach[main.name], of_value, by_chance, ahead)),
        lede=f"Value: {VALUES[seen.kind]} (--credit.value {seen.kind}). {len(won)} episodes, {sum(won)} of them a success, "
        f"of {', '.join(seen.acting)}, on seeds that nothing else uses. Intervals resample episodes. An episode in which a "
        "reward never changes counts as 0, one in which the value never changes is left out.",
        measures=measures,
        plots=_plots(seen, ahead),
        tables=[_by_source(seen), _all(held)],
        warnings=_warnings(seen, main, chance) + _too_far(main, reach[main.name], of_value, by_chance, ahead),
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


def _ahead(name: str, steps: int, successes: int, note: str = "") -> Measure:
    return Measure(f"steps ahead of success: {name}", float(steps), n=successes, share=False, note=note)


def _networks_ahead(steps: Sequence[int]) -> Measure:
    low, high = np.percentile(steps, [2.5, 97.5]).tolist() if steps else (None, None)
    name, mean = f"steps ahead of success: {NETWORK}", float(np.mean(steps)) if steps else None
    return Measure(name, mean, low, high, len(steps), share=False, note="mean and 95% range over networks")


def _headline(main: Held, kind: str, chance: Measure, claim: str) -> str:
    """With what chance correlates beside it, and the claim of how far it speaks."""
    if main.within.rho is None and main.pooled == ranks.NOTHING:
        return f"There is nothing to hold {main.name} against: no observation has a value that no reward had a part in."
    if main.within.rho is None:
        return f"There is nothing to hold {main.name} against: {VALUES[kind]} is the same everywhere."
    said = f"Inside an episode {main.name} follows {VALUES[kind]} with a rank correlation of {_written(main.within)}"
    if chance.low is not None and chance.high is not None:
        said += f", where random networks have {number(chance.low)} to {number(chance.high)}"
    return said + claim + "."


def _claim(reach: int, of_value: int, by_chance: Sequence[int], ahead: int) -> str:
    """How far ahead it speaks: only where that is farther than networks do by chance, and no farther than the value does.

    What is larger over more steps than the value is larger in whole episodes that succeed, whatever is ahead.
    """
    if not _most(by_chance) < reach <= of_value:
        return ""
    if reach == ahead:
        return f"; it speaks over all of the last {ahead} steps before success, as the value does"
    return f"; it speaks {reach} step{'' if reach == 1 else 's'} ahead of success, the value {of_value}"


def _most(by_chance: Sequence[int]) -> float:
    """How many steps ahead of success random networks speak at most, but for a few."""
    return float(np.percentile(by_chance, 97.5)) if by_chance else 0.0


def _plots(seen: Seen, ahead: int) -> list[Plot]:
    """The reward, the value and controls by time to success, and the reward by value."""
    name, value = next(iter(seen.rewards)), ranks.percentiles_of(seen.value)
    shares = {
        "the value": value,
        name: ranks.percentiles_of(seen.rewards[name]),
        TASK: ranks.percentiles_of(seen.rewards[TASK]),
    }
    networks = [ranks.percentiles_of(said) for said in seen.networks]

    def timed(said: ranks.Series) -> list[Point]:
        moments = ranks.before_success(said, seen.won, ahead + 1)
        return [Point(-m.ahead, m.mean, m.low, m.high) for m in reversed(moments)]

    def levelled(said: ranks.Series) -> list[Point]:
        return [Point(b.middle, b.mean, b.low, b.high) for b in ranks.by_level(said, value)]

    up = "Up: share of all steps that have less. "
    drawn = "Bands: 95%; of random networks the range over networks."
    found = []
    series = [Line(what, timed(said), slot) for slot, (what, said) in enumerate(shares.items())]
    series.append(Line(f"{NETWORK}s", _range([timed(said) for said in networks]), len(shares)))
    if any(line.points for line in series):
        picture = lines([line for line in series if line.points], "Reward and value by steps before success", y=(0, 1),
                        labels=(short, percent))  # fmt: skip
        found.append(Plot("By time to success", picture, f"Across: steps until success, which is at 0. {up}{drawn}"))
    series = [Line(what, levelled(shares[what]), slot) for slot, what in enumerate(shares) if slot]
    series.append(Line(f"{NETWORK}s", _range([levelled(said) for said in networks]), len(shares)))
    if any(line.points for line in series):
        diagonal = [(0.0, 0.0), (1.0, 1.0)]
        picture = lines(
            [line for line in series if line.points], "Reward by value", (0, 1), (0, 1), (percent, percent), diagonal
        )
        legend = f"Across: share of all steps of less value. {up}On the broken line both are in the same order. {drawn}"
        found.append(Plot("By value, in all episodes", picture, legend))
    return found


def _range(of_each: Sequence[Sequence[Point]]) -> list[Point]:
    """Mean and 95% range over networks, at each x."""
    found = []
    for points in zip(*of_each, strict=True):
        values = [p.y for p in points]
        low, high = np.percentile(values, [2.5, 97.5]).tolist()
        found.append(Point(points[0].x, float(np.mean(values)), low, high))
    return found


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


def repeats(played: Sequence[Walk], found: Sequence[Walk]) -> list[str]:
    """What is to be said where only ``found`` of the episodes ``played`` are different."""
    if len(found) == len(played):
        return []
    of, kept = (Counter(walk.source for walk in each) for each in (played, found))
    each = ", ".join(f"{source}: {kept[source]} of {count}" for source, count in of.items())
    return [
        f"{len(found)} of {len(played)} episodes are different ({each}). Repeats tell nothing new and are left out."
    ]


def _steps(n: int) -> str:
    return f"{n} step{'' if n == 1 else 's'}"


def _too_far(main: Held, reach: int, of_value: int, by_chance: Sequence[int], ahead: int) -> list[str]:
    """What speaks against the number of steps ahead of success."""
    said, most, name = [], _most(by_chance), main.name
    if reach > of_value and main.pooled != ranks.NOTHING:
        said.append(
            f"{name} is larger than on average for {_steps(reach)} before success, the value itself for {of_value}: it is "
            "larger in whole episodes that succeed, which does not show that it speaks ahead of success."
        )
    if 0 < reach <= most:
        said.append(
            f"Random networks are larger than on average for up to {_steps(round(most))} before success: the {reach} "
            f"of {name} do not stand out from them."
        )
    if reach == ahead:
        said.append(f"No more than {ahead} steps before success are looked at, so it may be more: --credit.ahead")
    return said


def _warnings(seen: Seen, main: Held, chance: Measure) -> list[str]:
    said, won = [], sum(seen.won)
    if won < ranks.LEAST:
        many = f"{won or 'No'} episode{'' if won == 1 else 's'}"
        said.append(f"{many} succeeded: how far ahead of success it speaks cannot be told.")
    rho, inside = main.within.rho, main.within.episodes
    if rho is not None and chance.low is not None and chance.high is not None and chance.low <= rho <= chance.high:
        said.append(
            f"Networks that were fitted to nothing correlate by {number(chance.low)} to {number(chance.high)} in episodes: "
            f"the {number(rho)} of {main.name} does not stand out from them."
        )
    if 0 < inside < ranks.LEAST:
        said.append(f"The value changes inside {inside} of the episodes alone: no interval of what holds inside them.")
    valued = {w.source for w, value in zip(seen.walks, seen.value, strict=True) if np.isfinite(value).any()}
    if not valued:
        said.append(
            "There is no value to hold against: the world tells none, and no expert or task agent is here that sometimes "
            "succeeds."
        )
    elif silent := [source for source in seen.acting if source not in valued]:
        said.append(f"Episodes of {', '.join(silent)} have no value here and count only by time to success.")
    return said
