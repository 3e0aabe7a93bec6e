"""The adapter that llama.cpp runs, against PyTorch on a tiny GGUF model; engines that disagree are not let pass."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
gguf = pytest.importorskip("gguf")

import tiny_models  # noqa: E402

from plaudit.config import LLMConfig, WorldConfig  # noqa: E402
from plaudit.errors import ConfigError, PlauditError  # noqa: E402
from plaudit.finetune import export, lm_eval_tasks, run  # noqa: E402
from plaudit.finetune.agreement import REFUSED, TOLD, agreement, leads  # noqa: E402
from plaudit.finetune.lessons import Lesson  # noqa: E402
from plaudit.finetune.report import render  # noqa: E402
from plaudit.finetune.settings import AskConfig, DataConfig, FinetuneConfig, LoraConfig  # noqa: E402
from plaudit.llms import transformers_files as files  # noqa: E402
from plaudit.llms.base import Reply, Request  # noqa: E402

APART = 0.01
"""Nats per token by which an answer's log-probability may differ between the engines: the rounding of 16-bit floats."""
WIDTH, INNER, LAYERS, HEADS, KEY_HEADS = 48, 64, 2, 4, 2
ANSWERS = (" Yes", " No", " It is not clear")


def make_gguf(path, seed=0, width=WIDTH):
    """A Llama of random weights with a token for each byte, as llama.cpp reads it: in its own order of rows."""
    rng, reader = np.random.default_rng(seed), tiny_models.tokenizer(tiny_models.TEXT_ONLY)
    spelled = sorted(reader.get_vocab().items(), key=lambda pair: pair[1])
    tokens = [token for token, _ in spelled] + ["th"]
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(1024)
    writer.add_embedding_length(width)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_dimension_count(width // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in tiny_models.CONTROL else normal for token in tokens])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|pad|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(tiny_models.TEXT_ONLY)
    keys = width // HEADS * KEY_HEADS
    shapes = {"token_embd": (len(tokens), width), "output": (len(tokens), width)}
    for layer in range(LAYERS):
        inside = {"attn_q": (width, width), "attn_k": (keys, width), "attn_v": (keys, width)}
        inside |= {"attn_output": (width, width), "ffn_up": (INNER, width), "ffn_gate": (INNER, width)}
        inside |= {"ffn_down": (width, INNER)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in inside.items()}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.15, shape).astype(np.float32))
    for name in ("output_norm", *(f"blk.{layer}.{part}_norm" for layer in range(LAYERS) for part in ("attn", "ffn"))):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_adapter(model, folder, **more):
    """Random matrices beside every linear layer, of queries and keys too, as peft saves them."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    wanted = LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM", **more)
    made = get_peft_model(LlamaForCausalLM.from_pretrained(model), wanted)
    for name, weights in made.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=0.25)
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def questions():
    return [
        Request(f"A robot {did} a key in the room with the door. Good?", answers=ANSWERS)
        for did in ("took", "lost", "found", "threw away", "ate", "painted")
    ]


def per_token(llm):
    """Of each question's answers, ``(questions, answers)``; each of their bytes is a token."""
    return np.array([reply.logprobs for reply in llm.choose(questions())]) / [len(answer) for answer in ANSWERS]


def by_pytorch(base, adapter=""):
    from plaudit.llms.transformers_model import TransformersLLM

    llm = TransformersLLM(str(base), adapter=str(adapter))
    found = per_token(llm)
    llm.close()
    return found


def by_llama_cpp(base, adapter=""):
    pytest.importorskip("cyllama")
    from plaudit.llms.embedded import EmbeddedLLM

    llm = EmbeddedLLM(str(base), adapter=str(adapter), threads=1)
    found = per_token(llm)
    llm.close()
    return found


@pytest.mark.parametrize("stabilised", [False, True])
def test_llama_cpp_runs_the_adapter_as_pytorch_does(base, tmp_path, stabilised):
    adapter = make_adapter(files.find(str(base)), tmp_path / "style", use_rslora=stabilised)
    made = export.to_gguf(adapter, base, tmp_path / "style.gguf", {"base": str(base)})
    before, after = by_pytorch(base), by_pytorch(base, adapter)
    assert np.abs(after - before).max() > 50 * APART, "an adapter that changes nothing would tell nothing"
    np.testing.assert_allclose(by_llama_cpp(base), before, atol=APART)
    np.testing.assert_allclose(by_llama_cpp(base, made), after, atol=APART)


def test_the_file_is_what_a_converter_writes(base, tmp_path):
    """Matrices whose rows stay in order, against a writer that knows nothing of ours."""
    adapter = tiny_models.make_adapter(files.find(str(base)), tmp_path / "style")
    made = export.to_gguf(adapter, base, tmp_path / "ours.gguf", {})
    tiny_models.as_gguf(adapter, tmp_path / "theirs.gguf")
    ours, theirs = (
        {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
        for path in (made, tmp_path / "theirs.gguf")
    )
    assert ours.keys() == theirs.keys() and len(ours) == 8
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert gguf.GGUFReader(made).fields["adapter.lora.alpha"].contents() == 8.0


def test_an_adapter_of_another_model_or_kind_is_refused(base, tmp_path):
    adapter = make_adapter(files.find(str(base)), tmp_path / "style")
    other = make_gguf(tmp_path / "wide.gguf", width=96)
    with pytest.raises(ConfigError, match=r"is not for wide\.gguf: its .* has no place there"):
        export.to_gguf(adapter, other, tmp_path / "a.gguf", {})
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": True}))
    with pytest.raises(ConfigError, match="no DoRA adapters"):
        export.to_gguf(adapter, base, tmp_path / "a.gguf", {})
    assert not list(tmp_path.glob("*a.gguf*"))


def settings(base):
    return FinetuneConfig(
        world=WorldConfig("doorkey", size=5),
        llm=LLMConfig(model=str(base), threads=1, context=1024),
        data=DataConfig(kinds=("compare",), examples=40, steps=2000, held_out=0.3),
        ask=AskConfig(prompt="pointwise-b"),
        lora=LoraConfig(steps=6, batch=2, kl=0.0, learning_rate=0.05, threads=1),
    )


def test_the_stage_says_how_far_the_engines_are_apart(base, tmp_path, monkeypatch, caplog):
    pytest.importorskip("cyllama")
    config, folder, stages = settings(base), tmp_path / "f", ("data", "train", "export")
    run.finetune(config, folder, stages[:2])
    alpha = export._alpha
    monkeypatch.setattr(export, "_alpha", lambda settings: 1e-6 * alpha(settings))  # as good as none
    with pytest.raises(
        PlauditError, match=r"does not run what was taught: .*100% of what teaching changed.*transformers:"
    ):
        run.finetune(config, folder, stages)
    assert not (folder / "export/adapter.gguf").exists() and not (folder / "export/stage.json").exists()
    assert (folder / "export/agreement.parquet").is_file()
    monkeypatch.setattr(export, "_alpha", lambda settings: 0.7 * alpha(settings))
    caplog.clear()
    done = run.finetune(config, folder, stages)
    summary = done.finished("export")["summary"]
    assert TOLD < summary["moved_share"] < REFUSED and any("teaching changed" in each for each in summary["doubts"])
    assert "llama.cpp and PyTorch disagree" in caplog.text and "--llm.adapter" in caplog.text
    assert "llama.cpp and PyTorch disagree" in render(done)
    monkeypatch.undo()
    (folder / "export/stage.json").unlink()
    done = run.finetune(config, folder, stages)
    summary = done.finished("export")["summary"]
    assert summary["doubts"] == [] and summary["moved_share"] < 0.05 and summary["correlation"] > 0.99
    assert "disagree" not in render(done)


def told(odds):
    """Pairs of questions, and replies with these log-odds of yes."""
    lessons = [Lesson("compare", (f"near {i}", f"far {i}"), (" Yes", " No"), None) for i in range(len(odds) // 2)]
    return lessons, [Reply("ok", logprobs=(value, 0.0), lengths=(1, 1)) for value in odds]


def test_what_is_out_of_tolerance_is_put_into_words():
    odds = np.random.default_rng(0).normal(0, 3, 80)
    lessons, exact = told(odds)
    before = [0.0] * len(lessons)
    close = agreement(lessons, exact, told(odds + np.random.default_rng(1).normal(0, 0.1, 80))[1], before)
    assert close.doubts() == [] and not close.refused
    turned = agreement(lessons, exact, told(-odds)[1], before)
    assert turned.refused and turned.correlation == pytest.approx(-1) and turned.moved_share == pytest.approx(2)
    unknown = agreement(lessons, exact, told(-odds)[1], [None] * len(lessons))
    assert unknown.moved_share is None and unknown.refused, "their correlation is enough"
    tiny = agreement(*told(0.01 * odds), told(-0.01 * odds)[1], before)
    assert tiny.doubts() and not tiny.refused, "less than rounding may come to"
    assert not agreement(lessons[:3], exact[:6], told(-odds[:6])[1], before[:3]).refused, "too few to tell"


def test_shares_of_right_answers_that_chance_does_not_explain():
    right = np.tile([4.0, 0.0], 60)
    lessons, exact = told(right)
    before = [-40.0] * len(lessons)

    def with_wrong(count):
        used = right.copy()
        used[: 2 * count] = np.tile([0.0, 0.1], count)
        return agreement(lessons, exact, told(used)[1], before)

    assert not any("examples right" in each for each in with_wrong(1).doubts())
    assert with_wrong(10).doubts()[0] == "PyTorch has 100.0% of the held-out examples right and llama.cpp 83.3%"


WORDS = (" crane", " slate", " adieu", " audio")


def acted(weights):
    """Actions, of which the third is right, and replies with these log-probabilities; every word is two tokens."""
    asked = [Lesson("action", (f"game {i}",), (WORDS[2],), 0, choices=WORDS) for i in range(len(weights))]
    return asked, [Reply("ok", logprobs=tuple(2 * each), lengths=(2, 2, 2, 2)) for each in weights]


def test_of_an_action_the_right_one_is_compared():
    taught = np.random.default_rng(0).normal(-5, 2, (12, 4))
    lessons, exact = acted(taught)
    assert leads(lessons, exact) == pytest.approx(taught[:, 2].tolist())
    before = (taught[:, 2] - 3).tolist()
    close = agreement(lessons, exact, acted(taught + 0.01)[1], before)
    assert close.moved_share == pytest.approx(0.01 / 3) and not close.doubts()
    assert close.rows[0]["pytorch"] == pytest.approx(taught[0, 2] - taught[0, [0, 1, 3]].mean())
    unlike = taught.copy()
    unlike[:, 2] -= 3  # as if the adapter were not there; the two words that are listed first stay
    found = agreement(lessons, exact, acted(unlike)[1], before)
    assert found.moved_share == pytest.approx(1) and found.refused
    turned = taught.copy()
    turned[:, 2] = 2 * taught[:, [0, 1, 3]].mean(axis=1) - taught[:, 2]
    assert agreement(lessons, exact, acted(turned)[1], before).correlation == pytest.approx(-1)


def test_where_nothing_could_be_asked_it_is_said():
    nothing = agreement([], [], [], [])
    assert "not known whether they agree" in nothing.doubts()[0] and not nothing.refused
    lessons, exact = told([1.0, 0.0])
    failed = agreement(lessons, exact, [Reply("error", error="no")] * 2, [0.0])
    assert failed.doubts() == ["2 of 2 questions were not answered by both"]


def test_what_an_engine_fails_to_answer_is_left_out_and_told():
    odds = np.random.default_rng(0).normal(0, 3, 80)
    lessons, exact = told(odds)
    used = [Reply("error", error="too long"), *exact[1:]]
    found = agreement(lessons, exact, used, [0.0] * len(lessons))
    assert (
        found.failed == 1
        and len(found.rows) == 79
        and found.doubts() == ["1 of 80 questions were not answered by both"]
    )
    assert leads(lessons, used)[0] is None and leads(lessons, exact)[0] == pytest.approx(odds[0] - odds[1])
    choice = Lesson("next", ("which?",), (" A", " B", " C"), 1)
    assert leads([choice], [Reply("ok", logprobs=(-1.0, -2.0, -5.0))]) == [-1.0]


def test_lm_eval_reads_a_gguf_base_as_teaching_does(base, monkeypatch):
    given = {}
    found = {
        "samples": {
            "arc": [
                {
                    "metrics": ["acc"],
                    "acc": 1.0,
                    "filter": "none",
                    "arguments": [0, 1],
                    "doc_id": 0,
                    "doc_hash": "0" * 12,
                    "filtered_resps": [],
                }
            ]
        }
    }
    monkeypatch.setitem(
        sys.modules, "lm_eval", SimpleNamespace(simple_evaluate=lambda **told: given.update(told) or found)
    )
    lm_eval_tasks.measure_tasks(str(base), ["arc"], adapter="f/train/adapter")
    assert given["model_args"]["pretrained"] == str(files.find(str(base))) and given["model_args"]["peft"]
    with pytest.raises(ConfigError, match=r"is one for llama\.cpp.*train/adapter"):
        lm_eval_tasks.measure_tasks(str(base), ["arc"], adapter="f/export/adapter.gguf")
