"""The ranges of seeds: apart, large enough for the largest settings, and nowhere else."""

import ast
from pathlib import Path

from plaudit import seeds
from plaudit.analyze import transitions
from plaudit.envs.gridworld import DoorKey

SOURCE = Path(seeds.__file__).parent
MOST_SEED, MOST_AGENTS = 9_999, 399
"""The greatest values that settings may have."""


def test_ranges_are_in_order_and_large_enough():
    starts = [*seeds.STARTS.values(), seeds.END]
    assert starts == sorted(set(starts))
    assert seeds.END < 2**31, "what Gymnasium and its worlds take"
    assert seeds.room("train") >= 1_000_000 * (MOST_AGENTS + 1)
    assert seeds.room("collect") >= 10_000 * (MOST_SEED + 1)
    assert all(seeds.room(use) >= 10_000_000 for use in seeds.STARTS)


def test_every_range_is_written_in_one_place():
    """A module that makes up a start of its own may choose one that is taken."""
    for path in SOURCE.rglob("*.py"):
        if path.name == "seeds.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and any("SEED" in ast.unparse(target) for target in node.targets):
                large = [
                    n.value
                    for n in ast.walk(node.value)
                    if isinstance(n, ast.Constant) and isinstance(n.value, int) and n.value > 1_000_000
                ]
                assert not large, f"{path}: {ast.unparse(node)} belongs into plaudit.seeds"


def test_the_probes_stay_in_their_range_by_the_greatest_seed():
    found = transitions.play(DoorKey(size=5), 2, 3, MOST_SEED)
    assert all(0 <= each.seed - seeds.PROBE_SEED < seeds.room("dynamics") for each in found)
