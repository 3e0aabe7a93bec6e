"""The rooms keep apart: who may import whom, and nothing heavy before it is needed."""

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "plaudit"
ROOMS = {
    "analysis",
    "analyze",
    "envs",
    "exports",
    "finetune",
    "judging",
    "labelling",
    "llms",
    "policies",
    "prompts",
    "report",
    "reproduce",
    "rewards",
    "rl",
    "routes",
    "stages",
}
CORE = {
    "budget",
    "config",
    "config_rules",
    "console",
    "encoder",
    "errors",
    "intervals",
    "labels",
    "recording",
    "registry",
    "seeds",
    "spaces",
    "store",
    "texts",
    "types",
    "vector",
    "world_file",
}
MAY = {
    "types": set(),
    "errors": set(),
    "intervals": set(),
    "seeds": set(),
    "vector": set(),
    "spaces": set(),
    "encoder": {"errors", "spaces"},
    "registry": {"errors", "world_file"},
    "world_file": {"envs", "errors"},
    "config": {"errors"},
    "config_rules": {"config", "errors", "registry"},
    "console": {"budget"},
    "budget": {"errors"},
    "store": {"budget", "config", "errors"},
    "recording": {"store", "vector"},
    "texts": {"store"},
    "labels": {"errors", "store", "types"},
    "envs": {"errors", "intervals", "spaces", "types", "vector"},
    "llms": {"budget", "config", "errors", "types"},
    "prompts": {"errors"},
    "policies": {"errors", "envs", "llms", "encoder", "prompts", "spaces", "store", "types", "rl", "vector"},
    "rollout": {"envs", "policies", "recording", "vector", "types"},
    "judging": {"errors", "intervals", "llms", "prompts", "registry", "types", "console"},
    "rewards": {"encoder", "errors", "llms", "prompts", "types", "vector"},
    "exports": {
        "config",
        "console",
        "encoder",
        "envs",
        "errors",
        "rewards",
        "routes",
        "stages",
        "store",
        "vector",
        "world_file",
    },
    "finetune": {
        "analysis",
        "config",
        "console",
        "envs",
        "errors",
        "intervals",
        "judging",
        "llms",
        "policies",
        "prompts",
        "registry",
        "report",
        "rollout",
        "seeds",
        "stages",
        "store",
        "vector",
        "world_file",
    },
    "reproduce": {"analysis", "config", "console", "errors", "report", "store"},
    "rl": {"encoder", "errors", "spaces", "vector"},
    "analysis": {"intervals", "labels", "store", "types", "errors"},
    "labelling": {"analysis", "console", "errors", "labels", "prompts", "report", "store", "types"},
    "report": {"analysis", "config", "labels", "store", "types", "errors", "console", "registry", "world_file"},
}
"""What each room may import of ours; ``stages``, ``analyze``, ``routes`` and ``cli`` may import everything."""


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "plaudit":
            names = [f"plaudit.{a.name}" for a in node.names] if node.module == "plaudit" else [node.module]
            found |= {room(n) for n in names}
        if isinstance(node, ast.Import):
            found |= {room(a.name) for a in node.names if a.name.startswith("plaudit")}
    return {name for name in found if not name.startswith("__")}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_rooms_import_only_what_they_may(path):
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own in ("analyze", "stages", "routes", "cli", "cli_words", "__init__", "__main__"):
        return
    assert own in MAY, f"say in this test what {own} may import"
    beyond = imports(path) - MAY[own] - {own}
    assert not beyond, f"{own} must not import {beyond}"


def test_help_imports_nothing_heavy():
    code = "import sys, plaudit.cli as c; c.main(['--help']); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {
        "torch",
        "numpy",
        "gymnasium",
        "minigrid",
        "transformers",
        "cyllama",
        "matplotlib",
        "pyarrow",
        "tyro",
        "rich",
    }
    assert not heavy & set(out.split())


def test_no_file_or_function_outgrows_the_house():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 500, path
        assert ast.get_docstring(ast.parse(text)) or not text.strip(), (
            f"{path} needs a first line that says what it does"
        )
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"


@pytest.mark.parametrize("path", sorted((SOURCE.parents[1] / "benchmarks").glob("*.py")), ids=lambda p: p.name)
def test_what_benchmarks_take_from_plaudit_is_there(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "plaudit":
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                assert hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}"), (
                    f"{node.module}.{name}"
                )
