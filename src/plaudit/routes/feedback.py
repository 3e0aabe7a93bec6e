"""What the routes share that ask a judge: items to judge, asking in rounds, and how answers are stored.

An item is one observation, or a segment of consecutive ones. In more than one round, a share of the items is asked first
and kept aside; after each round the reward is fitted to the rest, and how often it orders the kept ones as the judge does
is the learning curve (``annotate/curve.parquet``). Later rounds may ask where the ensemble disagrees, and asking may stop
when the curve is flat.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.config import JudgeConfig, RunConfig
from plaudit.console import answers, console
from plaudit.errors import ConfigError
from plaudit.judging import segments, selection
from plaudit.judging.base import Pair, check_failures
from plaudit.judging.scorer import Scorer
from plaudit.llms.base import LLM, Arrived
from plaudit.recording import load_recording
from plaudit.routes.networks import Fitting
from plaudit.stages.parts import llm_spend, make_protocol, make_world, open_llm
from plaudit.store import Run, read_table, write_table
from plaudit.types import Comparison, Judgement, failure_rate, seat_statistics

if TYPE_CHECKING:
    from plaudit.envs.base import World


@dataclass(frozen=True)
class Items:
    """What may be judged, in the order in which it is drawn: evenly over what has happened."""

    texts: list[str]
    """As the judge is shown it."""
    members: dict[str, tuple[str, ...]]
    """The descriptions that each consists of; one, unless items are segments."""

    def first(self, count: int) -> Items:
        """The first so many."""
        return Items(self.texts[:count], {t: self.members[t] for t in self.texts[:count]})


@dataclass(frozen=True)
class Labels:
    """What was answered."""

    judgements: list[Judgement]
    """Of single items; empty where the protocol compares two."""
    comparisons: list[Comparison]
    """Of two."""
    curve: list[dict[str, float]]
    """Held-out accuracy by number of labels; empty with one round."""


def draw_items(run: Run, rng: np.random.Generator) -> Items:
    """All items of a run, shuffled so that each event comes equally often as far as there are."""
    observations = read_table(run.require("collect") / "observations.parquet")
    length = run.config.judge.segment
    if length == 1:
        texts = [observations[i]["text"] for i in selection.evenly([row["event"] for row in observations], rng)]
        return Items(texts, {t: (t,) for t in texts})
    world, recording = make_world(run.config.world), load_recording(run.folder / "collect")
    said = [world.describe(o) for o in recording.single_observations()]
    events = {row["text"]: row["event"] for row in observations}
    members = {
        segments.join(m): m for m in (tuple(said[i] for i in row) for row in recording.segments(length).tolist())
    }
    every = list(members)
    order = selection.evenly([events.get(members[t][-1], "") for t in every], rng)
    return Items([every[i] for i in order], members)


def annotate(run: Run, protocol: Any) -> None:
    """Ask the judge, and finish the stage."""
    start, judge = time.perf_counter(), run.config.judge
    rng = np.random.default_rng(run.config.seed)
    pool = draw_items(run, rng)
    if len(pool.texts) < 2:
        raise ConfigError(
            f"there are only {len(pool.texts)} items to judge. Collect more: --collect.steps, --collect.recorded"
        )
    goal = make_world(run.config.world).goal
    with open_llm(run, judge.max_failures) as llm:
        total = (
            min(judge.items, len(pool.texts)) if isinstance(protocol, Scorer) else judge.pairs * (1 + judge.both_orders)
        )
        with answers("annotate", total, lambda: run.budget.usd) as arrived:
            rounds = _scored if isinstance(protocol, Scorer) else _compared
            labels = rounds(run, pool, protocol, _Asking(llm, goal, arrived), rng)
        model = llm.name
    _finish(run, start, labels, protocol, model, pool)


@dataclass(frozen=True)
class _Asking:
    llm: LLM
    goal: str
    arrived: Arrived


def _scored(run: Run, pool: Items, protocol: Scorer, asking: _Asking, rng: np.random.Generator) -> Labels:
    """One question for each item; pairs follow at no cost."""
    judge = run.config.judge
    items = pool.first(judge.items)

    def ask(texts: Sequence[str]) -> list[Judgement]:
        return protocol.judge(asking.llm, asking.goal, texts, asking.arrived)

    if judge.rounds == 1:
        judgements = ask(items.texts)
        return Labels(judgements, protocol.pair_up(judgements, _pairs(judgements, judge, rng)), [])
    kept, batches = _plan(len(items.texts), run.config)
    held = ask(items.texts[:kept])
    judged: list[Judgement] = []
    curve = _Curve(run, pool, protocol.pair_up(held, selection.distinct(_pairs(held, judge, rng))))
    for size in batches:
        known = [j.text for j in (*held, *judged)]
        judged += ask(curve.next_items(known, size))
        if curve.add(len(held) + len(judged), protocol.pair_up(judged, _pairs(judged, judge, rng))):
            break
    judgements = held + judged
    return Labels(judgements, protocol.pair_up(judgements, _pairs(judgements, judge, rng)), curve.points)


def _compared(run: Run, pool: Items, protocol: Any, asking: _Asking, rng: np.random.Generator) -> Labels:
    """Questions about two items at once."""
    judge, texts = run.config.judge, pool.first(run.config.judge.items).texts

    def ask(pairs: Sequence[Pair]) -> list[Comparison]:
        return protocol.compare(asking.llm, asking.goal, pairs, asking.arrived)

    if judge.rounds == 1:
        return Labels([], ask(selection.random_pairs(texts, judge.pairs, rng)), [])
    apart, _ = _plan(len(texts), run.config)
    kept, batches = _plan(judge.pairs, run.config)
    held = ask(selection.distinct(selection.random_pairs(texts[:apart], 2 * kept, rng))[:kept])
    asked: list[Comparison] = []
    curve = _Curve(run, Items(texts, pool.members), held)
    for size in batches:
        before = [(c.first, c.second) for c in asked]
        asked += ask(curve.next_pairs(texts[apart:], before, size, rng))
        if curve.add(len(held) + len(asked), asked):
            break
    return Labels([], held + asked, curve.points)


def _pairs(judgements: Sequence[Judgement], judge: JudgeConfig, rng: np.random.Generator) -> list[Pair]:
    return selection.random_pairs([j.text for j in judgements], judge.pairs, rng)


def _plan(total: int, config: RunConfig) -> tuple[int, list[int]]:
    """How many are kept aside, and how many are asked in each round."""
    kept = max(2, math.ceil(total * config.fit.held_out))
    parts = np.array_split(np.arange(max(0, total - kept)), config.judge.rounds)
    return kept, [len(part) for part in parts if len(part)]


class _Curve:
    """Held-out accuracy after each round, and the ensemble's opinion of what to ask next."""

    def __init__(self, run: Run, pool: Items, held: list[Comparison]) -> None:
        self.run, self.pool, self.held = run, pool, held
        self.points: list[dict[str, float]] = []
        self._opinions: NDArray[np.floating] | None = None

    def next_items(self, known: Sequence[str], size: int) -> list[str]:
        """Items for the next round."""
        fresh = [t for t in self.pool.texts if t not in set(known)]
        if self._opinions is None or self.run.config.judge.selection == "uniform":
            return fresh[:size]
        return selection.disputed_items(self.pool.texts, self._opinions, size, known)

    def next_pairs(self, texts: list[str], asked: list[Pair], size: int, rng: np.random.Generator) -> list[Pair]:
        """Pairs for the next round."""
        if self._opinions is None or self.run.config.judge.selection == "uniform":
            return selection.distinct(selection.random_pairs(texts, 4 * size, rng), asked)[:size]
        number = {t: i for i, t in enumerate(self.pool.texts)}
        opinions = self._opinions[:, [number[t] for t in texts]]
        return selection.disputed_pairs(texts, opinions, size, len(self.points), asked)

    def add(self, labels: int, comparisons: list[Comparison]) -> bool:
        """Fit to these, measure on those kept aside; True when asking more has stopped to help."""
        from plaudit.rewards import bradley_terry
        from plaudit.rewards.fitting import item_rewards

        config = self.run.config
        fitting = Fitting(self.run, self.pool.texts, self.pool.members)
        train, held = (fitting.targets(part) for part in (comparisons, self.held))
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


def _finish(run: Run, start: float, labels: Labels, protocol: Any, model: str, pool: Items) -> None:
    folder, judge = run.folder / "annotate", run.config.judge
    for name, rows in (("judgements", labels.judgements), ("comparisons", labels.comparisons), ("curve", labels.curve)):
        if rows:
            write_table(folder / f"{name}.parquet", rows)
    judged = dict.fromkeys(t for c in labels.comparisons for t in (c.first, c.second))
    if judge.segment > 1:
        write_table(folder / "items.parquet", [{"text": t, "members": list(pool.members[t])} for t in judged])
    records = labels.judgements or labels.comparisons
    check_failures(records, judge.max_failures)
    run.finish(
        "annotate",
        time.perf_counter() - start,
        goal=make_world(run.config.world).goal,
        model=model,
        protocol=type(protocol).__name__.lower(),
        prompt=protocol.prompt.name,
        prompt_hash=protocol.prompt.hash,
        prompt_text=protocol.prompt.text,
        failures=failure_rate(records),
        labels=label_statistics(labels.judgements, labels.comparisons),
        **llm_spend(run),
    )


def label_statistics(judgements: Sequence[Judgement], comparisons: Sequence[Comparison]) -> dict[str, object]:
    """Counts by status and what is known of the judge's seat preference."""
    records = judgements or comparisons
    seats = seat_statistics(comparisons)
    return {
        "judged": len(records),
        "pairs": len(comparisons),
        "by_status": {s: sum(r.status == s for r in records) for s in sorted({r.status for r in records})},
        "flip_rate": seats.flip_rate,
        "first_rate": seats.first_rate,
    }


def protocol_of(config: RunConfig, protocols: Sequence[str]) -> Any:
    """The run's protocol, if it serves the route; the route's first where none is named."""
    if config.judge.protocol and config.judge.protocol not in protocols:
        raise ConfigError(
            f"the protocol {config.judge.protocol!r} does not serve the route {config.route!r}. It takes: "
            f"{', '.join(protocols)}."
        )
    if config.judge.segment > 1 and config.fit.input != "text":
        raise ConfigError("segments are fitted on descriptions: --fit.input text, or --judge.segment 1.")
    return make_protocol(config.judge, protocols[0])


def pilot(
    config: RunConfig, world: World, llm: LLM, observations: list[Any], protocols: Sequence[str]
) -> tuple[int, int]:
    """Ask about a few observations, for a forecast: (items or pairs to come, items or pairs asked)."""
    protocol, texts = protocol_of(config, protocols), [world.describe(o) for o in observations]
    if isinstance(protocol, Scorer):
        protocol.judge(llm, world.goal, texts)
        return config.judge.items, len(texts)
    pairs = list(zip(texts[::2], texts[1::2], strict=False))
    protocol.compare(llm, world.goal, pairs)
    return config.judge.pairs, len(pairs)
