"""What a shard keeps: prior data and online fragments, each in a ring of its own.

A row number names a row of either for ever: online rows are numbered from `ONLINE_ROWS` on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from awac_dist.messages import Relabelling
from awac_dist.replay.columns import Taken
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.episodes import EpisodeIndex
from awac_dist.replay.hindsight import GoalRewards, Hindsight
from awac_dist.replay.layout import NO_WISHES, Layout, Wishes
from awac_dist.replay.ring import RingBuffer, inputs
from awac_dist.replay.sampler import ONLINE
from awac_dist.types import Array, EnvSpec, Episode

ONLINE_ROWS = 1 << 40


class Memory:
    """Stores fragments and hands out their transitions by row number.

    Args:
        spec: The task.
        discount: gamma.
        config: How rewards are scaled and shifted.
        goal_rewards: The rule by which a goal task rewards other goals; None for other tasks.
    """

    def __init__(
        self,
        spec: EnvSpec,
        *,
        discount: float,
        config: ReplayConfig,
        goal_rewards: GoalRewards | None = None,
    ) -> None:
        self._spec, layout = spec, Layout.of(spec)
        self._prior, self._online = (
            _Half(RingBuffer(layout, discount=discount, first_row=row), config, goal_rewards)
            for row in (0, ONLINE_ROWS)
        )

    def next_row(self, source: str) -> int:
        """Number of the row in which the next fragment of a source will begin."""
        return self._of(source).ring.next_row

    def store(self, fragment: Episode, source: str, *, keep: bool = True) -> int:
        """Take a fragment; returns the number of its first row.

        Args:
            fragment: It.
            source: "online", or another one, which is never released.
            keep: Otherwise nobody will ask for it: its episode is known and goes on with the
                fragments that follow it, numbers go on as if it were kept, and its rows are empty.
        """
        return self._of(source).store(fragment, source, keep=keep)

    def release(self, row: int) -> None:
        """Forget the online rows below a number, which nobody will ask for any more."""
        self._online.release(row)

    @property
    def held_from(self) -> int:
        """The lowest online row that is still held."""
        return self._online.ring.oldest_row

    def take(
        self,
        rows: np.ndarray,
        relabelling: Relabelling | None = None,
        wishes: Wishes = NO_WISHES,
        known: tuple[int, int] | None = None,
    ) -> Array:
        """Transitions [n, width] for the row numbers [n], in one contiguous block.

        Args:
            rows: [n] numbers.
            relabelling: Goals to put in place of those of a goal task.
            wishes: What is wanted besides the base columns.
            known: Prior and online row from which on nothing counts as known yet; None: all is.

        Raises:
            LookupError: A row is not held, or holds NaN.
            InputError: The columns that are wished for are not known of other goals.
        """
        if relabelling is not None:
            wishes.check_goals()
        layout, online = Layout.of(self._spec, wishes), rows >= ONLINE_ROWS
        block = np.empty((len(rows), layout.width), np.float32)
        halves = (self._prior, ~online), (self._online, online)
        for (half, mine), limit in zip(halves, known or (None, None), strict=True):
            if mine.all():
                return half.take(rows, relabelling, layout, limit)
            if mine.any():
                only = relabelling and Relabelling(*(its[mine] for its in relabelling))
                block[mine] = half.take(rows[mine], only, layout, limit)
        return block

    def _of(self, source: str) -> _Half:
        return self._online if source == ONLINE else self._prior


class _Half:
    """Prior data or online fragments: a ring, its episodes, and what relabels them."""

    def __init__(self, ring: RingBuffer, config: ReplayConfig, rule: GoalRewards | None) -> None:
        self.ring, self._config = ring, config
        self._episodes = EpisodeIndex(ring.layout.observation_size)
        self._hindsight = rule and Hindsight(ring, rule, config)

    def store(self, fragment: Episode, source: str, *, keep: bool) -> int:
        learned = replace(fragment, rewards=self._config.learned_rewards(fragment.rewards))
        row = self.ring.append(learned) if keep else self.ring.skip(len(fragment) + 1)
        initial = inputs(fragment, self.ring.layout)[0]
        self._episodes.append((source, fragment.origin.stream), row, fragment, initial)
        return row

    def release(self, row: int) -> None:
        self.ring.release(row)
        self._episodes.release(row)

    def take(
        self, rows: np.ndarray, relabelling: Relabelling | None, layout: Layout, known: int | None
    ) -> Array:
        """Transitions [n, width]; one copy where nothing but the base columns is wanted."""
        if relabelling is None and layout.wishes == NO_WISHES:
            return self.ring.take(rows)
        rest, goals = self._episodes.rest(rows, known), None
        if relabelling is not None and self._hindsight is not None:
            goals = self._hindsight.goals(rest, relabelling)
        if layout.wishes == NO_WISHES:
            return self._transitions(rows, goals)
        reach = layout.wishes.reach
        ahead, there = rest.transitions(reach)
        repeated = None if goals is None else np.repeat(goals, reach, axis=0)
        stretch = self._transitions(ahead.ravel(), repeated).reshape(len(rows), reach, -1)
        return Taken(self.ring, layout, rest, goals, stretch, there).block()

    def _transitions(self, rows: np.ndarray, goals: Array | None) -> Array:
        """Base columns [n, base width]."""
        block = self.ring.take(rows)
        if goals is not None and self._hindsight is not None:
            self._hindsight.relabel(block, rows, goals)
        return block
