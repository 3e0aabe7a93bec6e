"""The judge's prompt in other words: does its order turn, and do agents that are trained on it come to something else?

The first is cheap and always told; for the second (``--hacking.wording-seeds``) each wording has a run of its own in the
analysis' folder, with links to what the analysed run collected. Its judge is asked about the same pairs and its agents have
the same seeds: they differ in the wording alone. What is trained stays, and a stopped look goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit import prompts
from plaudit.analysis.statistics import MIN_SEEDS, Interval, interval, paired_difference, percentiles
from plaudit.analyze.base import Finding, Measure, Subject
from plaudit.analyze.rewards import MADE, borrow, success
from plaudit.config import JudgeConfig
from plaudit.console import console
from plaudit.errors import ConfigError
from plaudit.stages import run_stages
from plaudit.stages.parts import make_route, make_world
from plaudit.store import Run, read_table

if TYPE_CHECKING:
    from plaudit.llms.base import LLM


@dataclass(frozen=True)
class Wording:
    """The judge asked in other words."""

    prompt: str
    """Name of the other prompt."""
    correlation: tuple[float, float, float]
    """Spearman's, of the scores under both, with the ends of its bootstrap interval over observations."""
    turned: tuple[float, float, float]
    """Share of the pairs that both order, but one way round and the other, with its interval."""
    n: int
    """Observations."""


@dataclass(frozen=True)
class Outcome:
    """What agents come to whose judge was asked in one wording."""

    prompt: str
    """Name of the prompt."""
    success: dict[int, float]
    """Seed to share of episodes that succeed."""

    @property
    def score(self) -> Interval:
        """Over the seeds."""
        return interval(list(self.success.values()))


def others(run: Run) -> tuple[list[str], str]:
    """The other wordings (``-b``, ``-c``) of the prompt that the judge was asked with; and why there are none, if so."""
    protocols = make_route(run.config.route).protocols
    if not protocols or run.config.judge.input != "text" or run.config.judge.segment > 1:
        return [], "only judges of single observations in words have other wordings"
    own = _protocol(run).prompt.name
    stem = own.removesuffix("-b").removesuffix("-c")
    found = [n for n in (stem, f"{stem}-b", f"{stem}-c") if n in prompts.names() and n != own]
    return found, "" if found else f"{own!r} has no other wording"


def _protocol(run: Run) -> Any:
    from plaudit.routes.feedback import protocol_of

    return protocol_of(run.config, make_route(run.config.route).protocols)


def finding(subject: Subject, run: Run, items: int, seeds: int, steps: int) -> Finding:
    """Both looks, as measures, a table and warnings; ``items`` or ``seeds`` of 0 leaves one of them out."""
    names, why = others(run) if items or seeds else ([], "")
    warnings = [f"the prompt's wording was not varied: {why}"] if why else []
    texts = _drawn(run, items, np.random.default_rng(0)) if names else []
    if 0 < len(texts) < 4:
        warnings.append(f"the prompt's wording was not varied: only {len(texts)} observations were met")
    found = Finding("", warnings=warnings)
    if len(texts) >= 4:
        found = found.joined(ordering(orders(subject, run, names, texts)))
    if seeds and names:
        found = found.joined(outcomes(train(run, subject.folder / "wordings", names, seeds, steps)))
    return found


def orders(subject: Subject, run: Run, names: Sequence[str], texts: list[str]) -> list[Wording]:
    """The order that the judge gives these observations in each of these wordings, against that in the run's own."""
    protocol, world = _protocol(run), make_world(run.config.world)
    with contextlib.closing(world), subject.llm() as llm:
        worded = (dataclasses.replace(protocol, prompt=prompts.load(name)) for name in names)
        own, *rest = (scores(each, llm, world.goal, texts) for each in (protocol, *worded))
    return [compared(name, own, other) for name, other in zip(names, rest, strict=True)]


def ordering(found: Sequence[Wording]) -> Finding:
    """What other words do to the judge's order."""
    measures = list[Measure]()
    for each in found:
        name = f"rank correlation with the judge asked by {each.prompt}"
        measures.append(Measure(name, *each.correlation, each.n, 0.0, False))
        measures.append(Measure(f"pairs that {each.prompt} turns", *each.turned, each.n, 0.5))
    told = {w.prompt: {"correlation": w.correlation, "turned": w.turned} for w in found}
    return Finding("", measures=measures, facts={"wordings": told})


def _drawn(run: Run, items: int, rng: np.random.Generator) -> list[str]:
    """Collected descriptions, evenly over events, as the judge's own items are drawn."""
    rows = read_table(run.folder / "collect" / "observations.parquet")
    by_event: dict[str, list[str]] = {}
    for i in rng.permutation(len(rows)).tolist():
        by_event.setdefault(rows[i]["event"], []).append(rows[i]["text"])
    queues, found = list(by_event.values()), list[str]()
    while len(found) < items and queues:
        found += [queue.pop() for queue in queues]
        queues = [queue for queue in queues if queue]
    return found[:items]


def scores(protocol: Any, llm: LLM, goal: str, texts: list[str]) -> NDArray[np.float64]:
    """The judge's order of these, a number for each, NaN where it failed: its own score, or the share of pairs won."""
    from plaudit.judging.scorer import Scorer

    if isinstance(protocol, Scorer):
        return np.array([np.nan if j.value is None else j.value for j in protocol.judge(llm, goal, texts)], float)
    n = len(texts)
    pairs = [(i, (i + gap) % n) for gap in (1, 2, 5) for i in range(n) if (i + gap) % n != i]
    compared = protocol.compare(llm, goal, [(texts[i], texts[j]) for i, j in pairs])
    won: list[list[float]] = [[] for _ in texts]
    for (i, j), each in zip(pairs, compared, strict=True):
        if each.probability is not None:
            won[i].append(each.probability)
            won[j].append(1 - each.probability)
    return np.array([np.mean(w) if w else np.nan for w in won])


def compared(name: str, own: NDArray[np.float64], other: NDArray[np.float64], seed: int = 0) -> Wording:
    """Two orders of the same observations."""
    both = np.isfinite(own) & np.isfinite(other)
    own, other = own[both], other[both]
    if len(own) < 4:
        raise ConfigError("the judge answered fewer than 4 questions in both wordings. Try another --llm.")
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(own), len(own)) for _ in range(500)]
    points = np.array([_orders(own[d], other[d]) for d in drawn])
    value, ends = _orders(own, other), percentiles(points[np.isfinite(points).all(axis=1)])
    correlation, turned = ((float(value[i]), float(ends[0, i]), float(ends[1, i])) for i in (0, 1))
    return Wording(name, correlation, turned, len(own))


def _orders(own: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Spearman's correlation, and the share of pairs that are turned among those that both order."""
    from scipy.stats import rankdata

    a, b = rankdata(own), rankdata(other)
    spread = a.std() * b.std()
    correlation = float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread else float("nan")
    upper = np.triu_indices(len(a), 1)
    signs = np.sign(a[:, None] - a[None])[upper] * np.sign(b[:, None] - b[None])[upper]
    ordered = signs != 0
    return correlation, float((signs[ordered] < 0).mean()) if ordered.any() else float("nan")


def train(run: Run, folder: Path, names: Sequence[str], seeds: int, steps: int) -> list[Outcome]:
    """Train and measure agents on the judge asked in the run's own wording and in these; what is finished stays."""
    own, found = _protocol(run).prompt.name, list[Outcome]()
    for name in (own, *names):
        console.rule(f"agents of the judge asked by {name}")
        judge = run.config.judge if name == own else dataclasses.replace(run.config.judge, prompt=name)
        many = steps or run.config.train.steps
        part = _part(run, folder / f"{name}-{many}-steps-{seeds}-seeds", judge, seeds, many)
        borrow(run, part, MADE if name == own else MADE[:1])
        run_stages(part, ("train", "evaluate") if name == own else ("annotate", "fit", "train", "evaluate"))
        found.append(Outcome(name, success(part.folder / "evaluate" / "episodes.parquet")[run.config.route]))
    return found


def _part(run: Run, folder: Path, judge: JudgeConfig, seeds: int, steps: int) -> Run:
    """The run of one wording; the answers of all lie in one ledger."""
    ledger = run.config.llm.ledger or str((folder.parent / "ledger.sqlite").absolute())
    made = dataclasses.replace(
        run.config,
        judge=judge,
        llm=dataclasses.replace(run.config.llm, ledger=ledger),
        train=dataclasses.replace(run.config.train, seeds=seeds, steps=steps, controls=()),
        evaluate=dataclasses.replace(run.config.evaluate, examples=0),
    )
    part = Run.create(folder, made)
    part.budget = run.budget
    return part


def outcomes(found: Sequence[Outcome]) -> Finding:
    """Success in each wording beside the first, the run's own; seed by seed, all else alike."""
    own, measures = found[0], list[Measure]()
    for each in found:
        score, gap = each.score, paired_difference(each.success, own.success)
        name = f"success of agents of the judge asked by {each.prompt}"
        measures.append(Measure(name, score.point, score.low, score.high, score.seeds, note=score.label))
        if each is not own and gap is not None:
            than = f"{each.prompt} less {own.prompt}, success"
            measures.append(Measure(than, gap.point, gap.low, gap.high, gap.seeds, chance=0.0, note=gap.label))
    seeds = min(len(each.success) for each in found)
    few = [f"Success by wording stands on {seeds} seeds: ranges, not intervals."] * (seeds < MIN_SEEDS)
    facts = {"outcomes": {each.prompt: list(each.success.values()) for each in found}}
    return Finding("", measures=measures, warnings=few, facts=facts)
