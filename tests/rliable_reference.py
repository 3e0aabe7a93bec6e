"""Read scores as JSON from stdin, print what rliable makes of them as JSON. Runs in .venv-rliable, never in plaudit's own.

In: {"x": (seeds, worlds), "y": the same, "taus": [...], "resamples": n}. Intervals are [low, high].
"""

import json
import sys

import numpy as np
from rliable import library, metrics

given = json.load(sys.stdin)
x, y = np.array(given["x"]), np.array(given["y"])
taus, resamples = np.array(given["taus"]), given["resamples"]
np.random.seed(0)  # rliable draws from numpy's global generator, whatever random_state it is given


def intervals(scores, function):
    points, ends = library.get_interval_estimates(scores, function, reps=resamples)
    return {key: {"point": np.ravel(points[key]).tolist(), "ends": ends[key].T.tolist()} for key in points}


def iqm(scores):
    return np.array([metrics.aggregate_iqm(scores)])


profiles, bands = library.create_performance_profile({"x": x, "y": y}, taus, reps=resamples)
json.dump(
    {
        "iqm": intervals({"x": x, "y": y}, iqm),
        "gap": {"x": metrics.aggregate_optimality_gap(x), "y": metrics.aggregate_optimality_gap(y)},
        "profile": {key: {"share": profiles[key].tolist(), "ends": bands[key].tolist()} for key in profiles},
        "improvement": intervals({"x,y": (x, y)}, metrics.probability_of_improvement)["x,y"],
    },
    sys.stdout,
)
