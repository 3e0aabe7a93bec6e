"""DoorKey in numpy is minigrid's DoorKey, and its words say what the observation holds."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from plaudit.envs import gridworld_words as words
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.envs.gridworld_macros import MacroVector
from plaudit.errors import ConfigError

BUSY = [0.15, 0.15, 0.35, 0.12, 0.03, 0.18, 0.02]
"""Probabilities of the seven actions under which much happens."""


@pytest.mark.parametrize(("size", "kind"), [*((size, "moves") for size in DoorKey.choices["size"]), (6, "macros")])
def test_vector_equals_minigrid(size, kind):
    copies, steps = 4, 200 if size == 16 or kind == "macros" else 800
    vector = DoorKey.vector(copies, size=size, actions=kind)
    singles = [DoorKey(size, render_mode=None, actions=kind) for _ in range(copies)]
    chances = BUSY if kind == "moves" else [0.1, 0.2, 0.2, 0.5]
    batch, _ = vector.reset(seed=10)
    observations = [world.reset(seed=10 + i)[0] for i, world in enumerate(singles)]
    rng, met = np.random.default_rng(size), set()
    for _ in range(steps):
        for i, one in enumerate(observations):
            for name, part in batch.items():
                np.testing.assert_array_equal(part[i], one[name])
        actions = rng.choice(len(chances), copies, p=chances)
        batch, reward, terminated, truncated, infos = vector.step(actions)
        for i, world in enumerate(singles):
            one, r, ended, cut, info = world.step(actions[i])
            met.add(int(one["event"]))
            assert (r, ended, cut) == (pytest.approx(reward[i]), terminated[i], truncated[i])
            assert info["progress"] == pytest.approx(infos["progress"][i])
            if ended or cut:
                for name, part in infos["final_obs"].items():
                    np.testing.assert_array_equal(part[i], one[name])
                one, _ = world.reset()
            observations[i] = one
    if kind == "macros":
        assert met >= {words.NOTHING, words.PICKED_UP, words.UNLOCKED, words.REACHED_GOAL}
    if size == 5:
        assert met >= {words.PICKED_UP, words.DROPPED, words.UNLOCKED, words.LOCKED, words.HIT_WALL, words.REACHED_GOAL}


def test_gymnasium_accepts_the_world():
    check_env(DoorKey(5), skip_render_check=True)


def test_state_goes_on_exactly():
    first, second = DoorKeyVector(8, 5), DoorKeyVector(8, 5)
    first.reset(seed=3)
    second.reset(seed=99)
    actions = np.random.default_rng(0).choice(7, (300, 8), p=BUSY)
    for row in actions[:100]:
        first.step(row)
    second.set_state(first.get_state())
    for row in actions[100:]:
        one, other = first.step(row), second.step(row)
        np.testing.assert_array_equal(one[0]["image"], other[0]["image"])
        np.testing.assert_array_equal(one[1], other[1])


def test_description_says_what_the_view_holds():
    image = np.zeros((7, 7, 3), np.uint8)
    image[:, :, 0] = 1
    image[3, 5] = (4, 4, 2)  # the locked door right in front
    image[5, 3] = (8, 1, 0)  # the goal two to the right and three ahead
    image[3, 6] = (5, 4, 0)  # the key in hand
    observation = {"image": image, "direction": 1, "event": words.PICKED_UP}
    assert words.describe(observation) == (
        "You see the locked door right in front of you and the goal square ahead to the right. You hold the key. "
        "You picked up the key."
    )
    facts = words.features(observation)
    assert (facts["door_state"], facts["door_distance"], facts["goal_distance"]) == ("locked", 1, 5)
    assert facts["carrying_key"] is True and facts["key_visible"] is False and facts["direction"] == "south"


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("move forward", 2),
        (" Pick up. ", 3),
        ("TURN LEFT", 0),
        ("turn", None),
        ("turn left or right", None),
        ("", None),
    ],
)
def test_actions_parse_strictly(reply, action):
    assert DoorKey(5, render_mode=None).parse_action(reply) == action


def test_every_action_parses_back():
    for kind, names in (("moves", words.ACTIONS), ("macros", words.MACROS)):
        world = DoorKey(5, render_mode=None, actions=kind)
        assert [world.parse_action(name) for name in world.actions(None)] == list(range(len(names)))


def test_unknown_size_is_refused():
    with pytest.raises(ConfigError, match="size"):
        DoorKeyVector(2, 7)


def test_a_macro_is_a_whole_way_and_an_impossible_one_nothing():
    world = DoorKey(8, render_mode=None, actions="macros")
    world.reset(seed=4)
    key, door, goal, done = range(4)
    for macro in (goal, door, done):  # without the key
        steps = world.grid.step_count
        obs, *_ = world.step(macro)
        assert obs["event"] == words.NOTHING and world.grid.step_count == steps + 1
    seen = []
    for macro in (key, key, door, door, goal):
        steps = world.grid.step_count
        obs, reward, terminated, _, info = world.step(macro)
        seen.append((int(obs["event"]), world.grid.step_count - steps > 1))
    assert seen == [
        (words.PICKED_UP, True),
        (words.NOTHING, False),
        (words.UNLOCKED, True),
        (words.NOTHING, False),
        (words.REACHED_GOAL, True),
    ]
    assert terminated and info["success"] and reward == info["task_reward"] > 0.9


def test_a_macro_is_cut_off_where_the_episode_ends():
    vector, world = MacroVector(1, 5), DoorKey(5, render_mode=None, actions="macros")
    vector.reset(seed=0)
    world.reset(seed=0)
    for step in range(249):
        _, _, _, cut, _ = world.step(3)
        assert not cut and not vector.step(np.array([3]))[3].any(), step
    obs, _, terminated, cut, _ = world.step(0)
    _, _, ended, truncated, infos = vector.step(np.array([0]))
    assert (terminated, cut) == (ended[0], truncated[0]) == (False, True)
    np.testing.assert_array_equal(obs["image"], infos["final_obs"]["image"][0])
