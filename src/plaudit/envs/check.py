"""Does a world keep the contract? Each check is one question, and says what to do where the answer is no.

    plaudit check doorkey
    plaudit check ./my_world.py

A check that rests on another one that failed is skipped, so that one defect is told once. Leaves out what nobody can tell
from outside: whether the goal is the right one, and whether a description holds what matters.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gymnasium.vector import VectorEnv

from plaudit.envs.base import World
from plaudit.envs.check_steps import STEP_CHECKS
from plaudit.envs.check_subject import Check, Fault, Skip, Subject
from plaudit.envs.check_words import WORD_CHECKS
from plaudit.errors import PlauditError

Status = Literal["ok", "failed", "skipped"]
CHECKS: dict[str, Check] = STEP_CHECKS | WORD_CHECKS
"""By name, in the order in which they are asked."""

OTHERS = (Path(__file__).parents[1], Path(sysconfig.get_paths()["stdlib"]))
"""Where files lie that no user wrote: plaudit's and Python's own."""
NEEDS = "needs"
"""How the reason of a check begins that rests on one that failed."""


@dataclass(frozen=True)
class Finding:
    """What one check came to."""

    name: str
    """The check's name."""
    status: Status
    """``ok``, ``failed``, or ``skipped`` where it could not be asked."""
    text: str
    """What was found; where it failed, what to do."""


def check(make: Callable[[], World], vector: Callable[[int], VectorEnv], context: int = 4096) -> list[Finding]:
    """All checks of a world.

    Args:
        make: gives a new copy.
        vector: gives so many copies that step together.
        context: tokens that the language model's context holds.
    """
    subject, found = Subject(make, vector, context), dict[str, Finding]()
    try:
        for name, each in CHECKS.items():
            found[name] = _ask(name, each, subject, found)
    finally:
        subject.close()
    return list(found.values())


def _ask(name: str, each: Check, subject: Subject, found: dict[str, Finding]) -> Finding:
    if missing := [need for need in each.needs if found[need].status == "failed" or found[need].text.startswith(NEEDS)]:
        return Finding(name, "skipped", f"{NEEDS} {missing[0]!r}")
    try:
        return Finding(name, "ok", each.ask(subject))
    except Skip as reason:
        return Finding(name, "skipped", str(reason))
    except (Fault, PlauditError) as fault:
        return Finding(name, "failed", str(fault))
    except Exception as error:
        return Finding(name, "failed", f"{type(error).__name__}: {error} ({_where(error)})")


def _where(error: BaseException) -> str:
    """File and line of the innermost step of an error's way, in the user's files where it went through one."""
    way = traceback.extract_tb(error.__traceback__)
    last = ([at for at in way if _own(at.filename)] or way)[-1]
    return f"{'/'.join(Path(last.filename).parts[-2:])}, line {last.lineno}, in {last.name}"


def _own(file: str) -> bool:
    """Whether a file is one of the user's; ``<frozen importlib._bootstrap>`` is none."""
    return not (file.startswith("<") or "site-packages" in file or any(map(Path(file).is_relative_to, OTHERS)))
