"""Has an LLM write reward programs: several candidates, errors go back for repair, the best one is kept.

    writer = CodeWriter(llm, world.goal, world.rules, pairs, WriterOptions())
    written = writer.write()
    program = written.require().program

The LLM is told the goal, the rules and the list of features with the values that were met; never a reward, progress or
success. Each candidate is checked on recorded transitions; one that fails is sent back with its error, round by round.

**Which one is best** is decided without the world's reward: by consensus. Of the programs that pass, the one whose rewards
on the recorded transitions have the highest mean rank correlation (Spearman) with those of the other ones is kept; equal
ones count once, and of several that are level the earliest is kept. The guess behind it: programs are wrong in many ways,
and right in similar ones. It can be outvoted by a mistake that most of them share.

Where none passes, that is the result: :meth:`Written.require` raises with the reasons counted.
Source of the reflection on parts and result: Eureka (Ma et al. 2023, arXiv 2310.12931).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from plaudit import prompts
from plaudit.errors import RewardCodeError
from plaudit.llms.base import LLM, Arrived, Reply, Request
from plaudit.prompts import Block, Prompt
from plaudit.rewards.code_checks import Check, check_program
from plaudit.rewards.code_words import HEADER, component_lines, extract, feature_lines
from plaudit.rewards.sandbox import Limits, Pair

STOP = ("\nEnd.", "\nGoal:")
"""Where a model that continues the prompt's format has ended its program."""


@dataclass(frozen=True)
class WriterOptions:
    """How an LLM is asked for programs."""

    candidates: int = 4
    """Programs of one round."""
    rounds: int = 3
    """Times that each candidate is asked for, the first one included."""
    temperature: float = 0.5
    """Of the sampling."""
    max_tokens: int = 400
    """New tokens of one program."""
    chat: bool = True
    """Whether to use the model's chat template; without it the model continues ``def reward(...):``."""
    prompt: str = "code"
    """Name or path of the prompt for new programs."""
    seed: int = 0
    """Of the sampling."""


@dataclass(frozen=True)
class Attempt:
    """One program that an LLM was asked for, and what became of it."""

    round: int
    """1 for new programs, 2 and more for repairs."""
    candidate: int
    """Which of the round's programs, from 0."""
    purpose: str
    """``write``, ``repair`` or ``reflect``."""
    prompt: str
    """What the LLM was asked, in full."""
    reply: str
    """What it answered, in full."""
    program: str
    """What was read out of it; empty where there is none."""
    status: str
    """``ok``, ``refused`` or ``llm-error`` (no reply), or a kind of failure: see ``sandbox_errors.KINDS``."""
    error: str
    """What went wrong, as the LLM is told for repair; empty where it is ok."""
    states: int = 0
    """Recorded pairs of features that it was run on."""
    mean: float | None = None
    """Mean reward over them; None, like the rest, where there are no rewards."""
    std: float | None = None
    """Standard deviation."""
    low: float | None = None
    """Smallest reward."""
    high: float | None = None
    """Largest reward."""
    distinct: float | None = None
    """Different rewards, as a share of the pairs."""
    common: float | None = None
    """Share of the pairs that get the most common reward."""
    states_per_second: float | None = None
    """Speed in the sandbox."""
    agreement: float | None = None
    """Mean rank correlation with the other programs that are ok; None where it is not ok or the only one."""
    chosen: bool = False
    """Whether it is the one that is kept."""
    tokens: int = 0
    """Tokens read and written."""
    seconds: float = 0.0
    """Wall time of the LLM."""
    usd: float = 0.0
    """Money."""


@dataclass(frozen=True)
class Written:
    """All that came of asking."""

    attempts: tuple[Attempt, ...]
    """In order of rounds, then candidates."""

    @property
    def best(self) -> Attempt | None:
        """The one that is kept; None where no program works."""
        return next((attempt for attempt in self.attempts if attempt.chosen), None)

    @property
    def reasons(self) -> dict[str, int]:
        """How many attempts had each status, most frequent first."""
        return dict(Counter(attempt.status for attempt in self.attempts).most_common())

    def require(self) -> Attempt:
        """The one that is kept, or an error with the reasons counted."""
        if (best := self.best) is not None:
            return best
        reasons = ", ".join(f"{count} {status}" for status, count in self.reasons.items())
        raise RewardCodeError(
            "no-program",
            f"none of the {len(self.attempts)} reward programs that the LLM wrote works ({reasons}). "
            "Try a larger model (--llm), more candidates or more rounds.",
        )


@dataclass
class CodeWriter:
    """Asks an LLM for reward programs of one task."""

    llm: LLM
    """Who writes."""
    goal: str
    """The world's goal."""
    rules: str
    """The world's rules."""
    pairs: Sequence[Pair]
    """Features before and after recorded steps: what programs are checked on, and where the list of features is from."""
    options: WriterOptions = field(default_factory=WriterOptions)
    """How to ask."""
    limits: Limits = field(default_factory=Limits)
    """What a program may use."""

    def __post_init__(self) -> None:
        self._features = feature_lines(self.pairs)
        self._rewards: dict[str, NDArray[np.float64]] = {}
        self._checks: dict[str, Check] = {}
        self._write, self._repair = _load(self.options.prompt, "rules"), _load("code_repair", "program", "error")

    def write(self, arrived: Arrived | None = None) -> Written:
        """New programs, and their repairs."""
        text = self._write.fill(goal=self.goal, rules=self.rules, features=self._features)
        return self._rounds([text] * self.options.candidates, "write", arrived)

    def reflect(
        self,
        program: str,
        components: Sequence[dict[str, float]],
        result: str,
        arrived: Arrived | None = None,
    ) -> Written:
        """Better programs than the one that an agent was trained on, and their repairs.

        ``components`` are its parts over steps of that agent, in order; ``result`` says in words what the training came
        to. This is the only place where an LLM may be told of success, and it is told by the caller.
        """
        text = _load("code_reflect", "rules", "program", "components", "result").fill(
            goal=self.goal,
            rules=self.rules,
            features=self._features,
            program=Block(program),
            components=component_lines(components),
            result=result,
        )
        return self._rounds([text] * self.options.candidates, "reflect", arrived)

    def _rounds(self, first: list[str], purpose: str, arrived: Arrived | None) -> Written:
        attempts: list[Attempt] = []
        asked = [(candidate, purpose, self._question(text)) for candidate, text in enumerate(first)]
        for number in range(1, self.options.rounds + 1):
            made = self._ask(number, asked, arrived)
            attempts += made
            # Without a program there is nothing to mend: the same question again, with another seed.
            failed = [a for a in made if a.status != "ok"]
            asked = [
                (a.candidate, *(("repair", self._mend(a)) if a.program else (a.purpose, a.prompt))) for a in failed
            ]
            if not asked:
                break
        return Written(self._choose(attempts))

    def _mend(self, attempt: Attempt) -> str:
        program = Block(attempt.program[: self.limits.characters])
        error = Block(f"{attempt.status}: {attempt.error}")
        text = self._repair.fill(goal=self.goal, features=self._features, program=program, error=error)
        return self._question(text)

    def _question(self, text: str) -> str:
        return f"{text}\n\n{prompts.load('code_chat').text}" if self.options.chat else f"{text}\n{HEADER}"

    def _ask(self, number: int, asked: list[tuple[int, str, str]], arrived: Arrived | None) -> list[Attempt]:
        options = self.options
        requests = [
            Request(
                text,
                chat=options.chat,
                max_tokens=options.max_tokens,
                temperature=options.temperature,
                stop=() if options.chat else STOP,
                seed=(options.seed * 1009 + number) * 1009 + candidate,
            )
            for candidate, purpose, text in asked
        ]
        replies = self.llm.generate(requests, arrived)
        return [
            self._attempt(number, candidate, purpose, request, reply)
            for (candidate, purpose, _), request, reply in zip(asked, requests, replies, strict=True)
        ]

    def _attempt(self, number: int, candidate: int, purpose: str, request: Request, reply: Reply) -> Attempt:
        program = extract(reply.text, "" if self.options.chat else HEADER) if reply.status == "ok" else ""
        made = Attempt(
            number,
            candidate,
            purpose,
            prompt=request.prompt,
            reply=reply.text,
            program=program,
            status="refused" if reply.status == "refused" else "llm-error",
            error=reply.error,
            tokens=reply.prompt_tokens + reply.new_tokens,
            seconds=reply.seconds,
            usd=reply.usd,
        )
        if reply.status != "ok":
            return made
        if not program:
            return replace(made, status="empty", error="the reply holds no program.")
        if program not in self._checks:
            self._checks[program], rewards = check_program(program, self.pairs, self.limits)
            if rewards is not None:
                self._rewards[program] = rewards
        check = vars(self._checks[program]) | {"error": self._checks[program].reason}
        check.pop("reason")
        return replace(made, **check)

    def _choose(self, attempts: list[Attempt]) -> tuple[Attempt, ...]:
        """Mark the program that agrees best with the other ones."""
        passed = list(dict.fromkeys(a.program for a in attempts if a.status == "ok"))
        scores = dict(zip(passed, agreements([self._rewards[p] for p in passed]), strict=True))
        best = max(passed, key=lambda program: scores[program] or 0.0, default=None)
        marked = [replace(a, agreement=scores.get(a.program)) if a.status == "ok" else a for a in attempts]
        if best is not None:
            first = next(i for i, a in enumerate(marked) if a.program == best)
            marked[first] = replace(marked[first], chosen=True)
        return tuple(marked)


def agreements(rewards: Sequence[NDArray[np.float64]]) -> list[float | None]:
    """Mean Spearman correlation of each program's rewards with each other one's, rounded; None for a single program."""
    if len(rewards) < 2:
        return [None] * len(rewards)
    correlations = np.corrcoef([rankdata(values) for values in rewards])
    mean = (correlations.sum(axis=1) - 1) / (len(rewards) - 1)
    return [round(float(value), 9) for value in mean]


def _load(name: str, *fields: str) -> Prompt:
    prompt = prompts.load(name)
    prompt.require("goal", "features", *fields)
    return prompt
