"""Coverage and entropy by hand, what is counted of a training, and planted truths: counts explore, a constant does not."""

import dataclasses
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from chain_world import LENGTH, Chain

from plaudit.analysis.coverage import distinct, entropy, rarefied
from plaudit.analyze import exploration, exploration_study
from plaudit.analyze.base import Subject
from plaudit.analyze.exploration import ExplorationOptions
from plaudit.analyze.run import analyze
from plaudit.config import RunConfig, from_dict
from plaudit.config_rules import validate
from plaudit.errors import ConfigError
from plaudit.rewards.base import Transitions
from plaudit.rewards.novelty import DistillationReward
from plaudit.rl.base import to_numpy
from plaudit.stages import prepare, stage
from plaudit.stages.train import finish, jobs, train_agent
from plaudit.stages.visits import Tally, Visits
from plaudit.store import load_tree, read_table, save_tree

pytestmark = pytest.mark.usefixtures("one_thread")


def test_coverage_by_hand():
    assert distinct([3, 0, 1]) == 2
    assert entropy([5, 5, 0]) == pytest.approx(math.log(2)) and entropy([9]) == 0 and entropy([]) == 0
    assert entropy([2, 2], corrected=True) == pytest.approx(math.log(2) + 1 / 8)
    # Two of each of two things: a pair has both in 4 of 6 draws.
    assert rarefied([2, 2], 2) == pytest.approx(1 + 4 / 6) and rarefied([2, 2], 4) == 2
    with pytest.raises(ValueError):
        rarefied([1], 2)


def test_the_correction_brings_a_small_sample_s_entropy_nearer():
    rng, truth = np.random.default_rng(0), math.log(20)
    drawn = [np.bincount(rng.integers(0, 20, 60), minlength=20) for _ in range(200)]
    plain, better = (np.mean([entropy(d, corrected=c) for d in drawn]) for c in (False, True))
    assert plain < truth - 0.1 and abs(better - truth) < 0.05


def walk(envs, actions):
    envs.reset(seed=0)
    for action in actions:
        envs.step(np.full(envs.num_envs, action))


def test_what_is_met_is_counted_and_survives_a_checkpoint(tmp_path):
    envs = Visits(Chain.vector(2), Chain())
    walk(envs, [1] * 12)
    first = envs.columns()
    assert first["met_observation"] == first["met_description"] == 12 and first["met_part_of_the_corridor"] == 2
    assert first["entropy_description"] == pytest.approx(math.log(12))
    save_tree(tmp_path / "t.safetensors", {"visits": envs.tally.get_state()})
    again = Visits(Chain.vector(2), Chain())
    again.tally.set_state(to_numpy(load_tree(tmp_path / "t.safetensors")["visits"]))
    for one in (envs, again):
        walk(one, [1] * 15)
    assert envs.columns() == again.columns() and envs.tally.counts["event"].sum() == 54
    assert {k: v.tolist() for k, v in envs.tally.counts.items()} == {
        k: v.tolist() for k, v in again.tally.counts.items()
    }


def test_an_empty_update_says_nothing():
    assert Visits(Chain.vector(1), Chain()).columns() == {} and Tally(Chain()).counts == {}


def test_what_is_known_is_not_new_any_more_to_random_network_distillation(tmp_path):
    reward = DistillationReward(Chain.observation_space, 4, 0.97, width=16, seed=0)

    def of(where):
        return Transitions(np.array(where), np.zeros(len(where)))

    for _ in range(1501):
        reward(of([0, 1, 2, 3]))
    state = reward.get_state()
    known, new = reward(of([0, 1, 2, 3])), reward(of([30, 31, 32, 33]))
    assert new.mean() > 4 * known.mean() and known.dtype == np.float32
    save_tree(tmp_path / "r.safetensors", state)
    twins = [DistillationReward(Chain.observation_space, 4, 0.97, width=16, seed=seed) for seed in (1, 2)]
    for twin in twins:
        twin.set_state(to_numpy(load_tree(tmp_path / "r.safetensors")))
    for _ in range(20):  # over gradient steps, from a checkpoint, to the same end
        first, second = (twin(of([5, 6, 7, 8])) for twin in twins)
    assert np.array_equal(first, second) and not np.array_equal(new, first)


def trained(folder, **sections):
    """A run of the corridor without a language model, in this process."""
    values = {
        "route": "count",
        "world": {"name": str(Path(__file__).parent / "chain_world.py")},
        "train": {
            "controls": ["constant"],
            "seeds": 5,
            "steps": 6_144,
            "num_envs": 16,
            "horizon": 32,
            "minibatch": 256,
            "visits": True,
            "width": 32,
        },
        "evaluate": {"episodes": 5, "examples": 1},
    }
    for section, changes in sections.items():
        values[section] |= changes
    run = prepare(from_dict(RunConfig, values), folder)
    for job in jobs(run):
        train_agent(run, job.arm, job.seed)
    finish(run)
    stage("evaluate")(run)
    return run


@pytest.fixture(scope="module")
def corridor(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("chain") / "r")


def hashes(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_a_reward_of_the_state_count_explores_and_a_constant_does_not(corridor, tmp_path):
    before = hashes(corridor.folder)
    subject = Subject(corridor.config, tmp_path / "a", corridor)
    found = analyze("exploration", subject, ExplorationOptions(steps=1_024))
    assert hashes(corridor.folder) == before
    met = {name: facts["met"] for name, facts in found.facts.items()}
    assert met["count"] > 0.9 * LENGTH and met["constant"] < 0.6 * LENGTH
    against = next(table for table in found.tables if table.title == "Differences")
    low = next(row[2] for row in against.rows if row[:2] == ["constant +1", "novelty count"])
    assert low.startswith("-") or low.startswith("−")  # a constant meets fewer, and the interval says so
    curve = {arm: read_table(corridor.folder / "train" / f"{arm}-0" / "curve.parquet") for arm in ("count", "constant")}
    assert curve["count"][-1]["met_description"] > curve["constant"][-1]["met_description"]
    assert {t.title for t in found.tables} >= {"What each arm's agents met", "Recorded example episodes"}
    assert (tmp_path / "a" / "report.html").exists() and len(found.plots) == 4


def test_a_world_alone_shows_a_random_policy_and_says_so(tmp_path):
    config = from_dict(RunConfig, {"world": {"name": str(Path(__file__).parent / "chain_world.py")}})
    found = analyze("exploration", Subject(config, tmp_path / "a"), ExplorationOptions(steps=1024, agents=2))
    assert list(found.facts) == ["random"] and any("--exploration.train" in each for each in found.warnings)


def test_every_agent_that_was_trained_for_it_walks(corridor):
    source = exploration.Source("count", corridor, "count")
    assert exploration._walkers(source, ExplorationOptions(agents=2)) == 2
    assert exploration._walkers(source, ExplorationOptions(agents=2, train=True, seeds=5)) == 5


def test_the_study_s_arms_change_one_thing_each():
    config = exploration_study.settings(RunConfig(), 4096, 2, 20, 5)
    arms = exploration_study.arms(config)
    made = {arm.name: arm.config(config) for arm in arms}
    for each in made.values():
        validate(each)
    assert made["preference:online"].online.beside and made["preference:segments"].judge.segment == 3
    powers = {c.shaping.count_power for n, c in made.items() if n.startswith("preference")}
    assert powers == {0, 1, 2, 3} and all(c.train.visits for c in made.values())
    assert made["preference"] == dataclasses.replace(config, route="preference")
    with pytest.raises(ConfigError, match="preference:novel"):
        exploration_study.arms(config, ["preference:navel"])
