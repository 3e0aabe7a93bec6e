"""The labelling page in a real browser: by key and by click, undone, resumed, in two windows, with hostile texts; and its
server against those who should not get in."""

import http.client
import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import HOSTILE
from labelled_runs import judged_run, made_up_run

from plaudit.cli import main
from plaudit.labelling.plan import Plan, ordered
from plaudit.labelling.server import LabelServer
from plaudit.labelling.session import Session, readable
from plaudit.labelling.summary import lines
from plaudit.labels import Label, LabelBook, read_labels
from plaudit.report.labels import judged
from plaudit.stages.label import painter
from plaudit.store import PEOPLE, Run


@contextmanager
def serving(run: Run, pairs: int = 30, pictures: bool = False) -> Iterator[LabelServer]:
    """The page's server in this process."""
    book = LabelBook(run.folder, "person")
    plan = Plan(ordered(judged(run), "uniform", 0), pairs, 0)
    session = Session(book, plan, "be <b>done</b>", painter(run) if pictures else lambda text: [])
    server = LabelServer(session, 0, lambda: lines(run, "person"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        book.close()


def post(url: str, what: str, values: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    """What the page's script does."""
    body = json.dumps({"tab": "t"} | (values or {})).encode()
    sent = urllib.request.Request(f"{url}api/{what}", body, {"Content-Type": "application/json"} | headers)
    with urllib.request.urlopen(sent, timeout=20) as reply:
        return json.load(reply)


def answer(url: str, state: dict[str, Any], said: str = "left", tab: str = "t") -> dict[str, Any]:
    return post(url, "answer", {"tab": tab, "key": state["task"]["key"], "answer": said, "seconds": 1.5})


@pytest.fixture(scope="module")
def doorkey(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return judged_run(tmp_path_factory.mktemp("runs") / "r")


@pytest.fixture
def run(doorkey: Run) -> Run:
    """The same judged run without any label."""
    for path in (doorkey.folder / PEOPLE).glob("*"):
        path.unlink()
    return doorkey


# ---------------------------------------------------------------------------------------------------- in a browser


class Window:
    """The page as a person has it."""

    def __init__(self, driver: Any, url: str, width: int = 1280) -> None:
        self.driver = driver
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get_log("browser"), driver.get_log("performance")
        driver.get(url)
        self.wait(lambda: self.count())

    def wait(self, holds: Any) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 20, 0.02).until(lambda _: holds())

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def count(self) -> str:
        return self.driver.execute_script("return document.getElementById('count').textContent")

    def texts(self) -> list[str]:
        """What stands on the two cards."""
        return self.driver.execute_script("return [...document.querySelectorAll('.seen bdi')].map(e => e.textContent)")

    def settle(self) -> None:
        """Wait until the page takes an answer."""
        self.wait(lambda: self.driver.execute_script("return !busy && performance.now() - since > SETTLE"))

    def press(self, key: str) -> None:
        self.settle()
        before = self.count(), self.texts()
        self.find("body").send_keys(key)
        self.wait(lambda: (self.count(), self.texts()) != before)

    def click(self, selector: str) -> None:
        self.settle()
        before = self.count(), self.texts()
        self.find(selector).click()
        self.wait(lambda: (self.count(), self.texts()) != before)


def kept(run: Run) -> list[Label]:
    return read_labels(run.folder)


def test_by_key_by_click_and_undone(chromium: Any, run: Run) -> None:
    from selenium.webdriver.common.keys import Keys

    with serving(run, pictures=True) as server:
        page = Window(chromium, server.url)
        seen = page.texts()
        assert page.find("#goal").text == "be <b>done</b>" and not page.find("#undo").is_enabled()
        wide = "return [...document.images].filter(i => i.complete && i.naturalWidth > 50).length"
        page.wait(lambda: chromium.execute_script(wide) == 2)
        page.press(Keys.ARROW_LEFT)
        assert page.count().startswith("1 of ") and [kept(run)[0].left, kept(run)[0].right] == seen
        for key in (Keys.ARROW_RIGHT, "t", "s", "a", "b"):
            page.press(key)
        page.click('.card[data-answer="right"] .seen')
        page.click('.choose[data-answer="left"]')
        answers = [label.answer for label in kept(run)]
        assert answers == ["left", "right", "tie", "skip", "left", "right", "right", "left"]
        assert [label.probability for label in kept(run)[:4]] == [1.0, 0.0, 0.5, None]
        assert all(0 < label.seconds < 60 for label in kept(run))
        last = kept(run)[-1]
        page.press("u")
        assert page.texts() == [last.left, last.right] and len(kept(run)) == 7, "the pair is back in the same seats"
        page.press("t")
        assert [label.answer for label in kept(run)][-1] == "tie" and kept(run)[-1].left == last.left
        page.click("#undo")
        page.click("#undo")
        assert len(kept(run)) == 6
        page.settle()
        chromium.execute_script("for (let i = 0; i < 5; i++) choose('left')")
        page.wait(lambda: page.count().startswith("7 of "))
        page.settle()
        assert len(kept(run)) == 7, "a key pressed five times is one answer"
        assert chromium.get_log("browser") == []


def test_the_end_shows_the_result_and_ends_the_server(chromium: Any, run: Run) -> None:
    with serving(run, pairs=3) as server:
        page = Window(chromium, server.url)
        while page.find("#work").is_displayed():
            page.press("a")
        assert "All pairs are labelled" in page.find("#end").text
        chromium.find_element("id", "more").click()
        page.wait(lambda: page.find("#work").is_displayed())
        assert 50 < int(page.count().split(" of ")[1]) < 75
    with serving(run, pairs=3) as server:
        Window(chromium, server.url).wait(lambda: page.find("#end").is_displayed())
        chromium.find_element("id", "finish").click()
        page.wait(lambda: page.find("#lines").text)
        assert "the judge says the same" in page.find("#lines").text and "you chose A" in page.find("#lines").text
        assert server.ended.wait(5)


def test_a_server_that_has_gone_is_told_and_nothing_is_lost(chromium: Any, run: Run) -> None:
    with serving(run) as server:
        page = Window(chromium, server.url)
        page.press("a")
    page.settle()
    page.find("body").send_keys("b")
    page.wait(lambda: page.find("#trouble").is_displayed())
    assert "what was answered before is saved" in page.find("#trouble").text and len(kept(run)) == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_text_is_text_and_fits(chromium: Any, tmp_path: Path, width: int) -> None:
    board = "\n".join("|" + "." * 78 + "|" for _ in range(24))
    texts = [f"{HOSTILE} {i}" for i in range(3)] + [f"{board}{i}\x1b[31m\0\u202e{HOSTILE}" for i in range(3)]
    with serving(made_up_run(tmp_path / "r", texts), pairs=5) as server:
        page = Window(chromium, server.url, width)
        shown = set()
        for _ in range(4):
            shown.update(page.texts())
            inner, document = chromium.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
            assert inner == width and document <= width
            for button in chromium.find_elements("css selector", ".choose[data-answer]"):
                box = button.rect
                assert box["x"] >= 0 and box["x"] + box["width"] <= width and button.is_displayed()
            assert (
                chromium.execute_script("return getComputedStyle(document.querySelector('.board')).whiteSpace") == "pre"
            )
            page.press("t")
        assert shown <= {readable(text) for text in texts} and len(shown) > 3
        assert chromium.execute_script("return window.hacked === undefined && document.scripts.length") == 1
        assert chromium.get_log("browser") == []
        sent = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
        urls = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
        assert all(u.startswith((server.url, "data:")) for u in urls)


# ---------------------------------------------------------------------------------------------------- its server


def test_two_windows_lose_and_double_nothing(run: Run) -> None:
    with serving(run, pairs=60) as server:
        one, two = (post(server.url, "next", {"tab": tab}) for tab in "ab")
        assert one["task"]["key"] != two["task"]["key"], "two windows show different pairs"
        assert post(server.url, "next", {"tab": "a"})["task"] == one["task"], (
            "a window that is loaded anew shows the same"
        )
        after = answer(server.url, one, tab="a")
        assert "another window" in answer(server.url, one, "right", tab="a")["notice"]
        assert "another window" in answer(server.url, one, "right", tab="b")["notice"]
        two = post(server.url, "next", {"tab": "b"})
        errors: list[Exception] = []

        def work(tab: str) -> None:
            try:
                state = post(server.url, "next", {"tab": tab})
                for _ in range(12):
                    state = answer(server.url, state, tab=tab)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(tab,)) for tab in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors and after["done"] == 1
    labels = kept(run)
    assert len({(label.pair, label.turn) for label in labels}) == len(labels) >= 30
    assert len({label.id for label in labels}) == len(labels)


def test_the_judge_is_silent(run: Run) -> None:
    with serving(run) as server:
        state = post(server.url, "next")
        assert set(state) == {"goal", "done", "total", "undo", "task"} and set(state["task"]) == {
            "key",
            "left",
            "right",
        }
        assert set(state["task"]["left"]) == {"text", "pictures"}


def status(server: LabelServer, method: str, path: str, body: str = "", **headers: str) -> int:
    """What a request gets whose every header is given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body.encode())
    reply = connection.getresponse()
    reply.read()
    if reply.status == 200:
        assert "default-src 'none'" in (reply.getheader("Content-Security-Policy") or "")
    connection.close()
    return reply.status


def test_others_stay_outside(run: Run) -> None:
    with serving(run) as server:
        path = urlsplit(server.url).path
        port = server.server_address[1]
        assert server.server_address[0] == "127.0.0.1" and len(server.token) >= 32
        assert status(server, "GET", path) == 200
        assert status(server, "GET", path, Host=f"localhost:{port}") == 200
        for bad in ("/", "/x/", path[:-2] + "/", "/page.js"):
            assert status(server, "GET", bad) == 403, bad
        for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", ""):
            assert status(server, "GET", path, Host=host) == 403, "a name that was made to point here"
        body = json.dumps({"tab": "x"})
        good = {"Content_Type": "application/json"}
        assert status(server, "POST", f"{path}api/next", body, **good) == 200
        assert status(server, "POST", f"{path}api/next", body, Origin=f"http://127.0.0.1:{port}", **good) == 200
        assert status(server, "POST", f"{path}api/next", body, Origin="http://127.0.0.1:1", **good) == 403
        assert status(server, "POST", f"{path}api/next", body, Origin="null", **good) == 403
        assert status(server, "POST", f"{path}api/next", body, Sec_Fetch_Site="cross-site", **good) == 403
        assert status(server, "POST", f"{path}api/next", body, Content_Type="text/plain") == 400, "what a form can send"
        for wrong in ("", "[1]", "{", '{"tab": 1, "x": "' + "y" * 5000 + '"}'):
            assert status(server, "POST", f"{path}api/next", wrong, **good) == 400
        assert status(server, "POST", f"{path}api/answer", json.dumps({"tab": "x", "key": "k"}), **good) == 400
        assert status(server, "GET", f"{path}picture/../../../../etc/passwd/0") == 404
        assert not kept(run)


def test_a_full_disk_is_told_and_the_answer_can_be_given_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(run) as server:
        state = post(server.url, "next")
        monkeypatch.setattr("plaudit.labels.os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(urllib.error.HTTPError) as failed:
            answer(server.url, state)
        assert failed.value.code == 500 and b"No space left" in failed.value.read() and not kept(run)
        monkeypatch.undo()
        state = post(server.url, "next")
        assert answer(server.url, state)["done"] == 1 and len(kept(run)) == 1


def test_killed_it_goes_on_where_it_was(run: Run) -> None:
    command = [sys.executable, "-m", "plaudit.cli", "label", str(run.folder), "--no-browser", "--pairs", "20"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", process.stdout.readline())
    assert found
    state = post(found[0], "next")
    for said in ("left", "right", "tie", "left", "skip"):
        state = answer(found[0], state, said)
    process.kill()
    process.wait()
    before = kept(run)
    assert [label.answer for label in before] == ["left", "right", "tie", "left", "skip"]
    with serving(run, pairs=20) as server:
        again = post(server.url, "next")
        assert again["done"] == 5 and again["total"] == state["total"]
        assert {k: v["text"] for k, v in again["task"].items() if k != "key"} == {
            k: v["text"] for k, v in state["task"].items() if k != "key"
        }
        answer(server.url, again, "right")
    assert kept(run)[:5] == before and len(kept(run)) == 6


def test_ctrl_c_ends_it_and_tells_the_result(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    addresses: list[str] = []

    def labels_and_leaves(server: LabelServer) -> None:
        addresses.append(re.findall(r"http://\S+/", capsys.readouterr().out)[-1])
        answer(addresses[-1], post(addresses[-1], "next"))
        raise KeyboardInterrupt

    monkeypatch.setattr(LabelServer, "until_finished", labels_and_leaves)
    assert main(["label", str(run.folder), "--no-browser", "--as", "me"]) == 0
    out = capsys.readouterr().out
    assert "1 labels of me" in out and "the judge" in out and len(kept(run)) == 1
    with pytest.raises(urllib.error.URLError):
        post(addresses[-1], "next")
