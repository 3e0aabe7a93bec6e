"""MetaWorld: the package's own numbers, one model for all copies, words, pictures, experts."""

from importlib.util import find_spec

import numpy as np
import pytest

if not find_spec("metaworld"):
    pytest.skip("needs metaworld", allow_module_level=True)

from plaudit.envs import metaworld_words as words
from plaudit.envs.metaworld import HELD, LIMIT, MetaWorld
from plaudit.envs.metaworld_arm import Arm
from plaudit.envs.metaworld_tasks import TASKS
from plaudit.errors import ConfigError
from plaudit.rollout import run_episodes
from plaudit.store import load_tree, save_tree

from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # isort: skip (the world says first how MuJoCo is to draw)

SEED = 5
MOVES = np.random.default_rng(0).uniform(-1, 1, (25, 4)).astype(np.float32)


def package(task: str):
    """The benchmark's own environment, goal in sight, drawn by a seed."""
    env = ALL_V3_ENVIRONMENTS[f"{task}-v3"]()
    env._partially_observable, env._freeze_rand_vec, env.seeded_rand_vec = False, False, True
    env.__dict__.pop("sawyer_observation_space", None)
    env._set_task_called = True
    env.seed(SEED)
    return env


def test_every_task_of_the_benchmark_has_its_words():
    assert {f"{task}-v3" for task in TASKS} == set(ALL_V3_ENVIRONMENTS)
    for name, task in TASKS.items():
        assert task.goal[0].islower() and not task.goal.endswith("."), name
        assert bool(task.part) == bool(task.done) == bool(task.travel), name


@pytest.mark.parametrize("task", ["reach", "push", "drawer-open", "hammer", "stick-pull", "assembly"])
def test_the_arm_is_the_packages_arm(task):
    theirs, ours = package(task), Arm(task)
    ours.seed(SEED)
    theirs.reset()
    ours.reset()
    for move in MOVES:
        expected, reward, _, _, info = theirs.step(move)
        state, our_reward, success = ours.step(move)
        assert np.allclose(state[:18], expected[:18], atol=1e-7) and np.allclose(state[36:], expected[36:])
        assert our_reward == pytest.approx(reward, abs=1e-7) and success == bool(info["success"])


def test_an_episode_depends_on_its_seed_alone():
    used, fresh, other = Arm("drawer-close"), Arm("drawer-close"), Arm("drawer-close")
    used.seed(1)
    used.reset()
    for move in MOVES:
        used.step(move)
    used.seed(SEED)
    fresh.seed(SEED)
    other.seed(SEED + 1)
    start = used.reset()
    assert np.array_equal(start, fresh.reset()) and not np.array_equal(start, other.reset())
    # The three share a model, and each keeps its own drawer where it is.
    for move in MOVES:
        other.step(move)
        assert np.array_equal(used.step(move)[0], fresh.step(move)[0])


def test_the_first_state_shows_the_object_where_it_is():
    arm = Arm("window-close")
    arm.seed(SEED)
    first = arm.reset()
    after, *_ = arm.step(np.zeros(4, np.float32))
    assert np.allclose(first[4:7], after[4:7], atol=0.005)


@pytest.mark.parametrize("actions", ["continuous", "coarse-words"])
def test_vector_and_single_forms_agree(actions):
    envs = MetaWorld.vector(2, task="push", actions=actions)
    single = MetaWorld(task="push", actions=actions)
    observations, _ = envs.reset(seed=SEED)
    one, _ = single.reset(seed=SEED + 1)
    assert envs.observation_space.contains(observations) and single.observation_space.contains(one)
    assert np.array_equal(observations[1], one)
    envs.action_space.seed(0)
    ended = False
    for _ in range(LIMIT // HELD[actions]):
        action = envs.action_space.sample()
        before = observations
        observations, reward, terminated, truncated, infos = envs.step(action)
        one, own_reward, _, ended, info = single.step(action[1])
        assert observations is not before and not terminated.any()
        led_to = infos["final_obs"] if ended else observations
        assert np.array_equal(led_to[1], one) and reward[1] == own_reward == info["task_reward"]
        assert truncated.all() == ended == truncated.any() and infos["success"][1] == info["success"]
    assert ended and infos["final_info"]["progress"][1] == info["progress"]
    assert np.array_equal(observations[1], single.reset()[0])


@pytest.mark.parametrize("steps", [0, 7])
def test_a_batch_goes_on_exactly_from_its_state(tmp_path, steps):
    envs, later = (MetaWorld.vector(2, task="button-press", actions="words") for _ in range(2))
    envs.reset(seed=SEED)
    for step in range(steps):
        envs.step(np.array([step, 13 - step]))
    save_tree(tmp_path / "state.safetensors", {"envs": envs.get_state()})
    later.set_state(load_tree(tmp_path / "state.safetensors")["envs"])
    ended = False
    for step in range(42 if steps == 0 else 10):
        ours, theirs = (e.step(np.array([step % 14, 4])) for e in (envs, later))
        assert np.array_equal(ours[0], theirs[0]) and np.array_equal(ours[1], theirs[1])
        ended |= bool(ours[3].any())
    assert ended == (steps == 0)


@pytest.mark.parametrize("task", ["reach", "drawer-close", "pick-place"])
def test_experts_succeed(task):
    envs = MetaWorld.vector(2, task=task)
    expert = MetaWorld(task=task).expert()
    assert all(e.success and e.length == LIMIT for e in run_episodes(envs, expert, SEED, 2))


def test_a_random_policy_does_not_succeed():
    from plaudit.policies.random import RandomPolicy

    envs = MetaWorld.vector(2, task="button-press", actions="coarse-words")
    episodes = run_episodes(envs, RandomPolicy(envs.single_action_space, 0), SEED, 2)
    assert not any(e.success for e in episodes) and episodes[0].length == LIMIT // HELD["coarse-words"]


def walk(task: str, **choices):
    """The descriptions, events and features of an expert's episode."""
    world = MetaWorld(task=task, **choices)
    expert, (obs, _), found = world.expert(), world.reset(seed=SEED), []
    over = False
    while not over:
        found.append((world.describe(obs), world.event(obs), world.features(obs)))
        obs, _, _, over, info = world.step(expert.act(obs[None])[0])
    assert info["success"] and info["progress"] == 1
    return found


def test_words_of_a_mechanism():
    texts, events, features = zip(*walk("drawer-open"), strict=True)
    assert "The drawer is not open." in texts[0] and texts[0].endswith("Nothing has happened yet.")
    assert any(text.endswith("The fingers moved nearer to the drawer's handle.") for text in texts)
    assert any(text.endswith("The drawer was moved: it is more open than before.") for text in texts)
    assert features[0]["done_fraction"] == 0 and features[-1]["done_fraction"] > 0.8
    assert len(set(texts)) < 0.5 * len(texts) and len(set(events)) <= len(set(texts))
    assert not any(word in " ".join(texts).lower() for word in ("success", "reward", "progress"))


def test_words_of_something_carried():
    texts, _, features = zip(*walk("pick-place", description="directions"), strict=True)
    assert "From the fingers it lies" in texts[0] and "The way there is" in texts[0]
    assert any("The gripper holds it." in text for text in texts) and any(f["holding"] for f in features)
    assert any("The puck was moved nearer to the goal spot." in text for text in texts)
    assert features[-1]["object_to_goal"] < 0.07


def test_distances_are_rounded_more_coarsely_the_larger_they_are():
    assert [words.centimetres(x) for x in (0.004, 0.026, 0.071, 0.13, 0.34)] == [0, 3, 8, 15, 30]


def test_actions_in_words_and_numbers():
    numbers, names = MetaWorld(), MetaWorld(actions="words")
    for i, word in enumerate(numbers.actions(None)):
        assert np.array_equal(numbers.parse_action(f"{i + 1}. {word.title()}."), words.ACTIONS[word])
        assert names.parse_action(word) == i and names.action_word(i, names.actions(None)) == word
        assert numbers.action_space.contains(numbers.parse_action(word))
    assert np.array_equal(numbers.parse_action("[0.5, -1, 0, 1]"), np.float32([0.5, -1, 0, 1]))
    for reply in ("[0.5, -2, 0, 1]", "0.1, 0.2, 0.3", "do not move left", "move", "", "1.2.3, 0, 0, 0"):
        assert numbers.parse_action(reply) is None and names.parse_action(reply) is None
    assert names.parse_action("[0, 0, 0, 0]") is None
    assert numbers.action_space.contains(numbers.fallback) and names.action_space.contains(names.fallback)


def test_a_word_moves_the_hand_as_it_says():
    world = MetaWorld(actions="words")
    for axis, (back, forth) in enumerate((("left", "right"), ("back", "forward"), ("down", "up"))):
        for sign, way in ((-1, back), (1, forth)):
            obs, _ = world.reset(seed=SEED)
            for _ in range(2):
                after, *_ = world.step(world.parse_action(f"move {way}"))
            moved = after[:3] - obs[:3]
            assert np.abs(moved).argmax() == axis and moved[axis] * sign > 0.03


@pytest.mark.parametrize("kind, action", [("words", 14), ("words", 0.5), ("continuous", [0, 0, 2, 0])])
def test_what_is_no_action_is_refused(kind, action):
    world = MetaWorld(actions=kind)
    world.reset(seed=SEED)
    with pytest.raises(ValueError, match="an action is"):
        world.step(action)


def test_unknown_choices_are_refused():
    with pytest.raises(ConfigError, match="no task 'reach-v3'"):
        MetaWorld(task="reach-v3")


def test_pictures():
    world = MetaWorld(task="drawer-close", observation="pixels")
    obs, _ = world.reset(seed=SEED)
    assert world.observation_space.contains(obs) and obs["pixels"].std() > 20
    later = world.step(np.float32([0, 1, 0, 0]))[0]
    for _ in range(5):
        later = world.step(np.float32([0, 1, 0, 0]))[0]
    assert np.array_equal(world.picture(later), later["pixels"]) and not np.array_equal(obs["pixels"], later["pixels"])
    frame = world.render()
    # The drawer is green, and nothing else is.
    green = (frame[..., 1] > frame[..., 0] * 1.2) & (frame[..., 1] > frame[..., 2] * 1.2)
    assert frame.shape == (224, 224, 3) and frame.dtype == np.uint8 and green.mean() > 0.02
    assert "gripper is open" in world.describe(obs) and world.expert() is None
    assert set(world.features(obs)) == {"hand_x", "hand_y", "hand_z", "gripper_open"}
    envs = MetaWorld.vector(2, task="drawer-close", observation="pixels")
    assert np.array_equal(envs.reset(seed=SEED)[0]["pixels"][0], obs["pixels"])


def test_without_opengl_the_error_says_what_to_install(monkeypatch):
    import mujoco

    from plaudit.envs import metaworld_camera as camera
    from plaudit.errors import PlauditError

    def fail(*_):
        raise RuntimeError("no display")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    arm = Arm("reach")
    with pytest.raises(PlauditError, match="apt-get install libegl1"):
        camera.picture(arm.env.model, arm.env.data, "reach", 32)
