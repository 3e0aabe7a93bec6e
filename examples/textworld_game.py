"""A TextWorld game. Needs: pip install 'plaudit[textworld]'. Try it: plaudit check examples/textworld_game.py"""

from functools import cache
from string import printable
from tempfile import mkdtemp
from types import SimpleNamespace

import numpy as np
import textworld
from gymnasium import Env, spaces, wrappers

from plaudit import Wrapped

WALK = ("go north", "go south", "go east", "go west", "look", "inventory")
COMMANDS = (*WALK, "take poem", "take poem from stand", "drop poem", "put poem on mantle", "put poem on stand")


@cache
def game():
    """A game of four rooms, made once in each process; the same seed makes the same game."""
    options = textworld.GameOptions()
    options.seeds, options.nb_rooms, options.nb_objects, options.quest_length = 2, 4, 3, 3
    options.path = f"{mkdtemp()}/game.z8"
    return textworld.generator.compile_game(textworld.generator.make_game(options), options)


class Poem(Env):
    """TextWorld's own interface as Gymnasium's."""

    observation_space = spaces.Dict({n: spaces.Text(600, charset=printable) for n in ("place", "hands", "answer")})
    action_space = spaces.Discrete(len(COMMANDS))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.game = getattr(self, "game", None) or textworld.start(
            game(), textworld.EnvInfos(description=True, inventory=True, won=True, policy_commands=True)
        )
        return self.seen(self.game.reset(), ""), {}

    def step(self, action):
        state, _, done = self.game.step(COMMANDS[action])
        return (
            self.seen(state, state.feedback.partition("\n>")[0]),
            float(state.won),
            done,
            False,
            {"success": state.won},
        )

    def seen(self, state, answer):
        self.state = state
        return {"place": state.description, "hands": state.inventory, "answer": answer}


class TextWorldGame(Wrapped):
    """Put the poem on the mantle (TextWorld)."""

    goal = "take the poem from the stand and put it on the mantle"
    action_words = COMMANDS
    fallback = COMMANDS.index("look")

    def make(self):
        return wrappers.TimeLimit(Poem(), 30)

    def describe(self, obs):
        return " ".join(self.original(obs).values())

    def expert(self):
        next_command = lambda _: np.array([COMMANDS.index(self.env.unwrapped.state.policy_commands[0])])  # noqa: E731
        return SimpleNamespace(act=next_command, reset=lambda begun: None)
