"""plaudit check: each planted defect is found by the check that is meant for it, and by no other."""

import json
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from plaudit import registry
from plaudit.cli import main
from plaudit.envs.base import World, named_action
from plaudit.envs.check import CHECKS, check
from plaudit.envs.wrapped import Wrapped
from plaudit.errors import ConfigError

WORDS = ("left", "right", "stay")


class Line(World):
    """A flawless world: walk to the right end of a line, from a place that the seed draws."""

    goal = "walk to the right end"
    rules = "Answer with one action: left, right, stay."
    fallback = 2
    length = 5

    def __init__(self):
        self.observation_space = spaces.Box(0, self.length, (2,), np.int64)
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = int(self.np_random.integers(0, 3)), 0
        return self.seen(), {"success": False, "progress": 0.0}

    def step(self, action):
        if not self.action_space.contains(action):
            raise ValueError(f"no action {action!r}")
        self.steps += 1
        self.at = int(np.clip(self.at + (-1, 1, 0)[int(action)], 0, self.length))
        done = self.at == self.length
        info = {"success": done, "progress": self.at / self.length}
        return self.seen(), float(done), done, self.steps >= 12, info

    def seen(self):
        return np.array([self.at, self.at % 2], np.int64)

    def describe(self, obs):
        return f"You are {self.length - obs[0]} steps from the right end."

    def features(self, obs):
        return {"place": int(obs[0]), "odd": bool(obs[1])}

    def actions(self, obs):
        return list(WORDS)

    def parse_action(self, reply):
        return named_action(reply, WORDS)

    def picture(self, obs):
        return np.zeros((4, 4, 3), np.uint8)

    def expert(self):
        return AlwaysRight()


class AlwaysRight:
    def reset(self, begun):
        pass

    def act(self, observations):
        return np.ones(len(observations), np.int64)


def checked(cls, context=4096):
    return {f.name: f for f in check(cls, cls.vector, context)}


def status(found, which):
    return [name for name, each in found.items() if each.status == which]


def test_a_flawless_world_passes_every_check():
    found = checked(Line)
    assert list(found) == list(CHECKS)
    assert status(found, "failed") == [] and status(found, "skipped") == [], [f.text for f in found.values()]
    assert "5 of 5" in found["expert"].text


def broken(**methods):
    return type("Broken", (Line,), methods)


def no_such_world(self):
    raise RuntimeError("no such world")


def wrong_reset(self, *, seed=None, options=None):
    return Line.reset(self, seed=seed)[0]


def failing_reset(self, *, seed=None, options=None):
    raise OSError("the server is away")


def with_step(change):
    def step(self, action):
        return change(self, *Line.step(self, action))

    return step


def unseeded(self, *, seed=None, options=None):
    self.drift = np.random.default_rng().random()
    return Line.reset(self, seed=seed)


class WrongVector(gym.vector.SyncVectorEnv):
    def step(self, actions):
        obs, reward, *rest = super().step(actions)
        return obs, reward + 1, *rest


def wrong_vector(cls, num_envs):
    return WrongVector([cls] * num_envs, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)


class Reused(Line):
    """Gives out one array again and again."""

    def seen(self):
        self.array = getattr(self, "array", np.zeros(2, np.int64))
        self.array[:] = Line.seen(self)
        return self.array


def once(self, *, seed=None, options=None):
    if getattr(self, "over", False):
        raise RuntimeError("this game cannot be played twice")
    return Line.reset(self, seed=seed)


def remember(self, obs, reward, terminated, truncated, info):
    self.over = terminated or truncated
    return obs, reward, terminated, truncated, info


def bad_close(self):
    raise RuntimeError("not open")


def takes_all(self, action):
    return Line.step(self, int(action) % 3)


def unclear(self, action):
    return Line.step(self, {0: 0, 1: 1, 2: 2}[int(action)])


def many_actions(self):
    Line.__init__(self)
    self.action_space = spaces.MultiDiscrete([3, 2])


def changed(obs):
    obs[0] = 0
    return "You are here."


DEFECTS = {
    "no world can be made": (broken(__init__=no_such_world), "made", "no such world"),
    "reset gives one thing": (broken(reset=wrong_reset), "begins", "must return"),
    "reset fails": (broken(reset=failing_reset), "begins", "the server is away"),
    "observation out of the space": (
        broken(step=with_step(lambda s, o, *rest: (o - 9, *rest))),
        "steps",
        "not in observation_space",
    ),
    "observation of another dtype": (
        broken(step=with_step(lambda s, o, *rest: (o.astype(float), *rest))),
        "steps",
        "float64",
    ),
    "the place of the wrong number": (
        broken(step=with_step(lambda s, o, *rest: (o + np.array([0, 9]), *rest))),
        "steps",
        "number 1 of it is",
    ),
    "actions that no agent has": (broken(__init__=many_actions), "made", "Discrete action space or a Box with bounds"),
    "reward is not finite": (
        broken(step=with_step(lambda s, o, r, *rest: (o, float("nan"), *rest))),
        "steps",
        "finite number",
    ),
    "step gives four things": (broken(step=lambda s, a: Line.step(s, a)[:4]), "steps", "must return"),
    "ends are numbers": (
        broken(step=with_step(lambda s, o, r, t, u, i: (o, r, int(t), u, i))),
        "steps",
        "True or False",
    ),
    "chance without the seed": (
        broken(
            reset=unseeded,
            step=with_step(lambda s, o, r, *rest: (o, r + s.drift, *rest)),
        ),
        "repeats",
        "np_random",
    ),
    "vector gives other rewards": (broken(vector=classmethod(wrong_vector)), "vector", "copy 0 of the vector"),
    "observation changes later": (Reused, "fresh", "Return a copy"),
    "no second episode": (
        broken(reset=once, step=with_step(remember)),
        "ends",
        "cannot be played twice",
    ),
    "close fails": (broken(close=bad_close), "closes", "not open"),
    "takes any action": (broken(step=takes_all), "refuses", "outside of its space"),
    "unclear refusal": (broken(step=unclear), "refuses", "KeyError: 3"),
    "fallback is no action": (broken(fallback=7), "fallback", "no action"),
    "no fallback": (broken(fallback=None), "fallback", "no action"),
    "success is missing": (
        broken(step=with_step(lambda s, o, r, t, u, i: (o, r, t, u, {"progress": i["progress"]}))),
        "success",
        "is missing",
    ),
    "success is a number": (
        broken(step=with_step(lambda s, o, r, t, u, i: (o, r, t, u, i | {"success": float(i["success"])}))),
        "success",
        "must be True or False",
    ),
    "progress in percent": (
        broken(step=with_step(lambda s, o, r, t, u, i: (o, r, t, u, i | {"progress": 100 * i["progress"]}))),
        "progress",
        "from 0 to 1",
    ),
    "success cannot be reached": (
        broken(step=with_step(lambda s, o, r, t, u, i: (o, r, t, u, i | {"success": False}))),
        "expert",
        "solved none",
    ),
    "no goal": (broken(goal=""), "says", "the goal is"),
    "no rules": (broken(rules=" "), "says", "the rules is"),
    "description is no text": (broken(describe=lambda s, o: {"place": 1}), "describes", "must give a text"),
    "description fails": (broken(describe=lambda s, o: 1 / 0), "describes", "ZeroDivisionError"),
    "description is huge": (broken(describe=lambda s, o: f"{o[0]} " + "word " * 4000), "describes", "context holds"),
    "description of the world": (broken(describe=lambda s, o: f"{o} {id(s)}"), "steady", "two copies"),
    "description of a walk": (broken(describe=lambda s, o: f"{o} {s.at}"), "steady", "has not begun"),
    "description changes the observation": (broken(describe=lambda s, o: changed(o)), "steady", "Work on a copy"),
    "description is constant": (broken(describe=lambda s, o: "You are here."), "distinct", "same description"),
    "event is a number": (broken(event=lambda s, o: 3), "events", "must give a text"),
    "feature of numpy": (broken(features=lambda s, o: {"place": o[0]}), "features", "numpy.int64"),
    "feature is infinite": (broken(features=lambda s, o: {"far": float("inf")}), "features", "finite"),
    "features come and go": (
        broken(features=lambda s, o: {"a": 1} | ({"b": 2} if o[0] else {})),
        "features",
        "at times only: ['b']",
    ),
    "listed word is not read": (broken(actions=lambda s, o: [*WORDS, "jump"]), "words", "'jump'"),
    "two words for an action": (broken(actions=lambda s, o: [*WORDS, "Left"]), "words", "List each action once"),
    "guesses": (broken(parse_action=lambda s, r: named_action(r, WORDS) or 0), "words", "never a guess"),
    "picture is of floats": (broken(picture=lambda s, o: np.zeros((4, 4, 3))), "picture", "uint8"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found_by_its_own_check(defect):
    cls, name, says = DEFECTS[defect]
    found = checked(cls)
    assert status(found, "failed") == [name], {n: found[n].text for n in status(found, "failed")}
    assert says in found[name].text


def test_endless_worlds_are_no_fault(monkeypatch):
    monkeypatch.setattr("plaudit.envs.check_steps.EPISODE", 50)
    found = checked(broken(step=with_step(lambda s, o, r, t, u, i: (o, r, False, False, i)), expert=lambda s: None))
    assert status(found, "failed") == []
    assert "no end in 50" in found["ends"].text and found["ends"].status == "skipped"


def test_what_is_left_out_is_skipped_and_said():
    found = checked(broken(picture=World.picture, expert=World.expert, features=World.features))
    assert status(found, "failed") == [] and {"picture", "expert", "features"} <= set(status(found, "skipped"))


def test_other_actions_than_from_0_on_are_not_put_to_stable_baselines3():
    pytest.importorskip("stable_baselines3")
    words = {"left": 5, "right": 6, "stay": 7}

    class Shifted(Line):
        fallback = 7

        def __init__(self):
            super().__init__()
            self.action_space = spaces.Discrete(3, start=5)

        def step(self, action):
            self.action_space, kept = spaces.Discrete(3), self.action_space
            try:
                return Line.step(self, action - 5)
            finally:
                self.action_space = kept

        def parse_action(self, reply):
            return words.get(reply)

        def expert(self):
            return None

    found = checked(Shifted)
    assert status(found, "failed") == [], {n: found[n].text for n in status(found, "failed")}
    assert found["sb3"].status == "skipped" and "start at 0" in found["sb3"].text


def test_every_world_of_plaudit_that_needs_no_program_passes():
    cls = registry.load("worlds", "doorkey")
    assert status(checked(cls), "failed") == []


def test_the_command_says_what_is_wrong_and_fails(tmp_path, capsys):
    path = tmp_path / "lake.py"
    path.write_text(
        "from plaudit import Wrapped\n\n\nclass Lake(Wrapped):\n    id = 'FrozenLake-v1'\n    goal = 'cross the lake'\n\n"
        "    def describe(self, obs):\n        return 'You are on ice.'\n"
    )
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "failed" in out and "distinct" in out and "lake: " in out and "1 failed" in out
    path.write_text(path.read_text().replace("'You are on ice.'", "f'You are at {obs}.'"))
    assert main(["check", str(path)]) == 0


class Old(gym.Env):
    """An environment with two steps; what people get wrong in theirs is planted by a test."""

    def __init__(self, actions=None, observations=None):
        self.action_space = actions or spaces.Discrete(2)
        self.observation_space = observations or spaces.Box(0, 255, (2,), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(self.observation_space.shape, np.uint8), {}

    def step(self, action):
        self.steps += 1
        return np.full(2, self.steps, np.uint8), -1.0, self.steps == 2, False, {}


def planted(**methods):
    env = type("Planted", (Old,), methods)
    said = {"goal": "go on", "describe": lambda self, obs: f"{obs}", "make": lambda self: env()}
    return type("Own", (Wrapped,), said)


def told(info, reward=-1.0):
    """A ``step`` of which only the last one of an episode says anything in its info."""

    def step(self, action):
        obs, _, terminated, truncated, _ = Old.step(self, action)
        return obs, reward, terminated, truncated, info if terminated else {}

    return step


def old_reset(self):
    return Old.reset(self)


def in_unit(self):
    Old.__init__(self, observations=spaces.Box(0, 1, (), np.float32))


def just_over(self, action):
    return np.array(1.0000001, np.float32), 1.0, True, False, {}


def from_one(self):
    Old.__init__(self, observations=spaces.Discrete(100, start=1))


def zero(self, *, seed=None, options=None):
    return 0, {}


def in_halves(self):
    Old.__init__(self, observations=spaces.Box(0, 1, (2,), np.float16))


def asks_infos(self, obs, reward, terminated, info):
    return info["solved"]


def asks_a_table(self, obs, reward, terminated, info):
    return {}["solved"]


def solved_where_it_ends(self, action):
    obs, reward, terminated, truncated, info = Wrapped.step(self, action)
    return obs, reward, terminated, truncated, info | {"success": terminated}


@pytest.mark.parametrize(
    ("methods", "name", "says"),
    [
        ({"__init__": lambda self: None}, "made", "has no observation_space"),
        ({"reset": old_reset}, "begins", "def reset(self, *, seed=None"),
        ({"reset": lambda self, seed=None, options=None: Old.reset(self)[0]}, "begins", "no pair"),
        ({"step": lambda self, action: Old.step(self, action)[:4]}, "steps", "gives 4 things"),
        ({"step": lambda self, action: (np.zeros(2), [1.0], True, False, {})}, "steps", "Let it be one number"),
        ({"step": lambda self, action: (None, 1.0, True, False, {})}, "steps", "does not fit"),
        ({"step": lambda self, action: (np.full(2, 0.7), 1.0, True, False, {})}, "steps", "0.7, which cannot be held"),
        ({"step": lambda self, action: (np.full(2, 300), 1.0, True, False, {})}, "steps", "becomes 44"),
        ({"step": told({"success": np.array([True, False])})}, "steps", "Write success(), which makes one"),
        ({"reset": lambda self, seed=None, options=None: told(colour=1)}, "begins", "TypeError: told() got"),
        (
            {"__init__": lambda self: Old.__init__(self, spaces.MultiDiscrete([2, 3]))},
            "made",
            "TransformAction(env, func",
        ),
        ({"__init__": in_unit, "step": just_over}, "steps", "it is 1.0000001, and the space goes from 0.0 to 1.0"),
        ({"__init__": from_one, "reset": zero}, "begins", "it is 0 of type int, and the space Discrete(100, start=1)"),
    ],
)
def test_what_people_get_wrong_in_an_environment_is_told_with_its_cure(methods, name, says):
    cls = planted(**methods)
    failed = {f.name: f.text for f in check(cls, cls.vector) if f.status == "failed"}
    assert list(failed) == [name] and says in failed[name]


def test_infos_that_are_not_there_are_named():
    cls = type("Asking", (planted(),), {"success": asks_infos})
    with pytest.raises(ConfigError, match=r"info has nothing.*info.get\('solved'\)"):
        cls().reset(seed=0)
    cls = type("Asking", (planted(reset=lambda self, **_: (Old.reset(self)[0], {1: 2})),), {"success": asks_infos})
    with pytest.raises(ConfigError, match=r"info has 1\."):
        cls().reset(seed=0)
    with pytest.raises(KeyError, match="solved"):
        type("Asking", (planted(),), {"success": asks_a_table})().reset(seed=0)


@pytest.mark.parametrize(
    ("cls", "status", "says"),
    [
        (planted(), "skipped", "no reward above 0 was met in 50 random steps"),
        (planted(step=told({}, 1.0)), "skipped", r"a failure too\. Write success\(\)"),
        (planted(step=told({}, 0.0)), "ok", "; an end with a reward above 0 counts"),
        (planted(step=told({"is_success": False})), "ok", "after every step$"),
        (type("Telling", (planted(),), {"step": solved_where_it_ends}), "ok", "after every step$"),
    ],
)
def test_what_counts_as_success_is_told(cls, status, says):
    found = {f.name: f for f in check(cls, cls.vector)}["success"]
    assert found.status == status and re.search(says, found.text)


def test_what_the_dtype_of_a_space_loses_is_no_fault():
    cls = planted(__init__=in_halves, step=lambda self, action: (np.full(2, 1 / 3), 0.0, True, False, {}))
    assert {f.name: f.status for f in check(cls, cls.vector)}["steps"] == "ok"


def test_an_error_is_told_where_the_user_s_file_has_it():
    cls = type("Own", (planted(),), {"describe": lambda self, obs: json.loads("")})
    (said,) = [f.text for f in check(cls, cls.vector) if f.status == "failed"]
    assert "test_check.py, line" in said
