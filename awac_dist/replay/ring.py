"""Storage of episodes as packed rows; the end of an episode is decided here and nowhere else."""

from __future__ import annotations

import sys

import numpy as np

from awac_dist.errors import NotFinite
from awac_dist.types import Array, Episode, Layout

FIRST_ROWS = 1024
GROWTH = 1.25  # in place, where the system can: no copy, and little that lies idle


class RingBuffer:
    """Keeps each observation once: the next observation is the next row.

    A piece of T steps takes T + 1 rows. Its last row holds the final observation only;
    the rest of that row, like all memory not yet written, is NaN. Rows are numbered
    from 0 on for ever; row r lies at r modulo the capacity. Rows of goal tasks also hold
    the achieved goal, after the columns of the transition.

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
        self._rows = self._blank(min(self._capacity, FIRST_ROWS))
        self._next = 0

    @property
    def next_row(self) -> int:
        """Number of the row that will be written next."""
        return self._next

    @property
    def oldest_row(self) -> int:
        """Number of the oldest row that is still held."""
        return max(0, self._next - len(self._rows))

    def append(self, episode: Episode) -> int:
        """Store a piece and return the number of its first row.

        Raises:
            ValueError: The piece is larger than the whole buffer.
        """
        first, steps = self._next, len(episode)
        self._make_room(steps + 1)
        rows = self._blank(steps + 1)
        rows[:, self._layout.observations] = _inputs(episode, self._layout)
        if self._layout.goal_size:
            rows[:, self._layout.row_width :] = episode.achieved_goals
        rows[:-1, self._layout.actions] = episode.actions
        rows[:-1, self._layout.rewards] = episode.rewards
        rows[:-1, self._layout.discounts] = self.discount
        if episode.terminated:
            rows[-2, self._layout.discounts] = 0.0
        self._rows[np.arange(first, first + steps + 1) % len(self._rows)] = rows
        self._next += steps + 1
        return first

    def take(self, rows: np.ndarray) -> Array:
        """Transitions [n, width] that start at the rows [n].

        Raises:
            LookupError: A row is not held any more, or holds no transition.
        """
        self._check_held(rows, followed=True)
        capacity, width = len(self._rows), self._layout.row_width
        block = np.empty((len(rows), self._layout.width), np.float32)
        block[:, :width] = self._rows[rows % capacity][:, :width]
        following = self._rows[(rows + 1) % capacity]
        block[:, self._layout.next_observations] = following[:, self._layout.observations]
        poisoned = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(poisoned):
            row = rows[poisoned[0]]
            raise NotFinite(f"row {row} is no transition, or holds NaN or infinity", block)
        return block

    def achieved(self, rows: np.ndarray) -> Array:
        """Goals [n, G] that the observations in the rows [n] achieve.

        Raises:
            LookupError: A row is not held any more.
        """
        self._check_held(rows, followed=False)
        return self._rows[rows % len(self._rows), self._layout.row_width :]

    def _check_held(self, rows: np.ndarray, *, followed: bool) -> None:
        newest = self._next - 1
        if len(rows) and (rows.min() < self.oldest_row or rows.max() > newest - followed):
            raise LookupError(
                f"rows {rows.min()} to {rows.max()} asked for, {self.oldest_row} to {newest} held"
            )

    def _make_room(self, rows: int) -> None:
        if rows > self._capacity:
            raise ValueError(f"a piece of {rows} rows does not fit into {self._capacity}")
        needed, held = self._next + rows, len(self._rows)
        if needed > held and held < self._capacity:
            larger = min(self._capacity, max(needed, int(GROWTH * held)))
            self._rows.resize((larger, self._rows.shape[1]), refcheck=False)
            self._rows[held:] = np.nan

    def _blank(self, rows: int) -> Array:
        width = self._layout.row_width + self._layout.goal_size
        return np.full((rows, width), np.nan, np.float32)


def _inputs(episode: Episode, layout: Layout) -> Array:
    """What the policy reads [T+1, O]: of goal tasks, the desired goals too."""
    if not layout.goal_size:
        return episode.observations
    if episode.desired_goals is None or episode.achieved_goals is None:
        raise ValueError("an episode of a goal task needs its desired and achieved goals")
    return np.hstack((episode.observations, episode.desired_goals))
