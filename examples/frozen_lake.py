"""Gymnasium's FrozenLake in words. Try it: plaudit check examples/frozen_lake.py"""

from plaudit import Wrapped


class FrozenLake(Wrapped):
    """Cross the ice to the present (Gymnasium's toy text)."""

    id = "FrozenLake-v1"
    options = {"is_slippery": False}
    goal = "cross the frozen lake to the present without falling into a hole"
    action_words = ("left", "down", "right", "up")

    def describe(self, obs):
        row, column = divmod(int(obs), 4)
        lake = self.env.unwrapped.desc.astype(str)
        here = {"S": "at the start", "F": "on safe ice", "H": "in a hole", "G": "at the present"}[lake[row, column]]
        return f"You are {here}. The present is {3 - row} steps down and {3 - column} steps to the right."
