"""Judge and policy, taught by the same procedure: the same base, world, number of examples and steps.

    plaudit finetune wordle --arms                  # both; --arms policy for one
    plaudit finetune wordle --arms --lora.steps 20 --arms.steps 50_000 --arms.seeds 1 --measure.every 25    # a quick look

The judge (indirect) learns which of two observations is nearer, and agents are trained on the reward model of its
judgements; the policy (direct) learns what the expert does, in words, and acts. Of each, before and after: held-out
lessons, success on the same fresh episodes, and what is unlearnt. Every part is a folder of its own that goes on where it
was stopped (``ARM/`` teaching, ``ARM-before/`` and ``ARM-after/`` runs); ``arms.parquet`` holds the numbers, and
``report.html`` shows them.

Leaves out equal cost: the judge's agents are trained with steps of the world, of which the policy needs none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit import registry
from plaudit.config import LLMConfig, RunConfig, from_dict, load_recipe, recipes
from plaudit.console import console
from plaudit.errors import ConfigError, did_you_mean
from plaudit.finetune import arms_report, forgetting
from plaudit.finetune.outcome import outcome
from plaudit.finetune.paired import mean_difference, share
from plaudit.finetune.refusals import check
from plaudit.finetune.run import STAGES, Finetune, finetune
from plaudit.finetune.settings import FinetuneConfig, base_spec, validate
from plaudit.finetune.synthesize import wanted_kinds
from plaudit.intervals import wilson
from plaudit.llms import weights
from plaudit.llms.transformers_files import is_gguf
from plaudit.stages.parts import make_world, settled_world
from plaudit.store import atomic, folder_lock, read_table, write_table

ARMS = {"judge": ("compare",), "policy": ("action",)}
"""What each is taught."""
ROUTES = {"judge": "preference", "policy": "llm"}
"""How each is put to use."""
HEAD = ("measure", "chance", "before", "after", "difference")


@dataclass(frozen=True)
class Figure:
    """One measure of one arm; a row of ``arms.parquet``."""

    arm: str
    """judge or policy."""
    measure: str
    """held-out lessons, success, or what may be unlearnt: perplexity or the name of a set."""
    items: int
    """Lessons, episodes, questions or tokens."""
    chance: float
    """What is reached without knowledge: by guessing, or by a random player in the same episodes; NaN for perplexity."""
    before: float
    """Of the base: a share, or a perplexity."""
    before_low: float
    """End of its 95% interval: Wilson's, on as many items as are independent, agents that differ counted against it; of
    sets that may be unlearnt, on all items. NaN for perplexity."""
    before_high: float
    """Its other end."""
    after: float
    """Of the taught model."""
    after_low: float
    """As above."""
    after_high: float
    """As above."""
    difference: float
    """After less before; of perplexity, after / before - 1."""
    low: float
    """End of its 95% interval, each item with itself, each agent with the other of its seed."""
    high: float
    """Its other end."""
    agents: int = 1
    """Agents that played the episodes; of one, how much others would differ is in no interval."""


def compare(config: FinetuneConfig, folder: Path, names: Sequence[str] = tuple(ARMS)) -> list[Figure]:
    """Teach and measure these arms in this folder; goes on where an earlier call stopped."""
    from plaudit import stages

    for name in names:
        if name not in ARMS:
            raise ConfigError(
                f"--arms: there is no arm {name!r}.{did_you_mean(name, ARMS)} There are: {', '.join(ARMS)}."
            )
    plans = {name: planned(config, name, folder) for name in names}
    for name, plan in plans.items():  # else the second would be refused when the first one has been taught
        validate(plan)
        check(plan)
        refuse_impossible(name, plan)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        for name, plan in plans.items():
            console.rule(f"{name}: taught")
            taught = finetune(plan, folder / name)
            for when, adapted in (("before", None), ("after", taught)):
                console.rule(f"{name}: {when}")
                stages.run(use(plan, name, adapted), folder / f"{name}-{when}")
        pages = {name: Finetune.open(folder / name) for name in ARMS if name in names or kept(config, name, folder)}
        figures = [row for name, taught in pages.items() for row in came_to(name, taught, folder)]
        write_table(folder / "arms.parquet", figures)
        with atomic(folder / "report.html") as file:
            file.write(arms_report.render(folder, config, figures, pages).encode("utf-8", errors="replace"))
    show(figures)
    console.print(f"report: {folder / 'report.html'}", markup=False)
    return figures


def kept(config: FinetuneConfig, name: str, folder: Path) -> bool:
    """Whether an earlier command with these settings has left this arm whole."""
    if not (folder / name / "run.json").is_file():
        return False
    taught, plan = Finetune.open(folder / name), planned(config, name, folder)
    same = taught.config == replace(plan, world=settled_world(plan.world))
    played = all((folder / f"{name}-{when}/evaluate/stage.json").is_file() for when in ("before", "after"))
    return same and played and taught.finished(STAGES[-1]) is not None


def came_to(name: str, taught: Finetune, folder: Path) -> list[Figure]:
    """Every measure of an arm that is finished."""
    played = [folder / f"{name}-{when}" for when in ("before", "after")]
    return [lessons(name, taught), success(name, *played), *unlearnt(name, taught)]


def refuse_impossible(name: str, plan: FinetuneConfig) -> None:
    """Raise where this world cannot give what the arm is taught."""
    possible = wanted_kinds(replace(plan, data=replace(plan.data, kinds=())), make_world(plan.world))
    if missing := set(plan.lora.kinds) - set(possible):
        others = " ".join(other for other in ARMS if other != name)
        raise ConfigError(
            f"--arms: there are no examples of {', '.join(missing)} here, for no expert acts as agents do, so there is no "
            f"{name} to teach. The other arm alone: --arms {others}. Where the world has an expert: --data.sources noisy"
        )


def planned(config: FinetuneConfig, name: str, folder: Path) -> FinetuneConfig:
    """The settings that an arm is taught with: those of the other but for what the lessons are about."""
    kinds = tuple(dict.fromkeys((*config.data.kinds, *ARMS[name]))) if config.data.kinds else ()
    examples = config.lora.examples or config.data.examples
    ledger = config.llm.ledger or str((folder / "ledger.sqlite").absolute())  # the base is asked once for both
    return replace(
        config,
        llm=replace(config.llm, ledger=ledger),
        data=replace(config.data, kinds=kinds),
        lora=replace(config.lora, kinds=ARMS[name], examples=examples),
    )


def use(config: FinetuneConfig, name: str, taught: Finetune | None) -> RunConfig:
    """The run in which an arm, or the base in its place and its prompts, is put to use."""
    base, arms, ask = usual(config), config.arms, config.ask
    train = replace(base.train, controls=("random",), seeds=arms.seeds if name == "judge" else 1)
    return replace(
        base,
        route=ROUTES[name],
        seed=config.seed,
        world=config.world,
        llm=model(config, taught),
        judge=replace(base.judge, protocol=ask.protocol, prompt=ask.prompt, input=ask.input),
        policy=replace(base.policy, prompt=ask.act, episodes=arms.episodes),
        train=replace(train, steps=arms.steps or train.steps),
        # As many copies as episodes, so that every agent plays the same ones.
        evaluate=replace(base.evaluate, episodes=arms.episodes, examples=1),
    )


def usual(config: FinetuneConfig) -> RunConfig:
    """The recipe that is named, else that of the world's task or the world, else what the world brings itself."""
    if config.arms.recipe:
        return load_recipe(config.arms.recipe)
    world = config.world
    for name in (f"{world.name}-{world.task}", world.name):
        if name in recipes():
            return load_recipe(name)
    return from_dict(RunConfig, dict(registry.load("worlds", world.name).settings))


def model(config: FinetuneConfig, taught: Finetune | None) -> LLMConfig:
    """The base or the taught model, as ``--llm`` would name it."""
    spec = base_spec(config)
    if is_gguf(spec):
        if taught:
            return replace(config.llm, model=str((taught.folder / "export" / "adapter.gguf").absolute()))
        # At as many bits as with an adapter, else rounding would be part of the difference.
        base = weights.resolve(spec)
        return replace(config.llm, model=str(weights.fast_copy(base, weights.adapted_kind(base))))
    adapter = str((taught.folder / "train" / "adapter").absolute()) if taught else ""
    return replace(config.llm, model=f"transformers:{spec}", adapter=adapter)


def lessons(name: str, taught: Finetune) -> Figure:
    """Held-out lessons before and after, by PyTorch, with the intervals of the arm's own page."""
    record = taught.finished("train")
    assert record is not None
    (kind,) = taught.config.lora.kinds
    (own,) = outcome(taught).gains
    chance = record["summary"]["held_out"][kind]["chance"]
    ends = (own.before, *own.before_interval, own.after, *own.after_interval)
    return Figure(name, "held-out lessons", own.n, chance, *ends, own.difference, *own.interval)


def success(name: str, before: Path, after: Path) -> Figure:
    """Episodes won, the mean over agents; by chance: a random player."""
    told = [read_table(folder / "evaluate" / "episodes.parquet") for folder in (before, after)]
    first, then = (_won(rows, ROUTES[name]) for rows in told)
    if first.shape != then.shape:
        sizes = " and ".join("{} agents in {} episodes".format(*each.shape) for each in (first, then))
        raise ConfigError(f"{before} and {after} cannot be paired: {sizes}. Delete the folder that is out of date.")
    return figure(name, "success", float(_won(told[0], "random").mean()), first, then)


def _won(rows: Sequence[dict[str, Any]], arm: str) -> NDArray[np.float64]:
    """``(agents, episodes)``, in the order of their seeds and numbers."""
    won = {(row["seed"], row["episode"]): float(row["success"]) for row in rows if row["arm"] == arm}
    agents, episodes = (sorted({key[place] for key in won}) for place in (0, 1))
    return np.array([[won[agent, episode] for episode in episodes] for agent in agents])


def figure(name: str, measure: str, chance: float, before: NDArray[np.float64], after: NDArray[np.float64]) -> Figure:
    """Two measurements of the same items by the same agents, ``(agents, items)``, in the same order."""
    first, then, (agents, n) = float(before.mean()), float(after.mean()), before.shape
    items = [str(i) for i in range(n)]
    ends = (first, *share(before, items), then, *share(after, items), then - first)
    return Figure(name, measure, n, chance, *ends, *mean_difference(after - before, items), agents)


def unlearnt(name: str, taught: Finetune) -> list[Figure]:
    """General English and each set; nothing where it was left out."""
    found, nothing = list[Figure](), float("nan")
    with contextlib.suppress(ConfigError):
        summary = forgetting.read(taught.require("measure"))
        for text in summary.text[:1]:
            ends = (text.before, nothing, nothing, text.after, nothing, nothing)
            found.append(Figure(name, "perplexity", text.tokens, nothing, *ends, text.change, *text.interval))
        for row in summary.sets:
            after = wilson(row.after, row.items)
            ends = (row.before, *row.before_interval, row.after, *after)
            found.append(Figure(name, row.name, row.items, row.chance, *ends, row.difference, *row.interval))
    return found


def show(figures: Sequence[Figure]) -> None:
    """A table for each arm, for the terminal; numbers of items are in the file."""
    from rich.box import SIMPLE
    from rich.table import Table

    for arm in dict.fromkeys(each.arm for each in figures):
        table = Table(title=f"{arm}: per cent, with 95% intervals", box=SIMPLE, padding=(0, 1, 0, 0))
        for column in HEAD:
            table.add_column(column, justify="left" if column == "measure" else "right")
        for each in figures:
            if each.arm == arm:
                table.add_row(*cells(each))
        console.print(table)


def cells(each: Figure) -> tuple[str, ...]:
    """A line of it."""
    if each.measure == "perplexity":
        apart = f"{100 * each.difference:+.1f} ({100 * each.low:+.1f} to {100 * each.high:+.1f})"
        return "perplexity itself", "-", f"{each.before:.2f}", f"{each.after:.2f}", apart
    ends = ((each.before, each.before_low, each.before_high), (each.after, each.after_low, each.after_high))
    levels = (f"{100 * share:.1f} ({100 * low:.0f} to {100 * high:.0f})" for share, low, high in ends)
    apart = f"{100 * each.difference:+.1f} ({100 * each.low:+.0f} to {100 * each.high:+.0f})"
    what = each.measure + f", {each.agents} agents" * (each.agents > 1)
    return what, f"{100 * each.chance:.1f}", *levels, apart
