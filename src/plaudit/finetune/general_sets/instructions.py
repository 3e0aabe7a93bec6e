"""Instructions whose keeping a program can check: format, not truth, so that a small model has something to lose.

A check sees the generated text alone. ``CHECKS`` names them; each has its wording below, and subjects of everyday life.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from plaudit.finetune.items import Instruction

SUBJECTS = (
    "dogs", "rain", "bread", "the sea", "music", "trees", "bicycles", "winter",
    "the moon", "tea", "books", "horses", "a garden", "trains", "friendship", "the kitchen",
)  # fmt: skip
THINGS = (
    "animals", "fruits", "colours", "countries", "tools", "vegetables", "sports", "cities",
    "flowers", "drinks", "musical instruments", "kinds of furniture", "jobs", "birds", "school subjects", "vehicles",
)  # fmt: skip
WORDS = (
    "river", "candle", "purple", "window", "tomorrow", "garden", "seven", "silver",
    "mountain", "letter", "orange", "bridge", "summer", "doctor", "pencil", "island",
)  # fmt: skip
SENTENCES = (
    "The cat sleeps on the roof.", "My brother has two red bicycles.", "We will meet at the station at noon.",
    "Nobody knows where the key is.", "Fresh bread smells wonderful.", "The old bridge was closed last year.",
    "Please bring an umbrella tomorrow.", "She painted the door green.", "There are seven eggs in the basket.",
    "The train to Oslo leaves at nine.", "His hat flew into the lake.", "Snow covered the whole village.",
    "The teacher opened the window.", "I have never seen a blue horse.", "The soup needs a little salt.",
    "Children love to play in the park.",
)  # fmt: skip
QUESTIONS = (
    "What is the capital of France?", "What colour is snow?", "Which animal barks?", "What do bees make?",
    "What is the opposite of hot?", "Which day comes after Monday?", "What do we breathe?", "Which season is the coldest?",
    "What do you use to cut bread?", "Who teaches children at school?", "What falls from the clouds?",
    "Which star warms the Earth?", "What is frozen water called?", "Which animal gives us wool?",
    "What do you open a lock with?", "Which meal do we eat in the morning?",
)  # fmt: skip
COUNTS = (
    "How many legs does a dog have?", "How many days are in a week?", "How many months are in a year?",
    "How many wheels does a bicycle have?", "What is two plus three?", "How many minutes are in an hour?",
    "How many fingers are on one hand?", "How many eyes does a person have?", "What is ten minus four?",
    "How many hours are in a day?", "How many legs does a spider have?", "How many sides does a triangle have?",
    "What is five times two?", "How many letters are in the word cat?", "How many seasons are in a year?",
    "How many wheels does a car have?",
)  # fmt: skip
YES_NO = (
    "Is fire hot?", "Can fish swim?", "Is the sky green at noon?", "Do cows lay eggs?", "Is gold a metal?",
    "Can a stone walk?", "Is Paris in France?", "Do birds have wings?", "Is ice warm?", "Can dogs read?",
    "Is July a month?", "Do trees have roots?", "Is the sun cold?", "Can a plane fly?", "Is milk black?", "Do cats bark?",
)  # fmt: skip
FOREIGN = {
    "French": "le la les un une des est et de du dans il elle je nous vous sont pour que qui en à l d c",
    "Spanish": "el la los las un una es y de del en que por para con se su son muy mi al lo",
    "German": "der die das ein eine ist und in den dem zu mit von ich wir sie sind auf für im es nicht",
}


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text)


def _one_word(text: str, wanted: str) -> bool:
    return len(_words(text)) == 1


def _capitals(text: str, wanted: str) -> bool:
    return len(_words(text)) >= 3 and text == text.upper() and text != text.lower()


def _repeat(text: str, wanted: str) -> bool:
    return text.strip().strip("\"'").strip() == wanted


def _commas(text: str, wanted: str) -> bool:
    parts = [part.strip(" .") for part in text.strip().split(",")]
    return len(parts) == 3 and all(0 < len(_words(part)) <= 4 for part in parts)


def _dashes(text: str, wanted: str) -> bool:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return len(lines) == 3 and all(re.match(r"\s*[-*•–]\s*\w", line) for line in lines)


def _yes_no(text: str, wanted: str) -> bool:
    return text.strip().rstrip(".!").lower() in ("yes", "no")


def _digits(text: str, wanted: str) -> bool:
    return re.fullmatch(r"\d+\.?", text.strip()) is not None


def _begins(text: str, wanted: str) -> bool:
    return _words(text)[:1] == [wanted]


def _ends(text: str, wanted: str) -> bool:
    return [word.lower() for word in _words(text)[-1:]] == [wanted]


def _includes(text: str, wanted: str) -> bool:
    return wanted in (word.lower() for word in _words(text))


def _short(text: str, wanted: str) -> bool:
    return 0 < len(_words(text)) <= 10


def _quoted(text: str, wanted: str) -> bool:
    return re.fullmatch(r'["“][^"“”]+["”]', text.strip()) is not None


def _language(text: str, wanted: str) -> bool:
    words = [word.lower() for word in re.split(r"[^\w]+", text) if word]
    return len(words) >= 3 and sum(word in FOREIGN[wanted].split() for word in words) >= len(words) / 5


def _json(text: str, wanted: str) -> bool:
    try:
        value = json.loads(text.strip().removeprefix("```json").removesuffix("```"))
    except ValueError:
        return False
    return isinstance(value, dict) and list(value) == [wanted]


CHECKS: dict[str, Callable[[str, str], bool]] = {
    "one word": _one_word,
    "capitals": _capitals,
    "repeat": _repeat,
    "three with commas": _commas,
    "three with dashes": _dashes,
    "yes or no": _yes_no,
    "digits": _digits,
    "begins with": _begins,
    "ends with": _ends,
    "includes": _includes,
    "ten words": _short,
    "quoted": _quoted,
    "language": _language,
    "json": _json,
}
"""Name of a kind -> whether a text keeps it, given what is wanted."""


def kept(instruction: Instruction, text: str) -> bool:
    """Whether the text is as it was asked for."""
    return CHECKS[instruction.kind](text, instruction.wanted)


EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "one word": (
        ("Answer with one word only. What do cows drink?", "Water"),
        ("Answer with one word only. Where do pilots work?", "Planes"),
    ),
    "capitals": (
        ("Write one short sentence about snow. Write everything IN CAPITAL LETTERS.", "SNOW COVERS THE FIELDS."),
        ("Write one short sentence about shoes. Write everything IN CAPITAL LETTERS.", "MY NEW SHOES ARE BLACK."),
    ),
    "repeat": (
        ("Repeat this sentence exactly, and write nothing else: The boy found a coin.", "The boy found a coin."),
        ("Repeat this sentence exactly, and write nothing else: Lunch is at one.", "Lunch is at one."),
    ),
    "three with commas": (
        ("Name three metals, in one line, separated by commas. Write nothing else.", "iron, gold, tin"),
        ("Name three rooms, in one line, separated by commas. Write nothing else.", "hall, attic, cellar"),
    ),
    "three with dashes": (
        ("Name three metals as a list. Begin each line with a dash.", "- iron\n- gold\n- tin"),
        ("Name three rooms as a list. Begin each line with a dash.", "- hall\n- attic\n- cellar"),
    ),
    "yes or no": (
        ("Answer only Yes or No. Is snow white?", "Yes"),
        ("Answer only Yes or No. Can a table talk?", "No"),
    ),
    "digits": (
        ("How many wings does a bird have? Answer with digits only.", "2"),
        ("What is eight plus one? Answer with digits only.", "9"),
    ),
    "begins with": (
        ('Write a sentence about snow that begins with the word "Outside".', "Outside, the snow is deep."),
        ('Write a sentence about shoes that begins with the word "Perhaps".', "Perhaps the shoes are too small."),
    ),
    "ends with": (
        ('Write a sentence about snow that ends with the word "roof".', "The snow lies on the roof."),
        ('Write a sentence about shoes that ends with the word "door".', "His shoes stand by the door."),
    ),
    "includes": (
        ('Write a sentence about snow that has the word "roof" in it.', "Snow slid off the roof at night."),
        ('Write a sentence about shoes that has the word "door" in it.', "Leave your shoes at the door."),
    ),
    "ten words": (
        ("Describe snow in at most ten words.", "White, cold and quiet."),
        ("Describe shoes in at most ten words.", "They keep our feet dry and warm."),
    ),
    "quoted": (
        ("Write a short sentence about snow and put it in double quotation marks.", '"The snow is melting."'),
        ("Write a short sentence about shoes and put it in double quotation marks.", '"Her shoes are new."'),
    ),
    "language": (
        ("Write one short sentence about snow in French.", "La neige est blanche."),
        ("Write one short sentence about shoes in Spanish.", "Los zapatos son negros."),
        ("Write one short sentence about milk in German.", "Die Milch ist kalt."),
    ),
    "json": (
        ('Name one of the metals as a JSON object with the only key "name".', '{"name": "iron"}'),
        ('Name one of the rooms as a JSON object with the only key "name".', '{"name": "cellar"}'),
    ),
}
"""Of each kind some that are done: without them the embedded model keeps next to nothing."""


def instructions() -> tuple[Instruction, ...]:
    """Sixteen of each kind."""
    return tuple(_all())


def _all() -> Iterator[Instruction]:
    openings = ("Surely", "Well", "Today", "Sometimes")
    languages = tuple(FOREIGN)
    for i, (subject, things, word) in enumerate(zip(SUBJECTS, THINGS, WORDS, strict=True)):
        opening, language = openings[i % 4], languages[i % 3]
        yield _asked("one word", f"Answer with one word only. {QUESTIONS[i]}")
        yield _asked("capitals", f"Write one short sentence about {subject}. Write everything IN CAPITAL LETTERS.")
        yield _asked("repeat", f"Repeat this sentence exactly, and write nothing else: {SENTENCES[i]}", SENTENCES[i])
        yield _asked("three with commas", f"Name three {things}, in one line, separated by commas. Write nothing else.")
        yield _asked("three with dashes", f"Name three {things} as a list. Begin each line with a dash.")
        yield _asked("yes or no", f"Answer only Yes or No. {YES_NO[i]}")
        yield _asked("digits", f"{COUNTS[i]} Answer with digits only.")
        yield _asked("begins with", f'Write a sentence about {subject} that begins with the word "{opening}".', opening)
        yield _asked("ends with", f'Write a sentence about {subject} that ends with the word "{word}".', word)
        yield _asked("includes", f'Write a sentence about {subject} that has the word "{word}" in it.', word)
        yield _asked("ten words", f"Describe {subject} in at most ten words.")
        yield _asked("quoted", f"Write a short sentence about {subject} and put it in double quotation marks.")
        yield _asked("language", f"Write one short sentence about {subject} in {language}.", language)
        yield _asked("json", f'Name one of the {things} as a JSON object with the only key "name".', "name")


def _asked(kind: str, told: str, wanted: str = "") -> Instruction:
    done = "".join(f"Instruction: {example}\nAnswer: {answer}\n\n" for example, answer in EXAMPLES[kind])
    return Instruction(kind, f"{done}Instruction: {told}\nAnswer:", wanted)
