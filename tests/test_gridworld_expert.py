"""DoorKey's expert always gets there, in one world and in many, and knows no more than an agent sees."""

import numpy as np
import pytest

from plaudit.config import RunConfig, from_dict
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.envs.gridworld_expert import DoorKeyExpert
from plaudit.errors import ConfigError
from plaudit.rollout import record_episode, run_episodes
from plaudit.routes.controls import Expert
from plaudit.stages.arms import choose
from plaudit.stages.parts import check, make_policy, make_world


@pytest.mark.parametrize("size", DoorKey.choices["size"])
def test_it_always_reaches_the_goal(size):
    copies = 32 if size == 16 else 128
    episodes = run_episodes(DoorKeyVector(copies, size), DoorKeyExpert(), seed=100, episodes=copies)
    assert all(e.success for e in episodes)
    assert max(e.length for e in episodes) <= size**2  # a tenth of the limit


def test_one_world_and_many_are_played_alike():
    many = run_episodes(DoorKeyVector(8, 8), DoorKeyExpert(), seed=20, episodes=8)
    one = [record_episode(DoorKey(8), DoorKeyExpert(), 20 + i) for i in range(8)]
    assert [len(steps) - 1 for steps in one] == [e.length for e in many]
    assert all(steps[-1].success for steps in one)


def test_with_macros_it_needs_three_actions():
    world = DoorKey(8, actions="macros")
    steps = record_episode(world, world.expert(), 3)
    assert [step.action for step in steps[1:]] == ["go to the key", "open the door", "go to the goal"]
    episodes = run_episodes(DoorKey.vector(8, size=6, actions="macros"), world.expert(), seed=0, episodes=8)
    assert all(e.success and e.length == 3 for e in episodes)


def test_it_forgets_the_episode_before():
    """The second episodes of the same copies, begun by reset alone, are won as well."""
    envs, expert = DoorKeyVector(16, 6), DoorKeyExpert()
    observations, _ = envs.reset(seed=5)
    expert.reset(np.ones(16, bool))
    wins = 0
    for _ in range(200):
        observations, _, terminated, truncated, _ = envs.step(expert.act(observations))
        assert not truncated.any()
        wins += terminated.sum()
        expert.reset(terminated)
    assert wins > 100


def test_it_needs_neither_reset_nor_the_same_number_of_copies():
    expert = DoorKeyExpert()
    for copies in (3, 5):
        observations, _ = DoorKeyVector(copies, 5).reset(seed=1)
        assert expert.act(observations).shape == (copies,)


def test_the_key_already_in_hand_and_a_closed_door_are_dealt_with():
    envs, expert = DoorKeyVector(4, 6), DoorKeyExpert()
    observations, _ = envs.reset(seed=9)
    expert.reset(np.ones(4, bool))
    interfered, terminated = False, np.zeros(4, bool)
    for _ in range(80):
        actions = expert.act(observations)
        if not interfered and (envs._door() == 5).any():  # open: close one again, behind the expert's back
            actions[np.flatnonzero(envs._door() == 5)[0]], interfered = 5, True
        observations, _, ended, _, _ = envs.step(actions)
        terminated |= ended
        expert.reset(ended)
    assert interfered and terminated.all()


def test_it_collects_and_is_an_arm_that_has_to_be_named():
    config = from_dict(RunConfig, {"route": "expert", "collect": {"policy": "expert"}})
    check(config)
    world = make_world(config.world)
    assert isinstance(make_policy(config, "expert", world, 0), DoorKeyExpert)
    with Expert().policy(None, world, 0) as policy:
        assert isinstance(policy, DoorKeyExpert)
    assert "expert" not in [arm.name for arm in choose([])] and choose(["expert"])[0].route == "expert"


def test_a_world_without_an_expert_says_so(monkeypatch):
    monkeypatch.setattr(DoorKey, "expert", lambda self: None)
    for values in ({"route": "expert"}, {"collect": {"policy": "expert"}}):
        with pytest.raises(ConfigError, match="has no expert"):
            check(from_dict(RunConfig, values))
