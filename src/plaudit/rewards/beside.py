"""A reward that is judged on while an agent trains on it: what is met is asked about beside, what is learnt is swapped in.

The trainer never waits. Between two updates :meth:`Annotator.between` takes what has come (answers, newly fitted networks),
gives every description its new reward, and sends new questions. Shaping's mean, deviation and quantile are taken anew
with each fit, over all that is judged by then: the scale of the maximised reward stays where it was, whatever that of the
networks does. Who judges is a :class:`Judge`: a process (``routes/beside.py``), or a script in a test.

How long an answer takes is counted: from the beginning of the update in which an observation was first met to the update
that is trained on what was learnt from it. Runs with this are not repeatable to the digit: answers come when they come.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from plaudit.errors import JudgeFailedError
from plaudit.rewards.base import Depends, Transitions
from plaudit.rewards.online import GRACE
from plaudit.rewards.reward_net import Packed, RewardModel, hashed_words
from plaudit.rewards.shaping import Shaping
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.vector import rows

AHEAD = 8
"""Questions that are with the judge at once, to begin with: few, so that what is met last can be asked first. Where the
judge has run dry when the trainer looks, twice as many; where most are still there, half."""


@dataclass(frozen=True)
class Answer:
    """What the judge said of a description."""

    text: str
    """The description."""
    value: float | None
    """Its number; None where the judge failed."""
    reply: str = ""
    """What was said, where it failed."""


@dataclass(frozen=True)
class Fitted:
    """Networks that have learnt from more answers."""

    nets: dict[str, Any]
    """Their weights, as :meth:`RewardModel.state` gives them."""
    judged: NDArray[np.float32]
    """Their reward of everything that is judged by now, ``(n,)``."""
    answers: int
    """How many of the answers they have learnt from, the first so many."""


class Judge(Protocol):
    """Who judges beside."""

    def ask(self, texts: Sequence[str]) -> None:
        """Take these questions; returns at once."""
        ...

    def news(self) -> list[Answer | Fitted]:
        """What has come since the last call, in order; never waits."""
        ...


@dataclass(frozen=True)
class Asked:
    """One question, for the record."""

    text: str
    """The description."""
    event: str
    """What had happened."""
    value: float | None
    """The judge's number; None where it failed."""
    met: int
    """Environment steps at the beginning of the update in which it was first met."""
    answered: int
    """Steps at which the answer was there."""
    used: int | None = None
    """Steps from which the reward knew of it; None where training was over before."""
    seconds: float | None = None
    """Wall time from meeting it to using it; None where that spans a restart."""


class ChangingReward:
    """A fitted reward whose networks are exchanged during training; each description is known by a number."""

    of: Depends = "observation"

    def __init__(self, model: RewardModel, describe: Callable[[Any], str], known: Mapping[str, float]) -> None:
        self.model, self.describe = model, describe
        self.first: dict[str, tuple[Any, float]] = {}
        """Descriptions that were met since this was last emptied, each with an observation and the time."""
        self._known: dict[str, float] = dict(known)
        self._numbers: dict[str, int] = {}
        self._rewards = np.zeros(1024, np.float32)
        self._words: list[list[int]] = []

    def __call__(self, transitions: Transitions) -> NDArray[np.float32]:
        return self._rewards[self.numbers(transitions.observations)]

    def numbers(self, observations: Any) -> NDArray[np.int64]:
        """The number of each observation's description, ``(n,)``."""
        single = rows(observations)
        texts = [self.describe(one) for one in single]
        if new := {text: i for i, text in enumerate(texts) if text not in self._numbers}:
            now = time.perf_counter()
            self.first |= {text: (single[i], now) for text, i in new.items()}
            self._learn(list(new))
        return np.array([self._numbers[text] for text in texts])

    def rewards(self) -> NDArray[np.float32]:
        """The reward of every description by its number."""
        return self._rewards[: len(self._numbers)]

    def change(self, nets: dict[str, Any]) -> None:
        """Other networks: every description gets their reward."""
        self.model.load_state(nets)
        self._known.clear()
        if self._words:
            self._rewards[: len(self._words)] = self.model(self._packed(self._words))

    def _learn(self, texts: list[str]) -> None:
        start, words = len(self._numbers), [hashed_words(text) for text in texts]
        while start + len(texts) > len(self._rewards):
            self._rewards = np.concatenate([self._rewards, np.zeros_like(self._rewards)])
        found = np.array([self._known.get(text, np.nan) for text in texts], np.float32)
        if (unknown := np.flatnonzero(np.isnan(found))).size:
            found[unknown] = self.model(self._packed([words[i] for i in unknown]))
        self._rewards[start : start + len(texts)] = found
        self._words += words
        self._numbers.update(zip(texts, range(start, start + len(texts)), strict=True))

    @staticmethod
    def _packed(words: list[list[int]]) -> Packed:
        lengths = np.array([len(each) for each in words])
        flat = np.fromiter((row for each in words for row in each), np.int32, int(lengths.sum()))
        tensors = {
            "words": torch.from_numpy(flat),
            "offsets": torch.from_numpy((lengths.cumsum() - lengths).astype(np.int32)),
        }
        return Packed(tensors, len(words))


class ChangingRewardWrapper(RewardWrapper):
    """The wrapper for a :class:`ChangingReward`: it remembers which description each observation had."""

    reward_fn: ChangingReward

    def __init__(
        self, env: VectorEnv, reward_fn: ChangingReward, shaping: Shaping, event: Callable[[Any], str]
    ) -> None:
        super().__init__(env, reward_fn, shaping, event)
        self._described = np.zeros(1024, np.int64)

    def _ask(self, transitions: Transitions) -> NDArray[np.float64]:
        start, numbers = len(self._memo), self.reward_fn.numbers(transitions.observations)
        while start + len(numbers) > len(self._described):
            self._described = np.concatenate([self._described, np.zeros_like(self._described)])
        self._described[start : start + len(numbers)] = numbers
        return self.reward_fn.rewards()[numbers].astype(np.float64)

    def renew(self, shaping: Shaping) -> None:
        """The reward function has changed, and this is its shaping now."""
        self.shaping, used = shaping, len(self._memo)
        self._values[:used] = shaping.value(self.reward_fn.rewards()[self._described[:used]])
        if self._uses_potential and self._previous is not None:  # else the next step is paid for the exchange
            self._potential = self._values[self._look_up(self._transitions(self._previous))]

    def get_state(self) -> dict[str, Any]:
        """Where each copy stands belongs to it: another reward may be there when the training goes on."""
        state = super().get_state()
        return state | {"previous": self._previous} if state else state


class Annotator:
    """What happens between two updates of a trainer.

    Args:
        envs: the wrapped world that the trainer steps.
        judge: who judges beside.
        shaping: from the rewards of all that is judged to the shaping of them.
        judged: what was judged before training, each with its event.
        most: questions that may be asked.
        max_failures: share of them that may fail.
        log: the file that answers are appended to, from which a stopped training goes on; None for none.
    """

    def __init__(
        self,
        envs: ChangingRewardWrapper,
        judge: Judge,
        shaping: Callable[[NDArray[np.floating]], Shaping],
        judged: Mapping[str, str],
        most: int,
        max_failures: float = 0.1,
        log: Path | None = None,
    ) -> None:
        self.envs, self.judge, self.shaping, self.most = envs, judge, shaping, most
        self.max_failures, self.log = max_failures, log
        self.asked = read_log(log) if log is not None else []
        """Every question with its answer, in the order of the answers."""
        self.fits = 0
        """Times that the reward was exchanged."""
        self._done = {*judged, *(a.text for a in self.asked)}
        self._by_event = Counter([*judged.values(), *(a.event for a in self.asked)])
        self._waiting: dict[str, list[str]] = {}
        self._met: dict[str, tuple[str, int, float]] = {}
        self._out: set[str] = set()
        self._ahead = AHEAD
        self._steps = 0

    def between(self, steps: int) -> dict[str, Any]:
        """Take what has come, ask what is new; returns what the learning curve is to say of it."""
        lags, had, before = list[Asked](), len(self._out), len(self.asked)
        for one in self.judge.news():
            if isinstance(one, Answer):
                self._answered(one, steps)
            else:
                lags += self.use(one, steps)
        came = len(self.asked) - before
        if had and came >= had:
            self._ahead = 2 * self._ahead
        elif 2 * came < had:
            self._ahead = max(AHEAD, self._ahead // 2)
        self._notice()
        self._ask()
        self._steps = steps
        seconds = [each.seconds for each in lags if each.seconds is not None]
        return {
            "online_waiting": sum(map(len, self._waiting.values())) + len(self._out),
            "online_answers": len(self.asked),
            "online_fits": self.fits,
            "online_lag_steps": float(statistics.median(a.used - a.met for a in lags if a.used is not None))
            if lags
            else None,
            "online_lag_seconds": statistics.median(seconds) if seconds else None,
        }

    def use(self, fitted: Fitted, steps: int) -> list[Asked]:
        """Exchange the reward; the answers that it is the first to know of."""
        self.envs.reward_fn.change(fitted.nets)
        self.envs.renew(self.shaping(fitted.judged))
        self.fits += 1
        now, fresh = time.perf_counter(), list[Asked]()
        for i, each in enumerate(self.asked[: fitted.answers]):
            if each.used is None:
                met = self._met.get(each.text)
                self.asked[i] = replace(each, used=steps, seconds=None if met is None else now - met[2])
                fresh.append(self.asked[i])
        if fresh:
            self._write({"used": fitted.answers, "steps": steps})
        return fresh

    def _answered(self, answer: Answer, steps: int) -> None:
        event, met, _ = self._met.get(answer.text, ("", 0, 0.0))
        self.asked.append(Asked(answer.text, event, answer.value, met, steps))
        self._out.discard(answer.text)
        self._write({k: v for k, v in asdict(self.asked[-1]).items() if v is not None or k == "value"})
        failed = sum(each.value is None for each in self.asked)
        if answer.value is None and failed > self.max_failures * max(GRACE, len(self.asked)):
            raise JudgeFailedError(
                f"{failed} of the {len(self.asked)} judgements beside the training failed, more than the limit of "
                f"{self.max_failures:.0%}. The last reply was: {answer.reply[:200]!r}. Try another protocol (plaudit "
                "calibrate) or another model (--llm), or raise --judge.max-failures."
            )

    def _notice(self) -> None:
        """What was met for the first time waits by its event."""
        reward = self.envs.reward_fn
        for text, (observation, when) in reward.first.items():
            if text not in self._done:
                self._done.add(text)
                event = self.envs.event(observation)
                self._met[text] = event, self._steps, when
                self._waiting.setdefault(event, []).append(text)
        reward.first.clear()

    def _ask(self) -> None:
        """Of the event that was judged least, what was met last: what is new of kind comes first, then what is recent."""
        room, texts = min(self._ahead - len(self._out), self.most - len(self.asked) - len(self._out)), list[str]()
        while len(texts) < room and self._waiting:
            event = min(self._waiting, key=lambda name: self._by_event[name])
            texts.append(self._waiting[event].pop())
            self._by_event[event] += 1
            if not self._waiting[event]:
                del self._waiting[event]
        if texts:
            self._out.update(texts)
            self.judge.ask(texts)

    def _write(self, line: dict[str, Any]) -> None:
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def read_log(path: Path) -> list[Asked]:
    """The answers of a training that was stopped; a line that a kill has cut off is left out (the ledger has it)."""
    found = list[Asked]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if "text" in said:
            found.append(Asked(**said))
        else:
            some = found[: said["used"]]
            found[: len(some)] = [each if each.used is not None else replace(each, used=said["steps"]) for each in some]
    return found
