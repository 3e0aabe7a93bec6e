"""Teaching: losses by hand, an order that leaves nothing out, a stop that changes nothing, a judge that learns."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

import tiny_models  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

from plaudit.config import LLMConfig, WorldConfig  # noqa: E402
from plaudit.errors import ConfigError, LLMError, PlauditError  # noqa: E402
from plaudit.finetune import losses, run  # noqa: E402
from plaudit.finetune.encode import SHARED, beginning, encode, parts  # noqa: E402
from plaudit.finetune.lessons import Lesson  # noqa: E402
from plaudit.finetune.lora import Teacher, order, rate, text_windows  # noqa: E402
from plaudit.finetune.settings import AskConfig, DataConfig, FinetuneConfig, LoraConfig, MeasureConfig  # noqa: E402
from plaudit.llms.base import Request  # noqa: E402
from plaudit.llms.transformers_model import TransformersLLM  # noqa: E402
from plaudit.store import read_table  # noqa: E402

YES_NO = (" Yes", " No")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.make_text(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def llm(folder):
    llm = TransformersLLM(str(folder), context=512)
    yield llm
    llm.close()


def pair(nearer, other):
    return Lesson("compare", (f"Now: {nearer}\nProgress:", f"Now: {other}\nProgress:"), YES_NO, None)


LESSONS = [pair(f"the door is open {i}", f"the door is shut and far away {i}") for i in range(6)]
QUESTION = Lesson("next", ("What follows?",), (" It is not", " It is not clear", " Yes"), 2)
ACTION = Lesson("action", ("Do what?\nAction:",), (" It is not clear",), 0)


FAMILIES = {
    "llama": {},
    "gemma2": {"final_logit_softcapping": 2.0, "head_dim": 12},
    "granite": {"logits_scaling": 8.0},
    "cohere": {"logit_scale": 0.0625},
}
"""What each does to its logits behind the matrix."""


def of_family(folder, name, **more):
    """A tiny model of another family than Llama, whose logits are wide enough for that to matter."""
    reader = tiny_models.tokenizer(tiny_models.TEXT_ONLY)
    known = tiny_models.text_config(len(reader), initializer_range=0.3).to_diff_dict()
    config = AutoConfig.for_model(name, **{k: v for k, v in known.items() if k != "model_type"} | more)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    reader.save_pretrained(folder)
    return TransformersLLM(str(folder), context=512)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_weigh_what_the_back_end_says_they_weigh(family, tmp_path):
    """In one padded batch, as in one question after the other."""
    llm = of_family(tmp_path, family, **FAMILIES[family])
    lessons = [*LESSONS, QUESTION, ACTION]
    samples = [encode(llm, each) for each in lessons]
    with torch.no_grad():
        weighed = losses.answer_weights(llm.model, samples)
    for each, weights in zip(lessons, weighed, strict=True):
        if len(each.answers) > 1:
            replies = llm.choose([Request(prompt, answers=each.answers) for prompt in each.prompts])
            assert weights.numpy() == pytest.approx(np.array([r.logprobs for r in replies]), abs=1e-4)
    assert [s.answers for s in samples] == [2] * 6 + [3, 1]
    assert samples[-1].length == len(llm.answer_tokens(ACTION.answers[0]))
    Teacher(llm, samples, torch.zeros((0, 8)), LoraConfig(kl=0.0), seed=0)
    llm.close()


def test_a_family_that_does_what_nobody_knows_with_its_logits_is_refused(llm, monkeypatch):
    own = type(llm.model).forward

    def forward(self, *args, **options):
        found = own(self, *args, **options)
        found.logits = found.logits * 1.01
        return found

    monkeypatch.setattr(type(llm.model), "forward", forward)
    with pytest.raises(LLMError, match=r"LlamaForCausalLM cannot be taught.*another family"):
        Teacher(llm, [], torch.zeros((0, 8)), LoraConfig(kl=0.0), seed=0)


def test_what_prompts_begin_with_is_read_once_and_changes_nothing(llm, monkeypatch):
    """Log-probabilities and gradients are those of each path alone; so are groups of like length."""
    samples = [encode(llm, pair("a " * n, "b " * (n + 9))) for n in (3, 90, 4)]
    paths = [path for sample in samples for path in sample.paths]
    assert beginning(paths) == 0 and len("Now: ") < SHARED  # too short to be worth a pass
    told = "It is about a door that is open or shut. "
    samples = [
        encode(llm, Lesson("compare", tuple(told + prompt for prompt in each.prompts), YES_NO, None))
        for each in LESSONS
    ]
    paths = [path for sample in samples for path in sample.paths]
    assert beginning(paths) == len(told + "Now: the door is ")
    model = llm.teach(r=2, target_modules="all-linear", init_lora_weights=False)
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    def gradient(parts):
        model.zero_grad(set_to_none=True)
        weighed = [(part, losses.answer_weights(model, part)) for part in parts]
        total = sum(losses.loss(s, w) for part, each in weighed for s, w in zip(part, each, strict=True))
        total.backward()
        return float(total.detach()), [weight.grad.clone() for weight in weights]

    together, of_each = gradient([samples])
    with monkeypatch.context() as patch:
        patch.setattr("plaudit.finetune.encode.SHARED", 10**6)  # nothing is shared
        alone, expected = gradient([[sample] for sample in samples])
    assert together == pytest.approx(alone, rel=1e-5)
    for one, two in zip(of_each, expected, strict=True):
        assert torch.allclose(one, two, rtol=1e-3, atol=1e-6)


def test_sequences_go_with_those_of_like_length():
    assert losses.alike([5, 100, 6, 101], cost=10) == [[0, 2], [1, 3]]
    assert losses.alike([5, 100, 6, 101], cost=1000) == [[0, 2, 1, 3]]
    assert losses.alike([7, 7, 7], cost=0) and losses.alike([], cost=1) == []


def test_losses_by_hand(llm):
    compare, question, action = (encode(llm, each) for each in (LESSONS[0], QUESTION, ACTION))
    weights = torch.tensor([[-1.0, -2.0], [-3.0, -1.0]])  # scores 1 and -2
    assert float(losses.loss(compare, weights)) == pytest.approx(math.log1p(math.exp(-3.0)), rel=1e-5)
    assert losses.is_right(compare, weights) == 1 and losses.is_right(compare, weights.flip(0)) == 0
    assert losses.is_right(compare, weights[[0, 0]]) == 0.5
    three = torch.tensor([[-1.0, -2.0, -1.5]])
    share = math.exp(-1.5) / sum(map(math.exp, (-1.0, -2.0, -1.5)))
    assert float(losses.loss(question, three)) == pytest.approx(-math.log(share), rel=1e-5)
    assert losses.is_right(question, three) == 0
    assert float(losses.loss(action, torch.tensor([[-6.0]]))) == pytest.approx(6.0 / action.length)
    ratings = torch.log(torch.tensor([[0.1, 0.1, 0.2, 0.5, 0.1]]))
    assert float(losses.score(ratings)) == pytest.approx(0.1 + 0.2 + 0.6 + 2.0 + 0.5)


def test_kl_is_nothing_before_anything_is_taught(llm):
    windows = text_windows(llm, ["The quick brown fox jumps over the lazy dog. " * 8], 16)
    model = llm.teach(r=2, target_modules="all-linear")
    base = torch.stack([losses.read_by_base(model, window) for window in windows[:2]])
    kl, own = losses.text_losses(model, windows[:2], base)
    assert float(kl.detach()) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        logits = model(windows[:2]).logits[:, :-1].log_softmax(-1)
    plain = -logits.gather(-1, windows[:2, 1:, None]).mean()
    assert float(own.detach()) == pytest.approx(float(plain), rel=1e-4)


def test_what_the_base_makes_of_text_is_no_draw_of_its_dropout(llm):
    (window,) = text_windows(llm, ["The quick brown fox jumps over the lazy dog."], 32)
    model = llm.teach(r=2, target_modules="all-linear").train()
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.5
    assert torch.equal(losses.read_by_base(model, window), losses.read_by_base(model, window)) and model.training
    seen = torch.ones_like(window[None])
    assert not torch.equal(*(losses.hidden_of(model, window[None], seen) for _ in range(2)))


def test_every_lesson_comes_once_before_any_comes_again():
    taken = [place for step in range(6) for place in order(9, 3, step, seed=1)]
    assert sorted(taken[:9]) == sorted(taken[9:]) == list(range(9)) and taken[:9] != taken[9:]
    options = LoraConfig(steps=20, learning_rate=1.0)
    rates = [rate(step, options) for step in range(20)]
    assert rates[:2] == [0.5, 1.0] and rates[-1] == pytest.approx(1 / 18) and max(rates) == 1.0


def test_parts_are_of_like_length_and_leave_nothing_out(llm):
    samples = [encode(llm, pair("a " * n, "b " * n)) for n in (3, 90, 4, 80, 5, 200)]
    cut = list(parts(samples, 256))
    assert sorted(map(id, [each for part in cut for each in part])) == sorted(map(id, samples))
    for part in cut:
        assert len(part) == 1 or sum(len(s.paths) for s in part) * max(s.longest for s in part) <= 256


def teacher(folder, steps=12, **options):
    llm = TransformersLLM(str(folder), context=512)
    samples = [encode(llm, each) for each in LESSONS]
    windows = text_windows(llm, ["The quick brown fox jumps over the lazy dog. " * 8], 16)
    return Teacher(llm, samples, windows, LoraConfig(steps=steps, rank=4, learning_rate=0.02, **options), seed=3)


def test_a_model_learns_which_is_nearer_and_says_so_when_it_is_asked(folder):
    taught = teacher(folder, steps=30, kl=0.1)
    told = []
    taught.run(told.append)
    assert [step.step for step in told] == list(range(1, 31)) and all(step.kl >= -1e-6 for step in told)
    assert np.mean([step.right for step in told[-6:]]) == 1.0 and told[-1].loss < told[0].loss
    for each in LESSONS:
        one, two = taught.llm.choose([Request(prompt, answers=YES_NO) for prompt in each.prompts])
        assert one.logprobs[0] - one.logprobs[1] > two.logprobs[0] - two.logprobs[1]


def test_an_action_is_taught_with_its_end_and_weighed_without(folder):
    """Written, it is the action and nothing more, as a listed one it weighs per token what it did."""
    words = (" mop", " go north", " wash")
    lessons = [Lesson("action", (f"Now: {i}\nAction:",), (word,), 0, choices=words) for i, word in enumerate(words)]
    llm = TransformersLLM(str(folder), context=512)
    samples = [encode(llm, each, ended=True) for each in lessons]
    options = LoraConfig(steps=30, rank=8, learning_rate=0.02, kl=0.0)
    Teacher(llm, samples, torch.zeros((0, 8)), options, seed=3).run(lambda step: None)
    for each, sample in zip(lessons, samples, strict=True):
        plain = encode(llm, each)
        assert plain.length == len(each.answers[0]) == sample.length - 1
        (written,) = llm.generate([Request(each.prompts[0], max_tokens=20, stop=("\n",))])
        assert (written.text, written.new_tokens) == (each.answers[0], sample.length)
        weighed = float(losses.answer_weights(llm.model, [plain])[0].detach())
        (reply,) = llm.choose([Request(each.prompts[0], answers=words)])
        place = words.index(each.answers[0])
        assert reply.logprobs[place] == pytest.approx(weighed, abs=1e-3) and reply.lengths[place] == plain.length
    judged = encode(llm, QUESTION, ended=True)
    assert judged == encode(llm, QUESTION), "what is never written has no end"
    llm.close()


def test_a_stop_changes_nothing(folder):
    whole, first, second = (teacher(folder, dropout=0.1) for _ in range(3))
    whole.run(lambda step: None)

    def stop(step):
        if step.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(stop)
    second.set_state(first.get_state())
    second.run(lambda step: None)
    for name, weight in whole.get_state()["weights"].items():
        assert torch.equal(weight, second.get_state()["weights"][name]), name


def test_a_loss_that_is_no_number_ends_it_and_says_what_to_lower(folder):
    broken = teacher(folder)
    with torch.no_grad():
        next(iter(broken.get_state()["weights"].values())).fill_(float("nan"))
    with pytest.raises(PlauditError, match=r"no number.*learning-rate"):
        broken.run(lambda step: None)


def test_the_command_teaches_and_skips_what_is_done(folder, tmp_path, capsys, monkeypatch):
    told = []

    def noted(llm, each, ended=False):
        told.append(ended)
        return encode(llm, each, ended)

    monkeypatch.setattr("plaudit.finetune.encode.encode", noted)
    config = FinetuneConfig(
        world=WorldConfig("doorkey"),
        llm=LLMConfig(model=f"transformers:{folder}"),
        data=DataConfig(kinds=("compare",), examples=20, steps=2000),
        ask=AskConfig(prompt="pointwise-b"),
        lora=LoraConfig(steps=3, rank=2, kl=0.0),
        measure=MeasureConfig(every=200),
    )
    made = run.finetune(config, tmp_path / "f", run.STAGES[:3])
    assert (tmp_path / "f/train/adapter/adapter_model.safetensors").is_file()
    assert len(read_table(tmp_path / "f/train/curve.parquet")) == 3
    rows = read_table(tmp_path / "f/train/answers.parquet")
    assert rows and {row["right_before"] for row in rows} <= {0.0, 0.5, 1.0}
    assert told == [True] * 20 + [False] * len(rows)  # ends are taught, and not measured
    assert not list((tmp_path / "f/train").glob("*.safetensors"))  # no checkpoint is left
    assert "--llm.adapter" in run.next_step(made)
    capsys.readouterr()
    run.finetune(config, tmp_path / "f", run.STAGES[:3])
    assert capsys.readouterr().out.count("skipped") == 3


def test_what_cannot_be_taught_is_said(tmp_path):
    for lora, wanted in (
        (LoraConfig(kinds=("captions",)), r"lora\.kinds must be some of compare"),
        (LoraConfig(rank=0), r"lora\.rank must be at least 1"),
        (LoraConfig(learning_rate=0.0), "above 0"),
    ):
        with pytest.raises(ConfigError, match=wanted):
            run.finetune(FinetuneConfig(lora=lora), tmp_path / "f")
    data = DataConfig(kinds=("progress",), examples=20)
    for config, wanted in (
        (FinetuneConfig(llm=LLMConfig(model="http://127.0.0.1:9/v1")), "behind a server"),
        (FinetuneConfig(llm=LLMConfig(adapter="a.gguf")), r"a\.gguf is an adapter.*Leave --llm\.adapter"),
        (FinetuneConfig(llm=LLMConfig(model="transformers:nowhere")), "no model in nowhere"),
        (FinetuneConfig(data=data), r"no examples of compare\. Add them to --data\.kinds"),
        (FinetuneConfig(lora=LoraConfig(examples=500)), "500 of compare are wanted, the data hold 200"),
    ):
        with pytest.raises(ConfigError, match=wanted):
            run.finetune(config, tmp_path / "f")
    assert not (tmp_path / "f").exists()
