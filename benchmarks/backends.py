"""The same model by llama.cpp and by PyTorch: do they say the same, and how fast?

Run: python benchmarks/backends.py [--observations N] [--rounds N]. The packaged weights as 16-bit floats, once by the
embedded engine and once by transformers, and the requantised weights that a run uses by default, judge the same
descriptions of DoorKey. Says how far log-odds are apart, how many pairs of descriptions are ordered alike, how often a good
step is scored above a useless one, and judgements for each second of processor and wall time, medians of the rounds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from wording import EACH, GOOD, USELESS, words

from plaudit import prompts
from plaudit.config import WorldConfig
from plaudit.judging.pointwise import Pointwise
from plaudit.llms import weights
from plaudit.llms.embedded import EmbeddedLLM
from plaudit.llms.transformers_model import TransformersLLM
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import make_envs, make_world


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--observations", type=int, default=EACH * len((*GOOD, *USELESS)))
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    world = make_world(WorldConfig())
    seen = distinct_descriptions(
        world, make_envs(WorldConfig(), 64), RandomPolicy(world.action_space, 0), 200_000, CALIBRATION_SEED
    )
    rng, texts, each = np.random.default_rng(0), list[str](), -(-given.observations // len((*GOOD, *USELESS)))
    for event in (*GOOD, *USELESS):
        found = [s.text for s in seen if s.text.endswith(words.EVENTS[event])]
        texts += [found[i] for i in rng.permutation(len(found))[:each]]
    good = np.array([text.endswith(tuple(words.EVENTS[e] for e in GOOD)) for text in texts])
    protocol, values = Pointwise(prompts.load("pointwise")), dict[str, np.ndarray]()
    print(f"{len(texts)} observations\n{'model':64} per cpu-s  per wall-s  good above useless", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        half = Path(folder) / "f16.gguf"
        weights._quantise(weights.resolve(), half, 1)
        for make in (EmbeddedLLM, lambda: EmbeddedLLM(str(half)), TransformersLLM):
            llm, rates = make(), list[tuple[float, float]]()
            for _ in range(given.rounds):
                llm.clear()
                start, used = time.perf_counter(), time.process_time()
                judged = protocol.judge(llm, world.goal, texts)
                rates.append((len(texts) / (time.process_time() - used), len(texts) / (time.perf_counter() - start)))
            values[llm.name] = found = np.array([j.value for j in judged])
            right = (found[good][:, None] > found[~good][None]).mean()
            cpu, wall = np.median(rates, axis=0)
            print(f"{llm.name:64} {cpu:9.1f} {wall:11.1f} {right:19.1%}", flush=True)
            llm.close()
    exact, other = list(values.values())[1:]
    apart = np.abs(exact - other)
    print(
        f"log-odds, 16 bit by llama.cpp and by PyTorch: apart {apart.mean():.4f} on average, {apart.max():.4f} at most"
    )
    above = np.triu(np.ones((len(texts), len(texts)), bool), 1)
    alike = ((exact[:, None] > exact[None]) == (other[:, None] > other[None]))[above]
    print(f"pairs ordered alike: {alike.mean():.2%} of {alike.size:,}")


if __name__ == "__main__":
    main()
