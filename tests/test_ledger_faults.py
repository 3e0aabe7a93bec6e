"""Ledgers under fire: two processes, a damaged page, a full disk, kill -9 in annotate; and replay without a model."""

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plaudit.cli import main
from plaudit.config import RunConfig, from_dict
from plaudit.errors import LLMError, StoreError
from plaudit.llms import answers
from plaudit.llms.answers import Ledger
from plaudit.llms.base import Reply, Request
from plaudit.llms.batches import Batch, Batches
from plaudit.llms.ledger import LedgerLLM
from plaudit.llms.recover import recover
from plaudit.llms.replay import ReplayLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages import parts, run_stages
from plaudit.store import Run, read_table

SMALL = {"world": {"size": 5}, "collect": {"steps": 6400, "num_envs": 16}, "fit": {"steps": 30}}
ASKING = """
import sys
from pathlib import Path
from plaudit.llms.base import Request
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.scripted import ScriptedLLM
model = ScriptedLLM(delay=0.02)
questions = [Request(f"item {i:04}", answers=("a", "b")) for i in range(2000)]
replies = LedgerLLM(model, Ledger(Path(sys.argv[1])), shared=Ledger(Path(sys.argv[2]))).choose(questions)
print(len(model.asked), sum(r.status == "ok" for r in replies))
"""
ANNOTATING = """
import sys
from pathlib import Path
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages import parts, run_stages
from plaudit.store import Run
log = open(sys.argv[2], "a", buffering=1)
class Logged(ScriptedLLM):
    def choose(self, requests, arrived=None):
        log.write("".join(r.key(self.name) + "\\n" for r in requests))
        return super().choose(requests, arrived)
parts.make_llm = lambda config: Logged(score=lambda r: (-len(r.prompt) / 1e4, -1.0), delay=0.3)
run_stages(Run.open(Path(sys.argv[1])), ("annotate",))
"""


def question(text):
    return Request(text, answers=(" Yes", " No"))


def filled(path, count=3000):
    ledger = Ledger(path)
    pairs = ((question(f"item {i} {'words ' * 40}"), Reply("ok", logprobs=(-1.0, -float(i)))) for i in range(count))
    ledger.add("m", "choose", pairs)
    ledger.close()


def spoil(path, pages):
    with path.open("r+b") as file:
        for page in pages:
            file.seek(4096 * page)
            file.write(b"\xa5" * 4096)


def test_two_processes_at_once_ask_everything_once(tmp_path):
    shared = tmp_path / "shared.sqlite"
    commands = [[sys.executable, "-c", ASKING, str(tmp_path / f"{i}.sqlite"), str(shared)] for i in range(2)]
    processes = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True) for c in commands]
    said = [[int(n) for n in p.communicate(timeout=120)[0].split()] for p in processes]
    assert [answered for _, answered in said] == [2000, 2000]
    assert sum(asked for asked, _ in said) == 2000
    books = [Ledger(p) for p in (shared, tmp_path / "0.sqlite", tmp_path / "1.sqlite")]
    assert [b.spend().answers for b in books] == [2000] * 3
    assert sum(b.spend(asked_only=True).answers for b in books[1:]) == 2000


def test_claims_of_a_process_that_died_are_void(tmp_path):
    code = f"from plaudit.llms.answers import *; Ledger(Path({str(tmp_path / 'l.sqlite')!r})).claim(['a', 'b'])"
    subprocess.run([sys.executable, "-c", code], check=True)
    one, two = Ledger(tmp_path / "l.sqlite"), Ledger(tmp_path / "l.sqlite")
    assert one.claim(["a", "b"]) == {"a", "b"} and two.claim(["a", "c"]) == {"c"}
    one.release()
    assert two.claim(["a"]) == {"a"}


def test_a_damaged_page_is_refused_and_the_whole_rows_are_saved(tmp_path, capsys):
    path, new = tmp_path / "l.sqlite", tmp_path / "new.sqlite"
    filled(path)
    pages = path.stat().st_size // 4096
    spoil(path, [pages // 2])
    before = path.read_bytes()
    assert main(["ledger", str(path)]) == 4 and f"plaudit ledger {path} --recover" in capsys.readouterr().err
    with pytest.raises(StoreError, match="Save what is whole"):
        Ledger(path)
    assert main(["ledger", str(path), "--recover", str(new)]) == 0
    assert path.read_bytes() == before
    saved = Ledger(new).spend().answers
    assert 2900 < saved < 3000 and f"{saved:,} answers are whole" in capsys.readouterr().out
    assert main(["ledger", str(new)]) == 0 and "every page is whole" in capsys.readouterr().out
    with pytest.raises(StoreError, match="there already"):
        recover(path, new)


@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere_is_refused_or_costs_nothing(tmp_path, seed):
    path, new = tmp_path / "l.sqlite", tmp_path / "new.sqlite"
    filled(path, 400)
    spoil(path, random.Random(seed).sample(range(1, path.stat().st_size // 4096), 2))
    try:
        Ledger(path)
    except StoreError:
        recover(path, new)
        replies = Ledger(new).find([question(f"item {i} {'words ' * 40}").key("m") for i in range(400)])
        assert all(reply.status == "ok" for reply in replies.values())


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A ledger that is too large to be checked whole when it is opened."""
    path = tmp_path_factory.mktemp("large") / "l.sqlite"
    ledger = Ledger(path)
    ledger.add("m", "choose", ((large_question(i), Reply("ok", logprobs=(-1.0, -float(i)))) for i in range(8000)))
    ledger.close()
    assert path.stat().st_size > answers.CHECKED
    return path


def large_question(i):
    return question(f"item {i} {'words ' * 800}")


@pytest.mark.parametrize("share", [0, 0.1, 0.6, 0.999])
def test_damage_at_any_place_of_a_large_ledger_never_becomes_an_answer(large, tmp_path, share, capsys):
    path, new = tmp_path / "l.sqlite", tmp_path / "new.sqlite"
    shutil.copyfile(large, path)
    size = path.stat().st_size
    with path.open("r+b") as file:  # 9,000 bytes, not at a page's edge
        file.seek(min(int(size * share), size - 9000) + (0 if share in (0, 0.999) else 777))
        file.write(b"\xa5" * 9000)
    keys = {large_question(i).key("m"): i for i in range(8000)}

    def right(ledger):
        found = {}
        for start in range(0, 8000, 100):
            with contextlib.suppress(StoreError):
                found |= ledger.find(list(keys)[start : start + 100])
        assert all(reply.logprobs == (-1.0, -float(keys[key])) for key, reply in found.items())
        return len(found)

    with contextlib.suppress(StoreError):
        right(Ledger(path))
    assert main(["ledger", str(path)]) == 4 and "--recover" in capsys.readouterr().err
    if share:  # at 0 the file's own head is gone, and with it what says where the rows are
        assert main(["ledger", str(path), "--recover", str(new)]) == 0
        assert right(Ledger(new)) >= 7900 and main(["ledger", str(new)]) == 0
    else:
        assert main(["ledger", str(path), "--recover", str(new)]) == 4 and ".recover" in capsys.readouterr().err


def test_a_full_disk_asks_nothing_and_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "l.sqlite"
    filled(path, 100)
    monkeypatch.setattr(answers, "RESERVE", 2**60)
    model = ScriptedLLM(name="m")
    with pytest.raises(StoreError, match=r"is full.*Make room"):
        LedgerLLM(model, Ledger(path)).choose([question("new")])
    assert model.asked == [] and Ledger(path).spend().answers == 100


def test_a_file_that_cannot_grow_keeps_what_it_holds(tmp_path):
    """A limit of the file's size is a disk that fills up while answers are stored."""
    paths = [tmp_path / "own.sqlite", tmp_path / "shared.sqlite"]
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
    words = [*map(str, paths)]
    result = subprocess.run([sys.executable, "-c", limit + ASKING, *words], capture_output=True, text=True)
    assert "StoreError" in result.stderr and "Make room" in result.stderr
    kept = Ledger(paths[1]).spend().answers
    assert 0 < kept < 2000
    again = subprocess.run([sys.executable, "-c", ASKING, *words], capture_output=True, text=True, check=True)
    assert again.stdout.split() == [str(2000 - kept), "2000"]


def made(folder, **llm):
    run = Run.create(folder, from_dict(RunConfig, SMALL | {"llm": llm}))
    run_stages(run, ("collect", "annotate", "fit"))
    return run


def test_a_run_is_replayed_after_the_model_is_gone(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(parts, "make_llm", lambda config: ScriptedLLM(score=lambda r: (-len(r.prompt) / 1e4, -1.0)))
        first = made(tmp_path / "first", ledger=str(tmp_path / "shared.sqlite"))
    monkeypatch.setattr("plaudit.registry.load", _no_model(parts.registry.load))
    for ledger in (first.folder / "ledger.sqlite", tmp_path / "shared.sqlite"):
        run = made(tmp_path / ledger.parent.name, replay=str(ledger)) if ledger.parent == tmp_path else first
        again = made(tmp_path / f"again-{ledger.stem}", replay=str(ledger))
        for table in ("annotate/judgements", "annotate/comparisons", "fit/rewards"):
            tables = [read_table(r.folder / f"{table}.parquet") for r in (run, again)]
            assert tables[0] == tables[1], table
    again.budget.max_usd = 0.0
    with parts.open_llm(again) as llm, pytest.raises(LLMError, match=r"a replay asks nothing.*--ledger"):
        llm.choose([question("never asked")])
    with pytest.raises(StoreError, match="there is no ledger"):
        ReplayLLM(tmp_path / "absent.sqlite")


def _no_model(load):
    def without(kind, name):
        assert kind != "llms", "the model is gone"
        return load(kind, name)

    return without


def test_a_replay_of_several_models_wants_one_named(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite")
    for name in ("one", "two"):
        ledger.add(name, "choose", [(question("a"), Reply("error", error=name))])
    with pytest.raises(LLMError, match="Say whose: --llm with one of one, two"):
        ReplayLLM(tmp_path / "l.sqlite", "embedded")
    assert ReplayLLM(tmp_path / "l.sqlite", "two").choose([question("a")])[0].error == "two"


@pytest.mark.slow
def test_kill_9_at_20_random_moments_of_annotate(tmp_path):
    draw, kills, number = random.Random(0), 0, 0
    while kills < 20:
        number += 1
        kills += annotated_under_fire(tmp_path / f"r{number}", tmp_path / f"asked{number}", draw, 20 - kills)


def annotated_under_fire(folder, asked, draw, most):
    """Annotate with at most so many kills; returns how many it took."""
    run, kills = Run.create(folder, from_dict(RunConfig, SMALL)), 0
    run_stages(run, ("collect",))
    while not run.finished("annotate"):
        process = subprocess.Popen([sys.executable, "-c", ANNOTATING, str(run.folder), str(asked)])
        before = asked.stat().st_size if asked.exists() else 0
        if kills < most:
            while process.poll() is None and (not asked.exists() or asked.stat().st_size == before):
                time.sleep(0.01)  # however slow the machine: the model is being asked
            time.sleep(draw.uniform(0, 0.6))
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
        process.wait()
    judgements = read_table(run.folder / "annotate" / "judgements.parquet")
    rows = sqlite3.connect(run.folder / "ledger.sqlite").execute("SELECT key, status FROM answers").fetchall()
    keys = asked.read_text().split()
    assert len(rows) == len(dict(rows)) == len({j["text"] for j in judgements}) == len(judgements)
    assert set(keys) == set(dict(rows)) and all(status == "ok" for _, status in rows)
    assert len(keys) - len(rows) <= 64 * kills  # at most the batch in flight is asked again
    print(f"{kills} kills, {len(rows)} judgements, {len(keys) - len(rows)} asked again")
    return kills


def test_a_ledger_of_an_older_layout_is_read_and_added_to(tmp_path):
    path = Path(tmp_path / "old.sqlite")
    old = sqlite3.connect(path)
    old.execute(
        """CREATE TABLE answers (key TEXT PRIMARY KEY, model TEXT NOT NULL, kind TEXT NOT NULL, request TEXT NOT NULL,
        reply TEXT NOT NULL, status TEXT NOT NULL, tokens INTEGER NOT NULL, seconds REAL NOT NULL, usd REAL NOT NULL,
        asked REAL NOT NULL) WITHOUT ROWID"""
    )
    request = question("a")
    row = (
        request.key("scripted"),
        "scripted",
        "choose",
        "{}",
        '{"status": "ok", "logprobs": [-1, -2]}',
        "ok",
        1,
        0,
        0,
        0,
    )
    old.execute(f"INSERT INTO answers VALUES ({','.join('?' * 10)})", row)
    old.commit()
    old.close()
    model = ScriptedLLM()
    replies = LedgerLLM(model, Ledger(path)).choose([request, question("b")])
    assert replies[0].logprobs == (-1, -2) and [r.prompt for r in model.asked] == ["b"]


def test_recovering_keeps_what_is_under_way_at_a_provider(tmp_path):
    with contextlib.closing(Ledger(tmp_path / "old.sqlite")) as old:
        old.add("model", "choose", [(Request("a"), Reply("ok", logprobs=(-1.0,)))])
        Batches(old).note(Batch("tag", "batch_1", ("x", "y")))
    assert recover(tmp_path / "old.sqlite", tmp_path / "new.sqlite") == (1, 0)
    with contextlib.closing(Ledger(tmp_path / "new.sqlite")) as new:
        assert Batches(new).with_any({"y"}) == [Batch("tag", "batch_1", ("x", "y"))]


def test_the_ledger_of_a_run_that_a_second_model_was_asked_about_is_replayed_by_the_same_command(tmp_path):
    with contextlib.closing(Ledger(tmp_path / "l.sqlite")) as ledger:
        for name in ("embedded:own:12", "openai:other@host"):
            ledger.add(name, "choose", [(Request("a"), Reply("ok", name))])
    assert ReplayLLM(tmp_path / "l.sqlite", "embedded").name == "embedded:own:12"
    with contextlib.closing(Ledger(tmp_path / "l.sqlite")) as ledger:
        ledger.add("embedded:own:12+adapter:34", "choose", [(Request("a"), Reply("ok"))])
    with pytest.raises(LLMError, match="answers of 3 models"):
        ReplayLLM(tmp_path / "l.sqlite", "embedded")
