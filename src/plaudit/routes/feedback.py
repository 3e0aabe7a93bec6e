"""What the routes share that ask a judge: items to judge, asking in rounds, and how answers are stored.

An item is one observation, or a segment of consecutive ones. In more than one round, a share of the items is asked first
and kept aside; after each round the reward is fitted to the rest, and how often it orders the kept ones as the judge does
is the learning curve (``annotate/curve.parquet``). Later rounds may ask where the ensemble disagrees, and asking may stop
when the curve is flat.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit import registry
from plaudit.config import RunConfig
from plaudit.console import answers, console
from plaudit.errors import ConfigError
from plaudit.judging import selection
from plaudit.judging.base import PART, PICTURED, check_failed, part_size
from plaudit.judging.consistency import triples
from plaudit.judging.scorer import Scorer, paired, preferences
from plaudit.llms.base import LLM, Arrived
from plaudit.routes.items import Items, draw_items
from plaudit.routes.labels import Labels, parts
from plaudit.routes.networks import Fitting
from plaudit.routes.pictures import check_pictures, images
from plaudit.stages.parts import llm_spend, make_protocol, make_world, open_llm
from plaudit.store import Run, write_table
from plaudit.texts import Texts

if TYPE_CHECKING:
    from plaudit.envs.base import World

Numbers = NDArray[np.int64]
Answers = tuple[Numbers, NDArray[np.float64]]
"""Numbers of two items each, ``(n, 2)``, and P(first is better), NaN where the judge failed, ``(n,)``."""


def annotate(run: Run, protocol: Any) -> None:
    """Ask the judge, and finish the stage."""
    start, judge = time.perf_counter(), run.config.judge
    rng = np.random.default_rng(run.config.seed)
    with contextlib.closing(Texts(run.stage("annotate"))) as texts:
        pool = draw_items(run, texts, rng)
        if len(pool) < 2:
            raise ConfigError(
                f"there are only {len(pool)} items to judge. Collect more: --collect.steps, --collect.recorded"
            )
        goal, scores = make_world(run.config.world).goal, isinstance(protocol, Scorer)
        total = items = min(judge.items, len(pool))
        if not scores:
            most = items * (items - 1) // 2 if judge.selection == "transitive" else judge.pairs
            total = min(judge.pairs, most) * (1 + judge.both_orders)
        with (
            open_llm(run, judge.max_failures) as llm,
            answers("annotate", total, run.budget) as arrived,
            Labels(run.folder / "annotate") as labels,
        ):
            asking = _Asking(run, pool, protocol, labels, llm, goal, arrived)
            curve = _scored(asking, rng) if scores else _compared(asking, rng)
        _finish(run, start, asking, curve)


@dataclass(frozen=True)
class _Asking:
    """Who is asked about what, and where the answers go."""

    run: Run
    pool: Items
    protocol: Any
    labels: Labels
    llm: LLM
    goal: str
    arrived: Arrived

    def judge(self, items: Numbers) -> None:
        """Ask about single items."""
        for part in parts(items, self._part):
            judged = self._showing(part).judge(self.llm, self.goal, self.pool.take(part), self.arrived)
            self.labels.judge(part.tolist(), judged)

    def compare(self, pairs: Numbers) -> None:
        """Ask about two at once."""
        for part in parts(pairs, self._part // 2):
            texts = self.pool.take(part.ravel())
            seated = list(zip(texts[::2], texts[1::2], strict=True))
            compared = self._showing(np.unique(part)).compare(self.llm, self.goal, seated, self.arrived)
            self.labels.compare(part, compared, asked=True)

    @property
    def _part(self) -> int:
        return part_size(self.llm) if self.pool.pictures is None else PICTURED

    def _showing(self, items: Numbers) -> Any:
        """The protocol, with the pictures of these items where it shows any."""
        shown = self.pool.show(items)
        return self.protocol if shown is None else dataclasses.replace(self.protocol, pictures=shown)

    def pair_up(self, pairs: Numbers) -> None:
        """Comparisons of judgements, by their numbers, at no cost."""
        values, paid = self.labels.values, np.zeros(len(self.labels.item), bool)
        scale = self.protocol.scale(values[~np.isnan(values)])
        items = np.array(self.labels.item)
        for part in parts(pairs, PART // 2):
            self.labels.compare(items[part], list(paired(self.labels.take(part), part, scale, paid)), asked=False)


def _scored(asking: _Asking, rng: np.random.Generator) -> list[dict[str, float]]:
    """One question for each item; pairs follow at no cost."""
    judge, labels = asking.run.config.judge, asking.labels
    items, curve = min(judge.items, len(asking.pool)), _Curve(asking, len(asking.pool))

    def preferred(judged: slice, pairs: Numbers) -> Answers:
        values, about = labels.values[judged], np.array(labels.item)[judged]
        scale = asking.protocol.scale(values[~np.isnan(values)])
        return about[pairs], preferences(values[pairs[:, 0]], values[pairs[:, 1]], scale)

    if judge.rounds == 1:
        asking.judge(np.arange(items))
    else:
        kept, batches = _plan(items, asking.run.config)
        asking.judge(np.arange(kept))
        pairs = selection.random_pairs(kept, judge.pairs, rng)
        curve.held = preferred(slice(kept), selection.distinct(pairs))
        for size in batches:
            asking.judge(curve.next_items(size))
            pairs = selection.random_pairs(len(labels.item) - kept, judge.pairs, rng)
            if curve.add(len(labels.item), preferred(slice(kept, None), pairs)):
                break
    asking.pair_up(selection.random_pairs(len(labels.item), judge.pairs, rng))
    return curve.points


def _compared(asking: _Asking, rng: np.random.Generator) -> list[dict[str, float]]:
    """Questions about two items at once."""
    judge, items = asking.run.config.judge, min(asking.run.config.judge.items, len(asking.pool))
    if judge.selection == "transitive":
        return _sorted(asking, items, rng)
    if judge.rounds == 1:
        asking.compare(selection.random_pairs(items, judge.pairs, rng))
        return []
    curve, (apart, _) = _Curve(asking, items), _plan(items, asking.run.config)
    kept, batches = _plan(judge.pairs, asking.run.config)
    asking.compare(selection.distinct(selection.random_pairs(apart, 2 * kept, rng))[:kept])
    curve.held = asking.labels.answers
    for size in batches:
        asking.compare(curve.next_pairs(apart, size, rng))
        pairs, probability = asking.labels.answers
        if curve.add(len(pairs), (pairs[len(curve.held[0]) :], probability[len(curve.held[0]) :])):
            break
    return curve.points


def _sorted(asking: _Asking, items: int, rng: np.random.Generator) -> list[dict[str, float]]:
    """Questions about two items whose order does not follow from the answers so far, until none is left."""
    order, labels, left = selection.Order(items), asking.labels, asking.run.config.judge.pairs
    while left and len(pairs := order.next_pairs(left, rng)):
        asking.compare(pairs)
        order.add(pairs, labels.answers[1][-len(pairs) :])
        left -= len(pairs)
    console.print(f"  {len(labels.answers[1]):,} answers settle {order.settled:.1%} of the pairs of {items:,} items")
    return []


def _plan(total: int, config: RunConfig) -> tuple[int, list[int]]:
    """How many are kept aside, and how many are asked in each round."""
    kept = max(2, math.ceil(total * config.fit.held_out))
    rounds = np.array_split(np.arange(max(0, total - kept)), config.judge.rounds)
    return kept, [len(part) for part in rounds if len(part)]


class _Curve:
    """Held-out accuracy after each round, and the ensemble's opinion of what to ask next; over the first ``items``."""

    def __init__(self, asking: _Asking, items: int) -> None:
        self.run, self.pool, self.labels, self.items = asking.run, asking.pool, asking.labels, items
        self.held: Answers = selection.NONE, np.zeros(0)
        self.points: list[dict[str, float]] = []
        self._opinions: NDArray[np.floating] | None = None

    def next_items(self, size: int) -> Numbers:
        """Items for the next round."""
        if self._opinions is None or self.run.config.judge.selection == "uniform":
            return np.setdiff1d(np.arange(self.items), self.labels.item)[:size]
        return selection.disputed_items(self._opinions, size, self.labels.item)

    def next_pairs(self, apart: int, size: int, rng: np.random.Generator) -> Numbers:
        """Pairs for the next round, of items from ``apart`` on."""
        asked = self.labels.answers[0][len(self.held[0]) :] - apart
        if self._opinions is None or self.run.config.judge.selection == "uniform":
            drawn = selection.random_pairs(self.items - apart, 4 * size, rng)
            return selection.distinct(drawn, asked)[:size] + apart
        return selection.disputed_pairs(self._opinions[:, apart:], size, len(self.points), asked) + apart

    @functools.cached_property
    def _fitting(self) -> Fitting:
        return Fitting(self.run, self.pool.take(np.arange(self.items)), self.pool.members)

    def add(self, labels: int, answers: Answers) -> bool:
        """Fit to these, measure on those kept aside; True when asking more has stopped to help."""
        from plaudit.rewards import bradley_terry
        from plaudit.rewards.fitting import item_rewards

        config, fitting = self.run.config, self._fitting
        train, held = (fitting.targets(*part) for part in (answers, self.held))
        if not (len(train) and (held.target != 0.5).any()):
            raise ConfigError(
                f"too few usable labels to measure by rounds: {len(train)} pairs to fit, {len(held)} kept aside, or all of "
                "these are ties. Raise --judge.items or --judge.pairs, or ask in one round (--judge.rounds 1)."
            )
        bradley_terry.fit(fitting.model, fitting.observations, train, fitting.options, config.seed, fitting.segments)
        self._opinions = item_rewards(fitting.model, fitting.observations, fitting.segments)
        mean = self._opinions.mean(axis=0)
        accuracy = bradley_terry.accuracy(bradley_terry.predict(mean, held), held.target)
        self.points.append({"labels": labels, "held_out_accuracy": accuracy})
        console.print(f"  {labels:,} labels: orders {accuracy:.1%} of {len(held)} held-out pairs as the judge does")
        return selection.flat([p["held_out_accuracy"] for p in self.points], config.judge.patience)


def _finish(run: Run, start: float, asking: _Asking, curve: list[dict[str, float]]) -> None:
    folder, judge, labels, protocol = run.folder / "annotate", run.config.judge, asking.labels, asking.protocol
    pairs, probability = labels.answers
    if curve:
        write_table(folder / "curve.parquet", curve)
    if (members := asking.pool.members) is not None:
        numbers, first = np.unique(pairs, return_index=True)
        judged = asking.pool.take(numbers[np.argsort(first)])  # as they come in the comparisons
        write_table(folder / "items.parquet", [{"text": t, "members": list(members[t])} for t in judged])
    check_failed(labels.by_status, labels.last_failure, judge.max_failures)
    found = labels.statistics()
    if not isinstance(protocol, Scorer):
        found |= triples(pairs, probability)
    run.finish(
        "annotate",
        time.perf_counter() - start,
        goal=asking.goal,
        model=asking.llm.name,
        protocol=type(protocol).__name__.lower(),
        input=judge.input,
        prompt=protocol.prompt.name,
        prompt_hash=protocol.prompt.hash,
        prompt_text=protocol.prompt.text,
        failures=labels.failures,
        labels=found,
        **llm_spend(run),
    )


def check(config: RunConfig, world: World, protocols: Sequence[str]) -> None:
    """Raise now what asking would raise later."""
    protocol_of(config, protocols)
    if config.judge.input != "text":
        check_pictures(config.world, world, "--judge.input")


def protocol_of(config: RunConfig, protocols: Sequence[str]) -> Any:
    """The run's protocol, if it serves the route; the route's first where none is named."""
    if config.judge.protocol and config.judge.protocol not in protocols:
        raise ConfigError(
            f"the protocol {config.judge.protocol!r} does not serve the route {config.route!r}. It takes: "
            f"{', '.join(protocols)}."
        )
    if config.judge.selection == "transitive":
        _check_transitive(config, config.judge.protocol or protocols[0])
    if config.judge.segment > 1 and config.fit.input != "text":
        raise ConfigError("segments are fitted on descriptions: --fit.input text, or --judge.segment 1.")
    return make_protocol(config.judge, protocols[0], config.llm)


def _check_transitive(config: RunConfig, protocol: str) -> None:
    if issubclass(registry.load("protocols", protocol), Scorer):
        raise ConfigError(
            f"{protocol} scores one item at a time, so that all pairs are known after one question each: nothing is left "
            "to select. --judge.selection transitive is for --judge.protocol pairwise and verdict."
        )
    if config.judge.items > selection.MOST or config.judge.rounds > 1:
        raise ConfigError(
            f"--judge.selection transitive keeps a table of all pairs of at most {selection.MOST:,} items (--judge.items), "
            "and goes by rounds of its own (--judge.rounds 1)."
        )


def pilot(
    config: RunConfig, world: World, llm: LLM, observations: list[Any], protocols: Sequence[str]
) -> tuple[int, int]:
    """Ask about a few observations, for a forecast: (items or pairs to come, items or pairs asked)."""
    protocol, seen = protocol_of(config, protocols), {world.describe(o): o for o in observations}
    texts = list(seen)
    if config.judge.input != "text":
        protocol = dataclasses.replace(protocol, pictures=images(config.world, world, seen))
    if isinstance(protocol, Scorer):
        protocol.judge(llm, world.goal, texts)
        return config.judge.items, len(texts)
    pairs = list(zip(texts[::2], texts[1::2], strict=False))
    protocol.compare(llm, world.goal, pairs)
    return config.judge.pairs, len(pairs)
