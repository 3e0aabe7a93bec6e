"""The LLM acts: it is told goal, rules and what is seen, and names the action.

Prompting techniques are independent switches: chain of thought (Wei et al. 2022, arXiv 2201.11903), in-context examples,
self-refinement (propose, criticise, improve; RCI, Kim et al. 2023, arXiv 2303.17491), history. The action is written and
parsed strictly by the world, or is the most likely of the listed ones by log-probability per token, from which the
log-probability without the observation may be subtracted (contextual calibration, Zhao et al. 2021, arXiv 2102.09690).

What cannot be understood is asked once more; then the world's fallback is done, and logged as such. Every step is
logged: what was said, understood and executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plaudit.envs.base import World
from plaudit.errors import ConfigError
from plaudit.llms.base import LLM, Reply, Request
from plaudit.llms.reading import cost, declines, quote
from plaudit.policies.examples import RecordedStep
from plaudit.policies.questions import Kind, Questions
from plaudit.policies.said import How, Said
from plaudit.prompts import one_line
from plaudit.vector import rows

UNDERSTOOD = ("ok", "re-asked")
ONE_ACTION = "(Answer with one action and nothing else.)"
"""The reminder in a world that does not list its actions."""


@dataclass(frozen=True)
class PolicyOptions:
    """The switches; what they do stands in ``PolicyConfig``."""

    action: Literal["choose", "generate"] = "choose"
    thought: bool = False
    examples: int = 0
    demonstrations: Literal["any", "success"] = "any"
    refine: int = 0
    history: int = 0
    prior: bool = False
    temperature: float = 0.0
    max_tokens: int = 48
    chat: bool = False
    prompt: str = ""


@dataclass
class _Turn:
    """A copy's step in the making."""

    copy: int
    text: str
    actions: list[str]
    history: list[tuple[str, str]]
    seed: list[int]
    thought: str = ""
    criticisms: list[str] = field(default_factory=list)
    proposal: str = ""
    reminder: str = ""
    prompt: str = ""
    reply: str = ""
    action: Any = None
    how: How = "ok"
    missing: str = ""
    costs: list[Reply] = field(default_factory=list)


class LLMPolicy:
    """A language model that acts in every copy of a world at once.

    Args:
        llm: the model; behind a ledger, a situation that comes again costs nothing.
        world: goal, rules, descriptions and actions.
        options: the switches.
        steps: recorded steps for in-context examples.
        seed: of sampling. A copy's samples depend on its own number, episode and step, not on the other copies.
        episodes: of each copy that are played, 0 for no end. After them its fallback is done, unasked and unlogged: while
            one copy plays on to its step limit, those that are done would cost as much as it does.
    """

    def __init__(
        self,
        llm: LLM,
        world: World,
        options: PolicyOptions,
        steps: Sequence[RecordedStep] = (),
        seed: int = 0,
        episodes: int = 0,
    ) -> None:
        self.llm, self.world, self.options, self.seed, self.episodes = llm, world, options, seed, episodes
        if options.prior and options.action != "choose":
            raise ConfigError("--policy.prior is about listed actions: it needs --policy.action choose.")
        if world.fallback is None:
            raise ConfigError(
                f"{type(world).__name__} has no fallback action: set World.fallback, then an LLM can act."
            )
        self.questions = Questions(world, options.prompt, steps, options.examples, options.demonstrations)
        self.log: list[Said] = []
        self._past: list[list[tuple[str, str]]] = []
        self._episode: NDArray[np.int64] = np.zeros(0, np.int64)
        self._step: NDArray[np.int64] = np.zeros(0, np.int64)

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Forget the episodes that are over."""
        if len(begun) != len(self._past):
            self._past, self._episode = [[] for _ in begun], np.full(len(begun), -1)
            self._step = np.zeros(len(begun), np.int64)
        self._episode = self._episode + begun
        self._step = np.where(begun, 0, self._step)
        for copy in np.flatnonzero(begun):
            self._past[copy] = []

    def act(self, observations: Any) -> NDArray[Any]:
        """One action for each observation; the copies are asked together."""
        singles = rows(observations)
        if len(singles) != len(self._past):
            self.reset(np.ones(len(singles), bool))
        playing = [copy for copy, number in enumerate(self._episode) if not self.episodes or number < self.episodes]
        turns = [self._turn(copy, singles[copy]) for copy in playing]
        if self.options.thought:
            for turn, text in zip(turns, self._write(turns, "think"), strict=True):
                turn.thought = text
        self._propose(turns)
        for _ in range(self.options.refine):
            # What was not understood is not improved upon: that would hide that it was not.
            proposed = [turn for turn in turns if turn.how in UNDERSTOOD]
            for turn, text in zip(proposed, self._write(proposed, "criticise"), strict=True):
                turn.criticisms.append(text)
            self._propose(proposed)
        self.log += [self._said(turn) for turn in turns]
        self._step += 1
        done = {turn.copy: turn.action for turn in turns}
        return np.array([done.get(copy, self.world.fallback) for copy in range(len(singles))])

    def _turn(self, copy: int, observation: Any) -> _Turn:
        actions = list(dict.fromkeys(self.world.actions(observation) or []))
        if self.options.action == "choose" and not actions:
            raise ConfigError("this world does not list its actions in what was observed: --policy.action generate")
        seed = [self.seed, copy, int(self._episode[copy]), int(self._step[copy])]
        return _Turn(copy, one_line(self.world.view(observation)), actions, list(self._past[copy]), seed)

    def _ask(self, turn: _Turn, kind: Kind) -> str:
        criticism = turn.criticisms[-1] if turn.criticisms and kind == "act" else ""
        return self.questions.ask(kind, turn.text, turn.history, turn.thought, turn.proposal, criticism, turn.reminder)

    def _write(self, turns: list[_Turn], kind: Kind) -> list[str]:
        """One text for each, in one line; empty where the model failed, and the turn says why."""
        texts = []
        for turn, reply in zip(turns, self._generate(turns, [self._ask(turn, kind) for turn in turns]), strict=True):
            texts.append(one_line(reply.text) if reply.status == "ok" else "")
            if not texts[-1]:
                turn.missing = f"{kind}: {reply.status}: {quote(reply.error) or 'an empty text'}"
        return texts

    def _generate(self, turns: list[_Turn], asked: list[str]) -> list[Reply]:
        """A completion goes on with the next line, a chat model ends by itself and may begin with an empty line."""
        options = self.options
        requests = [
            Request(
                text,
                chat=options.chat,
                max_tokens=options.max_tokens,
                temperature=options.temperature,
                stop=() if options.chat else ("\n",),
                seed=int(np.random.SeedSequence(turn.seed).generate_state(1)[0]) if options.temperature else 0,
            )
            for turn, text in zip(turns, asked, strict=True)
        ]
        return self._paid(turns, self.llm.generate(requests))

    def _paid(self, turns: list[_Turn], replies: list[Reply]) -> list[Reply]:
        for turn, reply in zip(turns, replies, strict=True):
            turn.costs.append(reply)
        return replies

    def _propose(self, turns: list[_Turn]) -> None:
        """Settle on an action for each turn."""
        for turn in turns:
            turn.prompt, turn.action, turn.how = self._ask(turn, "act"), None, "ok"
        if self.options.action == "choose":
            self._choose(turns)
        else:
            self._name(turns)
        for turn in turns:
            if turn.how not in UNDERSTOOD:
                turn.action = self.world.fallback
            turn.proposal = self.world.action_word(turn.action, turn.actions)

    def _choose(self, turns: list[_Turn]) -> None:
        """Take the best listed action, or sample one; where there is only one there is nothing to ask."""
        several = [turn for turn in turns if len(turn.actions) > 1]
        scores = self._scores(several, [turn.prompt for turn in several])
        if self.options.prior:
            priors = self._scores(several, [self.questions.ask_prior(turn.text) for turn in several])
            scores = [s - p for s, p in zip(scores, priors, strict=True)]
        best = {turn.copy: score for turn, score in zip(several, scores, strict=True)}
        for turn in turns:
            if turn.how != "ok":
                continue
            values = best.get(turn.copy, np.zeros(1))
            word = turn.actions[self._pick(turn, values)]
            turn.reply = ", ".join(f"{a} {v:.3f}" for a, v in zip(turn.actions, values, strict=True))
            turn.action = self.world.parse_action(word)
            if turn.action is None:
                raise ConfigError(f"{type(self.world).__name__} lists the action {word!r} but does not parse it.")

    def _scores(self, turns: list[_Turn], asked: list[str]) -> list[NDArray[np.float64]]:
        """Log-probability per token of each action, nats; NaN and the turn's status where the model failed."""
        requests = [
            Request(text, chat=self.options.chat, answers=tuple(f" {a}" for a in turn.actions))
            for turn, text in zip(turns, asked, strict=True)
        ]
        found = []
        for turn, reply in zip(turns, self._paid(turns, self.llm.choose(requests)), strict=True):
            sums, lengths = np.array(reply.logprobs, np.float64), np.array(reply.lengths, np.float64)
            whole = len(sums) == len(lengths) == len(turn.actions) and np.isfinite(sums).all() and (lengths > 0).all()
            if reply.status != "ok":
                turn.how, turn.reply = reply.status, quote(reply.error)
            elif not whole:
                turn.how, turn.reply = "error", quote(f"not a number for each action: {reply.logprobs}")
            found.append(sums / lengths if turn.how == "ok" else np.full(len(turn.actions), np.nan))
        return found

    def _pick(self, turn: _Turn, values: NDArray[np.float64]) -> int:
        if self.options.temperature == 0:
            return int(np.argmax(values))
        odds = np.exp((values - values.max()) / self.options.temperature)
        random = np.random.default_rng([*turn.seed, len(turn.criticisms)])
        return int(random.choice(len(values), p=odds / odds.sum()))

    def _name(self, turns: list[_Turn]) -> None:
        """Have the action written; once more, with a reminder of the form, where it cannot be understood."""
        unread = self._read(turns, "ok")
        for turn in unread:
            turn.reminder = f"(Answer with one of: {', '.join(turn.actions)}.)" if turn.actions else ONE_ACTION
            turn.prompt, turn.reminder = self._ask(turn, "act"), ""
        if unread:
            self._read(unread, "re-asked")

    def _read(self, turns: list[_Turn], understood: How) -> list[_Turn]:
        """Ask, and read the answers; returns the turns whose answer came, but names no action."""
        unread = []
        for turn, reply in zip(turns, self._generate(turns, [turn.prompt for turn in turns]), strict=True):
            if reply.status != "ok":
                turn.how, turn.reply = reply.status, quote(reply.error)
                continue
            turn.how, turn.reply = understood, quote(reply.text)
            turn.action = self.world.parse_action(reply.text.strip().removeprefix("Action:"))
            if turn.action is None:
                turn.how = "refused" if declines(reply.text) else "fallback"
                unread.append(turn)
        return unread

    def _said(self, turn: _Turn) -> Said:
        """The log's entry; the step becomes part of the past."""
        if self.options.history:
            self._past[turn.copy] = [*turn.history, (turn.text, turn.proposal)][-self.options.history :]
        return Said(
            copy=turn.copy,
            episode=int(self._episode[turn.copy]),
            step=int(self._step[turn.copy]),
            text=turn.text,
            prompt_hash=hashlib.sha256(turn.prompt.encode("utf-8", "replace")).hexdigest()[:12],
            thought=turn.thought,
            criticism="\n".join(turn.criticisms),
            reply=turn.reply,
            understood=turn.proposal if turn.how in UNDERSTOOD else "",
            executed=turn.proposal,
            how=turn.how,
            missing=turn.missing,
            **cost(*turn.costs),
        )
