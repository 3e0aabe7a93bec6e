"""dynamics: does the model know what its actions do? Zero-shot probes, beside its skill as judge and as policy.

    plaudit analyze dynamics doorkey
    plaudit analyze dynamics runs/doorkey --dynamics.beside runs/analyze-dynamics-wordle

Nothing is taught and no example shown. What is asked, and what wrong answers are made of: :mod:`plaudit.analyze.probes`;
how it is asked: :mod:`plaudit.analyze.asking`. Leaves out pictures: the probes are in words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium.vector import VectorEnv

from plaudit.analysis.clustered import ENOUGH, Mean
from plaudit.analyze import asking
from plaudit.analyze.asking import Answer, measure
from plaudit.analyze.base import Analysis, Finding, Measure, Passage, Plot, Subject
from plaudit.analyze.probes import KINDS, MAKERS, Material, Probe, by_action_alone
from plaudit.analyze.skill import Skill, as_judge, as_policy, in_run
from plaudit.analyze.transitions import COPIES, Copies, Transition, play
from plaudit.console import progress
from plaudit.envs.base import World
from plaudit.errors import ConfigError
from plaudit.report.dots import Row, Spot, dot_rows, spots
from plaudit.report.words import percent
from plaudit.stages.parts import make_envs, make_world
from plaudit.store import write_table

FEW = 20
"""Questions of a kind below which a warning says so."""
TITLE = "Share of right answers for each probe and each kind of wrong answer"


@dataclass(frozen=True)
class DynamicsOptions:
    """Zero-shot probes of the model's knowledge of the world."""

    states: int = 32
    """Transitions that are asked about, each in several ways; drawn evenly over what happened in them."""
    episodes: int = 24
    """Episodes that they come from: half random, half the expert's where the world has one."""
    max_steps: int = 60
    """Steps after which an episode is left."""
    horizon: int = 2
    """reachable: within so many actions, or fewer where not all ways of so many could be tried."""
    rollouts: int = 128
    """reachable: ways that are tried in each state, at most."""
    pairs: int = 60
    """Pairs that the same model judges, for its skill as a judge."""
    wording: Literal["a", "b"] = "a"
    """Which of two wordings of the questions."""
    chat: bool = False
    """Whether the questions go through the model's chat template."""
    beside: tuple[str, ...] = ()
    """Folders of earlier results, of other worlds or models, for the plot of dynamics against skill."""


class Dynamics(Analysis):
    """Does the model know what its actions do?"""

    options = DynamicsOptions

    def find(self, subject: Subject, options: DynamicsOptions) -> Finding:
        others = [earlier(Path(folder)) for folder in options.beside]
        seed, world = subject.config.seed, make_world(subject.config.world)
        envs = make_envs(subject.config.world, COPIES)
        try:
            transitions, copies, probes = _probes(world, envs, options, seed)
            with subject.llm() as llm:
                wording = "-b" if options.wording == "b" else ""
                answers, unanswered = asking.ask(llm, world.goal, probes, wording, options.chat)
                if not answers:
                    raise ConfigError("the model answered none of the probes. Try another one: --llm MODEL")
                judge = as_judge(subject, world, llm, transitions, options.pairs, seed)
                policy = as_policy(subject, world, llm, transitions, 2 * options.states, seed)
        finally:
            world.close()
            envs.close()
        write_table(subject.folder / "probes.parquet", [asking.row(answer) for answer in answers])
        return _finding(subject, answers, unanswered, copies, judge, policy, others)


def _probes(
    world: World, envs: VectorEnv, options: DynamicsOptions, seed: int
) -> tuple[list[Transition], Copies, list[Probe]]:
    with progress("episodes", options.episodes) as advance:
        transitions = play(world, options.episodes, options.max_steps, seed, advance)
    if not transitions:
        raise ConfigError("no episode has a step: --dynamics.episodes and --dynamics.max-steps must be at least 1.")
    copies = Copies(world, envs, list(dict(t.taken for t in transitions).items()))
    horizon = copies.depth(transitions[0], options.horizon, options.rollouts)
    material, rng = Material(transitions, copies, horizon, options.rollouts), np.random.default_rng([seed, 3])
    chosen, probes = material.chosen(options.states, rng), list[Probe]()
    with progress("other outcomes", len(KINDS)) as advance:
        for make in MAKERS.values():
            probes += list(make(material, chosen, rng))
            advance(1)
    if not (probes := material.sound(probes)):
        raise ConfigError("there is nothing to ask: no state could be come to again, or all actions lead to the same.")
    return transitions, copies, probes


def _finding(
    subject: Subject,
    answers: Sequence[Answer],
    unanswered: int,
    copies: Copies,
    judge: Skill,
    policy: Skill,
    others: Sequence[dict[str, Any]],
) -> Finding:
    whole, rows = asking.overall(answers), asking.accuracies(answers)
    alone, acted = by_action_alone([a.probe for a in answers]), in_run(subject)
    skills = [
        measure("as a judge: pairs ordered as by progress", judge.mean, judge.chance, note=judge.note),
        measure("as a policy: acts as the expert does", policy.mean, policy.chance, note=policy.note),
    ]
    if acted:
        skills.append(
            Measure("as a policy: success in the run", acted["llm"], chance=acted.get("random"), note="as evaluated")
        )
    if alone is not None:
        note = "a reader who knows each action's usual answer and sees no state"
        rows.append(Measure("effect, by the action's name alone", alone, chance=0.5, note=note))
    everything = [measure("all probes, each kind alike", whole, 0.5), *rows, *asking.leanings(answers), *skills]
    point = facts(subject, whole, judge, policy)
    return Finding(
        headline=headline(whole, judge, policy),
        lede=(
            "Zero-shot, by log-probability, both orders averaged. Wrong answers are never right by chance: what an action "
            "led to, here or in a copy of the state, is none. The unit of the intervals is the episode; a coin has 50%."
        ),
        measures=everything,
        plots=[
            Plot(
                "What the model knows of the world",
                dot_rows([Row(m.name, m.value, m.low, m.high) for m in rows if m.value is not None], TITLE, 0.5),
                "Share of right answers with its 95% interval; the line is a coin.",
            ),
            beside_plot([point, *others]),
        ],
        passages=examples(answers),
        warnings=warnings(answers, unanswered, copies),
        facts={"point": point},
    )


def headline(whole: Mean, judge: Skill, policy: Skill) -> str:
    """The result in one sentence."""
    share = f"{percent(whole.value, 1)} ({percent(whole.low, 1)} to {percent(whole.high, 1)})"
    knows = (
        "better than a coin"
        if whole.low > 0.5
        else "worse than a coin"
        if whole.high < 0.5
        else "no better than a coin"
    )
    text = f"Of what its actions do the model tells {share} rightly, {knows}"
    said = []
    if judge.mean is not None:
        said.append(f"orders {percent(judge.mean.value, 1)} of pairs as progress does")
    if policy.mean is not None:
        said.append(
            f"acts as the expert in {percent(policy.mean.value, 1)} of states (chance {percent(policy.chance, 1)})"
        )
    return f"{text}; it {' and '.join(said)}." if said else f"{text}."


def warnings(answers: Sequence[Answer], unanswered: int, copies: Copies) -> list[str]:
    """What speaks against the numbers."""
    found = list[str]()
    episodes = len({a.probe.transition.episode for a in answers})
    if episodes < ENOUGH:
        found.append(f"Only {episodes} episodes: the intervals are rough. More: --dynamics.episodes")
    counts = {kind: sum(a.probe.kind == kind for a in answers) for kind in KINDS}
    found += [
        f"{kind} ({KINDS[kind]}) cannot be asked here: no such question has a sure right and wrong answer."
        for kind, count in counts.items()
        if not count
    ]
    if few := [f"{kind} on {count}" for kind, count in counts.items() if 0 < count < FEW]:
        found.append(f"These stand on few questions: {', '.join(few)}. More: --dynamics.states")
    if unanswered:
        found.append(f"{unanswered} probes have no answer: the model failed. They count for nothing.")
    if copies.lost:
        found.append(
            f"{copies.lost} times a state was not come to again by its own actions; what it is about is left out."
        )
    if copies.sampled:
        found.append(
            f"reachable: in {copies.sampled} states not all ways could be tried; what cannot be reached there is what no "
            "try has shown."
        )
    return found


def facts(subject: Subject, whole: Mean, judge: Skill, policy: Skill) -> dict[str, Any]:
    """This world and model as a point of the plot that several share."""
    world, model = subject.config.world, subject.config.llm
    name = ":".join(filter(None, (Path(world.name).stem, world.task)))
    adapted = f" + {Path(model.adapter).stem}" if model.adapter else ""
    return {
        "world": name,
        "model": Path(model.model).name + adapted,
        "dynamics": _interval(whole),
        "judge": _interval(judge.mean),
        "policy": _interval(policy.mean),
        "policy_chance": policy.chance,
    }


def _interval(mean: Mean | None) -> list[float] | None:
    return None if mean is None else [mean.value, mean.low, mean.high]


def earlier(folder: Path) -> dict[str, Any]:
    """The point of an earlier result."""
    path = folder / "result.json"
    if not path.is_file():
        raise ConfigError(f"{folder} holds no result: plaudit analyze dynamics WORLD --out {folder}")
    point = json.loads(path.read_text(encoding="utf-8")).get("facts", {}).get("point")
    if not isinstance(point, dict) or "dynamics" not in point:
        raise ConfigError(f"{folder} is the result of another analysis; --dynamics.beside takes those of dynamics.")
    return point


def beside_plot(points: Sequence[dict[str, Any]]) -> Plot:
    """Dynamics against skill, a spot for each world and model."""
    marks = [
        Spot(f"{p['world']}, {p['model']}" if slot == 0 else "", tuple(p["dynamics"]), tuple(p[skill]), slot)
        for p in points
        for slot, skill in enumerate(("judge", "policy"))
        if p[skill] is not None
    ]
    title = "Knowledge of the dynamics against skill as a judge and as a policy"
    return Plot(
        "Dynamics against skill",
        spots(marks, ("right on the dynamics", "skill"), title),
        "Blue: as a judge, share of pairs ordered as by progress. Orange: as a policy, share of states in which it does "
        "what the expert does, whose chance is lower. Bars are 95% intervals; the dashed lines are a coin. "
        + (f"{len(points)} worlds and models." if len(points) > 1 else "Others join by --dynamics.beside FOLDER ..."),
    )


def examples(answers: Sequence[Answer]) -> list[Passage]:
    """One question of each kind with its answer, as it stands."""
    passages = []
    for kind, about in KINDS.items():
        one = next((a for a in answers if a.probe.kind == kind), None)
        if one is None:
            continue
        probe = one.probe
        lines = [*(f"{name}: {text}" for name, text in probe.fields.items())]
        lines += [f"right: {probe.right}", f"wrong: {probe.wrong}"]
        lines.append(
            f"log-odds of the right one: {one.log_odds:+.2f}; in the first seat {one.forward:+.2f}, "
            f"in the second {-one.backward:+.2f}"
        )
        passages.append(Passage(f"{kind}: {about}", "\n".join(lines)))
    return passages
