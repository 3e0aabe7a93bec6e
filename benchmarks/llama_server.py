"""A real llama-server on the loopback, in this process; needs xllamacpp, in an environment of its own if you like.

    pip install xllamacpp
    PYTHONPATH=src python benchmarks/llama_server.py --slots 8 --port 8080     # until it is killed; prints its URL

Without ``--model`` it serves the weights of ``embedded``: the packaged file (Q4_1), or with ``--fast`` the copy that
plaudit itself runs (Q4_0). Left out: everything but text. Source: https://github.com/xorbitsai/xllamacpp
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

import xllamacpp

from plaudit.llms import weights


def parameters(model: Path, slots: int, context: int, port: int, threads: int) -> xllamacpp.CommonParams:
    """The server's settings: so many requests at once, each with so many tokens of context."""
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(model), {model.stem}
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_parallel, params.n_ctx = slots, slots * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.ui = params.warmup = False
    params.verbosity = -1
    return params


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="a GGUF file; without, the weights of 'embedded'")
    parser.add_argument("--fast", action="store_true", help="the faster copy of it that plaudit runs")
    parser.add_argument("--slots", type=int, default=4, help="requests that the server works on at once")
    parser.add_argument("--context", type=int, default=1024, help="tokens of one slot")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--threads", type=int, default=weights.cpus())
    given = parser.parse_args()
    model = given.model or weights.resolve()
    model = weights.fast_copy(model) if given.fast else model
    server = xllamacpp.Server(parameters(model, given.slots, given.context, given.port, given.threads))
    print(f"{server.listening_address}/v1", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
