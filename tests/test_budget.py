"""Ceilings: what would pass one is not begun, and what was asked before is kept."""

import time

import pytest

from plaudit.budget import Budget
from plaudit.errors import BudgetError
from plaudit.llms.base import Request
from plaudit.llms.ledger import BATCH, Ledger, LedgerLLM
from plaudit.llms.scripted import ScriptedLLM


def ask(tmp_path, budget, count=10 * BATCH):
    ledger, llm = Ledger(tmp_path / "l.sqlite"), ScriptedLLM()
    behind = LedgerLLM(llm, ledger, budget=budget)
    requests = [Request(f"one two three four question {i}", answers=(" Yes", " No")) for i in range(count)]
    try:
        return behind.choose(requests), llm, ledger
    except BudgetError as error:
        return error, llm, ledger


def test_a_ceiling_of_tokens_is_never_passed_and_what_is_answered_is_kept(tmp_path):
    budget = Budget(max_tokens=3000)
    error, llm, ledger = ask(tmp_path, budget)
    assert isinstance(error, BudgetError) and "higher ceiling goes on from here" in str(error)
    assert 0 < budget.tokens <= 3000
    assert ledger.spend().answers == len(llm.asked) == budget.questions and ledger.spend().tokens == budget.tokens
    ledger.close()
    replies, again, ledger = ask(tmp_path, Budget(max_tokens=100_000))
    assert len(replies) == 10 * BATCH and len(again.asked) == 10 * BATCH - len(llm.asked)
    ledger.close()


def test_what_is_remembered_costs_nothing(tmp_path):
    ask(tmp_path, Budget())[2].close()
    replies, llm, _ = ask(tmp_path, Budget(max_tokens=0))
    assert len(replies) == 10 * BATCH and not llm.asked


def test_a_ceiling_of_zero_asks_nothing(tmp_path):
    error, llm, _ = ask(tmp_path, Budget(max_tokens=0))
    assert isinstance(error, BudgetError) and not llm.asked


def test_money_is_reckoned_by_what_questions_have_cost():
    budget = Budget(max_usd=1.0)
    budget.check(10, 100, 10)  # nothing is known yet
    budget.spend(10, 100, 0.6)
    with pytest.raises(BudgetError, match=r"\$1 would be passed"):
        budget.check(10, 100, 10)
    budget.check(6, 100, 10)


def test_time_is_up():
    budget = Budget(max_hours=1.0)
    budget.check_time()
    budget.started = time.monotonic() - 3601
    with pytest.raises(BudgetError, match="1 hours"):
        budget.check_time()
    with pytest.raises(BudgetError):
        budget.check(1, 10, 1)
