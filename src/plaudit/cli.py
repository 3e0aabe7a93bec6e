"""The command line: one thin function per verb; each is also a function of the API.

``plaudit --help`` imports nothing heavy: a verb's machinery is imported when the verb runs.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit import __version__
from plaudit.errors import ConfigError, PlauditError, did_you_mean

if TYPE_CHECKING:
    from plaudit.config import RunConfig

VERBS = {
    "run": "All stages, from world to report; goes on where it stopped.",
    "calibrate": "Try the judging protocols on pairs with known answers.",
    "collect": "Gather distinct observations with a policy.",
    "annotate": "Ask the LLM which observations show more progress.",
    "fit": "Fit a Bradley-Terry reward model to the answers.",
    "train": "Train an agent for each reward and control.",
    "evaluate": "Measure the agents on freshly drawn episodes.",
    "report": "Write the run's report.html.",
    "list": "Worlds, models, protocols, routes, prompts, recipes.",
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    try:
        return dispatch(words)
    except PlauditError as error:
        if debug:
            raise
        print(f"plaudit: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        if debug:
            raise
        print("\nplaudit: stopped. What is done is kept; the same command goes on from here.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if debug:
            raise
        print(
            f"plaudit: unexpected {type(error).__name__}: {error}\nThis is a defect of plaudit. "
            "Run the same command with --debug and report what it prints.",
            file=sys.stderr,
        )
        return 70


def dispatch(words: list[str]) -> int:
    """Find the verb and run it."""
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(f"plaudit {__version__}")
        return 0
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        raise ConfigError(f"there is no command {verb!r}.{did_you_mean(verb, VERBS)}")
    if verb == "list":
        return show_list(rest)
    if verb == "run":
        return run(rest)
    if verb == "calibrate":
        return calibrate(rest)
    return one_stage(verb, rest)


def usage() -> str:
    """The text of ``plaudit --help``."""
    verbs = "\n".join(f"  {name:10} {text}" for name, text in VERBS.items())
    return f"""plaudit {__version__}: large language models as judges for reinforcement learning

  plaudit run doorkey                    all the way, with the embedded model
  plaudit run doorkey --llm model.gguf   the same with another model
  plaudit run --recipe demo              a recipe: plaudit's, or your own .toml

Commands (plaudit COMMAND --help for its options):
{verbs}

--debug behind any command shows the full traceback of an error."""


def run(words: list[str]) -> int:
    """``plaudit run [WORLD] [--recipe R] [--out FOLDER] [--SECTION.SETTING VALUE ...]``."""
    from plaudit import stages

    out, name, config = parse_config("run", words)
    current = stages.run(config, out or f"runs/{name}")
    print(summary(current))  # plain, so that the path is never wrapped
    return 0


def parse_config(verb: str, words: list[str]) -> tuple[str, str, RunConfig]:
    """(out, name, config) from the words behind a verb: recipe first, then the world, then single settings."""
    import tyro

    from plaudit.config import RunConfig, load_recipe, recipes
    from plaudit.registry import entries

    words, recipe = take(words, "--recipe")
    words, model = take(words, "--llm")
    words, out = take(words, "--out")
    world = ""
    if words and not words[0].startswith("-"):
        world, words = words[0], words[1:]
        if world not in entries("worlds") and ("/" in world or Path(world).exists()):
            raise ConfigError(f"{world} is no run: it has no run.json. Make one: plaudit {verb} doorkey --out {world}")
        if world not in entries("worlds"):
            raise ConfigError(f"there is no world {world!r}.{did_you_mean(world, entries('worlds'))}")
    base = load_recipe(recipe or (world if world in recipes() else "doorkey"))
    if world:
        base = dataclasses.replace(base, world=dataclasses.replace(base.world, name=world))
    if model:
        base = dataclasses.replace(base, llm=dataclasses.replace(base.llm, model=model))

    about = f"""{VERBS[verb]}

plaudit {verb} [WORLD] [--recipe NAME|FILE.toml] [--llm embedded|FILE.gguf]
{" " * (len(verb) + 8)} [--out PATH] [settings, as below]"""
    config = tyro.cli(RunConfig, args=words, default=base, prog=f"plaudit {verb}", description=about)
    return out, Path(recipe).stem if recipe else base.world.name, config


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


def one_stage(verb: str, words: list[str]) -> int:
    """``plaudit STAGE RUN``: one stage of an existing run; ``collect`` may make the run."""
    from plaudit.stages import prepare, run_stages
    from plaudit.store import Run

    if words and words[0] in ("-h", "--help"):
        print(
            f"plaudit {verb} RUN\n\n{VERBS[verb]}\n\nRUN is a folder that plaudit run or plaudit collect has made.\n"
            f"A finished stage is skipped; delete RUN/{verb} to do it again."
        )
        return 0
    if verb == "collect" and (not words or not (Path(words[0]) / "run.json").is_file()):
        out, name, config = parse_config(verb, words)
        run_stages(prepare(config, out or f"runs/{name}"), (verb,))
        return 0
    if len(words) != 1:
        raise ConfigError(f"give the folder of one run: plaudit {verb} runs/doorkey")
    run_stages(Run.open(Path(words[0])), (verb,))
    return 0


def calibrate(words: list[str]) -> int:
    """``plaudit calibrate [WORLD] [--llm MODEL] [--pairs N]``."""
    from plaudit.config import validate
    from plaudit.judging.calibrate import show
    from plaudit.stages.calibrate import calibrate as measure
    from plaudit.stages.parts import check

    words, pairs = take(words, "--pairs")
    if pairs and not pairs.isdigit():
        raise ConfigError(f"--pairs takes a number, got {pairs!r}.")
    if pairs and int(pairs) < 10:
        raise ConfigError(f"--pairs must be at least 10, got {pairs}.")
    out, _, config = parse_config("calibrate", words)
    validate(config)
    check(config)
    rows = measure(config, int(pairs or 60))
    show(rows)
    if out:
        from plaudit.store import write_json

        write_json(Path(out), [dataclasses.asdict(r) for r in rows])
    return 0


def show_list(words: list[str]) -> int:
    """``plaudit list``: every part by name, with the first line of its documentation."""
    from plaudit import prompts, registry
    from plaudit.config import recipes

    if words and words[0] in ("-h", "--help"):
        print(
            f"plaudit list [KIND ...]\n\n{VERBS['list']}\n\nKIND: --"
            + ", --".join((*registry.KINDS, "prompts", "recipes"))
        )
        return 0
    kinds = {f"--{kind}": kind for kind in (*registry.KINDS, "prompts", "recipes")}
    unknown = [w for w in words if w not in kinds]
    if unknown:
        raise ConfigError(f"plaudit list takes {', '.join(kinds)}, got {unknown[0]!r}.")
    for kind in [kinds[w] for w in words] or kinds.values():
        print(f"{kind}:")
        if kind == "prompts":
            rows = dict.fromkeys(prompts.names(), "")
        elif kind == "recipes":
            rows = {name: first_comment(path) for name, path in recipes().items()}
        else:
            rows = {name: registry.summary(kind, name) for name in registry.entries(kind)}
        for name, text in rows.items():
            print(f"  {name:12} {text}".rstrip())
    return 0


def first_comment(path: Path) -> str:
    """First line of a recipe, which says what it is for."""
    return path.read_text(encoding="utf-8").split("\n")[0].lstrip("# ")


def summary(current: Any) -> str:
    """What a finished run came to, for the terminal."""
    from plaudit.store import STAGES

    record = current.finished("evaluate")
    lines = ["", "success of the agents on freshly drawn episodes:"]
    for arm, rate in record["summary"]["success"].items():
        lines.append(f"  {arm:12} {rate:6.1%}")
    seconds = sum(current.finished(s)["seconds"] for s in STAGES)
    lines += [f"time of all stages: {seconds:.0f} s", "", f"report: {current.folder / 'report.html'}"]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
