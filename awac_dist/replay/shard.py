"""One shard of the replay: its share of the prior data, and online fragments as they come.

A fragment is in the experience log before it is acknowledged. A shard that starts again reads the
prior data and then the log, and holds every fragment in the row in which it was before.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from awac_dist.allocator import give_back_freed_memory
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.fragments import LoggedFragment
from awac_dist.data.sources import Source, clipped, out_of_range, read_share
from awac_dist.errors import InputError, NotFinite
from awac_dist.messages import Loaded, Placement, Relabelling
from awac_dist.replay.config import ReplayConfig
from awac_dist.replay.hindsight import GoalRewards
from awac_dist.replay.memory import Memory
from awac_dist.replay.placement import shard_of
from awac_dist.replay.sampler import ONLINE
from awac_dist.types import Array, EnvSpec, Episode

REMEMBERED_INSERTS = 10_000  # and all that are still held


class ReplayShard:
    """Owns some of the episodes and hands out their transitions by row number.

    A plain object; `distributed.actors` gives it a process of its own, where Ray runs one
    method at a time, so no method takes a lock.

    Args:
        index: This shard's number, of `num_shards`.
        spec: The task, whose sizes every episode must have.
        capacity: Online rows that this shard holds at most; more than the sampler keeps in play
            over all shards, since fragments arrive before it hears of them.
        discount: gamma.
        clip_prior_actions: Clip the actions of prior data to the task's bounds.
        log: Where every accepted fragment is kept; None forgets them with this object.
        sources: Prior data.
        goal_rewards: The rule by which a goal task rewards other goals; None for other tasks.
    """

    def __init__(
        self,
        index: int,
        num_shards: int,
        spec: EnvSpec,
        *,
        capacity: int,
        discount: float,
        clip_prior_actions: bool,
        log: ExperienceLog | None,
        sources: Sequence[Source] = (),
        goal_rewards: GoalRewards | None = None,
    ) -> None:
        self._index, self._num_shards, self._spec = index, num_shards, spec
        self._memory = Memory(
            spec, discount=discount, config=ReplayConfig(), goal_rewards=goal_rewards
        )
        self._capacity = capacity
        self._clip_prior_actions = clip_prior_actions
        self._log, self._sources = log, sources
        self._inserted: dict[tuple[int, ...], Placement] = {}
        self._closed: set[tuple[int, ...]] = set()  # (worker, incarnation)
        self._evictable: deque[tuple[int, ...]] = deque()  # keys of online fragments, oldest first
        self._loaded: Loaded | None = None

    def load(self) -> Loaded:
        """Read this shard's share of the prior data, then what the log holds for it.

        Here, not through the driver; and once, however often it is asked for. Of earlier sessions
        it reads its share of all shards' logs, then what it logged itself in this session.

        Raises:
            InputError: Something cannot be read, or is not what it was when the log was written.
        """
        if self._loaded is None:
            loaded = Loaded([], Counter(), Counter(), [])
            for source in self._sources:
                self._load_prior(source, loaded)
            if self._log is not None:
                self._load_log(self._log)
            loaded.logged.extend(filter(self._holds, self._inserted.values()))
            give_back_freed_memory()
            self._loaded = loaded
        return self._loaded

    def insert(self, fragment: Episode, source: str) -> Placement:
        """Accept a fragment once, however often it is sent, and say where it lies.

        Fragments of the source "online" may be evicted; all others are prior data.
        """
        key = _key(fragment)
        if key[:2] in self._closed:
            raise RuntimeError(
                f"worker {key[0]} was replaced: its fragments are not taken any more"
            )
        if key not in self._inserted:
            if self._log is not None:
                self._log.append(fragment, source, self._memory.next_row(source))
            self._remember(self._store(fragment, source, key))
        return self._inserted[key]

    def placements(self) -> list[Placement]:
        """Where everything lies that can be drawn."""
        prior = [place for _, place in self.load().placed]
        return prior + list(filter(self._holds, self._inserted.values()))

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

    def close_stream(self, worker: int, incarnation: int) -> list[Placement]:
        """Take no more from a worker that died; returns its fragments that are remembered here."""
        mine = (worker, incarnation)
        self._closed.add(mine)
        return [place for key, place in self._inserted.items() if key[:2] == mine]

    def take(self, rows: np.ndarray, relabelling: Relabelling | None = None) -> Array:
        """Transitions [n, width] for the row numbers [n], in one contiguous block.

        Args:
            rows: [n] numbers.
            relabelling: Goals to put in place of those of a goal task.

        Raises:
            LookupError: A row is not held, or holds NaN; names shard and row.
        """
        try:
            return self._memory.take(rows, relabelling)
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
        for number, episode in read_share(source, self._spec, self._index, self._num_shards):
            loaded.out_of_range[source.name] += out_of_range(episode, self._spec)
            loaded.demonstrations[source.name] += episode.origin.kind == "demonstration"
            kept = clipped(episode, self._spec) if self._clip_prior_actions else episode
            place = self._store(kept, source.name, key=(number,))
            loaded.placed.append((number, place))

    def _load_log(self, log: ExperienceLog) -> None:
        for fragment in log.earlier(lambda its: shard_of(its, self._num_shards) == self._index):
            self._restore(fragment)
        for fragment in log.own():
            place = self._restore(fragment)
            if place.row != fragment.row:
                raise InputError(
                    f"replay shard {self._index}: what it kept in row {fragment.row} would now lie "
                    f"in row {place.row}: the prior data or the log was changed under a run; "
                    "put it back, or start a new run"
                )

    def _restore(self, fragment: LoggedFragment) -> Placement:
        key = _key(fragment.episode)
        if key not in self._inserted:
            self._remember(self._store(fragment.episode, fragment.source, key))
        return self._inserted[key]

    def _remember(self, place: Placement) -> None:
        """Know a fragment by its key, at least as long as it is held."""
        self._inserted[place.key] = place
        if place.source == ONLINE:
            self._evictable.append(place.key)
        while len(self._evictable) > REMEMBERED_INSERTS:
            if self._holds(self._inserted[self._evictable[0]]):
                break
            del self._inserted[self._evictable.popleft()]

    def _holds(self, place: Placement) -> bool:
        return self._memory.holds(place.row)

    def _store(self, fragment: Episode, source: str, key: tuple[int, ...]) -> Placement:
        row = self._memory.store(fragment, source)
        self._memory.release(self._memory.next_row(ONLINE) - self._capacity)
        goals = fragment.desired_goals if self._spec.goal_size else None
        goal = () if goals is None else tuple(map(float, goals[0]))
        return Placement(source, self._index, row, len(fragment), goal, key)


def _key(fragment: Episode) -> tuple[int, ...]:
    return *fragment.origin.stream, fragment.origin.start
