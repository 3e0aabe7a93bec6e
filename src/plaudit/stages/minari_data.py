"""Episodes as a Minari data set, Farama's standard for recorded experience: ``plaudit collect WORLD --to minari``.

From a run's folder its recorded steps are taken (whole episodes; one that the recording cut off is left out); from a world
episodes are played for it. Rewards are the world's own. ``minari.load_dataset`` gives the same arrays back, losslessly:
storage is Arrow and pictures are not made JPEGs. ``recover_environment`` makes the world again.

Leaves out: uploading it, and reading Minari's data sets. Source: Minari 0.5 (Farama Foundation).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from plaudit import __version__, registry
from plaudit.config import RunConfig, to_dict
from plaudit.console import console, progress
from plaudit.envs.base import World
from plaudit.errors import ConfigError, MissingExtraError, StoreError
from plaudit.policies.base import Policy
from plaudit.recording import Recording, load_recording
from plaudit.rollout import Recorder, walk
from plaudit.seeds import COLLECT_SEED
from plaudit.stages.parts import make_envs, make_expert, make_policy, make_world, settled, world_choices
from plaudit.store import Run, explain_disk_errors
from plaudit.vector import take
from plaudit.world_file import title

ID = re.compile(r"(?:[-_\w]+/)*[-_\w]+-v\d+")
"""How Minari names a data set."""


@dataclass(frozen=True)
class MinariOptions:
    """What ``plaudit collect --to minari`` is told beside the settings."""

    dataset: str = ""
    """NAMESPACE/NAME-vN; empty for plaudit/WORLD-POLICY-v0."""
    episodes: int = 0
    """Episodes; 0 for all that a run has recorded, or 100 that are played."""
    policy: str = ""
    """Who plays them: 'random', 'expert', or an agent's folder; empty for the setting collect.policy."""
    out: str = ""
    """Folder of the data sets; empty for Minari's own (MINARI_DATASETS_PATH, else ~/.minari/datasets)."""
    texts: bool = False
    """Whether each observation's description is kept beside it, in infos["description"]."""


@dataclass(frozen=True)
class Whole:
    """One episode of ``n`` steps."""

    observations: Any
    """Batched, ``(n + 1, ...)``."""
    actions: Any
    """``(n, ...)``."""
    rewards: Any
    """The world's own, ``(n,)`` float64."""
    terminated: bool
    """Whether it ended by the world's rules; else by a limit of steps."""
    success: Any
    """Whether the world called each step a success, ``(n,)`` bool."""


def from_run(run: Run, options: MinariOptions) -> Path:
    """The run's recorded episodes as a data set; returns its folder."""
    if options.policy:
        raise ConfigError(
            "a run's episodes are recorded already: leave out --policy, or give a world in place of the run."
        )
    recording = load_recording(run.require("collect"), truth=True)
    if recording.terminated is None:
        raise StoreError(
            f"{run.folder} was collected by an older plaudit, which did not record how episodes ended. "
            f"Delete {run.folder / 'collect'} and type: plaudit collect {run.folder}"
        )
    found = list(whole_episodes(recording))
    if len(found) < max(1, options.episodes):
        raise ConfigError(
            f"{run.folder} holds {len(found)} whole episodes, fewer than the {max(1, options.episodes)} asked for: "
            "take fewer --episodes, or collect more (--collect.steps, --collect.recorded)."
        )
    policy = run.config.collect.policy
    return write(run.config, policy, iter(found[: options.episodes or None]), options)


def from_world(config: RunConfig, options: MinariOptions) -> Path:
    """Episodes that are played for it, as a data set; returns its folder."""
    config, name = settled(config), options.policy or config.collect.policy
    if name == "llm":
        raise ConfigError("let the LLM collect in a run first (--collect.policy llm), then give that run's folder.")
    world = make_world(config.world)
    try:
        if name == "expert":
            make_expert(world)
        policy = make_policy(config, name, world, config.seed)
        return write(config, name, played(config, policy, options.episodes or 100), options)
    finally:
        world.close()


def played(config: RunConfig, policy: Policy, episodes: int) -> Iterator[Whole]:
    """The first episode of each copy and reset, so that short and long ones count alike."""
    most = registry.load("worlds", config.world.name).most_copies
    seed = COLLECT_SEED + 10_000 * config.seed
    with progress("play", episodes) as advance:
        for start in range(0, episodes, most):
            copies = min(most, episodes - start)
            envs = make_envs(config.world, copies)
            recorder, running = Recorder(copies, 2**62), np.ones(copies, bool)
            for made in walk(envs, policy, seed + start):
                recorder.add(made)
                running &= ~made.ended
                if not running.any():
                    break
            envs.close()
            for number, whole in enumerate(whole_episodes(recorder.recording())):
                if number == copies:  # the copies' second episodes, which only short ones have
                    break
                advance(1)
                yield whole


def whole_episodes(recording: Recording) -> Iterator[Whole]:
    """The recorded episodes that came to their end, in order."""
    assert recording.task_reward is not None and recording.ended is not None
    assert recording.terminated is not None and recording.success is not None
    starts = np.flatnonzero(recording.step == 0)
    for start, end in zip(starts, [*starts[1:], len(recording)], strict=True):
        part = slice(start, end)
        if recording.ended[end - 1]:
            seen = [*recording.before[part].tolist(), int(recording.after[end - 1])]
            yield Whole(
                take(recording.observations, seen),
                recording.actions[part],
                recording.task_reward[part],
                bool(recording.terminated[end - 1]),
                recording.success[part],
            )


def write(config: RunConfig, policy: str, episodes: Iterator[Whole], options: MinariOptions) -> Path:
    """These episodes as a data set; what cannot be finished is removed again."""
    minari = _minari()
    name = options.dataset or default_id(config, policy)
    if not ID.fullmatch(name):
        raise ConfigError(f"--dataset takes NAMESPACE/NAME-vN, got {name!r}. Try {default_id(config, policy)}")
    with _datasets_in(options.out):
        from minari.storage import get_dataset_path

        path = Path(get_dataset_path(name))
        if path.exists():
            raise StoreError(f"{path} exists already. Give another name or version (--dataset), or delete that folder.")
        world = make_world(config.world)
        buffers = (buffer(whole, world, options.texts) for whole in episodes)
        try:
            with explain_disk_errors(path), warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # Minari's on authors and links, which are the user's to add
                data = minari.create_dataset_from_buffers(name, [next(buffers)], **facts(config, world, policy))
                data.storage.update_episodes(buffers)
                data.storage.update_metadata({"plaudit": record(config, world, policy)})
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        finally:
            world.close()
        total = data.storage.metadata
        console.print(f"{name}: {total['total_episodes']:,} episodes, {total['total_steps']:,} steps", markup=False)
    return path


def buffer(whole: Whole, world: World, texts: bool) -> Any:
    """One episode as Minari takes it; infos have an entry for the start too."""
    from minari.data_collector import EpisodeBuffer

    from plaudit.vector import rows

    n = len(whole.rewards)
    last = np.arange(n) == n - 1
    infos: dict[str, Any] = {"success": [False, *whole.success.tolist()]}
    if texts:
        infos["description"] = [world.describe(one) for one in rows(whole.observations)]
    return EpisodeBuffer(
        observations=whole.observations,
        actions=whole.actions,
        rewards=whole.rewards,
        terminations=last & whole.terminated,
        truncations=last & (not whole.terminated),
        infos=infos,
    )


def facts(config: RunConfig, world: World, policy: str) -> dict[str, Any]:
    """What Minari itself wants to know."""
    named = "-".join(plain(part) for part in (title(config.world.name), config.world.task) if part)
    # By its class's name Gymnasium makes the world again without plaudit registering anything.
    entry = f"{type(world).__module__}:{type(world).__qualname__}"
    world.spec = EnvSpec(f"plaudit/{named}-v0", entry_point=entry, kwargs=world_choices(config.world))
    return {
        "env": world,
        "eval_env": world.spec,
        "algorithm_name": policy,
        "description": f"{named}: the goal is to {world.goal}. Played by the policy {policy!r}.",
        "requirements": [f"plaudit=={__version__}"],
        "data_format": "arrow",
        "jpeg_encoding": False,
    }


def record(config: RunConfig, world: World, policy: str) -> dict[str, Any]:
    """What plaudit knows besides, under ``metadata["plaudit"]``."""
    settings = to_dict(config)["world"]
    return {
        "version": __version__,
        "world": settings,
        "goal": world.goal,
        "rules": world.rules,
        "policy": policy,
        "seed": config.seed,
    }


def default_id(config: RunConfig, policy: str) -> str:
    """plaudit/WORLD-TASK-POLICY-v0; an agent's folder counts as ``agent``."""
    who = "agent" if "/" in policy or Path(policy).is_dir() else policy
    return f"plaudit/{'-'.join(plain(part) for part in (title(config.world.name), config.world.task, who) if part)}-v0"


def plain(name: str) -> str:
    """A name as Minari and Gymnasium allow it."""
    return re.sub(r"[^-\w]+", "-", name)


def _minari() -> Any:
    try:
        import minari
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a Minari data set needs the package {error.name!r}. Type: pip install 'plaudit[record]'"
        ) from None
    return minari


@contextlib.contextmanager
def _datasets_in(folder: str) -> Iterator[None]:
    """Minari looks for its root in the environment."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    if folder:
        os.environ["MINARI_DATASETS_PATH"] = str(Path(folder).absolute())
    try:
        yield
    finally:
        if folder:
            os.environ.pop("MINARI_DATASETS_PATH")
            if before is not None:
                os.environ["MINARI_DATASETS_PATH"] = before
