"""Hostile and broken reward programs: each ends in time with a named error, none leaves anything behind."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from plaudit.errors import RewardCodeError
from plaudit.rewards.sandbox import Limits, Sandbox
from plaudit.rewards.sandbox_errors import KINDS

# ruff: noqa: E501

PAIRS = [({"x": i, "name": "key", "near": i % 2 == 0}, {"x": i + 1, "name": "door", "near": False}) for i in range(20)]
LIMITS = Limits(seconds=0.4, memory_mb=16)
SECONDS = 8.0
"""Far above what any of them may take; a worker that has to be killed and started anew costs most."""


def body(text: str) -> str:
    return "def reward(features, next_features):\n" + "\n".join(f"    {line}" for line in text.split("\n"))


HOSTILE: dict[str, tuple[str, str]] = {
    # no program
    "nothing": ("", "empty"),
    "prose": ("I cannot help with that.", "syntax"),
    "half a string": (body('return "a'), "syntax"),
    "half a function": ("def reward(features, next_features):", "syntax"),
    "another name": ("def value(features, next_features):\n    return 1.0", "missing-function"),
    "not a function": ("reward = 3", "type"),
    "novel": ("# " + "x" * 30_000, "too-long"),
    "null byte": ("def reward(a, b):\n    return 1.0\x00", "syntax"),
    # modules
    "import os": ("import os\n" + body("return os.getpid()"), "attribute"),
    "os.system": (body('import os\nreturn os.system("touch /tmp/plaudit-hostile")'), "any"),
    "import sys": (body("import sys\nsys.exit(0)\nreturn 1.0"), "any"),
    "subprocess": ("import subprocess\n" + body("return 1.0"), "process"),
    "socket": ("import socket\n" + body("return 1.0"), "network"),
    "urllib": ("import urllib.request\n" + body("return 1.0"), "network"),
    "requests": (body('import requests\nreturn len(requests.get("http://127.0.0.1").text)'), "network"),
    "ctypes": ("import ctypes\n" + body("return 1.0"), "process"),
    "threading": ("import threading\n" + body("return 1.0"), "process"),
    "multiprocessing": ("from multiprocessing import Process\n" + body("return 1.0"), "process"),
    "importlib": (body('import importlib\nreturn importlib.import_module("os").getpid()'), "process"),
    "pickle": ("import pickle\n" + body("return 1.0"), "process"),
    "numpy": ("import numpy as np\n" + body("return np.mean([1.0])"), "import"),
    "torch": ("import torch\n" + body("return 1.0"), "import"),
    "plaudit": ("from plaudit.store import Run\n" + body("return 1.0"), "import"),
    "star": ("from math import *\n" + body("return sqrt(4)"), "unsupported"),
    "__import__": (body('return __import__("os").getpid()'), "name"),
    # files, and the rest of the host
    "open": (body('return len(open("/etc/passwd").read())'), "any"),
    "write": (body('open("/tmp/plaudit-hostile", "w").write("x")\nreturn 1.0'), "any"),
    "pathlib": (body('from pathlib import Path\nreturn len(Path("/etc/passwd").read_text())'), "any"),
    "pathlib write": (body('from pathlib import Path\nPath("/tmp/plaudit-hostile").write_text("x")\nreturn 1.0'), "any"),
    "listdir": (body('import os\nreturn len(os.listdir("/"))'), "any"),
    "environ": (body('import os\nreturn len(os.environ["HOME"])'), "any"),
    "getenv": (body('import os\nreturn len(os.getenv("HOME"))'), "any"),
    "clock": (body("import time\nreturn time.time()"), "any"),
    "sleep": (body("import time\ntime.sleep(60)\nreturn 1.0"), "any"),
    "now": (body("from datetime import datetime\nreturn datetime.now().timestamp()"), "any"),
    "random": (body("import random\nreturn random.random()"), "any"),
    "input": (body("return float(input())"), "any"),
    # ways out through attributes and builtins
    "subclasses": (body("return len(().__class__.__base__.__subclasses__())"), "attribute"),
    "globals of a function": (body('return reward.__globals__["x"]'), "attribute"),
    "code object": (body("return reward.__code__.co_argcount"), "attribute"),
    "mro": (body("return len(float.__mro__)"), "attribute"),
    "format attribute": (body('return float("{0.__class__.__init__.__globals__}".format(features))'), "any"),
    "builtins": (body('return __builtins__["open"]'), "name"),
    "globals": (body('globals()["order"] = []\nreturn 1.0'), "any"),
    "vars": (body("return len(vars())"), "any"),
    "setattr": (body("setattr(features, 'x', 1)\nreturn 1.0"), "any"),
    "breakpoint": (body("breakpoint()\nreturn 1.0"), "name"),
    "exit": (body("exit()\nreturn 1.0"), "name"),
    "inheritance": ("class A(dict):\n    pass\n" + body("return 1.0"), "any"),
    # time and memory
    "endless loop": (body("while True:\n    pass"), "timeout"),
    "endless loop at load": ("while True:\n    pass\n" + body("return 1.0"), "timeout"),
    "endless for": (body("x = [1]\nfor y in x:\n    x.append(y)\nreturn 1.0"), "any"),
    "catches everything": (body("while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"), "timeout"),
    "deep recursion": (body("return reward(features, next_features)"), "recursion"),
    "mutual recursion": ("def f(n):\n    return g(n + 1)\ndef g(n):\n    return f(n + 1)\n" + body("return f(0)"), "recursion"),
    "exponential": ("def f(n):\n    return 1 if n < 2 else f(n - 1) + f(n - 2)\n" + body("return f(60)"), "timeout"),
    "huge list": (body("return len([0] * 10 ** 10)"), "memory"),
    "huge string": (body('return len("x" * 10 ** 11)'), "memory"),
    "growing list": (body("x = []\nwhile True:\n    x.append('y' * 1000)"), "memory"),
    "doubling string": (body("x = 'ab'\nwhile True:\n    x = x + x"), "memory"),
    "nested lists": (body("x = []\nfor _ in range(10 ** 7):\n    x = [x]\nreturn 1.0"), "any"),
    "comprehension bomb": (body("return sum([i * j for i in range(10 ** 5) for j in range(10 ** 5)])"), "any"),
    "huge power": (body("return 10 ** 10 ** 8"), "any"),
    "huge shift": (body("return 1 << 10 ** 11"), "any"),
    "huge factorial": (body("import math\nreturn math.factorial(10 ** 7)"), "any"),
    "slow but finite": (body("x = 0\nfor i in range(10 ** 9):\n    x += i\nreturn x"), "timeout"),
    "range of ranges": (body("return sum(range(10 ** 12))"), "any"),
    # output
    "flood": (body("for i in range(10 ** 6):\n    print('x' * 100)\nreturn 1.0"), "output"),
    "one big print": (body("print('x' * 10 ** 6)\nreturn 1.0"), "output"),
    # results
    "none": (body("pass"), "not-a-number"),
    "text": (body('return "1.0"'), "not-a-number"),
    "list": (body("return [1.0]"), "not-a-number"),
    "function": (body("return reward"), "not-a-number"),
    "generator": (body("yield 1.0"), "unsupported"),
    "complex": (body("return 1j"), "any"),
    "nan": (body('return float("nan")'), "not-finite"),
    "infinity": (body('return float("inf")'), "not-finite"),
    "minus infinity by division": (body("return -1e308 * 10"), "not-finite"),
    "beyond float32": (body("return 1e300"), "too-large"),
    "huge integer": (body("return 10 ** 400"), "too-large"),
    "nan in a part": (body('return {"a": float("nan")}'), "not-finite"),
    "unnamed parts": (body("return {1: 2.0}"), "not-a-number"),
    "no parts": (body("return {}"), "not-a-number"),
    "sometimes text": (body('return 1.0 if features["x"] < 10 else "x"'), "not-a-number"),
    # errors of its own
    "missing feature": (body('return features["gold"]'), "key"),
    "wrong arguments": ("def reward(features):\n    return 1.0", "type"),
    "text plus number": (body('return features["name"] + 1'), "type"),
    "division by zero": (body('return 1 / (features["x"] - features["x"])'), "error"),
    "raises": (body('raise ValueError("x" * 10 ** 6)'), "error"),
    "raises the host's": (body("raise SystemExit(3)"), "any"),
    "keyboard interrupt": (body("raise KeyboardInterrupt()"), "any"),
    "assertion": (body('assert features["x"] < 5, "too far"\nreturn 1.0'), "error"),
    "undefined": (body("return progress"), "name"),
    # state
    "counter": ("calls = [0]\n" + body("calls[0] += 1\nreturn float(calls[0])"), "stateful"),
    "global": ("calls = 0\n" + body("global calls\ncalls += 1\nreturn float(calls)"), "stateful"),
    "default argument": ("def reward(features, next_features, seen=[]):\n    seen.append(1)\n    return float(len(seen))", "stateful"),
    "remembers the last": ("last = [None]\n" + body('x = last[0] == features["x"] - 1\nlast[0] = features["x"]\nreturn 1.0 if x else 0.0'), "stateful"),
}  # fmt: skip

HARMLESS = {
    "locals": body("return len(locals())"),
    "class with del": body("class A:\n    def __del__(self):\n        while True: pass\nA()\nreturn 1.0"),
    "regex bomb": body('import re\nreturn 1.0 if re.match(r"(a+)+$", "a" * 60 + "b") else 0.0'),
    "edits its features": body('features["x"] = features["x"] + 1\nnext_features["x"] = 0\nreturn float(features["x"])'),
}  # fmt: skip
"""Tricks that come to nothing here: no finaliser runs, matching takes linear time, features are copies."""


def test_there_are_enough_of_them_and_every_kind_is_known():
    assert len(HOSTILE) >= 60
    assert {kind for _, kind in HOSTILE.values()} - {"any"} <= set(KINDS)


@pytest.fixture(scope="module", autouse=True)
def no_trace():
    trace = Path("/tmp/plaudit-hostile")
    trace.unlink(missing_ok=True)
    yield
    assert not trace.exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_each_ends_in_time_with_its_name(name):
    """``any``: that it is refused matters, by which of several true names does not."""
    program, kind = HOSTILE[name]
    start = time.perf_counter()
    with Sandbox(program, LIMITS) as sandbox, pytest.raises(RewardCodeError) as caught:
        sandbox.rewards(PAIRS)
    assert time.perf_counter() - start < SECONDS
    assert caught.value.kind in KINDS and (kind in ("any", caught.value.kind)), (
        caught.value.kind,
        str(caught.value)[:300],
    )
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("name", HARMLESS)
def test_what_comes_to_nothing_ends_in_time(name):
    start = time.perf_counter()
    with Sandbox(HARMLESS[name], LIMITS) as sandbox:
        assert np.isfinite(sandbox.rewards(PAIRS)).all()
    assert time.perf_counter() - start < SECONDS
    assert PAIRS[0][0] == {"x": 0, "name": "key", "near": True}


def test_a_good_program_gives_its_rewards():
    program = body('return 1.0 if features["near"] else {"moved": next_features["x"] - features["x"], "extra": 0.5}')
    with Sandbox(program, LIMITS) as sandbox:
        np.testing.assert_array_equal(sandbox.rewards(PAIRS), [1.0, 1.5] * 10)
        assert sandbox.components(PAIRS[:2]) == [{"reward": 1.0}, {"moved": 1.0, "extra": 0.5}]
        assert sandbox.rewards([]).shape == (0,)
        np.testing.assert_array_equal(sandbox.rewards(PAIRS * 1000), [1.0, 1.5] * 10_000)


def test_math_may_be_used_and_conditions_are_numbers():
    with Sandbox("import math\n" + body('return math.sqrt(4) + (features["x"] > 3)'), LIMITS) as sandbox:
        assert sandbox.rewards(PAIRS)[[0, 10]].tolist() == [2.0, 3.0]


def test_after_an_attack_the_next_batch_is_served():
    program = body('x = 0\nwhile features["x"] == 7:\n    x += 1\nreturn 1.0')
    with Sandbox(program, LIMITS) as sandbox:
        for _ in range(2):
            with pytest.raises(RewardCodeError):
                sandbox.rewards(PAIRS)
            assert sandbox.rewards(PAIRS[:5]).tolist() == [1.0] * 5


def test_features_that_look_like_code_stay_text():
    hostile = {"x": 1, "name": '"); import os; os.system("touch /tmp/plaudit-hostile") #', "near": True}
    with Sandbox(body('return float(len(features["name"]))'), LIMITS) as sandbox:
        assert sandbox.rewards([(hostile, hostile)]).tolist() == [len(hostile["name"])]


def children() -> set[int]:
    listed = subprocess.run(["ps", "-o", "pid=,ppid=,comm=", "-A"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return {int(pid) for pid, parent, name in rows if int(parent) == os.getpid() and name != "ps"}


def test_no_worker_is_left():
    before = children()
    for program in (HOSTILE["endless loop"][0], HOSTILE["growing list"][0], body("return 1.0")):
        sandbox = Sandbox(program, LIMITS)
        with contextlib.suppress(RewardCodeError):
            sandbox.rewards(PAIRS)
        sandbox.close()
    for _ in range(100):
        if children() <= before:
            break
        time.sleep(0.05)
    assert children() <= before
