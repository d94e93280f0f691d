"""Which rows of a ring follow each other in an episode, whose fragments may lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b

import numpy as np

from awac_dist.replay.table import FIRST_FRAGMENTS, room
from awac_dist.types import Array, Episode

FIRST, LENGTH, START, EPISODE, NEXT = range(5)  # rows of the table of fragments
NONE = -1


class EpisodeIndex:
    """The fragments in a ring and the episodes that they make.

    Fragments of one stream are joined as they arrive in order, each where the last one stopped:
    at its step, and with the observation that it saw last. For runs that are read together number
    their streams alike.

    Attributes:
        ends: [e] known steps of each episode; like all tables with room for more behind them.
        initial: [O, e] observations with which they began.
        names: [e] numbers that follow from their streams, wherever they are kept.
    """

    def __init__(self, observation_size: int) -> None:
        self._fragments, self.ends = np.zeros((5, 0), np.int64), np.zeros(0, np.int64)
        self.initial = np.zeros((observation_size, 0), np.float32)
        self.names = np.zeros(0, np.uint64)
        self._count = self._episodes = 0
        # Streams that go on -> last fragment (NONE if that is dropped), episode, last observation.
        self._open: dict[object, tuple[int, int, bytes]] = {}

    @property
    def fragments(self) -> np.ndarray:
        """[5, f] the table."""
        return self._fragments[:, : self._count]

    def append(self, stream: object, first_row: int, episode: Episode, initial: Array) -> None:
        """Register a fragment, which begins in a row behind all others with `initial` [O]."""
        start, steps = episode.origin.start, len(episode)
        first, last = (episode.observations[row].tobytes() for row in (0, -1))
        number = self._episode_of(stream, start, first, initial)
        self._fragments = room(self._fragments, self._count)
        self._fragments[:, self._count] = (first_row, steps, start, number, NONE)
        self.ends[number] = start + steps
        self._open.pop(stream, None)
        if not (episode.terminated or episode.truncated):
            self._open[stream] = (self._count, number, last)
        self._count += 1

    def release(self, row: int) -> None:
        """Forget the fragments that lie below a row, and the episodes that have no other."""
        count = int(np.searchsorted(self.fragments[FIRST], row, side="right")) - 1
        if count <= max(FIRST_FRAGMENTS, self._count // 2):  # they wait until they are many
            return
        kept = self.fragments[:, count:].copy()
        kept[NEXT, kept[NEXT] != NONE] -= count
        going_on = [number for _, number, _ in self._open.values()]
        wanted = np.unique(np.append(kept[EPISODE], going_on)).astype(np.int64)
        kept[EPISODE] = np.searchsorted(wanted, kept[EPISODE])
        self._open = {
            stream: (max(last - count, NONE), int(np.searchsorted(wanted, number)), seen)
            for stream, (last, number, seen) in self._open.items()
        }
        self._fragments, self._count = kept, kept.shape[1]
        self.ends, self.initial = self.ends[wanted], self.initial[:, wanted]
        self.names = self.names[wanted]
        self._episodes = len(wanted)

    def rest(self, rows: np.ndarray, known: int | None = None) -> Rest:
        """The rest of the episodes from the transitions at the rows [n] on.

        Raises:
            LookupError: A row is not known yet: fragments from the row `known` on are not.
        """
        if known is None:
            return Rest(self, rows, self._count)
        if len(rows) and rows.max() >= known:
            raise LookupError(f"row {rows.max()} asked for, rows from {known} on are not known yet")
        return Rest(self, rows, int(np.searchsorted(self.fragments[FIRST], known)))

    def _episode_of(self, stream: object, start: int, first: bytes, initial: Array) -> int:
        """Number of the episode that goes on with a fragment: its first step and observation."""
        last, number, seen = self._open.get(stream, (NONE, NONE, b""))
        if number != NONE and self.ends[number] == start and seen == first:
            if last != NONE:
                self._fragments[NEXT, last] = self._count
            return number
        number = self._episodes
        self.ends, self.initial = room(self.ends, number), room(self.initial, number)
        self.initial[:, number] = initial
        self.names = room(self.names, number)
        name = blake2b(repr(stream).encode(), digest_size=8).digest()
        self.names[number] = int.from_bytes(name, "little")
        self._episodes += 1
        return number


class Rest:
    """The rest of episodes from the transitions at some rows [n] on.

    Of the fragments in the index, those before `cut` are known; those behind do not count.
    """

    def __init__(self, index: EpisodeIndex, rows: np.ndarray, cut: int) -> None:
        self.rows, self._index, self._fragments, self._cut = rows, index, index.fragments, cut
        self._mine = np.searchsorted(self._fragments[FIRST], rows, side="right") - 1
        self._offsets = rows - self._fragments[FIRST, self._mine]

    @cached_property
    def remaining(self) -> np.ndarray:
        """Known steps [n] from the transitions on, at least 1."""
        _, _, start, episode, _ = self._fragments[:, self._mine]
        ends = self._index.ends[episode]
        late = self._fragments[:, self._cut :]
        if late.shape[1]:
            episodes, firsts = np.unique(late[EPISODE], return_index=True)
            places = np.minimum(np.searchsorted(episodes, episode), len(episodes) - 1)
            cut = episodes[places] == episode
            ends[cut] = late[START, firsts[places[cut]]]
        return np.asarray(ends - start - self._offsets)

    @property
    def initial(self) -> Array:
        """Observations [n, O] with which the episodes began; the first that is known of each."""
        return np.asarray(self._index.initial[:, self._fragments[EPISODE, self._mine]].T)

    @property
    def names(self) -> np.ndarray:
        """Numbers [n] of the episodes, the same in every run and in every shard."""
        return np.asarray(self._index.names[self._fragments[EPISODE, self._mine]])

    @property
    def steps(self) -> np.ndarray:
        """Steps [n] of the episodes that lie before the transitions."""
        return np.asarray(self._fragments[START, self._mine] + self._offsets)

    def ahead(self, steps: np.ndarray) -> np.ndarray:
        """Rows [n] of what is `steps` [n] behind the transitions, `remaining` at the most.

        A transition where there is one, and the last observation behind the last transition.
        """
        fragments, reached = self._mine.copy(), self._offsets + steps
        lengths = self._fragments[LENGTH]
        behind = np.flatnonzero(reached >= lengths[fragments])
        while len(behind):
            following = self._following(fragments[behind])
            behind, following = behind[following != NONE], following[following != NONE]
            reached[behind] -= lengths[fragments[behind]]
            fragments[behind] = following
            behind = behind[reached[behind] >= lengths[following]]
        return np.asarray(self._fragments[FIRST, fragments] + reached)

    def transitions(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows [n, count] of the transitions and those that follow them, and which are known.

        Behind the end of what is known the last transition is repeated.
        """
        steps = np.minimum(np.arange(count), self.remaining[:, None] - 1)
        rows = np.stack([self.ahead(steps[:, step]) for step in range(count)], axis=1)
        return rows, steps == np.arange(count)

    def legs(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """The fragments through which the rest leads, each transition's first one first.

        Yields:
            Which [m] of the transitions they are of, the rows [m] in which their rest goes on,
            the steps [m] of it that lie before, and the fragments' first rows and lengths [2, m].
        """
        which, fragments, rows = np.arange(len(self.rows)), self._mine, self.rows
        steps = np.zeros(len(rows), np.int64)
        while len(which):
            spans = self._fragments[: LENGTH + 1, fragments]
            yield which, rows, steps, spans
            following = self._following(fragments)
            on = following != NONE
            which, fragments = which[on], following[on]
            steps = (steps + spans.sum(axis=0) - rows)[on]
            rows = self._fragments[FIRST, fragments]

    def _following(self, fragments: np.ndarray) -> np.ndarray:
        following = self._fragments[NEXT, fragments]
        return np.where(following < self._cut, following, NONE)
