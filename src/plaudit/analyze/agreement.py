"""agreement: do judges agree with each other, with people and with the world; and can their numbers be believed?

    plaudit analyze agreement runs/doorkey
    plaudit analyze agreement runs/doorkey --agreement.protocols pairwise verdict     # asks the model in these ways too

Authors of opinions are the run's judge, people and second models that have labelled (``plaudit label``), the fitted reward,
other protocols where they are asked for, and the world. Where a route compares nothing (embedding, code, a control), its
reward orders random pairs of what was collected. The world's progress is only what opinions are measured against.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from plaudit.analysis import authors as opinions
from plaudit.analysis import reliability
from plaudit.analysis.agreement import CLEAR_GAP
from plaudit.analysis.authors import Author
from plaudit.analysis.reliability import Answers, Share
from plaudit.analysis.sharpness import calibration
from plaudit.analyze.agreement_read import AgreementOptions, Read, gather
from plaudit.analyze.base import Analysis, Finding, Measure, Plot, Subject, Table
from plaudit.analyze.rewards import taught
from plaudit.report.curves import Point
from plaudit.report.labels import share, sharpness
from plaudit.report.lines import Line, lines
from plaudit.report.words import NONE, number, percent
from plaudit.types import Comparison

FEW = 30
"""Pairs with a known order below which a warning is given."""


class Agreement(Analysis):
    """Judges against each other, people and the world; calibration."""

    options = AgreementOptions
    reads = ("collect",)

    def find(self, subject: Subject, options: AgreementOptions) -> Finding:
        run = subject.finished_run("collect")
        read = gather(subject, run, options)
        world = next((a for a in read.authors if a.kind == "world"), None)
        told = {a.name: Answers.of(a.opinions, world.opinions) for a in read.authors if world and a.kind != "world"}
        told = {name: answers for name, answers in told.items() if len(answers.pairs)}
        right = [_accuracy(name, answers) for name, answers in told.items()]
        spoken = {name: answers for name, answers in told.items() if len(set(answers.sure)) > 2}
        seats = [(name, reliability.seating(said)) for name, said in read.seated]
        plots = [p for p in (_by_distance(told, read, options), _curve(spoken, options)) if p]
        tables = [_matrix(read.authors), _distances(told, read, options), _believed(read.authors), _seats(read.seated)]
        return Finding(
            headline=_headline(read.authors, right),
            lede="Opinions of pairs of observations: which of the two shows more progress. " + LEDE,
            measures=[*right, *(m for name, each in spoken.items() for m in _errors(name, each, options)),
                      *(m for name, each in seats for m in _seat_measures(name, each))],
            plots=plots,
            tables=[t for t in tables if t.rows],
            warnings=_warnings(read, told, options) + (taught(run) if told else []),
            facts={"pairs": {a.name: len(a.opinions) for a in read.authors}},
        )  # fmt: skip


LEDE = (
    f"The world knows the order of a pair whose progress differs by {CLEAR_GAP} or more; nobody who gives an opinion has "
    "seen it. Intervals count that pairs share observations."
)


def _accuracy(name: str, answers: Answers) -> Measure:
    found = reliability.accuracy(answers)
    return Measure(f"{name} orders as the world does", found.share, found.low, found.high, found.pairs, chance=0.5)


def _errors(name: str, answers: Answers, options: AgreementOptions) -> list[Measure]:
    error = reliability.corrected_error(answers, options.bins)
    low, high = reliability.error_interval(answers, options.bins)
    note = "mean gap of said probability and share right, without what true probabilities show with so few pairs"
    return [Measure(f"{name}: calibration error", error, low, high, len(answers.pairs), chance=0.0, note=note)]


def _seat_measures(name: str, seats: reliability.Seating) -> list[Measure]:
    if not seats.pairs:
        return []
    flips = seats.flips
    worth = "what the first seat adds to the log-odds of being preferred, nats; 0 is no preference"
    return [
        Measure(f"{name}: verdict flips with the seats", flips.share, flips.low, flips.high, flips.pairs),
        Measure(f"{name}: worth of the first seat", seats.bias, seats.bias_low, seats.bias_high, seats.pairs, chance=0.0,
                share=False, note=worth),
    ]  # fmt: skip


def _headline(authors: Sequence[Author], right: Sequence[Measure]) -> str:
    if right:
        first = right[0]
        span = f"{percent(first.low, 0)} to {percent(first.high, 0)}"
        return f"{first.name.capitalize()} in {percent(first.value, 1)} of pairs ({span}); a coin in 50%."
    if len(authors) > 1:
        one, other = authors[:2]
        same = _same(one, other)
        return f"{one.short.capitalize()} and {other.short} say the same of {_span(same)} of {same.pairs:,} pairs."
    return f"{authors[0].short.capitalize()} has said something of {len(authors[0].opinions):,} pairs, and nobody else has."


def _matrix(authors: Sequence[Author]) -> Table:
    rows = []
    for one, other in itertools.combinations(authors, 2):
        found = opinions.concord(one, other)
        if found.pairs:
            rows.append(
                [one.name, other.name, _span(_same(one, other)), found.half, found.kappa, found.decided, found.pairs]
            )
    columns = ["", "and", "same verdict", "ties as half", "kappa", "decided", "pairs"]
    note = (
        "Same verdict: where both decided. Kappa counts three answers (the one, the other, a tie) and takes off what two "
        "coins would agree."
    )
    return Table("Who agrees with whom", columns, rows, note)


def _same(one: Author, other: Author) -> Share:
    """Share of the pairs that both decided of which they say the same."""
    decided = [p for p, said in one.opinions.items() if said != 0.5 and other.opinions.get(p, 0.5) != 0.5]
    alike = [(one.opinions[p] > 0.5) == (other.opinions[p] > 0.5) for p in decided]
    return reliability.share_of(decided, np.array(alike, np.float64))


def _span(found: Share) -> str:
    """A share with its interval."""
    return (
        NONE
        if found.share is None
        else f"{percent(found.share, 1)} ({percent(found.low, 0)} to {percent(found.high, 0)})"
    )


def _distances(told: dict[str, Answers], read: Read, options: AgreementOptions) -> Table:
    rows = []
    for name, answers in told.items():
        for each in reliability.by_distance(answers, read.distance, options.bins):
            rows.append([name, f"{each.low:.2f} to {each.high:.2f}", _span(each.right), each.right.pairs])
    columns = ["", "progress apart", "right", "pairs"]
    return Table("Accuracy by how far apart the pair is", columns, rows, "Chance is 50%.")


def _by_distance(told: dict[str, Answers], read: Read, options: AgreementOptions) -> Plot | None:
    series = []
    for slot, (name, answers) in enumerate(told.items()):
        bins = reliability.by_distance(answers, read.distance, options.bins)
        points = [Point(b.middle, b.right.share or 0.0, b.right.low, b.right.high) for b in bins]
        series.append(Line(name, points, slot % 12, dotted=True))
    if not series:
        return None
    picture = lines(
        series, "Accuracy over how far apart the pair is", (0, 1), (0, 1), (percent, percent), [(0, 0.5), (1, 0.5)]
    )
    return Plot(
        "Accuracy by how far apart the pair is",
        picture,
        "Across: difference of the world's progress. Thin line: a coin.",
    )


def _curve(spoken: dict[str, Answers], options: AgreementOptions) -> Plot | None:
    series = []
    for slot, (name, answers) in enumerate(spoken.items()):
        bins = reliability.calibration_curve(answers, options.bins)
        series.append(
            Line(name, [Point(b.middle, b.right.share or 0.0, b.right.low, b.right.high) for b in bins], slot, True)
        )
    if not series:
        return None
    picture = lines(series, "Share right over the probability that was said", (0.5, 1), (0, 1), (percent, percent),
                    [(0.5, 0.5), (1, 1)])  # fmt: skip
    return Plot(
        "Can its probabilities be believed?",
        picture,
        "Across: how sure it was. On the thin line they are true; below it too sure.",
    )


def _believed(authors: Sequence[Author]) -> Table:
    """The probabilities of whoever gives some, by a person's answers and by the world's orders."""
    truths = [a for a in authors if a.kind in ("person", "world")]
    rows = []
    for author in authors:
        if len(set(author.opinions.values())) <= 3:
            continue
        for truth in truths:
            found = calibration(author.opinions, truth.opinions, resamples=100) if truth is not author else None
            if found is not None:
                rows.append([author.name, truth.name, found.log_loss, found.brier, sharpness(found), found.pairs])
    columns = ["probabilities of", "held against", "log-loss", "Brier", "sharpness", "pairs"]
    return Table(
        "What the probabilities are worth", columns, rows, "A coin has a log-loss of 0.69 and a Brier score of 0.25."
    )


def _seats(seated: Sequence[tuple[str, Sequence[Comparison]]]) -> Table:
    rows = []
    for name, said in seated:
        found = reliability.seating(said)
        worth = (
            NONE
            if found.bias is None
            else f"{number(found.bias)} ({number(found.bias_low)} to {number(found.bias_high)})"
        )
        rows.append([name, share(*opinions.named_first(said)), _span(found.flips), worth, found.pairs])
    columns = ["", "names the first seat", "flips with the seats", "first seat, nats", "pairs asked both ways"]
    return Table(
        "How much the seat decides", columns, rows, "Without a preference the first seat is named in 50% and worth 0."
    )


def _warnings(read: Read, told: dict[str, Answers], options: AgreementOptions) -> list[str]:
    found = []
    if not told:
        found.append("This world tells no progress that differs between the pairs: agreement among authors only.")
    few = [name for name, answers in told.items() if len(answers.pairs) < FEW]
    if few:
        found.append(f"Fewer than {FEW} pairs with a known order for {', '.join(few)}.")
    if not read.seated:
        found.append(
            "Nobody saw two observations at once, so there is no seat to prefer. To ask so: "
            "--agreement.protocols pairwise verdict"
        )
    return found
