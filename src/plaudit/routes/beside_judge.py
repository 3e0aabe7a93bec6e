"""The judge's own process beside a trainer: asks in small portions and fits the reward to the answers.

Run by :class:`plaudit.routes.beside.JudgeProcess` as ``python -m plaudit.routes.beside_judge RUN/train/ARM-SEED``; speaks
lines of JSON. Answers go into the run's ledger, so that a kill loses none and another agent asks nothing again.

It runs on one thread and works ``online.share`` of the time: at the priority of its trainer, for a judge that gives way to
everybody (nice) is starved wherever processors are taken, and sleeping in proportion to the time that a portion took. Where
it takes turns with its trainer on a processor, a portion takes twice as long and so does the sleep: the trainer loses half
of the share. What is done only once, reading the prompt's examples and loading what a fit needs, comes before the first
question.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.budget import Budget
from plaudit.errors import BudgetError
from plaudit.judging import selection
from plaudit.judging.scorer import Scorer, preferences
from plaudit.llms.base import LLM
from plaudit.llms.local import LocalLLM
from plaudit.rewards import bradley_terry, regression
from plaudit.rewards.fitting import FitOptions
from plaudit.rewards.reward_net import Packed, RewardModel
from plaudit.routes import feedback, preference, scalar
from plaudit.routes.beside import NETS
from plaudit.store import Run, load_tree, save_tree

PORTION = 4
"""Questions that are asked at once: answers come soon, and what a trainer on the same processor feels of it is short."""
AGAINST = 2
"""Earlier observations that a new one is compared with, where the protocol asks about two."""


class Judging:
    """What is judged so far, the networks, and how both grow."""

    def __init__(self, run: Run, folder: Path, llm: LLM, goal: str, asked: Iterable[tuple[str, float | None]]) -> None:
        config = run.config
        self.run, self.folder, self.llm, self.goal = run, folder, llm, goal
        route = {"preference": preference.Preference, "scalar": scalar.Scalar}[config.route]
        self.protocol = feedback.protocol_of(config, route.protocols)
        self.scores = isinstance(self.protocol, Scorer)
        self.model = RewardModel("text", None, config.fit.width, config.fit.members, config.seed)  # type: ignore[arg-type]
        ours = folder / NETS
        nets = ours if ours.exists() else run.require("fit") / "reward.safetensors"
        self.model.load_state(load_tree(nets)["nets"])
        self.texts: list[str] = []
        self.values: list[float] = []
        self.pairs: NDArray[np.int64] = selection.NONE
        self.probability: NDArray[np.float64] = np.zeros(0)
        self.answers = self.fitted = 0
        self._load()
        for text, value in asked:
            self._again(text, value)
        self.fitted = int(load_tree(ours)["answers"]) if ours.exists() else 0

    def answer(self, texts: Sequence[str]) -> list[tuple[str, float | None, str]]:
        """Ask about these: (text, number or None, what was said), in order."""
        if self.scores:
            said = [(j.text, j.value, j.reply) for j in self.protocol.judge(self.llm, self.goal, texts)]
            self.texts += [text for text, value, _ in said if value is not None]
            self.values += [value for _, value, _ in said if value is not None]
        else:
            said = [self._compared(text) for text in texts]
        self.answers += len(said)
        return said

    def warm_up(self) -> None:
        """Have a model in this process read what every prompt begins with, by a question that is answered already: with
        the embedded model that takes as long as 20 questions. No answer of it is kept; no server is asked. A first fit, of
        which nothing is kept either, takes three times as long as those after it."""
        self._fit(copy.deepcopy(self.model), 1)
        if (inner := self._here()) and self.texts:
            if self.scores:
                self.protocol.judge(inner, self.goal, self.texts[:1])
            else:
                self.protocol.compare(inner, self.goal, [(self.texts[0], self.texts[-1])])

    def worked(self, seconds: float, processor: float) -> float:
        """What counts as work of the seconds that something took: of a server, for which one only waits, the processor's
        seconds; of a model in this process all, but no more than twice those of the processor, which is what it takes in
        turns with its trainer. The rest went to other people's work: to sleep for that, too, would starve it."""
        return min(seconds, 2 * processor) if self._here() else processor

    def refit(self) -> None:
        """Fit on, from where the networks stand, to all answers; they are kept with the rewards of what is judged."""
        packed = self._fit(self.model, self.run.config.online.steps)
        self.fitted = self.answers
        tree = {"nets": self.model.state(), "judged": self.model(packed), "answers": self.answers}
        save_tree(self.folder / NETS, tree)

    def _fit(self, model: RewardModel, steps: int) -> Packed:
        config, packed = self.run.config, model.pack(self.texts)
        options = FitOptions(steps, config.fit.batch, config.fit.learning_rate, config.fit.weight_decay)
        seed = 10_000 * config.seed + self.answers  # other batches each time
        for net in model.nets:
            net.float()
        if config.route == "scalar":
            judged = regression.Values(np.arange(len(self.texts)), np.array(self.values, np.float32))
            regression.fit(model, packed, judged, options, seed, restart=False)
        else:
            bradley_terry.fit(model, packed, self._targets(seed), options, seed, restart=False)
        return packed

    def _here(self) -> LocalLLM | None:
        inner = getattr(self.llm, "llm", self.llm)
        return inner if isinstance(inner, LocalLLM) else None

    def _targets(self, seed: int) -> bradley_terry.Pairs:
        fit, pairs, probability = self.run.config.fit, self.pairs, self.probability
        if self.scores:
            values = np.array(self.values)
            pairs = selection.random_pairs(len(values), self.run.config.judge.pairs, np.random.default_rng(seed))
            scale = self.protocol.scale(values)
            probability = preferences(values[pairs[:, 0]], values[pairs[:, 1]], scale)
        return bradley_terry.usable(pairs, probability, fit.target, fit.ties)

    def _load(self) -> None:
        """What was judged before training."""
        if self.scores:
            for text, value in scalar.judged(self.run):
                if value is not None:
                    self.texts.append(text)
                    self.values.append(value)
        else:
            self.texts, self.pairs, self.probability = preference.compared(self.run)
        self._before = len(self.texts)

    def _again(self, text: str, value: float | None) -> None:
        """An answer from before a kill."""
        if self.scores:
            self.answers += 1
            if value is not None:
                self.texts.append(text)
                self.values.append(value)
        else:
            self.answer([text])  # the ledger knows

    def _compared(self, text: str) -> tuple[str, float | None, str]:
        """Its number is the share of others that it is preferred to. Which others, follows from the text: the same after a
        kill, so that the ledger has the answers."""
        rng = np.random.default_rng(zlib.crc32(text.encode("utf-8", "replace")))
        others = rng.choice(self._before, min(AGAINST, self._before), replace=False)
        found = self.protocol.compare(self.llm, self.goal, [(text, self.texts[i]) for i in others])
        known = [(i, c.probability) for i, c in zip(others.tolist(), found, strict=True) if c.probability is not None]
        if not known:
            return text, None, found[-1].reply if found else ""
        number = len(self.texts)
        self.texts.append(text)
        self.pairs = np.concatenate([self.pairs, [(number, i) for i, _ in known]])
        self.probability = np.concatenate([self.probability, [p for _, p in known]])
        return text, float(np.mean([p for _, p in known])), ""


def serve(judging: Judging, lines: Iterable[str], tell: Callable[[dict[str, Any]], None]) -> None:
    """Answer line after line, until there are no more or a ceiling is reached."""
    online = judging.run.config.online
    judging.warm_up()
    tell({"ready": True})
    for line in lines:
        texts = json.loads(line)["ask"]
        for start in range(0, len(texts), PORTION):
            began, used = time.perf_counter(), time.process_time()
            try:
                answers = judging.answer(texts[start : start + PORTION])
            except BudgetError as error:
                tell({"stopped": str(error)})
                for _ in lines:  # its trainer goes on with the reward that is there
                    pass
                return
            tell({"answers": answers})
            # The first fits come early, for what is learnt from few answers is learnt while it still matters.
            if judging.answers - judging.fitted >= min(online.refit, max(PORTION, judging.fitted)):
                judging.refit()
                tell({"fitted": judging.answers})
            worked = judging.worked(time.perf_counter() - began, time.process_time() - used)
            time.sleep(worked * (1 / online.share - 1))


def main(folder: Path) -> None:
    """The process: what the trainer writes is read, what it is told is written, the rest goes to the error stream."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a library's own words are no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the trainer too, which ends this
    import torch

    from plaudit.llms.ledger import LedgerLLM
    from plaudit.stages.parts import ledgers, make_llm

    torch.set_num_threads(1)
    run = Run.open(folder.parent.parent)
    begin = json.loads(sys.stdin.readline())
    own, shared = ledgers(run)
    ceiling = Budget(**begin["ceiling"])
    llm = LedgerLLM(make_llm(dataclasses.replace(run.config.llm, threads=1)), own, 1.0, ceiling, shared)

    def tell(line: dict[str, Any]) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    with contextlib.closing(llm), contextlib.suppress(BrokenPipeError):
        judging = Judging(run, folder, llm, begin["goal"], [tuple(each) for each in begin["asked"]])
        serve(judging, sys.stdin, tell)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
