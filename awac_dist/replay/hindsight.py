"""Goals in hindsight (Andrychowicz et al., 2017, https://arxiv.org/abs/1707.01495).

A transition is as true for another goal as for its own. Its goal is replaced by one that the
rest of its episode achieves ("future"; the step's own outcome is the first candidate), or by the
desired goal of another episode ("environment", as drawn by the task at a reset); the reward, and
whether the task ended there, are then what the task itself says.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from awac_dist.messages import Outcome, Relabelling
from awac_dist.replay.episodes import Rest
from awac_dist.replay.layout import Layout
from awac_dist.replay.ring import RingBuffer
from awac_dist.types import Array

GoalRewards = Callable[[Array, Array], Outcome]


class Hindsight:
    """Replaces goals in blocks of transitions of one ring.

    Args:
        ring: Where the transitions lie.
        layout: Columns of a block.
        rewards: The task's own rule.
    """

    def __init__(self, ring: RingBuffer, layout: Layout, rewards: GoalRewards) -> None:
        self._ring, self._layout, self._rewards = ring, layout, rewards

    def goals(self, rest: Rest, relabelling: Relabelling) -> Array:
        """The goals [n, G] that transitions get; NaN where they keep their own."""
        goals: Array = relabelling.goals.copy()
        future = np.flatnonzero(~np.isnan(relabelling.futures))
        if len(future):
            # One of 1 to `remaining` steps on, each as likely as the others.
            shares, remaining = relabelling.futures[future], rest.remaining[future]
            steps = np.ones(len(rest.rows), np.int64)
            steps[future] = np.minimum(1 + (shares * remaining).astype(np.int64), remaining)
            goals[future] = self._achieved(rest.ahead(steps)[future])
        return goals

    def relabel(self, block: Array, rows: np.ndarray, goals: Array) -> None:
        """Put other goals, rewards and discounts into a block [n, width], in place.

        Args:
            block: Transitions as they were stored.
            rows: [n] where they start.
            goals: [n, G] as `goals` tells them.
        """
        changed = np.flatnonzero(~np.isnan(goals).any(axis=1))
        if len(changed):
            part = block[changed]
            self._replace(part, rows[changed], goals[changed])
            block[changed] = part

    def _replace(self, block: Array, rows: np.ndarray, goals: Array) -> None:
        layout, achieved = self._layout, self._achieved(rows + 1)
        ended = block[:, layout.discounts] == 0
        if ended.any():  # some ends have no goal's cause, and stay
            ended[ended] = ~self._rewards(achieved[ended], block[ended, layout.goals]).terminated
        after = self._rewards(achieved, goals)
        block[:, layout.goals] = goals
        block[:, layout.next_goals] = goals
        block[:, layout.rewards] = after.rewards
        block[:, layout.discounts] = np.where(after.terminated | ended, 0, self._ring.discount)

    def _achieved(self, rows: np.ndarray) -> Array:
        """Goals [n, G] that the observations in the rows [n] achieve."""
        return self._ring.aside("achieved", rows, (self._layout.goal_size,))
