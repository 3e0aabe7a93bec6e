"""The contract of an analysis: what it is given, what it is asked, and what it must say.

Use: ``plaudit analyze dynamics doorkey`` or, of a finished run, ``plaudit analyze credit runs/doorkey``; by the API,
``analyze("credit", Subject.of_run(run), CreditOptions())`` in :mod:`plaudit.analyze.run`.

An analysis reads finished stages and writes into a folder of its own; what it asks a model goes into a ledger there, so
that a stopped one goes on and a second one asks nothing. It leaves out the page: :mod:`plaudit.analyze.page` makes it of
any :class:`Finding`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from markupsafe import Markup

from plaudit.config import RunConfig
from plaudit.errors import ConfigError
from plaudit.store import Run

if TYPE_CHECKING:
    from plaudit.llms.ledger import LedgerLLM
    from plaudit.report.episodes import Still


@dataclass(frozen=True)
class Subject:
    """What is analysed: a world with settings and, if there is one, a run of it."""

    config: RunConfig
    """The run's settings, or those of the command; the model that is asked is ``config.llm``."""
    folder: Path
    """Where the analysis writes."""
    run: Run | None = None
    """The finished run; None where a world alone was named."""

    @property
    def name(self) -> str:
        """World, task and whose: for titles."""
        world = ":".join(filter(None, (Path(self.config.world.name).stem, self.config.world.task)))
        return f"{world}, {self.run.folder.name}" if self.run else world

    def finished_run(self, *stages: str) -> Run:
        """The run, with these stages finished; an error that tells how, where there is none."""
        if self.run is None:
            world = ":".join(filter(None, (self.config.world.name, self.config.world.task)))
            raise ConfigError(
                f"this analysis needs a finished run. Type: plaudit run {world}, then give its folder in place of {world}"
            )
        for stage in stages:
            self.run.require(stage)
        return self.run

    @contextlib.contextmanager
    def llm(self) -> Iterator[LedgerLLM]:
        """The model behind the analysis' own ledger, and behind the one that runs share, where the settings name it.

        The run's own ledger is left alone: a ledger is written to by whoever asks through it.
        """
        from plaudit.llms.answers import Ledger
        from plaudit.llms.ledger import LedgerLLM
        from plaudit.stages.parts import place_llm

        with contextlib.ExitStack() as stack:
            own = stack.enter_context(contextlib.closing(Ledger(self.folder / "ledger.sqlite")))
            name = self.config.llm.ledger
            shared = stack.enter_context(contextlib.closing(Ledger(Path(name)))) if name else None
            model = stack.enter_context(contextlib.closing(place_llm(self.config)))
            yield LedgerLLM(model, own, shared=shared)


@dataclass(frozen=True)
class Measure:
    """One number with what is known of its spread."""

    name: str
    """What was measured, in words that stand alone."""
    value: float | None
    """The number; None where there was nothing to measure."""
    low: float | None = None
    """Lower end of the 95% interval."""
    high: float | None = None
    """Its upper end."""
    n: int = 0
    """Things that were counted: questions, pairs, episodes, seeds."""
    chance: float | None = None
    """What a coin or a random player would give."""
    share: bool = True
    """Whether it is written as a percentage."""
    note: str = ""
    """What a reader has to know besides."""


@dataclass(frozen=True)
class Table:
    """Rows under headings; cells are text, numbers or None."""

    title: str
    """What it shows."""
    columns: Sequence[str]
    """Headings."""
    rows: Sequence[Sequence[Any]]
    """As many cells each as there are headings."""
    note: str = ""
    """How to read it."""


@dataclass(frozen=True)
class Plot:
    """A picture, drawn by :mod:`plaudit.report.plots` or on a :class:`plaudit.report.canvas.Canvas`."""

    title: str
    """What it shows."""
    svg: Markup
    """The picture."""
    note: str = ""
    """How to read it; the legend."""


@dataclass(frozen=True)
class Passage:
    """A text to read: an example question with its answer, an episode in words."""

    title: str
    """What it is an example of."""
    text: str
    """The text, kept as it is; untrusted."""
    picture: str = ""
    """A ``data:`` address of an image beside it; empty for none."""


@dataclass(frozen=True)
class Film:
    """An episode to step through; what the page's script needs of it is in :attr:`Finding.player`."""

    title: str
    """Whose it is, and what it is an example of."""
    note: str
    """What to look at."""
    plot: Markup
    """The reward along it, drawn by :func:`plaudit.report.plots.reward_line`."""
    stills: Sequence[Still]
    """Evenly spaced pictures; none where the world draws nothing."""
    width: int
    """Width at which a picture is shown, pixels."""
    shown: int
    """Number of the last step that is on the page."""


@dataclass(frozen=True)
class Finding:
    """What an analysis says."""

    headline: str
    """One sentence with the number that matters, and its interval."""
    lede: str = ""
    """How it was found, in a sentence or two."""
    measures: Sequence[Measure] = ()
    """The numbers."""
    plots: Sequence[Plot] = ()
    """The pictures."""
    tables: Sequence[Table] = ()
    """What is too much for a number."""
    passages: Sequence[Passage] = ()
    """What is better read than counted."""
    films: Sequence[Film] = ()
    """Episodes, frame by frame."""
    player: dict[str, Any] = field(default_factory=dict)
    """Their steps, as :meth:`plaudit.report.episodes.Player.data` gives them, in the order of ``films``."""
    warnings: Sequence[str] = ()
    """What speaks against the headline: too few, one-sided, not measurable here."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What another program wants to know of it: goes into ``result.json`` as it is."""

    def joined(self, more: Finding) -> Finding:
        """This one with what a further look has found; films and lede are this one's."""
        return replace(
            self,
            headline=" ".join(filter(None, (self.headline, more.headline))),
            measures=[*self.measures, *more.measures],
            plots=[*self.plots, *more.plots],
            tables=[*self.tables, *more.tables],
            warnings=[*self.warnings, *more.warnings],
            facts=self.facts | more.facts,
        )


class Analysis:
    """One question about a world or a run; a subclass with a docstring whose first line says which."""

    options: ClassVar[type[Any]]
    """A frozen dataclass of its settings, each with a default and a line of documentation."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Stages that must be finished; none where a world alone will do."""
    trains: ClassVar[bool] = False
    """Whether it trains agents by itself: then it is made only where it is named."""

    def find(self, subject: Subject, options: Any) -> Finding:
        """Look, and say what was seen. Tables of single items may be written into ``subject.folder`` as Parquet files."""
        raise NotImplementedError
