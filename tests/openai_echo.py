"""A small OpenAI-compatible server on the loopback for tests and benchmarks, with planted faults.

    with serve() as server: OpenAIServer(server.url)
    python tests/openai_echo.py        # serves until it is killed; prints its URL

With ``batches=Batches()`` it has a batch API, too (openai_batches.py).
Its model answers the last word of a prompt, and finds the first answer (Yes, or A where two observations are compared) as
likely as the number of a's in the prompt says.
Left out: everything that OpenAIServer does not use.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from openai_batches import Batches

FAULTS = ("429", "500", "503", "502", "slow", "cut", "half", "empty", "content", "no-logprobs", "other-logprobs")


@dataclass
class Echo:
    """The server: what it knows of the protocol, and which faults it has."""

    faults: tuple[str, ...] = ()
    every: int = 10
    """Of so many requests three are answered with a fault, each in turn."""
    key: str = ""
    model: str = "echo"
    endpoints: tuple[str, ...] = ("completions", "chat/completions")
    logprobs: bool = True
    seconds: float = 0.0
    limit: int = 10**9
    """Requests at once; more are answered with 429."""
    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    most: int = 0
    busy: int = 0
    charged: Counter[str] = field(default_factory=Counter)
    """Prompts with the tokens that were charged for them, in answers that came whole."""
    sold: Counter[str] = field(default_factory=Counter)
    """Prompts by how often a whole and usable answer was sent."""
    patience: float = 2.0
    """Seconds that a slow answer takes; such a one is for a client that has given up, and not charged for."""
    count: int = 0
    echoes: bool = False
    """Whether ``echo`` repeats the prompt with its log-probabilities; without, it is taken and not done."""
    spaced: bool = False
    """Whether its model writes the space before a word as a token of its own."""
    batches: Batches | None = None
    blind: bool = False
    """Whether its model takes no pictures."""

    @property
    def paid(self) -> int:
        """All tokens that were charged for."""
        return self.charged.total()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
                data = await reader.readexactly(int(headers.get("content-length", 0)))
                path = lines[0].split()[1].removeprefix("/v1/")
                self.busy += 1
                self.most = max(self.most, self.busy)
                status, body, extra = await self.answer(path, headers, data)
                self.busy -= 1
                if status == 0:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{")
                    break
                kind = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
                writer.write(f"HTTP/1.1 {status} X\r\n{kind}{extra}\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, path: str, headers: dict[str, str], data: bytes) -> tuple[int, bytes, str]:
        self.seen[path] += 1
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return 401, _json({"error": {"message": f"wrong key {headers.get('authorization')}"}}), ""
        if path == "models":
            return 200, _json({"data": [{"id": self.model}]}), ""
        if self.batches and path.startswith(("files", "batches")):
            return await self.batches.answer(path, headers, data, self)
        if path not in self.endpoints:
            return 404, _json({"error": {"message": "no such path"}}), ""
        if self.busy > self.limit:
            return 429, _json({"error": {"message": "too many"}}), ""
        self.count += 1
        fault = ""
        if self.faults and self.count % self.every < 3:
            fault = self.faults[self.seen["fault"] % len(self.faults)]
            self.seen["fault"] += 1
            self.seen[f"fault {fault}"] += 1
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if fault.isdigit():
            return int(fault), _json({"error": {"message": "planted"}}), "retry-after: 0.02\r\n"
        if fault == "slow":
            await asyncio.sleep(self.patience)
        if fault == "cut":
            return 0, b"", ""
        if self.blind and b'"image_url"' in data:
            return 400, _json({"error": {"message": "content must be a string"}}), ""
        body = self.body(path, json.loads(data), fault)
        whole = _json(body)
        if fault == "half":
            return 200, whole[: len(whole) // 2], ""
        if fault != "slow":
            asked = json.loads(data)
            self.charged[_prompt(path, asked)] += sum(body["usage"].values())
            self.sold[_prompt(path, asked)] += not fault
        return 200, whole, ""

    def body(self, path: str, asked: dict[str, Any], fault: str) -> dict[str, Any]:
        chat = path.startswith("chat")
        prompt = _prompt(path, asked)
        read = len(prompt.split())
        choice: dict[str, Any] = {"finish_reason": "stop", "index": 0}
        said: Any = 7 if fault == "content" else ("Yes" if "Yes" in prompt else (prompt.split() or [""])[-1])
        choice |= {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
        if asked.get("logprobs") and self.logprobs and fault != "no-logprobs":
            yes = likely(prompt)
            first, second = (" A", " B") if "\nA: " in prompt else (" Yes", " No")
            top = {first: math.log(0.9 * yes), second: math.log(0.9 * (1 - yes)), " the": math.log(0.1)}
            if self.spaced and not chat:
                split = {k.strip(): v for k, v in top.items()}
                top = split if prompt.endswith(" ") else {" ": math.log(0.8), "\n": math.log(0.1)}
            if fault == "other-logprobs":
                top = {" the": math.log(0.6), " of": math.log(0.3)}
            listed = [{"token": k.strip() if chat else k, "logprob": v} for k, v in top.items()]
            choice["logprobs"] = {"content": [{"top_logprobs": listed}]} if chat else {"top_logprobs": [top]}
        if asked.get("echo") and self.echoes and not chat:
            choice["logprobs"] = repeated(prompt)
            read = len(choice["logprobs"]["tokens"]) - 1
        if "FILTER" in prompt:
            choice["finish_reason"] = "content_filter"
        choices = [] if fault == "empty" else [choice] * asked.get("n", 1)
        return {"choices": choices, "usage": {"prompt_tokens": read, "completion_tokens": 1}}


def colour(part: dict[str, Any]) -> str:
    """The first pixel of a picture that was sent, e.g. ``#ff0000``."""
    from PIL import Image

    kind, _, data = part["image_url"]["url"].partition(",")
    if part["type"] != "image_url" or kind != "data:image/png;base64":
        raise ValueError(part)
    red, green, blue = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").getpixel((0, 0))  # type: ignore[misc]
    return f"#{red:02x}{green:02x}{blue:02x}"


def likely(prompt: str) -> float:
    """P(first answer) of the server's model."""
    return (1 + prompt.count("a") % 50) / 52


def repeated(prompt: str) -> dict[str, Any]:
    """The prompt's tokens, words or single letters of words with an x, and one more that was written."""
    tokens = ["<s>"]
    for word in re.findall(r"\s*\S+", prompt):
        tokens += list(word) if "x" in word else [word]
    return {
        "tokens": [*tokens, " the"],
        "token_logprobs": [None, *(-len(t.strip()) / 10 - 0.01 for t in tokens[1:]), -1.0],
        "top_logprobs": None,
    }


def _prompt(path: str, asked: dict[str, Any]) -> str:
    text = asked["messages"][0]["content"] if path.startswith("chat") else asked["prompt"]
    if isinstance(text, list):  # a picture's colour is one more word, before the text
        text = " ".join(part["text"] if part["type"] == "text" else colour(part) for part in text)
    return str(text)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


@contextmanager
def serve(port: int = 0, **options: Any) -> Iterator[Echo]:
    """Such a server in a thread, on a port of its own."""
    echo, loop = Echo(**options), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(echo.talk, "127.0.0.1", port))
    echo.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield echo
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """No task of the server is left behind."""
    server.close()
    talks = asyncio.all_tasks() - {asyncio.current_task()}
    for talk in talks:
        talk.cancel()
    await asyncio.gather(*talks, return_exceptions=True)


if __name__ == "__main__":
    with serve(port=int(sys.argv[1]) if sys.argv[1:] else 0) as running:
        print(running.url, flush=True)
        threading.Event().wait()
