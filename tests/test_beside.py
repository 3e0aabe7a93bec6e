"""Judged beside the training: what is asked, what is learnt, how late it is, and what a kill may not lose."""

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from chain_world import Chain

from plaudit.budget import Budget
from plaudit.config import RunConfig, from_dict
from plaudit.config_rules import validate
from plaudit.errors import ConfigError, JudgeFailedError, PlauditError
from plaudit.llms.base import Request
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.local import LocalLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.report import build, words
from plaudit.rewards.base import Transitions
from plaudit.rewards.beside import AHEAD, Annotator, Answer, ChangingReward, ChangingRewardWrapper, Fitted, read_log
from plaudit.rewards.preference import PreferenceReward
from plaudit.rewards.reward_net import RewardModel
from plaudit.rewards.shaping import Shaping
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.routes import beside, beside_judge
from plaudit.routes.beside import JudgeProcess
from plaudit.routes.beside_judge import AGAINST, Judging, serve
from plaudit.stages import parts, run_stages, train
from plaudit.store import Run, load_tree, read_table

NEW = [
    f"A green {thing} number {i} stands there." for i in range(5) for thing in ("umbrella", "lamp", "teapot", "sponge")
]


pytestmark = pytest.mark.usefixtures("one_thread")


class Script:
    """A judge who answers what is asked ``after`` more looks, and then has learnt to say ``factor`` times as much."""

    def __init__(self, model, texts, after=2, factor=10.0, fails=()):
        self.model, self.texts, self.after, self.factor, self.fails = model, list(texts), after, factor, fails
        self.asked, self.due, self.looks, self.answers = [], [], 0, 0

    def ask(self, texts):
        self.asked += texts
        self.due.append((self.looks + self.after, list(texts)))

    def news(self):
        self.looks += 1
        ready = [texts for when, texts in self.due if when <= self.looks]
        self.due = [each for each in self.due if each[0] > self.looks]
        found = [Answer(t, None if t in self.fails else 1.0, "hm") for texts in ready for t in texts]
        self.answers += len(found)
        if not found:
            return []
        with torch.no_grad():
            for net in self.model.nets:
                net.head[1].weight.mul_(self.factor)
                net.head[1].bias.mul_(self.factor)
        return [*found, Fitted(self.model.state(), self.model(self.texts), self.answers)]


def set_up(log=None, **script):
    """The corridor with a reward that can be exchanged, and a scripted judge of it."""
    model, other = (RewardModel("text", Chain.observation_space, 8, 2, seed=0) for _ in range(2))
    texts = [Chain().describe(i) for i in range(12)]
    reward = ChangingReward(model, Chain().describe, {})
    shaping = lambda judged: Shaping.from_rewards(judged, True, -1)  # noqa: E731
    envs = ChangingRewardWrapper(Chain.vector(2), reward, shaping(model(texts)), Chain().event)
    judge = Script(other, texts, **script)
    return envs, judge, Annotator(envs, judge, shaping, dict.fromkeys(texts[:3], "e"), 30, 0.1, log)


def right(envs, steps):
    return np.array([envs.step(np.ones(2, int))[1] for _ in range(steps)])


def test_without_an_answer_it_is_the_same_reward():
    envs, _, _ = set_up()
    model = RewardModel("text", Chain.observation_space, 8, 2, seed=0)
    plain = RewardWrapper(Chain.vector(2), PreferenceReward(model, Chain().describe), envs.shaping, Chain().event)
    for one in (envs, plain):
        one.reset(seed=0)
    assert np.array_equal(right(envs, 30), right(plain, 30))


def test_new_observations_are_asked_about_once_and_the_lag_is_counted():
    envs, judge, annotator = set_up(after=2)
    envs.reset(seed=0)
    right(envs, 6)  # lamps 1 to 6, of which 1 and 2 were judged before training
    first = annotator.between(100)
    assert sorted(judge.asked) == [f"You stand at lamp {i}." for i in (3, 4, 5, 6)] and first["online_waiting"] == 4
    assert annotator.between(200)["online_lag_steps"] is None
    third = annotator.between(300)
    assert third["online_answers"] == 4 and third["online_waiting"] == 0 and third["online_fits"] == 1
    assert third["online_lag_steps"] == 300 and third["online_lag_seconds"] > 0  # met in the update that began at 0
    envs.reset(seed=0)
    right(envs, 6)
    annotator.between(400)
    assert len(judge.asked) == 4  # nothing of it is new
    assert all(each.used == 300 and each.met == 0 for each in annotator.asked)


def test_no_more_is_asked_than_is_wanted_and_not_too_much_at_once():
    envs, judge, annotator = set_up(after=1)
    envs.reset(seed=0)
    right(envs, 39)
    annotator.between(1)
    assert len(judge.asked) == AHEAD
    annotator.between(2)
    assert len(judge.asked) == 3 * AHEAD  # it had run dry: twice as many are with it now
    for i in range(5):
        annotator.between(3 + i)
    assert len(judge.asked) == 30 == len(set(judge.asked)) and annotator.between(9)["online_waiting"] > 0


class OneByOne:
    """A judge who answers ``pace`` questions between two looks."""

    def __init__(self):
        self.waiting, self.pace = [], 10**9

    def ask(self, texts):
        self.waiting += texts

    def news(self):
        now, self.waiting = self.waiting[: self.pace], self.waiting[self.pace :]
        return [Answer(text, 1.0) for text in now]


def test_a_slow_judge_has_few_questions_with_it_so_that_what_is_new_is_not_judged_last():
    envs, _, annotator = set_up()
    judge = annotator.judge = OneByOne()
    envs.reset(seed=0)
    envs.reward_fn.first |= {f"lamp {i}": (0, 0.0) for i in range(500)}
    annotator.most, steps = 500, 0
    for _ in range(3):
        annotator.between(steps := steps + 1)
    assert len(judge.waiting) == 4 * AHEAD
    judge.pace = 1
    for _ in range(60):
        annotator.between(steps := steps + 1)
    assert len(judge.waiting) == AHEAD


def test_an_exchange_changes_the_reward_and_not_its_scale():
    envs, _, annotator = set_up(after=1, factor=10.0)
    envs.reset(seed=0)
    before = right(envs, 8)
    raw = envs.reward_fn.rewards().copy()
    annotator.between(1)
    assert annotator.between(2)["online_fits"] == 1
    assert np.allclose(envs.reward_fn.rewards(), 10 * raw, rtol=1e-4, atol=1e-4)
    envs.reset(seed=0)
    assert np.allclose(right(envs, 8), before, atol=1e-3)  # ten times the numbers, the same reward
    assert envs.shaping.std > 5 * Shaping.from_rewards(raw, True, -1).std


@pytest.mark.parametrize("resumed", [False, True])
def test_a_step_is_not_paid_for_an_exchange_where_its_gain_is_paid(resumed):
    """n(s') - n(s) of one and the same networks, where they are exchanged and where a checkpoint had other ones."""
    envs, _, _ = set_up()
    other = RewardModel("text", Chain.observation_space, 8, 2, seed=7)
    texts = [Chain().describe(i) for i in range(12)]
    envs.renew(dataclasses.replace(envs.shaping, difference=True))
    envs.reset(seed=0)
    right(envs, 4)
    if resumed:
        world = envs.env  # stays where it is
        world.get_state, world.set_state = dict, lambda state: None
        state, (envs, _, _) = envs.get_state(), set_up()
        envs.env = world
        envs.set_state(state)
    envs.reward_fn.change(other.state())
    judged = other(texts)
    envs.renew(dataclasses.replace(Shaping.from_rewards(judged, True, -1), difference=True))
    worth = envs.shaping.value(other(texts))
    assert right(envs, 1) == pytest.approx(np.full((1, 2), worth[5] - worth[4]), abs=1e-4)


def test_failures_are_no_numbers_and_too_many_stop():
    some = {f"You stand at lamp {i}." for i in (3, 4)}
    envs, _, annotator = set_up(after=1, fails=some)
    envs.reset(seed=0)
    right(envs, 6)
    annotator.between(1)
    annotator.between(2)
    assert {a.text for a in annotator.asked if a.value is None} == some
    envs, _, annotator = set_up(after=1, fails={f"You stand at lamp {i}." for i in range(40)})
    envs.reset(seed=0)
    right(envs, 30)
    annotator.between(1)
    with pytest.raises(JudgeFailedError, match="3 of the 3"):
        annotator.between(2)


def test_a_stopped_training_goes_on_with_its_answers(tmp_path):
    envs, judge, annotator = set_up(tmp_path / "log", after=1)
    envs.reset(seed=0)
    right(envs, 6)
    annotator.between(100)
    annotator.between(200)
    with (tmp_path / "log").open("a") as file:
        file.write('{"text": "cut of')
    assert [(a.text, a.value, a.used) for a in read_log(tmp_path / "log")] == [
        (a.text, a.value, a.used) for a in annotator.asked
    ]
    envs, judge, annotator = set_up(tmp_path / "log", after=1)
    envs.reset(seed=0)
    right(envs, 8)
    annotator.between(300)
    assert sorted(judge.asked) == ["You stand at lamp 7.", "You stand at lamp 8."]


def likes(request):
    """Likes umbrellas, teapots and keys."""
    asked = request.prompt.rsplit("Goal:", 1)[1]
    worth = lambda text: 2.0 * (text.count("umbrella") + text.count("teapot")) + text.count("hold the key")  # noqa: E731
    if request.answers == (" A", " B"):
        return [worth(text) for text in asked.split("\nA: ")[1].split("\nB: ")]
    return [worth(asked) - 3.0, -3.0]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that makes a fitted run with a scripted judge."""

    def made(route="preference", protocol="pointwise"):
        config = {
            "route": route,
            "world": {"size": 5},
            "collect": {"steps": 1600, "num_envs": 16},
            "fit": {"steps": 20, "members": 2, "batch": 128},
            "judge": {"items": 30, "pairs": 600, "protocol": protocol},
            "train": {"controls": [], "num_envs": 16, "horizon": 16},
            "online": {"beside": True, "refit": 5, "share": 1.0, "steps": 40},
        }
        found = Run.create(tmp_path / "r", from_dict(RunConfig, config))
        run_stages(found, ("collect", "annotate", "fit"))
        return found

    monkeypatch.setattr(parts, "make_llm", lambda config: ScriptedLLM(score=likes))
    return made


@pytest.mark.parametrize(
    ("route", "protocol"), [("preference", "pointwise"), ("preference", "pairwise"), ("scalar", "pointwise")]
)
def test_the_reward_learns_what_is_judged_beside_and_a_restart_asks_nothing(run, route, protocol):
    run = run(route, protocol)
    folder, said, llm = run.stage(f"train/{route}-0"), list[dict](), ScriptedLLM(score=likes)

    def judging(model, asked):
        ledger = LedgerLLM(model, Ledger(run.folder / "ledger.sqlite"))
        return Judging(run, folder, ledger, parts.make_world(run.config.world).goal, asked)

    first = judging(llm, [])
    unseen = [text.replace("0", "9") for text in NEW[:4]]
    serve(first, [json.dumps({"ask": NEW[:10]}), json.dumps({"ask": NEW[10:18]})], said.append)
    answers = [each for line in said if "answers" in line for each in line["answers"]]
    assert [text for text, *_ in answers] == NEW[:18] and all(value is not None for _, value, _ in answers)
    assert [line["fitted"] for line in said if "fitted" in line] == [
        4,
        8,
        14,
    ]  # by portions of 4: early, then every 5 answers or more
    umbrella, lamp, teapot, sponge = first.model(unseen)
    assert min(umbrella, teapot) > max(lamp, sponge) + 0.3  # of those that it was not asked about, too
    tree = load_tree(folder / "online.safetensors")
    assert int(tree["answers"]) == 14 and len(tree["judged"]) >= 30 + 14
    fresh = ScriptedLLM(score=likes)
    again = judging(fresh, [(text, value) for text, value, _ in answers])
    assert not fresh.asked and again.answers == 18 and again.fitted == 14
    assert again.texts == first.texts and np.allclose(again.model(unseen), first.model(unseen), atol=1e-3)
    if protocol == "pairwise":
        assert len(again.pairs) == len(first.pairs) and len(llm.asked) == 2 * AGAINST * 18


def test_a_ceiling_is_shared_among_the_judges_beside_and_what_they_asked_is_counted(run):
    run = run()
    run.config = dataclasses.replace(
        run.config, train=dataclasses.replace(run.config.train, seeds=2, controls=("task",))
    )
    todo = train.jobs(run)
    for budget, tokens, usd in (
        (Budget(max_hours=1e-9), None, None),
        (Budget(max_tokens=100, max_usd=3.0, tokens=40, usd=2.0), 30, 0.5),
        (Budget(max_tokens=100, tokens=400), 0, None),
    ):
        with train._under(budget, todo) as jobs:
            own = [job.ceiling for job in jobs if job.beside]
            assert len(own) == 2 and all((each.max_tokens, each.max_usd) == (tokens, usd) for each in own)
            assert all(each.max_hours is None for each in own)
            assert [job.ceiling for job in jobs if job.arm == "task"] == [None, None]
    with (
        train._under(budget := Budget(questions=10), todo),
        contextlib.closing(Ledger(run.folder / "ledger.sqlite")) as kept,
    ):
        asked = [Request(f"Goal: {n}", (" yes", " no")) for n in range(3)]
        LedgerLLM(ScriptedLLM(score=likes), kept).choose(asked)
    assert budget.questions == 13


def test_a_judge_whose_ceiling_is_reached_says_so_and_its_trainer_goes_on(run, tmp_path):
    """Nothing is asked beyond it, by the size of the prompts where no price is known; the reason is kept."""
    run, said, llm = run(), list[dict](), ScriptedLLM(score=likes)
    folder = run.stage("train/preference-0")
    with contextlib.closing(Ledger(run.folder / "ledger.sqlite")) as ledger:
        judging = Judging(run, folder, LedgerLLM(llm, ledger, budget=Budget(max_tokens=50)), "g", [])
        lines = iter([json.dumps({"ask": NEW[:4]}), json.dumps({"ask": NEW[4:8]})])
        serve(judging, lines, said.append)
    assert (
        not llm.asked
        and [list(each) for each in said] == [["ready"], ["stopped"]]
        and "50 tokens" in said[1]["stopped"]
    )
    assert next(lines, None) is None  # what else is written to it is read, or its trainer would wait
    told = queue.SimpleQueue()
    told.put(said[1])
    process = SimpleNamespace(folder=folder, _from=told)
    assert JudgeProcess.news(process) == []
    found = beside.summary([folder])
    assert found["stopped"] == 1 and "a ceiling ended the asking beside 1 agent" in words.judged_beside(found)


@pytest.mark.parametrize("share", [1.0, 0.25, 0.05])
def test_it_takes_its_share_of_a_processor_and_no_more(run, monkeypatch, share):
    """What it works against what it sleeps."""
    run, slept = run(), list[float]()
    run.config = dataclasses.replace(run.config, online=dataclasses.replace(run.config.online, share=share))
    judging = Judging(run, run.stage("train/preference-0"), ScriptedLLM(score=likes), "g", [])
    monkeypatch.setattr(
        beside_judge,
        "time",
        SimpleNamespace(process_time=time.process_time, perf_counter=time.perf_counter, sleep=slept.append),
    )
    judging.warm_up = lambda: None
    before = time.process_time()
    serve(judging, [json.dumps({"ask": NEW})], lambda line: None)
    worked = time.process_time() - before
    assert len(slept) == 5 and worked / (worked + sum(slept)) == pytest.approx(share, rel=0.2)


def test_it_does_not_sleep_for_what_others_take(run):
    run = run()
    judging = Judging(run, run.stage("train/preference-0"), ScriptedLLM(score=likes), "g", [])
    assert judging.worked(5.0, 0.1) == 0.1  # a server: one waits for it
    judging._here = lambda: object()
    assert [judging.worked(*each) for each in ((1.0, 1.0), (2.0, 1.0), (9.0, 1.0))] == [1.0, 2.0, 2.0]


def test_the_prompt_is_read_before_the_trainer_begins_and_nothing_is_kept_of_it(run):
    """The judge of a model in this process says that it is ready with its prompt read; a server is not asked for that."""
    run, order = run(), list[str]()

    class Here(ScriptedLLM, LocalLLM):
        clear = prompt_tokens = answer_tokens = _text = _ends = _run = None
        choose = ScriptedLLM.choose

        def __init__(self):
            super().__init__(score=lambda request: order.append("asked") or likes(request))

    ledger = Ledger(run.folder / "other.sqlite")
    for model, expected in ((Here(), ["asked", "ready"]), (ScriptedLLM(score=likes), ["ready"])):
        judging = Judging(run, run.stage("train/preference-0"), LedgerLLM(model, ledger), "g", [])
        order.clear()
        serve(judging, [], lambda line: order.extend(line))
        assert order == expected and judging.answers == 0
    assert ledger.spend().answers == 0


def test_a_judge_beside_has_a_processor_kept_free_where_it_works_more_than_a_little(run, monkeypatch):
    run = run()
    config = run.config

    def at_once(share, cores, workers=0, arm="preference"):
        online = dataclasses.replace(config.online, share=share)
        run.config = dataclasses.replace(
            config, online=online, train=dataclasses.replace(config.train, seeds=9, controls=("task",))
        )
        monkeypatch.setattr(train, "cores", lambda: cores)
        todo, running = [job for job in train.jobs(run) if job.arm == arm], []
        while todo and train._has_room(todo[0], running, workers):
            running.append(todo.pop(0))
        return len(running)

    assert [at_once(share, 4) for share in (1.0, 0.5, 0.3, 0.15)] == [2, 2, 3, 4]
    assert [at_once(share, 2) for share in (1.0, 0.5, 0.16, 0.15)] == [1, 1, 1, 2]
    assert at_once(1.0, 1) == 1 and at_once(1.0, 2, workers=2) == 2 and at_once(1.0, 2, arm="task") == 2


def test_the_lag_is_told_in_words_and_stands_in_the_report():
    late = {"answers": 1043, "failed": 0, "used": 32, "lag_steps": 61440.0, "lag_seconds": 4.25}
    said = "1,043 new observations, 32 of them trained on, 61,440 steps (4.25 s) after they were met (median)"
    assert words.judged_beside(late) == said
    assert build._did("train", {"agents": 2, "judged_beside": late}) == f"2 agents, judged beside: {said}"
    assert "larger --online.share" in words.judged_beside({**late, "used": 0, "lag_steps": None})


def test_a_judge_that_ends_is_told_with_its_last_word(run):
    run = run()
    folder = run.stage("train/preference-0")
    (run.folder / "fit" / "reward.safetensors").write_bytes(b"nothing")
    with contextlib.closing(JudgeProcess(folder, "g", [], Budget())) as judge:
        judge.ask(["a"])
        with pytest.raises(PlauditError, match="judge beside the training has ended"):
            for _ in range(600):
                assert judge.news() == []
                time.sleep(0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"route": "code"},
        {"route": "scalar", "fit": {"online": True}},
        {"judge": {"segment": 2}},
        {"fit": {"input": "observation"}},
        {"train": {"algorithm": "sac"}},
        {"cluster": {"on": "ray"}},
        {"online": {"beside": True, "share": 0.0}},
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_runs(wrong):
    validate(from_dict(RunConfig, {"online": {"beside": True}}))
    with pytest.raises(ConfigError):
        validate(from_dict(RunConfig, {"online": {"beside": True}} | wrong))


def test_transitions_are_described_once():
    envs, _, _ = set_up()
    seen = []
    envs.reward_fn.describe = lambda obs: seen.append(int(obs)) or Chain().describe(obs)
    envs.reward_fn(Transitions(np.array([4, 4, 5]), np.zeros(3)))
    assert list(envs.reward_fn.first) == ["You stand at lamp 4.", "You stand at lamp 5."]


SMALL = {
    "--world.size": "5",
    "--collect.steps": "3200",
    "--judge.items": "20",
    "--judge.pairs": "600",
    "--train.seeds": "1",
    "--train.steps": "49152",
    "--train.num-envs": "16",
    "--train.horizon": "32",
    "--evaluate.episodes": "4",
    "--evaluate.examples": "1",
    "--online.refit": "4",
}


@pytest.mark.slow
def test_killed_in_the_midst_no_answer_is_lost_or_asked_again(tmp_path):
    """The embedded model, its process beside the trainer's, kill -9 of both."""
    words = [sys.executable, "-m", "plaudit.cli", "run", "doorkey", "--out", str(tmp_path / "r"), "--online.beside"]
    words += ["--train.controls", *(w for pair in SMALL.items() for w in pair)]
    environment = os.environ | {"PLAUDIT_CHECKPOINT_SECONDS": "0"}
    folder = tmp_path / "r" / "train" / "preference-0"
    process = subprocess.Popen(words, env=environment, start_new_session=True)
    deadline = time.monotonic() + 400
    while not ((folder / "online.safetensors").exists() and (folder / "checkpoint.safetensors").exists()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, 9)
    process.wait()
    before = read_log(folder / "online.jsonl")
    assert before
    assert subprocess.run(words, env=environment).returncode == 0
    after = read_table(folder / "online.parquet")
    assert [a.text for a in before] == [row["text"] for row in after[: len(before)]]
    assert len({row["text"] for row in after}) == len(after) and not (folder / "online.jsonl").exists()
    curve = read_table(folder / "curve.parquet")
    assert curve[-1]["online_answers"] == len(after) and curve[-1]["online_fits"] >= 1
