"""label: which of two shows more progress, by a person in a web page or by a second model; and what that says of the judge.

Run: ``plaudit label runs/doorkey``, ``plaudit label runs/doorkey --by model.gguf``, ``plaudit label runs/doorkey --show``.
Labels lie beside the stages (``labels/``) and do not touch them; they enter a reward where ``fit.labels`` says so.
Labelling does not lock the run: it can go on while agents are trained.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, Literal

import numpy as np

from plaudit.config import RunConfig
from plaudit.config_rules import validate
from plaudit.console import answers, console
from plaudit.errors import ConfigError
from plaudit.labelling import second, summary
from plaudit.labelling.plan import Plan, ordered
from plaudit.labelling.server import LabelServer
from plaudit.labelling.session import Pictures, Session
from plaudit.labels import PERSON, LabelBook, Pair, oriented, read_labels, write_file
from plaudit.report.labels import judged, standings
from plaudit.routes.pictures import CollectedPictures
from plaudit.stages.models import check_sees
from plaudit.stages.parts import make_protocol, make_route, make_world, open_llm
from plaudit.store import Run, load_tree
from plaudit.types import Comparison

PAIRS = 100
"""Pairs, where no number is given."""
RESERVED = "the "
"""What the judge's, the reward's and the world's names begin with in the tables."""


@dataclass(frozen=True)
class LabelOptions:
    """What ``plaudit label`` is told."""

    author: str = PERSON
    """Name of the person."""
    pairs: int = 0
    """Different pairs in all, those of earlier sittings counted; 0 for the usual number."""
    select: Literal["uniform", "disputed"] = "uniform"
    """Which pairs."""
    seed: int = 0
    """Of the pairs, the seats and the repeats."""
    port: int = 0
    """0 for a free one."""
    browser: bool = True
    """Whether to open a browser."""
    pictures: bool = True
    """Whether pictures are shown, where the world can make one of an observation."""


def label(run: Run, options: LabelOptions) -> None:
    """A person, in a page; ends when the person says so or types Ctrl-C."""
    run.require("annotate")
    if options.author.startswith(RESERVED) or not options.author.strip():
        raise ConfigError(f"--as takes a person's name, got {options.author!r}.")
    answered = judged(run)
    spread = ensemble_spread(run, answered) if options.select == "disputed" else None
    pairs = ordered(answered, options.select, options.seed, spread)
    book = LabelBook(run.folder, options.author)
    try:
        plan = Plan(pairs, options.pairs or PAIRS, options.seed)
        pictures = painter(run) if options.pictures else lambda text: []
        session = Session(book, plan, goal_of(run), pictures, options.select)
        serve(LabelServer(session, options.port, lambda: summary.lines(run, options.author)), options.browser)
    finally:
        book.close()
    console.print(f"{len(book.labels)} labels of {options.author} are in {book.path}", markup=False, soft_wrap=True)
    show(run)


def serve(server: LabelServer, browser: bool) -> None:
    """Until the person ends it."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    print(f"label: {server.url}\nIn a browser on this machine; Ctrl-C ends, every answer is saved at once.", flush=True)
    if browser and has_screen():
        Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
    try:
        server.until_finished()
    except KeyboardInterrupt:
        print()
    finally:
        server.shutdown()
        server.server_close()


def has_screen() -> bool:
    """Whether a browser with windows can be opened; one in the terminal would cover it."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(v) for v in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )


def goal_of(run: Run) -> str:
    """The goal as the judge was told it."""
    summary = (run.finished("annotate") or {}).get("summary", {})
    return summary.get("goal") or make_world(run.config.world).goal


def ensemble_spread(run: Run, answered: Sequence[Comparison]) -> dict[Pair, float] | None:
    """Standard deviation between the fitted networks' probabilities of each pair; None without such networks."""
    path = run.folder / "fit" / "reward.safetensors"
    if run.finished("fit") is None or not path.is_file() or run.config.judge.segment > 1:
        return None
    from plaudit.routes.networks import make_model, model_inputs

    model = make_model(run.config, make_world(run.config.world))
    model.load_state(load_tree(path)["nets"])
    texts = list(dict.fromkeys(t for c in answered for t in (c.first, c.second)))
    number = {t: i for i, t in enumerate(texts)}
    rewards = model.members(model_inputs(run, texts)).astype(np.float64)
    pairs = list(dict.fromkeys(oriented(c.first, c.second) for c in answered))
    first, second = np.array([(number[a], number[b]) for a, b in pairs]).T
    opinions = 1 / (1 + np.exp(rewards[:, second] - rewards[:, first]))
    return dict(zip(pairs, opinions.std(axis=0).tolist(), strict=True))


def painter(run: Run) -> Pictures:
    """Pictures of an item's observations; the world is made when the first is asked for."""
    from plaudit.routes.networks import collected_texts, judged_members
    from plaudit.stages.evaluate import png

    index = {text: i for i, text in enumerate(collected_texts(run))}
    members, pictures = judged_members(run), functools.cache(lambda: CollectedPictures(run))

    def paint(text: str) -> list[bytes]:
        seen = [index[m] for m in ((text,) if members is None else members.get(text, ())) if m in index]
        frames = [pictures().pixels(number) for number in seen]
        return [png(np.asarray(frame)) for frame in frames if frame is not None]

    return paint


def for_another(config: RunConfig) -> RunConfig:
    """A run's settings without what belongs to its own model: the adapter on it, and the ledger that stands in for it."""
    return dataclasses.replace(config, llm=dataclasses.replace(config.llm, adapter="", replay=""))


def by_model(run: Run, model: str, options: LabelOptions, config: RunConfig | None = None) -> None:
    """A second model, about the pairs that people have labelled and as many more as are wanted.

    ``config``: :func:`for_another`, with those of the model and of how it is asked changed.
    """
    run.require("annotate")
    config = config or for_another(run.config)
    judge, answered = config.judge, judged(run)
    own = run.config.judge
    if (judge.protocol, judge.input) != (own.protocol, own.input) and judge.prompt == own.prompt:
        judge = dataclasses.replace(judge, prompt="")  # the run's own is for another question
    route = make_route(run.config.route)
    protocol = make_protocol(judge, route.protocols[0] if route.protocols else "pointwise")
    drawn: dict[Pair, Any] = {x.pair: x.selection for x in read_labels(run.folder, ("person",))}
    wanted = options.pairs or max(PAIRS, len(drawn))
    spread = ensemble_spread(run, answered) if options.select == "disputed" else None
    for pair in ordered(answered, options.select, options.seed, spread):
        drawn.setdefault(pair, options.select)
    pairs = list(drawn)[:wanted]
    asking = dataclasses.replace(config, llm=dataclasses.replace(config.llm, model=model))
    if judge.input != "text":
        validate(asking)
        check_sees(asking.llm)
        pictures = CollectedPictures(run)
        shown = pictures.of(pictures.numbers(text for pair in pairs for text in pair))
        protocol = dataclasses.replace(protocol, pictures=shown)
    with (
        open_llm(Run(run.folder, asking, run.budget)) as llm,
        answers("label", protocol.requests(pairs), run.budget) as arrived,
    ):
        said = protocol.compare(llm, goal_of(run), pairs, arrived)
        way = f"{' chat' * judge.chat}{f' {judge.input}' * (judge.input != 'text')}"
        name = f"{llm.name} {type(protocol).__name__.lower()}{way}"
    # Another way of asking is another author.
    path = write_file(run.folder, name, second.labels(name, said, drawn))
    console.print(f"{len(said)} pairs by {name} are in {path}", markup=False, soft_wrap=True)
    show(run)


def show(run: Run) -> None:
    """Who agrees with whom, in the terminal."""
    found = standings(run)
    if not found:
        console.print(f"Nobody has labelled {run.folder} yet. Type: plaudit label {run.folder}", markup=False)
        return
    for standing in found:
        summary.show(standing)
    if run.finished("evaluate") is not None and run.finished("report") is None:
        console.print(f"In the report too: plaudit report {run.folder}", markup=False, soft_wrap=True)
