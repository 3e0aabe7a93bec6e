"""The ledger pays for nothing twice, keeps failures apart, and survives kill -9."""

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from plaudit.budget import Budget
from plaudit.errors import BudgetError, JudgeFailedError, StoreError
from plaudit.llms.base import Reply, Request
from plaudit.llms.ledger import BATCH, Ledger, LedgerLLM


class Counting:
    """Answers with the prompt's length; counts how often it is asked; fails on prompts that say so."""

    name = "counting"

    def __init__(self):
        self.asked = []

    def choose(self, requests, arrived=None):
        self.asked += [r.prompt for r in requests]
        return [
            Reply("error", error="broken")
            if "fail" in r.prompt
            else Reply("ok", logprobs=(-1.0, -float(len(r.prompt))))
            for r in requests
        ]

    generate = choose

    def close(self):
        pass


def question(text):
    return Request(text, answers=(" Yes", " No"))


def test_identical_questions_are_asked_once_ever(tmp_path):
    questions = [question(f"item {i % 7}") for i in range(200)]
    for attempt in range(2):
        model, ledger = Counting(), Ledger(tmp_path / "l.sqlite")
        done = []
        replies = LedgerLLM(model, ledger).choose(questions, lambda place, reply, done=done: done.append(place))
        assert [r.logprobs[1] for r in replies] == [-6.0] * 200
        assert len(model.asked) == (7 if attempt == 0 else 0)
        assert sorted(done) == list(range(200))
        ledger.close()


def test_failures_are_stored_counted_and_asked_again(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite")
    for _ in range(2):
        model = Counting()
        replies = LedgerLLM(model, ledger).choose([question("fail"), question("fine")])
        assert [r.status for r in replies] == ["error", "ok"] and "fail" in model.asked
    assert (ledger.spend().answers, ledger.spend().failures) == (2, 1)


def test_a_question_that_was_asked_again_has_cost_both_times(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.add("m", "choose", [(question("a"), Reply("error", prompt_tokens=5, seconds=1.0, usd=0.25, error="busy"))])
    ledger.add("m", "choose", [(question("a"), Reply("ok", logprobs=(-1.0, -2.0), prompt_tokens=7, usd=0.5))])
    spend = ledger.spend()
    assert (spend.answers, spend.failures, spend.tokens, spend.seconds, spend.usd) == (1, 0, 12, 1.0, 0.75)


def test_a_failing_model_is_not_asked_to_the_end(tmp_path):
    model = Counting()
    with pytest.raises(JudgeFailedError, match="the rest was not asked"):
        LedgerLLM(model, Ledger(tmp_path / "l.sqlite"), 0.1).choose([question(f"fail {i}") for i in range(600)])
    assert len(model.asked) == BATCH


def test_a_key_is_the_hash_of_model_and_request():
    """What the class's documentation says, so that a ledger can be read without it; the quick way has to agree."""
    for request in (
        Request('say "ß"\n', chat=True),
        Request("a", answers=(" Yes", " No")),
        Request("b", max_tokens=3, temperature=0.5, stop=("\n", "."), seed=7),
    ):
        for model in ('m"', "é:1"):
            fields = {name: value for name, value in asdict(request).items() if name != "images"}
            text = json.dumps([model, fields], ensure_ascii=False)
            assert request.key(model) == hashlib.sha256(text.encode()).hexdigest()


def test_models_and_parameters_do_not_share_answers():
    keys = {
        question("a").key("m"),
        question("a").key("n"),
        question("b").key("m"),
        Request("a", answers=(" No", " Yes")).key("m"),
        Request("a").key("m"),
        Request("a", temperature=1.0).key("m"),
        Request("a", temperature=1.0, seed=1).key("m"),
        Request("a", chat=True).key("m"),
    }
    assert len(keys) == 8


def test_kill_9_loses_at_most_the_batch_in_flight(tmp_path):
    asked = tmp_path / "asked"
    program = f"""
import time
from plaudit.llms.base import Reply, Request
from plaudit.llms.ledger import Ledger, LedgerLLM
class Slow:
    name = "slow"
    def choose(self, requests, arrived=None):
        open({str(asked)!r}, "a").write("".join(r.prompt + "\\n" for r in requests))
        time.sleep(0.05)
        return [Reply("ok", logprobs=(-1.0, -2.0)) for _ in requests]
questions = [Request(f"item {{i:04}}", answers=("a", "b")) for i in range(2000)]
LedgerLLM(Slow(), Ledger(__import__("pathlib").Path({str(tmp_path / "l.sqlite")!r}))).choose(questions)
"""

    def batches() -> int:
        return len(asked.read_text().splitlines()) // BATCH if asked.exists() else 0

    for _ in range(3):
        before = batches()
        process = subprocess.Popen([sys.executable, "-c", program])
        while process.poll() is None and batches() < before + 3:  # however slow the machine: two are stored, one flies
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = asked.read_text().splitlines()
    stored = Ledger(tmp_path / "l.sqlite").spend().answers
    assert 0 < stored <= len(set(lines)) and len(lines) - stored <= 3 * BATCH


def test_two_processes_share_one_ledger(tmp_path):
    one, two = Ledger(tmp_path / "l.sqlite"), Ledger(tmp_path / "l.sqlite")
    LedgerLLM(Counting(), one).choose([question("a")])
    model = Counting()
    LedgerLLM(model, two).choose([question("a"), question("b")])
    assert model.asked == ["b"]


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path):
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"this is not a database at all, but somebody's notes" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="cannot be used"):
        Ledger(path)
    assert path.read_bytes() == before


def test_rows_are_readable_without_plaudit(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite")
    LedgerLLM(Counting(), ledger).choose([question("a \N{SNOWMAN}")])
    ledger.close()
    request, reply = sqlite3.connect(tmp_path / "l.sqlite").execute("SELECT request, reply FROM answers").fetchone()
    assert json.loads(request)["prompt"] == "a \N{SNOWMAN}" and json.loads(reply)["status"] == "ok"


class Streaming(Counting):
    """Tells answers one by one, and ends with an error after ``last``."""

    window = 1000

    def __init__(self, last):
        super().__init__()
        self.last = last

    def choose(self, requests, arrived=None):
        for place, reply in reversed(list(enumerate(super().choose(requests)))):
            if place < self.last:
                raise KeyboardInterrupt
            arrived(place, reply)
        raise KeyboardInterrupt


def test_what_has_come_is_stored_whatever_ends_the_call(tmp_path):
    ledger, questions = Ledger(tmp_path / "l.sqlite"), [question(f"item {i:03}") for i in range(300)]
    with pytest.raises(KeyboardInterrupt):
        LedgerLLM(Streaming(last=100), ledger).choose(questions)
    stored = ledger.find([q.key("counting") for q in questions])
    assert len(stored) == 200 and set(stored) == {q.key("counting") for q in questions[100:]}


def test_a_back_end_with_a_window_gets_all_at_once_unless_a_ceiling_is_near(tmp_path):
    questions = [question(f"item {i:03}") for i in range(300)]
    sizes = []

    class Wide(Counting):
        window = 1000

        def choose(self, requests, arrived=None):
            sizes.append(len(requests))
            return [replace(reply, prompt_tokens=10) for reply in super().choose(requests)]

    LedgerLLM(Wide(), Ledger(tmp_path / "a.sqlite")).choose(questions)
    assert sizes == [300]
    sizes.clear()
    budget = Budget(max_tokens=2000)
    with pytest.raises(BudgetError, match="2,000 tokens would be passed"):
        LedgerLLM(Wide(), Ledger(tmp_path / "b.sqlite"), budget=budget).choose(questions)
    assert sizes == [64, 68, 64] and budget.tokens == 1960
