"""The LLM acts: the direct policy, with its prompting techniques as switches (see ``policies/llm.py``).

Nothing is trained. In-context examples come from the run's collected episodes, never from those it is measured on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from plaudit.config import RunConfig
from plaudit.errors import ConfigError
from plaudit.routes.base import Route
from plaudit.store import Run

if TYPE_CHECKING:
    from plaudit.envs.base import World
    from plaudit.llms.base import LLM
    from plaudit.policies.base import Policy
    from plaudit.policies.examples import RecordedStep
    from plaudit.policies.llm import LLMPolicy
    from plaudit.recording import Recording
    from plaudit.routes.base import Met


class Direct(Route):
    """The LLM acts itself, with prompting techniques as switches."""

    asks = may_end_early = True
    trains = False

    def check(self, config: RunConfig, world: World) -> None:
        from plaudit.llms.scripted import ScriptedLLM

        make_llm_policy(ScriptedLLM(), world, config, 0, [])
        if config.policy.action == "choose" and not world.may_list():
            raise ConfigError(
                "this world does not list its actions, so that the LLM has to write one: --policy.action generate. "
                "Or list them (in a class of plaudit.Wrapped: action_words)."
            )

    def pilot(self, config: RunConfig, world: World, llm: LLM, met: Met) -> tuple[int, int]:
        from plaudit.vector import stack

        policy = make_llm_policy(llm, world, config, 0, met.steps)
        policy.reset(np.ones(len(met.observations), bool))
        turns = config.policy.history + 1  # so that the last ones show as much history as there can be
        for _ in range(turns):
            policy.act(stack(met.observations))
        return met.situations[config.policy.history], turns * len(met.observations)

    @contextlib.contextmanager
    def policy(self, run: Run, world: World, seed: int) -> Iterator[Policy]:
        from plaudit.stages.parts import open_llm

        examples = recorded_steps(run, world) if run.config.policy.examples else []
        if examples and run.config.policy.demonstrations == "success" and not any(step.success for step in examples):
            raise ConfigError(
                "none of the collected episodes was a success, so there is nothing to demonstrate: "
                "--policy.demonstrations any, or more --collect.steps"
            )
        with open_llm(run) as llm:
            yield make_llm_policy(llm, world, run.config, seed, examples, episodes=1)  # no more are measured


def make_llm_policy(
    llm: LLM, world: World, config: RunConfig, seed: int, examples: list[RecordedStep], episodes: int = 0
) -> LLMPolicy:
    """The acting LLM with the run's switches; one that plaudit has taught is asked in the prompt that it was taught in."""
    from plaudit.llms import gguf_adapter
    from plaudit.policies.llm import LLMPolicy, PolicyOptions

    chosen = {f.name: getattr(config.policy, f.name) for f in fields(PolicyOptions)}
    chosen["prompt"] = chosen["prompt"] or gguf_adapter.taught(config.llm, "policy").get("act", "")
    options = PolicyOptions(**chosen)
    return LLMPolicy(llm, world, options, examples, seed, episodes)


def recorded_steps(run: Run, world: World) -> list[RecordedStep]:
    """The run's collected episodes in words; with the world's own success, which only ``demonstrations`` looks at."""
    from plaudit.recording import load_recording

    return words(load_recording(run.require("collect"), truth=True), world)


def words(recording: Recording, world: World) -> list[RecordedStep]:
    """A recording as steps in words; it must hold the world's own success."""
    from plaudit.policies.examples import RecordedStep

    assert recording.success is not None
    observations = recording.single_observations()
    texts = [world.view(o) for o in observations]
    won = set(recording.episode[recording.success].tolist())
    columns = (recording.episode, recording.step, recording.before, recording.after)
    named: dict[tuple[int, str], str] = {}  # the same action in the same place is named once
    steps = []
    for (e, n, b, a), action in zip(zip(*(c.tolist() for c in columns), strict=True), recording.actions, strict=True):
        key = b, str(action)
        if key not in named:
            named[key] = world.action_word(action, world.actions(observations[b]))
        steps.append(RecordedStep(e, n, texts[b], named[key], texts[a], e in won))
    return steps
