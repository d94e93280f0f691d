"""Storage of episodes as packed rows; the end of an episode is decided here and nowhere else."""

from __future__ import annotations

import sys

import numpy as np

from awac_dist.errors import NotFinite
from awac_dist.replay.layout import Layout
from awac_dist.types import Array, Episode

FIRST_ROWS = 1024
GROWTH = 1.125  # in place, where the system can: no copy, and little that lies idle


class RingBuffer:
    """Keeps each observation once: the next observation is the next row.

    A fragment of T steps takes T + 1 rows. Its last row holds the final observation only;
    the rest of that row, like all memory not yet written, is NaN. Rows are numbered
    from 0 on for ever; row r lies at r modulo the capacity. So a transition is one stretch of
    memory: a row and the observation that begins the next. Behind the last row lies a copy of
    row 0, once there is a second round. Achieved goals, where a task has them, lie aside.

    Args:
        layout: Columns of a transition.
        capacity: Rows at most, the oldest being overwritten; None never overwrites. Memory is
            taken as it is needed.
        discount: gamma, stored with each step, or 0 for a step that ended the task.
    """

    def __init__(self, layout: Layout, capacity: int | None, *, discount: float) -> None:
        self._layout = layout
        self.discount = discount
        self._capacity = sys.maxsize if capacity is None else capacity
        self._length = min(self._capacity, FIRST_ROWS)
        self._rows = _blank(self._length + 1, layout.row_width)
        self._achieved = _blank(self._length, layout.goal_size)
        self._next = 0

    @property
    def next_row(self) -> int:
        """Number of the row that will be written next."""
        return self._next

    @property
    def oldest_row(self) -> int:
        """Number of the oldest row that is still held."""
        return max(0, self._next - self._length)

    def append(self, episode: Episode) -> int:
        """Store a fragment and return the number of its first row.

        Raises:
            ValueError: The fragment is larger than the whole buffer.
        """
        first, steps = self._next, len(episode)
        self._make_room(steps + 1)
        layout = self._layout
        rows = _blank(steps + 1, layout.row_width)
        rows[:, layout.observations] = _inputs(episode, layout)
        rows[:-1, layout.actions] = episode.actions
        rows[:-1, layout.rewards] = episode.rewards
        rows[:-1, layout.discounts] = self.discount
        if episode.terminated:
            rows[-2, layout.discounts] = 0.0
        places = np.arange(first, first + steps + 1) % self._length
        self._rows[places] = rows
        if layout.goal_size:
            self._achieved[places] = episode.achieved_goals
        self._next += steps + 1
        if self._next > self._length:
            self._rows[-1] = self._rows[0]
        return first

    def take(self, rows: np.ndarray) -> Array:
        """Transitions [n, width] that start at the rows [n].

        Raises:
            LookupError: A row is not held any more, or holds no transition.
        """
        self._check_held(rows, followed=True)
        taken = self._transitions()[rows % self._length]
        block: Array = taken.view(np.float32).reshape(len(rows), self._layout.width)
        if not np.isfinite(block).all():
            row = rows[np.flatnonzero(~np.isfinite(block).all(axis=1))[0]]
            raise NotFinite(f"row {row} is no transition, or holds NaN or infinity", block)
        return block

    def achieved(self, rows: np.ndarray) -> Array:
        """Goals [n, G] that the observations in the rows [n] achieve.

        Raises:
            LookupError: A row is not held any more.
        """
        self._check_held(rows, followed=False)
        goals: Array = self._achieved[rows % self._length]
        return goals

    def _check_held(self, rows: np.ndarray, *, followed: bool) -> None:
        newest = self._next - 1
        if len(rows) and (rows.min() < self.oldest_row or rows.max() > newest - followed):
            raise LookupError(
                f"rows {rows.min()} to {rows.max()} asked for, {self.oldest_row} to {newest} held"
            )

    def _make_room(self, rows: int) -> None:
        if rows > self._capacity:
            raise ValueError(f"a fragment of {rows} rows does not fit into {self._capacity}")
        needed, length = self._next + rows, self._length
        if needed > length and length < self._capacity:
            self._length = min(self._capacity, max(needed, int(GROWTH * length)))
            self._rows.resize((self._length + 1, self._layout.row_width), refcheck=False)
            self._rows[length:] = np.nan
            self._achieved.resize((self._length, self._layout.goal_size), refcheck=False)
            self._achieved[length:] = np.nan

    def _transitions(self) -> np.ndarray:
        """Every row with what follows it, as items that overlap: one copy takes a transition."""
        item = np.dtype((np.void, self._layout.width * self._rows.itemsize))
        return np.ndarray(self._length, item, self._rows.data, strides=self._rows.strides[:1])


def _blank(rows: int, width: int) -> Array:
    return np.full((rows, width), np.nan, np.float32)


def _inputs(episode: Episode, layout: Layout) -> Array:
    """What the policy reads [T+1, O]: of goal tasks, the desired goals too."""
    if not layout.goal_size:
        return episode.observations
    if episode.desired_goals is None or episode.achieved_goals is None:
        raise ValueError("an episode of a goal task needs its desired and achieved goals")
    return np.hstack((episode.observations, episode.desired_goals))
