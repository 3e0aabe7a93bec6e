"""The acting arm is asked as it was taught, examples in the prompt are the lessons, both arms come from one procedure."""

import dataclasses
import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

import tiny_models  # noqa: E402

from plaudit.cli import main  # noqa: E402
from plaudit.config import JudgeConfig, LLMConfig, PolicyConfig, RunConfig, WorldConfig  # noqa: E402
from plaudit.envs import wordle_rules as rules  # noqa: E402
from plaudit.errors import ConfigError, StoreError  # noqa: E402
from plaudit.finetune import arms, refusals, run, shots, skill, teach  # noqa: E402
from plaudit.finetune.lessons import Lesson, lesson  # noqa: E402
from plaudit.finetune.rows import load_rows  # noqa: E402
from plaudit.finetune.settings import (  # noqa: E402
    ArmsConfig,
    AskConfig,
    DataConfig,
    FinetuneConfig,
    LoraConfig,
    MeasureConfig,
)
from plaudit.llms import gguf_adapter, weights  # noqa: E402
from plaudit.llms.base import Reply  # noqa: E402
from plaudit.llms.scripted import ScriptedLLM  # noqa: E402
from plaudit.routes.direct import make_llm_policy  # noqa: E402
from plaudit.stages.parts import check, make_protocol, make_world  # noqa: E402
from plaudit.store import read_table, write_table  # noqa: E402
from plaudit.vector import stack  # noqa: E402

YES_NO = (" Yes", " No")
HEAD = "Everyday: tea.\nAnswer: Yes\n\n"


def act(right, *choices):
    return Lesson("action", ("Now: here\nAction:",), (f" {right}",), 0, choices=tuple(f" {c}" for c in choices))


def pair(i):
    return Lesson("compare", (f"{HEAD}Now: near {i}\nGood:", f"{HEAD}Now: far {i}\nGood:"), YES_NO, None)


def question(i, right):
    return Lesson("progress", (f"Now: state {i}\nGood:",), YES_NO, right)


class Told:
    """Answers with the log-probabilities and lengths that it is given."""

    name = "told"

    def __init__(self, *replies):
        self.replies = iter(replies)

    def choose(self, requests, arrived=None):
        return [next(self.replies) for _ in requests]

    generate = choose


def test_an_action_is_right_where_it_is_likeliest_per_token():
    asked = act("turn left", "go", "turn left", "wait")
    long_wins = Reply("ok", logprobs=(-2.0, -3.0, -4.0), lengths=(1, 2, 1))  # -1.5 a token beats -2
    tie = Reply("ok", logprobs=(-1.0, -2.0, -9.0), lengths=(1, 2, 1))
    lost = Reply("ok", logprobs=(-1.0, -3.0, -9.0), lengths=(1, 2, 1))
    failed = Reply("error", error="too long")
    outcomes = skill.asked(Told(long_wins, tie, lost, failed), [asked] * 4)
    assert [each.right for each in outcomes] == [1.0, 0.5, 0.0, None] and outcomes[3].error == "too long"
    assert skill.chance([asked, act("go")]) == pytest.approx(1 / 6) and skill.chance([pair(0)]) == 0.5


def test_an_action_that_is_not_listed_has_to_be_written():
    replies = [Reply("ok", text=text) for text in (" Go.", "Action: go", "go on")]
    assert [each.right for each in skill.asked(Told(*replies), [act("go")] * 3)] == [1.0, 1.0, 0.0]


def test_worked_examples_stand_between_everyday_ones_and_the_question():
    asked = shots.with_examples(pair(9), [pair(0), pair(1)], np.random.default_rng(0))
    for prompt, end in zip(asked.prompts, ("near 9", "far 9"), strict=True):
        assert prompt.startswith(HEAD) and prompt.count("Everyday") == 1 and prompt.endswith(f"Now: {end}\nGood:")
        for i in (0, 1):
            assert prompt.count(f"Now: near {i}\nGood: Yes") == prompt.count(f"Now: far {i}\nGood: No") == 1
    assert asked.prompts[0].rpartition("\n\n")[0] == asked.prompts[1].rpartition("\n\n")[0]
    rated = dataclasses.replace(pair(0), answers=(" 1", " 2", " 3"))
    (prompt, _) = shots.with_examples(rated, [rated], np.random.default_rng(0)).prompts
    assert "near 0\nGood: 3" in prompt and "far 0\nGood: 1" in prompt


def test_draws_are_balanced_and_smaller_ones_begin_larger_ones():
    lessons = [question(i, int(i >= 4)) for i in range(20)]  # 4 yes, 16 no
    drawn = shots.draw(lessons, 8, [0, 1])
    assert [sum(each.right == 0 for each in drawn[:k]) for k in (2, 4, 8)] == [1, 2, 4]
    assert shots.draw(lessons, 4, [0, 1]) == drawn[:4] and shots.draw(lessons, 8, [0, 2]) != drawn


def test_in_context_examples_that_do_not_fit_are_said_and_left_out():
    class Short(ScriptedLLM):
        def choose(self, requests, arrived=None):
            long = [Reply("error", error="the context holds 300") if len(r.prompt) > 300 else None for r in requests]
            return [bad or told for bad, told in zip(long, super().choose(requests), strict=True)]

    llm = Short(score=lambda r: (float("near" in r.prompt.rpartition("Now:")[2]), 0.0))
    said, plan = [], [(0, 0), (2, 0), (2, 1), (8, 0), (8, 1), (64, 0)]
    lessons = [pair(i) for i in range(100)]
    found = shots.measure(llm, "base", lessons[:80], lessons[80:], plan, 0, said.append)
    assert [(each.row.shots, each.row.draw) for each in found] == [(0, 0), (2, 0), (2, 1)]
    assert all(each.row.right == each.row.asked == 20 and each.row.chance == 0.5 for each in found)
    assert len(said) == 1 and "8 examples" in said[0] and "context holds 300" in said[0]
    assert max(len(request.prompt) for request in llm.asked) < 1000  # 64 were not even tried


def told_shots(right, questions):
    row = shots.Shots("compare", "base", 1, 0, 0, 0.0, 0.5, 1, 1.0)
    return [shots.Asked(row, tuple(each), tuple(map(shots.block, questions))) for each in right]


def test_intervals_widen_with_draws_that_differ_and_questions_that_share_a_text(tmp_path):
    questions = [pair(i) for i in range(100)]
    alike = np.tile(np.arange(100) % 2, (4, 1)).astype(float)
    apart = np.array([np.ones(100), np.ones(100), np.zeros(100), np.zeros(100)])
    (even,), (split,) = (shots.write(told_shots(right, questions), tmp_path) for right in (alike, apart))
    assert 0.35 < even["interval"][0] < 0.45 and 0.55 < even["interval"][1] < 0.65
    assert split["interval"][0] < 0.1 and split["interval"][1] > 0.9
    ten = [
        dataclasses.replace(each, prompts=(each.prompts[0], pair(i % 10).prompts[1]))
        for i, each in enumerate(questions)
    ]
    (shared,) = shots.write(told_shots(alike[:1], ten), tmp_path)
    assert shared["interval"][0] < 0.25 and shared["interval"][1] > 0.75


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tiny_models.make_text(tmp_path_factory.mktemp("models") / "tiny")
    file = folder / "config.json"  # a token for each byte: three examples are longer than its usual context
    file.write_text(file.read_text().replace('"max_position_embeddings": 1024', '"max_position_embeddings": 4096'))
    return folder


def config(base, **more):
    return FinetuneConfig(
        world=WorldConfig("doorkey"),
        llm=LLMConfig(model=f"transformers:{base}", context=2048),
        data=DataConfig(kinds=("compare", "action"), examples=16, steps=600, held_out=0.4),
        ask=AskConfig(prompt="pointwise-b", act="act-b"),
        lora=LoraConfig(steps=2, batch=2, rank=2, kl=0.0),
        **more,
    )


@pytest.fixture(scope="module")
def policy(base, tmp_path_factory):
    settings = config(base, measure=MeasureConfig(every=0, shots=(1, 16), draws=2, questions=3))
    settings = dataclasses.replace(settings, lora=dataclasses.replace(settings.lora, kinds=("action",)))
    return run.finetune(settings, tmp_path_factory.mktemp("taught") / "policy")


def test_the_policy_is_asked_with_the_very_prompt_that_was_taught(policy, caplog):
    row = next(row for row in load_rows(policy.folder / "data", "held_out") if row["kind"] == "action")
    taught = lesson(row, "pointwise")
    assert taught.answers[0] in taught.choices and len(taught.choices) > 2
    llm = LLMConfig(model=policy.config.llm.model, adapter=str(policy.folder / "train" / "adapter"))
    settings = RunConfig(world=policy.config.world, llm=llm, route="llm")
    world, scripted = make_world(settings.world), ScriptedLLM()
    with caplog.at_level(logging.WARNING):
        acting = make_llm_policy(scripted, world, settings, 0, [])
    assert not caplog.records
    observation, _ = world.reset(seed=0)
    acting.act(stack([observation]))
    (asked,) = scripted.asked
    filled = taught.prompts[0].replace(row["observation"], world.view(observation))
    assert asked.prompt == filled and set(asked.answers) == set(taught.choices)
    own = dataclasses.replace(settings, policy=PolicyConfig(prompt="act"))
    assert make_llm_policy(scripted, world, own, 0, []).options.prompt == "act"


def test_a_policy_that_is_used_as_a_judge_is_warned_of(policy, tmp_path, caplog):
    gguf_adapter._warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        made = make_protocol(JudgeConfig(), llm=LLMConfig(adapter=str(policy.folder / "train" / "adapter")))
    assert made.prompt.name == "pointwise" and "was taught action and is used as a judge" in caplog.text
    (tmp_path / "plaudit.json").write_text(
        json.dumps({"kinds": "compare", "protocol": "pointwise", "prompt": "pointwise-b"})
    )
    caplog.clear()
    judge = LLMConfig(adapter=str(tmp_path))
    assert make_protocol(JudgeConfig(), llm=judge).prompt.name == "pointwise-b" and not caplog.records
    assert gguf_adapter.taught(judge, "policy").get("act") is None and "used as a policy" in caplog.text


def test_an_adapter_that_was_taught_words_of_the_evaluation_is_warned_of(policy, tmp_path, caplog):
    gguf_adapter._warn.cache_clear()
    rows = [{"secrets": [word]} for words in rules.practice("train", 100, 0) for word in words]
    noted = teach.notes(dataclasses.replace(policy.config, world=WorldConfig("wordle")), rows)
    assert noted["world"] == "wordle"
    adapter = shutil.copytree(policy.folder / "train" / "adapter", tmp_path / "adapter")
    file = adapter / "plaudit.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | noted))
    llm = LLMConfig(model=policy.config.llm.model, adapter=str(adapter))
    with caplog.at_level(logging.WARNING):
        check(RunConfig(world=WorldConfig("wordle"), llm=llm, route="llm"))
        assert not caplog.records, "of the size that was taught no word is among the lessons'"
        for route in ("llm", "task"):  # of which one asks no model
            check(RunConfig(world=WorldConfig("wordle", size=500), llm=llm, route=route))
    met = {row["secrets"][0] for row in rows} & set(make_world(WorldConfig("wordle", size=500)).hidden)
    (said,) = (record.getMessage() for record in caplog.records)
    assert len(met) > 100 and f"{len(met)} of the 500 hidden words" in said and repr(min(met)) in said
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"plaudit\.json cannot be read.*teach the adapter anew"):
        gguf_adapter.known(llm)


def test_worked_examples_need_a_question_without_a_blank_line(base, tmp_path):
    """Else an example would be "Progress: Yes" alone, without what was seen."""
    (tmp_path / "gap.txt").write_text("Goal: $goal.\n\nNow: $observation\n\nProgress:")
    (tmp_path / "head.txt").write_text("Goal: $goal.\n\nNow: $observation\nProgress:")
    settings = config(base, measure=MeasureConfig(every=0, shots=(1,)))
    gap, head = (replace_prompt(settings, tmp_path / f"{name}.txt") for name in ("gap", "head"))
    with pytest.raises(ConfigError, match=r"measure\.shots: .*gap\.txt' is without \$observation"):
        refusals.check(gap)
    refusals.check(head)
    refusals.check(dataclasses.replace(gap, measure=MeasureConfig()))


def replace_prompt(settings, prompt):
    return dataclasses.replace(settings, ask=AskConfig(prompt=str(prompt)))


def test_shots_are_measured_beside_the_taught_one(policy):
    rows = read_table(policy.folder / "measure" / "shots.parquet")
    found = [(row["model"], row["shots"], row["draw"], row["asked"]) for row in rows]
    assert found == [("base", k, d, 3) for k, d in ((0, 0), (1, 0), (1, 1))] + [("taught", 0, 0, 3)]
    assert all(row["kind"] == "action" and row["tokens"] > 0 and 0 <= row["right"] <= 3 for row in rows)
    by_shots = {row["shots"]: row["tokens"] for row in rows if row["model"] == "base"}
    assert by_shots[0] < by_shots[1]
    summary = policy.finished("measure")["summary"]
    assert [row["draws"] for row in summary["shots"]] == [1, 2, 1] and "items" not in summary
    trained = policy.finished("train")["summary"]["held_out"]["action"]
    assert 0 < trained["chance"] < 0.5
    assert "--route llm" in run.next_step(policy)


def test_what_is_measured_may_change_without_teaching_again(policy, capsys):
    weights = (policy.folder / "train" / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns
    other = dataclasses.replace(policy.config, measure=MeasureConfig(every=0, shots=(2,), draws=1, questions=2))
    again = run.finetune(other, policy.folder)
    assert "train: finished before, skipped" in capsys.readouterr().out
    assert (policy.folder / "train" / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns == weights
    assert {row["shots"] for row in read_table(again.folder / "measure" / "shots.parquet")} == {0, 2}
    assert run.Finetune.open(policy.folder).config.measure == other.measure
    run.finetune(dataclasses.replace(other, measure=MeasureConfig(every=0)), policy.folder)
    assert [p.name for p in (policy.folder / "measure").iterdir()] == ["stage.json"]  # nothing of other settings
    with pytest.raises(StoreError, match=r"lora.steps: 2 -> 3"):
        run.finetune(dataclasses.replace(other, lora=dataclasses.replace(other.lora, steps=3)), policy.folder)
    run.finetune(policy.config, policy.folder)  # as the other tests know it


def test_both_arms_are_planned_alike_and_put_to_use_in_their_own_prompts(base, tmp_path):
    plans = {name: arms.planned(config(base), name, tmp_path) for name in arms.ARMS}
    judge, policy_ = (
        dataclasses.replace(plan, lora=dataclasses.replace(plan.lora, kinds=())) for plan in plans.values()
    )
    assert judge == policy_ and judge.lora.examples == 16 and judge.data.kinds == ("compare", "action")
    direct, indirect = (arms.use(plans[name], name, None) for name in ("policy", "judge"))
    assert (direct.route, direct.policy.prompt, direct.train.seeds) == ("llm", "act-b", 1)
    assert (indirect.route, indirect.judge.prompt, indirect.train.seeds) == ("preference", "pointwise-b", 3)
    assert direct.policy.episodes == indirect.evaluate.episodes == 100 and direct.world == indirect.world


def test_the_base_plays_at_as_many_bits_as_the_taught_one():
    used = weights.resolve(arms.model(FinetuneConfig(), None).model)
    assert weights.header(used).file_type == weights.header(weights.fast_copy(weights.resolve(), "q8_0")).file_type
    assert weights.header(weights.fast_copy(weights.resolve())).file_type != weights.header(used).file_type


def test_both_arms_see_pictures_where_the_judge_was_taught_by_them(base, tmp_path):
    seeing = dataclasses.replace(config(base), ask=AskConfig(input="image"))
    used = arms.use(arms.planned(seeing, "judge", tmp_path), "judge", None)
    assert (used.judge.input, used.judge.prompt) == ("image", "")


def test_an_arm_that_a_world_cannot_teach_is_refused_before_the_other_is_taught(base, tmp_path):
    own = tmp_path / "w.py"
    own.write_text((Path(__file__).parent / "chain_world.py").read_text())
    for kinds in ((), ("compare",)):
        asked = config(base)
        asked = dataclasses.replace(
            asked, world=WorldConfig(str(own)), data=dataclasses.replace(asked.data, kinds=kinds)
        )
        with pytest.raises(ConfigError, match=r"no examples of action.*--arms judge"):
            arms.compare(asked, tmp_path / "arms")
    assert not (tmp_path / "arms").exists()
    assert arms.planned(asked, "judge", tmp_path).data.kinds == ("compare",)  # for which no expert has to act


def test_no_more_examples_are_claimed_than_there_are():
    lessons, told = [Lesson("next", ("a",), (" A", " B"), 0), Lesson("next", ("b",), (" A", " B"), 1)], []
    found = shots.measure(ScriptedLLM(), "base", lessons, lessons, [(0, 0), (2, 0), (4, 0)], 0, told.append)
    assert [each.row.shots for each in found] == [0, 2] and "there are no 4 examples" in told[0]


def test_success_is_of_episodes_and_the_mean_of_agents(tmp_path):
    for folder, won in (("before", (0, 0, 0, 1)), ("after", (1, 1, 0, 1))):
        rows = [{"arm": "preference", "seed": i % 2, "episode": i // 2, "success": bool(w)} for i, w in enumerate(won)]
        rows += [{"arm": "random", "seed": 0, "episode": 0, "success": True}]
        (tmp_path / folder / "evaluate").mkdir(parents=True)
        write_table(tmp_path / folder / "evaluate" / "episodes.parquet", rows)
    found = arms.success("judge", tmp_path / "before", tmp_path / "after")
    assert (found.items, found.chance, found.before, found.after, found.difference) == (2, 1.0, 0.25, 0.75, 0.5)
    assert found.agents == 2 and "success, 2 agents" in arms.cells(found)[0]


def test_agents_that_differ_widen_the_interval_of_success():
    before, after = np.zeros((3, 100)), np.zeros((3, 100))
    after[:, :60] = 1.0
    same = arms.figure("judge", "success", 0.0, before, after)
    after[0], after[2] = 0.0, 1.0
    apart = arms.figure("judge", "success", 0.0, before, after)
    assert (
        same.agents == apart.agents == 3 and same.low > 0.5 and apart.low < 0 and apart.after_low < 0.2 < same.after_low
    )
    alone = arms.figure("policy", "success", 0.0, before[:1], after[:1])
    assert alone.agents == 1 and arms.cells(alone)[0] == "success"


def test_an_unknown_arm_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["finetune", "doorkey", "--arms", "polcy"]) != 0
    assert "Did you mean 'policy'" in capsys.readouterr().err


@pytest.mark.slow
def test_both_arms_by_one_command(base, tmp_path, capsys):
    settings = config(
        base, measure=MeasureConfig(every=0), arms=ArmsConfig(recipe=str(tmp_path / "r.toml"), episodes=2, seeds=1)
    )
    (tmp_path / "r.toml").write_text(
        '[world]\nname = "doorkey"\n[collect]\nsteps = 400\n[judge]\nitems = 24\n[fit]\nsteps = 20\n'
        "[train]\nsteps = 1024\nnum_envs = 8\nhorizon = 16\n[policy]\nmax_steps = 4\n"
    )
    figures = arms.compare(settings, tmp_path / "arms")
    assert [(each.arm, each.measure) for each in figures] == [
        (name, what) for name in ("judge", "policy") for what in ("held-out lessons", "success")
    ]
    told = {path: json.loads((tmp_path / "arms" / path / "run.json").read_text())["config"] for path in arms.ARMS}
    assert [told[name]["lora"].pop("kinds") for name in told] == [["compare"], ["action"]]
    assert told["judge"] == told["policy"] and told["judge"]["lora"]["examples"] == 16
    used = json.loads((tmp_path / "arms/policy-after/run.json").read_text())["config"]
    assert used["llm"]["adapter"].endswith("policy/train/adapter") and used["policy"]["prompt"] == "act-b"
    assert [row["items"] for row in read_table(tmp_path / "arms/arms.parquet") if row["measure"] == "success"] == [2, 2]
    told = (tmp_path / "arms" / "report.html").read_text()
    assert (
        "Agents of the taught judge succeed in" in told
        and "The taught policy succeeds" in told
        and "was not measured here" in told
    )
    assert all((tmp_path / "arms" / link).is_file() for link in re.findall(r'href="(\w[^"]*html)"', told))
    capsys.readouterr()
    again = arms.compare(settings, tmp_path / "arms")
    assert [(each.before, each.after) for each in again] == [(each.before, each.after) for each in figures]
    assert "finished before, skipped" in capsys.readouterr().out
    assert [each.arm for each in arms.compare(settings, tmp_path / "arms", ("policy",))] == [each.arm for each in again]


def test_the_next_command_names_what_is_not_usual_of_the_world(policy, monkeypatch):
    assert "--world" not in run.next_step(policy)
    small = dataclasses.replace(policy.config, world=dataclasses.replace(policy.config.world, size=5))
    monkeypatch.setattr(run.Finetune, "finished", lambda self, name: {})
    said = run.next_step(run.Finetune(policy.folder, small))
    assert "plaudit run doorkey --world.size 5 --route llm" in said
