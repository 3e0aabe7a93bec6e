"""Embedding models from a folder: pooling, length, padding, and folders that hold half a model.

All models here are tiny and made on the spot with random weights: they prove the path, and say nothing about skill.
"""

import json

import numpy as np
import pytest

from plaudit.errors import ConfigError
from plaudit.rewards.embedders import TransformersEmbedder, pool, pooling


def make_bert(folder, positions=16):
    """A tiny text encoder with random weights."""
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tea", "cup", "train"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=positions, **shape)).save_pretrained(folder)
    return folder


def test_pooling_by_hand_with_padding_on_either_side():
    import torch

    hidden = torch.arange(12.0).reshape(2, 3, 2)
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    assert pool(hidden, mask, "cls").tolist() == [[0, 1], [8, 9]]
    assert pool(hidden, mask, "last").tolist() == [[2, 3], [10, 11]]
    assert pool(hidden, mask, "mean").tolist() == [[1, 2], [9, 10]]


@pytest.mark.parametrize(
    ("said", "how"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode_max_tokens": True}, None),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, None),
        ({}, None),
    ],
)
def test_pooling_is_as_the_folder_says(tmp_path, said, how):
    assert pooling(tmp_path) == "mean"
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(said))
    if how is not None:
        assert pooling(tmp_path) == how
        (tmp_path / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(ValueError, match="Dense" if how else "1_Pooling asks for"):
        pooling(tmp_path)


def test_the_pooling_that_is_said_is_used(tmp_path):
    make_bert(tmp_path)
    mean = TransformersEmbedder(tmp_path, "text").texts(["tea cup"])
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert not np.allclose(mean, TransformersEmbedder(tmp_path, "text").texts(["tea cup"]), atol=1e-3)


def test_siglip_reads_a_text_the_same_whatever_is_beside_it(tmp_path):
    """Again random weights. Its vector of a text is the last position's: with less than full padding another one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    plain = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "tea": 3, "cup": 4}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, model_max_length=16, **special)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = size | {"vocab_size": 5, "max_position_embeddings": 16, "projection_size": 16}
    text |= {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    config = SiglipConfig(text_config=text, vision_config=size | {"image_size": 32, "patch_size": 8})
    SiglipModel(config).save_pretrained(tmp_path)
    image = SiglipImageProcessor(size={"height": 32, "width": 32})
    SiglipProcessor(image_processor=image, tokenizer=tokenizer).save_pretrained(tmp_path)
    for kind in ("image", "text"):
        embedder = TransformersEmbedder(tmp_path, kind)
        alone, beside = embedder.texts(["tea"]), embedder.texts(["tea", "cup tea cup tea tea"])
        np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)
    assert TransformersEmbedder(tmp_path, "image").images([np.zeros((40, 30, 3), np.uint8)]).shape == (1, 16)


def damage(folder, how):
    from safetensors.torch import load_file, save_file

    weights = folder / "model.safetensors"
    if how == "pooler" or how == "encoder":
        kept = {k: v for k, v in load_file(weights).items() if not k.startswith(how)}
        save_file(kept, weights, {"format": "pt"})
    elif how == "shape":
        said = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(said | {"hidden_size": 16}))
    else:
        for file in [*folder.glob("*token*"), folder / "vocab.txt"]:
            file.unlink()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("encoder", "lacks 16 weights"),  # transformers itself would fill them in at random
        ("shape", "cannot be loaded"),
        ("tokenizer", "no tokenizer"),
    ],
)
def test_half_a_model_is_refused(tmp_path, how, says):
    damage(make_bert(tmp_path), how)
    with pytest.raises(ConfigError, match=says):
        TransformersEmbedder(tmp_path, "text")


def test_a_pooler_that_nobody_reads_may_be_missing(tmp_path):
    before = TransformersEmbedder(make_bert(tmp_path), "text").texts(["tea"])
    damage(tmp_path, "pooler")
    np.testing.assert_allclose(before, TransformersEmbedder(tmp_path, "text").texts(["tea"]), atol=1e-6)
