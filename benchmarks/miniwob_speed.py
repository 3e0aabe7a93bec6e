"""Episodes per second on MiniWoB++ pages: the package's own Selenium environment against many frames in one browser.

    python benchmarks/miniwob_speed.py               # some minutes
    python benchmarks/miniwob_speed.py --copies 8 --rounds 1

The same scripted solver plays on both sides, in turns; medians over the rounds. The package is measured at its best,
without screenshots. *Solved* is the share of episodes with a raw reward of 1 on either side.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import time
from typing import Any

import gymnasium as gym
import numpy as np

from plaudit.envs import miniwob_words as words
from plaudit.envs.miniwob import MiniWoB, MiniWoBVector
from plaudit.envs.miniwob_acting import LETTERS
from plaudit.envs.miniwob_expert import KNOWN

TASKS = ("click-test", "click-dialog", "enter-text", "email-inbox")
ROLES = {"button": "button", "input_text": "text field", "textarea": "text area"}
SHOWN = (*ROLES, "span")


class Package:
    """One Selenium environment, played by the same rules."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.env = gym.make(f"miniwob/{task}-v1").unwrapped
        self.env.set_record_screenshots(False)
        self.seed = 0

    def play(self, seconds: float) -> tuple[float, float]:
        """Episodes per second, and the share that was solved."""
        begun, episodes, solved = time.perf_counter(), 0, 0
        while (spent := time.perf_counter() - begun) < seconds or not episodes:
            obs, _ = self.env.reset(seed=self.seed)
            self.seed, episodes = self.seed + 1, episodes + 1
            for _ in range(20):
                obs, _, over, _, info = self.env.step(self.action(obs))
                if over:
                    solved += info["raw_reward"] == 1
                    break
        return episodes / spent, solved / episodes

    def action(self, obs: dict[str, Any]) -> dict[str, Any]:
        """The solver's next action, on the package's own list of elements."""
        listed = [e for e in obs["dom_elements"] if e["ref"] > 0 and (e["text"] or e["tag"] in SHOWN)]
        asked, page = obs["utterance"], tuple(map(element, listed))
        values = words.fields(self.task, asked)
        found = re.fullmatch(r"(click|type) (\d+)(?: (\w))?", KNOWN[self.task](page, values, asked))
        if found is None:
            return self.env.create_action("NONE")
        ref = listed[int(found[2])]["ref"]
        if found[1] == "click":
            return self.env.create_action("CLICK_ELEMENT", ref=ref)
        return self.env.create_action("FOCUS_ELEMENT_AND_TYPE_TEXT", ref=ref, text=values[LETTERS.index(found[3])])

    def close(self) -> None:
        self.env.close()


def element(listed: dict[str, Any]) -> words.Element:
    """One of the package's elements as the solver reads it."""
    name = listed["text"] or (listed["id"] or listed["classes"] if listed["tag"] == "span" else "")
    if "titlebar-close" in listed["classes"]:
        name = "Close"
    return words.Element(ROLES.get(listed["tag"], "text"), name, str(listed["value"]), 0, (0, 0, 1, 1))


class Ours:
    """Many frames."""

    def __init__(self, task: str, copies: int) -> None:
        self.vector, self.expert = MiniWoBVector(copies, task=task), MiniWoB(task).expert()
        self.obs, _ = self.vector.reset(seed=0)

    def play(self, seconds: float) -> tuple[float, float]:
        """Episodes per second, and the share that was solved."""
        begun, episodes, solved = time.perf_counter(), 0, 0
        while (spent := time.perf_counter() - begun) < seconds or not episodes:
            self.obs, _, terminated, truncated, infos = self.vector.step(self.expert.act(self.obs))
            if (ended := terminated | truncated).any():
                episodes += int(ended.sum())
                solved += int(np.asarray(infos["final_info"]["success"])[ended].sum())
        return episodes / spent, solved / episodes

    def close(self) -> None:
        self.vector.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--copies", type=int, default=32, help="frames in the browser")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side; medians are printed")
    parser.add_argument("--seconds", type=float, default=6.0, help="of one turn")
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    report(**vars(parser.parse_args()))


def report(copies: int, rounds: int, seconds: float, tasks: list[str]) -> None:
    """Measure and print."""
    os.environ.setdefault("MINIWOB_CHROME_BINARY", shutil.which("chromium") or "")
    os.environ.setdefault("MINIWOB_CHROMEDRIVER", shutil.which("chromedriver") or "")
    import miniwob  # noqa: F401  (registers the package's environments)

    print(f"{copies} frames against one Selenium environment; episodes/s, medians of {rounds} turns")
    print(f"{'task':14}{'package':>9}{'solved':>8}{'frames':>9}{'solved':>8}{'ratio':>8}")
    for task in tasks:
        sides: list[Any] = [Package(task), Ours(task, copies)]
        turns: list[list[tuple[float, float]]] = [[], []]
        for _ in range(rounds):
            for side, kept in zip(sides, turns, strict=True):
                kept.append(side.play(seconds))
        for side in sides:
            side.close()
        (package, solved), (frames, ours) = ([statistics.median(c) for c in zip(*kept, strict=True)] for kept in turns)
        ratio = statistics.median(b[0] / a[0] for a, b in zip(*turns, strict=True))
        print(f"{task:14}{package:9.1f}{solved:8.0%}{frames:9.1f}{ours:8.0%}{ratio:8.1f}", flush=True)


if __name__ == "__main__":
    main()
