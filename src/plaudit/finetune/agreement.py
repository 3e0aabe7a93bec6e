"""Do PyTorch, which taught the model, and llama.cpp, which will run it, say the same of the held-out examples?

    found = agreement(asked, exact, used, before)    # lessons; each engine's replies; the base's leads, where known
    found.doubts(), found.refused                    # what is out of tolerance; whether it is another model altogether

The yardstick is what teaching itself changed: an adapter that llama.cpp did not apply leaves the engines as far apart as
base and taught model are. Of an action, one of many, the right one's log-probability per token is compared: as teaching
measures it, and against the mean of the others in the same question. Leaves out what the engines write in their own words:
only choices between answers are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.errors import PlauditError
from plaudit.finetune import skill
from plaudit.finetune.lessons import Lesson
from plaudit.finetune.paired import mean_difference, of_two
from plaudit.llms.base import Reply

POINTS = 0.01
"""How far the engines' shares of right answers may be apart: more, by the whole 95% interval of their paired difference, is
told. Of 200 examples, teachings of the packaged model differed by 0.5 to 1.5 points, which chance explains."""
TOLD, REFUSED = 0.2, 0.5
"""How far the engines' leads may be apart, as a share of how far teaching moved them (both root mean squares): above the
first it is told, above the second the adapter is refused. Fifteen judges of the packaged model came to 0.02 to 0.07; an
adapter that is not applied comes to 1."""
ALIKE, UNLIKE = 0.98, 0.9
"""The same of the correlation of their log-odds: below the first it is told, below the second refused. The same judges
came to 0.997 and more; the leads of base and taught model to 0.4 and less. A policy of Wordle came to 0.03 and 0.999."""
ROUNDING = 0.5
"""Root mean square, nats, that rounding may come to by itself; where the engines are no farther apart, nothing is refused,
for teaching may have moved less than that."""
FEWEST = 8
"""Questions below which nothing is refused."""


@dataclass(frozen=True)
class Agreement:
    """Two engines on the same questions. What cannot be said is None."""

    rows: tuple[dict[str, Any], ...]
    """Of each question that both answered: the prompt, each engine's log-odds of its first answer against its second; of an
    action, the right one's log-probability per token less the mean of the others'."""
    failed: int
    """Questions that an engine failed to answer."""
    right: dict[str, float | None]
    """Share of the examples that each engine has right."""
    right_apart: tuple[float, float] | None
    """95% interval of llama.cpp's share less PyTorch's, paired."""
    apart_rms: float | None
    """By how much the log-odds differ, root mean square, nats."""
    correlation: float | None
    """Of the log-odds."""
    moved_share: float | None
    """How far the leads of the right answers are apart, as a share of how far teaching moved them."""

    def doubts(self) -> list[str]:
        """What is out of tolerance, in words."""
        found = []
        if not self.rows and not self.failed:
            found.append("there was no question that both could be asked, so it is not known whether they agree")
        if self.failed:
            found.append(f"{self.failed} of {self.failed + len(self.rows)} questions were not answered by both")
        if (ends := self.right_apart) and (ends[0] > POINTS or ends[1] < -POINTS):
            shares = [f"{share:.1%}" for share in self.right.values() if share is not None]
            found.append(f"PyTorch has {shares[0]} of the held-out examples right and llama.cpp {shares[1]}")
        if self.moved_share is not None and self.moved_share > TOLD:
            found.append(f"they are apart by {self.moved_share:.0%} of what teaching changed")
        if self.correlation is not None and self.correlation < ALIKE:
            found.append(f"their log-odds correlate by {self.correlation:.3f} only")
        return found

    @property
    def refused(self) -> bool:
        """Whether llama.cpp evidently runs something else than was taught."""
        share, alike = self.moved_share, self.correlation
        far = (share is not None and share > REFUSED) or (alike is not None and alike < UNLIKE)
        return far and len(self.rows) >= FEWEST and (self.apart_rms or 0.0) > ROUNDING

    def summary(self) -> dict[str, Any]:
        """What the stage records."""
        known = {"questions": len(self.rows), "right": self.right, "right_apart": self.right_apart}
        known |= {"apart_rms": self.apart_rms, "correlation": self.correlation, "moved_share": self.moved_share}
        return known | {"doubts": self.doubts()}


def agreement(
    asked: Sequence[Lesson], exact: Sequence[Reply], used: Sequence[Reply], before: Sequence[float | None]
) -> Agreement:
    """Compare PyTorch's replies (``exact``) with llama.cpp's to the lessons' questions, one after the other.

    ``before``: by how much each lesson's right answer led before teaching, None where that is not known.
    """
    questions = [(lesson, request) for lesson in asked for request in skill.requests(lesson)]
    rows = tuple(
        {"prompt": request.prompt, "pytorch": odds[0], "llama_cpp": odds[1], "apart": odds[1] - odds[0]}
        for (lesson, request), one, two in zip(questions, exact, used, strict=True)
        if one.status == two.status == "ok"
        for odds in ([_odds(lesson, reply) for reply in (one, two)],)
    )
    xs, ys = (np.array([row[name] for row in rows]) for name in ("pytorch", "llama_cpp"))
    told = [list(skill.read(asked, replies)) for replies in (exact, used)]
    both = [(lesson, *pair) for lesson, *pair in zip(asked, *told, strict=True) if None not in [t.right for t in pair]]
    changes = [float(two.right or 0) - float(one.right or 0) for _, one, two in both]
    return Agreement(
        rows,
        len(questions) - len(rows),
        dict(zip(("pytorch", "llama_cpp"), map(_share, told), strict=True)),
        mean_difference(changes, [_block(lesson) for lesson, *_ in both]) if both else None,
        _rms(ys - xs),
        float(np.corrcoef(xs, ys)[0, 1]) if len(rows) > 2 and xs.std() and ys.std() else None,
        _moved_share(before, *(leads(asked, replies) for replies in (exact, used))),
    )


def _block(lesson: Lesson) -> str:
    """Pairs that share either text are not independent."""
    return of_two(*lesson.prompts) if len(lesson.prompts) == 2 else lesson.prompts[0]


def _odds(lesson: Lesson, reply: Reply) -> float:
    if not lesson.choices:
        return reply.logprobs[0] - reply.logprobs[1]
    means, right = per_token(reply), lesson.choices.index(lesson.answers[0])
    return float(means[right] - np.delete(means, right).mean())


def per_token(reply: Reply) -> NDArray[np.float64]:
    """Of each answer, by which an acting model chooses."""
    return np.asarray(reply.logprobs, np.float64) / np.maximum(1, reply.lengths or 1)


def leads(asked: Sequence[Lesson], replies: Sequence[Reply]) -> list[float | None]:
    """By how much each right answer leads, as teaching measures it; None of what was not answered.

    Teaching knows an action's answer alone: its log-probability per token.
    """
    import torch

    from plaudit.finetune import losses

    left, found = iter(replies), list[float | None]()
    for lesson in asked:
        own = [next(left) for _ in lesson.prompts]
        if any(reply.status != "ok" for reply in own):
            found.append(None)
            continue
        if lesson.choices:
            found.append(float(per_token(own[0])[lesson.choices.index(lesson.answers[0])]))
            continue
        weights = torch.tensor([reply.logprobs for reply in own])
        if lesson.right is None:
            nearer, other = losses.score(weights)
            found.append(float(nearer - other))
        else:
            others = [i for i in range(weights.shape[1]) if i != lesson.right]
            found.append(float(weights[0, lesson.right] - weights[0, others].max()))
    return found


def _moved_share(
    before: Sequence[float | None], exact: Sequence[float | None], used: Sequence[float | None]
) -> float | None:
    known = np.array([each for each in zip(before, exact, used, strict=True) if None not in each], np.float64)
    moved = _rms(known[:, 1] - known[:, 0]) if len(known) else None
    return (_rms(known[:, 2] - known[:, 1]) or 0.0) / moved if moved else None


def _rms(values: Any) -> float | None:
    return float(np.sqrt((values**2).mean())) if len(values) else None


def _share(told: Sequence[skill.Told]) -> float | None:
    """Of the examples that were answered; None without any."""
    right = [each.right for each in told if each.right is not None]
    return float(np.mean(right)) if right else None


def refusal(found: Agreement, kept: str, instead: str) -> PlauditError:
    """What is said where llama.cpp runs something else than was taught."""
    return PlauditError(
        f"llama.cpp does not run what was taught: {'; '.join(found.doubts())}. No adapter was left for it; each question's "
        f"answers are in {kept}. Use the model in PyTorch, which taught it: {instead}"
    )
