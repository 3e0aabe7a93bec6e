"""The LLM acts: it is told goal, rules and what is seen, and names the action.

Prompting techniques are independent switches: chain of thought (Wei et al. 2022, arXiv 2201.11903), in-context examples,
self-refinement (propose, criticise, improve; RCI, Kim et al. 2023, arXiv 2303.17491), history. The action is written and
parsed strictly by the world, or is the most likely of the listed ones by log-probability per token, from which the
log-probability without the observation may be subtracted (contextual calibration, Zhao et al. 2021, arXiv 2102.09690).

What cannot be understood is asked once more; then the world's fallback is done, and logged as such. Every step is
logged: what was said, understood and executed. An observation is data in the prompt and folded into one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plaudit import prompts
from plaudit.envs.base import World
from plaudit.errors import ConfigError
from plaudit.llms.base import LLM, Reply, Request
from plaudit.policies.examples import Examples, RecordedStep
from plaudit.prompts import Block, one_line
from plaudit.vector import rows

How = Literal["ok", "re-asked", "fallback", "error", "refused"]
"""The action as answered, as answered the second time, or the fallback: not understood, failed, declined."""
FIELDS = ("goal", "rules", "examples", "history", "observation", "reasoning", "cue")
ACTION, IMPROVED = "Action:", "Better action:"
# Small models end at once, with an empty line, where the last line is not a short label.
THOUGHT = "(One sentence on what to do next.)\nThought:"
CRITICISM = "(One sentence on what is wrong with the proposed action.)\nCriticism:"
REMINDER = "(Answer with one of: {actions}.)"
NOTHING = "(not shown)"
"""Stands for the observation where an action's own frequency is asked for."""


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


@dataclass(frozen=True)
class Said:
    """One step: what was said, understood and executed."""

    copy: int
    """Which copy of the world."""
    episode: int
    """Number of its episode, from 0."""
    step: int
    """Number of the step, from 0."""
    text: str
    """What was seen."""
    prompt_hash: str
    """First 12 hex digits of the SHA-256 of the last question."""
    thought: str
    """Chain of thought; empty without."""
    criticism: str
    """Self-criticism of every round, one after the other; empty without."""
    reply: str
    """The last answer: its text, or the score of each action."""
    understood: str
    """The action that was read, in words; empty where none was."""
    executed: str
    """The action that was done, in words."""
    how: How
    """How it came to that."""
    tokens: int
    """Tokens read and written for this step."""
    seconds: float
    """Wall time of the model for this step."""
    usd: float
    """Money for this step."""


@dataclass
class _Turn:
    """A copy's step in the making."""

    copy: int
    text: str
    observation: Any
    actions: list[str]
    examples: Block
    history: Block
    thought: str = ""
    criticisms: list[str] = field(default_factory=list)
    proposal: str = ""
    reply: str = ""
    action: Any = None
    how: How = "ok"
    prompt: str = ""
    cost: list[Reply] = field(default_factory=list)


class LLMPolicy:
    """A language model that acts in every copy of a world at once.

    Args:
        llm: the model; behind a ledger, a situation that comes again costs nothing.
        world: goal, rules, descriptions and actions.
        options: the switches.
        steps: recorded steps for in-context examples.
        seed: of sampling.
    """

    def __init__(
        self, llm: LLM, world: World, options: PolicyOptions, steps: Sequence[RecordedStep] = (), seed: int = 0
    ) -> None:
        self.llm, self.world, self.options = llm, world, options
        self.prompt = prompts.load(options.prompt or "act")
        self.prompt.require(*FIELDS)
        if options.prior and options.action != "choose":
            raise ConfigError("--policy.prior is about listed actions: it needs --policy.action choose.")
        if world.fallback is None:
            raise ConfigError(
                f"{type(world).__name__} has no fallback action: set World.fallback, then an LLM can act."
            )
        self.examples = Examples(steps, options.demonstrations) if options.examples else None
        self.log: list[Said] = []
        self._seed, self._rng = seed, np.random.default_rng(seed)
        self._past: list[list[tuple[str, str]]] = []
        self._episode: NDArray[np.int64] = np.zeros(0, np.int64)
        self._shown: dict[str, Block] = {}

    def reset(self, begun: NDArray[np.bool_]) -> None:
        """Forget the episodes that are over."""
        if len(begun) != len(self._past):
            self._past, self._episode = [[] for _ in begun], np.full(len(begun), -1)
        self._episode = self._episode + begun
        for copy in np.flatnonzero(begun):
            self._past[copy] = []

    def act(self, observations: Any) -> NDArray[Any]:
        """One action for each observation; the copies are asked together."""
        singles = rows(observations)
        if len(singles) != len(self._past):
            self.reset(np.ones(len(singles), bool))
        turns = [self._turn(copy, one) for copy, one in enumerate(singles)]
        if self.options.thought:
            for turn, text in zip(turns, self._write(turns, THOUGHT), strict=True):
                turn.thought = text
        self._propose(turns, ACTION)
        for _ in range(self.options.refine):
            for turn, text in zip(turns, self._write(turns, CRITICISM), strict=True):
                turn.criticisms.append(text)
            self._propose(turns, IMPROVED)
        return np.array([self._done(turn) for turn in turns])

    def _turn(self, copy: int, observation: Any) -> _Turn:
        text = self.world.describe(observation)
        actions = self.world.actions(observation) or []
        if self.options.action == "choose" and not actions:
            raise ConfigError("this world does not list its actions: --policy.action generate")
        past = self._past[copy][-self.options.history :] if self.options.history else []
        history = "\n".join(f"Before: {one_line(seen)}\n{ACTION} {done}" for seen, done in past)
        return _Turn(copy, text, observation, actions, self._examples(text), Block(history))

    def _examples(self, text: str) -> Block:
        if self.examples is None:
            return Block()
        if text not in self._shown:
            picked = self.examples.pick(text, self.options.examples)
            lines = [f"Now: {one_line(s.text)}\n{ACTION} {s.action}\nThen: {one_line(s.following)}" for s in picked]
            self._shown[text] = Block("\n".join(["Recorded earlier:", *lines, "End of the record."]) if lines else "")
        return self._shown[text]

    def _ask(self, turn: _Turn, cue: str, observation: str | None = None) -> str:
        """The question, without the lines of blocks that are empty."""
        reasoning = [f"Thought: {one_line(turn.thought)}"] if turn.thought else []
        if turn.proposal:
            reasoning.append(f"Proposed action: {turn.proposal}")
        if turn.criticisms and cue != CRITICISM:
            reasoning.append(f"Criticism: {one_line(turn.criticisms[-1])}")
        blocks = {"examples": turn.examples, "history": turn.history, "reasoning": Block("\n".join(reasoning))}
        seen = turn.text if observation is None else observation
        filled = self.prompt.fill(goal=self.world.goal, rules=self.world.rules, observation=seen, cue=cue, **blocks)
        return "\n".join(line for line in filled.split("\n") if line.strip())

    def _write(self, turns: list[_Turn], cue: str) -> list[str]:
        """One generated line for each; empty where the model failed."""
        replies = self._generate([self._ask(turn, cue) for turn in turns], self.options.max_tokens)
        for turn, reply in zip(turns, replies, strict=True):
            turn.cost.append(reply)
        return [one_line(reply.text) if reply.status == "ok" else "" for reply in replies]

    def _generate(self, asked: list[str], max_tokens: int) -> list[Reply]:
        options = self.options
        requests = [
            Request(text, chat=options.chat, max_tokens=max_tokens, temperature=options.temperature, stop=("\n",),
                    seed=self._seed)
            for text in asked
        ]  # fmt: skip
        return self.llm.generate(requests)

    def _propose(self, turns: list[_Turn], cue: str) -> None:
        """Settle on an action for each turn."""
        for turn in turns:
            turn.prompt, turn.how = self._ask(turn, cue), "ok"
        if self.options.action == "choose":
            self._choose(turns, cue)
        else:
            self._name(turns)
        for turn in turns:
            turn.proposal = self._word(turn, turn.action)

    def _choose(self, turns: list[_Turn], cue: str) -> None:
        scores = self._scores(turns, [turn.prompt for turn in turns])
        priors = [np.zeros(len(turn.actions)) for turn in turns]
        if self.options.prior:
            unseen = self._scores(turns, [self._ask(turn, cue, NOTHING) for turn in turns])
            priors = [np.zeros(len(t.actions)) if p is None else p for t, p in zip(turns, unseen, strict=True)]
        for turn, score, prior in zip(turns, scores, priors, strict=True):
            if score is None:
                turn.action = self.world.fallback
                continue
            values = score - prior
            turn.action = self.world.parse_action(turn.actions[self._pick(values)])
            turn.reply = ", ".join(f"{a} {v:.3f}" for a, v in zip(turn.actions, values, strict=True))

    def _scores(self, turns: list[_Turn], asked: list[str]) -> list[NDArray[np.float64] | None]:
        """Log-probability per token of each action, nats; None where the model failed."""
        requests = [
            Request(text, chat=self.options.chat, answers=tuple(f" {a}" for a in turn.actions))
            for turn, text in zip(turns, asked, strict=True)
        ]
        found: list[NDArray[np.float64] | None] = []
        for turn, reply in zip(turns, self.llm.choose(requests), strict=True):
            turn.cost.append(reply)
            values = np.array(reply.logprobs, np.float64) / np.maximum(1, np.array(reply.lengths, np.float64))
            if reply.status != "ok" or not np.isfinite(values).all():
                turn.how, turn.reply = ("refused" if reply.status == "refused" else "error"), reply.error
                found.append(None)
            else:
                found.append(values)
        return found

    def _pick(self, values: NDArray[np.float64]) -> int:
        if self.options.temperature == 0:
            return int(np.argmax(values))
        odds = np.exp((values - values.max()) / self.options.temperature)
        return int(self._rng.choice(len(values), p=odds / odds.sum()))

    def _name(self, turns: list[_Turn]) -> None:
        """Have the action written; once more where it cannot be understood; then the fallback."""
        self._read(turns, self._generate([turn.prompt for turn in turns], self.options.max_tokens))
        again = [turn for turn in turns if turn.action is None and turn.how == "ok"]
        if again:
            for turn in again:
                reminder = REMINDER.format(actions=", ".join(turn.actions)) if turn.actions else "(One action only.)"
                head, _, cue = turn.prompt.rpartition("\n")
                turn.prompt, turn.how = f"{head}\n{reminder}\n{cue}", "re-asked"
            self._read(again, self._generate([turn.prompt for turn in again], self.options.max_tokens))
        for turn in turns:
            if turn.action is None:
                turn.action, turn.how = self.world.fallback, "fallback" if turn.how in ("ok", "re-asked") else turn.how

    def _read(self, turns: list[_Turn], replies: list[Reply]) -> None:
        for turn, reply in zip(turns, replies, strict=True):
            turn.cost.append(reply)
            turn.reply = reply.text if reply.status == "ok" else reply.error
            turn.action = self.world.parse_action(reply.text) if reply.status == "ok" else None
            if reply.status != "ok":
                turn.how = reply.status

    def _word(self, turn: _Turn, action: Any) -> str:
        return turn.actions[int(action)] if turn.actions and np.ndim(action) == 0 else str(action)

    def _done(self, turn: _Turn) -> Any:
        word = self._word(turn, turn.action)
        past = self._past[turn.copy]
        understood = word if turn.how in ("ok", "re-asked") else ""
        self.log.append(
            Said(
                copy=turn.copy,
                episode=int(self._episode[turn.copy]),
                step=len(past),
                text=turn.text,
                prompt_hash=hashlib.sha256(turn.prompt.encode()).hexdigest()[:12],
                thought=turn.thought,
                criticism="\n".join(turn.criticisms),
                reply=turn.reply[:2000],
                understood=understood,
                executed=word,
                how=turn.how,
                tokens=sum(r.prompt_tokens + r.new_tokens for r in turn.cost),
                seconds=sum(r.seconds for r in turn.cost),
                usd=sum(r.usd for r in turn.cost),
            )
        )
        past.append((turn.text, word))
        return turn.action
