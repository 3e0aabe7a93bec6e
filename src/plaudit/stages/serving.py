"""A server for each worker: a command such as vLLM's, started where the worker is, on its graphics cards, and asked there.

    plaudit run doorkey --on HOST:6379 --cluster.gpus 1 --llm openai:MODEL --cluster.serve 'vllm serve MODEL --port {port}'

So an engine whose packages do not get on with plaudit's keeps an environment of its own (``/opt/vllm/bin/vllm serve ...``).
In the ledger its model is ``openai:MODEL@workers``, whichever node answered. Left out: a server over several nodes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

from plaudit.errors import LLMError
from plaudit.llms.base import LLM, Arrived, Reply, Request

START_SECONDS = 1800.0
"""Wall time that a server may take to load its weights."""
PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>."""


class ServedLLM:
    """The client of a server that ends with it.

    Args:
        command: starts the server in the foreground; ``{port}`` stands for a free port.
        connect: makes the client, given the server's base URL.
    """

    def __init__(self, command: str, connect: Callable[[str], LLM]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._log: Any = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the model
        words = [word.replace("{port}", str(port)) for word in shlex.split(command)]
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, preexec_fn=_end_with_parent
            )
        except OSError as error:
            self._log.close()
            raise LLMError(
                f"cannot start {words[0]!r} on this node: {error.strerror}. Look at --cluster.serve."
            ) from None
        try:
            self._wait(f"http://127.0.0.1:{port}/v1/models")
            self._llm = connect(f"http://127.0.0.1:{port}/v1")
        except BaseException:
            self._stop()
            raise
        self.name = self._llm.name.replace(f"@127.0.0.1:{port}/v1:", "@workers:")
        self.window = getattr(self._llm, "window", 0)

    def generate(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._llm.generate(requests, arrived)

    def choose(self, requests: Sequence[Request], arrived: Arrived | None = None) -> list[Reply]:
        """See :class:`plaudit.llms.base.LLM`."""
        return self._llm.choose(requests, arrived)

    def close(self) -> None:
        """Close the client and end the server."""
        self._llm.close()
        self._stop()

    def _wait(self, url: str) -> None:
        """Until it answers; 401 is an answer too."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise LLMError(f"the server ended with code {self._process.returncode}; its last words: {self._last()}")
            try:
                urllib.request.urlopen(url, timeout=5).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.2)
        raise LLMError(f"the server did not answer in {START_SECONDS:.0f} s; its last words: {self._last()}")

    def _last(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1][:300]!r}." if lines else "none."

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()


def _end_with_parent() -> None:
    """In the server's process, before it is one: a worker that is killed leaves no server on the card (Linux)."""
    os.setpgid(0, 0)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
