"""MetaWorld's speed beside the package's own environment and renderer, in one run, alternating, medians.

    python benchmarks/metaworld_speed.py                 # about a minute
    python benchmarks/metaworld_speed.py --task push

*Steps*: the package's environment stepped in a plain loop, against the world's vector form of as many copies. *Pictures*:
the package's ``env.render()`` (its size makes little difference: its default, 480x480, and 64x64), against a step's
picture in the world. *Copies*: time and memory of one more copy. Rates are per CPU-second of this process, which other
work on the machine disturbs least; ratios are within one round.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from plaudit.envs.metaworld import MetaWorld
from plaudit.envs.metaworld_arm import Arm

from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # isort: skip (the world says first how MuJoCo is to draw)


def package(task: str, **options: Any) -> Any:
    """The benchmark's own environment at the start of an episode."""
    env = ALL_V3_ENVIRONMENTS[f"{task}-v3"](**options)
    env._partially_observable, env._freeze_rand_vec, env.seeded_rand_vec = False, False, True
    env.__dict__.pop("sawyer_observation_space", None)
    env._set_task_called = True
    env.seed(0)
    env.reset()
    return env


def rate(work: Callable[[], int]) -> float:
    """Things done per CPU-second."""
    start = time.process_time()
    done = work()
    return done / (time.process_time() - start)


def memory() -> float:
    """Most memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def steps(task: str, copies: int, rounds: int) -> list[tuple[float, float]]:
    """(package, world) in steps per CPU-second, round by round."""
    bare = [package(task) for _ in range(copies)]
    envs = MetaWorld.vector(copies, task=task)
    envs.reset(seed=0)
    moves = np.random.default_rng(0).uniform(-1, 1, (180 // rounds, copies, 4)).astype(np.float32)

    def plain() -> int:
        for move in moves:
            for env, one in zip(bare, move, strict=True):
                env.step(one)
        return moves.shape[0] * copies

    def ours() -> int:
        for move in moves:
            envs.step(move)
        return moves.shape[0] * copies

    return [(rate(plain), rate(ours)) for _ in range(rounds)]


def resets(task: str, rounds: int) -> list[tuple[float, float]]:
    """(package, world) in resets per CPU-second, round by round."""
    bare, arm = package(task), Arm(task)

    def repeat(reset: Callable[[], Any]) -> Callable[[], int]:
        def work() -> int:
            for _ in range(5):
                reset()
            return 5

        return work

    return [(rate(repeat(bare.reset)), rate(repeat(arm.reset))) for _ in range(rounds)]


def pictures(task: str, rounds: int) -> list[tuple[float, ...]]:
    """(package at 480, package at 64, world at 64, world at 224) in pictures per CPU-second, round by round."""
    plain = [package(task, render_mode="rgb_array", camera_name="corner", width=s, height=s) for s in (480, 64)]
    arm = Arm(task)
    arm.reset()

    def render(env: Any) -> Callable[[], Any]:
        def draw() -> Any:
            # Gymnasium's viewer draws into whatever context is current: without this, into ours, with our settings.
            env.mujoco_renderer._get_viewer("rgb_array").make_context_current()
            return env.render()

        return draw

    draws: list[Callable[[], Any]] = [render(env) for env in plain]
    draws += [lambda side=side: arm.picture(side) for side in (64, 224)]
    counts = (2, 2, 20, 20)

    def work(draw: Callable[[], Any], count: int) -> Callable[[], int]:
        def repeat() -> int:
            for _ in range(count):
                draw()
            return count

        return repeat

    for draw in draws:
        draw()
    found = [tuple(rate(work(draw, count)) for draw, count in zip(draws, counts, strict=True)) for _ in range(rounds)]
    for env in plain:
        env.close()
    return found


def copies(task: str, more: int = 32) -> tuple[float, float]:
    """CPU milliseconds and MB of one more copy."""
    Arm(task)
    before, start = memory(), time.process_time()
    kept = [Arm(task) for _ in range(more)]
    return 1000 * (time.process_time() - start) / len(kept), (memory() - before) / len(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="drawer-close")
    parser.add_argument("--copies", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repetitions; medians are printed")
    options = parser.parse_args()
    milliseconds, megabytes = copies(options.task)
    print(f"{options.task}: one more copy takes {milliseconds:.1f} CPU-ms and {megabytes:.1f} MB")
    for name, rows in (
        (f"steps, {options.copies} copies", steps(options.task, options.copies, options.rounds)),
        ("resets", resets(options.task, options.rounds)),
    ):
        plain, ours = (statistics.median(column) for column in zip(*rows, strict=True))
        ratio = statistics.median(b / a for a, b in rows)
        print(f"{name}: package {plain:.0f}/CPU-s, world {ours:.0f}/CPU-s, ratio {ratio:.2f}")
    drawn = pictures(options.task, options.rounds)
    large, small, ours, wide = (statistics.median(column) for column in zip(*drawn, strict=True))
    print(f"pictures, package: {large:.1f}/CPU-s at 480x480, {small:.1f}/CPU-s at 64x64")
    print(f"pictures, world: {ours:.0f}/CPU-s at 64x64, {wide:.0f}/CPU-s at 224x224")
    print(
        f"ratio at 64x64: {statistics.median(row[2] / row[1] for row in drawn):.1f}; "
        f"at 224x224 against 480x480: {statistics.median(row[3] / row[0] for row in drawn):.1f}"
    )


if __name__ == "__main__":
    main()
