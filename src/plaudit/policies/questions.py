"""What the acting LLM is asked: the prompt of an action, a thought or a criticism, from the switches that are on.

An observation is data in the prompt: folded into one line wherever it stands, so that no text of a world can begin a line
of its own. So are the LLM's own thoughts and criticisms.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from plaudit import prompts
from plaudit.envs.base import World
from plaudit.policies.examples import Examples, RecordedStep
from plaudit.prompts import Block, one_line

Kind = Literal["act", "think", "criticise"]
FIELDS = ("goal", "rules", "examples", "history", "observation", "reasoning")
NOT_SHOWN = "(not shown)"
"""Stands for the observation where an action's own frequency is asked for."""
REMEMBERED = 4096
"""Observations whose examples are kept, so that those that come again are not searched for anew."""


class Questions:
    """Makes the prompts.

    Args:
        world: goal and rules.
        prompt: prompt of the action, by name or path; empty for ``act``.
        steps: recorded steps for in-context examples.
        examples: how many are shown.
        demonstrations: which of them: ``any`` or ``success``.
    """

    def __init__(
        self, world: World, prompt: str, steps: Sequence[RecordedStep], examples: int, demonstrations: str
    ) -> None:
        self.world, self.count = world, examples
        self.prompts = {"act": prompts.load(prompt or "act")}
        self.prompts |= {name: prompts.load(name) for name in ("think", "criticise")}
        for each in self.prompts.values():
            each.require(*FIELDS)
        self._examples = Examples(steps if examples else (), demonstrations)
        self._shown = lru_cache(REMEMBERED)(self._show)

    def ask(
        self,
        kind: Kind,
        text: str,
        history: Sequence[tuple[str, str]] = (),
        thought: str = "",
        proposal: str = "",
        criticism: str = "",
        reminder: str = "",
    ) -> str:
        """The prompt; what is empty leaves no line behind."""
        before = [line for seen, done in history for line in (f"Before: {one_line(seen)}", f"Action: {one_line(done)}")]
        named = {"Thought: ": thought, "Proposed action: ": proposal, "Criticism: ": criticism, "": reminder}
        reasoning = [name + one_line(said) for name, said in named.items() if said]
        return self.prompts[kind].fill(
            goal=self.world.goal,
            rules=self.world.rules,
            examples=self._shown(text),
            history=_lines(before),
            observation=text,
            reasoning=_lines(reasoning),
        )

    def ask_prior(self, text: str) -> str:
        """The action's prompt without what was seen, thought or done: what is left is how likely its words are at all.

        The examples stay, for they too make some words likelier; which ones depends on ``text``.
        """
        return self.prompts["act"].fill(
            goal=self.world.goal,
            rules=self.world.rules,
            examples=self._shown(text),
            history=Block(),
            observation=NOT_SHOWN,
            reasoning=Block(),
        )

    def _show(self, text: str) -> Block:
        lines = ["Recorded earlier:"]
        for step in self._examples.pick(text, self.count):
            lines += [f"Now: {one_line(step.text)}", f"Action: {one_line(step.action)}"]
            lines.append(f"Then: {one_line(step.following)}")
        return _lines([*lines, "End of the record."]) if len(lines) > 1 else Block()


def _lines(lines: Sequence[str]) -> Block:
    return Block("".join(f"{line}\n" for line in lines))
