"""Builds the Wordle world's list of words, ``src/plaudit/envs/wordle_list.txt``, from SCOWL (Debian package ``scowl``).

    apt-get download scowl && dpkg -x scowl_*.deb scowl
    python scripts/wordle_words.py scowl/usr/share/dict/scowl

All lower-case words of five letters of SCOWL's levels 10 to 70, without the higher levels, whose UKACD part has a condition
of its own. First the words that may be answers, then those that may only be guessed; each block by level (the lower,
the commoner) and within a level in an order by hash, so that the first n words are a fair sample of the commonest.
An answer is of level 10 to 40 and no other word with -s, -d or -ed behind it.
"""

from __future__ import annotations

import argparse
import codecs
from hashlib import sha256
from pathlib import Path

LEVELS = (10, 20, 35, 40, 50, 55, 60, 70)
ANSWER_LEVEL = 40
UNWANTED = frozenset(
    codecs.decode(
        "ovgpu qlxrf sntbg shpxf tbbxf ubaxl xvxrf arteb avttn encrf encrq fyhgf fcvpf juber phagf chffl "
        "qnexl ubzbf pbbaf qntbf cravf frzra gvggl obbof fuvgf jnaxf ylapu",
        "rot13",
    ).split()
)
"""Left out altogether, written so that nobody has to read them."""
HERE = Path(__file__).parent.parent / "src" / "plaudit" / "envs" / "wordle_list.txt"


def read(folder: Path, level: int) -> set[str]:
    """Lower-case words of one level, of any length up to five."""
    lines = [
        line
        for kind in ("english", "american")
        if (path := folder / f"{kind}-words.{level}").exists()
        for line in path.read_text(encoding="latin-1").split()
    ]
    return {word for word in lines if word.isascii() and word.isalpha() and word.islower() and len(word) <= 5}


def build(folder: Path) -> tuple[list[str], list[str]]:
    """Answers, and the other words, each in order."""
    known: dict[str, int] = {}
    for level in LEVELS:
        for word in read(folder, level):
            known.setdefault(word, level)
    five = sorted((w for w in known if len(w) == 5), key=lambda w: (known[w], sha256(w.encode()).digest()))

    def inflected(word: str) -> bool:
        return any(word.endswith(end) and word[: -len(end)] in known for end in ("s", "d", "ed"))

    answers = [w for w in five if known[w] <= ANSWER_LEVEL and not inflected(w) and w not in UNWANTED]
    rest = set(answers)
    return answers, [w for w in five if w not in rest and w not in UNWANTED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="SCOWL's lists, .../dict/scowl")
    answers, others = build(parser.parse_args().folder)
    HERE.write_text("\n".join([*answers, "", *others]) + "\n", encoding="ascii")
    print(f"{len(answers)} answers, {len(others)} other words, {len(answers) + len(others)} in all: {HERE}")


if __name__ == "__main__":
    main()
