"""The client of OpenAI-compatible servers against a real one on the loopback, whole and with planted faults."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs the extra 'openai'")

from openai_echo import FAULTS, likely, serve

from plaudit.config import LLMConfig
from plaudit.errors import ConfigError, LLMError
from plaudit.llms import openai_reading as reading
from plaudit.llms.base import Request
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.openai_server import OpenAIServer
from plaudit.llms.openai_ways import address
from plaudit.stages.parts import make_llm

KEY = "sk-test-secret-0123456789"
ANSWERS = (" Yes", " No")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def questions(count: int, **options: object) -> list[Request]:
    return [replace(Request(f"{'a' * (i % 40)} number {i}"), **options) for i in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize("chat", [False, True])
def test_texts_and_probabilities_in_order_with_their_price(chat: bool) -> None:
    with serve(key=KEY) as server:
        llm = OpenAIServer(server.url, usd_in=2.0, usd_out=10.0)
        asked = questions(200, chat=chat)
        assert [reply.text for reply in llm.generate(asked)] == [str(i) for i in range(200)]
        seen: list[int] = []
        replies = llm.choose([replace(r, answers=ANSWERS) for r in asked], lambda place, _: seen.append(place))
        for request, reply in zip(asked, replies, strict=True):
            yes = 0.9 * likely(request.prompt)
            assert reply.status == "ok" and reply.logprobs == pytest.approx((math.log(yes), math.log(0.9 - yes)))
            assert "log-probabilities" in reply.text
        first = replies[1]
        assert (first.prompt_tokens, first.new_tokens) == (3, 1) and first.usd == pytest.approx(16e-6)
        assert sorted(seen) == list(range(200))
        assert "plain=completions+logprobs20,chat=chat+logprobs20" in llm.name and llm.name.startswith("openai:echo@")
        llm.close()


def test_without_log_probabilities_votes_are_counted_and_said() -> None:
    with serve(logprobs=False) as server:
        llm = OpenAIServer(server.url, votes=6)
        assert "plain=completions+votes,chat=chat+votes" in llm.name
        yes, no = llm.choose([Request("Say Yes", answers=ANSWERS), Request("Say what", answers=ANSWERS)])
        assert yes.logprobs == pytest.approx((math.log(6.5 / 7), math.log(0.5 / 7))) and "6 votes" in yes.text
        assert no.status == "error" and not no.logprobs
        llm.close()


def test_a_server_of_chat_only_is_asked_by_chat_and_answers_with_one_first_word_by_votes() -> None:
    with serve(endpoints=("chat/completions",)) as server:
        llm = OpenAIServer(server.url)
        assert "plain=chat+logprobs20" in llm.name
        (reply,) = llm.choose([Request("Say Yes", answers=(" Yes sir", " Yes madam"))])
        assert reply.status == "error"  # "Yes" is a vote for neither
        llm.close()


def test_the_same_question_is_paid_for_once() -> None:
    with serve() as server:
        llm = OpenAIServer(server.url)
        before = server.count
        replies = llm.generate([Request("one word")] * 5)
        assert server.count == before + 1 and [r.text for r in replies] == ["word"] * 5
        assert sum(r.prompt_tokens for r in replies) == 2
        llm.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_becomes_a_number(fault: str) -> None:
    with serve() as server:
        llm = OpenAIServer(server.url, timeout=0.5, retries=0)
        server.faults, server.every = (fault,), 3
        asked = questions(4, answers=ANSWERS)
        for reply in llm.choose(asked[: 1 if fault == "slow" else 4]):
            assert reply.status == "error" and not reply.logprobs and reply.error, fault
        llm.close()


def test_a_content_filter_is_a_refusal() -> None:
    with serve() as server:
        llm = OpenAIServer(server.url)
        written, chosen = llm.generate([Request("FILTER")])[0], llm.choose([Request("FILTER", answers=ANSWERS)])[0]
        assert written.status == chosen.status == "refused" and not written.text and not chosen.logprobs
        llm.close()


def test_a_server_that_fails_three_times_in_ten_loses_nothing(tmp_path: Path) -> None:
    with serve(faults=FAULTS) as server:
        llm = OpenAIServer(server.url, timeout=0.5)
        assert "plain=completions+logprobs20,chat=chat+logprobs20" in llm.name
        ledger = Ledger(tmp_path / "ledger.sqlite")
        before = server.paid
        asked = questions(300, answers=ANSWERS)
        replies = LedgerLLM(llm, ledger).choose(asked)
        for request, reply in zip(asked, replies, strict=True):
            if reply.status == "ok":
                yes = 0.9 * likely(request.prompt)
                assert reply.logprobs == pytest.approx((math.log(yes), math.log(0.9 - yes)))
            else:
                assert not reply.logprobs
        assert sum(reply.status == "ok" for reply in replies) >= 294
        assert all(server.seen[f"fault {fault}"] >= 3 for fault in FAULTS)
        assert ledger.spend().tokens == server.paid - before
        ledger.close()
        llm.close()
        assert KEY.encode() not in (tmp_path / "ledger.sqlite").read_bytes()


def test_a_wrong_key_is_one_line_at_once_that_does_not_show_it(tmp_path: Path) -> None:
    with serve(key="another") as server:
        command = [
            sys.executable,
            "-m",
            "plaudit.cli",
            "run",
            "doorkey",
            "--llm",
            server.url,
            "--out",
            str(tmp_path / "run"),
        ]
        result = subprocess.run(command, capture_output=True, text=True)
        said = result.stderr.strip()
        assert result.returncode == LLMError.exit_code and "\n" not in said and "Traceback" not in said + result.stdout
        assert "HTTP 401" in said and "OPENAI_API_KEY" in said and KEY not in said + result.stdout
        assert sum(server.seen.values()) == 1 and not (tmp_path / "run").exists()


def test_a_key_that_is_withdrawn_hands_over_what_was_paid_and_then_fails() -> None:
    with serve() as server:
        llm = OpenAIServer(server.url, concurrency=1)
        llm.generate([Request("a b")])
        server.key = "another"
        with pytest.raises(LLMError, match="HTTP 401"):
            llm.generate(questions(50))
        seen = sum(server.seen.values())
        with pytest.raises(LLMError):
            llm.generate(questions(50))
        assert sum(server.seen.values()) == seen
        llm.close()


def test_nobody_there_is_said_quickly() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(LLMError, match="Is it running"):
        OpenAIServer(f"http://127.0.0.1:{port}/v1")
    assert time.monotonic() - start < 5


def test_addresses() -> None:
    assert address("http://h:1/v1/") == ("", "http://h:1/v1")
    assert address("openai:m:x", "http://h/v1") == ("m:x", "http://h/v1")
    assert address("openai:gpt") == ("gpt", "https://api.openai.com/v1")
    for spec, url in (("http://me:word@h/v1", ""), ("http://h/v1?key=1", ""), ("openai", ""), ("openai:m", "h:1")):
        with pytest.raises(ConfigError):
            address(spec, url)


def test_settings_make_the_client() -> None:
    with serve() as server:
        llm = make_llm(LLMConfig(model="openai:mine", url=server.url, votes=3))
        assert llm.name.startswith("openai:mine@127.0.0.1:") and llm.name.endswith("votes=3")
        llm.close()


def test_words_below_the_servers_list_get_its_bound_and_other_words_nothing() -> None:
    yes, no = reading.weigh([("Yes", math.log(0.9)), ("It", math.log(0.05))], ["Yes", "No"])
    assert (yes, no) == pytest.approx((math.log(0.9), math.log(0.05)))
    with pytest.raises(reading.Unusable, match="other tokens"):
        reading.weigh([("Yes", math.log(0.2)), ("It", math.log(0.7))], ["Yes", "No"])
    for wrong in (float("nan"), 0.5, True, "x", None):
        with pytest.raises(reading.Unusable):
            reading.first_token({"text": "a", "logprobs": {"top_logprobs": [{" Yes": wrong}]}})


def test_votes_are_read_strictly() -> None:
    answers = (" 1", " 10", " No")
    assert [reading.vote(t, answers) for t in ("10.", " 1 of", "no!", "nothing", "")] == [1, 0, 2, None, None]
