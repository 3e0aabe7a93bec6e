"""Wordle: colours by hand and by brute force, both modes, three granularities, one game equals its copy in a vector."""

import dataclasses
import itertools

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from plaudit.envs import wordle_words as words
from plaudit.envs.base import World
from plaudit.envs.wordle import Wordle
from plaudit.envs.wordle_expert import Expert, information
from plaudit.envs.wordle_rules import COLOURS, WEIGHTS, Words, encode, feedback, load, split, words_on_file
from plaudit.envs.wordle_value import exact, of_position, sampled
from plaudit.envs.wordle_vector import WordleVector
from plaudit.errors import ConfigError
from plaudit.intervals import wilson
from plaudit.policies.random import RandomPolicy
from plaudit.rollout import run_episodes

FORMS = list(itertools.product(Wordle.choices["task"], Wordle.choices["actions"]))


def plain(guess: str, answer: str) -> list[int]:
    """Colours (0 grey, 1 yellow, 2 green) as one marks them by hand: first green, then yellow from the left."""
    left = [a for g, a in zip(guess, answer, strict=True) if g != a]
    colours = []
    for g, a in zip(guess, answer, strict=True):
        if g == a:
            colours.append(2)
        elif g in left:
            left.remove(g)
            colours.append(1)
        else:
            colours.append(0)
    return colours


@pytest.mark.parametrize(
    ("guess", "answer", "colours"),
    [
        ("speed", "abide", "00101"),  # one E in the word: the first of two is marked
        ("speed", "erase", "10110"),  # two E, neither in place
        ("speed", "steal", "20200"),  # an E in place takes the only one
        ("speed", "crepe", "01210"),
        ("allee", "apple", "21002"),  # the E at the end is in place, so the one before it is grey
        ("geese", "eerie", "02102"),
        ("llama", "label", "21100"),
        ("mamma", "maxim", "22100"),  # two M: one in place, one elsewhere, the third is grey
        ("eerie", "eerie", "22222"),
        ("abbey", "babes", "11220"),
        ("babes", "abbey", "11220"),
        ("quick", "fjord", "00000"),
    ],
)
def test_colours_by_hand(guess, answer, colours):
    pattern = feedback(encode([guess]), encode([answer]))[0, 0]
    assert "".join(map(str, COLOURS[pattern])) == colours
    assert "".join(map(str, plain(guess, answer))) == colours


def test_table_equals_brute_force():
    """Every guess that repeats a letter and many that do not, and all words over three letters."""
    vocabulary, rng = load(2223), np.random.default_rng(0)
    pairs = rng.integers(0, 2223, (30_000, 2))
    for g, a in pairs.tolist():
        assert COLOURS[vocabulary.table[g, a]].tolist() == plain(vocabulary.guesses[g], vocabulary.answers[a])
    made_up = ["".join(letters) for letters in itertools.product("abc", repeat=5)]
    table = feedback(encode(made_up), encode(made_up))
    for (g, guess), (a, answer) in itertools.product(enumerate(made_up), repeat=2):
        assert COLOURS[table[g, a]].tolist() == plain(guess, answer)


def test_words_are_words():
    answers, others = words_on_file()
    assert (len(answers), len(answers) + len(others)) == Wordle.choices["size"][-2:]
    assert len({*answers, *others}) == len(answers) + len(others)
    assert all(len(word) == 5 and word.isascii() and word.islower() for word in answers + others)


def test_held_out_words_are_held_out():
    train, test = split(100, held_out=0.2, seed=3)
    assert len(train) == 80 and len(test) == 20 and not set(train) & set(test)
    assert split(100, 0.2, 3) == (train, test) != split(100, 0.2, 4)
    envs = WordleVector(64, answers=test)
    envs.reset(seed=0)
    assert {envs.words.answers[i] for i in envs.get_state()["answer"].tolist()} <= set(test)
    assert len(envs.words.guesses) == 100
    with pytest.raises(ConfigError, match="not among"):
        Wordle(answers=["zzzzz"])


def act(world: World, obs, rng) -> int:
    if "action_mask" in obs and rng.random() < 0.9:
        return int(rng.choice(np.flatnonzero(obs["action_mask"])))
    return int(rng.integers(world.action_space.n))


@pytest.mark.parametrize(("task", "actions"), FORMS)
def test_one_game_equals_its_copy_in_a_vector(task, actions):
    copies, rng = 5, np.random.default_rng(1)
    vector = Wordle.vector(copies, task=task, actions=actions, description="board")
    singles = [Wordle(task=task, actions=actions) for _ in range(copies)]
    batch, _ = vector.reset(seed=40)
    observations = [world.reset(seed=40 + i)[0] for i, world in enumerate(singles)]
    ends = 0
    for _ in range(250):
        for i, one in enumerate(observations):
            assert set(one) == set(batch)
            for name, part in batch.items():
                np.testing.assert_array_equal(part[i], one[name])
        chosen = np.array([act(w, o, rng) for w, o in zip(singles, observations, strict=True)])
        batch, reward, terminated, truncated, infos = vector.step(chosen)
        for i, world in enumerate(singles):
            one, r, over, cut, info = world.step(chosen[i])
            assert (r, over, cut) == (reward[i], terminated[i], truncated[i])
            at = infos.get("final_info", infos) if over or cut else infos
            assert {k: pytest.approx(v) for k, v in info.items()} == {k: at[k][i] for k in info}
            if over or cut:
                ends += 1
                for name, part in infos["final_obs"].items():
                    np.testing.assert_array_equal(part[i], one[name])
                one, _ = world.reset()
            observations[i] = one
    assert ends > 5


@pytest.mark.parametrize(("task", "actions"), FORMS)
def test_gymnasium_accepts_the_world_and_every_action_has_its_word(task, actions):
    world = Wordle(task=task, actions=actions)
    check_env(world, skip_render_check=True)
    obs, _ = world.reset(seed=0)
    listed = world.actions(obs)
    assert listed and all(world.parse_action(word) is not None for word in listed)
    numbers = [world.parse_action(word) for word in listed]
    assert [world.action_word(number, listed) for number in numbers] == listed
    assert world.parse_action(f" '{listed[0].upper()}.' ") == numbers[0]
    assert world.parse_action("I do not know") is None
    assert world.picture(obs) is None and world.render().shape == (292, 244, 3)


@pytest.mark.parametrize(("task", "actions"), FORMS)
def test_state_goes_on_exactly(task, actions):
    first, second = (WordleVector(8, task, 100, actions) for _ in range(2))
    first.reset(seed=3)
    second.reset(seed=99)
    drawn = np.random.default_rng(0).integers(0, first.single_action_space.n, (120, 8))
    for row in drawn[:50]:
        first.step(row)
    second.set_state(first.get_state())
    for row in drawn[50:]:
        one, other = first.step(row), second.step(row)
        for name, part in one[0].items():
            np.testing.assert_array_equal(part, other[0][name])
        np.testing.assert_array_equal(one[1], other[1])


def game(answer: str, *guesses: str, task: str = "easy", actions: str = "word", size: int = 2223):
    """A world in which these guesses were made at this word, and what the last step gave."""
    world = Wordle(task=task, size=size, actions=actions, observation="board", answers=[answer])
    step = (world.reset(seed=0)[0],)
    for guess in guesses:
        for action in (guess,) if actions == "word" else guess:
            step = world.step(world.parse_action(action))
    return world, step


def test_knowledge_and_words_of_a_board_with_repeated_letters():
    world, (obs, reward, over, cut, info) = game("abide", "speed", "adage")
    assert (reward, over, cut, info["success"]) == (0.0, False, False, False)
    assert words.guesses(obs) == [("SPEED", (1, 1, 2, 1, 2)), ("ADAGE", (3, 2, 1, 1, 3))]
    facts = world.features(obs)
    assert (facts["pattern"], facts["known_elsewhere"], facts["known_absent"]) == ("A___E", "D", "GPS")
    assert obs["capped"][4] == 1 and obs["least"][4] == 1  # the second E of SPEED was grey
    assert info["progress"] == pytest.approx((2 + 3) / 10)
    assert world.describe(obs) == (
        "Pattern A _ _ _ E: 2 of 5 letters in place, 1 more known: D (not 2nd). Not in the word: G, P, S. "
        "4 of 6 guesses left. You guessed ADAGE: 2 in place, 1 in the word elsewhere."
    )
    assert words.describe(obs, "board").startswith("SPEED: S grey, P grey, E yellow, E grey, D yellow\nADAGE: A green")


def test_the_end_of_a_game():
    world, (obs, reward, over, cut, info) = game("abide", "speed", "abide")
    assert (reward, over, cut, info["success"], info["progress"]) == (1.0, True, False, True, 1.0)
    assert world.features(obs)["solved"] and "You found the hidden word, ABIDE." in world.describe(obs)
    world, (obs, reward, over, cut, info) = game("abide", *["speed"] * 6)
    assert (reward, over, cut, info["success"]) == (0.0, True, False, False)
    assert "no guess is left" in world.describe(obs)


def test_hard_mode_wants_the_clues_used():
    world, (obs, *_) = game("abide", "speed", task="hard")
    allowed = {word for word, may in zip(world.words.guesses, obs["action_mask"], strict=True) if may}
    assert allowed == {word for word in world.words.guesses if "e" in word and "d" in word}
    obs, _, over, _, _ = world.step(world.parse_action("crane"))
    assert world.event(obs).startswith("That word was refused") and obs["turn"] == 1 and not over
    obs, *_ = world.step(world.parse_action("adage"))  # A and E in place, a D elsewhere
    allowed = {word for word, may in zip(world.words.guesses, obs["action_mask"], strict=True) if may}
    assert allowed == {w for w in world.words.guesses if w[0] == "a" and w[4] == "e" and "d" in w}
    for _ in range(30):
        obs, _, over, cut, _ = world.step(world.parse_action("crane"))
        if over or cut:
            break
    assert cut and not over  # refused for ever: cut off by the clock


@pytest.mark.parametrize("task", ["easy", "hard"])
def test_the_mask_of_letters_leads_to_words_only(task):
    world, (obs, *_) = game("abide", "speed", task=task, actions="letter")
    allowed = [w for w in world.words.guesses if task == "easy" or ("e" in w and "d" in w)]
    for typed in ("", "a", "ad", "ada", "adag"):
        letters = {chr(ord("a") + i) for i in np.flatnonzero(obs["action_mask"])}
        assert letters == {w[len(typed)] for w in allowed if w.startswith(typed)}
        refused, *_ = world.step(world.parse_action("q" if typed else "x"))
        if "q" not in letters and typed:
            assert world.event(refused).startswith("That letter was refused") and words.typed(refused) == typed.upper()
        if not typed:
            world, (obs, *_) = game("abide", "speed", task=task, actions="letter")
        obs, *_ = world.step(world.parse_action("adage"[len(typed)]))
    assert obs["turn"] == 2 and words.typed(obs) == ""


def test_strategies_do_what_they_say():
    world = Wordle(size=2223, actions="strategy")
    expert = Expert(world.words)
    for seed in range(12):
        obs, _ = world.reset(seed=seed)
        for way in (words.TEST, words.TEST, words.FIT, words.FIT_NEW, words.VOWELS, words.REPEAT):
            before, fitting = obs, expert.position(obs).answers.tolist()
            obs, _, over, _, _ = world.step(way)
            word = words.last(obs)[0]
            new = {c for c in word if not before["least"][ord(c) - 65] and not before["capped"][ord(c) - 65]}
            if way in (words.FIT, words.FIT_NEW, words.REPEAT):
                assert word.lower() in {world.words.answers[i] for i in fitting}
            if way == words.TEST:
                assert len(new) == 5
            if over:
                break


def test_information_by_hand():
    """Four equally likely patterns tell two bits, one tells nothing; a half and two quarters tell one and a half."""
    table = np.array([[0, 1, 2, 3], [7, 7, 7, 7], [5, 5, 6, 242]], np.uint8)
    assert information(table).tolist() == pytest.approx([2.0, 0.0, 1.5])


def test_value_by_hand():
    """Three words that differ in one letter, and no others to guess."""
    expert = Expert(Words(("batch", "catch", "hatch"), ("batch", "catch", "hatch")))
    value = of_position(expert, expert.start())
    # BATCH shows the same for CATCH and HATCH (its one H is in place for both), so the games take 1, 2 and 3 guesses.
    assert (value.win, value.guesses, value.answers) == (1.0, pytest.approx((1 + 2 + 3) / 3), 3)
    pattern = int(expert.words.table[0, 2])
    two_left = expert.after(expert.start(), 0, pattern)
    assert of_position(expert, two_left).guesses == pytest.approx(1.5)
    last_try = dataclasses.replace(two_left, made=5)
    assert of_position(expert, last_try).win == pytest.approx(0.5)


@pytest.mark.parametrize("task", ["easy", "hard"])
def test_what_is_known_is_all_that_the_board_says(task):
    """Answers that agree with the knowledge are those that would have shown the same colours; so for hard mode's words."""
    world, rng = Wordle(task=task, size=500, observation="board"), np.random.default_rng(2)
    expert = world.expert()
    for seed in range(25):
        obs, _ = world.reset(seed=seed)
        position = expert.start()
        for _ in range(5):
            guess = int(rng.choice(np.flatnonzero(position.allowed)))
            obs, _, over, _, _ = world.step(guess)
            if over:
                break
            pattern = (np.array(words.guesses(obs)[-1][1]) - 1) @ WEIGHTS.astype(int)
            position = expert.after(position, guess, int(pattern))
            seen = expert.position(obs)
            assert seen.answers.tolist() == position.answers.tolist() and seen.made == position.made
            assert (seen.allowed == position.allowed).all()
            if task == "hard":
                assert (obs["action_mask"] == seen.allowed).all()


def test_value_of_a_state_sampled_and_exact_agree():
    world = Wordle(size=100)
    expert = world.expert()
    obs, _ = world.reset(seed=5)
    whole, some = exact(expert, obs), sampled(expert, obs, 300, seed=0)
    assert whole.answers == 100 and whole.win == 1.0 and whole.guesses < 2.6
    assert some.guesses_interval[0] < whole.guesses < some.guesses_interval[1]
    assert some.win_interval == pytest.approx(wilson(1.0, 300)) and some.win_interval[1] == pytest.approx(1.0)


@pytest.mark.parametrize(("task", "actions"), FORMS)
def test_the_expert_wins_and_chance_does_not(task, actions):
    envs, world = Wordle.vector(50, task=task, actions=actions), Wordle(task=task, actions=actions)
    played = run_episodes(envs, world.expert(), 0, 100)
    by_chance = run_episodes(envs, RandomPolicy(world.action_space, 0), 0, 100)
    assert all(episode.success for episode in played)
    # With 100 words chance alone wins often once the mask or the strategies do the thinking; its games are longer.
    wins, length = (np.mean([getattr(episode, name) for episode in by_chance]) for name in ("success", "length"))
    assert np.mean([episode.length for episode in played]) < length - 0.2
    assert wins < 0.3 or task == "hard" or actions == "strategy"


def test_expert_goes_on_where_somebody_else_began_to_type():
    world = Wordle(actions="letter")
    obs, _ = world.reset(seed=0)
    first = next(i for i in np.flatnonzero(obs["action_mask"]) if i != world.expert().act(stacked(obs))[0])
    obs, *_ = world.step(first)
    assert obs["action_mask"][world.expert().act(stacked(obs))[0]]


def stacked(obs):
    return {name: np.asarray(part)[None] for name, part in obs.items()}


def test_the_board_is_described_only_where_it_is_seen():
    with pytest.raises(ConfigError, match="observation board"):
        Wordle(description="board")


def test_an_action_outside_the_space_is_refused():
    with pytest.raises(ValueError, match="actions are 0 to 99"):
        WordleVector(2).step(np.array([0, 100]))
