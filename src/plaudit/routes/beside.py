"""The judge in a process beside a trainer, seen from the trainer: pipes, threads that wait for them, and the record.

What it is told and tells are lines of JSON; the networks lie in ``train/ARM-SEED/online.safetensors``. It ends with its
trainer, however that ends, for its input ends then. The other side: :mod:`plaudit.routes.beside_judge`.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plaudit.budget import Budget
from plaudit.errors import PlauditError
from plaudit.rewards.beside import Annotator, Answer, Asked, ChangingReward, ChangingRewardWrapper, Fitted
from plaudit.routes import base
from plaudit.routes.networks import make_model
from plaudit.store import Run, load_tree, read_batches, read_table, write_table

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from plaudit.envs.base import World
    from plaudit.rewards.shaping import Shaping

NETS, LOG, SAID, TABLE = "online.safetensors", "online.jsonl", "online.log", "online.parquet"
STOPPED = "online-stopped.txt"
"""Files in an agent's folder: the networks, the answers while it trains, what the judge's process says, the table, and
which ceiling ended its asking."""


class JudgeProcess:
    """A :class:`plaudit.rewards.beside.Judge` in a process of its own."""

    def __init__(self, folder: Path, goal: str, asked: Sequence[Asked], ceiling: Budget) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "plaudit.routes.beside_judge", str(folder)]
        self._errors = (folder / SAID).open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, encoding="utf-8"
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = queue.SimpleQueue[str](), queue.SimpleQueue[dict[str, Any] | None]()
        for work, stream in ((self._write, self._process.stdin), (self._read, self._process.stdout)):
            threading.Thread(target=work, args=(stream,), daemon=True).start()
        (folder / STOPPED).unlink(missing_ok=True)
        limits = {"max_tokens": ceiling.max_tokens, "max_usd": ceiling.max_usd}
        self._say({"goal": goal, "asked": [[each.text, each.value] for each in asked], "ceiling": limits})

    def wait(self) -> None:
        """Until it is loaded: once, before the first step, so that what is met first is not judged last."""
        if self._from.get() is None:
            raise self._ended()

    def ask(self, texts: Sequence[str]) -> None:
        """See :class:`plaudit.rewards.beside.Judge`."""
        self._say({"ask": list(texts)})

    def news(self) -> list[Answer | Fitted]:
        """See :class:`plaudit.rewards.beside.Judge`."""
        found, fitted = list[Answer | Fitted](), False
        with contextlib.suppress(queue.Empty):
            while True:
                said = self._from.get_nowait()
                if said is None:
                    raise self._ended()
                if "answers" in said:
                    found += [Answer(*each) for each in said["answers"]]
                if "stopped" in said:
                    (self.folder / STOPPED).write_text(said["stopped"], encoding="utf-8")
                fitted |= "fitted" in said
        return [*found, load_fitted(self.folder)] if fitted else found

    def close(self) -> None:
        """End it; what it has not answered stays unasked."""
        self._process.terminate()
        self._process.wait()
        self._errors.close()

    def _ended(self) -> PlauditError:
        words = (self.folder / SAID).read_text(encoding="utf-8", errors="replace").strip()
        last = words.splitlines()[-1] if words else "it left no word"
        return PlauditError(f"the judge beside the training has ended: {last} (all of it: {self.folder / SAID})")

    def _say(self, line: dict[str, Any]) -> None:
        self._to.put(json.dumps(line) + "\n")

    def _write(self, stream: IO[str]) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has ended: the reader tells
            while True:
                stream.write(self._to.get())
                stream.flush()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._from.put(json.loads(line))
        self._from.put(None)


def load_fitted(folder: Path) -> Fitted:
    """The networks that were fitted last."""
    tree = load_tree(folder / NETS)
    return Fitted(tree["nets"], tree["judged"].numpy(), int(tree["answers"]))


def changing_envs(run: Run, world: World, envs: VectorEnv) -> ChangingRewardWrapper:
    """The world with the run's fitted reward, which can be exchanged."""
    model = make_model(run.config, world)
    model.load_state(load_tree(run.require("fit") / "reward.safetensors")["nets"])
    reward = ChangingReward(model, world.describe, base.known_rewards(run))
    return ChangingRewardWrapper(envs, reward, base.shaping(run), world.event)


@contextlib.contextmanager
def annotating(
    run: Run, folder: Path, envs: ChangingRewardWrapper, goal: str, steps: int, ceiling: Budget | None = None
) -> Iterator[Annotator]:
    """Judging beside the training of the agent in ``folder``, which stands at ``steps``; ``ceiling``: what it may spend."""

    def shaping(judged: NDArray[np.floating]) -> Shaping:
        return base.shaping(run, judged)

    limit, most = run.config.judge.max_failures, run.config.online.questions
    if not steps:  # begun anew: what an earlier one with other settings has left is not ours
        for name in (NETS, LOG, STOPPED):
            (folder / name).unlink(missing_ok=True)
    log = folder / LOG
    before = Annotator(envs, _Nobody(), shaping, judged_events(run), most, limit, log)
    if before.asked and (folder / NETS).exists():
        before.use(load_fitted(folder), steps)
    with contextlib.closing(JudgeProcess(folder, goal, before.asked, ceiling or Budget())) as judge:
        judge.wait()
        before.judge = judge
        yield before


class _Nobody:
    """Stands in until the process is there."""

    def ask(self, texts: Sequence[str]) -> None:
        raise AssertionError("nobody judges yet")

    def news(self) -> list[Answer | Fitted]:
        return []


def judged_events(run: Run) -> dict[str, str]:
    """What was judged before training, each with its event."""
    folder = run.folder / "annotate"
    events = {
        text: event
        for batch in read_batches(run.folder / "collect" / "observations.parquet", ("text", "event"))
        for text, event in zip(batch["text"], batch["event"], strict=True)
    }
    return {text: events.get(text, "") for text in judged_texts(folder)}


def judged_texts(folder: Path) -> list[str]:
    """The texts that the annotate stage has asked about."""
    if (table := folder / "judgements.parquet").exists():
        return [row["text"] for row in read_table(table, ["text"])]
    pairs = read_table(folder / "comparisons.parquet", ["first", "second"])
    return list(dict.fromkeys(text for pair in pairs for text in (pair["first"], pair["second"])))


def keep_record(folder: Path, annotator: Annotator) -> None:
    """At the end of training: ``online.parquet``, every question with its answer and its lag."""
    if annotator.asked:
        write_table(folder / TABLE, annotator.asked)
    (folder / LOG).unlink(missing_ok=True)


def summary(folders: Sequence[Path]) -> dict[str, Any]:
    """What judging beside these agents came to, for the stage's record."""
    rows = [row for folder in folders if (folder / TABLE).exists() for row in read_table(folder / TABLE)]
    used = [row for row in rows if row["used"] is not None]
    seconds = [row["seconds"] for row in used if row["seconds"] is not None]
    return {
        "answers": len(rows),
        "failed": sum(row["value"] is None for row in rows),
        "used": len(used),
        "stopped": sum((folder / STOPPED).exists() for folder in folders),
        "lag_steps": float(np.median([row["used"] - row["met"] for row in used])) if used else None,
        "lag_seconds": round(float(np.median(seconds)), 2) if seconds else None,
    }
