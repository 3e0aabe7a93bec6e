"""Does similarity to the goal order DoorKey's observations as progress does? For measuring only: nothing is chosen by it.

Run: python benchmarks/embedding_accuracy.py. Observations are met by a random policy on calibration's layouts, which no
reward is made from and no agent is measured on. Two readings: calibration's own pairs, whose progress clearly differs;
and, for each step of the task, every description before it against every one after it. The pairs alone would mislead:
levels are drawn evenly, and success has one or two descriptions, so that one sentence may stand in 245 of 600 pairs.
Figures are means over separate collections, with the lowest and the highest. All settings see the same; beside them is
what needs no model: the longer text, and a coin's 50%. The settings were fixed before the first figure was seen; the
reading by steps was added after it, when the pairs turned out to lean on a few descriptions.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from plaudit.analysis.agreement import pair_accuracy, rank_correlation, score_pairs
from plaudit.config import WorldConfig
from plaudit.judging.calibrate import known_pairs
from plaudit.policies.random import RandomPolicy
from plaudit.rewards.embedders import WordLlamaEmbedder, unit
from plaudit.rewards.embedding import similarity
from plaudit.rollout import Recorder, distinct_descriptions
from plaudit.seeds import CALIBRATION_SEED
from plaudit.stages.parts import make_envs, make_world

COLLECTIONS, STEPS, PAIRS = 5, 100_000, 600
TYPED = {
    "'nothing has been done yet'": "nothing has been done yet",
    "'the door is locked and you have no key'": "the door is locked and you have no key",
}
"""Baselines that a person might type: one that knows nothing of the world, one that does."""
STEPS_OF_TASK = {"key": (0.0, 1 / 3), "door": (1 / 3, 2 / 3), "goal": (2 / 3, 1.0)}
"""Progress before and after each. Progress is a mean over occurrences: descriptions in between are left out."""


def settings(embedder: WordLlamaEmbedder, texts: list[str], goal: str, begun: list[str]) -> dict[str, dict[str, float]]:
    """Scores of the texts, by setting."""
    states, goals = embedder.texts(texts), embedder.texts([goal])
    baselines = {"mean of beginnings": unit(embedder.texts(begun).mean(axis=0))}
    baselines |= {name: embedder.texts([text])[0] for name, text in TYPED.items()}
    found = {"alpha 0 (plain cosine)": similarity(states, goals, None, 0.0)}
    for name, baseline in baselines.items():
        for alpha in (0.5, 1.0):
            found[f"alpha {alpha:g}, {name}"] = similarity(states, goals, baseline, alpha)
    found["longer text"] = np.array([len(t) for t in texts], float)
    return {name: dict(zip(texts, values.tolist(), strict=True)) for name, values in found.items()}


def above(better: list[float], worse: list[float]) -> float:
    """Share of all pairs in which the better is scored higher; equal counts half."""
    difference = np.array(better)[:, None] - np.array(worse)[None]
    return float(((1 + np.sign(difference)) / 2).mean())


def measure(embedder: WordLlamaEmbedder, size: int, number: int) -> tuple[dict[str, list[float]], list[int], int]:
    """By setting: accuracy on pairs, share above for each step, Spearman; descriptions by level; pairs of the commonest."""
    config = WorldConfig(size=size)
    world, envs = make_world(config), make_envs(config, 64)
    recorder, seed = Recorder(64, STEPS), CALIBRATION_SEED + 10_000 * number
    seen = distinct_descriptions(world, envs, RandomPolicy(world.action_space, number), STEPS, seed, recorder=recorder)
    recording = recorder.recording()
    begun = [world.describe(recording.single_observations()[i]) for i in recording.starts()]
    progress = {s.text: s.progress / s.count for s in seen}
    pairs = known_pairs(list(progress), list(progress.values()), PAIRS, number)
    levels = {at: [t for t, v in progress.items() if abs(v - at) < 0.01] for at in (0.0, 1 / 3, 2 / 3, 1.0)}
    rows = {}
    for name, scores in settings(embedder, list(progress), world.goal, begun).items():
        steps = [
            above([scores[t] for t in levels[after]], [scores[t] for t in levels[before]])
            for before, after in STEPS_OF_TASK.values()
        ]
        rows[name] = [pair_accuracy(score_pairs(pairs, scores), progress)[1] or 0.0, *steps]
        rows[name].append(rank_correlation(scores, progress)[1] or 0.0)
    commonest = Counter(t for pair in pairs for t in pair).most_common(1)[0][1]
    return rows, [len(level) for level in levels.values()], commonest


def main() -> None:
    embedder = WordLlamaEmbedder()
    for size in (5, 8):
        found = [measure(embedder, size, number) for number in range(COLLECTIONS)]
        counts = [f"{min(c)}-{max(c)}" for c in zip(*(levels for _, levels, _ in found), strict=True)]
        print(f"\nDoorKey {size}, {COLLECTIONS} collections: {PAIRS} pairs, one description in up to "
              f"{max(c for _, _, c in found)} of them")  # fmt: skip
        print(f"descriptions: {', '.join(counts)} with nothing done, key in hand, door open, goal reached")
        print(f"{'':54}" + "".join(f"{n:>18}" for n in ("pairs", *STEPS_OF_TASK)) + "  Spearman")
        for name in found[0][0]:
            values = np.array([rows[name] for rows, _, _ in found])
            cells = zip(values.mean(axis=0), values.min(axis=0), values.max(axis=0), strict=True)
            shown = [f"{m:.0%} ({low:.0%}-{high:.0%})" for m, low, high in list(cells)[:-1]]
            print(f"{name:54}" + "".join(f"{s:>18}" for s in shown) + f"{values[:, -1].mean():10.2f}")


if __name__ == "__main__":
    main()
