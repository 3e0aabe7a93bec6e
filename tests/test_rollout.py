"""Episodes that are measured: what is cut off counts what has been reached by then, as the world tells it."""

import numpy as np
import pytest
from chain_world import Chain

from plaudit.rollout import run_episodes


class Right:
    """Goes right."""

    def reset(self, ended):
        pass

    def act(self, observations):
        return np.ones(len(observations), int)


class Sticky(Chain):
    """Lamp 3 is a success, from then on, and nothing ends before its time."""

    def step(self, action):
        observation, reward, _, over, info = super().step(action)
        return observation, reward, False, over, info | {"success": self.time >= 3}


class Passing(Sticky):
    """The same, but only while one stands there."""

    def step(self, action):
        *rest, info = super().step(action)
        return *rest, info | {"success": self.at == 3}


@pytest.mark.parametrize(
    ("world", "steps", "success", "length"),
    [
        (Chain, 0, True, 39),
        (Chain, 39, True, 39),
        (Chain, 38, False, 38),
        (Sticky, 0, True, 60),
        (Sticky, 20, True, 20),
        (Sticky, 2, False, 2),
        (Passing, 3, True, 3),
        (Passing, 4, False, 4),
    ],
)
def test_what_is_cut_off_counts_what_has_been_reached(world, steps, success, length):
    episodes = run_episodes(world.vector(2), Right(), 0, 3, steps)
    assert [(e.success, e.length) for e in episodes] == [(success, length)] * 3
