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
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.episodes import Rest
from awac_dist.replay.ring import ACHIEVED, RingBuffer
from awac_dist.types import Array

GoalRewards = Callable[[Array, Array], Outcome]


class Hindsight:
    """Replaces goals in blocks of transitions of one ring.

    Args:
        ring: Where the transitions lie.
        rule: How the task rewards goals.
        config: How rewards are scaled and shifted.
    """

    def __init__(self, ring: RingBuffer, rule: GoalRewards, config: ReplayConfig) -> None:
        self._ring, self._rule, self._config = ring, rule, config

    def goals(self, rest: Rest, relabelling: Relabelling) -> Array:
        """The goals [n, G] that transitions get; NaN where they keep their own."""
        goals: Array = relabelling.goals.copy()
        future = np.flatnonzero(~np.isnan(relabelling.futures))
        if len(future):
            # One of 1 to `remaining` steps on, each as likely as the others.
            shares, remaining = relabelling.futures[future], rest.remaining[future]
            steps = np.ones(len(rest.rows), np.int64)
            steps[future] = np.minimum(1 + (shares * remaining).astype(np.int64), remaining)
            goals[future] = self._ring.aside(ACHIEVED, rest.ahead(steps)[future])
        return goals

    def relabel(self, block: Array, rows: np.ndarray, goals: Array) -> None:
        """Put other goals, rewards and discounts into a block, in place.

        Args:
            block: [n, width] transitions as they were stored.
            rows: [n] where they start.
            goals: [n, G] as `goals` tells them.
        """
        changed = np.flatnonzero(~np.isnan(goals).any(axis=1))
        if not len(changed):
            return
        layout, goals, part = self._ring.layout, goals[changed], block[changed]
        achieved = self._ring.aside(ACHIEVED, rows[changed] + 1)
        ended = part[:, layout.discounts] == 0
        if ended.any():  # some ends have no goal's cause, and stay
            ended[ended] = ~self._rule(achieved[ended], part[ended, layout.goals]).terminated
        after = self._rule(achieved, goals)
        part[:, layout.goals] = part[:, layout.next_goals] = goals
        part[:, layout.rewards] = self._config.learned_rewards(after.rewards)
        part[:, layout.discounts] = np.where(after.terminated | ended, 0, self._ring.discount)
        block[changed] = part
