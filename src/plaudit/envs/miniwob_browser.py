"""One headless Chromium for this process, spoken to through a pipe.

Chromium ends as soon as the pipe closes, and the kernel closes it however this process ends, ``kill -9`` too. What is left
even so (a profile folder, which bears its owner's number, and a browser that hangs on to it) goes at the next start.

Leaves out: windows on a screen, and every command of the protocol that is not needed here.
Source: Chrome DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/), ``--remote-debugging-pipe``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plaudit.errors import PlauditError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PREFIX = "plaudit-miniwob-"
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--mute-audio",
    "--window-size=1400,1100",
    "about:blank",
)
"""Without Chromium's sandbox, which refuses to run for root: the pages are those of the package, and no others load."""
LAUNCH = (
    "import os, sys; a, b = map(int, sys.argv[1:3]); os.dup2(a, 3); os.dup2(b, 4); os.execv(sys.argv[3], sys.argv[3:])"
)
"""Chromium reads its descriptor 3 and writes 4."""
TIMEOUT = float(os.environ.get("PLAUDIT_BROWSER_SECONDS", "60"))
"""Seconds after which a call that has no answer counts as a browser that hangs."""


class BrowserGoneError(PlauditError):
    """The browser, or one of its pages, died or hangs."""


def program() -> str:
    """Path of the system's Chromium."""
    chosen = os.environ.get("MINIWOB_CHROME_BINARY") or next(filter(None, map(shutil.which, NAMES)), "chromium")
    found = shutil.which(chosen)
    if found is None:
        raise PlauditError(
            f"miniwob needs the browser Chromium, and there is no {chosen!r} here. "
            "Type: apt-get install chromium chromium-driver"
        )
    return found


def started(pid: int) -> str:
    """When this process began, in the kernel's ticks; empty where there is none. With its number it names a process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def clear_orphans() -> int:
    """End the browsers whose owner is no more and remove their profiles; returns how many profiles there were."""
    orphans = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner, _, rest = folder.name.removeprefix(PREFIX).partition("-")
        begun = rest.partition("-")[0]
        if owner.isdigit() and folder.stat().st_uid == os.getuid() and started(int(owner)) != begun:
            orphans.append(folder)
    for folder in orphans:
        for pid in using(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        remove(folder)
    return len(orphans)


def using(profile: Path) -> list[int]:
    """Processes that were started with this profile."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"--user-data-dir={profile}" in entry.read_bytes().decode(errors="replace").split("\0"):
                found.append(int(entry.parent.name))
    return found


def remove(folder: Path) -> None:
    """Remove a profile; a browser that is just ending may write to it for a moment longer."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A broken pipe in words."""
    try:
        yield
    except OSError as error:
        raise BrowserGoneError(f"the browser ended unexpectedly ({error}). Run the command again.") from None


class Browser:
    """A running Chromium, to be asked from any thread."""

    def __init__(self) -> None:
        binary = program()
        clear_orphans()
        pid = os.getpid()
        self.profile = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{pid}-{started(pid)}-"))
        (ours, theirs), (back, out) = os.pipe(), os.pipe()
        # High numbers, so that moving one to 3 cannot overwrite the other.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (ours, out)]
        os.close(ours)
        os.close(out)
        self._write, self._read = theirs, back
        self.process = subprocess.Popen(
            [sys.executable, "-ISc", LAUNCH, *map(str, ends), binary, f"--user-data-dir={self.profile}", *FLAGS],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: we end it in good order
        )
        for fd in ends:
            os.close(fd)
        self._lock, self._number, self._buffer = threading.RLock(), 0, bytearray()
        self._answers, self._dead = dict[int, dict[str, Any]](), set[str]()
        self._close = weakref.finalize(self, shut, self.process, theirs, back, self.profile, pid)
        self.send("Browser.getVersion")

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._close.alive and self.process.poll() is None

    def send(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """The result of one command."""
        return self.wait(self.post(method, session, **params), session)

    def post(self, method: str, session: str = "", **params: Any) -> int:
        """Send a command without waiting for its result; returns its number."""
        with self._lock:
            self._number += 1
            message = {"id": self._number, "method": method, "params": params}
            if session:
                message["sessionId"] = session
            with _told():
                self._put(json.dumps(message).encode() + b"\0")
            return self._number

    def wait(self, number: int, session: str = "") -> dict[str, Any]:
        """The result of a command that was posted to this session."""
        end = time.monotonic() + TIMEOUT
        with self._lock, _told():
            while number not in self._answers:
                if session in self._dead:
                    raise BrowserGoneError("a page of the browser crashed. Run the command again.")
                self._sort(json.loads(self._next(end)))
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserGoneError(f"the browser refused: {answer['error'].get('message')}. Run the command again.")
        return answer["result"]

    def _sort(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
        elif message.get("method") == "Inspector.targetCrashed":
            self._dead.add(message["sessionId"])
        elif message.get("method") == "Target.detachedFromTarget":
            self._dead.add(message["params"]["sessionId"])

    def _put(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._write, data) :]

    def _next(self, end: float) -> bytes:
        """The next message, without its final zero."""
        searched = 0
        while (stop := self._buffer.find(b"\0", searched)) < 0:
            searched = len(self._buffer)
            if not select.select([self._read], [], [], 0.2)[0]:
                # Its own children may hold the pipe open for a while after its death.
                self._expect(self.process.poll() is None, "the browser was killed")
                self._expect(time.monotonic() < end, f"the browser gave no answer in {TIMEOUT:.0f} s")
                continue
            chunk = os.read(self._read, 1 << 20)
            self._expect(bool(chunk), "the browser was killed")
            self._buffer += chunk
        message = bytes(self._buffer[:stop])
        del self._buffer[: stop + 1]
        return message

    def _expect(self, well: bool, trouble: str) -> None:
        if not well:
            self.close()
            raise BrowserGoneError(f"{trouble}. Run the command again.")

    def close(self) -> None:
        """End it, with all its processes, and remove its profile."""
        self._close()


def shut(process: subprocess.Popen[bytes], write: int, read: int, profile: Path, owner: int) -> None:
    """What is done at the end of a browser, at the latest when Python ends; not by a process that was forked off."""
    os.close(write)  # a closed pipe tells Chromium to go
    os.close(read)
    if os.getpid() != owner:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # whatever of its group is left
    process.wait()
    remove(profile)


_shared: dict[int, weakref.ref[Browser]] = {}


def shared_browser() -> Browser:
    """This process's browser, started when there is none (or none any more); its tabs keep it alive."""
    held = _shared.get(os.getpid(), lambda: None)()
    if held is None or not held.alive:
        if held is not None:
            held.close()
        held = Browser()
        _shared[os.getpid()] = weakref.ref(held)
    return held
