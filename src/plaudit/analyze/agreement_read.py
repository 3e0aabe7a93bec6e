"""What a run holds of opinions about pairs, and what its model says when it is asked in other ways; for ``agreement``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plaudit.analysis import authors as opinions
from plaudit.analysis.authors import Author
from plaudit.analyze.base import Subject
from plaudit.errors import ConfigError
from plaudit.judging.selection import random_pairs
from plaudit.labels import Pair, comparisons, oriented, read_labels
from plaudit.report.labels import JUDGE, REWARD, judged
from plaudit.stages.parts import make_protocol, make_route, make_world
from plaudit.store import Run, read_table
from plaudit.types import Comparison


@dataclass(frozen=True)
class AgreementOptions:
    """How agreement is looked at."""

    pairs: int = 4000
    """Random pairs where the route has compared none."""
    bins: int = 5
    """Bins of how far apart a pair is, with about as many pairs each; and of the calibration curve, of equal width."""
    protocols: tuple[str, ...] = ()
    """Protocols in which the run's model is asked too, both orders of each pair: pairwise verdict."""
    asked: int = 100
    """Pairs that each of these is asked about, of known order where the world knows one."""


@dataclass(frozen=True)
class Read:
    """What a run holds of opinions."""

    authors: list[Author]
    """The judge first; the world, where it tells progress, last."""
    distance: dict[Pair, float]
    """How far apart each pair is in the world's progress."""
    seated: list[tuple[str, list[Comparison]]]
    """(who and by which protocol, what was said), where a judge saw two at once."""


def gather(subject: Subject, run: Run, options: AgreementOptions) -> Read:
    """All opinions that there are, and those that are asked for."""
    if make_route(run.config.route).makes_reward:
        run.require("annotate")
    said, labels = judged(run), read_labels(run.folder)
    labellers = opinions.label_authors(labels)
    rewards = {}
    if run.finished("fit") is not None:
        rewards = {row["text"]: row["reward"] for row in read_table(run.folder / "fit" / "rewards.parquet")}
    progress = {row["text"]: row["progress"] for row in read_table(run.folder / "collect" / "truth.parquet")}
    progress = {text: value for text, value in progress.items() if np.isfinite(value)}
    judge = opinions.judge_author(JUDGE, said)
    pairs = dict.fromkeys([*judge.opinions, *(p for a in labellers for p in a.opinions)])
    if not pairs:
        texts = list(rewards or progress)
        drawn = random_pairs(len(texts), options.pairs, np.random.default_rng(run.config.seed))
        pairs = dict.fromkeys(oriented(texts[a], texts[b]) for a, b in drawn.tolist() if texts[a] != texts[b])
    more = [(f"asked by {name}", _ask(subject, name, list(pairs), progress, options)) for name in options.protocols]
    everybody = [judge] if judge.opinions else []
    everybody += sorted(labellers, key=lambda a: (a.kind != "person", a.name))
    everybody += [opinions.judge_author(name, answers) for name, answers in more]
    pairs |= dict.fromkeys(p for a in everybody for p in a.opinions)
    everybody += [opinions.score_author(REWARD, "reward", pairs, rewards)] if rewards else []
    if not everybody:
        raise ConfigError(
            f"{run.folder} holds no opinions: its route {run.config.route!r} judges nothing and nobody has labelled. "
            f"Type: plaudit label {run.folder}"
        )
    world = opinions.world_author(pairs, progress)
    seated = [(JUDGE, [c for c in said if c.forward is not None or c.backward is not None])]
    seated += [(a.name, comparisons([x for x in labels if x.author == a.name and x.seated])) for a in labellers]
    return Read(
        [*everybody, *([world] if world.opinions else [])],
        {(a, b): abs(progress[a] - progress[b]) for a, b in world.opinions},
        [(name, answers) for name, answers in [*seated, *more] if answers],
    )


def _ask(
    subject: Subject, name: str, pairs: Sequence[Pair], progress: dict[str, float], options: AgreementOptions
) -> list[Comparison]:
    """What the run's model says of some of these pairs when it is asked by this protocol."""
    known = list(opinions.world_author(pairs, progress).opinions) or list(pairs)
    chosen = np.random.default_rng(0).permutation(len(known))[: options.asked]
    asked = dataclasses.replace(subject.config.judge, protocol=name, prompt="", both_orders=True, input="text")
    with subject.llm() as llm:
        protocol = make_protocol(asked, llm=subject.config.llm)
        found: list[Comparison] = protocol.compare(
            llm, make_world(subject.config.world).goal, [known[i] for i in chosen]
        )
    return found
