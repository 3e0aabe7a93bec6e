"""analyze credit: DoorKey's exact value, rank correlations over episodes, and planted rewards that they must tell apart."""

import dataclasses
import hashlib
import importlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from labelled_runs import judged_run
from scipy.stats import spearmanr
from test_routes import made, scripted  # noqa: F401  scripted is a fixture

from plaudit import registry
from plaudit.analysis import ranks
from plaudit.analyze import credit, credit_discounts, credit_says, credit_walks, rewards
from plaudit.analyze.base import Measure, Subject
from plaudit.analyze.credit import CreditOptions
from plaudit.analyze.credit_discounts import Trained
from plaudit.analyze.credit_says import Held
from plaudit.analyze.hacking import HackingOptions
from plaudit.analyze.run import analyze, analyze_all, check
from plaudit.config import RunConfig, WorldConfig
from plaudit.envs.gridworld import DoorKey
from plaudit.envs.gridworld_value import CLOSED, LOCKED, OPEN, Layout, steps_left, steps_to_goal, successors
from plaudit.errors import ConfigError
from plaudit.policies.random import RandomPolicy
from plaudit.policies.trained import TrainedPolicy
from plaudit.rewards.base import Transitions
from plaudit.rewards.shaping import Shaping
from plaudit.rewards.wrapper import RewardWrapper
from plaudit.rl.agents import make_agent
from plaudit.seeds import CREDIT_SEED
from plaudit.stages.parts import make_envs, make_world
from plaudit.store import read_table, write_json
from plaudit.vector import observation_keys, stack

GAMMA = 0.97


def number_of(world, layout):
    """State of minigrid's own environment, found here by other means than :func:`steps_left`'s."""
    x, y, direction, carrying, door, _ = world._state()
    keys = [(i % layout.size, i // layout.size) for i, c in enumerate(world.grid.grid.grid) if c and c.type == "key"]
    key = layout.cells if carrying else keys[0][0] * layout.size + keys[0][1]
    doors = {"open": OPEN, "closed": CLOSED, "locked": LOCKED}
    cell = world._door()
    assert door in (5, 6, 7)
    return layout.state(
        x, y, direction, key, doors["open" if cell.is_open else "locked" if cell.is_locked else "closed"]
    )


def layout_of(world):
    size = world.grid.width
    place = next(i for i, cell in enumerate(world.grid.grid.grid) if cell is not None and cell.type == "door")
    return Layout(size, place % size, place // size)


@pytest.mark.parametrize("layout", [Layout(5, 2, 1), Layout(5, 2, 2), Layout(6, 3, 2)])
def test_the_value_keeps_bellmans_equation_in_every_state(layout):
    steps, after = steps_to_goal(layout), successors(layout)
    value = GAMMA ** steps.astype(np.float64)
    x, y, *_ = layout.parts()
    goal = (x == layout.size - 2) & (y == layout.size - 2)
    assert (steps[goal] == 0).all()
    assert np.allclose(value[~goal], GAMMA * value[after].max(axis=0)[~goal])
    assert np.isfinite(steps).any() and (steps[~goal] > 0).all()


@pytest.mark.parametrize("size", [5, 8])
def test_the_table_of_moves_is_minigrids_game(size):
    world, rng, kinds = DoorKey(size=size), np.random.default_rng(0), set()
    for seed in range(6):
        world.reset(seed=seed)
        layout = layout_of(world)
        after = successors(layout)
        for _ in range(250):
            state, action = number_of(world, layout), int(rng.choice(7, p=[0.15, 0.15, 0.25, 0.15, 0.1, 0.15, 0.05]))
            obs, _, terminated, truncated, _ = world.step(action)
            now = number_of(world, layout)
            assert now == (state if action == 6 else after[action, state])
            kinds.add(int(obs["event"]))
            if terminated or truncated:
                break
    assert len(kinds) >= 9, "the walk must have met keys, doors and walls"


def test_the_best_player_needs_exactly_so_many_steps():
    world = DoorKey(size=8)
    for seed in range(5):
        obs, _ = world.reset(seed=seed)
        layout = layout_of(world)
        steps, after = steps_to_goal(layout), successors(layout)
        left = world.fewest_steps(obs)
        assert left == steps_left(world.grid) > 5
        for number in range(int(left)):
            state = number_of(world, layout)
            action = int(np.argmin(steps[after[:, state]]))
            _, _, terminated, _, info = world.step(action)
            assert terminated == info["success"] == (number == left - 1)
        assert steps_left(world.grid) == 0


def episodes(rng, count=30, least=20):
    return [rng.normal(size=least + int(rng.integers(20))) for _ in range(count)]


def test_correlations_are_spearmans_and_weights_are_repeats():
    rng = np.random.default_rng(0)
    x = [np.round(e, 1) for e in episodes(rng)]
    y = [np.round(e + rng.normal(size=len(e)), 1) for e in x]
    found = ranks.pooled(x, y)
    assert found.rho == pytest.approx(spearmanr(np.concatenate(x), np.concatenate(y)).statistic)
    assert found.low < found.rho < found.high
    inside = np.mean([spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)])
    assert ranks.within(x, y).rho == pytest.approx(inside)
    a, b, times = rng.integers(0, 9, 50), rng.integers(0, 9, 50), rng.integers(0, 4, 50)
    repeated = spearmanr(np.repeat(a, times), np.repeat(b, times)).statistic
    assert ranks.weighted_spearman(a, b, times.astype(float)) == pytest.approx(repeated)


def test_an_interval_over_episodes_holds_what_hangs_together():
    """Reward and value are independent, but each episode has a level of its own in both: steps would look like many."""
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = [e + 3 * rng.normal() for e in episodes(rng)]
        y = [rng.normal(size=len(e)) + 3 * rng.normal() for e in x]
        found = ranks.pooled(x, y)
        covered += found.low <= 0 <= found.high
    assert covered >= 34


def test_what_never_changes_says_nothing_and_what_cannot_be_said_is_left_out():
    rng = np.random.default_rng(1)
    y = episodes(rng)
    flat = [np.ones(len(e)) for e in y]
    assert (ranks.within(flat, y).rho, ranks.pooled(flat, y).rho) == (0.0, 0.0)
    assert ranks.within(y, flat) == ranks.pooled(y, [e * np.nan for e in y]) == ranks.NOTHING


def test_a_planted_lead_is_found():
    rng = np.random.default_rng(2)
    lengths, won = rng.integers(60, 90, 30), [True] * 20 + [False] * 10
    far = [np.arange(n)[::-1] for n in lengths]
    speaks = [
        np.where(won_ & (left <= 20), 1.0, 0.0) + 0.05 * rng.normal(size=len(left))
        for left, won_ in zip(far, won, strict=True)
    ]
    sparse = [np.where(won_ & (left == 0), 1.0, 0.0) for left, won_ in zip(far, won, strict=True)]
    assert 20 <= ranks.reach(speaks, won, 60) <= 25
    assert ranks.reach(sparse, won, 60) == 0
    assert ranks.reach([rng.normal(size=n) for n in lengths], won, 60) <= 5
    moments = ranks.before_success(ranks.percentiles_of(speaks), won, 61)
    assert [m.ahead for m in moments] == list(range(61)) and moments[0].episodes == 20
    assert moments[0].low > 0.75 > 0.5 > moments[40].high


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return judged_run(tmp_path_factory.mktemp("credit") / "run", ("collect", "annotate", "fit"))


def look(run, **options):
    return analyze(
        "credit",
        Subject(run.config, run.folder / "analyze" / "credit", run),
        CreditOptions(episodes=6, steps=150, **options),
    )


def hashes(run):
    files = [p for p in run.folder.rglob("*") if p.is_file() and "analyze" not in p.relative_to(run.folder).parts]
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def planted(monkeypatch, change):
    """The run's reward becomes what ``change`` makes of the exact value of each episode."""

    def reward(run, world, walks):
        made = [change(v) for v in credit_walks.values(walks, run.config.train.gamma, "exact")[1]]
        return made, made

    monkeypatch.setattr(credit, "run_reward", reward)


def measure(found, name):
    return next(m for m in found.measures if m.name == name)


def test_the_exact_value_as_reward_correlates_with_one(run, monkeypatch):
    planted(monkeypatch, lambda value: 3 * value - 1)
    found = look(run)
    for name in ("rho of LLM feedback and value, in episodes", "rho of LLM feedback and value, over all",
                 "rho of their changes, in episodes"):  # fmt: skip
        assert measure(found, name).value == pytest.approx(1.0), name
    ahead = measure(found, "steps ahead of success: value").value
    assert measure(found, "steps ahead of success: LLM feedback").value == ahead > 0
    assert measure(found, "steps ahead of success: task reward").value == 0
    assert found.facts["value"] == "exact"


def test_its_shuffle_correlates_with_about_nothing(run, monkeypatch):
    rng = np.random.default_rng(0)
    planted(monkeypatch, rng.permutation)
    found = look(run)
    for name in ("rho of LLM feedback and value, in episodes", "rho of their changes, in episodes"):
        assert abs(measure(found, name).value) < 0.15
        assert measure(found, name).low < 0.05
        assert measure(found, name).high > -0.05
    assert measure(found, "rho of constant and value, in episodes").value == 0


def test_a_judge_who_knows_is_between_and_the_run_stays_as_it_is(run):
    before = hashes(run)
    found = look(run)
    assert hashes(run) == before
    judge = measure(found, "rho of LLM feedback and value, in episodes")
    assert 0.1 < judge.low < judge.value < 0.95
    assert judge.value > measure(found, "rho of task reward and value, in episodes").value
    rows = read_table(run.folder / "analyze" / "credit" / "steps.parquet")
    assert {row["source"] for row in rows} == {"random", "expert"}
    assert "reward:LLM feedback" in rows[0] and len({row["episode"] for row in rows}) == 12


def test_a_reward_that_still_asks_writes_into_the_analysis_own_ledger(tmp_path, scripted):  # noqa: F811
    online = made(tmp_path, "scalar", fit={"online": True}, judge={"items": 20})
    before = hashes(online)
    found = look(online)
    assert measure(found, "rho of LLM rating and value, in episodes").value > 0
    assert hashes(online) == before
    assert (online.folder / "analyze" / "credit" / "reward" / "ledger.sqlite").is_file()


@pytest.mark.parametrize("kind", ["progress", "monte-carlo"])
def test_other_values_serve_where_there_is_no_exact_one(run, kind):
    found = look(run, value=kind)
    assert found.facts["value"] == kind
    assert 0 < measure(found, "rho of LLM feedback and value, in episodes").value < 1
    assert any("no value here" in w for w in found.warnings) == (kind == "monte-carlo")


def test_every_episode_has_a_layout_of_its_own(run, monkeypatch):
    """Whoever acts: in one layout values are alike, and two episodes are not two draws."""
    world, drawn = make_world(run.config.world), []
    reset = type(world).reset
    monkeypatch.setattr(type(world), "reset", lambda self, *, seed: drawn.append(seed) or reset(self, seed=seed))
    assert len([*credit_walks.walks(run, world, ["random", "expert"], 3, 1)]) == 6
    assert drawn == [CREDIT_SEED + i for i in range(6)]


class Hashed:
    """A reward that is a number for each observation."""

    def __init__(self, of):
        self.of = of

    def __call__(self, transitions):
        return np.array([zlib.crc32(key) % 7 for key in observation_keys(transitions.observations)], np.float32)


@pytest.fixture(scope="module")
def ended():
    """(world's settings, world, an episode of it): one that succeeds, one that is lost, one that the clock ends."""
    found = {}
    for how, name in (("success", "doorkey"), ("lost", "wordle"), ("clock", "doorkey")):
        config = WorldConfig(name=name, size=5 if name == "doorkey" else 100)
        world = make_world(config)
        policy = world.expert() if how == "success" else RandomPolicy(world.action_space, 0)
        walk = credit_walks._walk(world, policy, how, CREDIT_SEED, 1000)
        assert (walk.success, walk.steps[-1].ended) == (how == "success", how != "clock")
        found[how] = config, world, walk
    return found


@pytest.mark.parametrize("how", ["success", "lost", "clock"])
@pytest.mark.parametrize("of", ["observation", "transition"])
@pytest.mark.parametrize(
    "shaping",
    [
        Shaping(mean=2, std=1.5, threshold=0.1, count_power=2, task_weight=0.5, llm_weight=0.3),
        Shaping(difference=True, mean=2, llm_weight=2, count_power=1),
        Shaping(potential=True, gamma=0.9, task_weight=1),
    ],
    ids=["counts", "difference", "potential"],
)
def test_the_reward_as_paid_is_what_the_wrapper_pays(ended, how, of, shaping):
    config, world, walk = ended[how]
    fn = Hashed(of)
    said = fn(Transitions(stack([step.observation for step in walk.steps]), None)).astype(float)
    envs = RewardWrapper(make_envs(config, 1), fn, shaping, world.event)
    envs.reset(seed=CREDIT_SEED)
    got = [float(envs.step(np.array([step.taken]))[1][0]) for step in walk.steps[1:]]
    assert credit_walks.paid(shaping, world, walk, said, of)[1:] == pytest.approx(got)


def test_an_episode_that_is_repeated_counts_once(run, monkeypatch):
    """In a world of one layout a steady player's episodes are one: its repeats would make intervals narrow."""
    alone, play = look(run), credit_walks.walks
    monkeypatch.setattr(credit, "walks", lambda *given: (each for walk in play(*given) for each in (walk, walk, walk)))
    repeated = look(run)
    assert repeated.measures == alone.measures and repeated.facts["episodes"] == 12
    said = "12 of 36 episodes are different (random: 6 of 18, expert: 6 of 18)"
    assert any(said in warning for warning in repeated.warnings) and not any("different" in w for w in alone.warnings)


def test_what_two_players_do_alike_stays():
    step = credit_walks.Step(0, "", "here", None, 0.0, False, None)
    one = [credit_walks.Walk(who, [step], np.zeros(1), np.zeros(1)) for who in ("random", "expert", "expert")]
    one.append(dataclasses.replace(one[0], steps=[dataclasses.replace(step, text="there")]))
    assert credit_walks.different(one) == [one[0], one[1], one[3]]


def taught_run(run, adapter, **changes):
    config = dataclasses.replace(run.config, llm=dataclasses.replace(run.config.llm, adapter=str(adapter)), **changes)
    return type(run)(run.folder, config)


@pytest.mark.parametrize(("kinds", "said"), [("compare", True), ("progress action", True), ("action", False)])
def test_a_judge_that_was_taught_by_the_value_is_said_to_be(run, tmp_path, kinds, said):
    adapter = tmp_path / "train" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "plaudit.json").write_text(json.dumps({"base": "embedded", "kinds": kinds}))
    pupil = taught_run(run, adapter)
    assert bool(rewards.taught(pupil)) == said
    assert not rewards.taught(run) and not rewards.taught(taught_run(run, adapter, route="count"))
    write_json(tmp_path / "run.json", {"verb": "finetune", "config": {"world": {"name": "doorkey"}}})
    assert bool(rewards.taught(pupil)) == said
    write_json(tmp_path / "run.json", {"verb": "finetune", "config": {"world": {"name": "wordle"}}})
    assert not rewards.taught(pupil), "another world's lessons"
    (tmp_path / "run.json").unlink()
    (adapter / "plaudit.json").write_text("{")
    assert not rewards.taught(pupil), "what is damaged says nothing, and is needed no more"


def test_credit_warns_that_the_judge_was_taught_by_what_it_is_held_against(run, monkeypatch):
    def warned():
        return any("how far that lesson carries" in warning for warning in look(run).warnings)

    assert not warned()
    monkeypatch.setattr(rewards.gguf_adapter, "taught", lambda llm, role: {"kinds": "compare"})
    assert warned()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("credit", {"episodes": 0}, "--credit.episodes must be at least 1, got 0. For instance: --credit.episodes 20"),
        ("credit", {"networks": 0}, "--credit.networks must be at least 1"),
        ("credit", {"train_steps": -1}, "--credit.train-steps must be at least 0"),
        ("hacking", {"episodes": 0}, "--hacking.episodes must be at least 1"),
        ("exploration", {"agents": 0}, "--exploration.agents must be at least 1"),
        ("agreement", {"bins": 0}, "--agreement.bins must be at least 1"),
        ("dynamics", {"states": 0}, "--dynamics.states must be at least 1"),
    ],
)
def test_none_of_what_is_counted_is_refused_before_an_analysis_begins(tmp_path, name, options, said):
    subject = Subject(RunConfig(), tmp_path / "a")
    asked = registry.load("analyses", name).options(**options)
    for refuse in (lambda: analyze(name, subject, asked), lambda: analyze_all([(name, subject, asked)], tmp_path)):
        with pytest.raises(ConfigError, match=said):
            refuse()
    assert not [*tmp_path.iterdir()]


def test_every_analysis_takes_its_usual_options_and_none_where_that_means_something():
    for name in registry.entries("analyses"):
        check(name, registry.load("analyses", name).options())
    check("hacking", HackingOptions(items=0, shown=0, wording_seeds=0))


@pytest.mark.parametrize("gamma", [-0.1, 1.0, 1.5, float("nan")])
def test_a_gamma_that_is_no_discount_is_refused(gamma):
    with pytest.raises(ConfigError, match=r"--credit\.gamma must be above 0 and below 1"):
        credit.Credit().find(None, CreditOptions(gamma=gamma))


@pytest.mark.parametrize("arm", ["random", "the run's agent"])
def test_no_two_episodes_take_the_same_chances(run, monkeypatch, arm):
    """In a world of one layout they would be one episode counted often, with an interval of nothing."""
    world = make_world(run.config.world)
    net = make_agent({"algorithm": "ppo", "width": 8}, world.observation_space, world.action_space)
    monkeypatch.setattr(TrainedPolicy, "load", lambda folder, observations, actions, seed: TrainedPolicy(net, seed))
    done = [tuple(int(s.taken) for s in w.steps[1:]) for w in credit_walks.walks(run, world, [arm], 4, 30)]
    assert len(set(done)) == 4


def test_a_route_that_makes_no_reward_is_told_so(tmp_path, scripted):  # noqa: F811
    run = made(tmp_path, "random", stages=("collect",))
    with pytest.raises(ConfigError, match="makes no reward"):
        analyze("credit", Subject(run.config, tmp_path / "out", run), CreditOptions())


def test_discounts_tell_the_reward_that_needs_no_horizon():
    def trained(arm, gamma, level):
        return Trained(arm, gamma, {seed: level + 0.01 * seed for seed in range(5)}, random=0.04)

    found = [trained("preference", g, 0.9) for g in (0.0, 0.9, 0.99)]
    found += [trained("task", g, level) for g, level in ((0.0, 0.03), (0.9, 0.1), (0.99, 0.88))]
    found += [trained("count", g, 0.7) for g in (0.0, 0.9, 0.99)]
    said = credit_discounts.finding(found, "preference")
    assert measure(said, "smallest discount that does: LLM feedback").value == 0.0
    assert measure(said, "smallest discount that does: task reward").value == 0.99
    gap = measure(said, "success over all discounts: LLM feedback less task reward")
    assert gap.low <= gap.value <= gap.high and gap.value == pytest.approx(0.9 - (0.03 + 0.1 + 0.88) / 3)
    over = measure(said, "success over all discounts: LLM feedback less novelty count")
    assert over.value == pytest.approx(0.2)
    assert "needs a discount of 0.00" in said.headline and not said.warnings
    rows = credit_discounts.by_seed(found)
    assert {(row["arm"], row["seed"]) for row in rows} == {
        (arm, s) for arm in ("preference", "task", "count") for s in range(5)
    }
    assert rows[2]["success"] == pytest.approx(0.92), "the mean over the discounts, seed by seed"
    nothing = credit_discounts.finding([trained("preference", 0.9, 0.03), trained("task", 0.9, 0.0)], "preference")
    assert not nothing.headline and "train them longer" in nothing.warnings[0]


@pytest.mark.parametrize("gamma", [-0.1, 1.0, 1.5])
def test_a_discount_that_is_none_is_refused_before_anything_is_played(gamma):
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        credit.Credit().find(None, credit.CreditOptions(discounts=(0.5, gamma)))


@pytest.mark.parametrize("control", ["scalar", "embedding", "random", "novel"])
def test_a_control_that_is_none_is_refused_before_anything_is_played(control):
    said = "there is no route" if control == "novel" else "made without a model"
    with pytest.raises(ConfigError, match=said):
        credit.Credit().find(None, credit.CreditOptions(discounts=(0.5,), controls=("count", control)))


@pytest.mark.slow
def test_agents_are_trained_with_each_discount_once(run):
    options = {"discounts": (0.0, 0.9), "controls": (), "seeds": 1, "train_steps": 256}
    found = look(run, **options)
    assert {(row["arm"], row["gamma"]) for row in found.facts["discounts"]} == {
        (arm, gamma) for arm in ("preference", "task") for gamma in (0.0, 0.9)
    }
    agents = {p: p.stat().st_mtime_ns for p in (run.folder / "analyze/credit/discounts").rglob("agent.safetensors")}
    assert len(agents) == 4
    again = look(run, **options)
    assert again.facts["discounts"] == found.facts["discounts"]
    assert agents == {p: p.stat().st_mtime_ns for p in agents}
    for controls in (("count",), ("constant", "task", "count")):  # in any order, and one more trains no other again
        beside = look(run, **options | {"controls": controls})
        assert {row["arm"] for row in beside.facts["discounts"]} == {"preference", "task", *controls}
    assert agents == {p: p.stat().st_mtime_ns for p in agents}


RANK = ranks.Rank(0.4, 0.3, 0.5, 30)
HELD = Held("LLM feedback", RANK, RANK, RANK, RANK)


def test_the_headline_claims_no_reach_that_random_networks_have():
    few, many = [0, 5, 10], [0, 5, 60]
    claim = credit_says._claim(40, 50, few, 60)
    assert "speaks 40 steps ahead of success, the value 50" in claim and not credit_says._claim(40, 50, many, 60)
    far = credit_says._headline(HELD, "exact", Measure("networks", 0.0, -0.2, 0.3), claim)
    assert claim in far and "random networks have −0.20 to 0.30" in far
    nothing = Held("LLM feedback", ranks.NOTHING, ranks.NOTHING, ranks.NOTHING, ranks.NOTHING)
    assert "no observation has a value" in credit_says._headline(nothing, "monte-carlo", Measure("networks", 0.0), "")
    assert not credit_says._too_far(HELD, 40, 50, few, 60)
    assert "stand out" in credit_says._too_far(HELD, 40, 50, many, 60)[0]
    assert "--credit.ahead" in credit_says._too_far(HELD, 60, 60, [0], 60)[0]


def test_the_headline_claims_no_reach_beyond_the_value_s():
    assert not credit_says._claim(60, 46, [0, 5, 10], 60) and not credit_says._claim(30, 0, [], 60)
    assert "the value itself for 46" in credit_says._too_far(HELD, 60, 46, [0], 60)[0]
    both = credit_says._claim(60, 60, [0], 60)
    assert "over all of the last 60 steps before success, as the value does" in both and "ahead" not in both


def test_the_table_of_why_has_the_reward_as_paid_and_says_how_few_episodes_a_cell_is_of(run, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    table, found = importlib.import_module("why"), look(run)
    write_json(run.folder / "analyze" / "credit" / "result.json", {"measures": [vars(m) for m in found.measures]})
    rows = {row.title: row for row in table.ROWS}
    paid = table.found(run.folder, rows["reward as paid and value, rho in episodes"])
    assert paid["name"] == "rho of reward as paid and value, in episodes" and "(" in table.written(paid, 2)
    few = Measure("rho of LLM feedback and value, in episodes", 0.82, None, None, 2, 0.0, share=False)
    assert table.written(vars(few), 2, "episode") == "0.82 (2 episodes)"
    assert table.written(vars(dataclasses.replace(few, n=1)), 2, "episode") == "0.82 (1 episode)"
    assert table.written(vars(dataclasses.replace(few, n=42)), 2, "episode") == "0.82"
