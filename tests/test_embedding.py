"""Similarity to the goal: the formula by hand, memory, the real word vectors, and the path of pictures."""

import json

import numpy as np
import pytest

from plaudit.config import CollectConfig, EmbeddingConfig, RunConfig, WorldConfig
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.errors import ConfigError
from plaudit.rewards.base import Transitions
from plaudit.rewards.embedders import TransformersEmbedder, WordLlamaEmbedder, check_embedder, unit
from plaudit.rewards.embedding import EmbeddingReward, similarity
from plaudit.stages import run_stages
from plaudit.store import Run, read_table

RNG = np.random.default_rng(0)


def vectors(n, d=6):
    return unit(RNG.normal(size=(n, d)))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_the_formula_by_its_matrix(alpha):
    states, goal, baseline = vectors(9).astype(float), vectors(1)[0].astype(float), vectors(1)[0].astype(float)
    d = goal - baseline
    projection = alpha * np.outer(d, d) / (d @ d) + (1 - alpha) * np.eye(len(d))
    by_hand = 1 - np.linalg.norm((states - goal) @ projection, axis=1) ** 2 / 2
    np.testing.assert_allclose(similarity(states, goal[None], baseline, alpha), by_hand)
    if alpha == 0:
        np.testing.assert_allclose(by_hand, states @ goal, atol=1e-6)
    if alpha == 1:  # what is across the line does not count
        across = vectors(1)[0].astype(float)
        across -= (across @ d) / (d @ d) * d
        np.testing.assert_allclose(similarity(states + across, goal[None], baseline, alpha), by_hand)


def test_on_the_line_alone_it_is_nearness_to_the_goal_less_nearness_to_the_baseline():
    states, goal, baseline = vectors(200, 20), vectors(1, 20)[0], vectors(1, 20)[0]
    plain = states @ goal - states @ baseline
    assert plain.max() < goal @ (goal - baseline)  # nothing lies beyond the goal: there it would count as too far
    regularised = similarity(states, goal[None], baseline, 1.0)
    np.testing.assert_array_equal(np.argsort(plain), np.argsort(regularised))


def test_neither_the_turn_of_the_space_nor_the_order_of_goals_matters():
    states, goals, baseline = vectors(20), vectors(3), vectors(1)[0]
    turn = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    for alpha in (0.0, 0.5, 1.0):
        values = similarity(states, goals, baseline, alpha)
        turned = similarity(states @ turn, goals[::-1] @ turn, baseline @ turn, alpha)
        np.testing.assert_allclose(values, turned, atol=1e-6)
        assert (values <= 1 + 1e-9).all()


def test_the_goal_itself_is_the_best_and_of_several_the_best_counts():
    goals, baseline = vectors(3), vectors(1)[0]
    for alpha in (0.0, 0.5):
        np.testing.assert_allclose(similarity(goals, goals, baseline, alpha), 1.0, atol=1e-6)
        each = [similarity(vectors(1), g[None], baseline, alpha) for g in goals]
        assert max(each) <= 1


class Letters:
    """An embedding by first letter, which counts what it is asked."""

    name = "letters"

    def __init__(self):
        self.asked = []

    def texts(self, texts):
        self.asked += texts
        return np.eye(26, dtype=np.float32)[[ord(t[0]) - 97 for t in texts]]

    def images(self, images):
        return unit(np.stack([np.asarray(i, float).ravel()[:26] + 1 for i in images]))


def ask(reward, numbers):
    return reward(Transitions(np.array(numbers), np.zeros(len(numbers)))).tolist()


def test_each_description_is_embedded_once():
    embedder = Letters()
    reward = EmbeddingReward(embedder, lambda o: "abc"[int(o) % 3], ("a goal",), None, alpha=0.0)
    assert ask(reward, [0, 1, 2, 3, 0]) == [1.0, 0.0, 0.0, 1.0, 1.0]
    assert ask(reward, [5, 4, 3]) == [0.0, 0.0, 1.0]
    assert embedder.asked == ["a goal", "a", "b", "c"]


def test_a_threshold_cuts_off_below():
    reward = EmbeddingReward(Letters(), lambda o: "ab"[int(o)], ("a",), None, alpha=0.0, threshold=0.5)
    assert ask(reward, [0, 1]) == [1.0, 0.5]


def test_goal_and_baseline_must_differ():
    with pytest.raises(ConfigError, match="same embedding"):
        EmbeddingReward(Letters(), str, ("a",), Letters().texts(["a"])[0], alpha=0.5)
    with pytest.raises(ConfigError, match="needs a baseline"):
        EmbeddingReward(Letters(), str, ("a",), None, alpha=0.5)


class Table:
    """An embedding by a table; what is not in it has no finite vector."""

    name = "table"

    def __init__(self, **vectors):
        self.vectors = vectors

    def texts(self, texts):
        return unit(np.array([self.vectors.get(t, (np.nan, 0)) for t in texts], float))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_what_is_not_a_number_is_never_a_reward(alpha):
    baseline = np.array([0.0, 1.0])
    reward = EmbeddingReward(Table(g=(1, 0), a=(1, 1)), str, ("g",), baseline, alpha)
    assert np.isfinite(reward.score(["a"])).all()
    with pytest.raises(ConfigError, match="not finite"):
        reward.score(["a", "unknown"])
    for goal in ("unknown", "zero"):
        with pytest.raises(ConfigError, match=f"nothing of the goal '{goal}'"):
            EmbeddingReward(Table(zero=(0, 0)), str, (goal,), baseline, alpha)
    with pytest.raises(ConfigError, match="nothing of the baseline"):
        EmbeddingReward(Table(g=(1, 0)), str, ("g",), np.array([np.nan, 0.0]), alpha)


def test_an_empty_description_is_no_progress():
    table = Table(g=(1, 0), b=(0, 1), empty=(0, 0))
    with_baseline = EmbeddingReward(table, str, ("g",), np.array([0.0, 1.0]), 0.5)
    np.testing.assert_allclose(with_baseline.score(["empty", "b"]), 0, atol=1e-12)  # d = (1, -1): 1 - |d|^2 / 2
    assert EmbeddingReward(table, str, ("g",), None, 0.0).score(["empty"]) == 0


def test_memory_that_is_full_starts_anew(monkeypatch):
    monkeypatch.setattr("plaudit.rewards.embedding.MEMO", 2)
    embedder = Letters()
    reward = EmbeddingReward(embedder, lambda o: "abcd"[int(o)], ("a",), None, alpha=0.0)
    for numbers in ([0, 1, 2], [3, 0], [1, 2, 0], [3, 3]):
        assert ask(reward, numbers) == [float(n == 0) for n in numbers]
    assert len(reward._memo) <= 4 and len(reward._texts) <= 4 and embedder.asked.count("b") == 2


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        ("wordlama", "text", "Did you mean 'wordllama'"),
        ("/no/such", "text", "no config.json"),
        ("wordllama", "image", "texts only"),
    ],
)
def test_unknown_models_are_named(model, kind, says):
    with pytest.raises(ConfigError, match=says):
        check_embedder(model, kind)


def test_real_word_vectors_know_everyday_progress():
    embedder = WordLlamaEmbedder()
    goal = "make a cup of tea"
    good = ["You poured hot water over the tea leaves.", "The cup of tea is ready."]
    bad = ["You walked along the street.", "The train has left the station."]
    values = similarity(embedder.texts(good + bad), embedder.texts([goal]), None, 0.0)
    assert values[:2].min() > values[2:].max()
    np.testing.assert_allclose(np.linalg.norm(embedder.texts(good), axis=1), 1, atol=1e-5)
    assert np.isfinite(embedder.texts(["", "\U0001f600"])).all()


def small(tmp_path, **options):
    config = RunConfig(
        route="embedding",
        world=WorldConfig(size=5),
        collect=CollectConfig(steps=640),
        embedding=EmbeddingConfig(**options),
    )
    run = Run.create(tmp_path / "r", config)
    run_stages(run, ("collect", "annotate", "fit"))
    return run, read_table(run.folder / "fit" / "rewards.parquet")


def test_the_route_rewards_all_that_was_collected(tmp_path):
    from plaudit.stages.parts import make_route

    run, rows = small(tmp_path)
    assert len(rows) == len(read_table(run.folder / "collect" / "observations.parquet")) > 10
    world = DoorKey(5, render_mode=None)
    reward, shaping = make_route("embedding").reward(run, world)
    observations = DoorKeyVector(8, 5).reset(seed=1)[0]
    values = reward(Transitions(observations, np.zeros(8)))
    assert values.dtype == np.float32 and np.isfinite(values).all() and shaping.std > 0
    known = {row["text"]: row["reward"] for row in rows}
    texts = [world.describe({k: v[i] for k, v in observations.items()}) for i in range(8)]
    assert all(known[t] == pytest.approx(v, abs=1e-6) for t, v in zip(texts, values, strict=True) if t in known)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A tiny CLIP with random weights: it proves the path of pictures, and says nothing about skill."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(i) for i in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(c + "</w>" for c in letters)]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = size | {"vocab_size": len(words), "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config=size | {"image_size": 32, "patch_size": 8}, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    image = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=image, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def test_pictures_take_the_same_way(tmp_path, clip):
    _, rows = small(tmp_path, model=str(clip), input="image", goals=("a green square",))
    assert len({row["reward"] for row in rows}) > 5 and all(-1 <= row["reward"] <= 1 for row in rows)


def test_a_joint_model_puts_both_into_one_space(clip):
    embedder = TransformersEmbedder(clip, "image")
    pictures = [np.zeros((40, 30, 3), np.uint8), np.full((40, 30, 3), 255, np.uint8)]
    assert embedder.images(pictures).shape == embedder.texts(["a", "b c"]).shape == (2, 8)
    assert not np.allclose(*embedder.images(pictures))
