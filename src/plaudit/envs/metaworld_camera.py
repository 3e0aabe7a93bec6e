"""Pictures of a MuJoCo simulation without a graphics card, at a size that a network or a model reads.

What makes software rendering slow is anti-aliasing, shadows and reflections, so all three are off: more than ten times the
pictures a second of Gymnasium's renderer (``python benchmarks/metaworld_speed.py``). Both switches that belong to the
model must be set before its renderer is made. One renderer serves every copy of a task and is kept until the process ends.

MuJoCo takes its OpenGL from the environment variable ``MUJOCO_GL``, read when it is first imported: :func:`choose_gl`
sets it where it is not set. Leaves out: depth, segmentation, and several cameras in one picture.
"""

from __future__ import annotations

import atexit
import ctypes.util
import os
import sys
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import PlauditError

LOOK_AT, DISTANCE, AZIMUTH, ELEVATION = (0.0, 0.68, 0.1), 1.1, 130.0, -32.0
"""The camera: what it looks at (metres), how far off it stands (metres), and from where (degrees). MetaWorld's own cameras
hang upside down (``corner*``) or show the object behind the arm."""
FARTHER = {"sweep": 1.45, "door-open": 1.35, "door-close": 1.45, "stick-push": 1.3, "stick-pull": 1.3}
"""Distance of the camera, for tasks that take up more room."""
LARGEST = 480
"""Largest side of a picture, pixels."""


def choose_gl() -> None:
    """Let MuJoCo draw without a screen, or not at all where there is no library for that, unless the user says how."""
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl" if ctypes.util.find_library("EGL") else "disabled")


def prepare(model: Any) -> None:
    """Switch off what costs most; to be called before a model is first drawn."""
    model.vis.quality.offsamples = model.vis.quality.shadowsize = 0
    model.vis.global_.offwidth = model.vis.global_.offheight = LARGEST


@cache
def _renderer(model: Any, side: int) -> Any:
    import mujoco

    try:
        renderer = mujoco.Renderer(model, side, side)
    except Exception as error:
        raise PlauditError(
            f"MuJoCo cannot draw here (MUJOCO_GL={os.environ.get('MUJOCO_GL', '')}: {type(error).__name__} {error}). "
            "On Debian type: apt-get install libegl1 libgl1-mesa-dri, and unset MUJOCO_GL. In a script, import "
            "plaudit.envs.metaworld before mujoco: it says how to draw without a screen."
        ) from None
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = 0
    # Left to the interpreter's end, a renderer goes after the libraries that it needs, with a page of complaints.
    atexit.register(renderer.close)
    return renderer


@cache
def _camera(task: str) -> Any:
    import mujoco

    camera = mujoco.MjvCamera()
    camera.lookat[:] = LOOK_AT
    camera.distance, camera.azimuth, camera.elevation = FARTHER.get(task, DISTANCE), AZIMUTH, ELEVATION
    return camera


def picture(model: Any, data: Any, task: str, side: int) -> NDArray[np.uint8]:
    """``(side, side, 3)``, the right way up."""
    renderer = _renderer(model, side)
    renderer.update_scene(data, _camera(task))
    return np.array(renderer.render(), np.uint8)
