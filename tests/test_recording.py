"""Recorded steps: whole, in order, each observation once, and the world's own reward apart."""

import numpy as np
import pytest

from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.policies.random import RandomPolicy
from plaudit.recording import Recording, load_recording, save_recording
from plaudit.rollout import Recorder, distinct_descriptions
from plaudit.vector import stack


def walk(limit=10_000, steps=1200):
    world, recorder = DoorKey(5, render_mode=None), Recorder(4, limit)
    policy = RandomPolicy(world.action_space, 0)
    seen = distinct_descriptions(world, DoorKeyVector(4, 5), policy, steps, 7, recorder=recorder)
    return world, seen, recorder.recording()


def test_segments_by_hand():
    episode, step = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    recording = Recording(
        np.arange(9), episode, step, np.array([0, 1, 2, 5, 6]), np.array([1, 2, 3, 6, 7]), np.zeros(5)
    )
    assert recording.segments(1).ravel().tolist() == [1, 2, 3, 6, 7]
    assert recording.segments(2).tolist() == [[1, 2], [2, 3], [6, 7]]
    assert recording.segments(3).tolist() == [[1, 2, 3]] and recording.segments(6).shape == (0, 6)
    assert recording.starts().tolist() == [0, 5]


def test_a_recording_is_the_walk():
    world, seen, recording = walk()
    assert len(recording) == 1200 and recording.ended.any()
    said = [world.describe(o) for o in recording.single_observations()]
    assert {said[i] for i in recording.after} == {s.text for s in seen}
    goes_on = (recording.episode[1:] == recording.episode[:-1]).nonzero()[0]
    assert (recording.before[goes_on + 1] == recording.after[goes_on]).all()
    assert (recording.step[goes_on + 1] == recording.step[goes_on] + 1).all()
    assert all("just begun" in said[i] for i in recording.starts())
    assert recording.ended[np.flatnonzero(recording.success)].all()


def test_each_step_is_what_the_world_does():
    """Stepping minigrid's own environment again gives the recorded observations, actions and rewards."""
    world, _, recording = walk(steps=80)
    single = DoorKey(5, render_mode=None)
    observation, _ = single.reset(seed=7)
    singles = recording.single_observations()
    for i in np.flatnonzero(recording.episode == 0):
        assert world.describe(observation) == world.describe(singles[recording.before[i]])
        observation, reward, *_ = single.step(recording.actions[i])
        np.testing.assert_array_equal(observation["image"], singles[recording.after[i]]["image"])
        assert reward == recording.task_reward[i]


def test_the_limit_and_the_way_back(tmp_path):
    _, _, recording = walk(limit=100)
    assert len(recording) == 100
    save_recording(tmp_path, recording)
    back = load_recording(tmp_path)
    assert back.task_reward is None and back.success is None and back.ended is None
    np.testing.assert_array_equal(back.observations["image"], stack(recording.single_observations())["image"])
    for name in ("episode", "step", "before", "after", "actions"):
        np.testing.assert_array_equal(getattr(back, name), getattr(recording, name))
    np.testing.assert_array_equal(load_recording(tmp_path, truth=True).task_reward, recording.task_reward)


@pytest.mark.parametrize("length", [1, 3])
def test_no_segment_crosses_the_end_of_an_episode(length):
    _, _, recording = walk()
    found = recording.segments(length)
    ends = set(recording.after[recording.ended].tolist()) - set(recording.after[~recording.ended].tolist())
    assert found.shape[1] == length and not ends & set(found[:, :-1].ravel().tolist())
