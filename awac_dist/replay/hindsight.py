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
from awac_dist.replay.layout import Layout
from awac_dist.replay.ring import RingBuffer
from awac_dist.types import Array, Episode

FIRST, LENGTH, START, EPISODE, NEXT = range(5)  # rows of the table of fragments
NONE = -1
GoalRewards = Callable[[Array, Array], Outcome]


class EpisodeIndex:
    """Which rows of a ring follow each other in an episode, whose fragments may lie apart.

    Fragments of one stream are joined as they arrive in order, each where the last one stopped.
    """

    def __init__(self) -> None:
        self._fragments = np.zeros((5, 64), np.int64)
        self._count = 0
        self._ends = np.zeros(64, np.int64)  # known steps of each episode
        self._episodes = 0
        self._open: dict[object, int] = {}  # stream -> its last fragment, while it goes on

    def append(self, stream: object, first_row: int, episode: Episode) -> None:
        """Register a fragment that was stored from `first_row` on; rows never go back."""
        start, steps = episode.origin.start, len(episode)
        number = self._episode_of(stream, start)
        self._fragments = _room(self._fragments, self._count)
        self._fragments[:, self._count] = (first_row, steps, start, number, NONE)
        self._ends[number] = start + steps
        self._open.pop(stream, None)
        if not (episode.terminated or episode.truncated):
            self._open[stream] = self._count
        self._count += 1

    def remaining(self, rows: np.ndarray) -> np.ndarray:
        """Known steps [n] of the episodes from the transitions at the rows [n] on, at least 1."""
        fragments = self._fragment_of(rows)
        first, _, start, episode, _ = self._fragments[:, fragments]
        return np.asarray(self._ends[episode] - start - (rows - first))

    def ahead(self, rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Rows [n] of the observations `steps` [n] after those at the rows [n]."""
        fragments = self._fragment_of(rows)
        reached = (
            rows - self._fragments[FIRST, fragments] + steps
        )  # counted from the fragment's first row
        while (beyond := reached > self._fragments[LENGTH, fragments]).any():
            reached[beyond] -= self._fragments[LENGTH, fragments[beyond]]
            fragments[beyond] = self._fragments[NEXT, fragments[beyond]]
        return np.asarray(self._fragments[FIRST, fragments] + reached)

    def _fragment_of(self, rows: np.ndarray) -> np.ndarray:
        firsts = self._fragments[FIRST, : self._count]
        return np.asarray(np.searchsorted(firsts, rows, side="right") - 1)

    def _episode_of(self, stream: object, start: int) -> int:
        """Number of the episode that goes on with a fragment which starts at step `start`."""
        last = self._open.get(stream)
        if last is not None:
            _, length, its_start, number, _ = self._fragments[:, last]
            if its_start + length == start:
                self._fragments[NEXT, last] = self._count
                return int(number)
        self._ends = _room(self._ends, self._episodes)
        self._episodes += 1
        return self._episodes - 1


class Hindsight:
    """Replaces goals in blocks of transitions of one ring.

    Args:
        ring: Where the transitions lie.
        layout: Columns of a block.
        rewards: The task's own rule.
    """

    def __init__(self, ring: RingBuffer, layout: Layout, rewards: GoalRewards) -> None:
        self._ring, self._layout, self._rewards = ring, layout, rewards
        self._index = EpisodeIndex()

    def append(self, stream: object, first_row: int, episode: Episode) -> None:
        """Register a fragment that the ring holds from `first_row` on."""
        self._index.append(stream, first_row, episode)

    def relabel(self, block: Array, rows: np.ndarray, relabelling: Relabelling) -> None:
        """Put other goals, rewards and discounts into a block [n, width], in place.

        Args:
            block: Transitions as they were stored.
            rows: [n] where they start.
            relabelling: Which of them get which goal.
        """
        goals = relabelling.goals.copy()
        future = np.flatnonzero(~np.isnan(relabelling.futures))
        goals[future] = self._achieved_later(rows[future], relabelling.futures[future])
        changed = np.flatnonzero(~np.isnan(goals).any(axis=1))
        if len(changed):
            part = block[changed]
            self._replace(part, rows[changed], goals[changed])
            block[changed] = part

    def _achieved_later(self, rows: np.ndarray, shares: Array) -> Array:
        """Goals [n, G] achieved after 1 to `remaining` steps, each as likely as the others."""
        remaining = self._index.remaining(rows)
        steps = np.minimum(1 + (shares * remaining).astype(np.int64), remaining)
        return self._ring.achieved(self._index.ahead(rows, steps))

    def _replace(self, block: Array, rows: np.ndarray, goals: Array) -> None:
        layout, achieved = self._layout, self._ring.achieved(rows + 1)
        ended = block[:, layout.discounts] == 0
        if ended.any():  # some ends have no goal's cause, and stay
            ended[ended] = ~self._rewards(achieved[ended], block[ended, layout.goals]).terminated
        after = self._rewards(achieved, goals)
        block[:, layout.goals] = goals
        block[:, layout.next_goals] = goals
        block[:, layout.rewards] = after.rewards
        block[:, layout.discounts] = np.where(after.terminated | ended, 0, self._ring.discount)


def _room(table: np.ndarray, count: int) -> np.ndarray:
    """The table, twice as long once its last axis is full."""
    if count < table.shape[-1]:
        return table
    return np.concatenate((table, np.zeros_like(table)), axis=-1)
