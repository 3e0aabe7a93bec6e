"""Probes of a model's dynamics: planted knowledge, ignorance and leanings are measured as what they are."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from plaudit import registry
from plaudit.analysis.clustered import clustered, of_pairs
from plaudit.analyze import asking
from plaudit.analyze.base import Subject
from plaudit.analyze.dynamics import Dynamics, DynamicsOptions, _probes
from plaudit.analyze.run import analyze
from plaudit.analyze.transitions import COPIES, Copies, changes, play
from plaudit.cli import main
from plaudit.config import RunConfig, from_dict
from plaudit.envs.base import World, named_action
from plaudit.envs.gridworld import DoorKey, DoorKeyVector
from plaudit.errors import ConfigError
from plaudit.intervals import wilson
from plaudit.llms.answers import Ledger
from plaudit.llms.ledger import LedgerLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages import parts
from plaudit.store import Run, read_table

LAST = 9
ACTIONS = ("left", "right", "wait")


class Corridor(World):
    """Ten places in a row; the goal is the last one. What is seen tells all."""

    goal = "get to place 9"
    rules = "Answer with one action: left, right, wait."
    fallback = 2
    observation_space = spaces.MultiDiscrete([LAST + 1, 3])
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(6)), 0
        return np.array([self.place, 0]), {"progress": self.place / LAST}

    def step(self, action):
        old, self.steps = self.place, self.steps + 1
        self.place = after(self.place, ACTIONS[action])
        won = self.place == LAST
        info = {"success": won, "progress": self.place / LAST}
        return np.array([self.place, 1 + (self.place != old)]), float(won), won, self.steps == 25, info

    def describe(self, obs):
        return f"You are at place {obs[0]}. {self.event(obs)}"

    def event(self, obs):
        return ("You begin.", "Nothing happened.", "You walked.")[obs[1]]

    def features(self, obs):
        return {"place": int(obs[0]), "event": self.event(obs)}

    def actions(self, obs):
        return list(ACTIONS)

    def parse_action(self, reply):
        return named_action(reply, ACTIONS)

    def expert(self):
        class Right:
            def reset(self, begun):
                pass

            def act(self, observations):
                return np.ones(len(observations), int)

        return Right()


def after(place, action):
    return min(LAST, max(0, place + {"left": -1, "right": 1, "wait": 0}[action]))


def text(place, action):
    new = after(place, action)
    return f"You are at place {new}. {'You walked.' if new != place else 'Nothing happened.'}"


def lines(request):
    return dict(line.split(": ", 1) for line in request.prompt.splitlines() if ": " in line)


def knows(request):
    """The true dynamics of the corridor: 4 nats for the right seat."""
    if request.answers != (" A", " B"):
        return judge(request)
    said = lines(request)
    place = int(re.search(r"\d+", said["Now"])[0])
    if "Next" in said:
        right = [text(place, said[seat]) == said["Next"] for seat in "AB"]
    elif "Wanted" in said:
        near = {text(place, a) for a in ACTIONS} | {text(after(place, a), b) for a in ACTIONS for b in ACTIONS}
        right = [(said["Wanted"] in near) == (said[seat] == "yes") for seat in "AB"]
    elif "change anything" in request.prompt:
        right = [(after(place, said["Action"]) != place) == (said[seat] == "yes") for seat in "AB"]
    else:
        right = [text(place, said["Action"]) == said[seat] for seat in "AB"]
    assert right in ([True, False], [False, True]), request.prompt
    return [4.0 * each for each in right]


def judge(request):
    if set(request.answers) == {f" {action}" for action in ACTIONS}:
        return [-9.0, -1.0, -9.0]
    place = int(re.findall(r"at place (\d)", request.prompt)[-1])
    return [place / 3, 0.0]


@pytest.fixture(autouse=True)
def corridor(monkeypatch):
    monkeypatch.setitem(registry.KINDS["worlds"], "corridor", registry.Entry("test_dynamics:Corridor"))


def asked(monkeypatch, folder, model, world="corridor", **options):
    monkeypatch.setattr(parts, "make_llm", lambda config: model)
    subject = Subject(from_dict(RunConfig, {"world": {"name": world}}), folder)
    finding = analyze("dynamics", subject, DynamicsOptions(**options))
    return finding, {m.name.split(":")[0]: m for m in finding.measures}


def test_a_model_that_knows_the_dynamics_scores_near_one(monkeypatch, tmp_path):
    finding, by = asked(monkeypatch, tmp_path, ScriptedLLM(score=knows, noise=0.3))
    for kind in ("all probes, each kind alike", "next", "inverse", "reachable", "effect"):
        assert by[kind].value >= 0.98 and by[kind].low > 0.5, by[kind]
    assert by["as a judge"].value > 0.95 and by["as a policy"].value == 1 and not finding.warnings
    assert by["as a policy"].chance == pytest.approx(1 / 3)
    rows = read_table(tmp_path / "probes.parquet")
    assert {row["distractor"] for row in rows if row["probe"] == "next"} == {"random", "episode", "step", "action"}
    assert {row["distractor"] for row in rows if row["probe"] == "inverse"} >= {"random", "episode", "step"}
    for kind in ("reachable", "effect"):
        truths = [row["truth"] for row in rows if row["probe"] == kind]
        assert truths.count("yes") == truths.count("no") >= 10
    point = json.loads((tmp_path / "result.json").read_text())["facts"]["point"]
    assert point["dynamics"][0] == by["all probes, each kind alike"].value
    assert "Of what its actions do" in (tmp_path / "report.html").read_text()


def test_a_coin_scores_one_half_within_the_interval(monkeypatch, tmp_path):
    """Over many coins the 95% interval holds one half, and no preference for a seat, about as often as it says."""
    world = Corridor()
    _, _, probes = _probes(world, Corridor.vector(COPIES), DynamicsOptions(states=20), 0)
    held, level, shares = 0, 0, []
    for seed in range(40):
        coin = LedgerLLM(ScriptedLLM(noise=1.0, seed=seed), Ledger(Path(":memory:")))
        answers, _ = asking.ask(coin, world.goal, probes, "", chat=False)
        whole, seat = asking.overall(answers), asking.leanings(answers)[1]
        held += whole.low <= 0.5 <= whole.high
        level += seat.low <= 0 <= seat.high
        shares.append(whole.value)
    assert held >= 34 and level >= 34, (held, level)
    assert abs(np.mean(shares) - 0.5) < 0.03
    finding, _ = asked(monkeypatch, tmp_path, ScriptedLLM(noise=1.0, seed=1))
    assert "no better than a coin" in finding.headline


@pytest.mark.parametrize("bias", [-6.0, 0.7])
def test_a_planted_preference_for_a_seat_is_recovered_and_harms_nothing(monkeypatch, tmp_path, bias):
    _, by = asked(monkeypatch, tmp_path, ScriptedLLM(score=knows, noise=0.5, position_bias=bias))
    found = by["preference for the first seat, nats"]
    assert found.low <= bias <= found.high and found.high - found.low < 0.2
    assert by["all probes, each kind alike"].value > 0.98
    if bias < -4:  # stronger than what it knows: every single answer names the second seat
        assert by["answers that name the first seat"].value < 0.05


def test_one_who_always_says_yes_is_found_out(monkeypatch, tmp_path):
    def yes(request):
        said = lines(request)
        return [5.0 * (said.get(answer.strip()) == "yes") for answer in request.answers]

    _, by = asked(monkeypatch, tmp_path, ScriptedLLM(score=yes))
    assert by["yes, where half are"].value == 1 and by["reachable"].value == by["effect"].value == 0.5


def test_failed_answers_are_counted_and_are_no_wrong_ones(monkeypatch, tmp_path):
    finding, by = asked(monkeypatch, tmp_path, ScriptedLLM(score=knows, failure_rate=0.2))
    assert by["next"].value == 1 and any("have no answer" in warning for warning in finding.warnings)
    with pytest.raises(ConfigError, match="none of the probes"):
        asked(monkeypatch, tmp_path / "2", ScriptedLLM(failure_rate=1.0))


def test_earlier_results_stand_beside_and_the_run_is_left_alone(monkeypatch, tmp_path):
    asked(monkeypatch, tmp_path / "other", ScriptedLLM(noise=1.0), states=8)
    run = Run.create(tmp_path / "run", from_dict(RunConfig, {"world": {"name": "corridor"}}))
    (run.stage("collect") / "observations.parquet").write_bytes(b"as it is")
    run.finish("collect", 1.0)

    def hashes():
        files = [p for p in run.folder.rglob("*") if p.is_file() and "analyze" not in p.parts]
        return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    before = hashes()
    monkeypatch.setattr(parts, "make_llm", lambda config: ScriptedLLM(score=knows))
    words = [
        "analyze",
        "dynamics",
        str(run.folder),
        "--dynamics.states",
        "8",
        "--dynamics.beside",
        str(tmp_path / "other"),
    ]
    assert main([*words, "--debug"]) == 0
    assert hashes() == before
    page = (run.folder / "analyze" / "dynamics" / "report.html").read_text()
    assert "2 worlds and models" in page
    assert main(["analyze", "dynamics", "corridor", "--dynamics.beside", str(tmp_path)]) != 0


def test_a_second_time_nothing_is_asked(monkeypatch, tmp_path):
    first = ScriptedLLM(score=knows)
    one, _ = asked(monkeypatch, tmp_path, first, states=8)
    second = ScriptedLLM(score=knows)
    other, _ = asked(monkeypatch, tmp_path, second, states=8)
    assert first.asked and not second.asked and one.measures == other.measures


class Foggy(Corridor):
    """The same, but two places look alike."""

    def describe(self, obs):
        return f"You are in room {obs[0] // 2}. {self.event(obs)}"


@pytest.mark.parametrize(
    ("world", "envs", "episodes", "steps"),
    [(DoorKey(5), DoorKeyVector(COPIES, 5), 6, 30), (Foggy(), Foggy.vector(COPIES), 4, 8)],
)
def test_no_wrong_answer_is_right_by_chance(world, envs, episodes, steps):
    """Where the same words are seen in different places, what is offered as wrong followed in none, nor in a copy."""
    options = DynamicsOptions(states=12, episodes=episodes, max_steps=steps)
    transitions, copies, probes = _probes(world, envs, options, 1)
    assert {probe.kind for probe in probes} == {"next", "inverse", "reachable", "effect"} and not copies.lost
    before = {(t.episode, t.at): t.before.text for t in transitions}
    seen = {(t.before.text, t.after.action, t.after.text) for t in transitions}
    seen |= {(before[episode, at], word, o.text) for (episode, at, word), o in copies.known.items()}
    for probe in probes:
        t = probe.transition
        if probe.kind == "next":
            assert (t.before.text, t.after.action, probe.wrong) not in seen
        if probe.kind == "inverse":
            assert (t.before.text, probe.wrong, t.after.text) not in seen


def test_what_changes_nothing_is_told_from_what_cannot_be_known():
    world = DoorKey(6)
    transitions = play(world, 4, 30, 0)
    for t in transitions:
        said = changes(world, t.before.observation, t.after.observation)
        if t.after.action == "done":
            assert said is False
        if t.after.action in ("turn left", "turn right"):
            assert said is not False  # the direction is another, though the words may be the same
        if "You walked forward." in t.after.text:
            assert said is not False


def test_a_state_that_is_not_come_to_again_is_left_out():
    world = Corridor()
    transitions = play(world, 2, 10, 0)
    copies = Copies(world, Corridor.vector(2), [])
    assert [o.text for o in copies.outcomes(transitions[3], [("wait", 2)])] == [
        text(transitions[3].before.observation[0], "wait")
    ]
    world.describe = lambda obs: f"{Corridor.describe(world, obs)} {np.random.default_rng().random()}"
    assert copies.outcomes(transitions[3], [("left", 0)]) == [] and copies.lost == 1


def test_clustered_intervals_are_wider_where_clusters_agree_within():
    rng = np.random.default_rng(0)
    of_cluster = rng.random(40) < 0.5
    values, clusters = np.repeat(of_cluster, 10).astype(float), np.repeat(np.arange(40), 10)
    together, apart = clustered(values, clusters), clustered(values, np.arange(400))
    assert together.value == apart.value == pytest.approx(values.mean())
    assert (together.high - together.low) > 2.5 * (apart.high - apart.low)
    perfect = clustered(np.ones(50), np.repeat(np.arange(5), 10))
    assert perfect.high == 1 and perfect.low < 0.6  # five clusters tell little
    weighted = clustered([1.0, 0.0], [0, 1], [3.0, 1.0])
    assert weighted.value == 0.75
    one = clustered([1.0, 0.0], [0, 0])
    assert (one.low, one.high) == (0, 1)  # one cluster tells nothing of others


def test_clustered_intervals_hold_the_truth_as_often_as_they_say():
    rng, held = np.random.default_rng(1), 0
    for _ in range(400):  # few clusters of unequal size, alike within
        chances, sizes = rng.beta(2, 2, 12), rng.integers(2, 14, 12)
        values = (rng.random(sizes.sum()) < np.repeat(chances, sizes)).astype(float)
        found = clustered(values, np.repeat(np.arange(12), sizes))
        held += found.low <= 0.5 <= found.high
    assert 0.92 <= held / 400 <= 0.99


def test_pairs_that_share_an_item_tell_less():
    star = of_pairs([1, 0] * 10, [0] * 20, list(range(1, 21)))
    apart = of_pairs([1, 0] * 10, list(range(20)), list(range(20, 40)))
    assert star.value == apart.value == 0.5 and apart.low < 0.5 < apart.high
    assert star.high - star.low > 0
    crossed = of_pairs([1.0] * 5 + [0.0] * 5, [0] * 5 + [1] * 5, [*range(2, 7), *range(2, 7)])  # 0 is right, 1 is wrong
    assert crossed.high - crossed.low > 1.2 * (apart.high - apart.low), "what is known of two items is known of no more"
    same = of_pairs([1.0] * 45, *np.triu_indices(10, 1))  # ten items: five pairs that share none
    assert (same.high, same.low) == (1.0, wilson(1.0, 5)[0])


def test_intervals_of_pairs_hold_the_truth_with_few_items():
    rng, held = np.random.default_rng(3), 0
    first, second = np.triu_indices(12, 1)
    for _ in range(200):  # an item that is misread spoils its pairs
        quality = rng.normal(0, 1, 12)
        right = rng.random(len(first)) < 1 / (1 + np.exp(-2 * (quality[first] + quality[second])))
        found = of_pairs(right.astype(float), first, second)
        held += found.low <= 0.5 <= found.high
    assert 0.91 <= held / 200 <= 0.99


def test_it_says_what_it_is():
    assert (Dynamics.__doc__ or "").startswith("Does the model know")
