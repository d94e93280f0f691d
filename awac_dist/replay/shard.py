"""One shard of the replay: its share of the prior data, and online fragments as they come.

A fragment is in the experience log before it is acknowledged. A shard that starts again reads the
prior data and then the log, and holds every fragment in the row in which it was before. What it
accepted it announces to whoever asks; nobody else keeps account of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from functools import reduce
from typing import NamedTuple
from zlib import crc32

import numpy as np

from awac_dist.allocator import give_back_freed_memory
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.fitting import clipped, out_of_range
from awac_dist.data.fragments import LoggedFragment
from awac_dist.data.sources import Source, read_share
from awac_dist.errors import InputError, NotFinite
from awac_dist.messages import (
    Announced,
    Cursor,
    Extents,
    Loaded,
    Placement,
    Relabelling,
    StreamState,
    Sums,
    Tally,
    shard_of,
)
from awac_dist.replay.config import NOTHING_CHANGED, ReplayConfig
from awac_dist.replay.extents import covering, extents_of
from awac_dist.replay.layout import NO_WISHES, Layout, Wishes
from awac_dist.replay.memory import ONLINE_ROWS, GoalRewards, Half
from awac_dist.replay.normalization import added, sums_of
from awac_dist.replay.ring import RingBuffer, inputs
from awac_dist.replay.sampler import ONLINE
from awac_dist.types import Array, EnvSpec, Episode

Key = tuple[int, ...]


class _Accepted(NamedTuple):
    place: Placement
    content: int  # a checksum of what was seen and done


class ReplayShard:
    """A plain object; `distributed.actors` gives it a process, where one method runs at a time.

    Args:
        index: This shard's number, of `num_shards`.
        spec: The task, whose sizes every episode must have.
        log: Where every accepted fragment is kept; None forgets them with this object.
        config: What is done to prior data and to rewards.
        goal_rewards: The rule by which a goal task rewards other goals; None for other tasks.
    """

    def __init__(
        self,
        index: int,
        num_shards: int,
        spec: EnvSpec,
        *,
        discount: float,
        log: ExperienceLog | None,
        sources: Sequence[Source] = (),
        config: ReplayConfig = NOTHING_CHANGED,
        goal_rewards: GoalRewards | None = None,
    ) -> None:
        self._index, self._num_shards, self._spec = index, num_shards, spec
        self._layout, self._config = Layout.of(spec), config
        self._log, self._sources = log, sources
        self.prior, self.online = (
            Half(RingBuffer(self._layout, discount=discount, first_row=row), config, goal_rewards)
            for row in (0, ONLINE_ROWS)
        )
        self._accepted: dict[Key, _Accepted] = {}
        self._announced: list[Placement] = []  # prior data, too, and for ever
        self._closed: set[Key] = set()  # (worker, incarnation)
        self._loaded: Loaded | None = None
        self._boot = time.time_ns()

    def load(self, forgotten: Collection[Key] = ()) -> Loaded:
        """Read this shard's share of the prior data, then what the log holds for it.

        Once, however often it is asked for. Of earlier sessions it reads its share of all shards'
        logs, then what it logged itself in this session; what the log knows to be released of
        either takes its rows and is not held.

        Args:
            forgotten: Keys of its online fragments that nobody asks for any more.

        Raises:
            InputError: Something cannot be read, or is not what it was when the log was written.
        """
        if self._loaded is None:
            self._loaded = Loaded(Counter(), Counter(), Counter(), Counter(), Counter(), [], [])
            for source in self._sources:
                self._load_prior(source, self._loaded)
            if self._log is not None:
                self._load_log(self._log, forgotten)
            give_back_freed_memory()
        return self._loaded

    def insert(self, fragment: Episode, source: str) -> bool:
        """Accept a fragment once, however often it is sent; returns whether its stream is taken.

        Fragments of the source "online" are released one day; all others are prior data. From a
        worker whose fragment is another one than the log has under this name nothing is taken any
        more: what it does then would be joined to what it did, which was something else.
        """
        self.load()
        key = _key(fragment)
        known = self._accepted.get(key)
        if known is not None and known.content != _content(fragment):
            self._closed.add(key[:2])
        if key[:2] in self._closed:
            return False
        if known is None:
            if self._log is not None:
                self._log.insert(fragment, source, self.half_of(source).ring.next_row)
            self._accept(fragment, source, key)
        return True

    def since(self, cursor: Cursor | None, released: int = 0) -> Announced:
        """What was accepted since the answer with this cursor, of prior data, too.

        Args:
            cursor: None announces everything.
            released: Online rows below this one are never asked for again.
        """
        self.load()
        self.online.release(released)
        if self._log is not None:
            self._log.release(self.online.ring.oldest_row - ONLINE_ROWS)
        known = cursor.placements if cursor and cursor.boot == self._boot else 0
        news = self._announced[known:]
        cursor = Cursor(self._boot, len(self._announced))
        return Announced(news, cursor, self.online.ring.oldest_row)

    def fragments_of(self, stream: tuple[int, int, int], steps: int) -> list[Episode]:
        """The fragments of an episode's first `steps` steps, in order, from the log.

        Raises:
            InputError: They are not all there.
        """
        fragments, reached = [], 0
        for fragment in [] if self._log is None else self._log.fragments_of(stream):
            if fragment.origin.start == reached < steps:
                fragments.append(fragment)
                reached += len(fragment)
        if reached != steps:
            raise InputError(
                f"replay shard {self._index}: of the first {steps} steps of episode {stream}, "
                f"the log holds {reached} that end a fragment: a file of the run's experience/ is "
                "missing: bring it back"
            )
        return fragments

    def close_stream(self, position: StreamState) -> Tally:
        """Take no more from a worker that died; counts what it brought beyond a position."""
        mine = (position.worker, position.incarnation)
        self._closed.add(mine)
        beyond = [
            place.length
            for key, (place, _) in self._accepted.items()
            if key[:2] == mine and not position.covers(key, place.length)
        ]
        return Tally(len(beyond), sum(beyond))

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
            relabelling: Goals to put in place of those of a goal task; returns stay its own.
            wishes: What is wanted besides the base columns.
            known: Prior and online row from which on nothing counts as known yet; None: all is.

        Raises:
            LookupError: A row is not held, or holds NaN; names shard and row.
        """
        layout, online = Layout.of(self._spec, wishes), rows >= ONLINE_ROWS
        block = np.empty((len(rows), layout.width), np.float32)
        halves = (self.prior, ~online), (self.online, online)
        try:
            for (half, mine), limit in zip(halves, known or (None, None), strict=True):
                if mine.all():
                    return half.take(rows, relabelling, layout, limit)
                if mine.any():
                    only = relabelling and Relabelling(*(its[mine] for its in relabelling))
                    block[mine] = half.take(rows[mine], only, layout, limit)
            return block
        except NotFinite as error:
            raise NotFinite(f"replay shard {self._index}: {error}", error.block) from error
        except LookupError as error:
            raise LookupError(f"replay shard {self._index}: {error}") from error

    def half_of(self, source: str) -> Half:
        """Where fragments of a source are kept: what is not "online" is prior data."""
        return self.online if source == ONLINE else self.prior

    def flush(self) -> None:
        """Turn what was accepted into Parquet files; it is safe without that."""
        if self._log is not None:
            self._log.flush()

    def restarts(self) -> int:
        """How often its process was started again."""
        return 0

    def _load_prior(self, source: Source, loaded: Loaded) -> None:
        sums, extents = Sums(), Extents()
        for number, episode in read_share(source, self._spec, self._index, self._num_shards):
            loaded.episodes[source.name] += 1
            loaded.transitions[source.name] += len(episode)
            loaded.out_of_range[source.name] += out_of_range(episode, self._spec)
            limit = self._spec.max_episode_steps
            loaded.too_long[source.name] += limit is not None and len(episode) > limit
            loaded.demonstrations[source.name] += episode.origin.kind == "demonstration"
            kept = clipped(episode, self._spec) if self._config.clip_prior_actions else episode
            key = (number, episode.origin.start) if source.episode_steps else (number,)
            self._store(kept, source.name, key)
            extents = covering((extents, extents_of(episode)))
            if not source.joined:
                sums = added((sums, sums_of(inputs(kept, self._layout)[:-1])))
        loaded.sums.append(sums)
        loaded.extents.append(extents)

    def _load_log(self, log: ExperienceLog, forgotten: Collection[Key]) -> None:
        released = ONLINE_ROWS + log.released()
        for fragment in log.earlier(lambda its: shard_of(its, self._num_shards) == self._index):
            self._restore(fragment, forgotten, released)
        for fragment in log.own():
            place = self._restore(fragment, forgotten, released)
            if place.row != fragment.row:
                raise InputError(
                    f"replay shard {self._index}: what it kept in row {fragment.row} would now lie "
                    f"in row {place.row}: the prior data or the log was changed under a run; "
                    "put it back, or start a new run"
                )
        self.online.release(released)

    def _restore(
        self, fragment: LoggedFragment, forgotten: Collection[Key], released: int
    ) -> Placement:
        key = _key(fragment.episode)
        if key not in self._accepted:
            is_past = fragment.source == ONLINE and self.online.ring.next_row < released
            keep = key not in forgotten and not is_past
            self._accept(fragment.episode, fragment.source, key, keep=keep)
        return self._accepted[key].place

    def _accept(self, fragment: Episode, source: str, key: Key, *, keep: bool = True) -> None:
        place = self._store(fragment, source, key, keep=keep)
        self._accepted[key] = _Accepted(place, _content(fragment))

    def _store(self, fragment: Episode, source: str, key: Key, *, keep: bool = True) -> Placement:
        row = self.half_of(source).store(fragment, source, keep=keep)
        goal = tuple(inputs(fragment, self._layout)[0, self._layout.goals].tolist())
        place = Placement(source, self._index, row, len(fragment), goal, key)
        self._announced.append(place)
        return place


def _key(fragment: Episode) -> Key:
    return *fragment.origin.stream, fragment.origin.start


def _content(fragment: Episode) -> int:
    columns = (fragment.observations, fragment.actions, fragment.rewards)
    return reduce(lambda known, its: crc32(its.tobytes(), known), columns, 0)
