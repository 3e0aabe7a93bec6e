"""plaudit play: a person at a keyboard, every policy, recordings that decode, and clear words for what is wrong."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image
from rich.console import Console

from plaudit import registry
from plaudit.cli import main
from plaudit.config import RunConfig, TrainConfig
from plaudit.envs.base import World
from plaudit.envs.gridworld import DoorKey
from plaudit.rollout import Step
from plaudit.routes.controls import Count
from plaudit.stages import play_actor
from plaudit.stages.film import Film
from plaudit.stages.play_screen import Screen, Shown, half_blocks
from plaudit.stages.train import train
from plaudit.store import Run


class Reach(World):
    """A point on a line that is to come to 1: continuous actions that cannot be listed, and no picture."""

    goal, rules = "come to 1", "Answer with one number between -1 and 1, which is added to where you are."

    def __init__(self):
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = np.zeros(1, np.float32)
        return self.at.copy(), {"success": False}

    def step(self, action):
        self.at = self.at + np.asarray(action, np.float32)
        success = bool(abs(self.at[0] - 1) < 0.1)
        return self.at.copy(), float(self.at[0]), success, False, {"success": success}

    def describe(self, obs):
        return f"You are at {obs[0]:.2f}."

    def parse_action(self, reply):
        return np.array([float(reply)], np.float32) if re.fullmatch(r"-?[01](\.\d+)?", reply.strip()) else None


@pytest.fixture
def play(capsys, monkeypatch):
    """Runs ``plaudit play`` with these lines typed; returns the exit code, what was printed, and the error."""
    monkeypatch.setitem(registry.KINDS["worlds"], "reach", registry.Entry("test_play:Reach"))

    def run(*words, typed=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = main(["play", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_person_plays_by_numbers_and_words(play):
    code, out, _ = play("doorkey", "--policy", "me", typed="3\nfly\n99\n?\n\nturn left\nq\n")
    assert code == 0 and "1 turn left   2 turn right   3 move forward" in out
    assert "step 1: move forward" in out and "step 2: turn left" in out and "step 3" not in out
    assert (
        "Not understood: 'fly'." in out and "numbered from 1 to 7" in out and DoorKey().rules in out.replace("\n", " ")
    )
    assert out.rstrip().endswith("episode 1: stopped after 2 steps, return 0")


def test_the_end_of_the_input_ends_it(play):
    code, out, _ = play("doorkey", "--policy", "me", "--episodes", "3", typed="3\n")
    assert code == 0 and out.count("played by me") == 1 and "stopped after 1 steps" in out


def test_without_a_terminal_a_random_policy_plays(play):
    code, out, _ = play("doorkey", "--max-steps", "3")
    assert code == 0 and "played by random" in out and "no success after 3 steps" in out
    assert play("doorkey", "--max-steps", "3")[1] == out, "the same seed gives the same episode"
    assert play("doorkey", "--max-steps", "3", "--seed", "5")[1] != out


def test_a_person_wins_in_a_continuous_world(play):
    code, out, _ = play("reach", "--policy", "me", typed="nonsense\n0.5\n0.45\n")
    assert code == 0 and "Type ? to see how an action is written" in out
    assert "You are at 0.50." in out and "success after 2 steps, return 1.45" in out
    assert play("reach", "--policy", "random", "--max-steps", "4")[0] == 0


def test_the_expert_plays_where_there_is_one(play):
    code, out, _ = play("doorkey", "--policy", "expert", "--episodes", "2")
    assert code == 0 and "2 episodes: 2 with success, mean return 0.9" in out
    code, _, err = play("reach", "--policy", "expert")
    assert code == 2 and "has no expert" in err


def test_many_actions_are_listed_when_asked_for():
    class Many(Reach):
        def actions(self, obs):
            return [f"word {i}" for i in range(300)]

    lines, answers = [], iter(["?", "q"])
    person = play_actor.Person(Many(), lambda question: next(answers), lines.append)
    with pytest.raises(play_actor.Quit):
        person.act(np.zeros((1, 1), np.float32))
    assert len(lines) == 1 and lines[0].endswith("and 100 more") and max(map(len, lines[0].splitlines())) <= 80


def test_the_llm_plays_and_what_it_said_is_shown(play):
    code, out, _ = play("doorkey", "--policy", "llm", "--max-steps", "2")
    said = re.findall(r"the LLM said: (.*)", out)
    assert code == 0 and len(said) == 2
    scores = [float(part.rsplit(" ", 1)[1]) for part in said[0].split(", ")]
    assert len(scores) == 7 and scores == sorted(scores, reverse=True)
    assert f"step 1: {said[0].partition(' -')[0]} |" in out


def test_a_written_reply_is_shown_as_it_is():
    assert play_actor.best_first("I would go left, I think") == "I would go left, I think"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a control with an agent that has hardly learnt."""
    values = {"steps": 512, "num_envs": 8, "horizon": 32, "seeds": 1, "workers": 1, "controls": ()}
    config = RunConfig(route="count", train=TrainConfig(**values))
    run = Run.create(tmp_path_factory.mktemp("runs") / "r", config)
    train(run)
    return run.folder


def test_a_run_and_an_agent_play(play, trained):
    whole, agent = play(trained, "--max-steps", "3"), play(trained / "train" / "count-0", "--max-steps", "3")
    named = play("doorkey", "--policy", trained, "--max-steps", "3")
    assert whole[0] == agent[0] == named[0] == 0
    assert re.findall(r"step .*", whole[1]) == re.findall(r"step .*", agent[1]) == re.findall(r"step .*", named[1])


def test_what_is_of_another_world_or_makes_no_reward_is_refused(play, trained):
    assert "was made in the world 'doorkey', and this is 'reach'" in play("reach", "--policy", trained)[2]
    assert "makes no reward: its route is 'count'" in play("doorkey", "--reward", trained)[2]


def test_a_fitted_reward_is_shown_beside(play, trained, monkeypatch):
    class Steps:
        of = "transition"

        def __call__(self, transitions):
            moved = transitions.observations["event"] != transitions.previous["event"]
            return np.where(moved, 2.0, -1.0).astype(np.float32)

    monkeypatch.setattr(Count, "makes_reward", True)
    monkeypatch.setattr(Count, "reward", lambda self, run, world: (Steps(), None))
    _, out, _ = play("doorkey", "--reward", trained, "--policy", "expert", "--max-steps", "2")
    assert re.findall(r"reward model (.*)", out) == ["none, sum 0", "+2.000, sum 2", "-1.000, sum 1"]


def test_a_gif_has_every_step(play, tmp_path):
    code, out, _ = play("doorkey", "--policy", "expert", "--episodes", "2", "--record", tmp_path / "new" / "a.gif")
    steps = out.count("\nstep ") + out.startswith("step ")
    assert code == 0 and f"{steps} pictures: {tmp_path / 'new' / 'a.gif'}" in out.replace("\n", "")
    with Image.open(tmp_path / "new" / "a.gif") as gif:
        assert gif.n_frames == steps and gif.size == (384, 432)
        assert gif.info["duration"] == round(100 / DoorKey.metadata["render_fps"]) * 10
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.gif"]


def test_an_mp4_has_every_step(play, tmp_path):
    imageio = pytest.importorskip("imageio.v2")
    code, _, _ = play("doorkey", "--world.size", "5", "--max-steps", "6", "--record", tmp_path / "a.mp4")
    with imageio.get_reader(tmp_path / "a.mp4") as film:
        assert code == 0 and sum(1 for _ in film) == 7
        width, height = film.get_meta_data()["size"]
        assert width % 2 == height % 2 == 0 and film.get_meta_data()["fps"] == DoorKey.metadata["render_fps"]


def test_a_world_without_pictures_is_filmed_as_text(play, tmp_path):
    code, _, _ = play("reach", "--policy", "me", "--record", tmp_path / "a.gif", typed="0.3\n0.3\nq\n")
    with Image.open(tmp_path / "a.gif") as gif:
        assert code == 0 and gif.n_frames == 3 and np.ptp(np.asarray(gif.convert("L"))) > 100


def test_odd_and_changing_sizes_are_made_even_and_alike(tmp_path):
    film = Film(tmp_path / "a.gif", 50)
    for side in (361, 401):
        film.add(np.full((side, side, 3), 200, np.uint8), "", [f"{side}"])
    film.write()
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 2 and gif.size[0] % 2 == gif.size[1] % 2 == 0 and gif.info["duration"] == 20


def test_an_mp4_without_its_package_names_the_extra(play, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    code, out, err = play("doorkey", "--record", tmp_path / "a.mp4")
    assert code == 3 and "plaudit[record]" in err and not out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("doorkey", "--policy", "exprt"), "Did you mean 'expert'"),
        (("doorkey", "--policy", "."), "belongs to no run"),
        (("doorkey", "--reward", "nowhere"), "belongs to no run"),
        (("nowhere/r",), "plaudit run doorkey --out nowhere/r"),
        (("dorkey",), "Did you mean 'doorkey'"),
        (("doorkey", "--record", "a.avi"), "episode.gif"),
        (("doorkey", "--delay", "x"), "--delay takes a number"),
        (("doorkey", "--episodes", "0"), "--episodes must be at least 1"),
        (("doorkey", "--max-steps", "1.5"), "--max-steps takes a whole number"),
        (("doorkey", "--out", "x"), "--record FILE.gif"),
        (("doorkey", "--policy", "llm", "--policy.examples", "2"), "examples come from the episodes of a run"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(play, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = play(*words)
    assert code == 2 and says in err and len(err.strip().splitlines()) == 1 and "step" not in out
    assert not list(Path().iterdir())


def test_a_screen_fits_eighty_columns():
    frame = np.zeros((100, 300, 3), np.uint8)
    frame[:50], frame[50:] = (255, 0, 0), (0, 0, 255)
    shown = Shown(Step(1, "go", "word " * 60, None, 0.5, False, frame), 0.5, 1.25, 1.25, ["the LLM said: yes"])
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=100, height=40)
    Screen(console, "title", fitted=True).show(shown)
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in file.getvalue().splitlines()]
    assert max(map(len, plain)) <= 80 and len(plain) < 40
    assert "reward model +1.250, sum 1.25" in plain and "38;2;255;0;0" in file.getvalue() and "▀" in plain[0]


def test_half_blocks_hold_two_pixels_each():
    text = half_blocks(np.array([[[255, 0, 0]], [[0, 255, 0]]], np.uint8), width=1, rows=1)
    style = text.spans[0].style
    assert text.plain == "▀" and (style.color.name, style.bgcolor.name) == ("#ff0000", "#00ff00")
