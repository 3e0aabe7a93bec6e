"""The batch API of OpenAI-compatible servers, against one of the tests' own: nothing is lost and nothing is paid twice."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs the extra 'openai'")

from openai_batches import FATES, Batches
from openai_echo import Echo, likely, serve

from plaudit.budget import Budget
from plaudit.cli import main
from plaudit.errors import BudgetError, LLMError
from plaudit.llms import openai_batch, openai_batch_files
from plaudit.llms.base import Request
from plaudit.llms.batches import Batch
from plaudit.llms.batches import Batches as Noted
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.openai_reading import Failed, Fault
from plaudit.llms.openai_server import OpenAIServer

KEY = "sk-test-secret-0123456789"
ANSWERS = (" Yes", " No")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(openai_batch, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(openai_batch, "LONGEST_PAUSE", 0.05)


def questions(count: int) -> list[Request]:
    return [Request(f"{'a' * (i % 40)} number {i}", answers=ANSWERS) for i in range(count)]


@contextmanager
def asking(server: Echo, path: Path, budget: Budget | None = None, **options: object) -> Iterator[LedgerLLM]:
    settings = {"batch": 10, "usd_in": 2.0, "usd_out": 10.0} | options
    ledger, llm = Ledger(path), OpenAIServer(server.url, **settings)  # type: ignore[arg-type]
    try:
        yield LedgerLLM(llm, ledger, budget=budget)
    finally:
        llm.close()
        ledger.close()


def check(asked: list[Request], replies: list) -> None:
    for request, reply in zip(asked, replies, strict=True):
        yes = 0.9 * likely(request.prompt)
        assert reply.status == "ok" and reply.logprobs == pytest.approx((math.log(yes), math.log(0.9 - yes)))


def test_a_batch_answers_as_direct_requests_do_at_half_the_price(tmp_path: Path) -> None:
    with serve(batches=Batches(), key=KEY) as server:
        direct = OpenAIServer(server.url, usd_in=2.0, usd_out=10.0)
        asked, seen = questions(60), []
        count = server.count
        with asking(server, tmp_path / "ledger.sqlite") as llm:
            assert llm.name == direct.name
            probed = server.count - count
            replies = llm.choose(asked, lambda place, _: seen.append(place))
            assert server.count - count == probed and len(server.batches.made) == 1
        check(asked, replies)
        assert sorted(seen) == list(range(60))
        for batched, single in zip(replies, direct.choose(asked), strict=True):
            assert replace(batched, seconds=0, usd=2 * batched.usd) == replace(single, seconds=0)
        assert Ledger(tmp_path / "ledger.sqlite").spend().tokens == server.batches.paid
        assert KEY.encode() not in (tmp_path / "ledger.sqlite").read_bytes() + b"".join(server.batches.files.values())
        direct.close()


def test_small_calls_go_directly_and_so_does_everything_without_a_ledger(tmp_path: Path) -> None:
    with serve(batches=Batches()) as server:
        with asking(server, tmp_path / "ledger.sqlite") as llm:
            check(questions(9), llm.choose(questions(9)))
            check(questions(12), llm.choose(questions(12)))
            assert not server.batches.made  # three of the twelve were new
        bare = OpenAIServer(server.url, batch=1)
        check(questions(5), bare.choose(questions(5)))
        bare.close()
        assert not server.batches.made


def test_texts_and_votes_and_chat_go_through_batches_too(tmp_path: Path) -> None:
    with serve(batches=Batches(), logprobs=False) as server, asking(server, tmp_path / "l.sqlite", votes=2) as llm:
        texts = [Request(f"{i} says word{i}", chat=bool(i % 2)) for i in range(20)]
        assert [reply.text for reply in llm.generate(texts)] == [f"word{i}" for i in range(20)]
        assert len(server.batches.made) == 2  # one for each endpoint
        votes = [Request(f"Yes {i}", answers=ANSWERS) for i in range(10)] + [
            Request(f"What {i}", answers=ANSWERS) for i in range(5)
        ]
        replies = llm.choose(votes)
        assert [reply.status for reply in replies] == ["ok"] * 10 + ["error"] * 5
        assert replies[0].logprobs == pytest.approx((math.log(2.5 / 3), math.log(0.5 / 3)))


@pytest.mark.parametrize("fate", ["expired", "partial", "lost", "never made", "token_limit_exceeded"])
def test_whatever_becomes_of_a_batch_every_question_is_answered_and_each_answer_paid_once(
    fate: str, tmp_path: Path
) -> None:
    with serve(batches=Batches([fate])) as server, asking(server, tmp_path / "ledger.sqlite") as llm:
        asked = questions(40)
        check(asked, llm.choose(asked))
        assert llm.ledger.spend().tokens == server.batches.paid
        twice = [n for n in Counter(server.batches.answered).values() if n > 1]
        assert len(twice) == (8 if fate == "partial" else 0)  # an unusable answer is asked for again
        assert len(server.batches.made) == {"lost": 1, "never made": 1, "token_limit_exceeded": 3}.get(fate, 2)
        assert not Noted(llm.ledger).any()


def test_what_fails_in_three_batches_or_in_one_that_was_cancelled_is_an_error(tmp_path: Path) -> None:
    with serve(batches=Batches(["partial"] * 3)) as server, asking(server, tmp_path / "ledger.sqlite") as llm:
        asked = questions(40)
        replies = llm.choose(asked)
        assert 0 < sum(reply.status == "error" and not reply.logprobs for reply in replies) < 40
        failed = [r for r, reply in zip(asked, replies, strict=True) if reply.status == "error"]
        assert llm.ledger.spend().tokens == server.batches.paid
        check(asked, llm.choose(asked))  # asked again, directly: they are few
        server.batches.fates = ["cancelled"]
        others = [Request(f"other {i}", answers=ANSWERS) for i in range(20)]
        assert [reply.status for reply in llm.choose(others)].count("error") == 10 and failed


def test_a_batch_that_no_batch_could_better_ends_the_run(tmp_path: Path) -> None:
    with serve(batches=Batches(["bad"])) as server, asking(server, tmp_path / "ledger.sqlite") as llm:
        with pytest.raises(LLMError, match="did not take the batch batch_0: bad: planted"):
            llm.choose(questions(20))
        check(questions(20), llm.choose(questions(20)))


def test_a_provider_that_never_makes_a_batch_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        tries = 0

        def create(self, *_: str) -> str:
            self.tries += 1
            raise Failed(Fault("again", "HTTP 500"))

        def find(self, tag: str) -> str:
            return ""

    monkeypatch.setattr(openai_batch, "PATIENCE", 3)
    down, batches = Down(), Noted(Ledger(tmp_path / "l.sqlite"))
    batches.note(Batch("tag", "", ("ask",)))
    runner = openai_batch.BatchRunner(down, "server", "model", batches, lambda: None)  # type: ignore[arg-type]
    with pytest.raises(LLMError, match=r"makes no batch: HTTP 500.*--llm\.batch"):
        runner._create("file", "/v1/chat/completions", "tag")
    assert down.tries == 4 and batches.any(), (
        "whether one was made is in doubt, so it is looked for by the next command"
    )


def test_files_hold_no_more_than_a_provider_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_batch, "MOST_REQUESTS", 15)
    with serve(batches=Batches(limit=15)) as server, asking(server, tmp_path / "ledger.sqlite") as llm:
        check(questions(40), llm.choose(questions(40)))
        assert [len(batch["lines"]) for batch in server.batches.made.values()] == [15, 15, 10]
    lines = [(str(i), b"x" * 40) for i in range(10)]
    monkeypatch.setattr(openai_batch_files, "MOST_BYTES", 100)
    assert [names for names, _ in openai_batch_files.files(lines, 50)] == [
        ("0", "1"),
        ("2", "3"),
        ("4", "5"),
        ("6", "7"),
        ("8", "9"),
    ]


def test_a_batch_in_doubt_is_found_by_its_tag_or_known_not_to_be(tmp_path: Path) -> None:
    """The process dies between noting a batch and learning its id."""
    for submitted in (True, False):
        path = tmp_path / f"{submitted}.sqlite"
        with serve(batches=Batches()) as server, asking(server, path) as llm:
            create = llm.llm._batches.provider.create

            def die(*args: object, create=create, submitted=submitted) -> str:
                create(*args) if submitted else None
                raise KeyboardInterrupt

            llm.llm._batches.provider.create = die
            with pytest.raises(KeyboardInterrupt):
                llm.choose(questions(20))
            with asking(server, path) as again:
                check(questions(20), again.choose(questions(20)))
            assert len(server.batches.made) == 1 and len(server.batches.answered) == 20


def test_a_batch_that_the_provider_no_longer_has_is_made_again(tmp_path: Path) -> None:
    with serve(batches=Batches()) as server, asking(server, tmp_path / "ledger.sqlite") as llm:
        runner = llm.llm._batches
        names = tuple(name for r in questions(20) for name, _ in runner._named(next(llm.llm._chosen(r))))
        Noted(llm.ledger).note(Batch("tag", "batch_of_old", names))
        check(questions(20), llm.choose(questions(20)))
        assert list(server.batches.made) == ["batch_0"] and not Noted(llm.ledger).any()


def test_the_ceiling_of_time_ends_the_waiting_and_the_batch_is_taken_up(tmp_path: Path) -> None:
    with serve(batches=Batches(seconds=0.4)) as server:
        budget = Budget(max_hours=0.2 / 3600, questions=16)
        with asking(server, tmp_path / "l.sqlite", budget) as llm, pytest.raises(BudgetError):
            llm.choose(questions(20))
        with asking(server, tmp_path / "l.sqlite") as llm:
            check(questions(20), llm.choose(questions(20)))
        assert len(server.batches.made) == 1


SCRIPT = """
import sys
from pathlib import Path
from plaudit.llms import openai_batch
openai_batch.FIRST_PAUSE = openai_batch.LONGEST_PAUSE = 0.05
from test_openai_batch import questions
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.openai_reading import Failed, Fault
from plaudit.llms.openai_server import OpenAIServer
ledger = Ledger(Path(sys.argv[2]))
llm = OpenAIServer(sys.argv[1], batch=10)
print("go", flush=True)
replies = LedgerLLM(llm, ledger).choose(questions(300))
print("done", sum(reply.status == "ok" for reply in replies), flush=True)
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_neither_loses_nor_pays_twice(tmp_path: Path) -> None:
    """24 hours in two seconds: killed before, while and after the batches are made, waited for and read."""
    with serve(batches=Batches(seconds=1.5)) as server:
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        for kill in (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.5, 1.0, 1.4, 1.5, 1.52, 1.55, 1.6, None):
            command = [sys.executable, "-c", SCRIPT, server.url, str(tmp_path / "ledger.sqlite")]
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as child:
                assert child.stdout is not None and child.stdout.readline() == "go\n"
                if kill is None:
                    assert child.stdout.read() == "done 300\n"
                else:
                    time.sleep(kill)
                    child.send_signal(signal.SIGKILL)
        assert len(server.batches.made) == 1
        assert set(Counter(server.batches.answered).values()) == {1} and len(server.batches.answered) == 300
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
        assert db.execute("SELECT COUNT(*), COUNT(DISTINCT key) FROM answers WHERE status = 'ok'").fetchone() == (
            300,
            300,
        )


def test_every_fate_is_tested() -> None:
    assert set(FATES) == {"ok", "expired", "partial", "cancelled", "token_limit_exceeded", "bad", "lost", "never made"}


def test_the_key_is_in_no_file_no_line_and_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A run by batches with all that it writes, then the same with a key that is refused, by a server that repeats it."""
    run = str(tmp_path / "run")
    small = ["--world.size", "5", "--collect.steps", "2000", "--collect.num-envs", "8", "--judge.items", "30"]
    with serve(batches=Batches(["partial", "expired"]), key=KEY) as server:
        asked = ["--llm", server.url, "--llm.batch", "10", "--llm.usd-in", "1"]
        assert main(["collect", "doorkey", *asked, *small, "--out", run]) == 0
        assert main(["annotate", run]) == 0
        assert len(server.batches.made) >= 2
        server.key = "another"
        with pytest.raises(LLMError) as refused:
            main(["run", "doorkey", *asked, *small, "--out", str(tmp_path / "other"), "--debug"])
        said = "".join(traceback.format_exception(refused.value)) + "".join(capfd.readouterr()) + caplog.text
        assert "HTTP 401" in said and "batch batch_0" in said
        written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert len(written) > 5
        for where, data in [*written.items(), *server.batches.files.items(), ("said", said.encode())]:
            assert KEY.encode() not in data, where
