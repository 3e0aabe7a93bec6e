"""Checks of what a world says: its goal and rules, descriptions, features, and actions in words."""

from __future__ import annotations

import copy
import math
from typing import Any

from plaudit.envs.base import World
from plaudit.envs.check_subject import Check, Fault, Skip, Subject, same

NONSENSE = "xyzzy plugh, I would rather not"
"""A reply that names no action of any world."""
UNLISTED = "actions cannot be listed: --route llm needs --policy.action generate; nonsense is refused"
CHARACTERS = 3.5
"""Of a token of English text, about."""


def says(subject: Subject) -> str:
    """Goal and rules are there."""
    for name in ("goal", "rules"):
        text = getattr(subject.world, name, None)
        if not isinstance(text, str) or not text.strip():
            raise Fault(f'the {name} is {text!r}; the LLM is told it. Add a line to the class: {name} = "..."')
    return f"the goal is to {subject.world.goal}"


def describes(subject: Subject) -> str:
    """Every description is a text that fits into the model's context."""
    longest = 0
    for observation in subject.observations:
        text = subject.world.describe(observation)
        if not isinstance(text, str) or not text.strip():
            raise Fault(f"describe gave {text!r}; it must give a text for every observation.")
        longest = max(longest, math.ceil(len(text) / CHARACTERS))
        if longest > subject.context:
            raise Fault(
                f"a description has about {longest:,} tokens, and the model's context holds {subject.context:,}: its "
                "middle would be left out. Say less, or give the model more: --llm.context"
            )
    return f"{len(subject.observations)} observations described, at most about {longest} tokens"


def steady(subject: Subject) -> str:
    """A description depends on the observation alone."""
    other = subject.new()
    for observation in subject.observations:
        before = copy.deepcopy(observation)
        texts = [subject.world.describe(observation), subject.world.describe(observation), _told(other, observation)]
        if not same(before, observation):
            raise Fault("describe changes the observation that it is given. Work on a copy.")
        if len(set(texts)) > 1:
            raise Fault(
                "the same observation is described in different ways by two calls or two copies. Take all that is said "
                "from the observation, nothing from self or chance; what is missing there belongs into the observation."
            )
    return "the same observation is always described alike, by any copy"


def _told(other: World, observation: Any) -> str:
    """What a copy says that has seen no episode, and so can know nothing but the observation."""
    try:
        return other.describe(observation)
    except Exception as error:
        raise Fault(
            f"describe fails in a copy that has not begun an episode ({type(error).__name__}: {error}). Take all that is "
            "said from the observation, nothing from self; what is missing there belongs into the observation."
        ) from error


def distinct(subject: Subject) -> str:
    """What looks different reads different."""
    seen = len(subject.observations)
    texts = len({subject.world.describe(observation) for observation in subject.observations})
    if seen < 2:
        raise Skip("random steps met only one observation")
    if texts == 1:
        raise Fault(f"all {seen} distinct observations have the same description. Say in describe what differs.")
    return f"{texts} descriptions of {seen} distinct observations"


def events(subject: Subject) -> str:
    """``event`` gives a text."""
    found = [subject.world.event(observation) for observation in subject.observations]
    if wrong := [event for event in found if not isinstance(event, str)]:
        raise Fault(f"event gave {wrong[0]!r}; it must give a text. Leave it out, and the description takes its place.")
    return f"{len(set(found))} events"


def featured(subject: Subject) -> str:
    """``features`` gives the same names each time, with plain values."""
    if type(subject.world).features is World.features:
        raise Skip("the world has no features(): the route 'code' needs them, the others do not")
    names: set[str] | None = None
    for observation in subject.observations:
        facts = subject.world.features(observation)
        if not isinstance(facts, dict) or not facts:
            raise Fault(f"features gave {facts!r}; it must give a dictionary of names and values.")
        for name, value in facts.items():
            if type(value) not in (bool, int, float, str):
                kind = f"{type(value).__module__}.{type(value).__name__}"
                raise Fault(f"the feature {name!r} is of type {kind}; take bool(), int(), float() or str() of it.")
            if isinstance(value, float) and not math.isfinite(value):
                raise Fault(f"the feature {name!r} is {value}; give a finite number, such as -1 for unknown.")
        if names is not None and names != facts.keys():
            raise Fault(f"features are there at times only: {sorted(names ^ facts.keys())}. Give every name each time.")
        names = set(facts)
    return f"{len(names or ())} features"


def worded(subject: Subject) -> str:
    """Listed actions can be read back, and what names none is refused."""
    world, count = subject.world, 0
    for observation in subject.observations:
        listed = world.actions(observation)
        for word in listed or ():
            action = world.parse_action(word)
            if action is None or not world.action_space.contains(action):
                raise Fault(f"actions lists {word!r}, but parse_action makes {action!r} of it. Read every listed word.")
            if (named := world.action_word(action, listed)) != word:
                raise Fault(f"{word!r} and {named!r} are read as the same action. List each action once.")
        count = max(count, len(listed or ()))
    if (guess := world.parse_action(NONSENSE)) is not None:
        raise Fault(f"parse_action makes {guess!r} of {NONSENSE!r}. Give None for what names no action: never a guess.")
    return f"{count} listed actions are read back" if count else UNLISTED


def pictured(subject: Subject) -> str:
    """``picture`` gives an image, where it gives one."""
    picture: Any = subject.world.picture(subject.observations[0])
    if picture is None:
        raise Skip("picture() gives none: models that see need one")
    if getattr(picture, "ndim", 0) != 3 or picture.shape[2] != 3 or str(picture.dtype) != "uint8":
        raise Fault("picture must give (height, width, 3) uint8.")
    return f"pictures of {picture.shape[0]} x {picture.shape[1]}"


WORD_CHECKS = {
    "says": Check(says, ("made",)),
    "describes": Check(describes, ("ends",)),
    "steady": Check(steady, ("describes",)),
    "distinct": Check(distinct, ("describes", "steady")),
    "events": Check(events, ("describes",)),
    "features": Check(featured, ("ends",)),
    "words": Check(worded, ("ends",)),
    "picture": Check(pictured, ("ends",)),
}
