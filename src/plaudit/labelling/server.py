"""The page's server: on the loopback, for one person, by the standard library.

What keeps others out: the address holds a secret (no other page can name it, so none can post an answer or read a text);
the Host header must be this machine's (else a name that an attacker's DNS points here could read the page); a request that
a browser says comes from another origin is refused; answers are JSON, which no form can send across origins. Texts are
written as text by the page's script, and the security policy lets nothing run or load that is not from here.

Leaves out TLS and other machines: tunnel the port (``ssh -L``), the name stays 127.0.0.1.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from plaudit.errors import ConfigError
from plaudit.labelling.session import ANSWERS, Session

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")
FILES = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
}
LARGEST = 4096
"""Bytes of a request's body."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class LabelServer(ThreadingHTTPServer):
    """Serves one sitting.

    Args:
        session: what the pages show and what is kept.
        port: 0 for a free one.
        finish: what to say at the end, as (name, value); called when the person ends the sitting.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int, finish: Callable[[], list[tuple[str, str]]]) -> None:
        try:
            super().__init__((LOOPBACK, port), Handler)
        except (OSError, OverflowError) as error:
            why = str(error).rstrip(".")
            raise ConfigError(f"port {port} cannot be had: {why}. Leave out --port for a free one.") from None
        self.session, self.finish = session, finish
        self.token = secrets.token_urlsafe(24)
        self.ended = threading.Event()
        """Set when the person has ended the sitting."""

    @property
    def url(self) -> str:
        """The address with its secret."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/{self.token}/"

    def until_finished(self) -> None:
        """Wait for the person's word."""
        self.ended.wait()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is nobody's fault."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: LabelServer
    timeout = 30
    server_version, sys_version = "plaudit", ""

    def do_GET(self) -> None:
        """The page, its parts, and pictures."""
        path = self._path()
        if path is None:
            return
        if path in FILES:
            name, kind = FILES[path]
            content = (resources.files("plaudit.labelling") / name).read_bytes()
            self._send(HTTPStatus.OK, content, f"{kind}; charset=utf-8")
            return
        what, _, number = path.removeprefix("picture/").partition("/")
        image = self.server.session.picture(what, int(number)) if number.isdigit() else None
        if image is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(HTTPStatus.OK, image, "image/png")

    def do_POST(self) -> None:
        """What the person does."""
        path, body = self._path(), self._body()
        if path is None:
            return
        if body is None:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        try:
            said = self._act(path, body)
        except (KeyError, TypeError, ValueError):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        except Exception as error:  # a full disk: the page must not go on as if the answer were kept
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, json.dumps({"error": str(error)}).encode(), "application/json")
            return
        self._send(HTTPStatus.OK, json.dumps(said).encode(), "application/json")
        if path == "api/finish":
            self.server.ended.set()

    def _act(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        session, tab = self.server.session, str(body["tab"])[:64]
        if path == "api/next":
            return session.next(tab)
        if path == "api/answer":
            if body["answer"] not in ANSWERS:
                raise ValueError(body["answer"])
            return session.answer(tab, str(body["key"]), body["answer"], float(body["seconds"]))
        if path == "api/undo":
            return session.undo(tab)
        if path == "api/more":
            return session.more(tab, 50)
        if path == "api/finish":
            return {"lines": self.server.finish()}
        raise KeyError(path)

    def _path(self) -> str | None:
        """What stands behind the secret; None after refusing whoever does not know it or came by another name."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        # A link to the page may stand anywhere; what it does only the page may ask for.
        site = self.headers.get("Sec-Fetch-Site", "none") if self.command == "POST" else "none"
        _, token, *rest = [*urlsplit(self.path).path.split("/", 2), "", ""][:3]
        known = secrets.compare_digest(token.encode(), self.server.token.encode())
        here = host.rpartition(":")[0] in NAMES and origin in (None, f"http://{host}")
        if not (known and here and site in ("none", "same-origin")):
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return rest[0]

    def _body(self) -> dict[str, Any] | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True
            return None
        raw = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/json":
            return None
        try:
            body = json.loads(raw)
        except ValueError:
            return None
        return body if isinstance(body, dict) else None

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status, f"{status.phrase}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the address holds the secret."""
