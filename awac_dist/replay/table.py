"""Where the fragments of one source lie, in the order of their arrival."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from awac_dist.messages import Placement
from awac_dist.types import Array

FIRST_FRAGMENTS, FIRST_TRANSITIONS = 64, 1024


class Places(NamedTuple):
    """Where transitions lie, and the goals that their fragments were after."""

    shards: np.ndarray  # [n]
    rows: np.ndarray  # [n]
    goals: Array  # [n, G]


class Table:
    """Fragments of one source in the order of their arrival, with running totals.

    Transitions are numbered for ever; each knows its fragment, so that none is searched for.
    """

    def __init__(self) -> None:
        self._columns = np.zeros((3, FIRST_FRAGMENTS), np.int64)  # shard, row - first, end
        self._goals = np.zeros((FIRST_FRAGMENTS, 0), np.float32)
        self._keys = np.zeros((FIRST_FRAGMENTS, 0), np.int64)
        self._count = 0
        self._first = 0  # fragments before this one are forgotten
        self._forgotten = 0  # transitions in them
        self._fragments = np.zeros(FIRST_TRANSITIONS, np.uint32)  # by transition, from _left on
        self._left = 0

    @property
    def total(self) -> int:
        return self._end - self._forgotten

    @property
    def rows(self) -> int:
        """Rows in the ring: a fragment takes one more than it has transitions."""
        return self.total + self._count - self._first

    @property
    def goal_size(self) -> int:
        return self._goals.shape[1]

    @property
    def _end(self) -> int:
        return int(self._columns[2, self._count - 1]) if self._count else 0

    def append(self, placement: Placement) -> None:
        if not self._count:
            self._goals = np.zeros((FIRST_FRAGMENTS, len(placement.goal)), np.float32)
            self._keys = np.zeros((FIRST_FRAGMENTS, len(placement.key)), np.int64)
        if self._count == self._columns.shape[1]:
            self._columns = np.hstack((self._columns, np.zeros_like(self._columns)))
            self._goals = np.vstack((self._goals, np.zeros_like(self._goals)))
            self._keys = np.vstack((self._keys, np.zeros_like(self._keys)))
        first = self._end
        end = first + placement.length
        self._make_room(end)
        self._fragments[first - self._left : end - self._left] = self._count
        self._columns[:, self._count] = (placement.shard, placement.row - first, end)
        self._goals[self._count] = placement.goal
        self._keys[self._count] = placement.key
        self._count += 1

    @property
    def keys(self) -> np.ndarray:
        """Names [n, K] of the fragments in play, in order."""
        return self._keys[self._first : self._count]

    def oldest_rows(self, num_shards: int) -> list[int | None]:
        """The lowest row in play of each shard, None where it has none."""
        shards, rows, _ = self._in_play()
        return [
            int(rows[shards == shard].min()) if (shards == shard).any() else None
            for shard in range(num_shards)
        ]

    def in_key_order(self) -> Table:
        """A table of the fragments in play in the order of their keys; this one if it is that."""
        order = np.lexsort(self.keys.T[::-1]) if self.keys.shape[1] else np.arange(len(self.keys))
        if (np.diff(order) == 1).all():
            return self
        shards, rows, lengths = self._in_play()
        goals, keys, table = self._goals[self._first :], self.keys, Table()
        for n in order.tolist():
            place = (int(shards[n]), int(rows[n]), int(lengths[n]))
            table.append(Placement("", *place, tuple(goals[n].tolist()), tuple(keys[n].tolist())))
        return table

    def _in_play(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shard, first row and length [n] of each fragment in play."""
        shards, shifts, ends = self._columns[:, self._first : self._count]
        firsts = np.concatenate(([self._forgotten], ends[:-1]))[: len(ends)]
        return shards, shifts + firsts, ends - firsts

    def forget_oldest(self) -> None:
        self._forgotten = int(self._columns[2, self._first])
        self._first += 1

    def locate(self, positions: np.ndarray) -> Places:
        """Places of transitions numbered 0 to total - 1 in order of arrival."""
        positions = positions + self._forgotten
        fragments = self._fragments[positions - self._left]
        shards, rows, _ = self._columns
        return Places(shards[fragments], rows[fragments] + positions, self._goals[fragments])

    def _make_room(self, end: int) -> None:
        """Leave what is forgotten behind once the transitions up to `end` do not fit."""
        if end - self._left <= len(self._fragments):
            return
        kept = self._fragments[self._forgotten - self._left : self._end - self._left]
        self._fragments = np.zeros(2 * (end - self._forgotten), np.uint32)
        self._fragments[: len(kept)] = kept
        self._left = self._forgotten
