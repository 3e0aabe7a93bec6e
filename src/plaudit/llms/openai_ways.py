"""Where an OpenAI-compatible server is, and the ways in which its endpoints can be asked.

    model, url = address("http://127.0.0.1:8000/v1")      # "" and the URL: the server has one model and says which
    model, url = address("openai:gpt-4.1-mini")           # OPENAI_BASE_URL, else OpenAI's own server

Left out: the Responses API, which gives no log-probabilities that others copy.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from plaudit.errors import ConfigError
from plaudit.llms.base import Image

OPENAI = "https://api.openai.com/v1"
PROBE = "Question: Is water wet? Answer with Yes or No.\nAnswer:"
"""Asked to find out how a server answers."""
PROBE_ANSWER = " Yes it is"
"""What stands behind it where a server is asked whether it scores a text."""
PROBE_TOKENS = 16
"""The fewest that all servers allow."""


@dataclass(frozen=True)
class Way:
    """How one kind of prompt is put to the server."""

    endpoint: Literal["completions", "chat"]
    listed: int = 0
    """Likeliest tokens to ask for; 0 where the server gives no log-probabilities."""
    limit: str = "max_tokens"
    """What the server calls the limit of new tokens."""
    echo: bool = False
    """Whether it repeats the prompt with its log-probabilities, so that answers of several words can be scored."""

    def __str__(self) -> str:
        return f"{self.endpoint}+{f'logprobs{self.listed}' if self.listed else 'votes'}{'+echo' * self.echo}"

    @property
    def path(self) -> str:
        """Behind the base URL."""
        return "/completions" if self.endpoint == "completions" else "/chat/completions"

    def body(
        self, prompt: str, new_tokens: int, logprobs: bool = False, images: Sequence[Image] = ()
    ) -> dict[str, Any]:
        """The request's JSON, without the model's name; images are sent within it, before the prompt."""
        chat = self.endpoint == "chat"
        said: Any = [*map(_part, images), {"type": "text", "text": prompt}] if images else prompt
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": said}]} if chat else {"prompt": prompt}
        asked[self.limit] = new_tokens
        if logprobs:
            asked |= {"logprobs": True, "top_logprobs": self.listed} if chat else {"logprobs": self.listed}
        return asked


def _part(image: Image) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(image.png).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


CHAT = [Way("chat", listed, limit) for listed in (20, 5, 0) for limit in ("max_tokens", "max_completion_tokens")]
"""The best first: as many tokens as servers list, what the stricter ones allow, none."""
COMPLETIONS = [Way("completions", listed) for listed in (20, 5, 0)]


def address(spec: str, url: str = "") -> tuple[str, str]:
    """The model's name (empty: the only one that is served) and the server's base URL."""
    model = ""
    if spec.startswith(("http://", "https://")):
        if url and url.rstrip("/") != spec.rstrip("/"):
            raise ConfigError(f"two servers are named, {spec} and {url}. Leave out --llm.url.")
        url = spec
    else:
        model = spec.partition(":")[2]
    url = (url or os.environ.get("OPENAI_BASE_URL", "") or OPENAI).rstrip("/")
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            "the server's URL holds more than an address. It is written into records: give a key by OPENAI_API_KEY."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url!r} is no server's URL. Write it like http://127.0.0.1:8000/v1")
    if not model and url == OPENAI:
        raise ConfigError("name OpenAI's model: --llm openai:MODEL; or a server: --llm http://HOST:PORT/v1")
    return model, url


def shown(model: str) -> str:
    """A model's name for records: llama-server and vLLM may call a model by its file's path on their machine."""
    if model.startswith(("/", "./", "../", "~")) or re.match(r"[A-Za-z]:[\\/]", model):
        return re.split(r"[\\/]", model.rstrip("\\/"))[-1]
    return model
