"""Teaching a model that sees: random weights that memorise a few pictures. That the path is whole, no skill."""

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image as Pillow

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

import tiny_models  # noqa: E402
from test_forgetting_pictures import png, write  # noqa: E402

from plaudit.config import JudgeConfig, LLMConfig, RunConfig, WorldConfig, from_dict  # noqa: E402
from plaudit.errors import ConfigError  # noqa: E402
from plaudit.finetune import forgetting, losses, run, teach  # noqa: E402
from plaudit.finetune.encode import encode  # noqa: E402
from plaudit.finetune.lessons import Lesson, lesson  # noqa: E402
from plaudit.finetune.lora import Teacher, text_windows  # noqa: E402
from plaudit.finetune.rows import load_rows  # noqa: E402
from plaudit.finetune.settings import AskConfig, DataConfig, FinetuneConfig, LoraConfig, MeasureConfig  # noqa: E402
from plaudit.judging.pairwise import Pairwise  # noqa: E402
from plaudit.judging.pointwise import Pointwise  # noqa: E402
from plaudit.llms.base import Image, Reply, Request  # noqa: E402
from plaudit.llms.transformers_model import TransformersLLM  # noqa: E402
from plaudit.prompts import load  # noqa: E402
from plaudit.stages import parts, run_stages  # noqa: E402
from plaudit.store import Run, read_table  # noqa: E402

COLOURS = {"ruby": (220, 20, 20), "jade": (20, 200, 40), "blue": (20, 40, 220), "snow": (250, 250, 250)}
"""Names of the same length: what a model finds likely is then a matter of the picture alone."""


def picture(colour, side=32):
    return Image.of(np.full((side, side, 3), colour, np.uint8))


CAPTIONS = [Lesson("caption", ("What is it?",), (name,), 0, ((picture(c),),)) for name, c in COLOURS.items()]
PAIRS = [
    Lesson("compare", ("Is it?", "Is it?"), ("Yes", "No"), None, ((picture(COLOURS[a]),), (picture(COLOURS[b]),)))
    for a, b in (("ruby", "blue"), ("ruby", "jade"), ("jade", "blue"), ("snow", "ruby"))
]
SEATED = Lesson("compare", ("Which?",), ("A", "B"), 1, ((picture(COLOURS["ruby"]), picture(COLOURS["blue"])),))
TEXT = Lesson("next", ("What follows?",), (" It is not", " It is not clear", " Yes"), 2)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.make_seeing(tmp_path_factory.mktemp("models") / "seeing")


@pytest.fixture
def llm(folder):
    llm = TransformersLLM(str(folder), context=512)
    yield llm
    llm.close()


def test_answers_about_pictures_weigh_what_the_back_end_says_they_weigh(llm):
    """Beside each other and beside text, one picture or two, as in one question after the other."""
    lessons = [*PAIRS, SEATED, TEXT, *CAPTIONS]
    with torch.no_grad():
        weighed = losses.answer_weights(llm.model, [encode(llm, each) for each in lessons])
    for each, weights in zip(lessons, weighed, strict=True):
        answers = each.answers if len(each.answers) > 1 else (*each.answers, "no")
        seen = each.images or ((),) * len(each.prompts)
        asked = [
            Request(prompt, chat=bool(images), answers=answers, images=images)
            for prompt, images in zip(each.prompts, seen, strict=True)
        ]
        told = np.array([reply.logprobs for reply in llm.choose(asked)])[:, : len(each.answers)]
        assert weights.numpy() == pytest.approx(told, abs=1e-4)
    caption = weighed[-4:]
    assert len({round(float(weights[0, 0]), 3) for weights in caption}) == 4


def test_what_a_question_shows_decides_its_answer(llm):
    """A batch in which two pictures change places gives the answers that have changed places."""
    samples = [encode(llm, each) for each in PAIRS[:2]]
    swapped = dataclasses.replace(PAIRS[0], images=PAIRS[0].images[::-1])
    with torch.no_grad():
        one, _ = losses.answer_weights(llm.model, samples)
        (other,) = losses.answer_weights(llm.model, [encode(llm, swapped)])
    assert other.numpy() == pytest.approx(one.flip(0).numpy(), abs=1e-4)
    assert float((one[0] - one[1]).abs().max()) > 1e-3


def teacher(folder, lessons, steps, ended=False, **options):
    llm = TransformersLLM(str(folder), context=512)
    windows = text_windows(llm, ["The quick brown fox jumps over the lazy dog. " * 8], 16)
    settings = {"rank": 8, "learning_rate": 0.02, "kl": 0.0} | options
    samples = [encode(llm, each, ended) for each in lessons]
    return Teacher(llm, samples, windows, LoraConfig(steps=steps, **settings), seed=3)


def test_captions_are_memorised_and_the_loss_falls(folder):
    taught, told = teacher(folder, CAPTIONS, 40), []
    taught.run(told.append)
    assert told[-1].loss < 0.3 * told[0].loss, "of 5.8 at first; the frozen head allows no less than 1.5"
    for each in CAPTIONS:
        (reply,) = taught.llm.choose(
            [Request(each.prompts[0], chat=True, answers=tuple(COLOURS), images=each.images[0])]
        )
        assert tuple(COLOURS)[int(np.argmax(reply.logprobs))] == each.answers[0]


def test_a_caption_is_taught_with_its_end(folder):
    one = Lesson("caption", ("What is it?",), ("a ruby",), 0, ((picture(COLOURS["ruby"]),),))
    taught = teacher(folder, [one], 30, ended=True)
    taught.run(lambda step: None)
    (reply,) = taught.llm.generate([Request(one.prompts[0], chat=True, max_tokens=20, images=one.images[0])])
    assert (reply.text, reply.new_tokens) == ("a ruby", len("a ruby") + 1)


def test_pairs_of_pictures_are_learnt_beside_general_text(folder):
    taught, told = teacher(folder, PAIRS, 20, kl=0.1), []
    taught.run(told.append)
    assert np.mean([step.right for step in told[-5:]]) == 1.0 and all(step.kl > -1e-6 for step in told)


def test_the_language_model_is_taught_and_where_it_is_asked_for_what_sees(folder):
    names = {}
    for vision in (False, True):
        names[vision] = set(teacher(folder, CAPTIONS, 1, vision=vision).get_state()["weights"])
    assert all("language_model" in name for name in names[False]) and names[False] < names[True]
    assert any("vision_tower" in name for name in names[True])
    some = set(teacher(folder, CAPTIONS, 1, targets=("q_proj",)).get_state()["weights"])
    assert some == {name for name in names[False] if ".q_proj." in name}
    with pytest.raises(ConfigError, match=r"no linear layer whose name ends in nothing.*--lora\.vision"):
        teacher(folder, CAPTIONS, 1, targets=("nothing",))


def test_a_stop_changes_nothing(folder):
    whole, first, second = (teacher(folder, [*CAPTIONS, *PAIRS], 8, dropout=0.1) for _ in range(3))
    whole.run(lambda step: None)

    def stop(step):
        if step.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(stop)
    second.set_state(first.get_state())
    second.run(lambda step: None)
    for name, weight in whole.get_state()["weights"].items():
        assert torch.equal(weight, second.get_state()["weights"][name]), name


CONFIG = FinetuneConfig(
    world=WorldConfig("doorkey", size=5),
    data=DataConfig(kinds=("compare", "caption", "progress"), examples=12, held_out=0.3, steps=600),
    ask=AskConfig(input="image"),
    lora=LoraConfig(kinds=("compare", "caption"), steps=2, rank=2, kl=0.0),
)


@pytest.fixture(scope="module")
def taught(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("taught")
    row = {"id": "0", "question_id": "1", "image_source": "COCO_1", "image": png(1), "category": "adversarial"}
    write(out / "pope", "test", [row | {"question": f"Is there a {x}?", "answer": "no"} for x in ("cat", "dog", "cow")])
    measure = MeasureConfig(every=60, pictures=(f"pope:{out / 'pope'}",), most_pictures=2)
    config = dataclasses.replace(CONFIG, llm=LLMConfig(model=f"transformers:{folder}"), measure=measure)
    return run.finetune(config, out / "f", run.STAGES[:3])


class Listening:
    def __init__(self):
        self.asked = []

    def choose(self, requests, arrived=None):
        self.asked += requests
        return [Reply("ok", logprobs=(-1.0,) * len(r.answers), lengths=(1,) * len(r.answers)) for r in requests]


def test_it_is_taught_what_a_judge_that_sees_is_asked(taught):
    """Pictures, prompt and answers are those that the judge's own protocol puts together."""
    rows = [row for row in load_rows(taught.folder / "data", "train") if row["kind"] == "compare"]
    row, listening = rows[0], Listening()
    shown = {seat: Image.read(row[f"{seat}_image"]["bytes"]) for seat in ("first", "second")}
    pictures = {row[seat]: image for seat, image in shown.items()}
    Pointwise(load("pointwise-image"), chat=True, pictures=pictures).judge(listening, row["goal"], list(pictures))
    made = lesson(row, "pointwise")
    near, far = (shown["first"], shown["second"]) if row["answer"] == "A" else (shown["second"], shown["first"])
    assert made.images == ((near,), (far,)) and near != far
    for asked in listening.asked:
        assert asked.prompt == made.prompts[0] == made.prompts[1] and asked.answers == made.answers
    seated, listening = lesson(row | {"wording": "pairwise-image"}, "pairwise"), Listening()
    pair = (row["first"], row["second"])
    Pairwise(load("pairwise-image"), chat=True, pictures=pictures).compare(listening, row["goal"], [pair])
    assert (seated.prompts[0], seated.answers) == (listening.asked[0].prompt, listening.asked[0].answers)
    assert seated.images == (listening.asked[0].images,) == ((shown["first"], shown["second"]),)


def test_no_picture_is_on_both_sides(taught):
    seen = {}
    for part in ("train", "held_out"):
        rows = load_rows(taught.folder / "data", part)
        cells = [row.get(name) for row in rows for name in ("image", "first_image", "second_image")]
        seen[part] = {cell["bytes"] for cell in cells if cell}
        assert all(Pillow.open(io.BytesIO(image)).size[0] > 30 for image in seen[part])
    assert seen["train"] and seen["held_out"] and not seen["train"] & seen["held_out"]


def test_what_is_measured_of_a_model_that_sees_is_pictures_too(taught, monkeypatch):
    monkeypatch.setattr(forgetting, "standard_suite", lambda **_: forgetting.Suite())
    made = run.finetune(taught.config, taught.folder)
    rows = {row.name: row.items for row in forgetting.read(made.folder / "measure").sets}
    assert rows == {"pictures: counting": 6, "POPE": 2}


def test_the_command_teaches_and_the_judge_sees(taught, folder, tmp_path):
    answers = read_table(taught.folder / "train/answers.parquet")
    assert {row["kind"] for row in answers} == {"compare", "caption"}
    assert any(row["loss_before"] != row["loss_after"] for row in answers)
    assert "--judge.input image" in run.next_step(taught)
    adapter = taught.folder / "train/adapter"
    few = {"world": {"size": 5}, "collect": {"steps": 800, "num_envs": 8}, "fit": {"steps": 5}}
    values = {}
    for name, with_adapter in (("base", ""), ("taught", str(adapter))):
        settings = {"llm": {"model": f"transformers:{folder}", "adapter": with_adapter}}
        config = from_dict(RunConfig, few | settings | {"judge": {"items": 8, "pairs": 20, "input": "image"}})
        parts.check(config)
        made = Run.create(tmp_path / name, config)
        run_stages(made, ("collect", "annotate"))
        rows = read_table(made.folder / "annotate/judgements.parquet")
        assert all(row["status"] == "ok" for row in rows)
        values[name] = [row["value"] for row in rows]
    assert values["base"] != values["taught"]


def test_an_adapter_knows_that_it_was_taught_by_pictures(taught):
    config = dataclasses.replace(taught.config, ask=AskConfig(input="both"))
    said = teach.notes(config)
    assert (said["prompt"], said["input"]) == ("pointwise-both", "both")
    llm = LLMConfig(adapter=str(taught.folder / "train/adapter"))
    assert json.loads((taught.folder / "train/adapter/plaudit.json").read_text())["prompt"] == "pointwise-image"
    for shown, wanted in (("text", "pointwise"), ("image", "pointwise-image"), ("both", "pointwise-both")):
        assert parts.make_protocol(JudgeConfig(input=shown), llm=llm).prompt.name == wanted


def test_worked_examples_are_words(taught, tmp_path):
    config = dataclasses.replace(taught.config, measure=MeasureConfig(every=0, shots=(1,)))
    with pytest.raises(ConfigError, match=r"these lessons show pictures: leave --measure\.shots out"):
        run.finetune(config, tmp_path / "f")
    assert taught.finished("train")["summary"]["held_out"]["caption"]["chance"] == 0.0


def test_a_model_that_reads_only_is_refused_before_anything_is_played(tmp_path):
    text = str(tiny_models.make_text(tmp_path / "text"))
    for llm, wanted in (("embedded", "embedded"), (f"transformers:{text}", "text")):
        config = dataclasses.replace(CONFIG, llm=LLMConfig(model=llm))
        with pytest.raises(ConfigError, match=rf"{wanted}' reads text only, .*--ask\.input text"):
            run.finetune(config, tmp_path / "f")
    assert not (tmp_path / "f").exists()
