"""play: an episode in the terminal, played by a person, a random policy, the world's expert, the LLM or a trained agent.

``plaudit play doorkey`` (a person), ``plaudit play runs/doorkey`` (the run's agent, with its fitted reward beside),
``plaudit play doorkey --policy expert --record episode.gif``. Episodes are drawn from seeds that no training uses. Nothing
is kept but the recording. Leaves out: acting in many copies at once, and playing a recorded episode again.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plaudit.config import RunConfig
from plaudit.config_rules import validate
from plaudit.console import console
from plaudit.envs.base import World
from plaudit.errors import ConfigError
from plaudit.rewards.base import RewardFn
from plaudit.rollout import Step, episode_steps
from plaudit.seeds import PLAY_SEED
from plaudit.stages.evaluate import step_rewards
from plaudit.stages.parts import make_route, make_world, settled
from plaudit.stages.play_actor import Quit, actor, check_same_world, said, usual
from plaudit.stages.play_screen import Screen, Shown
from plaudit.store import Run
from plaudit.world_file import title as named

if TYPE_CHECKING:
    from plaudit.stages.film import Film

USUAL_FPS = 5.0
"""Pictures per second of a recording, where the world does not say."""


@dataclass(frozen=True)
class PlayOptions:
    """What ``plaudit play`` is told beside the settings."""

    policy: str = ""
    """'me', 'random', 'expert', 'llm', or the folder of a run or agent; empty for a person where one is there."""
    reward: str = ""
    """Folder of the run whose fitted reward is shown; empty for none."""
    episodes: int = 1
    """Episodes, with seeds from the setting ``seed`` on."""
    delay: float | None = None
    """Seconds that a step stays; None for a quarter of a second on a terminal where no person plays, else none."""
    max_steps: int = 0
    """Steps after which an episode is cut off; 0 for the world's own limit."""
    record: str = ""
    """File that the pictures are written to, .gif or .mp4; empty for none."""


@dataclass(frozen=True)
class Played:
    """What one episode came to."""

    success: bool
    """Whether the world called it a success."""
    task_return: float
    """Undiscounted sum of the world's own reward."""
    steps: int
    """Its length."""
    stopped: bool
    """Whether the person ended it."""


def play(config: RunConfig, options: PlayOptions) -> int:
    """Play, show, and record; returns the exit code."""
    validate(config)
    config = settled(config)
    name = options.policy or usual()
    for folder in filter(None, (options.reward, name if Path(name).is_dir() else "")):
        check_same_world(config, folder)
    film = _film(config, options)
    world = make_world(config.world)
    try:
        reward = fitted_reward(config, options.reward, world) if options.reward else None
        played = list[Played]()
        for number in range(options.episodes):
            played.append(_episode(config, options, name, world, reward, film, number))
            _tell(f"episode {number + 1}: {_outcome(played[-1])}")
            if played[-1].stopped:
                break
    finally:
        world.close()
    if len(played) > 1:
        wins, mean = sum(p.success for p in played), sum(p.task_return for p in played) / len(played)
        _tell(f"{len(played)} episodes: {wins} with success, mean return {mean:.4g}")
    if film is not None:
        film.write()
        _tell(f"{len(film)} pictures: {film.path}")
    return 0


def fitted_reward(config: RunConfig, folder: str, world: World) -> RewardFn:
    """The reward that this run has made, reading observations as that run did."""
    run = Run.open(Path(folder))
    route = make_route(run.config.route)
    if not route.makes_reward:
        raise ConfigError(
            f"{folder} makes no reward: its route is {run.config.route!r}. "
            "Give a run of preference, scalar, code or embedding."
        )
    own = world if run.config.world == config.world else make_world(run.config.world)
    return route.reward(run, own)[0]


def _film(config: RunConfig, options: PlayOptions) -> Film | None:
    if not options.record:
        return None
    from plaudit import registry
    from plaudit.stages.film import Film

    metadata = registry.load("worlds", config.world.name).metadata
    return Film(Path(options.record), float(metadata.get("render_fps") or USUAL_FPS))


def _episode(
    config: RunConfig,
    options: PlayOptions,
    name: str,
    world: World,
    reward: RewardFn | None,
    film: Film | None,
    number: int,
) -> Played:
    """One episode from start to end, or until the person has had enough."""
    seed = config.seed + number
    title = f"{named(config.world.name)} {config.world.task}".strip()
    title = f"{title}, episode {number + 1}, seed {seed}, played by {name}. The goal is to {world.goal}."
    screen = Screen(console, title, reward is not None, room=6 if name == "me" else 2)
    delay = options.delay if options.delay is not None else 0.25 * (screen.draws and name != "me")
    step, total, summed, before, stopped = None, 0.0, 0.0, list[Step](), False
    try:
        with actor(config, name, world, seed, _ask, _tell) as policy:
            if not screen.draws:
                _tell(title)
            for step in episode_steps(world, policy, PLAY_SEED + seed, screen.draws or film is not None):
                if name in ("me", "llm"):
                    step = replace(step, text=world.view(step.observation))
                value = step_rewards([*before, step], reward)[-1] if reward else None
                # An agent gets nothing for the start, so neither sum counts it.
                total, before = total + step.task_reward, [step]
                summed += value if value is not None and step.step else 0.0
                _show(Shown(step, total, value, summed, said(policy) if step.step else []), screen, film)
                time.sleep(delay)
                if options.max_steps and step.step >= options.max_steps:
                    break
    except (Quit, KeyboardInterrupt):
        stopped = True
    return Played(bool(step and step.success), total, step.step if step else 0, stopped)


def _show(shown: Shown, screen: Screen, film: Film | None) -> None:
    screen.show(shown)
    if film is not None:
        film.add(shown.step.frame, shown.step.text, shown.caption(screen.fitted))


def _ask(question: str) -> str:
    """An answer from the keyboard, or from a pipe."""
    sys.stdout.flush()
    return input(question)


def _tell(text: str) -> None:
    console.print(text, markup=False, soft_wrap=not console.is_terminal)


def _outcome(played: Played) -> str:
    how = "success" if played.success else "stopped" if played.stopped else "no success"
    return f"{how} after {played.steps} steps, return {played.task_return:.4g}"
