"""What the page of ``analyze hacking`` shows: dots of episodes, the two curves, and episodes frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from plaudit.analysis.parting import Parting
from plaudit.analyze.base import Film
from plaudit.analyze.hacking_episodes import Played, again
from plaudit.analyze.hacking_looks import Curves
from plaudit.envs.base import World
from plaudit.report import episodes, plots
from plaudit.report.canvas import Canvas, padded, short, ticks
from plaudit.report.tables import Rows
from plaudit.report.words import label, number, slots
from plaudit.stages.evaluate import png

STEPS = 250
"""Steps of an episode that are shown, at most."""


def scatter(played: list[Played], arm: str, high: float) -> Markup:
    """Every fresh episode: true return to the right, what the run's reward paid upward; colours are the arms'."""
    fresh, colours = [p for p in played if p.fresh], slots(list(dict.fromkeys(p.arm for p in played)))
    canvas = Canvas(padded([p.true for p in fresh]), padded([*(p.paid[arm] for p in fresh), high]))
    canvas.axes(ticks(*canvas.x), ticks(*canvas.y, 4), short, short)
    canvas.path([*canvas.x], [high, high], "floor")
    jitter = np.random.default_rng(0).uniform(-0.012, 0.012, len(fresh)) * (canvas.x[1] - canvas.x[0])
    for name, slot in colours.items():
        dots = "".join(
            f"M{canvas.px(p.true + j):.1f} {canvas.py(p.paid[arm]):.1f}h0"
            for p, j in zip(fresh, jitter, strict=True)
            if p.arm == name
        )
        if dots:
            canvas.parts.append(f'<path class="dots c{slot}" d="{dots}"><title>{label(name)}</title></path>')
    return canvas.svg(f"True return and reward of {len(fresh)} episodes; the line is what success is paid")


def parting_plot(curves: Curves, part: Parting, scale: float) -> Markup:
    """Both returns over training, each from its least to its greatest; ``scale``: how far the true one could rise, which a
    rise that counts for none is drawn against."""
    canvas = Canvas((0, float(curves.steps[-1])), (0, 1))
    canvas.axes(ticks(*canvas.x, 4), [0, 0.5, 1], short, lambda y: "least" if y == 0 else "most" if y == 1 else "")
    least = scale if part.kind == "hardly rose" else 0.0
    for values, css, span in ((curves.true, "line c1", least), (curves.learned, "line c0", 0.0)):
        mean = values.mean(axis=0)
        canvas.path(curves.steps.tolist(), ((mean - mean.min()) / (max(np.ptp(mean), span) or 1)).tolist(), css)
    canvas.path([part.at, part.at], [0, 1], "axis")
    for slot, name, y in ((0, "learned return", 14), (1, "true return", 30)):
        canvas.parts.append(
            f'<path class="line c{slot}" d="M{canvas.left + 12} {canvas.top + y}h28"/>'
            f'<text class="x last" x="{canvas.left + 148}" y="{canvas.top + y}" dy=".35em">{name}</text>'
        )
    return canvas.svg(f"Learned and true return over training: {part.kind}")


def films(world: World, chosen: list[Played], arm: str, hacked: bool) -> tuple[list[Film], dict[str, Any], list[str]]:
    """These episodes once more, with pictures; those that do not go as before are left out, and that is said."""
    player, made, unlike = episodes.Player(), list[Film](), 0
    span = padded([r for p in chosen for r in p.rewards[:STEPS]])
    for one in chosen:
        steps, same = again(world, one, STEPS)
        if not same:
            unlike += 1
            continue
        paid = [None, *one.rewards[: len(steps) - 1]]
        rows: Rows = [
            {"step": s.step, "action": s.action, "text": s.text, "reward": r}
            | {"frame": None if s.frame is None else png(s.frame)}
            for s, r in zip(steps, paid, strict=True)
        ]
        made.append(_film(one, arm, hacked, episodes.beginning(rows), span, player))
    said = f"{unlike} of {len(chosen)} chosen episodes went otherwise when played again, and are not shown"
    return made, player.data(), [said] if unlike else []


def _film(one: Played, arm: str, hacked: bool, rows: Rows, span: tuple[float, float], player: episodes.Player) -> Film:
    pictures, frames = episodes.addresses(rows)
    player.add(rows, frames)
    rewards = [row["reward"] for row in rows]
    last = max((i for i, frame in enumerate(frames) if frame), default=-1)
    kind = "hacked" if hacked else "solved" if one.success else "not solved"
    steps = f"{len(one.actions):,} steps" + (
        f", the first {rows[-1]['step']:,} shown" * (len(one.actions) >= len(rows))
    )
    return Film(
        title=f"{label(one.arm)}, agent {one.seed}, layout {one.layout}: {kind}",
        note=f"reward {number(one.paid[arm])}, true return {number(one.true)}, {steps}",
        plot=plots.reward_line(
            rewards, span, None, last + 1, slots([one.arm])[one.arm],
            plots.describe("Reward paid along the episode", [r for r in rewards if r is not None]),
        ),
        stills=episodes.stills(rows, frames),
        width=episodes.shown_width(pictures),
        shown=rows[-1]["step"],
    )  # fmt: skip
