"""One shard of the replay: its share of the prior data, and online fragments as they come.

A fragment is in the experience log before it is acknowledged. A shard that starts again reads the
prior data and then the log, and holds every fragment in the row in which it was before. What it
accepted it announces to whoever asks; nobody else keeps account of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from awac_dist.allocator import give_back_freed_memory
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.fragments import LoggedFragment
from awac_dist.data.sources import Source, clipped, out_of_range, read_share
from awac_dist.errors import InputError, NotFinite, RunFailed
from awac_dist.messages import (
    Announced,
    Cursor,
    Loaded,
    Placement,
    Relabelling,
    StreamState,
    Sums,
    Tally,
)
from awac_dist.replay.config import NOTHING_CHANGED, ReplayConfig
from awac_dist.replay.hindsight import GoalRewards
from awac_dist.replay.layout import NO_WISHES, Layout, Wishes
from awac_dist.replay.memory import Memory
from awac_dist.replay.normalization import added, sums_of
from awac_dist.replay.placement import shard_of
from awac_dist.replay.ring import inputs
from awac_dist.types import Array, EnvSpec, Episode


class ReplayShard:
    """Owns some of the episodes and hands out their transitions by row number.

    A plain object; `distributed.actors` gives it a process of its own, where Ray runs one
    method at a time, so no method takes a lock.

    Args:
        index: This shard's number, of `num_shards`.
        spec: The task, whose sizes every episode must have.
        discount: gamma.
        log: Where every accepted fragment is kept; None forgets them with this object.
        sources: Prior data.
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
        self._memory = Memory(spec, discount=discount, config=config, goal_rewards=goal_rewards)
        self._config = config
        self._log, self._sources = log, sources
        self._accepted: dict[tuple[int, ...], Placement] = {}
        self._announced: list[Placement] = []  # prior data, too; a line for each, for ever
        self._closed: set[tuple[int, ...]] = set()  # (worker, incarnation)
        self._loaded: Loaded | None = None
        self._boot = time.time_ns()

    def load(self, forgotten: Collection[tuple[int, ...]] = ()) -> Loaded:
        """Read this shard's share of the prior data, then what the log holds for it.

        Here, not through the driver; and once, however often it is asked for. Of earlier sessions
        it reads its share of all shards' logs, then what it logged itself in this session.

        Args:
            forgotten: Keys of online fragments that nobody asks for any more.

        Raises:
            InputError: Something cannot be read, or is not what it was when the log was written.
        """
        if self._loaded is None:
            self._loaded = Loaded(Counter(), Counter(), Counter(), Counter(), [])
            for source in self._sources:
                self._load_prior(source, self._loaded)
            if self._log is not None:
                self._load_log(self._log, forgotten)
            give_back_freed_memory()
        return self._loaded

    def insert(self, fragment: Episode, source: str) -> None:
        """Accept a fragment once, however often it is sent.

        Fragments of the source "online" are released one day; all others are prior data.

        Raises:
            RunFailed: It is another one than the log has under this name.
        """
        self.load()
        key = _key(fragment)
        if key[:2] in self._closed:
            raise RuntimeError(
                f"worker {key[0]} was replaced: its fragments are not taken any more"
            )
        if key not in self._accepted:
            if self._log is not None:
                self._log.insert(fragment, source, self._memory.next_row(source))
            self._accepted[key] = self._store(fragment, source, key)
        elif self._accepted[key].length != len(fragment):
            raise RunFailed(
                f"worker {key[0]} brings {len(fragment)} steps where it once brought "
                f"{self._accepted[key].length}: the environment does not repeat what it did; "
                "resume with --mode async"
            )

    def since(self, cursor: Cursor | None, released: int = 0) -> Announced:
        """What was accepted since somebody asked, of prior data, too.

        Args:
            cursor: Of the answer before this one; None announces everything.
            released: Online rows below this one are never asked for again.
        """
        self.load()
        self._memory.release(released)
        known = cursor.placements if cursor and cursor.boot == self._boot else 0
        news = self._announced[known:]
        return Announced(news, Cursor(self._boot, len(self._announced)), self._memory.held_from)

    def fragments_of(self, stream: tuple[int, int, int], steps: int) -> list[Episode]:
        """The fragments of an episode's first `steps` steps, in order, from the log.

        Raises:
            LookupError: They are not all there.
        """
        logged = [] if self._log is None else self._log.fragments_of(stream)
        fragments = [fragment for fragment in logged if fragment.origin.start < steps]
        reached = 0
        for fragment in fragments:
            if fragment.origin.start != reached:
                break
            reached += len(fragment)
        if reached != steps:
            raise LookupError(
                f"replay shard {self._index}: of the first {steps} steps of episode {stream}, "
                f"the log holds {reached} that end a fragment"
            )
        return fragments

    def close_stream(self, position: StreamState) -> Tally:
        """Take no more from a worker that died; counts what it brought beyond a position."""
        mine = (position.worker, position.incarnation)
        self._closed.add(mine)
        beyond = [
            place.length
            for key, place in self._accepted.items()
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
            relabelling: Goals to put in place of those of a goal task.
            wishes: What is wanted besides the base columns.
            known: Prior and online row from which on nothing counts as known yet; None: all is.

        Raises:
            LookupError: A row is not held, or holds NaN; names shard and row.
        """
        try:
            return self._memory.take(rows, relabelling, wishes, known)
        except NotFinite as error:
            raise NotFinite(f"replay shard {self._index}: {error}", error.block) from error
        except LookupError as error:
            raise LookupError(f"replay shard {self._index}: {error}") from error

    def flush(self) -> None:
        """Turn what was accepted into Parquet files; it is safe without that."""
        if self._log is not None:
            self._log.flush()

    def restarts(self) -> int:
        """How often its process was started again."""
        return 0

    def _load_prior(self, source: Source, loaded: Loaded) -> None:
        sums = Sums()
        for number, episode in read_share(source, self._spec, self._index, self._num_shards):
            loaded.episodes[source.name] += 1
            loaded.transitions[source.name] += len(episode)
            loaded.out_of_range[source.name] += out_of_range(episode, self._spec)
            loaded.demonstrations[source.name] += episode.origin.kind == "demonstration"
            kept = clipped(episode, self._spec) if self._config.clip_prior_actions else episode
            self._store(kept, source.name, key=(number,))
            if self._config.normalize_observations:
                seen = inputs(kept, Layout.of(self._spec))[:-1]
                sums = added((sums, sums_of(seen)))
        loaded.observation_sums.append(sums)

    def _load_log(self, log: ExperienceLog, forgotten: Collection[tuple[int, ...]]) -> None:
        for fragment in log.earlier(lambda its: shard_of(its, self._num_shards) == self._index):
            self._restore(fragment, forgotten)
        for fragment in log.own():
            place = self._restore(fragment, forgotten)
            if place.row != fragment.row:
                raise InputError(
                    f"replay shard {self._index}: what it kept in row {fragment.row} would now lie "
                    f"in row {place.row}: the prior data or the log was changed under a run; "
                    "put it back, or start a new run"
                )

    def _restore(
        self, fragment: LoggedFragment, forgotten: Collection[tuple[int, ...]]
    ) -> Placement:
        key = _key(fragment.episode)
        if key not in self._accepted:
            keep = key not in forgotten
            self._accepted[key] = self._store(fragment.episode, fragment.source, key, keep=keep)
        return self._accepted[key]

    def _store(
        self, fragment: Episode, source: str, key: tuple[int, ...], *, keep: bool = True
    ) -> Placement:
        store = self._memory.store if keep else self._memory.skip
        row = store(fragment, source)
        goals = fragment.desired_goals if self._spec.goal_size else None
        goal = () if goals is None else tuple(map(float, goals[0]))
        place = Placement(source, self._index, row, len(fragment), goal, key)
        self._announced.append(place)
        return place


def _key(fragment: Episode) -> tuple[int, ...]:
    return *fragment.origin.stream, fragment.origin.start
