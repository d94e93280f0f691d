"""Where the pieces of one source lie, in the order of their arrival."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from awac_dist.types import Array, Segment


class Places(NamedTuple):
    """Where transitions lie, and the goals that their pieces were after."""

    shards: np.ndarray  # [n]
    rows: np.ndarray  # [n]
    goals: Array  # [n, G]


class Table:
    """Pieces of one source in the order of their arrival, with running totals."""

    def __init__(self) -> None:
        self._columns = np.zeros((3, 64), np.int64)  # shard, row, transitions up to its end
        self._goals = np.zeros((64, 0), np.float32)
        self._keys = np.zeros((64, 0), np.int64)
        self._count = 0
        self._first = 0  # pieces before this one are forgotten
        self._forgotten = 0  # transitions in them

    @property
    def total(self) -> int:
        return self._end - self._forgotten

    @property
    def rows(self) -> int:
        """Rows in the ring: a piece takes one more than it has transitions."""
        return self.total + self._count - self._first

    @property
    def goal_size(self) -> int:
        return self._goals.shape[1]

    @property
    def _end(self) -> int:
        return int(self._columns[2, self._count - 1]) if self._count else 0

    def append(self, segment: Segment) -> None:
        if not self._count:
            self._goals = np.zeros((64, len(segment.goal)), np.float32)
            self._keys = np.zeros((64, len(segment.key)), np.int64)
        if self._count == self._columns.shape[1]:
            self._columns = np.hstack((self._columns, np.zeros_like(self._columns)))
            self._goals = np.vstack((self._goals, np.zeros_like(self._goals)))
            self._keys = np.vstack((self._keys, np.zeros_like(self._keys)))
        end = self._end + segment.length
        self._columns[:, self._count] = (segment.shard, segment.row, end)
        self._goals[self._count] = segment.goal
        self._keys[self._count] = segment.key
        self._count += 1

    @property
    def keys(self) -> np.ndarray:
        """Names [n, K] of the pieces in play, in order."""
        return self._keys[self._first : self._count]

    def forget_oldest(self) -> None:
        self._forgotten = int(self._columns[2, self._first])
        self._first += 1

    def locate(self, positions: np.ndarray) -> Places:
        """Places of transitions numbered 0 to total - 1 in order of arrival."""
        shards, rows, ends = self._columns[:, self._first : self._count]
        positions = positions + self._forgotten
        pieces = np.searchsorted(ends, positions, side="right")
        starts = np.concatenate(([self._forgotten], ends[:-1]))
        goals = self._goals[self._first + pieces]
        return Places(shards[pieces], rows[pieces] + positions - starts[pieces], goals)
