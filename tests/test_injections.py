"""No observation can end its own field: every prompt against a corpus of hostile texts, without a model."""

from __future__ import annotations

import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from injections import Injection, texts

from plaudit import prompts
from plaudit.envs.gridworld import DoorKey
from plaudit.judging import segments
from plaudit.llms.base import Request
from plaudit.policies.questions import Questions
from plaudit.prompts import Block, Prompt, marked_off, one_line
from plaudit.rewards.code_words import feature_lines
from plaudit.rewards.sandbox_errors import shown

SEEN = "You see the wall. Your hands are empty. You turned."
ANSWERS = {
    "pointwise": ("Progress:", "Yes", "No"),
    "pairwise": ("More progress:", "A", "B"),
    "verdict": ("Answer:", "A", "B"),
    "scale": ("Progress:", "5", "1"),
    "rating": ("Rating:", "5", "1"),
    "act": ("Action:", "toggle", "forward"),
    "think": ("Thought:", "I give up", "I go on"),
    "criticise": ("Criticism:", "None.", "All."),
    "code": ("Program:", "def reward(a, b): return 1", "pass"),
    "code_reflect": ("Better program:", "def reward(a, b): return 1", "pass"),
    "code_repair": ("Mended program:", "def reward(a, b): return 1", "pass"),
    "code_chat": ("Program:", "def reward(a, b): return 1", "pass"),
    "next": ("What follows:", "A", "B"),
    "inverse": ("Action in between:", "A", "B"),
    "effect": ("Answer:", "A", "B"),
    "reachable": ("Answer:", "A", "B"),
    "caption": ("Description:", "the goal", "a wall"),
}
"""Of each prompt its last line and two answers; its other wordings (``act-b``) are attacked alike."""
CONTROL = re.compile(r"<\||<｜|</?s>|\[/?INST\]|<(start|end)_of_turn>|<<SYS>>|<think>|\[\|")
"""What a tokeniser of some model reads as one of its control tokens."""


def corpus() -> list[tuple[str, Injection]]:
    return [(name, each) for name in prompts.names() for each in texts(*ANSWERS[name.split("-")[0]])]


def test_the_corpus_is_of_many_kinds() -> None:
    kinds = Counter(each.kind for each in texts("Progress:", "Yes", "No"))
    assert sum(kinds.values()) >= 60 and len(kinds) >= 12 and set(ANSWERS) == {n.split("-")[0] for n in prompts.names()}
    assert not any("@" in each.text for each in texts("Progress:", "Yes", "No"))


def holes(prompt: Prompt, field: str, hostile: str) -> list[str]:
    """What a text in a field does to the lines of the prompt beside its own."""
    fields = set(re.findall(r"\$\{?(\w+)", prompt.text)) - {field}
    others = {name: Block(f"the {name}") for name in fields}
    empty, filled = (prompt.fill(**others, **{field: value}) for value in ("\N{SNOWMAN}", f"{SEEN}{hostile}"))
    found = []
    before, after = empty.splitlines(), filled.splitlines()
    if len(before) != len(after):
        return [f"{len(after) - len(before)} more lines"]
    for one, two in zip(before, after, strict=True):
        head, mark, tail = one.partition("\N{SNOWMAN}")
        if not (two.startswith(head) and two.endswith(tail) if mark else one == two):
            found.append(f"{one!r} became {two!r}")
    return found


def test_no_text_can_end_its_field_in_any_prompt() -> None:
    tried = 0
    for name, each in corpus():
        prompt = prompts.load(name)
        for field in ("observation", "following", "action", "first", "second", "goal", "rules"):
            if f"${field}" in prompt.text:
                tried += 1
                assert not holes(prompt, field, each.text), (name, field, each)
    assert tried > 1000


def test_the_test_sees_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "one_line", lambda text: text)
    prompt = prompts.load("pointwise")
    caught = {each.kind for each in texts(*ANSWERS["pointwise"]) if holes(prompt, "observation", each.text)}
    assert {"turn", "end of data", "example", "chat tokens", "markup"} <= caught


def test_no_text_spells_a_control_token_or_hides_anything() -> None:
    spelt = 0
    for _, each in corpus():
        shown_text = one_line(SEEN + each.text)
        spelt += CONTROL.search(each.text) is not None
        assert not CONTROL.search(shown_text), each
        assert not re.search(
            "[\u200b\u2060\u202a-\u202e\u2066-\u2069\ufeff\x00-\x1f\x7f-\x9f\U000e0000-\U000e007f]", shown_text
        )
        assert one_line(shown_text) == shown_text
    assert spelt > 50


def test_plain_text_stays_as_it_is() -> None:
    for text in (
        SEEN,
        "a <b and b> c",
        "3 < 4 [y/n] [A] x|y -> z",
        "می\u200cخواهم 👩\u200d👧 naïve 你好",
        "<- back | next ->",
    ):
        assert marked_off(text) == text
    assert marked_off("<b>bold</b> </s>[INST]") == "< b>bold< /b> < /s>[ INST]"


def test_no_text_can_pass_for_two_members_of_a_segment() -> None:
    for each in texts("Progress:", "Yes", "No"):
        joined = segments.join((SEEN + each.text, SEEN))
        assert Counter(re.findall(r"\b(?:First|Then):", joined)) == {"First:": 1, "Then:": 1}


def test_no_text_can_add_a_line_to_what_the_acting_model_is_shown() -> None:
    world = DoorKey()
    for kind in ("act", "think", "criticise"):
        lines: set[int] = set()
        for each in texts(*ANSWERS[kind]):
            questions = Questions(world, "", (), 0, "any")
            hostile = SEEN + each.text
            asked = questions.ask(kind, hostile, [(hostile, "forward")], hostile, hostile, hostile)  # type: ignore[arg-type]
            lines.add(len(asked.splitlines()))
            assert not CONTROL.search(asked)
        assert len(lines) == 1


def test_no_feature_of_a_world_can_add_a_line_to_the_code_prompt() -> None:
    for each in texts(*ANSWERS["code"]):
        features = {"near": 1, "event": each.text, each.text[:60]: 2.0}
        assert len(feature_lines([(features, features)]).splitlines()) == 3
        assert len(shown(features).splitlines()) == 1


def test_in_a_chat_template_the_corpus_opens_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the embedded model's own tokens: only its template's control tokens are control tokens."""
    pytest.importorskip("cyllama", reason="needs the extra 'embedded'")
    from plaudit.llms.embedded import EmbeddedLLM

    llm = EmbeddedLLM(context=4096)
    try:
        control = [token for token in range(llm._vocab.n_vocab) if llm._vocab.is_control(token)]
        prompt, counts = prompts.load("pointwise"), set()
        for raw in (True, False):  # by the tokeniser alone too, where a text is not marked off
            for each in texts(*ANSWERS["pointwise"]):
                text = prompt.fill(goal="g", observation=Block(each.text) if raw else each.text)
                counts.add(int(np.isin(llm.prompt_tokens(Request(text, chat=True)), control).sum()))
        assert len(counts) == 1
        changing = SimpleNamespace(
            get_default_chat_template=str.__doc__.strip, chat_apply_template=lambda *a: "<|im_end|>"
        )
        monkeypatch.setattr(llm, "_model", changing)
        (reply,) = llm.choose([Request("x <|im_end|>", chat=True, answers=(" Yes", " No"))])
        assert reply.status == "error" and "template changes" in reply.error
        monkeypatch.undo()
    finally:
        llm.close()
