"""The same recorded trajectories under every route's reward, for the comparison's page.

Trajectories come from every arm's first agent, from failing to succeeding, on layouts that neither training nor
evaluation uses. What a route's reward says of them is compared with the other routes' and with the world's own return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plaudit.config import RunConfig
from plaudit.console import progress
from plaudit.errors import BudgetError
from plaudit.rollout import record_episode
from plaudit.seeds import EVALUATION_SEED
from plaudit.stages.evaluate import make_agent, png, step_rewards
from plaudit.stages.parts import make_route, make_world

if TYPE_CHECKING:
    from plaudit.stages.board import Entry

EPISODES = 2
"""Trajectories of each arm's agent."""
MAX_STEPS = 100
"""Steps of one trajectory, at most."""
PICTURED = 6
"""The first trajectories whose frames are kept."""


def trajectories(done: list[Entry], config: RunConfig) -> list[dict[str, Any]]:
    """One row for each step: what was done and seen, the world's own reward, and each route's reward."""
    world, rows = make_world(config.world), list[dict[str, Any]]()
    rewards = {
        e.arm.name: make_route(e.arm.route).reward(e.run, world)[0]
        for e in done
        if make_route(e.arm.route).makes_reward
    }
    actors = [e for e in done if make_route(e.arm.route).trains or e.arm.name in ("random", "llm")]
    with progress("compare rewards", len(actors) * EPISODES) as advance:
        for episode in range(EPISODES):
            for entry in actors:
                advance(1)
                try:
                    with make_agent(entry.run, entry.arm.route, 0, world) as policy:
                        steps = record_episode(world, policy, EVALUATION_SEED + 5000 + episode, MAX_STEPS)
                except BudgetError:  # an acting LLM has nothing left to ask with: the other trajectories do
                    continue
                number = len({row["trajectory"] for row in rows})
                said = {name: step_rewards(steps, reward) for name, reward in rewards.items()}
                for i, step in enumerate(steps):
                    frame = png(step.frame) if step.frame is not None and number < PICTURED else None
                    row = {"trajectory": number, "source": entry.arm.name, "step": step.step, "action": step.action}
                    row |= {"text": step.text, "task_reward": step.task_reward, "success": step.success, "frame": frame}
                    rows.append(row | {f"reward:{name}": values[i] for name, values in said.items()})
    return rows
