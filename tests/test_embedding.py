"""The embedding route: the formula by hand, the memo, the errors, real word vectors, a run, and the path of pictures."""

import importlib.util
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from plaudit.config import CollectConfig, EmbeddingConfig, RunConfig, WorldConfig
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.errors import ConfigError, MissingExtraError, PlauditError
from plaudit.rewards import embedders
from plaudit.rewards.base import Transitions
from plaudit.rewards.embedders import check_embedder, make_embedder, unit
from plaudit.rewards.embedding import EmbeddingReward, similarity
from plaudit.routes.base import judged_rewards, known_rewards
from plaudit.routes.embedding import Embedding
from plaudit.stages.annotate import annotate
from plaudit.stages.collect import collect
from plaudit.stages.fit import fit
from plaudit.store import Run, load_tree
from plaudit.vector import rows, take

BASELINE = np.array([0.0, 0.0, 1.0])
TABLE = {"goal": (1.0, 0.0, 0.0), "other goal": (0.0, 1.0, 0.0), "near": (0.8, 0.0, 0.6), "start": (0.0, 0.0, 1.0)}


class Looked:
    """An embedding model of four texts that notes what it is asked."""

    name = "looked up"

    def __init__(self):
        self.asked = []

    def texts(self, texts):
        self.asked += texts
        return np.array([TABLE.get(t, (0, 0, 0)) for t in texts], np.float32)


@pytest.fixture(scope="module")
def wordllama():
    return make_embedder("wordllama", "text")


def reward(goals=("goal",), baseline=BASELINE, **options):
    embedder = Looked()
    made = EmbeddingReward(embedder, str, goals, baseline, **options)
    embedder.asked.clear()
    return made, embedder


def by_matrix(states, goal, baseline, alpha):
    """The formula as it is written, with its d x d matrix."""
    d = goal - baseline
    projection = alpha * np.outer(d, d) / (d @ d) + (1 - alpha) * np.eye(len(d))
    return np.array([1 - np.linalg.norm((s - goal) @ projection) ** 2 / 2 for s in states])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_the_formula_is_that_with_the_whole_matrix(alpha):
    rng = np.random.default_rng(0)
    states, goals, baseline = (unit(rng.normal(size=n)) for n in ((40, 16), (3, 16), 16))
    each = [by_matrix(states.astype(float), g.astype(float), baseline.astype(float), alpha) for g in goals]
    np.testing.assert_allclose(similarity(states, goals[:1], baseline, alpha), each[0], atol=1e-6)
    np.testing.assert_allclose(similarity(states, goals, baseline, alpha), np.max(each, axis=0), atol=1e-6)


def test_by_hand():
    # g = x, b = z, d = x - z. near - g = (-0.2, 0, 0.6): along d -0.8/sqrt 2, squared 0.32; whole 0.4; across 0.08.
    for alpha, value in ((0.0, 0.8), (0.5, 1 - (0.32 + 0.25 * 0.08) / 2), (1.0, 0.84)):
        made, _ = reward(alpha=alpha)
        assert made.score(["near", "goal"]) == pytest.approx([value, 1.0])


def test_alpha_0_is_the_cosine_and_needs_no_baseline():
    made, _ = reward(baseline=None, alpha=0.0)
    assert made.score(["goal", "near", "start", "unknown words"]) == pytest.approx([1, 0.8, 0, 0])


def test_alpha_1_sees_the_part_along_the_line_only():
    rng = np.random.default_rng(1)
    goal, baseline = unit(rng.normal(size=(2, 8))).astype(float)
    d = (goal - baseline) / np.linalg.norm(goal - baseline)
    # Two unit vectors with the same part along d, the rest of each in a direction of its own.
    across = rng.normal(size=(2, 8))
    across -= np.outer(across @ d, d)
    states = 0.4 * d + np.sqrt(1 - 0.16) * unit(across)
    whole, half = (similarity(states, goal[None], baseline, alpha) for alpha in (1.0, 0.5))
    assert whole[0] == pytest.approx(whole[1], abs=1e-6) and abs(half[0] - half[1]) > 1e-3


def test_alpha_1_orders_as_nearness_to_the_goal_less_nearness_to_the_baseline():
    rng = np.random.default_rng(2)
    states, goal, baseline = (unit(rng.normal(size=n)) for n in ((200, 20), 20, 20))
    plain = states @ goal - states @ baseline
    assert plain.max() < goal @ (goal - baseline)  # nothing lies beyond the goal: there it would count as too far
    np.testing.assert_array_equal(np.argsort(plain), np.argsort(similarity(states, goal[None], baseline, 1.0)))


def test_of_several_goals_the_best_counts():
    one, other, both = (reward(goals)[0].score(["near", "start", "other goal"]) for goals in
                        (("goal",), ("other goal",), ("goal", "other goal")))  # fmt: skip
    assert both == pytest.approx(np.maximum(one, other)) and both[2] == pytest.approx(1)


def test_below_the_threshold_all_are_the_same():
    made, _ = reward(alpha=0.0, threshold=0.5)
    assert made.score(["goal", "near", "start"]) == pytest.approx([1, 0.8, 0.5])


def test_each_distinct_description_is_embedded_once(monkeypatch):
    made, embedder = reward()
    first = made.score(["near", "start", "near"])
    assert embedder.asked == ["near", "start"]
    assert (made.score(["start", "near", "goal"])[:2] == first[[1, 0]]).all() and embedder.asked[2:] == ["goal"]
    monkeypatch.setattr("plaudit.rewards.embedding.MEMO", 2)
    assert made.score(["near"]) == first[:1] and embedder.asked[3:] == ["near"]  # a full table starts anew
    assert made.score([]).shape == (0,)


def test_a_batch_of_a_world_is_float32_and_finite(wordllama):
    world, envs = DoorKey(5), DoorKeyVector(16, 5)
    observations, _ = envs.reset(seed=0)
    made = EmbeddingReward(wordllama, world.describe, (world.goal,), wordllama.texts(["You have just begun."])[0])
    values = made(Transitions(observations, np.zeros(16)))
    assert values.shape == (16,) and values.dtype == np.float32 and np.isfinite(values).all()
    one = made(Transitions(take(observations, [3]), np.zeros(1)))
    assert one == pytest.approx(values[3:4])


@pytest.mark.parametrize("goals, baseline, words", [
    (("start",), BASELINE, "same embedding"),
    (("goal", "start"), BASELINE, "same embedding"),
    (("goal",), None, "needs a baseline"),
    (("goal", "unheard"), BASELINE, "'unheard' has no word"),
])  # fmt: skip
def test_goals_and_baselines_that_do_not_serve(goals, baseline, words):
    with pytest.raises(ConfigError, match=words):
        reward(goals, baseline)


@pytest.mark.parametrize("model, kind, words", [
    ("wordlama", "text", "Did you mean 'wordllama'"),
    ("wordllama", "image", "texts only"),
    ("{folder}", "text", "no config.json"),
    ("{folder}/nowhere", "image", "no config.json"),
])  # fmt: skip
def test_models_that_there_are_not(model, kind, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        check_embedder(model.format(folder=tmp_path), kind)


@pytest.mark.parametrize("package, extra", [("wordllama", "embedding"), ("transformers", "vision")])
def test_a_missing_package_is_named_with_its_extra(package, extra, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=rf"plaudit\[{extra}\]"):
        make_embedder("wordllama" if package == "wordllama" else str(tmp_path), "text")


def test_numbers_that_are_none_are_refused():
    with pytest.raises(PlauditError, match="not finite"):
        unit(np.array([[1.0, np.nan]]))
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])) == pytest.approx(np.array([[0.6, 0.8], [0, 0]]))


EVERYDAY = [
    ("bake a loaf of bread", "The bread came out of the oven, brown and well risen.", "The cat sleeps on the sofa."),
    ("repair the bicycle", "The bicycle's flat tyre is patched and it rides again.", "It rains all afternoon."),
    ("send the letter", "The letter is in the envelope and has been posted.", "Someone paints the fence green."),
    ("catch the train", "She gets on the train just as the doors close.", "He counts the apples in the bowl."),
    ("learn the song", "He sings the whole song from memory.", "The road is being mended."),
]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("goal, good, bad", EVERYDAY)
def test_word_vectors_tell_plainly_good_from_plainly_bad(wordllama, goal, good, bad, alpha):
    baseline = wordllama.texts(["Nothing has happened yet."])[0]
    better, worse = EmbeddingReward(wordllama, str, (goal,), baseline, alpha).score([good, bad])
    assert better > worse + 0.02


def test_word_vectors_are_of_length_1_and_do_not_touch_the_log(wordllama):
    vectors = wordllama.texts(["the key", "the key and a much longer sentence about a door", ""])
    assert vectors.dtype == np.float32 and np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0])
    assert logging.getLogger().level == logging.WARNING
    with pytest.raises(ConfigError, match="texts only"):
        wordllama.images([np.zeros((4, 4, 3), np.uint8)])


def made_run(folder, **options):
    config = RunConfig(
        route="embedding",
        world=WorldConfig(size=5),
        collect=CollectConfig(steps=2560, num_envs=16),
        embedding=EmbeddingConfig(**options),
    )
    Embedding().check(config, DoorKey(5))
    run = Run.create(folder, config)
    for stage in (collect, annotate, fit):
        stage(run)
    return run


def checked(run):
    """What every run must have left behind; returns the rewards of what was collected."""
    known, world = known_rewards(run), DoorKey(5)
    made, shaping = Embedding().reward(run, world)
    observations = load_tree(run.folder / "collect" / "observations.safetensors")["observations"]
    observations = {k: v.numpy() for k, v in observations.items()}
    values = made(Transitions(observations, np.zeros(len(known))))
    texts = [world.describe(o) for o in rows(observations)]
    assert [known[t] for t in texts] == pytest.approx(values.tolist(), abs=1e-5)
    assert judged_rewards(run) == pytest.approx(values, abs=1e-5)
    assert abs(shaping.value(values).mean()) < 2  # normalised, cut at the quantile
    return values


def test_a_run_from_collecting_to_the_reward(tmp_path, wordllama):
    plain = made_run(tmp_path / "plain")
    values = checked(plain)
    assert 0 < np.ptp(values) < 2 and not (plain.folder / "ledger.sqlite").exists()
    typed = made_run(tmp_path / "typed", baseline="You see only walls.", goals=("You reached the goal square.",))
    assert not np.allclose(checked(typed), values)
    vectors = load_tree(typed.folder / "annotate" / "vectors.safetensors")
    assert vectors["goals"] == ["You reached the goal square."]


def test_a_run_whose_rewards_are_all_the_same_is_told(tmp_path, wordllama):
    with pytest.raises(ConfigError, match=r"equally similar.*threshold"):
        made_run(tmp_path / "r", threshold=1.0)
    with pytest.raises(ConfigError, match="threshold"):
        made_run(tmp_path / "s", threshold=float("nan"))


def test_a_world_without_pictures_cannot_be_looked_at(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    world = DoorKey(5)
    world.picture = lambda obs: None
    config = replace(RunConfig(), embedding=EmbeddingConfig(model=str(tmp_path), input="image"))
    with pytest.raises(ConfigError, match="no pictures"):
        Embedding().check(config, world)


SENTENCE = "you see the key door goal square locked open walls and floor hold your hands are empty a to use"
WORDS = SENTENCE.split()


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A CLIP of a few thousand random weights, with its own tokenizer and picture processor."""
    import transformers

    folder = tmp_path_factory.mktemp("clip")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = small | ends | {"vocab_size": 64, "max_position_embeddings": 40}
    vision = small | {"image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    transformers.CLIPModel(config).save_pretrained(folder)
    tokenizer = word_tokenizer(transformers, "<|startoftext|>", "<|endoftext|>")
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPProcessor(transformers.CLIPImageProcessor(**size), tokenizer).save_pretrained(folder)
    return folder


def word_tokenizer(transformers, begin, end):
    """One token for each word, made here: nothing is downloaded."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate([begin, end, "[unk]", *WORDS])}, "[unk]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(f"{begin} $A {end}", special_tokens=[(begin, 0), (end, 1)])
    names = {"bos_token": begin, "eos_token": end, "pad_token": end, "unk_token": "[unk]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def test_pictures_and_texts_of_an_image_text_model_lie_in_one_space(clip_folder):
    """Proves the path from a folder to unit vectors, not any skill: the weights are random."""
    embedder = make_embedder(str(clip_folder), "image")
    world, envs = DoorKey(5), DoorKeyVector(40, 5)
    pictures = [world.picture(o) for o in rows(envs.reset(seed=0)[0])]
    images, texts = embedder.images(pictures), embedder.texts(["You see the key.", "the door " * 200])
    assert images.shape == (40, 12) and texts.shape == (2, 12) and images.dtype == texts.dtype == np.float32
    assert np.linalg.norm(np.concatenate([images, texts]), axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(images[33], embedder.images(pictures[33:34])[0], atol=1e-5)  # batches change nothing
    from transformers import AutoModel

    model, pixels = (
        AutoModel.from_pretrained(clip_folder),
        embedder._processor(images=pictures[:1], return_tensors="pt"),
    )
    with torch.no_grad():
        by_hand = model.visual_projection(model.vision_model(**pixels).pooler_output).numpy()
    np.testing.assert_allclose(images[:1], unit(by_hand), atol=1e-5)


def test_a_run_on_pictures(clip_folder, tmp_path):
    """The route from collecting to the reward with input=image. The path, not the skill: the weights are random."""
    run = made_run(tmp_path / "r", model=str(clip_folder), input="image")
    assert np.ptp(checked(run)) > 0
    assert load_tree(run.folder / "annotate" / "vectors.safetensors")["baseline"].shape == (12,)


def test_a_text_encoder_is_the_mean_over_its_last_states(tmp_path):
    """A random BERT of one layer: padding must not change a text's vector. The path, not the skill."""
    import transformers

    config = transformers.BertConfig(vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                     num_attention_heads=2, max_position_embeddings=40)  # fmt: skip
    torch.manual_seed(0)
    model = transformers.BertModel(config).eval()
    model.save_pretrained(tmp_path)
    word_tokenizer(transformers, "[cls]", "[sep]").save_pretrained(tmp_path)
    embedder = make_embedder(str(tmp_path), "text")
    texts = ["you see the key", "the locked door and the open door", "the key " * 100]
    together, alone = embedder.texts(texts), np.concatenate([embedder.texts([t]) for t in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    ids = torch.tensor([[0, *(3 + WORDS.index(w) for w in texts[0].split()), 1]])
    with torch.no_grad():
        by_hand = model(ids).last_hidden_state.mean(1).numpy()
    np.testing.assert_allclose(together[:1], unit(by_hand), atol=1e-5)
    with pytest.raises(ConfigError, match="no common space"):
        embedders.TransformersEmbedder(tmp_path, "image")


def test_a_folder_with_broken_weights_is_told(clip_folder, tmp_path):
    for path in clip_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 100 if path.suffix == ".safetensors" else None])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        make_embedder(str(tmp_path), "image")
