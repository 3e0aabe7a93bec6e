"""The NetHack worlds repeat by seed, keep what nle throws away, and know the Oracle's trap."""

import numpy as np
import pytest

pytest.importorskip("nle")
pytest.importorskip("minihack")
from nle import nethack

from plaudit.envs import nethack_reader as reader
from plaudit.envs import nethack_words as words
from plaudit.envs.minihack import MiniHack
from plaudit.envs.nethack import DESCRIPTIONS, NetHack
from plaudit.envs.nethack_games import TASKS, GameError, minihack_game, nethack_game
from plaudit.errors import ConfigError
from plaudit.vector import step_observations

FAMILIES = ("Room-Monster-5x5", "Corridor-R3", "KeyRoom-S5", "MazeWalk-9x9", "MultiRoom-N2", "River", "Quest-Easy")
FAMILIES += ("HideNSeek", "Memento-F2", "ExploreMaze-Easy", "Eat", "WoD-Easy-Full", "Sokoban1a")


def walked(env, seed, steps=40):
    """What a fixed random policy meets, batch by batch."""
    observations, info = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    met = [(observations, info)]
    for _ in range(steps):
        observations, reward, terminated, truncated, info = env.step(rng.integers(env.single_action_space.n, size=2))
        met.append((observations, {"reward": reward, "ended": terminated | truncated, **info}))
    return met


def same(one, other):
    return all(np.array_equal(part, other[name]) for name, part in one.items())


@pytest.mark.parametrize(("world", "task"), [(NetHack, t) for t in TASKS] + [(MiniHack, t) for t in FAMILIES])
def test_tasks_repeat_by_seed(world, task):
    env = world.vector(2, task=task)
    first, again, other = walked(env, 7), walked(env, 7), walked(env, 8)
    assert all(same(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not all(same(a, b) for (a, _), (b, _) in zip(first, other, strict=True))
    for observations, info in first:
        assert observations in env.observation_space
        assert info["success"].shape == (2,) and ((info["progress"] >= 0) & (info["progress"] <= 1)).all()
    env.close()


@pytest.mark.parametrize(("world", "task"), [(MiniHack, "Room-Random-5x5"), (NetHack, "staircase")])
def test_vector_equals_single(world, task):
    env, singles = world.vector(3, task=task), [world(task=task) for _ in range(3)]
    batch, _ = env.reset(seed=20)
    observations = [one.reset(seed=20 + i)[0] for i, one in enumerate(singles)]
    rng, ends = np.random.default_rng(1), 0
    for _ in range(250):
        for i, one in enumerate(observations):
            assert same(one, {name: part[i] for name, part in batch.items()})
        actions = rng.integers(0, env.single_action_space.n, 3)
        batch, reward, terminated, truncated, infos = env.step(actions)
        led_to = step_observations(batch, infos, terminated | truncated)
        for i, world_ in enumerate(singles):
            one, r, ended, cut, info = world_.step(actions[i])
            assert (r, ended, cut) == (reward[i], terminated[i], truncated[i])
            assert same(one, {name: part[i] for name, part in led_to.items()})
            if ended or cut:
                ends += 1
                assert info["success"] == infos["final_info"]["success"][i]
                one, _ = world_.reset()
            observations[i] = one
    assert ends or world is NetHack
    for closed in (env, *singles):
        closed.close()


def test_last_observation_shows_what_ended_the_game():
    world = MiniHack(task="Room-5x5")
    world.reset(seed=0)
    for _ in range(4):
        observation, reward, terminated, truncated, info = world.step(world.parse_action("southeast"))
    assert (reward, terminated, truncated, info["success"], info["progress"]) == (1, True, False, True, 1)
    assert "You stepped onto the staircase down." in world.describe(observation)
    assert world.features(observation)["on_stairs"] is True
    world.reset(seed=0)
    for _ in range(100):
        observation, _, terminated, truncated, info = world.step(world.parse_action("north"))
    assert (terminated, truncated, info["success"]) == (False, True, False)
    assert world.features(observation)["hp"] > 0
    world.close()


class Planted:
    """nle's game with something changed in each observation."""

    def __init__(self, game, change):
        self.real, self.change = game, change

    def __getattr__(self, name):
        return getattr(self.real, name)

    def step(self, action):
        observation, done = self.real.step(action)
        self.change(observation)
        return observation, done


def test_every_page_of_a_message_is_kept():
    game = nethack_game("score", "task", screen=False)
    game.begin(1, 1)
    said = [b"You feel hungry.", b"The newt bites!", b"It misses."]

    def pages(observation):
        text = said.pop(0)
        observation[game._message_index][: len(text) + 1] = np.frombuffer(text + b"\0", np.uint8)
        observation[game._internal_index][3] = bool(said)  # waits for the space bar

    real, game.nethack = game.nethack, Planted(game.nethack, pages)
    game.step(1)
    assert game.message() == b"You feel hungry.  The newt bites!  It misses."
    game.nethack = real
    game.close()


@pytest.mark.parametrize("hallucinates", [False, True])
def test_oracle_counts_only_with_a_sober_hero(hallucinates):
    world = NetHack(task="oracle")
    world.reset(seed=2)
    game = world._copies.games[0]
    real = game.nethack

    def plant(observation):
        blstats = observation[game._blstats_index]
        x, y = blstats[:2]
        observation[game._glyph_index][y, x + 1] = game.oracle_glyph
        if hallucinates:
            blstats[nethack.NLE_BL_CONDITION] |= nethack.BL_MASK_HALLU

    game.nethack = Planted(real, plant)
    observation, reward, terminated, _, info = world.step(world.parse_action("search"))
    assert info["success"] is not hallucinates and terminated is not hallucinates
    assert (reward == 1) is not hallucinates
    assert world.features(observation)["hallucinating"] is hallucinates
    assert "Oracle, 1 square to the east" in world.describe(observation)
    assert ("hallucinating" in world.describe(observation)) is hallucinates
    game.nethack = real
    world.close()


def test_targets_are_reached_by_earning():
    world = NetHack(task="gold")
    world.reset(seed=2)
    game = world._copies.games[0]
    real = type(game).step
    game.step = lambda action: (lambda o, r, *rest: (o, 60.0, *rest))(*real(game, action))
    assert [world.step(0)[4]["success"] for _ in range(2)] == [False, True]
    game.step = lambda action: (lambda o, r, *rest: (o, -90.0, *rest))(*real(game, action))
    assert world.step(0)[4]["success"] is True
    world.close()


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_descriptions_and_pictures(description):
    world = MiniHack(task="KeyRoom-S5", description=description)
    observation, _ = world.reset(seed=3)
    assert observation in world.observation_space
    assert ("screen" in observation) is (description in ("screen", "image"))
    for action in ("north", "east"):
        observation = world.step(world.parse_action(action))[0]
    text = world.describe(observation)
    assert {"screen": "@", "news": "You", "changes": "In the last 2 steps:"}.get(description, "hit points") in text
    seen = world.view(observation)  # who acts is told what is near as well
    assert text in seen if description != "news" else "hit points" in seen
    picture = world.picture(observation)
    if description in ("screen", "image"):
        np.testing.assert_array_equal(picture[:352], world.render()[:352])
        told = bytes(observation["screen"])  # neither the score nor the turns
        assert b"HP:" in told and b" S:" not in told and b" T:" not in told and (picture != world.render()).any()
        assert picture.shape == (384, 720, 3) and picture.dtype == np.uint8 and picture.any()
    else:
        assert picture is None
    world.close()


def test_words_say_what_the_observation_holds():
    world = MiniHack(task="Room-5x5")
    observation, _ = world.reset(seed=0)
    observation = {name: part.copy() for name, part in observation.items()}
    observation["message"][:] = 0
    observation["message"][:19] = np.frombuffer(b"You hit the newt 3!", np.uint8)
    observation["crop"][4, 5] = nethack.GLYPH_PET_OFF + 11  # a pet one square to the east
    columns = {name: i for i, name in enumerate(reader.STATUS)}
    observation["status"][columns["confused"]] = 1
    observation["change"][list(reader.CHANGE).index("hp")] = -3 / reader.CHANGE["hp"]
    observation["change"][list(reader.CHANGE).index("steps")] = 1 / reader.CHANGE["steps"]
    text = world.describe(observation)
    assert "You see the staircase down, 4 squares to the east and 4 to the south." in text
    pet = nethack.permonst(11).mname
    for part in (f"tame {pet}, 1 square to the east", "confused", "You lost 3 hit points.", '"You hit the newt 3!"'):
        assert part in text
    assert world.event(observation) == "You hit the newt!"
    assert world.features(observation)["stairs_distance"] == 4
    assert not {"reward", "success", "progress"} & set(text.lower().split())
    world.close()


@pytest.mark.parametrize("actions", ["task", "full"])
def test_actions_parse_back(actions):
    world = NetHack(task="score", actions=actions)
    listed = world.actions(None)
    assert len(set(listed)) == world.action_space.n == len(listed)
    assert [world.parse_action(word) for word in listed] == list(range(len(listed)))
    assert world.parse_action(" Far North. ") == listed.index("far north")
    assert world.parse_action("y") == listed.index("northwest")  # the key, as the game's questions ask for it
    assert [world.parse_action(reply) for reply in ("", "north or south", "fly")] == [None] * 3
    assert world.action_word(world.fallback, listed) == "search"
    world.close()


def test_errors_name_the_game():
    env = MiniHack.vector(3, task="Room-5x5")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions from 0 to 7, got 8"):
        env.step(np.array([0, 8, 0]))

    def fails(*_):
        raise OSError("no space left")

    env.copies.games[2].step = fails
    with pytest.raises(GameError, match=r"minihack:Room-5x5, copy 2, .*failed at action N: OSError: no space left"):
        env.step(np.zeros(3, int))
    env.copies.games[1].reset = fails
    with pytest.raises(GameError, match=r"copy 1, .*could not begin"):
        env.reset(seed=0)
    env.close()
    with pytest.raises(ConfigError, match="Did you mean 'Room-5x5'"):
        MiniHack(task="Room-5x6")


def test_plain_tasks_are_minihacks_own():
    """The faster form gives the same glyphs, rewards and ends as MiniHack's own class."""
    import gymnasium as gym

    fast = minihack_game("Room-Monster-5x5", "task", screen=False)
    own = gym.make("MiniHack-Room-Monster-5x5-v0", fix_moon_phase=True).unwrapped
    fast.begin(11, 12)
    own.seed(11, 12, reseed=False)
    own.reset()
    for action in np.random.default_rng(0).integers(8, size=100).tolist():
        _, reward, over, cut, _ = fast.step(action)
        observation, *rest = own.step(action)
        assert [reward, over, cut] == rest[:3]
        if over:
            break
        np.testing.assert_array_equal(fast.part("glyphs"), observation["glyphs"])
    fast.close()
    own.close()


@pytest.mark.parametrize("task", ["Room-Random-5x5", "Room-Dark-15x15", "MazeWalk-9x9", "Corridor-R2"])
def test_expert_reaches_the_stairs(task):
    world = MiniHack(task=task)
    expert, successes = world.expert(), 0
    for seed in range(4):
        observation, _ = world.reset(seed=seed)
        expert.reset(np.ones(1, bool))
        over = False
        while not over:
            action = expert.act({name: part[None] for name, part in observation.items()})[0]
            observation, _, ended, cut, info = world.step(action)
            over = ended or cut
        successes += info["success"]
    assert successes >= 3
    world.close()


def test_glyphs_are_named_by_their_looks():
    assert words.glyph_name(nethack.GLYPH_CMAP_OFF + 19) == ""  # a floor
    numbers = [i for i in range(nethack.NUM_OBJECTS) if nethack.objdescr.from_idx(i).oc_name == "healing"]
    name = words.glyph_name(nethack.GLYPH_OBJ_OFF + numbers[0])
    assert name.endswith("potion") and "healing" not in name
