"""Past this process: a Ray started here (``--on ray``) or a cluster that is there (``--on HOST:PORT``).

Where something ran is not part of what it is: no ledger key, no fingerprint of a stage depends on these settings.
Recipes for SLURM and Kubernetes are in ``examples/``; figures in ``docs/scaling.md``.
"""

from __future__ import annotations

import importlib
import os
import socket
import warnings
from collections.abc import Callable
from importlib import util
from typing import Any

from plaudit.config import ClusterConfig
from plaudit.console import console
from plaudit.errors import ClusterError, MissingExtraError
from plaudit.llms.base import LLM
from plaudit.stages.parts import cores

STORE_BYTES = 256 * 2**20
"""Memory for what is under way between processes, of a Ray that is started here; questions are small."""
PATIENCE = 10.0
"""Seconds that a cluster may take to accept a connection."""


def connect(config: ClusterConfig) -> Any:
    """The module ``ray``, connected; an existing connection of this process is kept."""
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if config.on == "ray":
        settings["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's name, on Linux too, for listening on loopback only
    for name, value in settings.items():  # read when ray is imported, and by the processes that it starts
        os.environ.setdefault(name, value)
    check(config)
    import ray

    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if config.on == "ray":
        room = max(cores(), int(config.workers * config.cpus + 0.999))
        options |= {"address": "local", "num_cpus": room, "include_dashboard": False}
        options["object_store_memory"] = STORE_BYTES
    else:
        options["address"] = config.on
    try:
        with warnings.catch_warnings(action="ignore"):
            ray.init(**options)
    except (Exception, SystemExit) as error:  # Ray ends the process where a cluster is silent
        silent = isinstance(error, SystemExit) or not str(error).strip()
        said = "it does not answer." if silent else str(error).strip().splitlines()[0][:300]
        raise ClusterError(
            f"no way into the Ray cluster at {config.on}: {said} Does it want a token (RAY_AUTH_MODE=token), is it of "
            "the same Ray and Python? ray status, there, says how it is."
        ) from None
    # A paragraph for each worker that dies would go into the progress bar; what matters of it is said in our words.
    private = importlib.import_module("ray._private.worker")

    if hasattr(private, "print_to_stdstream"):
        vars(private)["print_to_stdstream"] = lambda *_, **__: None
    return ray


def check(config: ClusterConfig) -> None:
    """Raise now where nobody listens; Ray itself would try for two minutes, and then end the process."""
    if util.find_spec("ray") is None:
        raise MissingExtraError("--on needs the package 'ray'. Type: pip install 'plaudit[ray]'")
    if config.on.startswith("ray://") and util.find_spec("grpc") is None:
        raise MissingExtraError("ray:// needs the package 'grpcio'. Type: pip install 'ray[client]'")
    if config.on in ("local", "ray", "auto"):
        return
    host, _, port = config.on.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(
            f"no Ray cluster at {config.on}: {error}. Is it up (ray status there), and is that its address? ray start "
            "--head prints HOST:6379; ray:// takes port 10001."
        ) from None


def room(ray: Any, config: ClusterConfig) -> int:
    """Workers of this kind that the cluster can hold now."""
    has = ray.cluster_resources()
    wants = {"CPU": config.cpus, "GPU": config.gpus}
    fits = [int(has.get(kind, 0.0) / each + 1e-9) for kind, each in wants.items() if each > 0]
    if min(fits) == 0:
        found = ", ".join(f"{has.get(kind, 0.0):g} {kind}" for kind in wants)
        raise ClusterError(
            f"the cluster has no room for a worker of {config.cpus:g} CPU and {config.gpus:g} GPU: it has {found}. "
            "Ask for less (--cluster.cpus, --cluster.gpus), or add nodes."
        )
    return min(fits)


def spread(make: Callable[[], LLM], config: ClusterConfig) -> LLM:
    """A language model on workers of the cluster; ``make`` makes it there."""
    from plaudit.llms.on_ray import RayLLM

    ray = connect(config)
    workers = config.workers or room(ray, config)
    nodes = sum(node["Alive"] for node in ray.nodes())
    console.print(f"Ray: {workers} worker{'s' * (workers != 1)}, {nodes} node{'s' * (nodes != 1)}")
    return RayLLM(make, workers, cpus=config.cpus, gpus=config.gpus, block=config.block)
