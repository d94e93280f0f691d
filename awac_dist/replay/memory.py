"""What a shard keeps in memory: prior data and online fragments, each in a ring of its own.

A row number names a row of either for ever: online rows are numbered from `ONLINE_ROWS` on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from awac_dist.messages import Outcome, Relabelling
from awac_dist.replay.columns import Taken
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.episodes import EpisodeIndex, Rest
from awac_dist.replay.layout import NO_WISHES, Layout
from awac_dist.replay.ring import ACHIEVED, RingBuffer, inputs
from awac_dist.types import Array, Episode

ONLINE_ROWS = 1 << 40
GoalRewards = Callable[[Array, Array], Outcome]  # the task's, of goals [n, G] achieved and desired


class Half:
    """Prior data or online fragments: a ring, its episodes, and goals in hindsight.

    A transition is as true for another goal as for its own (Andrychowicz et al., 2017,
    https://arxiv.org/abs/1707.01495). Its goal is replaced by one that the rest of its episode
    achieves (the step's own outcome is the first candidate), or by another episode's; the reward,
    and whether the task ended there, are then what the task itself says.
    """

    def __init__(self, ring: RingBuffer, config: ReplayConfig, rule: GoalRewards | None) -> None:
        self.ring, self._config, self._rule = ring, config, rule
        self._episodes = EpisodeIndex(ring.layout.observation_size)

    def store(self, fragment: Episode, source: str, *, keep: bool = True) -> int:
        """Take a fragment; returns the number of its first row.

        One that nobody will ask for need not be kept: rows are numbered as if it were, and its
        episode goes on with the fragments that follow it.
        """
        learned = replace(fragment, rewards=self._config.learned_rewards(fragment.rewards))
        row = self.ring.append(learned) if keep else self.ring.skip(len(fragment) + 1)
        initial = inputs(fragment, self.ring.layout)[0]
        self._episodes.append((source, fragment.origin.stream), row, fragment, initial)
        return row

    def release(self, row: int) -> None:
        """Forget the rows below a number, which nobody will ask for any more."""
        self.ring.release(row)
        self._episodes.release(row)

    def take(
        self, rows: np.ndarray, relabelling: Relabelling | None, layout: Layout, known: int | None
    ) -> Array:
        """Transitions [n, width]; one copy where nothing but the base columns is wanted."""
        if relabelling is None and layout.wishes == NO_WISHES:
            return self.ring.take(rows)
        rest = self._episodes.rest(rows, known)
        goals = None if relabelling is None else self._goals(rest, relabelling)
        if layout.wishes == NO_WISHES:
            return self._transitions(rows, goals)
        reach = layout.wishes.reach
        ahead, there = rest.transitions(reach)
        repeated = None if goals is None else np.repeat(goals, reach, axis=0)
        stretch = self._transitions(ahead.ravel(), repeated).reshape(len(rows), reach, -1)
        return Taken(self.ring, layout, rest, goals, stretch, there).block()

    def _goals(self, rest: Rest, relabelling: Relabelling) -> Array:
        """The goals [n, G] that transitions get; NaN where they keep their own."""
        goals: Array = relabelling.goals.copy()
        future = np.flatnonzero(~np.isnan(relabelling.futures))
        if len(future):
            # One of 1 to `remaining` steps on, each as likely as the others.
            shares, remaining = relabelling.futures[future], rest.remaining[future]
            steps = np.ones(len(rest.rows), np.int64)
            steps[future] = np.minimum(1 + (shares * remaining).astype(np.int64), remaining)
            goals[future] = self.ring.aside(ACHIEVED, rest.ahead(steps)[future])
        return goals

    def _transitions(self, rows: np.ndarray, goals: Array | None) -> Array:
        """Base columns [n, base width] of what lies in the rows [n], with these goals [n, G]."""
        block, layout = self.ring.take(rows), self.ring.layout
        if goals is None:
            return block
        changed = np.flatnonzero(~np.isnan(goals).any(axis=1))
        if len(changed):
            assert self._rule is not None, "only a goal task has other goals"
            part, goals = block[changed], goals[changed]
            achieved = self.ring.aside(ACHIEVED, rows[changed] + 1)
            ended = part[:, layout.discounts] == 0
            if ended.any():  # some ends have no goal's cause, and stay
                ended[ended] = ~self._rule(achieved[ended], part[ended, layout.goals]).terminated
            after = self._rule(achieved, goals)
            part[:, layout.goals] = part[:, layout.next_goals] = goals
            part[:, layout.rewards] = self._config.learned_rewards(after.rewards)
            part[:, layout.discounts] = np.where(after.terminated | ended, 0, self.ring.discount)
            block[changed] = part
        return block
