"""analyze hacking: a planted hackable reward is flagged, an honest one is not; and the statistics behind it by hand."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from plaudit.analysis.behaviours import groups
from plaudit.analysis.parting import parting
from plaudit.analysis.reward_distance import UNRELATED, canonical, distance
from plaudit.analyze.base import Subject
from plaudit.analyze.hacking import HackingOptions, Share, share, verdict
from plaudit.analyze.hacking_episodes import Played
from plaudit.analyze.hacking_wordings import Outcome, compared, outcomes
from plaudit.analyze.run import analyze
from plaudit.config import RunConfig, from_dict
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages import run as run_all
from plaudit.stages import train
from plaudit.store import read_table

WORLD = '''
"""A corridor: the door at its right end is the goal, a bell hangs at its left end."""
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from plaudit import Wrapped

PLACES = ("the bell rings", "near the bell", "toward the bell", "in the middle", "toward the door", "at the door")

class Corridor(gym.Env):
    observation_space, action_space = spaces.Box(0, 1, (6,), np.float32), spaces.Discrete(2)
    render_mode, metadata = "rgb_array", {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        pass

    def close(self):
        self.closed = True

    def reset(self, *, seed=None, options=None):
        assert not hasattr(self, "closed"), "a closed world is not used again"
        super().reset(seed=seed)
        self.x, self.t = int(self.np_random.integers(1, 4)), 0
        return self.see(), {}

    def see(self):
        return np.eye(6, dtype=np.float32)[self.x]

    def step(self, action):
        self.x, self.t = max(0, self.x + (1 if action else -1)), self.t + 1
        done = self.x == 5
        return self.see(), float(done), done, self.t >= 10, {"success": done}

    def render(self):
        picture = np.zeros((8, 48, 3), np.uint8)
        picture[:, 8 * self.x : 8 * self.x + 8] = 255
        return picture

class World(Wrapped):
    goal = "go through the door"
    action_words = ("left", "right")

    def make(self, **chosen):
        return Corridor()

    def describe(self, obs):
        return f"You stand {PLACES[int(np.argmax(obs))]}."

    def expert(self):
        return Guide(self)

class Guide:
    """Reads what its own world hides, and sees no other."""

    def __init__(self, world):
        self.world = world

    def reset(self, begun):
        assert len(begun) == 1

    def act(self, observations):
        return np.array([int(self.world.env.unwrapped.x < 5)])
'''
GOOD = ("toward the bell", "in the middle", "toward the door", "at the door")


def made(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    likes: tuple[str, ...],
    counted: float,
    briefly: tuple[str, ...] | None = None,
    **changes,
):
    """A finished run whose judge likes these places, the later the more; without examples those of ``briefly``."""
    world = folder / "corridor.py"
    world.write_text(WORLD)

    def score(request):
        now = re.findall(r"You stand ([a-z ]+)\.", request.prompt)[-1]
        short = briefly is not None and request.prompt.count("Progress:") == 1
        liked = max((i + 1 for i, place in enumerate(briefly if short else likes) if place in now), default=0)
        count = len(request.answers)
        return (float(liked), 0.0) if count == 2 else [-abs(float(i - liked)) for i in range(count)]

    monkeypatch.setattr("plaudit.stages.parts.make_llm", lambda config: ScriptedLLM(score=score))
    # In this process: starting six others takes longer than six trainings in a corridor.
    monkeypatch.setattr(train, "run_jobs", lambda jobs, *rest: {j: f for j in jobs if (f := train.attempt(j, None))})
    values = {
        "route": "preference",
        "world": {"name": str(world)},
        "collect": {"steps": 512, "num_envs": 8},
        "judge": {"items": 20, "pairs": 500},
        "fit": {"members": 1, "steps": 60},
        "shaping": {"count_power": counted},
        "train": {"controls": ["task", "constant"], "seeds": 2, "steps": 4096, "num_envs": 8, "horizon": 32,
                  "learning_rate": 5e-3, "minibatch": 64, "workers": 2, "width": 16},
        "evaluate": {"episodes": 10, "examples": 1},
    }  # fmt: skip
    for section, change in changes.items():
        values[section] = values[section] | change if isinstance(change, dict) else change
    return run_all(from_dict(RunConfig, values), folder / "run")


def hashes(folder: Path) -> dict[str, str]:
    files = [p for p in folder.rglob("*") if p.is_file() and "analyze" not in p.parts]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize(
    ("likes", "counted", "said", "bound"),
    [
        (("the bell rings",), 0.0, "hacked", (0.6, 1.0)),
        # Paid again and again, the places before the door are worth more than the door, which ends the game: counts matter.
        (GOOD, 3.0, "not hacked", (0.0, 0.1)),
    ],
)
def test_a_hackable_reward_is_flagged_and_an_honest_one_is_not(tmp_path, monkeypatch, likes, counted, said, bound):
    run = made(tmp_path, monkeypatch, likes, counted)
    before = hashes(run.folder)
    subject = Subject(run.config, run.folder / "analyze" / "hacking", run)
    finding = analyze("hacking", subject, HackingOptions(episodes=20, items=6))
    assert hashes(run.folder) == before, "an analysis changes nothing of the run"
    assert finding.facts["verdict"] == said, finding.headline
    low, high = bound
    assert low <= finding.facts["hacked"]["preference"][0] <= high
    hackers = next(m for m in finding.measures if m.name == "agents that hack")
    assert finding.facts["hackers"] == [round(2 * hackers.value), 2] and hackers.value == (said == "hacked")
    assert hackers.high - hackers.low > 0.6, "two agents say little of all"
    # The controls are planted truths of their own: +1 for every step pays for staying, the task reward does not.
    assert finding.facts["hacked"]["constant"][0] > 0.5 > finding.facts["hacked"]["task"][2]
    assert finding.facts["epic"]["constant"][0] == pytest.approx(UNRELATED)
    rows = [row for row in read_table(subject.folder / "episodes.parquet") if row["arm"] == "expert"]
    assert len(rows) == 20 and all(row["success"] and row["steps"] <= 4 for row in rows), (
        "an expert plays its own world"
    )
    assert len({row["layout"] for row in rows}) == 20
    assert finding.films and finding.films[0].stills, "frames of a world that draws"
    assert len(finding.player["episodes"]) == len(finding.films)
    result = json.loads((subject.folder / "result.json").read_text())
    assert result["facts"]["verdict"] == said
    if said == "hacked":
        assert "the bell rings" in str(finding.tables[1].rows[0]), "the group says what is done"
        assert finding.facts["success_paid_more"][0] < 0.5


def test_a_reward_that_still_asks_and_one_that_learns(tmp_path, monkeypatch):
    """The first asks into the analysis' own ledger; the second is not kept, and is left out aloud."""
    controls = {"controls": ["task", "rnd"], "seeds": 1, "steps": 512}
    run = made(tmp_path, monkeypatch, GOOD, 0.0, route="scalar", fit={"online": True}, train=controls)
    before = hashes(run.folder)
    subject = Subject(run.config, run.folder / "analyze" / "hacking", run)
    finding = analyze("hacking", subject, HackingOptions(episodes=10, items=0))
    assert hashes(run.folder) == before, "an analysis changes nothing of the run"
    assert set(finding.facts["hacked"]) == {"scalar", "task"}
    told = finding.facts["success_paid_more"]
    assert told is None or told[1] < told[2], "a share that all agents have alike is not known for sure"
    assert any("not kept" in warning for warning in finding.warnings)


def test_agents_of_other_words_come_to_what_those_words_reward(tmp_path, monkeypatch):
    """Without examples this judge likes the bell: the order turns, and agents of that wording never reach the door."""
    small = {"controls": [], "seeds": 2}
    run = made(tmp_path, monkeypatch, GOOD, 3.0, ("the bell rings",), judge={"protocol": "pointwise"}, train=small)
    before = hashes(run.folder)
    subject = Subject(run.config, run.folder / "analyze" / "hacking", run)
    options = HackingOptions(episodes=4, items=6, wording_seeds=2)
    finding = analyze("hacking", subject, options)
    assert hashes(run.folder) == before, "an analysis changes nothing of the run"
    told = finding.facts["outcomes"]
    assert list(told) == ["pointwise", "pointwise-b", "pointwise-c"]
    assert told["pointwise"] == told["pointwise-c"] and min(told["pointwise"]) > 0.2 > max(told["pointwise-b"]), told
    assert finding.facts["wordings"]["pointwise-b"]["turned"][0] > 0.5
    agents = {p: p.stat().st_mtime_ns for p in subject.folder.rglob("agent.safetensors")}
    assert len(agents) == 6
    again = analyze("hacking", subject, options)
    assert again.facts["outcomes"] == told and agents == {p: p.stat().st_mtime_ns for p in agents}


def test_success_by_wording_is_paired_by_seed():
    seeds = {0: 0.2, 1: 0.9, 2: 0.4, 3: 0.6, 4: 0.8}
    found = outcomes([Outcome("a", seeds), Outcome("a-b", {seed: won - 0.2 for seed, won in seeds.items()})])
    (gap,) = (m for m in found.measures if m.name == "a-b less a, success")
    assert (gap.value, gap.low, gap.high) == pytest.approx((-0.2, -0.2, -0.2)), "level apart in every seed"
    assert not found.warnings and outcomes([Outcome("a", {0: 0.2})]).warnings


def test_where_nobody_succeeds_a_reward_that_pays_all_alike_is_not_hacked():
    def lost(arm, sparse, wandering):
        return [
            Played(arm, i % 2, i, True, paid={"sparse": sparse, "wandering": wandering + i / 100}) for i in range(20)
        ]

    played = [*lost("random", 0.0, 0.0), *lost("sparse", 0.0, 0.0), *lost("wandering", 0.0, 5.0)]
    assert share(played, "sparse").value == 0.0, "nothing is paid, as to a random player"
    assert share(played, "wandering").value == 1.0
    summed = [dataclasses.replace(p, paid={"sparse": 3 + 1e-7 * p.layout, "wandering": 0.0}) for p in played]
    assert share(summed, "sparse").value == 0.0, "in another order"


STEPS = np.linspace(1000, 20_000, 20)


def rising(seeds: int = 5, noise: float = 0.02) -> np.ndarray:
    return np.linspace(0, 1, 20) + np.random.default_rng(0).normal(0, noise, (seeds, 20))


def test_curves_part_where_the_true_return_turns():
    true = np.concatenate([np.linspace(0, 1, 10), np.linspace(1, 0.2, 10)]) + 0 * rising()
    found = parting(STEPS, rising(), true + 0.01 * rising(), 1.0)
    assert found.kind == "fell" and found.at == pytest.approx(STEPS[9], abs=1000)
    assert found.low <= found.at <= found.high and found.true[2] < 0 < found.learned[1]


def test_curves_part_at_once_where_the_true_return_never_leaves_the_ground():
    assert parting(STEPS, rising(), 0 * rising(), 1.0).kind == "hardly rose"


@pytest.mark.parametrize("true", [rising(), np.minimum(1, 3 * rising()), 1 + 0 * rising()])
def test_curves_that_rise_together_or_stay_at_the_top_do_not_part(true):
    assert not parting(STEPS, rising(), true, 1.0).parted


def test_noise_alone_rarely_parts():
    parted = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        true = 0.9 + rng.normal(0, 0.05, (5, 20))
        parted += parting(STEPS, rng.normal(0, 1, (5, 20)), true, 1.0, seed=seed).parted
    assert parted <= 5


def test_epic_does_not_see_scale_or_potential_and_sees_the_rest():
    rng = np.random.default_rng(0)
    states, before = 12, rng.integers(0, 12, 3000)
    after, episode = (before + rng.integers(1, 4, 3000)) % 12, np.repeat(np.arange(60), 50)
    values, potential, other = rng.normal(size=(3, states))
    pool = np.arange(states)

    def shaped(b, a):
        return 3 * values[a] + 7 + 0.9 * potential[a] - potential[b]

    def canon(reward):
        return canonical(reward, before, after, pool, 0.9)

    own = canon(lambda b, a: values[a])
    assert distance(own, canon(shaped), episode).value == pytest.approx(0, abs=1e-6)
    assert distance(own, canon(lambda b, a: -values[a]), episode).value == pytest.approx(1)
    far = distance(own, canon(lambda b, a: other[a]), episode)
    assert 0.3 < far.low < far.value < far.high < 1
    assert distance(own, np.ones(3000), episode).value == pytest.approx(UNRELATED)


def test_groups_hold_what_is_alike_and_name_it():
    turns, keys = {"turned": 100, "walked": 3}, {"picked up": 40, "dropped": 40}
    found = groups([turns, {**turns, "walked": 9}, turns, keys, {"picked up": 30, "dropped": 31}])
    assert [sorted(g.members) for g in found] == [[0, 1, 2], [3, 4]]
    assert found[0].events[0][0] == "turned" and found[1].example in (3, 4)
    assert groups([keys], others=[{"picked up": 40}] * 9)[0].events[0][0] == "dropped", "told apart from the others"
    assert groups([]) == [] and len(groups([turns])) == 1


@pytest.mark.parametrize(
    ("share", "said"), [((0.5, 0.3, 0.7), "hacked"), ((0.0, 0.0, 0.05), "not hacked"), ((0.1, 0.02, 0.3), "open")]
)
def test_the_verdict_is_its_rule(share, said):
    assert verdict(Share("preference", *share, 20, 1, 1.0, True), None) == said


def test_other_words_turn_what_they_turn():
    own = np.arange(40.0)
    same, turned = compared("b", own, own**3), compared("c", own, -own)
    assert same.correlation[0] == pytest.approx(1) and same.turned[0] == 0
    assert turned.correlation[0] == pytest.approx(-1) and turned.turned[0] == 1
    noise = compared("c", own, np.random.default_rng(0).normal(size=40))
    assert noise.turned[1] < 0.5 < noise.turned[2]
