"""One shard of the replay: its share of the prior data, and online fragments as they come.

A fragment is in the experience log before it is acknowledged. A shard that starts again reads the
prior data and then the log, and holds every fragment in the row in which it was before.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from awac_dist.allocator import give_back_freed_memory
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.fragments import LoggedFragment
from awac_dist.data.sources import Source, clipped, out_of_range, read_share
from awac_dist.errors import InputError, NotFinite
from awac_dist.messages import Loaded, Placement, Relabelling
from awac_dist.replay.hindsight import GoalRewards, Hindsight
from awac_dist.replay.layout import Layout
from awac_dist.replay.placement import shard_of
from awac_dist.replay.ring import RingBuffer
from awac_dist.replay.sampler import ONLINE
from awac_dist.types import Array, EnvSpec, Episode

ONLINE_ROWS = 1 << 40  # row numbers from here on lie in the online ring, those below are prior
REMEMBERED_INSERTS = 10_000  # and all that are still held


@dataclass(frozen=True)
class ReplayConfig:
    """The replay buffer.

    Attributes:
        capacity: Online rows kept over all shards, a fragment of T transitions taking T + 1; the
            oldest fragments leave first. Prior data is kept besides and never leaves.
        mixture: Shares of each online batch by source, such as {"offline": 0.5, "online": 0.5};
            empty draws uniformly over everything, as the paper does.
        clip_prior_actions: Clip the actions of prior data to the task's bounds, as the authors do
            with the hand demonstrations; otherwise they are kept as they are. Online actions
            are always kept as they were chosen.
        goals: Of a goal task, shares of AWAC's batches by whose goal a transition is after:
            "rollout" (its own), "future" (one that the rest of its episode achieves) and
            "environment" (another episode's), such as {"rollout": 0.2, "future": 0.3,
            "environment": 0.5}; empty leaves every goal as it was.
    """

    capacity: int = 1_000_000
    mixture: dict[str, float] | None = None
    clip_prior_actions: bool = False
    goals: dict[str, float] | None = None


class _Memory(NamedTuple):
    """A ring, and what relabels the transitions of a goal task in it."""

    first_row: int  # number by which the ring's row 0 is known
    ring: RingBuffer
    hindsight: Hindsight | None


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
        self._layout = Layout.of(spec)
        self._prior = self._memory(0, None, discount, goal_rewards)
        self._online = self._memory(ONLINE_ROWS, capacity, discount, goal_rewards)
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
            memory = self._memory_of(source)
            if self._log is not None:
                self._log.append(fragment, source, memory.first_row + memory.ring.next_row)
            self._remember(self._store(memory, source, fragment, key))
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
            return self._take(rows, relabelling)
        except NotFinite as error:
            raise NotFinite(f"replay shard {self._index}: {error}", error.block) from error
        except LookupError as error:
            raise LookupError(f"replay shard {self._index}: {error}") from error

    def _take(self, rows: np.ndarray, relabelling: Relabelling | None) -> Array:
        online = rows >= ONLINE_ROWS
        if online.all() or not online.any():
            memory = self._online if online.any() else self._prior
            return _taken(memory, rows, relabelling)
        block = np.empty((len(rows), self._layout.width), np.float32)
        for memory, mine in ((self._prior, ~online), (self._online, online)):
            block[mine] = _taken(memory, rows[mine], _part(relabelling, mine))
        return block

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
            place = self._store(self._prior, source.name, kept, key=(number,))
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
            memory = self._memory_of(fragment.source)
            self._remember(self._store(memory, fragment.source, fragment.episode, key))
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
        memory = self._memory_of(place.source)
        return place.row - memory.first_row >= memory.ring.oldest_row

    def _memory_of(self, source: str) -> _Memory:
        return self._online if source == ONLINE else self._prior

    def _memory(
        self,
        first_row: int,
        capacity: int | None,
        discount: float,
        goal_rewards: GoalRewards | None,
    ) -> _Memory:
        ring = RingBuffer(self._layout, capacity, discount=discount)
        hindsight = goal_rewards and Hindsight(ring, self._layout, goal_rewards)
        return _Memory(first_row, ring, hindsight)

    def _store(
        self, memory: _Memory, source: str, episode: Episode, key: tuple[int, ...]
    ) -> Placement:
        row = memory.ring.append(episode)
        if memory.hindsight is not None:
            memory.hindsight.append((source, episode.origin.stream), row, episode)
        goals = episode.desired_goals if self._layout.goal_size else None
        goal = () if goals is None else tuple(map(float, goals[0]))
        return Placement(source, self._index, memory.first_row + row, len(episode), goal, key)


def _key(fragment: Episode) -> tuple[int, ...]:
    return *fragment.origin.stream, fragment.origin.start


def _taken(memory: _Memory, rows: np.ndarray, relabelling: Relabelling | None) -> Array:
    rows = rows - memory.first_row
    block = memory.ring.take(rows)
    if relabelling is not None and memory.hindsight is not None:
        memory.hindsight.relabel(block, rows, relabelling)
    return block


def _part(relabelling: Relabelling | None, mine: np.ndarray) -> Relabelling | None:
    return relabelling and Relabelling(relabelling.futures[mine], relabelling.goals[mine])
