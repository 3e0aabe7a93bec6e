"""Teaching under bad input: each is refused with what to do, and what was done before is kept."""

import resource
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

import tiny_models  # noqa: E402

from plaudit.config import LLMConfig, WorldConfig  # noqa: E402
from plaudit.errors import ConfigError, LeakError, LLMError, PlauditError, StoreError  # noqa: E402
from plaudit.finetune import handover, losses, refusals, run, teach  # noqa: E402
from plaudit.finetune.encode import encode  # noqa: E402
from plaudit.finetune.lessons import Lesson  # noqa: E402
from plaudit.finetune.lora import Step  # noqa: E402
from plaudit.finetune.settings import AskConfig, DataConfig, FinetuneConfig, LoraConfig  # noqa: E402
from plaudit.llms import gguf_adapter  # noqa: E402
from plaudit.llms.base import Request  # noqa: E402
from plaudit.llms.embedded import EmbeddedLLM  # noqa: E402
from plaudit.llms.transformers_model import TransformersLLM  # noqa: E402
from plaudit.store import load_tree, read_json, read_table, write_json, write_table  # noqa: E402

STAGES = ("data", "train")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.make_text(tmp_path_factory.mktemp("models") / "tiny")


def settings(model, **lora):
    return FinetuneConfig(
        world=WorldConfig("doorkey"),
        llm=LLMConfig(model=f"transformers:{model}"),
        data=DataConfig(kinds=("progress",), examples=20, steps=2000),
        ask=AskConfig(prompt="pointwise-b"),
        lora=replace(LoraConfig(kinds=("progress",), steps=3, rank=2, kl=0.0, threads=1), **lora),
    )


def adapter_file(folder):
    return folder / "train/adapter/adapter_model.safetensors"


def test_leaks_and_one_sided_rows_that_somebody_added_are_refused(model, tmp_path):
    config = settings(model)
    run.finetune(config, tmp_path, ("data",))
    train, held_out = tmp_path / "data/train.parquet", tmp_path / "data/held_out.parquet"
    rows = read_table(train)
    write_table(train, [*rows, read_table(held_out)[0]])
    with pytest.raises(LeakError, match="1 states are in held-out rows and in rows to train on: '") as told:
        run.finetune(config, tmp_path, STAGES)
    assert told.value.items
    write_table(train, [row for row in rows if row["answer"] == "Yes"])
    with pytest.raises(ConfigError, match=r"all 10 examples of progress have the answer 'Yes'.*--data\.sources"):
        run.finetune(config, tmp_path, STAGES)
    train.write_bytes(b"garbage" * 50)
    with pytest.raises(StoreError, match=r"train\.parquet cannot be read.*Delete .*data and run the same command"):
        run.finetune(config, tmp_path, STAGES)
    with pytest.raises(ConfigError, match=r"lora\.examples must be at least 10"):
        run.finetune(settings(model, examples=3), tmp_path / "few")


def test_a_loss_that_is_no_number_keeps_the_weights_before_it(model, tmp_path, monkeypatch):
    exact, steps = losses.loss, []

    def spoilt(sample, weights):
        steps.append(1)
        return exact(sample, weights) * (float("nan") if len(steps) > 8 else 1)  # four a step, in the third

    config = settings(model, steps=5)
    run.finetune(config, tmp_path, ("data",))
    monkeypatch.setattr(teach, "answered", lambda _, asked, *__: [teach.Answered(1.0, 0.0, 0.0)] * len(asked))
    monkeypatch.setattr(losses, "loss", spoilt)
    with pytest.raises(PlauditError, match=r"step 3 came to .* no number.*learning-rate"):
        run.finetune(config, tmp_path, STAGES)
    kept = load_tree(tmp_path / "train/checkpoint.safetensors")
    assert kept["teacher"]["step"] == len(kept["curve"]) == 2
    assert all(weight.isfinite().all() for weight in kept["teacher"]["weights"].values())
    (tmp_path / "train/checkpoint.safetensors").write_bytes(b"garbage" * 50)
    with pytest.raises(StoreError, match=r"checkpoint\.safetensors cannot be read.*Delete .*train"):
        run.finetune(config, tmp_path, STAGES)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("std::bad_alloc"), RuntimeError("can't allocate memory")]
)
def test_too_little_memory_names_the_settings(error):
    with (
        pytest.raises(LLMError, match=r"Lower --lora\.part-tokens \(now 1024\), --lora\.batch \(now 4\)"),
        refusals.enough_memory(LoraConfig()),
    ):
        raise error
    for other in ("other", "CUDA error: an illegal memory access was encountered"):
        with pytest.raises(RuntimeError, match=other), refusals.enough_memory(LoraConfig()):
            raise RuntimeError(other)
    with pytest.raises(LLMError, match="what was taught is kept"), refusals.enough_memory():
        raise error


def test_held_out_actions_for_which_the_memory_does_not_suffice(model, monkeypatch):
    """The back-end gives them back as failed; no shorter prompt is what helps."""
    llm = TransformersLLM(str(model), context=512)
    actions = [Lesson("action", ("Now: here\nAction:",), (" a",), 0, choices=(" a", " b"))]
    samples = [encode(llm, each) for each in actions]

    def ask(said):
        def fail(*_):
            raise RuntimeError(said)

        monkeypatch.setattr(llm, "_evaluate", fail)
        with refusals.enough_memory(LoraConfig()):
            teach.answered(llm, actions, samples, "ask")

    with pytest.raises(LLMError, match=r"the memory does not suffice: .*out of memory.*--lora\.batch"):
        ask("CUDA out of memory. Tried to allocate 2 GiB")
    with pytest.raises(LLMError, match=r"could not be asked: .*another fault.*--ask\.act act-b"):
        ask("another fault")
    llm.close()


def test_export_says_so_where_the_memory_does_not_suffice(model, monkeypatch, tmp_path):
    made = run.Finetune.create(tmp_path / "f", settings(model))
    (tmp_path / "f/train").mkdir()
    write_table(tmp_path / "f/train/answers.parquet", [{"margin_before": 0.0}])

    def full(*_):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(handover, "base", full)
    monkeypatch.setattr(handover, "lessons", lambda *_: [])
    with pytest.raises(LLMError, match=r"the memory does not suffice: CUDA out of memory.*what was taught is kept"):
        handover._compared(made, tmp_path / "adapter", tmp_path / "adapter.gguf")


def test_an_adapter_is_for_the_weights_it_was_taught_on(model, tmp_path):
    config = settings(model)
    run.finetune(config, tmp_path / "f", STAGES)
    adapter = tmp_path / "f/train/adapter"
    moved = shutil.copytree(model, tmp_path / "moved")
    TransformersLLM(str(moved), adapter=str(adapter)).close()
    other = tiny_models.make_text(tmp_path / "other", seed=5)  # the same shapes
    with pytest.raises(
        ConfigError, match=rf"taught on {model} .*{other} has other weights.*--llm transformers:{model}"
    ):
        TransformersLLM(str(other), adapter=str(adapter))
    (adapter / gguf_adapter.NOTED).write_text("{")
    with pytest.raises(ConfigError, match=r"plaudit\.json cannot be read"):
        TransformersLLM(str(model), adapter=str(adapter))
    (adapter / gguf_adapter.NOTED).unlink()
    adapter_file(tmp_path / "f").write_bytes(b"garbage" * 50)
    with pytest.raises(LLMError, match=r"adapter .* cannot be put on this model.*teach it anew"):
        TransformersLLM(str(model), adapter=str(adapter))


def test_an_adapter_for_llama_cpp_knows_its_base_too(tmp_path, monkeypatch):
    made, base = tmp_path / "adapter.gguf", tmp_path / "base.gguf"
    monkeypatch.setattr(gguf_adapter, "check", lambda adapter: None)
    monkeypatch.setattr(gguf_adapter, "noted", lambda path: {"base": "embedded", "weights": "aaaa"})
    monkeypatch.setattr(gguf_adapter.weights, "fingerprint", lambda path: "bbbb")
    with pytest.raises(
        ConfigError, match=r"taught on embedded \(weights aaaa\).*base\.gguf has other weights \(bbbb\)"
    ):
        gguf_adapter.merged(base, made)


def test_an_adapter_names_its_base_from_anywhere(model, tmp_path, monkeypatch):
    monkeypatch.chdir(model.parent)
    config = settings(model.name)
    assert teach.notes(config)["base"] == str(model)
    made = run.Finetune.create(tmp_path / "f", config)
    monkeypatch.setattr(made, "finished", lambda stage: {"summary": {}})
    assert f"--llm transformers:{model} --llm.adapter" in run.next_step(made)
    for name in ("embedded", "some/model"):  # of the package, of the hub
        assert teach.notes(replace(config, llm=LLMConfig(model=f"transformers:{name}")))["base"] == name


def test_a_base_that_is_gone_is_said_to_be_what_the_adapter_names(tmp_path, monkeypatch):
    adapter = tmp_path / "adapter.gguf"
    adapter.touch()
    monkeypatch.setattr(gguf_adapter, "noted", lambda path: {"base": "models/rel.gguf", "weights": "aaaa"})
    wanted = r"adapter\.gguf names models/rel\.gguf .* no such file.*--llm MODEL\.gguf --llm\.adapter .*adapter\.gguf"
    for ask in (EmbeddedLLM.check, EmbeddedLLM.open):
        with pytest.raises(ConfigError, match=wanted):
            ask(LLMConfig(model=str(adapter)))


def test_a_model_without_a_chat_template_is_taught_in_plain_text(model, tmp_path):
    plain = shutil.copytree(model, tmp_path / "plain")
    (plain / "chat_template.jinja").unlink()
    run.finetune(settings(plain), tmp_path / "f", (*STAGES, "export"))
    llm = TransformersLLM(str(plain), adapter=str(tmp_path / "f/train/adapter"))
    plainly, chat = llm.choose([Request("x", answers=(" a", " b")), Request("x", chat=True, answers=(" a", " b"))])
    assert plainly.status == "ok" and chat.status == "error" and "leave out --judge.chat" in chat.error
    llm.close()


def test_a_full_disk_is_said_and_nothing_half_written_is_left(model, tmp_path):
    config = settings(model, rank=32)
    run.finetune(config, tmp_path, ("data",))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot write .*make room"):
            run.finetune(config, tmp_path, STAGES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "train/adapter").exists()
    run.finetune(config, tmp_path, STAGES)
    assert adapter_file(tmp_path).is_file() and not list((tmp_path / "train").glob(".adapter*"))


def without(path, answer):
    """Take a row of this answer out of a table."""
    rows = read_table(path)
    rows.remove(next(row for row in rows if row["answer"] == answer))
    write_table(path, rows)


@pytest.mark.parametrize("cut", [False, True])
def test_a_stopped_one_goes_on_with_the_same_examples_only(model, tmp_path, monkeypatch, caplog, cut):
    config, steps = settings(model, steps=4), []

    def stop(step):
        steps.append(step.step)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return asdict(step)

    monkeypatch.setattr(teach, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(teach, "asdict", lambda each: stop(each) if isinstance(each, Step) else asdict(each))
    with pytest.raises(KeyboardInterrupt):
        run.finetune(config, tmp_path, STAGES)
    if cut:
        without(tmp_path / "data/train.parquet", "Yes")
    run.finetune(config, tmp_path, STAGES)
    assert steps == [1, 2, 3, *((1, 2, 3, 4) if cut else (3, 4))]
    assert ("of other settings or examples: teaching begins anew" in caplog.text) == cut


def test_examples_that_changed_after_teaching_are_said(model, tmp_path, caplog):
    config = settings(model)
    run.finetune(config, tmp_path, STAGES)
    train, record = tmp_path / "data/train.parquet", tmp_path / "train/stage.json"
    write_table(train, [*read_table(train), read_table(tmp_path / "data/held_out.parquet")[0]])
    for stages in (STAGES, ("export",)):
        with pytest.raises(StoreError, match=r"data have changed since they were taught\. Restore.*delete .*train"):
            run.finetune(config, tmp_path, stages)
    run.report_again(tmp_path)
    assert "have changed since they were taught" in caplog.text
    told = read_json(record)
    del told["summary"]["data"]  # as an older plaudit left it
    write_json(record, told)
    run.finetune(config, tmp_path, (*STAGES, "export"))


KILLED = """
import os, signal, sys, torch
sys.path.insert(0, {tests!r})
from test_lora_faults import settings, STAGES
from plaudit.finetune import run, teach
teach.CHECKPOINT_SECONDS = 0.0
taken = teach.asdict
def stop(step):
    if step.step == 4:
        os.kill(os.getpid(), signal.{signal})
    return taken(step)
teach.asdict = stop
run.finetune(settings({model!r}, steps=6), {folder!r}, STAGES)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_one_that_was_killed_goes_on_to_the_same_weights(model, tmp_path, how):
    config = settings(str(model), steps=6)
    run.finetune(config, tmp_path / "whole", STAGES)
    program = KILLED.format(
        tests=str(Path(__file__).parent), signal=how, model=str(model), folder=str(tmp_path / "cut")
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and (tmp_path / "cut/train/checkpoint.safetensors").is_file(), done.stderr
    run.finetune(config, tmp_path / "cut", STAGES)
    one, two = (adapter_file(tmp_path / name).read_bytes() for name in ("whole", "cut"))
    assert one == two and len(read_table(tmp_path / "cut/train/curve.parquet")) == 6


def test_what_llama_cpp_runs_of_an_adapter_is_kept_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))
    for name in ("check", "check_base"):
        monkeypatch.setattr(gguf_adapter, name, lambda *_: None)
    monkeypatch.setattr(gguf_adapter.weights, "fingerprint", lambda path: path.stem)
    monkeypatch.setattr(gguf_adapter, "_merge", lambda base, adapter, target: target.write_bytes(b"whole"))
    monkeypatch.setattr(gguf_adapter.weights, "quantise", lambda whole, target, kind: target.write_bytes(b"small"))
    made = gguf_adapter.merged(tmp_path / "base.gguf", tmp_path / "a.gguf", "q8_0")
    assert made.read_bytes() == b"small" and [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == [made]

    def full(whole, target, kind):
        raise RuntimeError("cannot write")

    monkeypatch.setattr(gguf_adapter.weights, "quantise", full)
    with pytest.raises(LLMError, match="cannot write"):
        gguf_adapter.merged(tmp_path / "base.gguf", tmp_path / "b.gguf", "q8_0")
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == [made]


def test_a_rating_is_not_taught_by_the_last_step_alone(model, tmp_path):
    config = settings(model)
    asked = replace(
        config,
        ask=replace(config.ask, protocol="rating", prompt=""),
        data=replace(config.data, kinds=("progress",), progress="step"),
        lora=replace(config.lora, kinds=("progress",)),
    )
    with pytest.raises(ConfigError, match=r"a rating \(rating\) is of a state"):
        run.finetune(asked, tmp_path / "f", STAGES)
    assert not (tmp_path / "f").exists()
