"""Models that the workers of the tests in test_ray.py make, by functions that can be pickled."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from plaudit.errors import LLMError
from plaudit.llms.base import Reply, Request
from plaudit.llms.scripted import ScriptedLLM


def logged(log: Path, seconds: float) -> ScriptedLLM:
    """Takes so long for each question, and writes down each that it has answered, with its process."""

    def score(request: Request) -> Sequence[float]:
        time.sleep(seconds)
        with log.open("a") as file:
            file.write(f"{os.getpid()} {request.prompt}\n")
        return (-1 - len(request.prompt) / 1e3, -2.0)

    return ScriptedLLM(score=score)


def broken() -> ScriptedLLM:
    """Cannot be loaded."""
    raise LLMError("the weights are damaged. Fetch them again.")


def poisoned() -> ScriptedLLM:
    """Kills its worker over one question."""

    def score(request: Request) -> Sequence[float]:
        if request.prompt == "poison":
            os._exit(1)
        return (-0.5, -1.0)

    return ScriptedLLM(score=score)


class Refusing(ScriptedLLM):
    """Loads, and then finds that its key is wrong, or has a defect of its own."""

    def choose(self, requests: Sequence[Request], arrived=None) -> list[Reply]:
        if requests[0].prompt == "defect":
            raise ZeroDivisionError("a defect")
        raise LLMError("the key is refused. Set OPENAI_API_KEY.")
