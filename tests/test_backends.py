"""The contract of llms/base.py, held by every back-end: the same requests, the same invariants."""

import threading
import time
from importlib.metadata import EntryPoint
from importlib.util import find_spec

import numpy as np
import pytest
from openai_echo import serve

from plaudit import registry
from plaudit.config import LLMConfig
from plaudit.errors import ConfigError, LLMError
from plaudit.llms.base import Image, Reply, Request
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages.models import check_llm, make_llm

pytest.importorskip("transformers")
pytestmark = pytest.mark.skipif(find_spec("cyllama") is None, reason="needs the extra 'embedded'")
ANSWERS = (" Yes", " No")
COMMON = "A robot works in two rooms with a door between them. Each line tells what it did, and whether that helped.\n"
RED = Image.of(np.full((24, 32, 3), (255, 0, 0), np.uint8))
BLUE = Image.of(np.full((24, 32, 3), (0, 0, 255), np.uint8))
LOCAL = ("embedded", "transformers", "seeing")
BACK_ENDS = (*LOCAL, "openai", "votes", "scripted", "replay")


def questions(answers=ANSWERS):
    items = [
        f"The robot {a} a key. Then it {b}. Did it help? Yes or No:"
        for a in ("took", "lost")
        for b in ("slept", "sang")
    ]
    return [Request(COMMON + item, answers=answers) for item in items] + [
        Request("Is Paris big? Yes or No:", answers=answers)
    ]


def texts():
    return [Request(f"My favourite {thing} is", max_tokens=6) for thing in ("colour", "animal", "city")]


def scripted():
    return ScriptedLLM(lambda request: request.prompt[-9:], lambda request: (-1.0 - len(request.prompt) / 1e3, -2.0))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Every back-end by name, opened as a run opens it."""
    import tiny_models

    folder, opened = tmp_path_factory.mktemp("models"), {}
    with pytest.MonkeyPatch.context() as patch, serve() as server, serve(logprobs=False) as voting:
        patch.setenv("PLAUDIT_CACHE", str(folder / "cache"))
        settings = {
            "embedded": "embedded",
            "transformers": f"transformers:{tiny_models.make_text(folder / 'text')}",
            "seeing": f"transformers:{tiny_models.make_seeing(folder / 'seeing')}",
            "openai": server.url,
            "votes": voting.url,
        }
        for name, model in settings.items():
            config = LLMConfig(model=model, context=512)
            check_llm(config)
            opened[name] = make_llm(config)
        opened["scripted"] = scripted()
        ledger = Ledger(folder / "ledger.sqlite")
        asked = LedgerLLM(scripted(), ledger)
        asked.choose([*questions(), *questions()[::-1], Request(" ", answers=ANSWERS), Request("none")])
        asked.generate(texts())
        ledger.close()
        opened["replay"] = make_llm(LLMConfig(replay=str(folder / "ledger.sqlite")))
        yield opened
        for llm in opened.values():
            llm.close()


@pytest.fixture(params=BACK_ENDS)
def llm(request, models):
    return models[request.param]


def logprobs(replies):
    assert all(reply.status == "ok" for reply in replies), [reply.error for reply in replies]
    return np.array([reply.logprobs for reply in replies])


def test_choose_answers_each_request_in_order(llm):
    start = time.perf_counter()
    replies = llm.choose(questions())
    seconds = time.perf_counter() - start
    got = logprobs(replies)
    assert got.shape == (5, 2) and (got <= 0).all() and (np.logaddexp(got[:, 0], got[:, 1]) < 1e-6).all()
    assert all(r.prompt_tokens > 0 and r.new_tokens > 0 and len(r.lengths) == 2 and r.usd == 0 for r in replies)
    assert replies[0].prompt_tokens > replies[4].prompt_tokens, "the whole prompt counts, shared or not"
    assert llm.name in ("replay", "scripted") or sum(r.seconds for r in replies) <= seconds + 0.05
    # Votes are drawn; quantised weights shift a little with the batch.
    apart = 3.0 if "votes" in llm.name.split(":")[-1].split(",")[0] else 0.5
    np.testing.assert_allclose(logprobs(llm.choose(questions()[::-1]))[::-1], got, atol=apart)


def test_generate_keeps_to_its_limits(llm):
    replies = llm.generate(texts())
    assert [r.status for r in replies] == ["ok"] * 3 and all(0 < r.new_tokens <= 6 for r in replies)
    assert all(not r.logprobs for r in replies)
    assert [r.text for r in llm.generate(texts())] == [r.text for r in replies]


@pytest.mark.parametrize("kind", ["choose", "generate"])
def test_each_reply_is_told_once_in_the_callers_thread(llm, kind):
    asked, told = (questions() if kind == "choose" else texts()), []
    asked = [*asked, *asked]
    replies = getattr(llm, kind)(asked, lambda place, reply: told.append((place, reply, threading.get_ident())))
    assert sorted(told, key=lambda each: each[0]) == [(i, r, threading.get_ident()) for i, r in enumerate(replies)]
    half = len(asked) // 2
    assert [(r.text, r.logprobs) for r in replies[:half]] == [(r.text, r.logprobs) for r in replies[half:]]


def test_no_request_spoils_another(llm, request):
    """A prompt of nothing but a space, no answers to choose from, a prompt that no context holds."""
    assert llm.choose([]) == [] and llm.generate([]) == []
    with pytest.raises(ValueError, match="needs a prompt"):
        Request("")
    bad = [Request(" ", answers=ANSWERS), Request("none")]
    local = request.node.callspec.params["llm"] in LOCAL
    long = [Request("word " * 3000, answers=ANSWERS)] if local else []
    replies = llm.choose([*bad, *questions(), *long])
    assert replies[1].status == "error" and "answers" in replies[1].error
    assert replies[0].status in ("ok", "error") and [r.status for r in replies[2:7]] == ["ok"] * 5
    assert not long or (replies[7].status == "error" and "the context holds 512" in replies[7].error)
    assert all(bool(r.error) != bool(r.logprobs) for r in replies)


def test_an_interrupt_leaves_it_usable(llm):
    before = logprobs(llm.choose(questions()))

    def interrupt(place: int, reply: Reply) -> None:
        raise KeyboardInterrupt

    for ask in (lambda: llm.choose(questions(), interrupt), lambda: llm.generate(texts(), interrupt)):
        with pytest.raises(KeyboardInterrupt):
            ask()
    assert np.abs(logprobs(llm.choose(questions())) - before).max() < 3.0
    assert [r.status for r in llm.generate(texts())] == ["ok"] * 3


def test_names_say_who_and_not_where(models, tmp_path_factory):
    names = {models[name].name for name in BACK_ENDS}
    assert len(names) == len(BACK_ENDS) - 1, "a replay has the name of the model that it replays"
    assert not any(str(tmp_path_factory.getbasetemp()) in name for name in names)


@pytest.mark.parametrize("name", BACK_ENDS)
def test_images_are_seen_or_refused_in_words(models, name):
    red, blue = (Request("Is this red? Yes or No:", answers=ANSWERS, images=(image,)) for image in (RED, BLUE))
    if name == "replay":
        with pytest.raises(LLMError, match="have no answer"):
            models[name].choose([red])
        return
    replies = models[name].choose([red, blue, Request("Is this red? Yes or No:", answers=ANSWERS)])
    assert replies[2].status == "ok"
    if name in ("embedded", "transformers"):
        assert [r.status for r in replies[:2]] == ["error"] * 2 and "takes no images" in replies[0].error
    if name == "seeing":
        assert abs(replies[0].logprobs[0] - replies[1].logprobs[0]) > 0.01 and replies[0].prompt_tokens > 30
    if name == "openai":
        said = models[name].generate([Request("What", images=(RED, BLUE)), Request("What", chat=True)])
        assert models[name].choose([red])[0].status == "ok" and [r.text for r in said] == ["What", "What"]


def test_a_server_gets_its_pictures_as_they_are():
    with serve() as server:
        llm = make_llm(LLMConfig(model=server.url))
        asked = []
        body = server.body
        server.body = lambda path, sent, fault: asked.append((path, sent)) or body(path, sent, fault)
        assert llm.choose([Request("Is it?", answers=ANSWERS, images=(RED, BLUE))])[0].status == "ok"
        ((path, sent),) = asked
        assert path == "chat/completions" and sent["logprobs"]
        content = sent["messages"][0]["content"]
        assert content[-1] == {"type": "text", "text": "Is it?"}
        from openai_echo import colour

        assert [colour(part) for part in content[:-1]] == ["#ff0000", "#0000ff"]
        llm.close()
    with serve(endpoints=("completions",)) as server:
        llm = make_llm(LLMConfig(model=server.url))
        seen = sum(server.seen.values())
        (reply,) = llm.generate([Request("What?", images=(RED,))])
        assert reply.status == "error" and "no images" in reply.error and sum(server.seen.values()) == seen
        llm.close()


def test_keys_and_ledgers_tell_pictures_apart(tmp_path):
    asked = [Request("a", images=images) for images in ((), (RED,), (BLUE,), (RED, BLUE), (BLUE, RED))]
    assert len({request.key("m") for request in asked}) == 5
    again = Image.of(np.full((24, 32, 3), (255, 0, 0), np.uint8))
    assert Request("a", images=(again,)).key("m") == asked[1].key("m")
    wide, high = (Image.of(np.zeros(shape, np.uint8)) for shape in ((4, 8, 3), (8, 4, 3)))
    assert wide != high and "images" not in asked[0].record()
    ledger = Ledger(tmp_path / "l.sqlite")
    LedgerLLM(ScriptedLLM(lambda request: "seen"), ledger).generate(asked)
    ledger.close()
    assert (tmp_path / "l.sqlite").stat().st_size < 100_000
    replay = make_llm(LLMConfig(replay=str(tmp_path / "l.sqlite")))
    assert [r.text for r in replay.generate(asked)] == ["seen"] * 5
    stored = {request for request, _ in Ledger(tmp_path / "l.sqlite").examples(9)}
    assert stored == set(asked)
    with pytest.raises(ValueError, match="uint8"):
        Image.of(np.zeros((4, 4), np.uint8))


class Foreign(ScriptedLLM):
    """A back-end of somebody else's."""

    @classmethod
    def open(cls, config):
        return cls(name=config.model)


def test_a_back_end_of_another_package_is_found_by_name(monkeypatch):
    entry = EntryPoint("foreign", f"{__name__}:Foreign", "plaudit.llms")
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: [entry] if group == "plaudit.llms" else [])
    for model in ("foreign", "foreign:a/b:c"):
        check_llm(LLMConfig(model=model))
        assert make_llm(LLMConfig(model=model)).name == model


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "embeded"}, "Did you mean 'embedded'"),
        ({"model": "transformer:x/y"}, "Did you mean 'transformers'"),
        ({"model": "transformers:"}, "no config.json"),
        ({"model": "transformers:/nowhere/at/all"}, "no config.json"),
        ({"model": "transformers:absent.gguf"}, "no model file"),
        ({"model": "transformers:embedded", "device": "warp"}, "no device 'warp'"),
        ({"model": "transformers:embedded", "adapter": "/nowhere"}, "no adapter_config.json"),
        ({"model": "embedded", "adapter": "/nowhere"}, "there is no adapter"),
        ({"model": "http://127.0.0.1:9/v1", "adapter": "x"}, "takes no adapter"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(settings, said):
    with pytest.raises((ConfigError, LLMError), match=said):
        check_llm(LLMConfig(**settings))


def test_a_server_that_calls_its_model_by_a_path_is_named_without_it():
    with serve(model="/home/somebody/models/small.Q4_0.gguf") as server:
        llm = make_llm(LLMConfig(model=server.url))
        assert llm.name.startswith("openai:small.Q4_0.gguf@") and llm.model.startswith("/home")
        llm.close()
