"""Our statistics against rliable's, which runs in an environment of its own because its pins fight with ours."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plaudit.analysis.profiles import optimality_gap, performance_profile, probability_of_improvement
from plaudit.analysis.statistics import interquartile_mean, interval

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-rliable" / "bin" / "python"
TAUS = np.linspace(0, 1, 11)
RESAMPLES = 2000
SHAPES = [(5, 1), (10, 1), (7, 4)]
"""(seeds, worlds)."""
TOLERANCE = 0.03
"""Two percentile ends of 2,000 resamples each differ by less than this by chance; scores are between 0 and 1."""


def scores(shape: tuple[int, int]) -> tuple[Any, Any]:
    """Two arms' scores, the second a little better, rounded as success rates are: there are draws between them."""
    rng = np.random.default_rng(shape)
    x, y = rng.beta(2, 3, shape), rng.beta(3, 2, (shape[0] + 1, shape[1]))
    return x.round(1), y.round(1)


@cache
def reference(shape: tuple[int, int]) -> dict[str, Any]:
    """What rliable says. Not skipped where it is missing: a comparison that does not run proves nothing."""
    assert PYTHON.exists(), f"{PYTHON} is missing, and with it what this test compares with. Type: make rliable"
    x, y = scores(shape)
    given = {"x": x.tolist(), "y": y.tolist(), "taus": TAUS.tolist(), "resamples": RESAMPLES}
    script = ROOT / "tests" / "rliable_reference.py"
    command = [str(PYTHON), "-I", "-W", "ignore", str(script)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("shape", SHAPES)
def test_interquartile_mean_and_its_interval(shape: tuple[int, int]) -> None:
    for name, ours in zip("xy", scores(shape), strict=True):
        theirs = reference(shape)["iqm"][name]
        found = interval(ours, resamples=RESAMPLES)
        assert float(interquartile_mean(ours.ravel())) == pytest.approx(theirs["point"][0], abs=1e-12)
        assert [found.low, found.high] == pytest.approx(theirs["ends"][0], abs=TOLERANCE)


@pytest.mark.parametrize("shape", SHAPES)
def test_optimality_gap(shape: tuple[int, int]) -> None:
    x, y = scores(shape)
    assert {"x": optimality_gap(x), "y": optimality_gap(y)} == pytest.approx(reference(shape)["gap"])


@pytest.mark.parametrize("shape", SHAPES)
def test_performance_profile_and_its_band(shape: tuple[int, int]) -> None:
    for name, ours in zip("xy", scores(shape), strict=True):
        theirs = reference(shape)["profile"][name]
        found = performance_profile(ours, TAUS, resamples=RESAMPLES)
        assert found.share == pytest.approx(theirs["share"], abs=1e-12)
        # A share over n runs moves in steps of 1 / n, and a percentile may fall on either side of one step.
        step = 1 / ours.size + 1e-9
        assert found.low == pytest.approx(np.array(theirs["ends"][0]), abs=step)
        assert found.high == pytest.approx(np.array(theirs["ends"][1]), abs=step)


@pytest.mark.parametrize("shape", SHAPES)
def test_probability_of_improvement_and_its_interval(shape: tuple[int, int]) -> None:
    x, y = scores(shape)
    theirs = reference(shape)["improvement"]
    found = probability_of_improvement(x, y, resamples=RESAMPLES)
    assert found.probability == pytest.approx(theirs["point"][0], abs=1e-12)
    assert [found.low, found.high] == pytest.approx(theirs["ends"][0], abs=TOLERANCE)
