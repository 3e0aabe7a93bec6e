"""Pictures that forgetting is measured on, drawn or from a folder; tasks of lm-eval through a stand-in of its interface."""

import io
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow

from plaudit.errors import ConfigError, MissingExtraError
from plaudit.finetune import forgetting, picture_sets, refusals
from plaudit.finetune.general_sets.pictures import COLOURS, NUMBERS, SIZE, pictures
from plaudit.finetune.lm_eval_tasks import measure_tasks
from plaudit.finetune.picture_sets import load_pictures
from plaudit.finetune.settings import FinetuneConfig, MeasureConfig
from plaudit.llms.base import Image, Reply


@pytest.fixture(scope="module")
def drawn():
    return pictures()


def pixels(item):
    return np.asarray(Pillow.open(io.BytesIO(item.image)).convert("RGB")).astype(int)


def ink(item):
    """Pixels of each colour; shapes have no soft edges."""
    counts = {colour: n for n, colour in Pillow.open(io.BytesIO(item.image)).getcolors(SIZE**2)}
    return {name: counts.get(colour, 0) for name, colour in COLOURS.items()}


def test_pictures_are_many_balanced_and_the_same_each_time(drawn):
    assert Counter(c.kind for c in drawn) == {"counting": 60, "colour": 56, "position": 56, "reading": 64}
    assert pictures() == drawn and len({c.id for c in drawn}) == len(drawn)
    blocks: dict = {}
    for c in drawn:
        blocks.setdefault(c.block, []).append(c)
    for block in blocks.values():
        assert len({(c.prompt, c.answers) for c in block}) == 1
        assert [c.correct for c in block] == list(range(len(block[0].answers)))


def test_pictures_show_what_their_answer_says(drawn):
    """Counted and found in the pixels, without the code that drew them."""
    from scipy.ndimage import center_of_mass, label

    for c in drawn[::5]:
        said, amounts = c.answers[c.correct].strip(), ink(c)
        if c.kind == "counting":
            name = max(amounts, key=amounts.get)
            mask = (pixels(c) == COLOURS[name]).all(2)
            assert label(mask)[1] == NUMBERS.index(said) + 1
        if c.kind == "colour":
            assert amounts[said] > 500
            assert sum(amount > 500 for amount in amounts.values()) == 2
        if c.kind == "position" and (shape := c.prompt.split("the ")[-1].split(":")[0]) == "square":
            background = pixels(c)[0, 0]
            parts, count = label((pixels(c) != background).any(2))
            boxes = {i: np.argwhere(parts == i) for i in range(1, count + 1)}
            full = max(boxes, key=lambda i: len(boxes[i]) / np.prod(np.ptp(boxes[i], axis=0) + 1))
            y, x = center_of_mass(parts == full)
            assert {"left": x < 80, "right": x > 144, "top": y < 80, "bottom": y > 144}[said], shape


def test_a_model_that_sees_is_right_and_one_that_does_not_is_at_chance(drawn):
    suite = forgetting.Suite(choices=drawn)
    shown = {Image.of(pixels(c).astype(np.uint8)): c.correct for c in drawn}

    def reply(request, right):
        return Reply("ok", logprobs=tuple(-1.0 - (i != right) for i in range(len(request.answers))))

    sees = SimpleNamespace(name="sees", choose=lambda asked: [reply(r, shown[r.images[0]]) for r in asked])
    blind = SimpleNamespace(name="blind", choose=lambda asked: [reply(r, 0) for r in asked])
    for row in forgetting.summary(forgetting.measure(sees, suite), forgetting.measure(blind, suite)).sets:
        assert row.before == 1 and row.after == pytest.approx(row.chance)


def png(shade):
    file = io.BytesIO()
    Pillow.new("RGB", (8, 8), (shade, 0, 0)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": f"{shade}.png"}


def write(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def test_pope(tmp_path):
    row = {"id": "0", "question_id": "1", "image_source": "COCO_1", "image": png(1), "category": "adversarial"}
    yes = row | {"question": "Is there a snowboard in the image?", "answer": "yes"}
    write(tmp_path / "data", "test-0", [yes, yes | {"answer": "no", "question": "Is there a backpack in the image?"}])
    one, other = load_pictures("pope", tmp_path)
    assert one.answers == (" Yes", " No") and (one.correct, other.correct) == (0, 1)
    assert one.image == png(1)["bytes"] and one.block == other.block == "COCO_1"
    assert one.prompt.startswith("Is there a snowboard in the image?")


def test_answers_that_come_by_turns_are_as_many_in_a_part(tmp_path):
    row = {"id": "0", "question_id": "1", "category": "random"}
    rows = [
        row | {"question": f"Is there a thing {i}?", "answer": ("yes", "no")[i % 2], "image_source": f"COCO_{i // 6}",
               "image": png(i // 6)} for i in range(600)
    ]  # fmt: skip
    write(tmp_path / "data", "test-0", rows)
    write(tmp_path / "Full", "random-0", rows)  # as its repository has it: the same questions again
    assert len(load_pictures("pope", tmp_path)) == 600
    for limit in (100, 150, 400):
        items = load_pictures("pope", tmp_path, limit)
        assert len(items) == limit and items == load_pictures("pope", tmp_path, limit)
        assert 0.4 < sum(item.correct for item in items) / limit < 0.6


def test_gqa(tmp_path):
    asked = [("What colour is the car?", a, "color", f"n{i % 2}") for i, a in enumerate(("red", "blue", "green"))]
    asked.append(("Is the car red?", "no", "verify", "n1"))
    rows = [
        {"id": str(i), "imageId": image, "question": q, "answer": a, "fullAnswer": "...", "isBalanced": True,
         "types": {"structural": "query", "semantic": "attr", "detailed": kind}}
        for i, (q, a, kind, image) in enumerate(asked)
    ]  # fmt: skip
    write(tmp_path / "testdev_balanced_instructions", "testdev-0", rows)
    write(tmp_path / "testdev_balanced_images", "testdev-0", [{"id": f"n{i}", "image": png(i)} for i in range(2)])
    items = load_pictures("gqa", tmp_path)
    assert [i.answers[i.correct].strip() for i in items] == ["red", "blue", "green", "no"]
    assert {a.strip() for a in items[0].answers} == {"red", "blue", "green"} and items[3].answers == (" yes", " no")
    assert items[0].image == png(0)["bytes"] and items[1].image == png(1)["bytes"]


def test_ai2d_and_the_limit(tmp_path):
    row = {"options": ["ears", "nose", "mouth", "face"], "answer": "2", "image": png(5)}
    write(tmp_path, "test", [row | {"question": f"What is {letter} in the diagram?"} for letter in "ABCDEFG"])
    items = load_pictures("ai2d", tmp_path)
    assert len(items) == 7 and items[0].answers[items[0].correct] == " mouth"
    assert len(load_pictures("ai2d", tmp_path, limit=3)) == 3


def test_mmmu_leaves_out_what_has_no_choice_or_several_pictures(tmp_path):
    row = {"id": "validation_Art_1", "question": "What is this <image 1>?", "options": "['a cup', 'a hat']",
           "explanation": "", "image_1": png(1), **{f"image_{i}": png(2) if i == 9 else None for i in range(2, 8)},
           "img_type": "['Paintings']", "answer": "B", "topic_difficulty": "Easy", "question_type": "multiple-choice",
           "subfield": "Drawing"}  # fmt: skip
    others = [
        row | {"id": "open", "question_type": "open", "options": "[]", "answer": "a hat"},
        row | {"id": "two", "image_2": png(2)},
        row | {"id": "hidden", "answer": "?"},
        row | {"id": "shown", "options": "['<image 1>', 'a hat']"},
    ]
    write(tmp_path, "validation", [others[1], row, others[0], *others[2:]])
    (item,) = load_pictures("mmmu", tmp_path)
    assert item.prompt == "What is this ?" and item.answers == (" a cup", " a hat") and item.correct == 1


def test_a_folder_that_datasets_has_saved(tmp_path):
    """Arrow files in place of Parquet: the same questions."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    row = {"options": ["ears", "nose", "mouth", "face"], "answer": "2", "image": png(5)}
    rows = [row | {"question": f"What is {letter} in the diagram?"} for letter in "ABC"]
    write(tmp_path / "hub", "test", rows)
    features = datasets.Features(
        {
            "options": datasets.Sequence(datasets.Value("string")),
            "answer": datasets.Value("string"),
            "image": datasets.Image(),
            "question": datasets.Value("string"),
        }
    )
    datasets.DatasetDict({"test": datasets.Dataset.from_list(rows, features)}).save_to_disk(tmp_path / "saved")
    assert load_pictures("ai2d", tmp_path / "saved") == load_pictures("ai2d", tmp_path / "hub")


def test_folders_that_are_something_else_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no Parquet file"):
        load_pictures("pope", tmp_path)
    write(tmp_path, "x", [{"question": "?", "answer": "yes"}])
    for ask in (load_pictures, picture_sets.check):
        with pytest.raises(ConfigError, match="rows have no 'image'"):
            ask("pope", tmp_path)
    with pytest.raises(ConfigError, match=r"Did you mean 'mmmu'"):
        load_pictures("mmu", tmp_path)


def test_tasks_of_lm_eval(monkeypatch):
    told = {}

    def simple_evaluate(**given):
        told.update(given)
        sample = {
            "arguments": [("q", " a"), ("q", " b")],
            "filtered_resps": [[-1, True], [-2, False]],
            "filter": "none",
        }
        right = 1.0 if "peft" not in given["model_args"] else 0.0
        samples = [
            sample
            | {"doc_id": i, "doc_hash": f"{i:064x}", "metrics": ["acc", "acc_norm"], "acc": 1.0, "acc_norm": right}
            for i in range(30)
        ]
        return {"samples": {"arc": [*samples, samples[0] | {"filter": "other"}]}}

    monkeypatch.setitem(sys.modules, "lm_eval", SimpleNamespace(simple_evaluate=simple_evaluate))
    before, after = measure_tasks("m", ["arc"]), measure_tasks("m", ["arc"], adapter="a", limit=30, batch_size=4)
    assert told["model"] == "hf" and told["tasks"] == ["arc"] and told["batch_size"] == 4 and told["limit"] == 30
    assert told["model_args"] == {"pretrained": "m", "dtype": "float32", "peft": "a"}
    (row,) = forgetting.summary(before, after).sets
    assert (row.name, row.items, row.chance, row.before, row.after) == ("lm-eval:arc", 30, 0.5, 1, 0)


def test_lm_eval_is_asked_for_where_it_is_missing_or_has_no_accuracy(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lm-eval\[hf\]'"):
        measure_tasks("m", ["arc"])
    found = {"samples": {"wikitext": [{"metrics": ["word_perplexity"], "word_perplexity": 9.0, "filter": "none"}]}}
    monkeypatch.setitem(sys.modules, "lm_eval", SimpleNamespace(simple_evaluate=lambda **given: found))
    with pytest.raises(ConfigError, match="it has word_perplexity"):
        measure_tasks("m", ["wikitext"])


@pytest.mark.parametrize("end", ["parquet", "arrow"])
def test_a_pointer_in_place_of_a_file_is_refused_before_anything_is_taught(tmp_path, end):
    (tmp_path / f"test.{end}").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    sees = FinetuneConfig(measure=MeasureConfig(pictures=(f"pope:{tmp_path}",)))
    for ask in (lambda: picture_sets.check("pope", tmp_path), lambda: refusals.check(sees)):
        with pytest.raises(ConfigError, match=rf"test\.{end} cannot be read: .* git lfs pull"):
            ask()
