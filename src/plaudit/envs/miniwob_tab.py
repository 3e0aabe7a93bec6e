"""A tab of the browser, on pages that this process serves on the loopback::

    with Tab(folder, script="window.two = 2") as tab:
        tab.call("two + two")

Leaves out: any page that is not in the folder.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import threading
from base64 import b64decode
from pathlib import Path
from typing import Any, Self

from plaudit.envs.miniwob_browser import BrowserGoneError, shared_browser


class _Handler(http.server.SimpleHTTPRequestHandler):
    """The package's folder, and one empty page that holds the frames."""

    protocol_version = "HTTP/1.1"
    # One packet for each answer, at once: else every file waits 40 ms for an acknowledgement.
    disable_nagle_algorithm, wbufsize = True, 1 << 16

    def do_GET(self) -> None:
        if self.path != "/":
            return super().do_GET()
        body = b"<!doctype html><meta charset=utf-8><title>plaudit</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=86400")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@functools.cache
def serve(folder: str, owner: int) -> str:
    """Address of a server of this folder, for this process (``owner`` is its number) as long as it runs."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=folder))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


class Tab:
    """A page of the shared browser at the root of a served folder; ``script`` runs first in it and in its frames."""

    def __init__(self, folder: Path, script: str) -> None:
        self.browser = shared_browser()
        send = self.browser.send
        self._target = send("Target.createTarget", url="about:blank")["targetId"]
        self._session = send("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Inspector", "Page"):
            send(f"{domain}.enable", self._session)
        send("Page.addScriptToEvaluateOnNewDocument", self._session, source=script)
        send("Page.navigate", self._session, url=serve(str(folder), os.getpid()))
        self.call("new Promise(done => document.readyState == 'complete' ? done() : addEventListener('load', done))")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, expression: str) -> Any:
        """The value of a JavaScript expression, a promise's when it is kept."""
        return self.result(self.post(expression))

    def post(self, expression: str) -> int:
        """Have an expression worked out, without waiting; :meth:`result` takes the number that this returns."""
        return self.browser.post(
            "Runtime.evaluate", self._session, expression=expression, returnByValue=True, awaitPromise=True
        )

    def result(self, number: int) -> Any:
        """The value of what was posted."""
        answer = self.browser.wait(number, self._session)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def picture(self, width: int, height: int) -> bytes:
        """The top left corner of the page as a PNG."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        answer = self.browser.send(
            "Page.captureScreenshot", self._session, clip=clip, captureBeyondViewport=True, optimizeForSpeed=True
        )
        return b64decode(answer["data"])

    def close(self) -> None:
        """Close the page; the browser goes with its last one."""
        if self.browser.alive:
            with contextlib.suppress(BrowserGoneError):
                self.browser.send("Target.closeTarget", targetId=self._target)
