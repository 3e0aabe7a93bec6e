"""The same model's skill beside its dynamics: as a judge, and as one who acts, on the states of the same episodes.

As a judge it orders pairs of observations by the settings' own protocol, against the world's progress. As a policy it
chooses an action in single states, against what the world's expert does there; where a run of the route ``llm`` is at
hand, its success stands beside. Leaves out what an agent makes of the judgements: that is what a run is for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plaudit.analysis.clustered import Mean, clustered, of_pairs
from plaudit.analyze.base import Subject
from plaudit.analyze.transitions import Transition
from plaudit.envs.base import World
from plaudit.errors import ConfigError
from plaudit.judging.calibrate import known_pairs
from plaudit.judging.selection import evenly
from plaudit.llms.ledger import LedgerLLM
from plaudit.policies.llm import UNDERSTOOD
from plaudit.routes.direct import make_llm_policy
from plaudit.stages.parts import make_protocol, make_route
from plaudit.vector import stack


@dataclass(frozen=True)
class Skill:
    """How well a model does one thing."""

    mean: Mean | None
    """The share; None where it could not be measured."""
    chance: float | None = 0.5
    """What a coin or a random player has."""
    note: str = ""
    """How it was measured, or why it was not."""


def as_judge(
    subject: Subject, world: World, llm: LedgerLLM, transitions: Sequence[Transition], pairs: int, seed: int
) -> Skill:
    """Share of pairs that the settings' protocol orders as the world's progress does; a tie counts half."""
    config = subject.config
    own = (*make_route(config.route).protocols, "pointwise")[0]
    if config.judge.input != "text":
        return Skill(None, note="the judge is shown pictures: plaudit calibrate measures it")
    protocol = make_protocol(config.judge, own, config.llm)
    met: dict[str, list[float]] = {}
    for step in {(t.episode, step.step): step for t in transitions for step in (t.before, t.after)}.values():
        if np.isfinite(step.progress):
            met.setdefault(step.text, []).append(step.progress)
    texts = list(met)
    known = known_pairs(texts, [float(np.mean(each)) for each in met.values()], pairs, seed)
    if not known:
        return Skill(None, note="the world shows no progress to hold a judge against in these episodes")
    coin = np.random.default_rng([seed, 1]).random(len(known)) < 0.5
    seated = [(a, b) if heads else (b, a) for (a, b), heads in zip(known, coin, strict=True)]
    rows = list[tuple[float, int, int]]()
    for said, heads in zip(protocol.compare(llm, world.goal, seated), coin, strict=True):
        if said.probability is not None:
            sign = np.sign(said.probability - 0.5) * (1 if heads else -1)
            rows.append((0.5 + 0.5 * float(sign), texts.index(said.first), texts.index(said.second)))
    note = f"{config.judge.protocol or own}, pairs whose progress differs"
    if not rows:
        return Skill(None, note="no pair was answered")
    rights, first, second = zip(*rows, strict=True)
    return Skill(of_pairs(rights, first, second), note=note)


def as_policy(
    subject: Subject, world: World, llm: LedgerLLM, transitions: Sequence[Transition], count: int, seed: int
) -> Skill:
    """Share of states in which it does what the expert does, drawn evenly over what that is."""
    known = [t for t in transitions if t.advice is not None]
    if not known:
        return Skill(None, None, "the world has no expert for these settings")
    words = [world.action_word(t.advice, world.actions(t.before.observation)) for t in known]
    chosen = [known[i] for i in evenly(words, np.random.default_rng([seed, 2]))[:count].tolist()]
    chances = [len(listed) for t in chosen if (listed := world.actions(t.before.observation))]
    if len(chances) < len(chosen):
        return Skill(None, None, "the world does not list its actions in these states")
    acting = dataclasses.replace(subject.config.policy, examples=0)
    try:
        policy = make_llm_policy(llm, world, dataclasses.replace(subject.config, policy=acting), seed, [])
        policy.reset(np.ones(len(chosen), bool))
        done = policy.act(stack([t.before.observation for t in chosen]))
    except ConfigError as error:
        return Skill(None, None, str(error).splitlines()[0])
    rights = [float(np.allclose(action, t.advice)) for action, t in zip(done, chosen, strict=True)]
    understood = [said.how in UNDERSTOOD for said in policy.log]
    note = "as the expert does, evenly over what that is"
    note += "" if all(understood) else f"; {len(understood) - sum(understood)} answers not understood"
    return Skill(
        clustered(rights, [t.episode for t in chosen]), float(np.mean([1 / number for number in chances])), note
    )


def in_run(subject: Subject) -> dict[str, Any]:
    """Success of the acting model in the run, where it is a run of that route: the summary's share; else nothing."""
    record = subject.run.finished("evaluate") if subject.run and subject.config.route == "llm" else None
    shares = (record or {}).get("summary", {}).get("success", {})
    return {name: shares[name] for name in ("llm", "random") if name in shares}
