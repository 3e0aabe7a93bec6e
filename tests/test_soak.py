"""Annotate for minutes against a server of which three answers in ten fail; and on a disk that fills up.

    pytest -m slow tests/test_soak.py -s     # prints the figures of docs/llms.md

Whole commands in processes of their own, one of them killed; the server is tests/openai_echo.py and counts what it sold.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs the extra 'openai'")

from openai_echo import FAULTS, Echo, likely, serve

from plaudit import prompts
from plaudit.envs.gridworld import DoorKey
from plaudit.errors import StoreError
from plaudit.llms.answers import Ledger
from plaudit.llms.openai_ways import PROBE, PROBE_ANSWER
from plaudit.store import read_table

PROBES = {PROBE, PROBE + PROBE_ANSWER}
"""What the client asks first, to learn what the server can do: never in a ledger."""
PAIRS = 2800
SETTINGS = ["--collect.steps", "20000", "--judge.protocol", "pairwise", "--judge.items", "400"]
IN_FLIGHT = 256 + 64
"""Questions that a kill -9 can cost at most: those under way, and answers that came since the last commit."""


def plaudit(*words: object) -> list[str]:
    return [sys.executable, "-m", "plaudit.cli", *map(str, words)]


def collected(folder: Path, url: str, *more: str, pairs: int = PAIRS) -> Path:
    """A run whose next stage is annotate."""
    words = ["--llm", url, "--llm.timeout", "2", "--judge.pairs", str(pairs), *SETTINGS, *more]
    result = subprocess.run(plaudit("collect", "doorkey", "--out", folder, *words), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


@contextmanager
def failing(**options: object) -> Iterator[Echo]:
    with serve(faults=FAULTS, patience=4.0, **options) as server:
        yield server


def questions(folder: Path) -> tuple[set[str], int]:
    """The prompts of a finished annotate, after a look at every label; and how many pairs have none."""
    prompt, goal = prompts.load("pairwise"), DoorKey().goal
    asked, failed = set(), 0
    for row in read_table(folder / "annotate" / "comparisons.parquet"):
        seats = [(row["first"], row["second"]), (row["second"], row["first"])]
        forward, backward = (prompt.fill(goal=goal, first=a, second=b) for a, b in seats)
        asked |= {forward, backward}
        if row["status"] in ("ok", "tie"):
            expected = (likely(forward) + 1 - likely(backward)) / 2
            assert row["probability"] == pytest.approx(expected, abs=1e-6), row
        else:
            failed += 1
            assert row["status"] == "error" and row["probability"] is None, row
    return asked, failed


def spent(path: Path) -> tuple[int, int, int]:
    """Answers, failures and tokens of a ledger."""
    ledger = Ledger(path)
    spend = ledger.spend()
    ledger.close()
    return spend.answers, spend.failures, spend.tokens


def charged(server: Echo, asked: set[str]) -> int:
    """Tokens that the server charged for these prompts; for what else it was asked, the client's first questions, aside."""
    assert set(server.charged) - asked <= PROBES
    return sum(server.charged[prompt] for prompt in asked)


@pytest.mark.slow
def test_annotate_of_5000_questions_while_three_answers_in_ten_fail(tmp_path: Path) -> None:
    with failing() as server:
        folder = collected(tmp_path / "run", server.url)
        start = time.monotonic()
        result = subprocess.run(plaudit("annotate", folder), capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        asked, failed = questions(folder)
        answers, failures, tokens = spent(folder / "ledger.sqlite")
        assert answers == len(asked) >= 5000
        assert tokens == charged(server, asked)
        sold = [server.sold[prompt] for prompt in asked]
        assert max(sold) == 1 and sold.count(0) == failures <= 0.01 * answers
        assert all(server.seen[f"fault {fault}"] > 50 for fault in FAULTS)
        print(
            f"\n{answers:,} questions, {server.count:,} requests, {server.seen['fault'] / server.count:.0%} of them with a "
            f"fault: {failures} unanswered ({failed} pairs without a label), each other one sold once; "
            f"{tokens:,} tokens, {time.monotonic() - start:.0f} s"
        )


@pytest.mark.slow
def test_two_processes_on_one_ledger_and_one_of_them_killed(tmp_path: Path) -> None:
    shared = tmp_path / "shared.sqlite"
    with failing() as server:
        folders = [collected(tmp_path / name, server.url, "--llm.ledger", str(shared)) for name in ("one", "two")]
        start, kills = time.monotonic(), 0
        one, two = (subprocess.Popen(plaudit("annotate", f), stderr=subprocess.PIPE, text=True) for f in folders)
        for share in (0.25, 0.5):
            while sum(server.sold.values()) < share * 2 * PAIRS:
                assert one.poll() is None and two.poll() is None
                time.sleep(0.01)
            one.kill()
            one.communicate()
            kills += 1
            one = subprocess.Popen(plaudit("annotate", folders[0]), stderr=subprocess.PIPE, text=True)
        for process in (one, two):
            said = process.communicate(timeout=900)[1]
            assert process.returncode == 0, said
        asked, _ = questions(folders[0])
        assert questions(folders[1])[0] == asked and len(asked) >= 5000
        books = [spent(path) for path in (shared, *(f / "ledger.sqlite" for f in folders))]
        assert [answers for answers, *_ in books] == [len(asked)] * 3
        again = Counter(server.sold[prompt] for prompt in asked)
        assert set(again) <= {0, 1, 2} and again[2] <= IN_FLIGHT * kills and again[0] <= 0.01 * len(asked)
        lost, most = charged(server, asked) - books[0][2], max(server.charged[prompt] for prompt in asked)
        assert 0 <= lost <= IN_FLIGHT * kills * most  # what was on its way to a process that was killed
        print(
            f"\ntwo processes, {len(asked):,} questions each, {kills} kills: {again[2]} of them sold twice, "
            f"{again[1]:,} once, {again[0]} unanswered; {books[0][2]:,} tokens in the ledger, {lost:,} more charged; "
            f"{time.monotonic() - start:.0f} s"
        )


ROOM = 48 * 2**20
"""Bytes of the small disk; of these a ledger keeps 16 MB free for answers that are on their way."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, unmounted at the end."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("full", ["before it asks", "nearly, while it asks", "wholly, while it asks"])
def test_a_disk_that_fills_up_loses_nothing_and_the_same_command_goes_on(tmp_path: Path, full: str) -> None:
    with serve() as server, small_disk(tmp_path / "disk") as disk:
        folder, other = collected(disk / "run", server.url, pairs=1500), disk / "another program's"
        if "before" in full:
            fill(other, shutil.disk_usage(disk).free - 2**20)
        process = subprocess.Popen(plaudit("annotate", folder), stderr=subprocess.PIPE, text=True)
        if "while" in full:
            while server.sold.total() < 500:
                assert process.poll() is None
                time.sleep(0.005)
            fill(other, shutil.disk_usage(disk).free - ("nearly" in full) * 6 * 2**20)
        said = process.communicate()[1].strip()
        assert process.returncode == StoreError.exit_code, said
        assert "Traceback" not in said and "Make room" in said and "\n" not in said
        sold = server.sold.total() - sum(server.sold[probe] for probe in PROBES)
        other.unlink()
        kept = spent(folder / "ledger.sqlite")[0]
        again = subprocess.run(plaudit("annotate", folder), capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        asked, failed = questions(folder)
        twice = sum(server.sold[prompt] - 1 for prompt in asked)
        assert failed == 0 and twice == sold - kept <= IN_FLIGHT
        assert sold == 0 or "while" in full
        print(f"\nfull {full}: {sold} sold until then, {kept} kept, {twice} sold twice. {said}")


def fill(path: Path, size: int) -> None:
    """A file of so many bytes, or of as many as there is room for."""
    with contextlib.suppress(OSError), path.open("wb") as file:
        for _ in range(0, size, 4096):
            file.write(b"\0" * 4096)
            file.flush()
