"""A TextWorld game. Needs: pip install 'plaudit[textworld]'. Try it: plaudit check examples/textworld_game.py"""

from string import printable
from tempfile import mkdtemp

import textworld
from gymnasium import Env, spaces, wrappers

from plaudit import Wrapped

COMMANDS = ["look", "inventory", "go north", "go south", "go east", "go west", "take poem from stand", "take poem"]
COMMANDS += ["drop poem", "put poem on mantle", "put poem on stand"]
options = textworld.GameOptions()  # four rooms; the same seed makes the same game
options.seeds, options.nb_rooms, options.nb_objects, options.quest_length = 2, 4, 3, 3
options.path = f"{mkdtemp()}/game.z8"
FILE = textworld.generator.compile_game(textworld.generator.make_game(options), options)


class Poem(Env):
    """TextWorld's own interface as Gymnasium's: the place, what is in hand, and what was answered."""

    observation_space = spaces.Text(1000, charset=printable)
    action_space = spaces.Discrete(len(COMMANDS))

    def reset(self, *, seed=None, options=None):
        self.game = textworld.start(FILE, textworld.EnvInfos(description=True, inventory=True, won=True))
        state = self.game.reset()
        return f"{state.description} {state.inventory}", {}

    def step(self, action):
        state, _, done = self.game.step(COMMANDS[action])
        seen = f"{state.description} {state.inventory} {state.feedback.partition('>')[0]}"
        return seen, float(state.won), done, False, {"success": state.won}


class TextWorldGame(Wrapped):
    """Put the poem on the mantle (TextWorld)."""

    goal, action_words = "take the poem from the stand and put it on the mantle", COMMANDS

    def make(self):
        return wrappers.TimeLimit(Poem(), 30)

    def describe(self, obs):
        return self.original(obs)
