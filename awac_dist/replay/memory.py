"""What a shard keeps: prior data and online fragments, each in a ring of its own.

A row number names a row of either for ever: online rows are numbered from `ONLINE_ROWS` on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from awac_dist.messages import Relabelling
from awac_dist.replay.hindsight import GoalRewards, Hindsight
from awac_dist.replay.layout import Layout
from awac_dist.replay.ring import RingBuffer
from awac_dist.replay.sampler import ONLINE
from awac_dist.types import Array, Episode

ONLINE_ROWS = 1 << 40


class _Part(NamedTuple):
    """A ring, and what relabels the transitions of a goal task in it."""

    first_row: int  # number by which the ring's row 0 is known
    ring: RingBuffer
    hindsight: Hindsight | None


class Memory:
    """Stores fragments and hands out their transitions by row number.

    Args:
        layout: Columns of a transition.
        capacity: Online rows at most; the oldest are overwritten.
        discount: gamma.
        goal_rewards: The rule by which a goal task rewards other goals; None for other tasks.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        capacity: int,
        discount: float,
        goal_rewards: GoalRewards | None = None,
    ) -> None:
        self._layout = layout

        def part(first_row: int, capacity: int | None) -> _Part:
            ring = RingBuffer(layout, capacity, discount=discount)
            return _Part(first_row, ring, goal_rewards and Hindsight(ring, layout, goal_rewards))

        self._prior, self._online = part(0, None), part(ONLINE_ROWS, capacity)

    def next_row(self, source: str) -> int:
        """Number of the row in which the next fragment of a source will begin."""
        part = self._part_of(source)
        return part.first_row + part.ring.next_row

    def store(self, fragment: Episode, source: str) -> int:
        """Keep a fragment; returns the number of its first row."""
        part = self._part_of(source)
        row = part.ring.append(fragment)
        if part.hindsight is not None:
            part.hindsight.append((source, fragment.origin.stream), row, fragment)
        return part.first_row + row

    def holds(self, row: int) -> bool:
        """Whether a row that was written is still there."""
        part = self._online if row >= ONLINE_ROWS else self._prior
        return row - part.first_row >= part.ring.oldest_row

    def take(self, rows: np.ndarray, relabelling: Relabelling | None = None) -> Array:
        """Transitions [n, width] for the row numbers [n], in one contiguous block.

        Args:
            rows: [n] numbers.
            relabelling: Goals to put in place of those of a goal task.

        Raises:
            LookupError: A row is not held, or holds NaN.
        """
        online = rows >= ONLINE_ROWS
        if online.all() or not online.any():
            return _taken(self._online if online.any() else self._prior, rows, relabelling)
        block = np.empty((len(rows), self._layout.width), np.float32)
        for part, mine in ((self._prior, ~online), (self._online, online)):
            block[mine] = _taken(part, rows[mine], _only(relabelling, mine))
        return block

    def _part_of(self, source: str) -> _Part:
        return self._online if source == ONLINE else self._prior


def _taken(part: _Part, rows: np.ndarray, relabelling: Relabelling | None) -> Array:
    rows = rows - part.first_row
    block = part.ring.take(rows)
    if relabelling is not None and part.hindsight is not None:
        part.hindsight.relabel(block, rows, relabelling)
    return block


def _only(relabelling: Relabelling | None, mine: np.ndarray) -> Relabelling | None:
    return relabelling and Relabelling(relabelling.futures[mine], relabelling.goals[mine])
