"""What went wrong in the sandbox, by a name, and in words that an LLM can repair its program by.

Texts that come out of a program are cut and folded into one line: they may hold what a world wrote into its features.
"""

from __future__ import annotations

import json
import re
from typing import Any

from plaudit.errors import RewardCodeError
from plaudit.prompts import marked_off

KINDS = {
    "empty": "no program in the reply",
    "too-long": "longer than the limit",
    "syntax": "not Python",
    "unsupported": "Python that the sandbox does not have (yield, del, inheritance, import *)",
    "missing-function": "no reward(features, next_features)",
    "import": "a module that is not there",
    "network": "a module that talks to the network",
    "process": "a module that starts processes or threads, or reaches into the interpreter",
    "file": "reads or writes a file",
    "forbidden": "asks for the clock, randomness, the environment or another thing of the host",
    "name": "a name that is not defined; so are the built-in names that the sandbox withholds",
    "attribute": "an attribute that is not there; so are those that lead out of the sandbox",
    "key": "a feature that is not there",
    "type": "a wrong type, or a wrong number of arguments",
    "error": "another exception",
    "timeout": "longer than the limit in one go",
    "too-slow": "slower on average than the trainer allows",
    "memory": "more memory than the limit",
    "recursion": "calls nested deeper than the limit",
    "output": "prints more than the limit",
    "not-a-number": "a result that is no number and no parts by name",
    "not-finite": "infinity or not a number",
    "too-large": "beyond what float32 holds",
    "stateful": "depends on earlier calls, or changes its features",
    "crashed": "the worker broke down",
    "constant": "the same reward everywhere",
}
"""Every kind of failure of a reward program."""

NETWORK = {"socket", "ssl", "urllib", "http", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "asyncore", "select"}
PROCESS = {"subprocess", "multiprocessing", "threading", "concurrent", "ctypes", "signal", "pty", "builtins", "gc"}
PROCESS |= {"importlib", "inspect", "pickle", "marshal", "code", "runpy"}
BY_NAME = {
    "SyntaxError": "syntax",
    "NotImplementedError": "unsupported",
    "ImportError": "import",
    "PermissionError": "file",
    "FileNotFoundError": "file",
    "FileExistsError": "file",
    "IsADirectoryError": "file",
    "NotADirectoryError": "file",
    "OSError": "file",
    "NameError": "name",
    "UnboundLocalError": "name",
    "AttributeError": "attribute",
    "KeyError": "key",
    "TypeError": "type",
    "MemoryError": "memory",
    "RecursionError": "recursion",
    "TimeoutError": "timeout",
}
FRAMES = 4
"""Lines of the traceback that are shown, the last ones."""


class Output:
    """Counts what a program prints, keeps none of it, and ends the run past the limit."""

    def __init__(self, limit: int) -> None:
        self.limit, self.printed = limit, 0

    def __call__(self, stream: str, text: str) -> None:
        self.printed += len(text)
        if self.printed > self.limit:
            raise ValueError("too much output")


def shown(value: Any, limit: int = 600) -> str:
    """A value in one line, cut in the middle."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        try:
            text = repr(value)
        except (ValueError, RecursionError):  # an integer of more than 4,300 digits has no repr
            text = f"a {type(value).__name__}"
    return folded(text, limit)


def folded(text: str, limit: int) -> str:
    """One line of at most about ``limit`` characters."""
    text = marked_off(text[: 20 * limit])
    return text if len(text) <= limit else f"{text[: limit // 2]} [...] {text[-limit // 2 :]}"


def explain(error: Any, program: str, output: Output, hurried: bool, pair: Any) -> RewardCodeError:
    """The named error of what ``pydantic_monty`` raised."""
    if output.printed > output.limit:
        return RewardCodeError("output", f"the program prints more than {output.limit:,} characters in one batch.")
    name, message = type(error.exception()).__name__, str(error)
    if getattr(error, "timed_out", False) or name == "TimeoutError":
        if hurried:
            return RewardCodeError("too-slow", "the program is slower than the trainer can wait for it.")
        return RewardCodeError("timeout", f"the program did not end in time: {folded(message, 200)}.")
    if type(error).__name__ == "MontyCrashedError":
        return RewardCodeError("crashed", f"the program broke the sandbox's worker: {folded(message, 300)}.")
    # Some results, an iterator for one, cannot leave the worker at all.
    kind = "not-a-number" if type(error).__name__ == "MontyConversionError" else _kind(name, message)
    lines = [folded(message, 400), *_traceback(error, program)]
    if kind == "type" and "not callable" in message and len(lines) == 1:
        kind = "missing-function"  # "reward" is something else
    if pair is not None:
        lines.append(f"features = {shown(pair[0])}")
        lines.append(f"next_features = {shown(pair[1])}")
    return RewardCodeError(kind, "\n".join(lines))


def _kind(name: str, message: str) -> str:
    if name == "ModuleNotFoundError":
        module = re.sub(r".*No module named '([^'.]*).*", r"\1", message, flags=re.S)
        return "network" if module in NETWORK else "process" if module in PROCESS else "import"
    if name == "RuntimeError" and ("not supported in this environment" in message or "suspension limit" in message):
        return "forbidden"
    return BY_NAME.get(name, "error")


def _traceback(error: Any, program: str) -> list[str]:
    """The program's own lines that led to the error, each with its text."""
    source = program.splitlines()
    numbers = [
        (frame.line, frame.function_name)
        for frame in getattr(error, "traceback", list)()
        if frame.filename == "<string>"
    ]
    if not numbers and (found := re.search(r"\(<string>, line (\d+)\)", str(error)[:2000])):
        numbers = [(int(found[1]), None)]
    return [
        f"  line {line}, in {function or 'the program'}: {folded(source[line - 1], 200)}"
        for line, function in numbers[-FRAMES:]
        if 0 < line <= len(source)
    ]
