"""The acting LLM: each switch does one thing, samples are a copy's own, what is logged is what happened."""

from dataclasses import asdict
from functools import cache
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest

from plaudit.envs.base import World
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.envs.gridworld_words import ACTIONS
from plaudit.errors import ConfigError
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.policies.examples import Examples, RecordedStep
from plaudit.policies.llm import LLMPolicy, PolicyOptions
from plaudit.rollout import run_episodes
from plaudit.store import read_table, write_table
from plaudit.vector import take

LEFT, DONE = ACTIONS.index("turn left"), ACTIONS.index("done")
NOWHERE = "(not shown)"


def prefers(*words, weights=(-1.0, -9.0)):
    """A model that finds each word of these actions so likely, and those of others not; per word, summed."""
    return ScriptedLLM(
        lambda request: "a text",
        lambda request: [weights[a.strip() not in words] * len(a.split()) for a in request.answers],
    )


@cache
def start(copies=2, size=5):
    return DoorKeyVector(copies, size).reset(seed=0)[0]


def step(episode, text, action="turn left", following="You turned.", success=False):
    return RecordedStep(episode, 0, text, action, following, success)


STEPS = [
    step(0, "You see a red key on the floor."),
    step(0, "You see a blue door in the wall.", "toggle", "It is open.", True),
    step(1, "You see an old dog under the tree.", "pick up"),
]


def asked(steps=STEPS, acts=1, copies=2, llm=None, **options):
    """The requests of some steps, and the policy."""
    llm = llm or prefers("turn left")
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(**options), steps)
    for _ in range(acts):
        policy.act(start(copies))
    return llm.asked, policy


def without(prompt, *beginnings):
    """A prompt's lines, but those that a technique brings."""
    return [line for line in prompt.split("\n") if not line.startswith(beginnings)]


BROUGHT = {  # switch, and the beginnings of the lines that it may bring
    "examples": (2, ("Recorded earlier:", "Now: You see", "Action: t", "Action: p", "Then: ", "End of the record.")),
    "history": (3, ("Before: ", "Action: turn left")),
    "thought": (True, ("Thought: a text",)),
    "refine": (1, ("Proposed action: turn left", "Criticism: a text")),
}


@pytest.mark.parametrize("switch", BROUGHT)
@pytest.mark.parametrize("action", ["choose", "generate"])
def test_a_switch_brings_its_lines_and_changes_nothing_else(switch, action):
    value, lines = BROUGHT[switch]
    llm = prefers("turn left") if action == "choose" else ScriptedLLM(
        lambda r: "turn left" if r.prompt.endswith("Action:") else "a text"
    )  # fmt: skip
    plain = asked(acts=2, llm=llm, action=action)[0][-1]
    llm.asked = []
    changed = asked(acts=2, llm=llm, action=action, **{switch: value})[0][-1]
    assert without(changed.prompt, *lines) == without(plain.prompt, *lines)
    assert changed.prompt != plain.prompt
    assert {**asdict(changed), "prompt": ""} == {**asdict(plain), "prompt": ""}


def test_zero_shot_asks_one_question_for_each_situation_and_no_line_is_empty():
    requests, policy = asked()
    assert len(requests) == 2
    task = requests[0].prompt.split("\n\n")[-1].split("\n")
    assert [line.split(":")[0] for line in task] == ["Goal", "Rules", "Now", "Action"]
    assert requests[0].answers == tuple(f" {a}" for a in ACTIONS)
    assert [said.how for said in policy.log] == ["ok", "ok"]


def test_chat_and_prompt_are_handed_on(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("$goal $rules $observation\n$examples$history${reasoning}Do:")
    requests, _ = asked(chat=True, prompt=str(path), action="generate", max_tokens=7)
    assert all(r.chat and r.max_tokens == 7 and r.stop == () and r.prompt.endswith("\nDo:") for r in requests)
    assert requests[2].prompt.split("\n")[-2].startswith("(Answer with one of: turn left,")  # asked once more
    path.write_text("$goal Do:")
    with pytest.raises(ConfigError, match=r"must have the fields .*\$history"):
        asked(prompt=str(path))


def test_history_is_the_last_steps_of_this_episode():
    llm = prefers("turn left")
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(history=2))
    counts = []
    policy.reset(np.ones(2, bool))
    for number in range(6):
        if number == 4:
            policy.reset(np.array([True, False]))
        policy.act(start())
        counts.append([request.prompt.count("Before: ") for request in llm.asked[-2:]])
    assert counts == [[0, 0], [1, 1], [2, 2], [2, 2], [0, 2], [1, 2]]
    assert [(said.episode, said.step) for said in policy.log if said.copy == 0][3:] == [(0, 3), (1, 0), (1, 1)]
    assert [(said.episode, said.step) for said in policy.log if said.copy == 1][3:] == [(0, 3), (0, 4), (0, 5)]


def test_without_history_nothing_is_remembered():
    _, policy = asked(acts=5)
    assert policy._past == [[], []]


def test_a_long_action_does_not_lose_by_its_length():
    class Wordy(DoorKey):
        def actions(self, obs):
            return ["done", "move forward"]

    llm = ScriptedLLM(score=lambda request: [-2.0, -3.0])  # -2 per word against -1.5
    policy = LLMPolicy(llm, Wordy(5), PolicyOptions())
    assert policy.act(start(1)).tolist() == [ACTIONS.index("move forward")]
    assert policy.log[0].reply == "done -2.000, move forward -1.500"


def test_the_prior_is_subtracted_and_asked_without_what_was_seen():
    def score(request):
        rare = 4.0 if NOWHERE not in request.prompt else 0.0
        return [
            (-1.0 if a == " turn left" else -8.0 + rare * (a == " toggle")) * len(a.split()) for a in request.answers
        ]

    llm = ScriptedLLM(lambda request: "a text", score)
    requests, policy = asked(llm=llm, acts=2, prior=True, history=2, thought=True)
    assert {said.executed for said in policy.log} == {"toggle"}
    priors = {request.prompt for request in requests if NOWHERE in request.prompt}
    assert len(priors) == 1  # the same for every copy and step: costs one question
    assert not any(word in prior for prior in priors for word in ("Before:", "Thought:"))
    assert {said.executed for said in asked(llm=llm)[1].log} == {"turn left"}
    with pytest.raises(ConfigError, match=r"needs --policy\.action choose"):
        asked(prior=True, action="generate")


def test_a_failed_prior_is_a_failure():
    llm = prefers("turn left")
    choose, calls = llm.choose, []

    def second_fails(requests):
        calls.append(1)
        return ScriptedLLM(failure_rate=1).choose(requests) if len(calls) == 2 else choose(requests)

    llm.choose = second_fails
    _, policy = asked(llm=llm, prior=True)
    assert [(s.how, s.understood, s.executed, s.reply) for s in policy.log] == [
        ("error", "", "done", "scripted failure")
    ] * 2


@pytest.mark.parametrize("action", ["choose", "generate"])
def test_samples_are_a_copys_own_and_come_again_with_the_seed(action):
    def run(copies, seed, steps=40):
        llm = ScriptedLLM(lambda r: ACTIONS[r.seed % 7], lambda r: [-2.0 * len(a.split()) for a in r.answers])
        policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(temperature=1.0, action=action), seed=seed)
        return np.array([policy.act(take(start(3), list(range(copies)))) for _ in range(steps)])

    first = run(3, 0)
    assert (first == run(3, 0)).all()
    assert (first[:, :2] == run(2, 0)).all()  # the company does not matter
    assert len(np.unique(first[:, 0])) > 4  # nor does the same situation give the same action for ever
    assert (first[:, 0] != first[:, 1]).any()
    assert (first != run(3, 1)).any()


def test_without_temperature_seeds_share_their_answers(tmp_path):
    ledger, llm = Ledger(tmp_path / "ledger.sqlite"), ScriptedLLM(lambda request: "toggle")
    for seed in range(3):
        policy = LLMPolicy(LedgerLLM(llm, ledger), DoorKey(5), PolicyOptions(action="generate"), seed=seed)
        for _ in range(4):
            policy.act(start(1))
    assert len(llm.asked) == 1
    ledger.close()


def test_what_is_not_understood_is_asked_again_with_the_form():
    llm = ScriptedLLM(["hm", "toggle", "toggle", "well"])
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(action="generate"))
    policy.act(start(3, 8))
    assert [said.how for said in policy.log] == ["fallback", "ok", "ok"]
    first, again = llm.asked[0].prompt, llm.asked[3].prompt
    reminder = "(Answer with one of: turn left, turn right, move forward, pick up, drop, toggle, done.)\n"
    assert again == first.removesuffix("Action:") + reminder + "Action:"
    llm = ScriptedLLM(["hm", "toggle"])
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(action="generate"))
    policy.act(start(1))
    assert [(said.how, said.reply, said.executed) for said in policy.log] == [("re-asked", "toggle", "toggle")]


def test_self_refinement_proposes_criticises_improves():
    answers = iter(["turn left", "It is no use.", "toggle", "Still none.", "drop"])
    llm = ScriptedLLM(lambda request: next(answers))
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(action="generate", refine=2))
    assert policy.act(start(1)).tolist() == [ACTIONS.index("drop")]
    assert [r.prompt.rsplit("\n", 1)[-1] for r in llm.asked] == ["Action:", "Criticism:"] * 2 + ["Action:"]
    assert "Proposed action: turn left\nCriticism:" in llm.asked[1].prompt
    assert "Proposed action: turn left\nCriticism: It is no use.\nAction:" in llm.asked[2].prompt
    assert "Proposed action: toggle\nCriticism:" in llm.asked[3].prompt
    assert policy.log[0].criticism == "It is no use.\nStill none."
    assert policy.log[0].tokens == sum(len(r.prompt.split()) for r in llm.asked) + 2 + 4 + 1 + 2 + 1


def test_a_proposal_that_is_not_understood_is_not_refined_away():
    llm = ScriptedLLM(["hm", "hm"])
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(action="generate", refine=3))
    assert policy.act(start(1)).tolist() == [DONE]
    assert policy.log[0].how == "fallback"


def test_a_thought_that_is_missing_is_named():
    llm = ScriptedLLM(lambda request: " ", lambda request: [0.0] * 7)
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(thought=True))
    policy.act(start(1))
    assert (policy.log[0].missing, policy.log[0].how) == ("think: ok: an empty text", "ok")


def test_examples_are_the_most_similar_and_never_more_than_asked():
    shown = Examples(STEPS)
    assert [s.action for s in shown.pick("A blue door.", 1)] == ["toggle"]
    assert [s.text for s in shown.pick("You see the old red key", 2)][-1] == STEPS[0].text
    assert [len(shown.pick("You see a key", n)) for n in (0, 1, 2, 3, 9)] == [0, 1, 2, 3, 3]
    assert len(Examples(STEPS * 5).steps) == 3
    assert Examples([]).pick("x", 3) == [] and len(Examples([step(0, "")]).pick("", 3)) == 1
    requests, _ = asked(examples=2, copies=1)
    assert requests[0].prompt.count("Then: ") == 2


def test_demonstrations_of_success_only():
    assert [s.text for s in Examples(STEPS, "success").pick("old dog", 3)] == [STEPS[1].text]
    with pytest.raises(ConfigError, match="no recorded episode was a success"):
        asked(steps=STEPS[:1], examples=2, demonstrations="success")
    assert asked(steps=STEPS[:1], demonstrations="success")[0]  # no examples are asked for: nothing is missing


def test_the_log_is_plain_and_can_be_written(tmp_path):
    _, policy = asked(acts=2, thought=True, refine=1, history=1, examples=2)
    write_table(tmp_path / "acted.parquet", [asdict(said) for said in policy.log])
    assert [r["executed"] for r in read_table(tmp_path / "acted.parquet")] == ["turn left"] * 4
    assert {type(v) for said in policy.log for v in asdict(said).values()} == {int, float, str}


def test_a_copy_that_is_done_is_asked_nothing_more():
    """While others play on, nobody measures its next episodes: what they cost would be charged to the technique."""
    walker = ScriptedLLM(score=lambda r: np.random.default_rng(len(walker.asked)).normal(size=len(r.answers)).tolist())
    policy = LLMPolicy(walker, DoorKey(5), PolicyOptions(temperature=1.0), episodes=1)
    found = run_episodes(DoorKeyVector(8, 5), policy, 0, 8)
    assert len({e.length for e in found}) > 1, "some must end before others"
    assert len(policy.log) == len(walker.asked) == sum(e.length for e in found)
    assert {s.episode for s in policy.log} == {0}
    policy.reset(np.ones(8, bool))
    assert policy.act(start(8)).tolist() == [DONE] * 8 and len(policy.log) == len(walker.asked)


def test_no_success_to_demonstrate_is_said_and_not_passed_over(monkeypatch):
    from plaudit.config import PolicyConfig, RunConfig
    from plaudit.routes import direct

    class Recorded:
        config = RunConfig(policy=PolicyConfig(examples=2, demonstrations="success"))

    monkeypatch.setattr(direct, "recorded_steps", lambda run, world: [step(0, "You see a wall.")])
    with (
        pytest.raises(ConfigError, match="none of the collected episodes"),
        direct.Direct().policy(Recorded(), DoorKey(5), 0),
    ):
        pass


class Slider(World):
    """Actions that are two numbers and are not listed."""

    goal, rules = "come to the middle", 'Answer with two numbers, such as "0.5 -1".'
    fallback = np.zeros(2, np.float32)
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def describe(self, obs):
        return f"You are at {obs[0]:.1f} {obs[1]:.1f}."

    def parse_action(self, reply):
        try:
            value = np.array([float(word) for word in reply.split()], np.float32)
        except ValueError:
            return None
        return value if value.shape == (2,) and self.action_space.contains(value) else None


def test_actions_that_are_numbers():
    llm = ScriptedLLM(["0.5 -1", "nan 0", "left", "2 2"])
    policy = LLMPolicy(llm, Slider(), PolicyOptions(action="generate", history=1))
    actions = policy.act(np.zeros((2, 2), np.float32))
    assert actions.dtype == np.float32 and actions.tolist() == [[0.5, -1.0], [0.0, 0.0]]
    assert [(s.how, s.understood, s.executed) for s in policy.log] == [
        ("ok", "[0.5, -1.0]", "[0.5, -1.0]"),
        ("fallback", "", "[0.0, 0.0]"),
    ]
    assert "(Answer with one action and nothing else.)" in llm.asked[2].prompt
    with pytest.raises(ConfigError, match="does not list its actions"):
        LLMPolicy(llm, Slider(), PolicyOptions()).act(np.zeros((2, 2), np.float32))


def test_who_acts_is_shown_the_view():
    class Seen(Slider):
        def view(self, obs):
            return f"A view: {self.describe(obs)}"

    policy = LLMPolicy(llm := ScriptedLLM(["0 0"]), Seen(), PolicyOptions(action="generate"))
    policy.act(np.zeros((1, 2), np.float32))
    assert policy.log[0].text == "A view: You are at 0.0 0.0." and policy.log[0].text in llm.asked[0].prompt


def test_worlds_that_list_odd_actions():
    class Odd(DoorKey):
        listed = ("toggle",)

        def actions(self, obs):
            return list(self.listed)

    llm, world = prefers("drop"), Odd(5)
    policy = LLMPolicy(llm, world, PolicyOptions())
    assert policy.act(start(1)).tolist() == [ACTIONS.index("toggle")] and not llm.asked  # only one: nothing to ask
    world.listed = ("toggle", "drop", "drop")  # a part of the actions, in an order of its own, one of them twice
    assert policy.act(start(1)).tolist() == [ACTIONS.index("drop")] and policy.log[-1].executed == "drop"
    world.listed = ("drop", "fly")
    llm = prefers("fly")
    with pytest.raises(ConfigError, match="lists the action 'fly' but does not parse it"):
        LLMPolicy(llm, world, PolicyOptions()).act(start(1))
    world.fallback = None
    with pytest.raises(ConfigError, match="Odd has no fallback action"):
        LLMPolicy(llm, world, PolicyOptions())


@pytest.mark.skipif(find_spec("cyllama") is None, reason="needs the extra 'embedded'")
def test_the_embedded_model_acts(tmp_path, monkeypatch):
    from plaudit.llms.embedded import EmbeddedLLM

    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path))
    llm = EmbeddedLLM(context=1024, threads=1)
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(thought=True, refine=1, max_tokens=8))
    policy.act(start(1))
    said = policy.log[0]
    assert said.thought and said.criticism and not said.missing
    assert (said.how, said.understood) == ("ok", said.executed) and said.executed in ACTIONS
    policy = LLMPolicy(llm, DoorKey(5), PolicyOptions(action="generate", max_tokens=8))
    policy.act(start(1))
    assert policy.log[0].reply and policy.log[0].executed in ACTIONS
    llm.close()
