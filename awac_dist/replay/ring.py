"""Storage of episodes as packed rows; the end of an episode is decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from awac_dist.errors import NotFinite
from awac_dist.replay.layout import Layout
from awac_dist.types import Array, Episode

FIRST_ROWS = 1024
ACHIEVED = "achieved"  # goals [G], put aside for each row of a goal task
GROWTH = 1.125  # in place, where the system can: no copy, and little that lies idle
MOST_IDLE = 4  # rows of memory for each that is held, at most


class RingBuffer:
    """Keeps each observation once: the next observation is the next row.

    A fragment of T steps takes T + 1 rows. Its last row holds the final observation only;
    the rest of that row, like all memory that is not written or was released, is NaN. Rows are
    numbered for ever, and go round in memory that grows with what is held. So a transition is
    one stretch of memory: a row and the observation that begins the next. Behind the last row
    lies a copy of the first, once there is a second round. What else belongs to a row lies aside.

    Attributes:
        layout: Columns of a transition.
        discount: gamma, stored with each step, or 0 for a step that ended the task.
        first_row: Number of the first row.
        oldest_row: Number of the oldest row that is still held.
        next_row: Number of the row that will be written next.
    """

    def __init__(self, layout: Layout, *, discount: float, first_row: int = 0) -> None:
        self.layout, self.discount, self.first_row = layout, discount, first_row
        self._length = FIRST_ROWS
        self._rows = _blank(self._length + 1, layout.row_width)
        self._aside: dict[str, Array] = {}  # [length + 1, ...]
        self._base = self.oldest_row = self.next_row = first_row  # _base: what lies in place 0

    def append(self, episode: Episode) -> int:
        """Store a fragment and return the number of its first row."""
        first, steps = self.next_row, len(episode)
        self._make_room(steps + 1)
        layout, rows = self.layout, _blank(steps + 1, self.layout.row_width)
        rows[:, layout.observations] = inputs(episode, layout)
        rows[:-1, layout.actions] = episode.actions
        rows[:-1, layout.rewards] = episode.rewards
        rows[:-1, layout.discounts] = self.discount
        if episode.terminated:
            rows[-2, layout.discounts] = 0.0
        for places, its in self._stretches(first, steps + 1):
            self._rows[places] = rows[its]
        self._advance(steps + 1)
        if layout.goal_size and episode.achieved_goals is not None:
            self.put_aside(ACHIEVED, first, episode.achieved_goals)
        return first

    def skip(self, rows: int) -> int:
        """Leave out the next rows, which hold nothing; returns the number of the first."""
        first = self.next_row
        if self.oldest_row == first:  # nothing is held, and no memory is needed
            self._base = self.oldest_row = first + rows
        else:
            self._make_room(rows)
        self._advance(rows)
        return first

    def release(self, row: int) -> None:
        """Forget the rows below a number: their memory may be used again."""
        row = min(row, self.next_row)
        if row <= self.oldest_row:
            return
        for places, _ in self._stretches(self.oldest_row, row - self.oldest_row):
            for memory in (self._rows, *self._aside.values()):
                memory[places] = np.nan
        self.oldest_row = row
        held = self.next_row - row
        if self._length > max(FIRST_ROWS, MOST_IDLE * held):
            self._move(max(FIRST_ROWS, 2 * held))

    def take(self, rows: np.ndarray) -> Array:
        """Transitions [n, width] that start at the rows [n].

        Raises:
            LookupError: A row is not held any more, or holds no transition.
        """
        self._check_held(rows, followed=True)
        taken = self._transitions()[(rows - self._base) % self._length]
        block: Array = taken.view(np.float32).reshape(len(rows), self.layout.base_width)
        if not np.isfinite(block).all():
            row = rows[np.flatnonzero(~np.isfinite(block).all(axis=1))[0]] - self.first_row
            raise NotFinite(f"row {row} is no transition, or holds NaN or infinity", block)
        return block

    def put_aside(self, name: str, first: int, values: Array) -> None:
        """Keep a column's values [k, ...] of the rows from `first` on."""
        if name not in self._aside:
            self._aside[name] = _blank(self._length + 1, *values.shape[1:])
        for places, its in self._stretches(first, len(values)):
            self._aside[name][places] = values[its]

    def aside(self, name: str, rows: np.ndarray) -> Array:
        """A column's values [n, ...] of rows [n] that are held; NaN where none were put aside."""
        self._check_held(rows, followed=False)
        memory = self._aside.get(name)
        if memory is None:
            return _blank(len(rows))
        return np.asarray(memory[(rows - self._base) % self._length])

    @property
    def _is_wrapped(self) -> bool:
        return self.next_row - self._base > self._length

    def _check_held(self, rows: np.ndarray, *, followed: bool) -> None:
        newest = self.next_row - 1
        if len(rows) and (rows.min() < self.oldest_row or rows.max() > newest - followed):
            numbers = np.array((rows.min(), rows.max(), self.oldest_row, newest)) - self.first_row
            raise LookupError("rows {} to {} asked for, {} to {} held".format(*numbers))

    def _stretches(self, first: int, count: int) -> Iterator[tuple[slice, slice]]:
        """Where rows lie: stretches of memory, and which of the rows each holds."""
        place = (first - self._base) % self._length
        before_end = min(count, self._length - place)
        yield slice(place, place + before_end), slice(0, before_end)
        if before_end < count:
            yield slice(0, count - before_end), slice(before_end, count)

    def _advance(self, rows: int) -> None:
        self.next_row += rows
        if self._is_wrapped:
            self._rows[-1] = self._rows[0]

    def _make_room(self, rows: int) -> None:
        needed, length = self.next_row + rows - self.oldest_row, self._length
        if needed <= length:
            return
        wanted = max(needed, int(GROWTH * length))
        if self._is_wrapped:
            self._move(wanted)
            return
        self._length = wanted
        for memory in (self._rows, *self._aside.values()):
            memory.resize((wanted + 1, *memory.shape[1:]), refcheck=False)
            memory[length:] = np.nan

    def _move(self, length: int) -> None:
        """Lay what is held to the front of other memory."""
        held = list(self._stretches(self.oldest_row, self.next_row - self.oldest_row))

        def moved(memory: Array) -> Array:
            new = _blank(length + 1, *memory.shape[1:])
            for places, its in held:
                new[its] = memory[places]
            return new

        self._rows = moved(self._rows)
        self._aside = {name: moved(memory) for name, memory in self._aside.items()}
        self._length, self._base = length, self.oldest_row

    def _transitions(self) -> np.ndarray:
        """Every row with what follows it, as items that overlap: one copy takes a transition."""
        item = np.dtype((np.void, self.layout.base_width * self._rows.itemsize))
        return np.ndarray(self._length, item, self._rows.data, strides=self._rows.strides[:1])


def inputs(episode: Episode, layout: Layout) -> Array:
    """What the policy reads [T+1, O]: of goal tasks, the desired goals too."""
    if not layout.goal_size:
        return episode.observations
    if episode.desired_goals is None or episode.achieved_goals is None:
        raise ValueError("an episode of a goal task needs its desired and achieved goals")
    return np.hstack((episode.observations, episode.desired_goals))


def _blank(*shape: int) -> Array:
    return np.full(shape, np.nan, np.float32)
