"""Checks of what a world does: it begins, steps, repeats itself by seed, ends, and says whether it was solved."""

from __future__ import annotations

import contextlib
import copy
import io
import time
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import error as gym_error
from gymnasium import spaces

from plaudit.envs.base import World
from plaudit.envs.check_subject import SEEDS, STEPS, Check, Fault, Skip, Subject, Walked, draw, same, walk
from plaudit.envs.wrapped import Wrapped, stepped
from plaudit.spaces import Codes
from plaudit.vector import rows, stack, step_observations, step_value, take

COPIES = 3
"""Copies of the vector form that are compared with single ones."""
EPISODE = 5000
"""Steps after which an episode that has not ended counts as endless here."""
SECONDS = 60
"""Time after which the same holds, for slow worlds."""
EXPERT_EPISODES = 5
"""Episodes that the scripted policy gets."""
REFUSALS = (ValueError, AssertionError, gym_error.Error)
"""Errors that say "no such action"; others come from somewhere inside."""


def made(subject: Subject) -> str:
    """It can be constructed."""
    world = subject.world
    if not isinstance(world, World):
        raise Fault(f"{type(world).__name__} is no plaudit.World. Derive its class from World, or from Wrapped.")
    for name in ("observation_space", "action_space"):
        if getattr(world, name, None) is None:
            raise Fault(f"it has no {name}. Set self.{name} in __init__.")
    space = world.action_space
    if not (isinstance(space, spaces.Discrete) or (isinstance(space, spaces.Box) and space.is_bounded())):
        raise Fault(
            f"an agent needs a Discrete action space or a Box with bounds, got {_short(space)}. Turn it into one of them "
            "by a wrapper around the environment: gymnasium.wrappers.TransformAction(env, func, action_space)"
        )
    return f"{type(world).__name__}, actions {_short(space)}"


def begins(subject: Subject) -> str:
    """``reset`` gives an observation and infos."""
    answer = subject.new().reset(seed=SEEDS[0])
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)):
        raise Fault(f"reset must return (observation, info dictionary), got {_short(answer)}.")
    _in_space(subject.world, answer[0], "reset")
    return "reset(seed=0) gives an observation of the space"


def steps(subject: Subject) -> str:
    """``step`` gives what Gymnasium asks for."""
    world = subject.new()
    world.action_space.seed(SEEDS[0])
    observation, _ = world.reset(seed=SEEDS[0])
    for _ in range(STEPS):
        answer = world.step(draw(world, observation))
        if not (isinstance(answer, tuple) and len(answer) == 5 and isinstance(answer[4], dict)):
            raise Fault("step must return (observation, reward, terminated, truncated, info).")
        observation, reward, terminated, truncated, _ = answer
        _in_space(world, observation, "step")
        if not np.isscalar(reward) or not np.isfinite(float(reward)):  # type: ignore[arg-type]
            raise Fault(f"step gave the reward {reward!r}; it must be one finite number.")
        if not all(isinstance(flag, bool | np.bool_) for flag in (terminated, truncated)):
            raise Fault(f"terminated and truncated must be True or False, got {terminated!r} and {truncated!r}.")
        if terminated or truncated:
            break
    _kept(subject.new())
    return "random steps give observations of the space and finite rewards"


def repeats(subject: Subject) -> str:
    """The same seed and actions give the same episode."""
    for seed in SEEDS:
        for at, (a, b) in enumerate(zip(walk(subject.new(), seed), walk(subject.new(), seed), strict=False)):
            if what := _differs(a, b):
                raise Fault(
                    f"two copies with seed {seed} and the same actions differ in {what} after {at} steps. Draw all "
                    "chance from self.np_random, which reset(seed=...) sets, and hand the seed on to what is wrapped."
                )
    return f"two copies agree over {STEPS} steps with each of {len(SEEDS)} seeds"


def vector_agrees(subject: Subject) -> str:
    """Copies in a vector do what single ones do."""
    with contextlib.closing(subject.vector(COPIES)) as envs:
        singles = [subject.new() for _ in range(COPIES)]
        observations, _ = envs.reset(seed=SEEDS[0])
        own = [world.reset(seed=SEEDS[0] + i)[0] for i, world in enumerate(singles)]
        _agree(observations, own, "the first observation")
        singles[0].action_space.seed(SEEDS[0])
        for _ in range(STEPS):
            actions = np.stack([np.asarray(draw(singles[0], o)) for o in own])
            observations, reward, terminated, truncated, infos = envs.step(actions)
            made = [world.step(action) for world, action in zip(singles, actions, strict=True)]
            ended = np.asarray(terminated) | np.asarray(truncated)
            _agree(step_observations(observations, infos, ended), [m[0] for m in made], "an observation")
            success = step_value(infos, "success", ended)
            for i, (_, own_reward, own_terminated, own_truncated, info) in enumerate(made):
                told = (float(reward[i]), bool(terminated[i]), bool(truncated[i]), bool(success[i]))
                single = (
                    float(own_reward),
                    bool(own_terminated),
                    bool(own_truncated),
                    bool(info.get("success", False)),
                )
                if not np.isclose(told[0], single[0]) or told[1:] != single[1:]:
                    raise Fault(
                        f"copy {i} of the vector gives (reward, terminated, truncated, success) {told}, a single world "
                        f"with the same seed and actions {single}. Leave out vector(), or make it agree."
                    )
            own = [world.reset()[0] if over else m[0] for world, m, over in zip(singles, made, ended, strict=True)]
            _agree(observations, own, "what is seen after a step")
    return f"{COPIES} copies agree with single worlds over {STEPS} steps"


def fresh(subject: Subject) -> str:
    """Observations that were given out do not change later."""
    with contextlib.closing(subject.vector(COPIES)) as envs:
        world = subject.new()
        world.action_space.seed(SEEDS[0])
        given = [(world.reset(seed=SEEDS[0])[0], envs.reset(seed=SEEDS[0])[0])]
        kept = [copy.deepcopy(given[0])]
        for _ in range(5):
            actions = [draw(world, one) for one in rows(given[-1][1])]
            single, _, terminated, truncated, _ = world.step(draw(world, given[-1][0]))
            given.append((single, envs.step(np.stack([np.asarray(a) for a in actions]))[0]))
            kept.append(copy.deepcopy(given[-1]))
            if terminated or truncated:
                break
        for before, now in zip(kept, given, strict=True):
            for which, a, b in zip(("step", "the vector's step"), before, now, strict=True):
                if not same(a, b):
                    raise Fault(f"an observation changed after it was given out. Return a copy from {which}.")
    return "each step gives new arrays"


def gymnasium_agrees(subject: Subject) -> str:
    """Gymnasium's own checker."""
    from gymnasium.utils.env_checker import check_env

    with _quiet() as said:
        check_env(subject.new(), skip_render_check=True)
    return "gymnasium.utils.env_checker.check_env" + (f", {len(said)} warnings" if said else "")


def sb3_agrees(subject: Subject) -> str:
    """Stable-Baselines3's own checker."""
    try:
        from stable_baselines3.common.env_checker import check_env
    except ModuleNotFoundError:
        raise Skip("stable-baselines3 is not installed: pip install 'plaudit[sac]'") from None
    space = subject.world.action_space
    if isinstance(space, spaces.Discrete) and space.start != 0:
        raise Skip(f"Stable-Baselines3 takes no {space}: its actions start at 0. plaudit's own agents take it.")
    if isinstance(subject.walk[0].observation, dict) and "action_mask" in subject.walk[0].observation:
        raise Skip("Stable-Baselines3's checker knows no action mask, and takes actions that it forbids.")
    whole = subject.world.observation_space
    for part in whole.spaces.values() if isinstance(whole, spaces.Dict) else (whole,):
        if isinstance(part, spaces.Box) and part.shape == ():
            raise Skip(
                f"Stable-Baselines3's checker reads no array without dimensions, and here is one: {_short(part)}"
            )
    with _quiet() as said:
        check_env(subject.new(), skip_render_check=True)
    return "stable_baselines3.common.env_checker.check_env" + (f", {len(said)} warnings" if said else "")


def refuses(subject: Subject) -> str:
    """An action outside the space is an error that says so."""
    world = subject.new()
    world.reset(seed=SEEDS[0])
    space = world.action_space
    if isinstance(space, spaces.Discrete):
        wrong: Any = int(space.start + space.n)
    elif isinstance(space, spaces.Box):
        wrong = np.zeros((*space.shape, 2), space.dtype)
    else:
        raise Skip(f"no wrong action is known for {_short(space)}")
    cure = 'Begin step with: if not self.action_space.contains(action): raise ValueError(f"no action {action!r}")'
    try:
        world.step(wrong)
    except REFUSALS:
        return "an action outside the space is refused"
    except Exception as error:
        raise Fault(f"an action outside the space gives {type(error).__name__}: {error}. {cure}") from None
    raise Fault(f"it takes an action outside of its space: {_short(wrong)}. {cure}")


def fallback(subject: Subject) -> str:
    """The fallback is an action."""
    world = subject.world
    if not world.action_space.contains(world.fallback):
        space = _short(world.action_space)
        raise Fault(f"fallback = {world.fallback!r} is no action of {space}. Name one that does little.")
    return f"fallback {_short(world.fallback)} is an action"


def success_told(subject: Subject) -> str:
    """``info["success"]`` is there after every step, and true or false."""
    for at, step in enumerate(step for step in subject.walk if step.action is not None):
        if "success" not in step.info:
            raise Fault(
                f'info["success"] is missing after step {at + 1}. Give it at every step: True where it is solved.'
            )
        if not isinstance(value := step.info["success"], bool | np.bool_):
            raise Fault(f'info["success"] must be True or False, got {value!r} of type {type(value).__name__}.')
    return 'info["success"] is True or False after every step' + _success_rule(subject)


def _success_rule(subject: Subject) -> str:
    """What counts as success where neither the environment nor the class says it; skipped where that is doubtful."""
    world = subject.world
    if not isinstance(world, Wrapped) or (type(world).success, type(world).step) != (Wrapped.success, Wrapped.step):
        return ""
    met = _met(world)
    if any({"success", "is_success"} & step.info for step in met):
        return ""
    rewards = [step.reward for step in met]
    cure = 'Write success(), or put info["success"] into the environment'
    if min(rewards) < 0 and max(rewards) <= 0:
        raise Skip(
            f"nothing says what success is, and no reward above 0 was met in {len(met):,} random steps: it is never told "
            f"(unless success pays). {cure}"
        )
    if min(rewards) > 0 and any(step.terminated for step in met):
        raise Skip(
            "nothing says what success is, and every step pays: each end but one by time would count, a failure too. "
            f"{cure}"
        )
    return "; an end with a reward above 0 counts"


def _met(world: Wrapped) -> list[Walked]:
    """Random steps as the environment itself tells them, to the end of an episode; of infos only the names."""
    world.action_space.seed(SEEDS[0])
    seen, _ = world.reset(seed=SEEDS[0])
    met, start = list[Walked](), time.monotonic()
    while len(met) < EPISODE and time.monotonic() - start < SECONDS:
        raw, reward, terminated, truncated, info = stepped(world, action := draw(world, seen))
        met.append(Walked(action, raw, float(reward), bool(terminated), bool(truncated), set(info)))
        if met[-1].ended and len(met) >= STEPS:
            break
        seen = world.reset()[0] if met[-1].ended else world.flat(raw)
    return met


def progress_told(subject: Subject) -> str:
    """``info["progress"]``, where it is given, lies between 0 and 1."""
    told = [step.info["progress"] for step in subject.walk if step.action is not None and "progress" in step.info]
    if not told:
        raise Skip("the world tells no progress: plaudit calibrate has nothing to compare with; all else works")
    for value in told:
        if not (np.isscalar(value) and 0 <= float(value) <= 1):  # type: ignore[arg-type]
            raise Fault(f'info["progress"] must be a number from 0 to 1, got {value!r}. Divide by its largest value.')
    return f'info["progress"] lies within 0 to 1 (here {min(told):.2f} to {max(told):.2f})'


def ends(subject: Subject) -> str:
    """An episode ends, and another one begins after it."""
    world = subject.new()
    world.action_space.seed(SEEDS[0])
    observation, _ = world.reset(seed=SEEDS[0])
    step, start = 0, time.monotonic()
    while step < EPISODE and time.monotonic() - start < SECONDS:
        step += 1
        observation, _, terminated, truncated, _ = world.step(draw(world, observation))
        if terminated or truncated:
            break
    else:
        raise Skip(f"no end in {step:,} random steps; an agent needs episodes that end (max_episode_steps)")
    try:
        observation, _ = world.reset()
        _in_space(world, observation, "reset after an end")
        world.step(draw(world, observation))
    except Exception as error:
        raise Fault(f"after an end (step {step}) reset and step give {type(error).__name__}: {error}.") from error
    return f"an episode ends (step {step}) and another begins"


def closes(subject: Subject) -> str:
    """``close`` works, also before anything was done."""
    subject.make().close()
    world = subject.make()
    world.reset(seed=SEEDS[0])
    world.close()
    return "close() works"


def expert(subject: Subject) -> str:
    """The scripted policy gets to a success."""
    world = subject.new()
    policy = world.expert()
    if policy is None:
        raise Skip("expert() gives no policy: whether success can be reached is not known")
    solved = 0
    for seed in range(EXPERT_EPISODES):
        observation, _ = world.reset(seed=seed)
        policy.reset(np.ones(1, bool))
        for _ in range(EPISODE):
            observation, _, terminated, truncated, info = world.step(policy.act(stack([observation]))[0])
            if terminated or truncated:
                solved += bool(info.get("success", False))
                break
    if not solved:
        raise Fault(f"expert() solved none of {EXPERT_EPISODES} episodes. Correct it, or what success means.")
    return f"expert() solved {solved} of {EXPERT_EPISODES} episodes"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _in_space(world: World, observation: Any, source: str) -> None:
    space = world.observation_space
    if space.contains(observation):
        return
    told = f"the observation of {source} is not in observation_space: "
    if not (isinstance(space, spaces.Dict) and isinstance(observation, dict)):
        raise Fault(f"{told}{_unfit(*_own(world, '', space, observation))}. Correct the space, or the observation.")
    if missing := space.spaces.keys() ^ observation.keys():
        raise Fault(f"{told}parts that only one of the two has: {sorted(missing)}. Correct one of them.")
    wrong = next(name for name in space.spaces if not space[name].contains(observation[name]))
    why = _unfit(*_own(world, wrong, space[wrong], observation[wrong]))
    raise Fault(f"{told}of its part {wrong!r}, {why}. Correct one of them.")


def _own(world: World, name: str, space: gym.Space[Any], value: Any) -> tuple[gym.Space[Any], Any]:
    """A part as the environment has it where that is a ``Discrete`` one: its codes count from 0, wherever that starts."""
    if not (isinstance(world, Wrapped) and isinstance(space, Codes)):
        return space, value
    leaf = next(leaf for leaf in world._parts.leaves if leaf.name == name)
    own: Any = world._parts.own
    for key in leaf.path:
        own = own[key]
    return (own, leaf.back(value)) if isinstance(own, spaces.Discrete) else (space, value)


def _unfit(space: gym.Space[Any], value: Any) -> str:
    """Why a value is not in a space."""
    if not (isinstance(space, spaces.Box) and isinstance(value, np.ndarray)):
        return f"it is {_short(value)} of type {type(value).__name__}, and the space {_short(space)}"
    if value.shape != space.shape:
        return f"its shape is {value.shape}, and the space's {space.shape}"
    if not np.can_cast(value.dtype, kind := np.dtype(space.dtype)):
        return f"its dtype is {value.dtype}, and the space's {kind}"
    outside = ~((value >= space.low) & (value <= space.high))  # nan is outside, too
    at = tuple(int(i) for i in np.argwhere(outside)[0])
    number = f"number {', '.join(map(str, at))} of it" if at else "it"
    return f"{number} is {value[at]!s}, and the space goes from {space.low[at]!s} to {space.high[at]!s}"


def _kept(world: World) -> None:
    """What the environment of a :class:`Wrapped` observes must be what the world gives, not a number cut to fit."""
    if not isinstance(world, Wrapped) or (type(world).reset, type(world).step) != (Wrapped.reset, Wrapped.step):
        return
    world.action_space.seed(SEEDS[0])
    raw, ended = world.env.reset(seed=SEEDS[0])[0], False
    for _ in range(STEPS):
        if changed := _changed(raw, world.original(flat := world.flat(raw)), ""):
            raise Fault(
                f"the environment observes {changed}. Give its observation_space the dtype and bounds of what is observed."
            )
        if ended:
            return
        raw, _, terminated, truncated, _ = stepped(world, draw(world, flat))
        ended = bool(terminated or truncated)


def _changed(raw: Any, kept: Any, name: str) -> str:
    """The first number that is another one than the environment's; texts may lose their end."""
    if isinstance(kept, dict | tuple):
        names = kept if isinstance(kept, dict) else range(len(kept))
        return next((said for key in names if (said := _changed(raw[key], kept[key], f"{name}/{key}"))), "")
    if isinstance(kept, str):
        return ""
    own, given = np.broadcast_arrays(np.asarray(raw, float), np.asarray(kept, float))
    kind = np.asarray(kept).dtype
    near = max(1e-4, float(np.finfo(kind).eps)) if np.issubdtype(kind, np.floating) else 1e-4
    if not (wrong := ~np.isclose(own, given, near, 1e-6, equal_nan=True)).any():
        return ""
    part = f" in its part {name[1:]!r}" if name else ""
    return f"{own[wrong][0]:g}{part}, which cannot be held in its space and becomes {given[wrong][0]:g}"


def _differs(a: Walked, b: Walked) -> str:
    if not same(a.action, b.action) or not same(a.observation, b.observation):
        return "the observation"
    if not np.isclose(float(a.reward), float(b.reward)):
        return "the reward"
    return "" if a.ended == b.ended else "the episode's end"


def _agree(batch: Any, singles: list[Any], what: str) -> None:
    for i, single in enumerate(singles):
        if not same(rows(take(batch, [i]))[0], single):
            raise Fault(
                f"copy {i} of the vector and a single world with the same seed and actions differ in {what}. "
                "Leave out vector(), or make it agree."
            )


@contextlib.contextmanager
def _quiet() -> Iterator[list[warnings.WarningMessage]]:
    """What a checker warns of is counted; what it prints is dropped."""
    with warnings.catch_warnings(record=True) as said, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        yield said


STEP_CHECKS = {
    "made": Check(made),
    "begins": Check(begins, ("made",)),
    "steps": Check(steps, ("begins",)),
    "ends": Check(ends, ("steps",)),
    "closes": Check(closes, ("begins",)),
    "repeats": Check(repeats, ("ends",)),
    "fresh": Check(fresh, ("ends", "closes")),
    "vector": Check(vector_agrees, ("repeats", "fresh")),
    "gymnasium": Check(gymnasium_agrees, ("repeats", "fresh")),
    "sb3": Check(sb3_agrees, ("repeats", "fresh")),
    "refuses": Check(refuses, ("steps",)),
    "fallback": Check(fallback, ("made",)),
    "success": Check(success_told, ("ends",)),
    "progress": Check(progress_told, ("ends",)),
    "expert": Check(expert, ("success",)),
}
