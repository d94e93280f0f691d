"""Where the fragments of one source lie, in the order of their arrival."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from awac_dist.messages import Placement
from awac_dist.types import Array

FIRST_FRAGMENTS, FIRST_TRANSITIONS = 64, 1024
Places = tuple[np.ndarray, np.ndarray, Array]
"""Shards [n] and rows [n] of transitions, and the goals [n, G] that their fragments were after."""


class Table:
    """Transitions are numbered for ever; each knows its fragment, so that none is searched for."""

    def __init__(self) -> None:
        self._columns = np.zeros((4, 0), np.int64)  # shard, row - first, first, end, then the key
        self._goals = np.zeros((0, 0), np.float32)  # [G, f]
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
        return len(self._goals)

    @property
    def _end(self) -> int:
        return int(self._columns[3, self._count - 1]) if self._count else 0

    @property
    def _in_play(self) -> np.ndarray:
        return self._columns[:, self._first : self._count]

    def append(self, placement: Placement) -> None:
        first = self._end
        end = first + placement.length
        facts = (placement.shard, placement.row - first, first, end, *placement.key)
        if not self._count:
            self._columns = np.zeros((len(facts), 0), np.int64)
            self._goals = np.zeros((len(placement.goal), 0), np.float32)
        self._columns = room(self._columns, self._count)
        self._goals = room(self._goals, self._count)
        self._make_room(end)
        self._fragments[first - self._left : end - self._left] = self._count
        self._columns[:, self._count] = facts
        self._goals[:, self._count] = placement.goal
        self._count += 1

    @property
    def keys(self) -> np.ndarray:
        """Names [n, K] of the fragments in play, in order."""
        return self._in_play[4:].T

    def oldest_rows(self, ends: Sequence[int]) -> list[int]:
        """The lowest row in play of each shard; the given row, above all others, where none is."""
        shards, shifts, firsts = self._in_play[:3]
        rows = shifts + firsts
        return [int(rows.min(where=shards == n, initial=end)) for n, end in enumerate(ends)]

    def sort(self) -> None:
        """Put the fragments, of which none is forgotten, into the order of their keys."""
        keys = self.keys.tolist()
        order = sorted(range(len(keys)), key=keys.__getitem__)
        columns, self._goals = self._in_play[:, order], self._goals[:, order]
        rows, lengths = columns[1] + columns[2], columns[3] - columns[2]
        columns[3] = np.cumsum(lengths)
        columns[2] = columns[3] - lengths
        columns[1] = rows - columns[2]
        self._columns = columns
        self._fragments[: self.total] = np.repeat(np.arange(len(keys)), lengths)

    def forget_oldest(self) -> None:
        self._forgotten = int(self._columns[3, self._first])
        self._first += 1

    def locate(self, positions: np.ndarray) -> Places:
        """Places of transitions numbered 0 to total - 1 in order of arrival."""
        positions = positions + self._forgotten
        fragments = self._fragments[positions - self._left]
        shards, shifts = self._columns[:2]
        return shards[fragments], shifts[fragments] + positions, self._goals[:, fragments].T

    def _make_room(self, end: int) -> None:
        """Leave what is forgotten behind once the transitions up to `end` do not fit."""
        if end - self._left <= len(self._fragments):
            return
        kept = self._fragments[self._forgotten - self._left : self._end - self._left]
        self._fragments = np.zeros(2 * (end - self._forgotten), np.uint32)
        self._fragments[: len(kept)] = kept
        self._left = self._forgotten


def room(table: np.ndarray, count: int) -> np.ndarray:
    """A table with `count` entries along its last axis, twice as long once that is full."""
    if count < table.shape[-1]:
        return table
    more = np.zeros_like(table, shape=(*table.shape[:-1], max(count, FIRST_FRAGMENTS)))
    return np.concatenate((table, more), axis=-1)
