"""Forgetting: the sets are balanced and apart; what is forgotten is found, and nothing where nothing is."""

import dataclasses
import errno
import hashlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from plaudit.errors import ConfigError, LLMError, StoreError
from plaudit.finetune import forgetting, forgotten_table, general_sets, records
from plaudit.finetune.general_sets import instructions as written
from plaudit.finetune.items import Choice, Passage
from plaudit.finetune.paired import bootstrap, mcnemar, mean_difference, resolvable
from plaudit.finetune.torch_text import TorchText
from plaudit.intervals import wilson
from plaudit.llms.base import Reply

CHOICES = {"knowledge": 344, "reasoning": 236, "statements": 96, "yes or no": 192, "logic": 172}


class Planted:
    """Knows each answer with a probability of its own for each set; longer texts are less probable."""

    def __init__(self, name, suite, known, perplexity=10.0):
        self.name, self.perplexity = name, perplexity
        self.right = {(c.prompt, c.answers): c.correct for c in suite.choices}
        self.known = {(c.prompt, c.answers): known.get(c.set, 1.0) for c in suite.choices}
        self.keeps = known.get("instructions", 1.0)
        self.wanted = {i.prompt: i for i in suite.instructions}
        self.better = {text for w in suite.worlds for text, _ in w.pairs}
        self.worlds = known.get("worlds", 1.0)

    def coin(self, *words):
        """A fixed number in [0, 1) for these words, the same for every model."""
        return int(hashlib.sha256(repr(words).encode()).hexdigest()[:8], 16) / 2**32

    def choose(self, requests, arrived=None):
        return [self.reply(r) for r in requests]

    def reply(self, request):
        if (request.prompt, request.answers) in self.right:
            right = self.right[request.prompt, request.answers]
            knows = self.coin(request.prompt, request.answers) < self.known[request.prompt, request.answers]
            best = right if knows else int(len(request.answers) * self.coin("guess", request.prompt))
            logprobs = [-1.0 if i == best else -3.0 for i in range(len(request.answers))]
        elif request.answers == (" Yes", " No"):
            observation = request.prompt.split("Now: ")[-1].split("\n")[0]
            good = (
                observation in self.better
                if self.coin(observation) < self.worlds
                else self.coin("w", observation) < 0.5
            )
            logprobs = (
                [-1.0, -2.0 - self.coin("tie", observation)] if good else [-2.0 - self.coin("tie", observation), -1.0]
            )
        else:
            tokens = [len(answer.split()) for answer in request.answers]
            noise = 0.1 * self.coin(request.prompt)
            return Reply(
                "ok", logprobs=tuple(-n * (np.log(self.perplexity) + noise) for n in tokens), lengths=tuple(tokens)
            )
        return Reply("ok", logprobs=tuple(logprobs), lengths=(1,) * len(logprobs))

    def generate(self, requests, arrived=None):
        return [Reply("ok", text=self.text(self.wanted[r.prompt])) for r in requests]

    def text(self, task):
        return GOOD[task.kind](task) if self.coin(task.prompt) < self.keeps else "..."


GOOD = {
    "one word": lambda t: "Bread.",
    "capitals": lambda t: "DOGS LIKE BONES.",
    "repeat": lambda t: t.wanted,
    "three with commas": lambda t: "one, two, three",
    "three with dashes": lambda t: "- one\n- two\n- three",
    "yes or no": lambda t: "Yes.",
    "digits": lambda t: "7",
    "begins with": lambda t: f"{t.wanted}, it is so.",
    "ends with": lambda t: f"Here is a {t.wanted}.",
    "includes": lambda t: f"A {t.wanted} is here.",
    "ten words": lambda t: "Brown and friendly.",
    "quoted": lambda t: '"It is late."',
    "language": lambda t: {"French": "Le chien est dans la rue.", "Spanish": "El perro es muy grande.",
                           "German": "Der Hund ist auf dem Dach."}[t.wanted],
    "json": lambda t: '{"name": "apple"}',
}  # fmt: skip
BAD = {
    "one word": "It is bread.",
    "capitals": "Dogs like bones.",
    "repeat": "Sure! Here it is.",
    "three with commas": "one, two, three, four",
    "three with dashes": "one\ntwo\nthree",
    "yes or no": "Yes, it is.",
    "digits": "There are 7.",
    "begins with": "It is so.",
    "ends with": "Nothing of the kind here.",
    "includes": "Nothing of the kind here.",
    "ten words": "one two three four five six seven eight nine ten eleven",
    "quoted": "It is late.",
    "language": "The dog is on the roof.",
    "json": '{"name": "apple", "colour": "red"}',
}


@pytest.fixture(scope="module")
def suite():
    return forgetting.standard_suite()


def test_sets_have_their_sizes_and_every_item_an_identity_of_its_own(suite):
    assert Counter(c.set for c in suite.choices) == CHOICES
    ids = [i.id for i in (*suite.choices, *suite.instructions, *suite.passages)]
    assert len(set(ids)) == len(ids)
    assert len(suite.instructions) == 14 * 16
    assert suite.size == len(ids) + sum(len(w.pairs) for w in suite.worlds)


def test_each_choice_is_right_as_often_as_it_is_offered(suite):
    """So a model that does not read the question, or goes by the place, is exactly at chance."""
    blocks: dict = {}
    for c in suite.choices:
        blocks.setdefault((c.set, c.block), []).append(c)
    for block in blocks.values():
        offered = {c.answers for c in block}
        assert len(offered) == 1
        assert len(set(Counter(c.correct for c in block).values())) == 1
        assert {c.correct for c in block} == set(range(len(block[0].answers)))


@pytest.mark.parametrize("answer", [0, -1])
def test_a_model_of_one_place_is_at_chance(suite, answer):
    class Seated(Planted):
        def reply(self, request):
            best = answer % len(request.answers)
            return Reply("ok", logprobs=tuple(-1.0 - (i != best) for i in range(len(request.answers))))

    only = dataclasses.replace(suite, instructions=(), passages=(), worlds=())
    found = forgetting.measure(Seated("seated", only, {}), only)
    for name in CHOICES:
        rows = [a for a in found.answers if a.set == name]
        assert np.mean([a.right for a in rows]) == pytest.approx(np.mean([a.chance for a in rows]))


def test_nothing_is_forgotten_by_the_same_model():
    suite = forgetting.standard_suite(every=4)
    model = Planted("base", suite, dict.fromkeys(CHOICES, 0.7))
    found = forgetting.summary(forgetting.measure(model, suite), forgetting.measure(model, suite))
    assert [row.name for row in found.sets] == list(forgetting.SETS[1:])
    assert all(row.difference == 0 and row.interval[0] < 0 < row.interval[1] and row.p == 1 for row in found.sets)
    assert all(row.change == 0 and row.interval == (0, 0) for row in found.text)


def test_the_forgotten_set_is_found_and_no_other(suite):
    known = {"knowledge": 0.8, "reasoning": 0.7, "worlds": 0.9, "instructions": 0.6}
    before = forgetting.measure(Planted("base", suite, known), suite)
    after = forgetting.measure(Planted("taught", suite, {**known, "knowledge": 0.6, "worlds": 0.6}, 10.6), suite)
    found = forgetting.summary(before, after)
    rows = {row.name: row for row in found.sets}
    for name, row in rows.items():
        if name in ("knowledge", "worlds"):
            assert row.interval[1] < 0 and row.p < 0.001 and row.lost > row.gained
            assert -row.difference > row.resolvable
        else:
            assert row.difference == 0 and -0.07 < row.interval[0] < 0 < row.interval[1] < 0.07, name
    english = found.text[0]
    assert english.interval[0] > 0.05 and english.change == pytest.approx(0.06, abs=0.001)


def test_a_coin_is_at_chance(suite):
    suite = dataclasses.replace(suite, instructions=(), passages=(), worlds=())
    found = forgetting.measure(Planted("coin", suite, dict.fromkeys(CHOICES, 0.0)), suite)
    for row in forgetting.summary(found, found).sets:
        if row.name in CHOICES:
            assert abs(row.before - row.chance) < 3 * np.sqrt(row.chance * (1 - row.chance) / row.items), row.name


def test_failures_are_counted_and_in_no_share():
    suite = forgetting.standard_suite(every=4)

    class Failing(Planted):
        def reply(self, request):
            return Reply("error", error="no") if self.coin("fails", request.prompt) < 0.3 else super().reply(request)

    only = dataclasses.replace(suite, instructions=(), passages=())
    before, after = (forgetting.measure(kind("x", only, {}), only) for kind in (Planted, Failing))
    for row in forgetting.summary(before, after).sets:
        assert row.failed > 0 and row.before == row.after > 0.9, row.name
        assert row.items + row.failed == sum(a.set == row.name for a in before.answers)


def test_only_the_same_items_are_compared(suite):
    half = forgetting.standard_suite(["knowledge"], every=2)
    whole = forgetting.standard_suite(["knowledge"])
    model = Planted("base", whole, {})
    with pytest.raises(ConfigError, match="differ in 172 items"):
        forgetting.summary(forgetting.measure(model, half), forgetting.measure(model, whole))
    with pytest.raises(ConfigError, match=r"Did you mean .knowledge"):
        forgetting.standard_suite(["knowlege"])


@pytest.mark.parametrize("every", [2, 7])
def test_a_quick_look_has_all_kinds_and_whole_blocks(suite, every):
    quick = forgetting.standard_suite(every=every)
    assert {t.kind for t in quick.instructions} == set(written.CHECKS)
    sizes, whole = (Counter(c.block for c in s.choices) for s in (quick, suite))
    assert all(sizes[block] == whole[block] for block in sizes)
    assert quick.size == pytest.approx(suite.size / every, rel=0.1)


def test_english_needs_log_probabilities_or_a_scorer(suite):
    text = dataclasses.replace(suite, choices=(), instructions=(), worlds=())

    def first_tokens_only(requests):
        return [Reply("error", error="log-probabilities of other tokens") for _ in requests]

    server = SimpleNamespace(name="server", choose=first_tokens_only)
    with pytest.raises(LLMError, match="server gives no log-probability of a text"):
        forgetting.measure(server, text)
    scorer = SimpleNamespace(score=lambda passages: [(-2.0 * len(p.text), len(p.text)) for p in passages])
    found = forgetting.measure(server, text, scorer=scorer)
    assert forgetting.summary(found, found).text[0].before == pytest.approx(np.exp(2))
    own = forgetting.measure(SimpleNamespace(name="server", choose=first_tokens_only, score=scorer.score), text)
    assert own == found


def test_a_taught_world_is_no_other_world():
    taught = forgetting.standard_suite(["worlds"], leave_out=["minihack:Room-5x5", "wordle"])
    names = {w.world for w in taught.worlds}
    assert names and not any(name.startswith(("minihack", "wordle")) for name in names)
    assert names < set(general_sets.worlds())


def test_files_come_back_as_they_were(tmp_path, suite):
    part = forgetting.standard_suite(every=9)
    before, after = (forgetting.measure(Planted(n, suite, {"logic": 0.5}, p), part) for n, p in (("a", 9), ("b", 10)))
    found = forgetting.write(before, after, tmp_path / "f")
    assert forgetting.read(tmp_path / "f") == found
    assert records.load(tmp_path / "f" / "after") == after
    assert records.read_records(records.Change, tmp_path / "f" / "items.parquet") == records.changes(before, after)
    table = forgotten_table.markdown(found)
    assert "| perplexity, all |" in table and "| worlds |" in table
    (tmp_path / "f" / "after" / "measurement.json").unlink()
    with pytest.raises(ConfigError, match="no measurement"):
        records.load(tmp_path / "f" / "after")


def test_a_full_disk_is_said_to_be_full(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    found = records.Measurement("m", (records.Answer("i", "s", "k", "b", 0.5, 1.0, None),))
    records.save(found, tmp_path / "f")
    monkeypatch.setattr("plaudit.store.os.fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device.*make room"):
        records.save(dataclasses.replace(found, model="another"), tmp_path / "f")
    assert records.load(tmp_path / "f") == found
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == [
        "answers.parquet", "measurement.json", "texts.parquet",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", written.CHECKS)
def test_instructions_are_checked(kind):
    tasks = [task for task in written.instructions() if task.kind == kind]
    assert len(tasks) == 16
    for task in tasks:
        assert written.kept(task, GOOD[kind](task)), task
        assert not written.kept(task, BAD[kind]), task
        assert not written.kept(task, ""), task


def test_replay_shares_no_document_with_what_is_measured():
    held, replay = ({d["id"] for d in general_sets._documents(split)} for split in ("held_out", "replay"))
    assert held and replay and not held & replay
    told = "\n".join(general_sets.replay_texts())
    for passage in general_sets.passages():
        assert passage.text.strip()[:80] not in told
    assert sum(len(p.text.split()) for p in general_sets.passages()) > 14_000


def test_passages_lie_end_to_end():
    document = {"id": "d", "kind": "k", "text": " ".join(map(str, range(400)))}
    pieces = list(general_sets._passages(document))
    assert "".join(p.text for p in pieces).split() == [str(i) for i in range(general_sets.CONTEXT, 400)]
    assert pieces[1].context.split()[-1] == pieces[0].text.split()[-1]


def test_known_pairs_of_worlds_are_whole():
    for name in general_sets.worlds():
        pairs = general_sets.world_pairs(name).pairs
        assert 50 <= len(pairs) == len(set(pairs)) and all(a != b for a, b in pairs), name
    with pytest.raises(ConfigError, match=r"Did you mean .wordle"):
        general_sets.world_pairs("wordl")


def test_statistics_against_a_hand_computation():
    assert mcnemar(8, 1) == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar(0, 0) == 1
    low, high = wilson(0.8, 100)
    assert (low, high) == (pytest.approx(0.7112, abs=1e-4), pytest.approx(0.8666, abs=1e-4))
    assert resolvable(1000, 0.1) == pytest.approx(0.028, rel=1e-4)
    rng = np.random.default_rng(0)
    values, blocks = rng.normal(0.1, 1, 400), [str(i) for i in range(400)]
    low, high = mean_difference(values, blocks)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)
    # Four copies of each are no more than one: blocks, not items, are what is drawn.
    again = mean_difference(np.tile(values, 4), blocks * 4)
    assert again == pytest.approx((low, high), abs=0.02)
    # Where nothing differs, 3 in 60 independent ones may still (0.95 ** 60 = 0.046); ten copies of each tell no more.
    assert mean_difference([0.0] * 60, blocks[:60]) == pytest.approx((-0.05, 0.05))
    assert mean_difference([0.0] * 600, blocks[:60] * 10) == pytest.approx((-0.05, 0.05))
    assert mean_difference(np.ones((1, 60)), blocks[:60]) == pytest.approx((0.9, 1.0))
    assert mean_difference([0.0, 0.0], ["a", "b"]) == (-1, 1)
    assert bootstrap(np.ones((3, 1)), ["a", "b", "c"], lambda sums: sums[:, 0]) == (3, 3)


def test_items_and_records_check_themselves():
    with pytest.raises(ValueError, match="two or more different answers"):
        Choice("s", "k", "b", "p", (" a", " a"), 0)
    with pytest.raises(ValueError, match="finite"):
        records.TextScore("i", "k", "d", float("nan"), 3, 3)
    with pytest.raises(ValueError, match="from 0 to 1"):
        records.Answer("i", "s", "k", "b", 0.5, 2.0, None)


class Averaging(torch.nn.Module):
    """A causal model that sees the mean of what it has read: padding that is not masked would change it."""

    def __init__(self):
        super().__init__()
        self.seen, self.place = torch.nn.Embedding(300, 16), torch.nn.Embedding(64, 16)
        self.head = torch.nn.Linear(16, 300)

    def forward(self, input_ids, attention_mask, position_ids, logits_to_keep=0):
        read = (self.seen(input_ids) + self.place(position_ids)) * attention_mask[..., None]
        mean = read.cumsum(1) / attention_mask.cumsum(1).clamp(min=1)[..., None]
        return SimpleNamespace(logits=self.head(mean[:, -logits_to_keep:]))


def test_torch_scores_a_passage_as_if_it_were_alone():
    """Left padding, batches by length and the rows that are kept change nothing."""
    torch.manual_seed(0)
    model = Averaging()

    def tokenizer(text, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": list(text.encode())}

    passages = [Passage("d", "k", "ab" * n, " cd" * (7 - n)) for n in range(1, 6)]
    found = TorchText(model, tokenizer, tokens=40).score(passages)
    assert model.training
    for passage, (logprob, tokens) in zip(passages, found, strict=True):
        ids = torch.tensor([list((passage.context + passage.text).encode())])
        with torch.inference_mode():
            rows = model(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None]).logits.log_softmax(-1)[0]
        begin = len(passage.context)
        alone = sum(float(rows[i - 1, ids[0, i]]) for i in range(begin, ids.shape[1]))
        assert tokens == len(passage.text)
        assert logprob == pytest.approx(alone, abs=1e-4)
