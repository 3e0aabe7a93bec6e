"""The docs are true: the file tree fits, commands and settings exist, links lead somewhere."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from plaudit import registry
from plaudit.cli import VERBS
from plaudit.config import RunConfig, to_dict
from plaudit.finetune.settings import FinetuneConfig

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def tree_of_readme() -> dict[str, str]:
    """Path -> clause of the README's file tree, by its indentation."""
    block = (ROOT / "README.md").read_text().split("```text\nsrc/plaudit/\n")[1].split("```")[0]
    stack, found = ["src/plaudit"], {}
    for line in block.splitlines():
        name, clause = line.split(None, 1)
        depth = (len(line) - len(line.lstrip())) // 2
        stack = [*stack[:depth], name.rstrip("/")]
        found["/".join(["src/plaudit", *stack[1:]])] = clause
    return found


def test_the_file_tree_is_the_file_tree():
    tree = tree_of_readme()
    files = {p.relative_to(ROOT).as_posix() for p in (ROOT / "src/plaudit").rglob("*") if p.is_file()}
    files = {f for f in files if "__pycache__" not in f and not (f.endswith("__init__.py") and f.count("/") > 2)}
    folders = {"/".join(f.split("/")[:n]) for f in files for n in range(3, f.count("/") + 1)}
    assert set(tree) - folders == files
    assert all(len(clause) > 5 for clause in tree.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_settings_and_links_exist(page):
    text = page.read_text()
    verbs = set(re.findall(r"^\s*(?:\$ )?plaudit (\w+)", text, re.M)) | set(re.findall(r"`plaudit (\w+)", text))
    assert verbs <= set(VERBS)
    analyses = {name: asdict(registry.load("analyses", name).options()) for name in registry.KINDS["analyses"]}
    config = to_dict(FinetuneConfig()) | to_dict(RunConfig()) | analyses
    for section, key in re.findall(r"--(\w+)\.([\w-]+)", text):
        assert key.removeprefix("no-").replace("-", "_") in config[section], f"--{section}.{key}"
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for script in re.findall(r"(?:python|benchmarks/)\s*(benchmarks/\w+\.py)", text):
        assert (ROOT / script).exists(), script


def test_make_targets_named_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make (\w+)", (ROOT / "README.md").read_text(), re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_no_page_names_a_machine_or_holds_a_placeholder():
    for page in PAGES:
        assert not re.search(r"\b[A-Z]{4,}(-[A-Z]+)?$|\bTODO\b|\| [A-Z]{4,} \|", page.read_text(), re.M), page
        assert not re.search(r"/work/|/root/|/tmp/", page.read_text()), page
