"""The batch API of the tests' echo server: files, batches, and what can become of a batch.

Each batch takes the next of ``fates``; when they are used up all is well. Left out: deleting and cancelling.
"""

from __future__ import annotations

import asyncio
import email
import json
import time
from dataclasses import dataclass, field
from typing import Any

FATES = ("ok", "expired", "partial", "cancelled", "token_limit_exceeded", "bad", "lost", "never made")


@dataclass
class Batches:
    """Files and batches.

    ``expired``: half of it is answered. ``partial``: of five requests one fails at the model, one is missing and one has an
    answer that cannot be used. ``lost``: it is made, and the answer that says so fails. ``never made``: it is not made.
    """

    fates: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """Time that a batch takes."""
    files: dict[str, bytes] = field(default_factory=dict)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    limit: int = 50_000
    answered: list[str] = field(default_factory=list)
    """Each request that was paid for, by its ``custom_id``."""
    paid: int = 0
    """Tokens."""

    async def answer(self, path: str, headers: dict[str, str], data: bytes, echo: Any) -> tuple[int, bytes, str]:
        path, _, _ = path.partition("?")
        kind, _, rest = path.partition("/")
        if kind == "files" and rest:
            return 200, self.files[rest.removesuffix("/content")], ""
        if kind == "files":
            form = email.message_from_bytes(f"content-type: {headers['content-type']}\r\n\r\n".encode() + data)
            parts = {part.get_param("name", header="content-disposition"): part for part in form.walk()}
            name = f"file-{len(self.files)}"
            assert parts["purpose"].get_payload() == "batch"
            self.files[name] = parts["file"].get_payload(decode=True)
            return 200, _json({"id": name, "object": "file"}), ""
        if rest and rest not in self.made:
            return 404, _json({"error": {"message": "no such batch"}}), ""
        if rest:
            return 200, _json(self.state(self.made[rest], echo)), ""
        if not data:
            listed = [self.state(batch, echo) for batch in reversed(self.made.values())]
            return 200, _json({"object": "list", "data": listed, "has_more": False}), ""
        await asyncio.sleep(0.01)
        return self.make(json.loads(data))

    def make(self, asked: dict[str, Any]) -> tuple[int, bytes, str]:
        fate = self.fates.pop(0) if self.fates else "ok"
        if fate == "never made":
            return 500, _json({"error": {"message": "planted"}}), ""
        name, lines = f"batch_{len(self.made)}", self.files[asked["input_file_id"]].decode().split("\n")[:-1]
        assert len(lines) <= self.limit and asked["completion_window"] == "24h"
        assert all(json.loads(line)["url"] == asked["endpoint"] for line in lines)
        batch = {"id": name, "object": "batch", "status": "in_progress", "metadata": asked["metadata"], "fate": fate}
        batch |= {"created_at": 0, "ends": time.monotonic() + self.seconds, "lines": lines}
        batch |= {"request_counts": {"total": len(lines), "completed": 0, "failed": 0}}
        self.made[name] = batch
        return (500, b"{}", "") if fate == "lost" else (200, _json(shown(batch)), "")

    def state(self, batch: dict[str, Any], echo: Any) -> dict[str, Any]:
        if batch["status"] == "in_progress" and time.monotonic() >= batch["ends"]:
            self.end(batch, echo)
        return shown(batch)

    def end(self, batch: dict[str, Any], echo: Any) -> None:
        fate, out, failed = batch["fate"], [], []
        batch["status"] = fate if fate in ("expired", "cancelled") else "completed"
        if fate in ("token_limit_exceeded", "bad"):
            batch |= {"status": "failed", "errors": {"data": [{"code": fate, "message": "planted", "line": None}]}}
            return
        for i, line in enumerate(batch["lines"]):
            asked = json.loads(line)
            entry = {"id": f"r{i}", "custom_id": asked["custom_id"], "response": None, "error": None}
            if fate in ("expired", "cancelled") and i % 2:
                failed.append(entry | {"error": {"code": f"batch_{fate}", "message": "not done"}})
            elif fate == "partial" and i % 5 == 0:
                wrong = {"error": {"message": "planted", "code": None}}
                failed.append(entry | {"response": {"status_code": 500, "body": wrong}})
            elif fate != "partial" or i % 5 != 1:
                fault = "content" if fate == "partial" and i % 5 == 2 else ""
                body = echo.body(asked["url"].removeprefix("/v1/"), asked["body"], fault)
                out.append(entry | {"response": {"status_code": 200, "body": body}})
                self.answered.append(asked["custom_id"])
                self.paid += sum(body["usage"].values())
        out.reverse()  # the order is nobody's promise
        for name, entries in (("output_file_id", out), ("error_file_id", failed)):
            if entries:
                batch[name] = f"file-{len(self.files)}"
                # U+2028 ends no line of a file, though Python's splitlines thinks so
                self.files[batch[name]] = "".join(
                    json.dumps(entry | {"note": "\u2028"}, ensure_ascii=False) + "\n" for entry in entries
                ).encode()
        batch["request_counts"] |= {"completed": len(out), "failed": len(failed)}


def shown(batch: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in batch.items() if k not in ("fate", "ends", "lines")}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
