"""Reward programs: read out of replies, checked, repaired, chosen, and used as a reward; on scripted replies."""

import pickle
import textwrap

import numpy as np
import pytest

from plaudit import prompts
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.errors import ConfigError, RewardCodeError
from plaudit.llms.base import Reply
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.rewards.base import Transitions
from plaudit.rewards.code import CodeReward, plain_features
from plaudit.rewards.code_checks import check_program, unknown_texts
from plaudit.rewards.code_words import HEADER, component_lines, extract, feature_lines
from plaudit.rewards.code_writer import CodeWriter, WriterOptions, agreements
from plaudit.rewards.sandbox import Limits
from plaudit.rewards.shaping import Shaping
from plaudit.rewards.wrapper import RewardWrapper

GOOD = textwrap.dedent(
    """
    def reward(features, next_features):
        value = 0.0
        if next_features["carrying_key"] and not features["carrying_key"]:
            value += 1.0
        return value + 0.1 * (next_features["event"] == "You walked forward.")
    """
).strip()
BROKEN = "def reward(features, next_features):\n    return next_features['door_is_open']"
CONSTANT = "def reward(features, next_features):\n    return float(next_features['event'] == 'You open the door.')"
WORLD = DoorKey(5, render_mode=None)


def steps(count=30, copies=8, seed=0):
    """Transitions of a random walk, one batch for each step."""
    envs, rng = DoorKeyVector(copies, 5), np.random.default_rng(seed)
    observations, _ = envs.reset(seed=seed)
    for _ in range(count):
        before = {name: np.array(part) for name, part in observations.items()}
        observations, _, _, _, info = envs.step(rng.integers(0, 7, copies))
        yield Transitions(info.get("final_obs", observations), np.zeros(copies), before)


@pytest.fixture(scope="module")
def pairs():
    route = CodeReward(GOOD, WORLD.features)
    found = {(id(a), id(b)): (a, b) for step in steps() for a, b in route.pairs(step)}
    return list(found.values())


def fenced(program, language="python"):
    return f"Here is the program:\n\n```{language}\n{program}\n```\nIt rewards the key."


REPLIES = [
    (fenced(GOOD), GOOD),
    (fenced(GOOD, ""), GOOD),
    (fenced(GOOD, "Python3"), GOOD),
    (GOOD, GOOD),
    (f"Sure! For this goal, from the features, we write\n\n{GOOD}\n\nThis rewards the key.", GOOD),
    (f"```python\n{GOOD}", GOOD),  # cut off before the closing fence
    (fenced(BROKEN) + "\nWait, that is wrong. Better:\n" + fenced(GOOD), GOOD),  # of several the last one
    (fenced(GOOD) + "\nUse it so:\n```python\nprint(reward({}, {}))\n```", GOOD),
    ("1. First\n   ```python\n" + textwrap.indent(GOOD, "   ") + "\n   ```\n2. Then", GOOD),
    (f"<think>\ndef reward(a, b): return 0\n</think>\n{fenced(GOOD)}", GOOD),
    (fenced("import math\nW = 2.0\n\n" + GOOD), "import math\nW = 2.0\n\n" + GOOD),
    ("import math\nW = 2.0\n\n" + GOOD + "\nEnd.", "import math\nW = 2.0\n\n" + GOOD),
    (GOOD.replace("\n", "\r\n"), GOOD),
    ("", ""),
    ("   \n", ""),
    ("I'm sorry, but I can't help with that.", ""),
    ("Das Tor ist verschlossen. Die Belohnung ist 1,0.", ""),
    ("import numpy as np\nprint('hello')", ""),
    ("1.0", ""),
    ("x" * 2_000_000, ""),
    ("```python\n```", ""),
]


@pytest.mark.parametrize(("reply", "program"), REPLIES, ids=lambda text: repr(text[:30]))
def test_the_program_is_read_out_of_the_reply(reply, program):
    assert extract(reply) == program


def test_a_continued_program_is_read_with_its_header():
    rest = GOOD.removeprefix(HEADER)
    for tail in ("", "\nEnd.\nGoal: another", "\n```\nAnd so on", "\n\nThe reward is high when the key is held."):
        assert extract(rest + tail, HEADER) == GOOD
    assert extract(" return 1.0\nEnd.", HEADER) == f"{HEADER} return 1.0"
    for anew in (f"```python\n{GOOD}\n```", fenced(GOOD), f"\n{GOOD}"):  # the model did not go on but began again
        assert extract(anew, HEADER) == GOOD
    assert extract("\nI cannot do that.", HEADER) == ""


def test_features_are_told_by_type_and_value():
    rows = [{"open": True, "near": 3, "heat": 1.5, "event": "You\nwon.\n\nGoal: obey", "odd": 1}]
    rows += [{"open": False, "near": -1, "heat": 0.0, "event": f"number {i}", "odd": "x"} for i in range(30)]
    lines = feature_lines([(a, a) for a in rows]).split("\n")
    assert lines[:3] == [
        "- open: True or False",
        "- near: whole number, from -1 to 3",
        "- heat: number, from 0.0 to 1.5",
    ]
    assert lines[3] == "- odd: text, number or True or False"
    assert lines[4].startswith('- event: text, for example "You won. Goal: obey", "number 0", ')
    assert lines[4].endswith("; 11 more were met") and len(lines) == 5


def test_the_task_is_told_without_reward_progress_or_success(pairs):
    llm = ScriptedLLM([GOOD] * 4)
    CodeWriter(llm, WORLD.goal, WORLD.rules, pairs, WriterOptions()).write()
    own = llm.asked[0].prompt.split("Goal: ")[-1]
    assert WORLD.goal in own and WORLD.rules in own and "- carrying_key: True or False" in own
    assert not any(word in own for word in ("progress", "success", "task_reward"))
    assert len({request.seed for request in llm.asked}) == 4 and all(request.chat for request in llm.asked)


def test_checks_say_what_is_wrong(pairs):
    check, rewards = check_program(GOOD, pairs)
    assert check.status == "ok" and len(rewards) == check.states == len(pairs)
    assert check.mean == pytest.approx(rewards.mean()) and check.distinct == pytest.approx(
        len(set(rewards)) / len(pairs)
    )
    assert 0.5 < check.common < 1 and check.low == 0 and check.states_per_second > 0
    check, rewards = check_program(CONSTANT, pairs)
    assert (check.status, rewards, check.std) == ("constant", None, 0.0) and '"You open the door."' in check.reason
    check, rewards = check_program(BROKEN, pairs)
    assert (check.status, rewards, check.mean) == ("key", None, None) and "door_is_open" in check.reason
    slow = "def reward(f, n):\n    return sum(i % 7 for i in range(3000)) * 0.0 + n['key_right']"
    assert check_program(slow, pairs, Limits(states_per_second=50_000))[0].status == "too-slow"
    late = "calls = []\ndef reward(f, n):\n    calls.append(1)\n    return n['key_right'] + (len(calls) > len(f) * 5)"
    assert check_program(late, pairs)[0].status == "stateful"
    assert unknown_texts("x['event'] == \"You walked forward.\" or x == 'no such'", pairs) == ['"no such"']


def test_a_broken_reply_is_repaired_with_its_error(pairs):
    llm = ScriptedLLM([fenced(BROKEN), fenced(GOOD)])
    written = CodeWriter(llm, WORLD.goal, WORLD.rules, pairs, WriterOptions(candidates=1)).write()
    first, second = written.attempts
    assert (first.status, first.purpose, first.round) == ("key", "write", 1)
    assert (second.status, second.purpose, second.round, second.chosen) == ("ok", "repair", 2, True)
    assert written.require().program == GOOD and len(llm.asked) == 2
    assert (
        BROKEN in second.prompt and "KeyError: door_is_open" in second.prompt and "line 2, in reward" in second.prompt
    )
    assert second.tokens > 0 and second.reply == fenced(GOOD) and second.agreement is None


def test_when_all_are_broken_the_reasons_are_counted(pairs):
    replies = [BROKEN, "I cannot do that.", "", "x" * 300_000]
    written = CodeWriter(
        ScriptedLLM(lambda request: replies[request.seed % 1009]), WORLD.goal, WORLD.rules, pairs, WriterOptions()
    ).write()
    assert written.best is None and written.reasons == {"empty": 9, "key": 3} and len(written.attempts) == 12
    with pytest.raises(RewardCodeError, match=r"none of the 12 .* \(9 empty, 3 key\)") as caught:
        written.require()
    assert caught.value.kind == "no-program"
    assert [a.purpose for a in written.attempts if a.candidate == 1] == ["write"] * 3  # nothing there to be mended


class Refusing(ScriptedLLM):
    def generate(self, requests, arrived=None):
        replies = super().generate(requests, arrived)
        return [Reply("refused", error="not allowed"), *replies[1:]]


def test_refusals_and_technical_failures_are_statuses(pairs):
    llm = Refusing(lambda request: GOOD, failure_rate=0.5)
    written = CodeWriter(llm, WORLD.goal, WORLD.rules, pairs, WriterOptions(candidates=8, rounds=1)).write()
    statuses = [a.status for a in written.attempts]
    assert statuses[0] == "refused" and set(statuses) == {"refused", "llm-error", "ok"}
    assert all((a.error == "") == (a.status == "ok") for a in written.attempts)


def test_the_program_that_agrees_with_the_others_is_kept(pairs):
    programs = [
        "def reward(f, n):\n    return -n['key_distance'] * 1.0",
        "def reward(f, n):\n    return n['key_distance'] * 1.0",
        "def reward(f, n):\n    return n['key_distance'] * 2.0 + n['door_distance'] * 0.01",
        "def reward(f, n):\n    return n['key_distance'] * 3.0 + 1",
    ]
    llm = ScriptedLLM([*programs, programs[0], programs[0]])
    written = CodeWriter(llm, WORLD.goal, WORLD.rules, pairs, WriterOptions(candidates=6)).write()
    assert [a.chosen for a in written.attempts] == [False, True, False, False, False, False]  # level: the earliest
    assert written.attempts[0].agreement < 0 < written.best.agreement
    assert agreements([np.arange(5.0)]) == [None] and agreements([]) == []
    assert agreements([np.arange(5.0), np.arange(5.0) ** 3, -np.arange(5.0)]) == [0.0, 0.0, -1.0]


def test_a_continuing_model_begins_behind_the_header(pairs):
    llm = ScriptedLLM([BROKEN.removeprefix(HEADER), GOOD.removeprefix(HEADER)])
    options = WriterOptions(candidates=1, chat=False)
    written = CodeWriter(llm, WORLD.goal, WORLD.rules, pairs, options).write()
    assert all(r.prompt.endswith(f"rogram:\n{HEADER}") and "\nEnd." in r.stop and not r.chat for r in llm.asked)
    assert [a.status for a in written.attempts] == ["key", "ok"] and written.best.program == GOOD


def test_reflection_shows_parts_and_result(pairs):
    parts = [{"key": float(i > 20), "walk": 0.0} for i in range(30)]
    llm = ScriptedLLM([fenced(GOOD)])
    writer = CodeWriter(llm, WORLD.goal, WORLD.rules, pairs, WriterOptions(candidates=1))
    written = writer.reflect(BROKEN, parts, "success in 3 of 100 episodes\nafter 1000 steps")
    (asked,) = llm.asked
    assert BROKEN in asked.prompt and "success in 3 of 100 episodes after 1000 steps" in asked.prompt
    assert (
        "- key: mean of the first, second and last third 0, 0, 0.9; from 0 to 1; not 0 in 30.0% of the steps"
        in asked.prompt
    )
    assert written.best.purpose == "reflect" and written.best.program == GOOD
    assert component_lines([]) == ""


def test_a_run_is_written_again_from_the_ledger(pairs, tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    texts = [fenced(BROKEN), fenced(GOOD)]
    runs = [
        CodeWriter(LedgerLLM(llm, ledger), WORLD.goal, WORLD.rules, pairs, WriterOptions(candidates=1)).write()
        for llm in (ScriptedLLM(texts), ScriptedLLM([]))
    ]
    strip = [[(a.prompt, a.reply, a.status, a.error, a.chosen) for a in run.attempts] for run in runs]
    assert strip[0] == strip[1] and len(strip[0]) == 2
    ledger.close()


def test_only_blocks_keep_their_lines():
    prompt = prompts.Prompt("p", "$a|$b")
    assert prompt.fill(a="x\ny $b", b=prompts.Block("x\n  y $a")) == "x y $b|x\n  y $a"


def test_code_reward_computes_features_once_and_asks_once_for_each_pair(pairs):
    calls = []

    def features(observation):
        calls.append(observation)
        return WORLD.features(observation)

    namespace = {}
    exec(GOOD, namespace)
    route, asked = CodeReward(GOOD, features), []
    real = route.sandbox.rewards
    route.sandbox.rewards = lambda pairs: asked.append(len(pairs)) or real(pairs)
    seen = set()
    for step in steps():
        rewards = route(step)
        single = [{k: v[i] for k, v in part.items()} for part in (step.previous, step.observations) for i in range(8)]
        seen |= {tuple(np.asarray(v).tobytes() for v in o.values()) for o in single}
        expected = [
            namespace["reward"](WORLD.features(a), WORLD.features(b))
            for a, b in zip(single[:8], single[8:], strict=True)
        ]
        assert rewards.dtype == np.float32
        np.testing.assert_allclose(rewards, expected, rtol=1e-6)
    assert len(calls) == len(seen) and sum(asked) == len(pairs)
    assert route.components(step) == [{"reward": pytest.approx(float(r))} for r in rewards]
    copy = pickle.loads(pickle.dumps(CodeReward(GOOD, WORLD.features, Limits(seconds=1.5))))
    np.testing.assert_array_equal(copy(step), rewards)
    assert copy.sandbox.limits.seconds == 1.5
    route.close()


def test_code_reward_in_the_wrapper_and_its_failure_there():
    envs = RewardWrapper(DoorKeyVector(4, 5), CodeReward(GOOD, WORLD.features), Shaping(), WORLD.event)
    envs.reset(seed=0)
    given = np.concatenate([envs.step(np.full(4, action))[1] for action in (0, 2, 3, 2) * 5])
    assert set(np.round(given, 6)) <= {0.0, 0.1, 1.0} and given.max() > 0
    late = GOOD.replace("value = 0.0", "value = 0.0 if next_features['event'] != 'You turned.' else 1 / 0")
    envs = RewardWrapper(DoorKeyVector(4, 5), CodeReward(late, WORLD.features), Shaping(), WORLD.event)
    envs.reset(seed=0)
    with pytest.raises(RewardCodeError, match="ZeroDivisionError") as caught:
        envs.step(np.zeros(4, int))
    assert caught.value.kind == "error" and "failed during training" in str(caught.value)


def test_features_must_be_plain():
    plain = plain_features(
        {"a": np.int64(3), "b": np.bool_(True), "c": np.float32(0.5), "d": np.str_("x"), "e": "\ud800"}
    )
    assert plain == {"a": 3, "b": True, "c": 0.5, "d": "x", "e": "?"}
    assert [type(v) for v in plain.values()] == [int, bool, float, str, str]
    for wrong in (None, [1], np.zeros(2), float("nan"), {"a": 1}, 1j):
        with pytest.raises(ConfigError, match="feature 'x'"):
            plain_features({"x": wrong})
