"""A level of BabyAI in words. Try it: plaudit check examples/babyai_goto.py"""

import numpy as np
from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT
from minigrid.utils.baby_ai_bot import BabyAIBot

from plaudit import Wrapped


class GoTo(Wrapped):
    """Go to the red ball (BabyAI, by minigrid)."""

    id = "BabyAI-GoToRedBallGrey-v0"
    goal = "go to the red ball, until it is right in front of you"
    action_words = ("turn left", "turn right", "move forward", "pick up", "drop", "toggle", "done")
    fallback = 6  # done: does nothing
    text_bytes = 64  # of the mission

    def describe(self, obs):
        cells = [(6 - y, x - 3, *obs["image"][x, y, :2]) for x, y in np.ndindex(7, 7)]
        seen = [self.place(*cell) for cell in sorted(cells) if IDX_TO_OBJECT[cell[2]] in ("ball", "box", "key")]
        return f"You see {', '.join(seen)}." if seen else "You see only walls and floor."

    def place(self, ahead, right, kind, colour):
        side = "straight ahead" if right == 0 else "to the right" if right > 0 else "to the left"
        where = "right in front of you" if (ahead, right) == (1, 0) else f"{side}, {ahead + abs(right)} steps away"
        return f"a {IDX_TO_COLOR[colour]} {IDX_TO_OBJECT[kind]} {where}"

    def expert(self):
        return Solver(self)


class Solver:
    """BabyAI's own bot as a policy."""

    def __init__(self, world):
        self.world = world

    def reset(self, begun):
        self.bot = BabyAIBot(self.world.env)

    def act(self, observations):
        return np.array([self.bot.replan()])
