"""The words behind a verb: options that are no settings, the recipe, the world, and single settings.

Settings are read by tyro; what is cut out here before it are options that name files, arms and ceilings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from plaudit.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from plaudit.analyze.base import Subject
    from plaudit.budget import Budget
    from plaudit.config import RunConfig
    from plaudit.exports.base import ExportOptions
    from plaudit.finetune.settings import FinetuneConfig
    from plaudit.reproduce.recipe import Size
    from plaudit.reproduce.run import Project
    from plaudit.stages.arms import Arm
    from plaudit.stages.label import LabelOptions
    from plaudit.stages.minari_data import MinariOptions
    from plaudit.stages.play import PlayOptions
    from plaudit.store import Run

C = TypeVar("C")

VERBS = {
    "run": "All stages, from world to report; goes on where it stopped.",
    "compare": "Every way of using the LLM, and controls, side by side.",
    "forecast": "What a comparison will cost, from a small pilot.",
    "finetune": "Teach a model a world by examples that the world knows.",
    "analyze": "Why a reward works: dynamics, credit, hacking and more.",
    "reproduce": "A paper's experiments by recipe, each with its status.",
    "calibrate": "Try the judging protocols on pairs with known answers.",
    "play": "Watch an episode in the terminal, or play it.",
    "collect": "Gather distinct observations with a policy.",
    "annotate": "Ask the LLM which observations show more progress.",
    "label": "Judge pairs yourself, or let a second model; who agrees?",
    "fit": "Fit a Bradley-Terry reward model to the answers.",
    "train": "Train an agent for each reward and control.",
    "evaluate": "Measure the agents on freshly drawn episodes.",
    "report": "Write the run's report.html.",
    "ledger": "What a ledger of answers holds; save what is whole of it.",
    "export": "A run's preferences or reward model, for other programs.",
    "check": "Try a world against the contract, and say what is wrong.",
    "list": "Worlds, models, protocols, routes, prompts, recipes.",
}
COLLECT = """

Of a new run: plaudit collect WORLD [--out FOLDER] [settings, as of plaudit run]

As a data set of Farama's Minari, of a run's recorded episodes or of a world:
plaudit collect WORLD|RUN --to minari [--dataset NAMESPACE/NAME-v0]
                [--episodes N] [--policy random|expert|RUN/train/ARM-SEED]
                [--out FOLDER] [--texts] [settings of the world]"""
"""What ``plaudit collect --help`` says besides."""
EXPORT = f"""plaudit export RUN --to trl|reward [--out FOLDER] [--margin]

{VERBS["export"]}

trl     preference pairs (prompt, chosen, rejected, probability) as a folder
        that datasets.load_dataset reads; --margin adds the judge's log-odds,
        which TRL's RewardTrainer takes off in its loss
reward  the fitted networks as safetensors and JSON, with load_reward.py,
        which needs torch and safetensors only

FOLDER must be new; RUN/export/trl or RUN/export/reward where none is given."""
"""What ``plaudit export --help`` says."""
LABEL = f"""plaudit label RUN [--pairs N] [--select uniform|disputed] [--as NAME] [--seed N]
              [--port N] [--no-browser] [--no-pictures]
plaudit label RUN --by MODEL [--pairs N] [--llm.SETTING V] [--judge.SETTING V]
              [--max-tokens N] [--max-usd X] [--max-hours H]
plaudit label RUN --show

{VERBS["label"]}

The first form opens a web page, for this machine only, with pairs that the
run's judge has answered; each choice is saved at once, and the same command
goes on where it was left. N different pairs in all, 100 where none is given.

--select  uniform: drawn at random, which tells how good the judge is;
          disputed: those that the judge is least sure of, worth most as labels
--by      a second model (a GGUF file, a server, openai:MODEL) is asked about
          the same pairs, by the run's protocol unless --judge.protocol names
          another, and without the run's adapter (its own: --llm.adapter)
--show    who agrees with whom, so far

A reward is fitted to a person's labels by --fit.labels person or both."""
"""What ``plaudit label --help`` says."""
REPRODUCE = f"""plaudit reproduce paper --small|--full [--only NAME ...] [--out FOLDER]
                        [--llm MODEL] [--dry-run]

{VERBS["reproduce"]}

--small    embedded model, 2 cores, under an hour
--full     many seeds and a large model behind a server, which --llm names;
           days, and nobody has run it yet
--only     these experiments: plaudit list --experiments
--dry-run  the forecast alone

What is finished is skipped, a stopped step goes on, one that fails loses
nothing of the others. FOLDER/report.html and paper.json are written after
every experiment; runs/paper-small or runs/paper-full where no FOLDER is given."""
"""What ``plaudit reproduce --help`` says."""
CEILINGS = {"--max-tokens": int, "--max-usd": float, "--max-hours": float}
"""Hard ceilings: what would pass one is not begun, what is done is kept."""
LEDGERS = "[--ledger SHARED.sqlite | --replay LEDGER.sqlite]"
"""Short forms of the settings llm.ledger and llm.replay."""
PLACED = ("run", "compare", "calibrate")
"""Verbs that ask many questions, or train: they take ``--on``."""
ON = "[--on ray|HOST:PORT|ray://HOST:PORT]"
"""Short form of the setting cluster.on."""
OPTIONS = {
    "run": (LEDGERS, "[--max-tokens N] [--max-usd X] [--max-hours H]", ON),
    "compare": ("[--arms NAME ...] [--dry-run]", LEDGERS, "[--max-tokens N] [--max-usd X] [--max-hours H]", ON),
    "calibrate": ("[--pairs N]", LEDGERS, ON),
    "forecast": ("[--arms NAME ...]", LEDGERS),
    "finetune": (
        "[--data-only | --arms [judge] [policy]]",
        "[--sweep SECTION.SETTING=V,V,... ... [--seeds N]]",
    ),
    "play": (
        "[--policy me|random|expert|llm|RUN|RUN/train/ARM-SEED]",
        "[--reward RUN] [--record FILE.gif|FILE.mp4]",
        "[--episodes N] [--max-steps N] [--delay SECONDS]",
        LEDGERS,
    ),
}


def take_budget(words: list[str]) -> tuple[list[str], Budget]:
    """The words without the ceilings, and the ceilings."""
    from plaudit.budget import Budget

    found: dict[str, Any] = {}
    for option, kind in CEILINGS.items():
        words, text = take(words, option)
        if text:
            try:
                value = kind(text.replace(",", "").replace("_", ""))
            except ValueError:
                raise ConfigError(f"{option} takes a number, got {text!r}.") from None
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{option} takes a number of 0 or more, got {text!r}.")
            found[option.removeprefix("--").replace("-", "_")] = value
    return words, Budget(**found)


def take_arms(words: list[str]) -> tuple[list[str], list[Arm]]:
    """The words without ``--arms NAME ...``, and the arms; all where none is named."""
    from plaudit.stages.arms import choose

    if "--arms" not in words:
        return words, choose([])
    start = words.index("--arms")
    end = next((i for i in range(start + 1, len(words)) if words[i].startswith("-")), len(words))
    if end == start + 1:
        raise ConfigError("--arms needs one or more names: plaudit compare doorkey --dry-run lists them.")
    return words[:start] + words[end:], choose(words[start + 1 : end])


def take_sweep(words: list[str]) -> tuple[list[str], list[str], int]:
    """The words without ``--sweep SETTING=V,V`` (as often as it is given) and ``--seeds N``, and these."""
    swept = list[str]()
    while True:
        words, text = take(words, "--sweep")
        if not text:
            break
        swept.append(text)
    words, seeds = take(words, "--seeds")
    if seeds and not swept:
        raise ConfigError("--seeds belongs to --sweep; a single teaching takes --seed.")
    if swept and "--data-only" in words:
        raise ConfigError("--sweep and --data-only do not go together.")
    return words, swept, number("--seeds", seeds or "1", int, 1)


def take_taught_arms(words: list[str]) -> tuple[list[str], list[str] | None]:
    """The words without ``--arms [NAME ...]``, and the names; all where none is named, None without the option."""
    if "--arms" not in words:
        return words, None
    from plaudit.finetune.arms import ARMS

    start = words.index("--arms")
    end = next((i for i in range(start + 1, len(words)) if words[i].startswith("-")), len(words))
    return words[:start] + words[end:], words[start + 1 : end] or list(ARMS)


def number(option: str, text: str, kind: type, least: float) -> Any:
    """What stands behind an option, as a number of this type, at least ``least``."""
    try:
        value = kind(text)
    except ValueError:
        raise ConfigError(f"{option} takes a {'whole ' * (kind is int)}number, got {text!r}.") from None
    if not least <= value < float("inf"):
        raise ConfigError(f"{option} must be at least {least:g}, got {text}.")
    return value


def run_of(folder: str) -> Path | None:
    """The run that this folder is, or that the agent in it belongs to."""
    path = Path(folder)
    candidates = [path, *([path.parent.parent] if (path / "agent.safetensors").is_file() else [])]
    return next((p for p in candidates if (p / "run.json").is_file()), None)


def open_run(folder: str) -> Run:
    """The run in a folder; a world in its place is told how a run of it is made."""
    from plaudit.store import Run
    from plaudit.world_file import is_path

    if is_path(folder):
        raise ConfigError(f"{folder} is a world, and a run of it is wanted here. Make one: plaudit run {folder}")
    return Run.open(Path(folder))


def parse_play(words: list[str]) -> tuple[PlayOptions, RunConfig]:
    """The options of ``plaudit play``, and settings: those of a run where one is named in place of a world."""
    from plaudit.stages.play import PlayOptions
    from plaudit.store import Run

    numbers = {"--episodes": (int, 1), "--max-steps": (int, 0), "--delay": (float, 0)}
    found: dict[str, Any] = {}
    for option in ("--policy", "--reward", "--record", *numbers):
        words, text = take(words, option)
        if text:
            value = number(option, text, *numbers[option]) if option in numbers else text
            found[option.removeprefix("--").replace("-", "_")] = value
    base = None
    if words and (folder := run_of(words[0])) is not None:
        run = Run.open(folder)
        base = run.config
        found.setdefault("policy", words[0])
        if run.finished("fit") is not None:
            found.setdefault("reward", str(folder))
        words = words[1:]
    out, _, config = parse_config("play", words, base)
    if out:
        raise ConfigError("plaudit play keeps nothing but a recording: --record FILE.gif")
    return PlayOptions(**found), config


def parse_analyze(words: list[str]) -> tuple[list[tuple[str, Subject, Any]], Path]:
    """Each analysis' name, what is analysed and its own options (``--NAME.OPTION``); and the folder of the result.

    A run without a name takes every analysis that trains nothing, each in a folder of its own.
    """
    from plaudit import registry
    from plaudit.analyze.base import Subject
    from plaudit.config import RunConfig, load_recipe, recipes
    from plaudit.store import Run

    known = registry.entries("analyses")
    if every := words[0] not in known and run_of(words[0]) is not None:
        names = [name for name in known if not registry.load("analyses", name).trains]
    else:
        if words[0] not in known and ("/" in words[0] or Path(words[0]).exists()):
            open_run(words[0])  # says why it is none
        registry.find("analyses", words[0])
        names, words = [words[0]], words[1:]
    options = {name: registry.load("analyses", name).options for name in names}
    fields: Any = [(name, each, dataclasses.field(default_factory=each)) for name, each in options.items()]
    kind: Any = dataclasses.make_dataclass("Settings", fields, bases=(RunConfig,), frozen=True)

    def more(config: RunConfig) -> Any:
        return kind(**{f.name: getattr(config, f.name) for f in dataclasses.fields(RunConfig)})

    run = Run.open(folder) if words and (folder := run_of(words[0])) is not None else None
    base = more(run.config) if run else None
    of = Kind(kind, recipes, lambda recipe: more(load_recipe(recipe)), lambda world: more(_brought(world)))
    verb = "analyze" if every else f"analyze {names[0]}"
    out, title, found = parse_settings(verb, words[1:] if run else words, of, base)
    config = RunConfig(**{f.name: getattr(found, f.name) for f in dataclasses.fields(RunConfig)})
    usual = run.folder / "analyze" if run else Path("runs") / f"analyze-{names[0]}-{title}"
    whole = Path(out) if out else usual if every or not run else usual / names[0]
    folders = {name: whole / name if every else whole for name in names}
    return [(name, Subject(config, folders[name], run), getattr(found, name)) for name in names], whole


def parse_reproduce(words: list[str]) -> tuple[Project, bool]:
    """The experiments with their folder, and whether only the forecast is wanted."""
    from plaudit.reproduce.recipe import PAPER, load
    from plaudit.reproduce.run import Project

    flags = {name for name in ("--small", "--full", "--dry-run") if name in words}
    words, out = take([word for word in words if word not in flags], "--out")
    words, llm = take(words, "--llm")
    only: list[str] = []
    if "--only" in words:
        start = words.index("--only")
        words, only = words[:start], words[start + 1 :]
        if not only or any(word.startswith("-") for word in only):
            raise ConfigError("--only needs one or more names: plaudit list --experiments")
    if words != [PAPER]:
        raise ConfigError(f"say what: plaudit reproduce {PAPER} --small (got {' '.join(words) or 'nothing'}).")
    if len(flags & {"--small", "--full"}) != 1:
        raise ConfigError(f"say how large: plaudit reproduce {PAPER} --small, or --full with --llm MODEL")
    size: Size = "small" if "--small" in flags else "full"
    return Project(Path(out or f"runs/{PAPER}-{size}"), size, load(size, tuple(only)), llm), "--dry-run" in flags


def parse_minari(words: list[str]) -> tuple[MinariOptions, Run | RunConfig]:
    """The options of ``plaudit collect --to minari``, and the run that was named, else the settings of the world."""
    from plaudit.stages.minari_data import MinariOptions

    found: dict[str, Any] = {"texts": "--texts" in words}
    words, to = take([word for word in words if word != "--texts"], "--to")
    if to != "minari":
        raise ConfigError(f"--to takes minari, got {to!r}.")
    for option in ("--dataset", "--episodes", "--policy", "--out"):
        words, text = take(words, option)
        if text:
            found[option.removeprefix("--")] = number(option, text, int, 1) if option == "--episodes" else text
    if words and (Path(words[0]) / "run.json").is_file():
        if len(words) > 1:
            raise ConfigError(f"a run's settings are fixed: leave out {words[1]}.")
        return MinariOptions(**found), open_run(words[0])
    return MinariOptions(**found), parse_config("collect", words)[2]


def parse_export(words: list[str]) -> tuple[Run, ExportOptions]:
    """The run and the options of ``plaudit export``."""
    from plaudit.exports.base import ExportOptions

    margin = "--margin" in words
    words, to = take([word for word in words if word != "--margin"], "--to")
    words, out = take(words, "--out")
    if not to:
        raise ConfigError("say what: plaudit export RUN --to trl, or --to reward")
    if len(words) != 1 or words[0].startswith("-"):
        raise ConfigError(f"give the folder of one run: plaudit export runs/doorkey --to {to}")
    return open_run(words[0]), ExportOptions(to, out, margin)


@dataclasses.dataclass(frozen=True)
class LabelWords:
    """What stands behind ``plaudit label``."""

    run: Run
    """The run."""
    options: LabelOptions
    """How to label."""
    by: str
    """The second model; empty for a person."""
    show: bool
    """Whether to show what there is, and no more."""
    config: RunConfig
    """The run's settings, with those that were typed for a second model."""


def parse_label(words: list[str]) -> LabelWords:
    """The run and the options of ``plaudit label``; settings only for a second model."""
    from plaudit.stages.label import LabelOptions, for_another

    flags = {name: f"--{name}" in words for name in ("show", "no-browser", "no-pictures")}
    words, budget = take_budget([word for word in words if word.removeprefix("--") not in flags])
    words, by = take(words, "--by")
    found: dict[str, Any] = {name: not flags[f"no-{name}"] for name in ("browser", "pictures")}
    for option, least in (("--pairs", 1), ("--seed", 0), ("--port", 0)):
        words, text = take(words, option)
        if text:
            found[option.removeprefix("--")] = number(option, text, int, least)
    for option, name in (("--as", "author"), ("--select", "select")):
        words, text = take(words, option)
        found |= {name: text} if text else {}
    if found.get("select", "uniform") not in ("uniform", "disputed"):
        raise ConfigError(f"--select takes uniform or disputed, got {found['select']!r}.")
    if not words or words[0].startswith("-") or (words[1:] and not by):
        more = f", and settings ({words[1]}) only behind --by MODEL" if words[1:] else ""
        raise ConfigError(f"give the folder of one run{more}: plaudit label runs/doorkey")
    run = open_run(words[0])
    run.budget = budget
    config = for_another(run.config)
    config = parse_config("label", words[1:], config)[2] if words[1:] else config
    return LabelWords(run, LabelOptions(**found), by, flags["show"], config)


def parse_config(verb: str, words: list[str], base: RunConfig | None = None) -> tuple[str, str, RunConfig]:
    """(out, name, config) from the words behind a verb: recipe first, then the world, then single settings.

    ``base`` stands in for the world's usual settings where neither recipe nor world is named.
    """
    from plaudit.config import RunConfig, load_recipe, recipes

    return parse_settings(verb, words, Kind(RunConfig, recipes, load_recipe, _brought), base)


def parse_finetune(words: list[str]) -> tuple[str, str, FinetuneConfig]:
    """The same for ``plaudit finetune``, whose settings and recipes are its own."""
    from plaudit.finetune.settings import FinetuneConfig, load_recipe, recipes

    def brought(world: str) -> FinetuneConfig:
        return FinetuneConfig(world=_brought(world).world)

    return parse_settings("finetune", words, Kind(FinetuneConfig, recipes, load_recipe, brought))


@dataclasses.dataclass(frozen=True)
class Kind(Generic[C]):
    """A kind of settings."""

    cls: type[C]
    """The dataclass; it has ``world`` and ``llm``."""
    recipes: Callable[[], dict[str, Path]]
    """The recipes that come with plaudit, by name."""
    load: Callable[[str], C]
    """Reads one."""
    brought: Callable[[str], C]
    """What a world without a recipe brings itself."""


def parse_settings(verb: str, words: list[str], kind: Kind[C], base: C | None = None) -> tuple[str, str, C]:
    """(out, name, settings) for settings of any kind; see :func:`parse_config`."""
    import tyro

    from plaudit.registry import entries, find
    from plaudit.world_file import is_path, split_task, title

    words, recipe = take(words, "--recipe")
    words, model = take(words, "--llm")
    words, out = take(words, "--out")
    chosen_llm: dict[str, Any] = {"model": model} if model else {}
    for option in ("--ledger", "--replay"):
        words, file = take(words, option)
        chosen_llm |= {option.removeprefix("--"): file} if file else {}
    words, on = take(words, "--on") if verb in PLACED else (words, "")
    world = task = ""
    if words and not words[0].startswith("-"):
        (world, task), words = split_task(words[0]), words[1:]
        if is_path(world):
            find("worlds", world)
        elif world not in entries("worlds") and ("/" in world or Path(world).exists()):
            maker = "run" if verb.split()[0] in ("play", "analyze") else verb
            raise ConfigError(f"{world} is no run: it has no run.json. Make one: plaudit {maker} doorkey --out {world}")
        elif world not in entries("worlds"):
            or_run = "and no run " * (verb.split()[0] in ("play", "analyze"))
            raise ConfigError(f"there is no world {or_run}{world!r}.{did_you_mean(world, entries('worlds'))}")
    if recipe or world or base is None:
        base = kind.load(recipe) if recipe else _usual(kind, world or "doorkey", task)
    start: Any = base
    if world:
        chosen: Any = {"name": world} | ({"task": task} if task else {})
        start = dataclasses.replace(start, world=dataclasses.replace(start.world, **chosen))
    start = dataclasses.replace(start, llm=dataclasses.replace(start.llm, **chosen_llm))
    start = placed(start, on) if on else start

    what = "[WORLD|RUN]" if verb == "play" or verb.startswith("analyze") else "[WORLD]"
    own = (f"{what} [--recipe NAME|FILE.toml] [--llm MODEL|URL]", *OPTIONS.get(verb, ()))
    last = "[settings, as below]" if verb == "play" else "[--out PATH] [settings, as below]"
    lines = f"\n{' ' * (len(verb) + 9)}".join((*own, last))
    about = f"{VERBS[verb.split()[0]]}\n\nplaudit {verb} {lines}"
    config: Any = tyro.cli(kind.cls, args=words, default=start, prog=f"plaudit {verb}", description=about)
    named = "-".join(filter(None, (title(config.world.name), config.world.task)))
    return out, Path(recipe).stem if recipe else named, config


def placed(config: RunConfig, on: str) -> RunConfig:
    """The same settings for another place."""
    return dataclasses.replace(config, cluster=dataclasses.replace(config.cluster, on=on))


def _usual(kind: Kind[C], world: str, task: str) -> C:
    """The recipe of the world's task, else of the world, else the settings that the world itself brings."""
    from plaudit.world_file import is_path

    for name in () if is_path(world) else (f"{world}-{task}", world):
        if name in kind.recipes():
            return kind.load(name)
    return kind.brought(world)


def _brought(world: str) -> RunConfig:
    from plaudit.config import RunConfig, from_dict
    from plaudit.registry import load

    return from_dict(RunConfig, dict(load("worlds", world).settings))


def take(words: list[str], option: str) -> tuple[list[str], str]:
    """The words without ``option VALUE`` (or ``option=VALUE``), and the value; empty where it is not given."""
    for i, word in enumerate(words):
        if word == option:
            if i + 1 == len(words):
                raise ConfigError(f"{option} needs a value.")
            return words[:i] + words[i + 2 :], words[i + 1]
        if word.startswith(option + "="):
            return words[:i] + words[i + 1 :], word.removeprefix(option + "=")
    return words, ""
