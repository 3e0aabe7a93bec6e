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
from plaudit.cli_words import COLLECT, ON, VERBS, open_run, parse_config, placed, take, take_arms, take_budget
from plaudit.errors import ConfigError, PlauditError, did_you_mean

if TYPE_CHECKING:
    from plaudit.config import RunConfig
    from plaudit.stages.arms import Arm


WORLD_FAILED = 9
"""Exit code where a world of the user's own raised an error."""


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
        from plaudit.world_file import blame

        if said := blame(error):
            print(
                f"plaudit: {said}\nplaudit check tells more of a world; --debug shows the traceback.", file=sys.stderr
            )
            return WORLD_FAILED
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
    if verb == "compare":
        return compare(rest)
    if verb == "check":
        return check(rest)
    if verb == "forecast":
        return forecast(rest)
    if verb == "play":
        return play(rest)
    if verb == "ledger":
        return ledger(rest)
    if verb == "export":
        return export(rest)
    if verb == "label":
        return label(rest)
    if verb == "finetune":
        return finetune(rest)
    if verb == "analyze":
        return analyze(rest)
    if verb == "reproduce":
        return reproduce(rest)
    return one_stage(verb, rest)


def usage() -> str:
    """The text of ``plaudit --help``."""
    verbs = "\n".join(f"  {name:10} {text}" for name, text in VERBS.items())
    return f"""plaudit {__version__}: large language models as judges for reinforcement learning

  plaudit run doorkey                    all the way, with the embedded model
  plaudit run doorkey --llm model.gguf   the same with another model
  plaudit run --recipe demo              a recipe: plaudit's, or your own .toml
  plaudit compare doorkey                which way of using the LLM works best?

Commands (plaudit COMMAND --help for its options):
{verbs}

--debug behind any command shows the full traceback of an error."""


def run(words: list[str]) -> int:
    """``plaudit run [WORLD] [--recipe R] [--out FOLDER] [--SECTION.SETTING VALUE ...]``."""
    from plaudit import stages

    words, budget = take_budget(words)
    out, name, config = parse_config("run", words)
    config = _asked(words, config)
    current = stages.run(config, out or f"runs/{name}", budget)
    print(summary(current))  # plain, so that the path is never wrapped
    return 0


def _asked(words: list[str], config: RunConfig) -> RunConfig:
    """Feedback of a model that is named, where a world's recipe trains on the task reward and the words name no route."""
    from plaudit.config import RunConfig
    from plaudit.console import console
    from plaudit.stages.parts import make_route

    named = {word.partition("=")[0] for word in words}
    if "--llm" not in named or {"--route", "--recipe", "--collect.policy"} & named or make_route(config.route).asks:
        return config
    console.print(
        f"the recipe's route {config.route!r} asks no model, and --llm names one: --route {RunConfig().route}",
        markup=False,
    )
    return dataclasses.replace(config, route=RunConfig().route)


def compare(words: list[str]) -> int:
    """``plaudit compare [WORLD] [--arms NAME ...] [--dry-run] [--max-tokens N] [--max-usd X] [--max-hours H]``."""
    dry = "--dry-run" in words
    words, arms = take_arms([w for w in words if w != "--dry-run"])
    words, budget = take_budget(words)
    out, name, config = parse_config("compare", words)
    if dry:
        return show_forecast(config, arms)
    from plaudit.stages.compare import compare as run_arms

    path = run_arms(config, arms, out or f"runs/compare-{name}", budget)
    print(f"\nreport: {path}")
    return 0


def finetune(words: list[str]) -> int:
    """``plaudit finetune WORLD [--out FOLDER] [--data-only | --arms ... | --sweep S=V,V ... [--seeds N]] [settings]``."""
    from plaudit.cli_words import parse_finetune, take_sweep, take_taught_arms
    from plaudit.finetune.run import STAGES, next_step
    from plaudit.finetune.run import finetune as teach

    stages = (STAGES[0], STAGES[-1]) if "--data-only" in words else STAGES
    words, swept, seeds = take_sweep(words)
    words, arms = take_taught_arms(words)
    if swept and arms is not None:
        raise ConfigError("--sweep and --arms do not go together.")
    out, name, config = parse_finetune([word for word in words if word != "--data-only"])
    if swept:
        from plaudit.finetune.sweep import axis, sweep

        work = sweep(config, [axis(text, config) for text in swept], seeds, Path(out or f"runs/sweep-{name}"))
        print(f"\nreport: {work.folder / 'sweep.html'}\ntable: {work.folder / 'sweep.parquet'}, and .csv")
        return int(bool(work.failed))
    if arms is not None:
        from plaudit.finetune.arms import compare as compare_arms

        compare_arms(config, Path(out or f"runs/finetune-{name}-arms"), arms)
        return 0
    run = teach(config, out or f"runs/finetune-{name}", stages)
    print(f"\n{next_step(run)}")
    return 0


def analyze(words: list[str]) -> int:
    """``plaudit analyze [NAME] RUN|WORLD [--out FOLDER] [--NAME.OPTION VALUE ...] [--SECTION.SETTING VALUE ...]``."""
    from plaudit import registry
    from plaudit.cli_words import parse_analyze

    if not words or words[0] in ("-h", "--help"):
        names = "\n".join(f"{name:12} {registry.summary('analyses', name)}" for name in registry.entries("analyses"))
        print(
            f"plaudit analyze NAME RUN|WORLD [--out FOLDER] [settings]\nplaudit analyze RUN [--out FOLDER] [settings]\n\n"
            f"{VERBS['analyze']}\n\n{names}\n\n"
            "RUN is a finished run's folder, of which nothing is changed: the result is\n"
            "written to RUN/analyze/NAME, or to FOLDER. plaudit analyze NAME --help tells\n"
            "the settings. Without a NAME all are made that train nothing, with one page\n"
            "over them: RUN/analyze/index.html."
        )
        return 0
    from plaudit.analyze.run import analyze as look
    from plaudit.analyze.run import analyze_all, show

    asked, folder = parse_analyze(words)
    if len(asked) > 1:
        print(f"\nreport: {analyze_all(asked, folder)}")
        return 0
    for name, subject, options in asked:
        show(look(name, subject, options), subject.folder)
    return 0


def reproduce(words: list[str]) -> int:
    """``plaudit reproduce paper --small|--full [--only NAME ...] [--out FOLDER] [--llm MODEL] [--dry-run]``."""
    from plaudit.cli_words import parse_reproduce

    if not words or words[0] in ("-h", "--help"):
        from plaudit.cli_words import REPRODUCE

        print(REPRODUCE)
        return 0
    from plaudit.reproduce.run import failed, show_forecast
    from plaudit.reproduce.run import reproduce as carry_out

    project, dry = parse_reproduce(words)
    show_forecast(project)
    if dry:
        return 0
    print(f"\nreport: {carry_out(project)}")
    if lost := failed(project):
        print(
            f"plaudit: not finished: {', '.join(lost)}. The report says why; the same command tries again.",
            file=sys.stderr,
        )
    return 1 if lost else 0


def play(words: list[str]) -> int:
    """``plaudit play [WORLD|RUN] [--policy NAME] [--reward RUN] [--record FILE] [--SECTION.SETTING VALUE ...]``."""
    from plaudit.cli_words import parse_play
    from plaudit.stages.play import play as show

    options, config = parse_play(words)
    return show(config, options)


def forecast(words: list[str]) -> int:
    """``plaudit forecast [WORLD] [--arms NAME ...]``."""
    words, arms = take_arms(words)
    _, _, config = parse_config("forecast", words)
    return show_forecast(config, arms)


def show_forecast(config: RunConfig, arms: list[Arm]) -> int:
    """The arms by name, and what they will cost."""
    from plaudit.config_rules import validate
    from plaudit.stages.forecast import forecast as estimate
    from plaudit.stages.forecast import show
    from plaudit.stages.parts import check_llm

    validate(config)
    check_llm(config.llm)
    for arm in arms:
        print(f"  {arm.name:15} {arm.about}")
    show(estimate(config, arms), config)
    return 0


def one_stage(verb: str, words: list[str]) -> int:
    """``plaudit STAGE RUN``: one stage of an existing run; ``collect`` may make the run."""
    from plaudit.config_rules import validate
    from plaudit.stages import prepare, run_stages
    from plaudit.store import made_by

    placing = f" {ON}" * (verb in ("annotate", "train", "evaluate"))
    if words and words[0] in ("-h", "--help"):
        print(
            f"plaudit {verb} RUN{placing}\n\n{VERBS[verb]}\n\n"
            "RUN is a folder that plaudit run or plaudit collect has made.\n"
            f"A finished stage is skipped; delete RUN/{verb} to do it again.{COLLECT * (verb == 'collect')}"
        )
        return 0
    if verb == "collect" and any(word.partition("=")[0] == "--to" for word in words):
        return minari(words)
    if verb == "collect" and (not words or not (Path(words[0]) / "run.json").is_file()):
        out, name, config = parse_config(verb, words)
        run_stages(prepare(config, out or f"runs/{name}"), (verb,))
        return 0
    words, on = take(words, "--on") if verb in ("annotate", "train", "evaluate") else (words, "")
    if len(words) != 1:
        raise ConfigError(f"give the folder of one run: plaudit {verb} runs/doorkey")
    if verb == "report" and made_by(Path(words[0])) == "finetune":
        from plaudit.finetune.run import report_again

        report_again(Path(words[0]))
        return 0
    current = open_run(words[0])
    current.config = placed(current.config, on) if on else current.config
    validate(current.config)
    run_stages(current, (verb,))
    return 0


def minari(words: list[str]) -> int:
    """``plaudit collect WORLD|RUN --to minari [--dataset ID] [--episodes N] [--policy NAME] [--out FOLDER] [--texts]``."""
    from plaudit.cli_words import parse_minari
    from plaudit.stages.minari_data import from_run, from_world
    from plaudit.store import Run

    options, source = parse_minari(words)
    path = from_run(source, options) if isinstance(source, Run) else from_world(source, options)
    print(f"data set: {path}")
    return 0


def export(words: list[str]) -> int:
    """``plaudit export RUN --to trl|reward [--out FOLDER] [--margin]``."""
    from plaudit.cli_words import EXPORT, parse_export

    if words and words[0] in ("-h", "--help"):
        print(EXPORT)
        return 0
    from plaudit.exports.base import export as write

    run, options = parse_export(words)
    print(f"export: {write(run, options)}")
    return 0


def label(words: list[str]) -> int:
    """``plaudit label RUN [--by MODEL | --show] [--pairs N] [--select disputed] [--port N] ...``."""
    from plaudit.cli_words import LABEL, parse_label

    if not words or words[0] in ("-h", "--help"):
        print(LABEL)
        return 0
    from plaudit.stages import label as labelling

    said = parse_label(words)
    if said.show:
        labelling.show(said.run)
    elif said.by:
        labelling.by_model(said.run, said.by, said.options, said.config)
    else:
        labelling.label(said.run, said.options)
    return 0


def calibrate(words: list[str]) -> int:
    """``plaudit calibrate [WORLD] [--llm MODEL] [--pairs N]``."""
    from plaudit.config_rules import validate
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


def check(words: list[str]) -> int:
    """``plaudit check WORLD [settings]``; 1 where something is wrong."""
    from plaudit.stages.check import check as ask
    from plaudit.stages.check import show

    _, name, config = parse_config("check", words)
    found = ask(config)
    show(name, found)
    return int(any(each.status == "failed" for each in found))


def ledger(words: list[str]) -> int:
    """``plaudit ledger FILE [--recover NEW]``."""
    from plaudit.llms.answers import Ledger
    from plaudit.llms.recover import recover

    if not words or words[0] in ("-h", "--help"):
        print(
            f"plaudit ledger FILE [--recover NEW.sqlite]\n\n{VERBS['ledger']}\n\nFILE: a run's own is RUN/ledger.sqlite.\n"
            "--recover copies all answers that can be read into a new ledger."
        )
        return 0
    words, new = take(words, "--recover")
    if len(words) != 1:
        raise ConfigError("give one ledger: plaudit ledger runs/doorkey/ledger.sqlite")
    path = Path(words[0])
    if new:
        saved, lost = recover(path, Path(new))
        print(f"{saved:,} answers are whole and copied into {new}; {lost:,} cannot be read, they will be asked again.")
        print(f"Put it in the old one's place (delete {path}-wal and {path}-shm), or use it by --ledger {new}")
        return 0
    book = Ledger(path, readonly=True)
    book.check()
    spend = book.spend()
    print(f"{spend.answers:,} answers, {spend.failures:,} of them failures, {spend.tokens:,} tokens, ${spend.usd:.4f}")
    print(f"of {', '.join(book.models()) or 'no model'}; every page is whole")
    book.close()
    return 0


def show_list(words: list[str]) -> int:
    """``plaudit list``: every part by name, with the first line of its documentation."""
    from plaudit import prompts, registry
    from plaudit.config import recipe_files, recipes

    listed = (*registry.KINDS, "prompts", "recipes", "experiments")
    if words and words[0] in ("-h", "--help"):
        print(f"plaudit list [KIND ...]\n\n{VERBS['list']}\n\nKIND: one of\n  --" + "\n  --".join(listed))
        return 0
    kinds = {f"--{kind}": kind for kind in listed}
    unknown = [w for w in words if w not in kinds]
    if unknown:
        raise ConfigError(f"plaudit list takes {', '.join(kinds)}, got {unknown[0]!r}.")
    for kind in [kinds[w] for w in words] or kinds.values():
        print(f"{kind}:")
        if kind == "prompts":
            rows = dict.fromkeys(prompts.names(), "")
        elif kind in ("recipes", "experiments"):
            files = recipes() if kind == "recipes" else recipe_files("paper")
            rows = {name: first_comment(path) for name, path in files.items()}
        else:
            rows = {name: registry.summary(kind, name) for name in registry.entries(kind)}
        for name, text in rows.items():
            print(f"  {name:15} {text}".rstrip())
    return 0


def first_comment(path: Path) -> str:
    """First line of a recipe, which says what it is for."""
    return path.read_text(encoding="utf-8").split("\n")[0].lstrip("# ")


def summary(current: Any) -> str:
    """What a finished run came to, for the terminal: the figures of its page."""
    from plaudit.analysis.statistics import interval
    from plaudit.analyze.rewards import success
    from plaudit.store import STAGES

    arms = success(current.folder / "evaluate" / "episodes.parquet")
    lines, labels = ["", "success of the agents on freshly drawn episodes:"], dict[str, None]()
    for arm in current.finished("evaluate")["summary"]["success"]:
        found = interval(list(arms[arm].values()))
        spread = "" if found.low is None else f"  ({found.low:.1%} to {found.high:.1%})"
        lines.append(f"  {arm:16} {found.point:6.1%}{spread}")
        labels[found.label] = None
    lines.append(f"interquartile means over seeds; {', '.join(labels)}")
    seconds = sum(record["seconds"] for s in STAGES if (record := current.finished(s)))
    lines += [
        f"time of all stages, agents one after the other: {seconds:.0f} s",
        "",
        f"report: {current.folder / 'report.html'}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
