"""One shard of the replay: its share of the prior data, and online pieces as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from awac_dist.allocator import give_back_freed_memory
from awac_dist.data.experience import ExperienceLog
from awac_dist.data.sources import Source, clipped, out_of_range, read_share
from awac_dist.replay.hindsight import GoalRewards, Hindsight
from awac_dist.replay.ring import RingBuffer
from awac_dist.replay.sampler import ONLINE
from awac_dist.types import Array, EnvSpec, Episode, Layout, Loaded, Relabelling, Segment

ONLINE_ROWS = 1 << 40  # row numbers from here on lie in the online ring, those below are prior
REMEMBERED_INSERTS = 10_000


@dataclass(frozen=True)
class ReplayConfig:
    """The replay buffer.

    Attributes:
        capacity: Online rows kept over all shards, a piece of T transitions taking T + 1; the
            oldest pieces leave first. Prior data is kept besides and never leaves.
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
            over all shards, since pieces arrive before it hears of them.
        discount: gamma.
        clip_prior_actions: Clip the actions of prior data to the task's bounds.
        log: Where every accepted piece is kept for later runs.
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
        goal_rewards: GoalRewards | None = None,
    ) -> None:
        self._index, self._num_shards, self._spec = index, num_shards, spec
        self._layout = Layout.of(spec)
        self._prior = self._memory(None, discount, goal_rewards)
        self._online = self._memory(capacity, discount, goal_rewards)
        self._clip_prior_actions = clip_prior_actions
        self._log = log
        self._inserted: dict[tuple[int, ...], Segment] = {}

    def preload(self, sources: Sequence[Source]) -> Loaded:
        """Read this shard's share of the prior data here, not through the driver."""
        loaded = Loaded([], Counter(), Counter())
        for source in sources:
            for number, episode in read_share(source, self._spec, self._index, self._num_shards):
                loaded.out_of_range[source.name] += out_of_range(episode, self._spec)
                loaded.demonstrations[source.name] += episode.origin.kind == "demonstration"
                kept = clipped(episode, self._spec) if self._clip_prior_actions else episode
                place = self._store(self._prior, source.name, kept, key=(number,))
                loaded.placed.append((number, place))
        give_back_freed_memory()
        return loaded

    def insert(self, piece: Episode, source: str) -> Segment:
        """Accept a piece once, however often it is sent, and say where it lies.

        Pieces of the source "online" may be evicted; all others are prior data.
        """
        key = (*piece.origin.stream, piece.origin.start)
        if key not in self._inserted:
            if self._log is not None:
                self._log.append(piece)
            memory = self._online if source == ONLINE else self._prior
            self._inserted[key] = self._store(memory, source, piece, key)
            if len(self._inserted) > REMEMBERED_INSERTS:
                del self._inserted[next(iter(self._inserted))]
        return self._inserted[key]

    def take(self, rows: np.ndarray, relabelling: Relabelling | None = None) -> Array:
        """Transitions [n, width] for the row numbers [n], in one contiguous block.

        Args:
            rows: [n] numbers.
            relabelling: Goals to put in place of those of a goal task.

        Raises:
            LookupError: A row is not held, or holds NaN; names shard and row.
        """
        block = np.empty((len(rows), self._layout.width), np.float32)
        try:
            for memory, first, mine in (
                (self._prior, 0, rows < ONLINE_ROWS),
                (self._online, ONLINE_ROWS, rows >= ONLINE_ROWS),
            ):
                if mine.any():
                    block[mine] = _taken(memory, rows[mine] - first, _part(relabelling, mine))
        except LookupError as error:
            raise LookupError(f"replay shard {self._index}: {error}") from error
        return block

    def flush(self) -> None:
        """Put everything that was accepted on disk."""
        if self._log is not None:
            self._log.flush()

    def _memory(
        self, capacity: int | None, discount: float, goal_rewards: GoalRewards | None
    ) -> _Memory:
        ring = RingBuffer(self._layout, capacity, discount=discount)
        return _Memory(ring, goal_rewards and Hindsight(ring, self._layout, goal_rewards))

    def _store(
        self, memory: _Memory, source: str, episode: Episode, key: tuple[int, ...]
    ) -> Segment:
        row = memory.ring.append(episode)
        if memory.hindsight is not None:
            memory.hindsight.append((source, episode.origin.stream), row, episode)
        first = row + (ONLINE_ROWS if memory is self._online else 0)
        goals = episode.desired_goals if self._layout.goal_size else None
        goal = () if goals is None else tuple(map(float, goals[0]))
        return Segment(source, self._index, first, len(episode), goal, key)


def _taken(memory: _Memory, rows: np.ndarray, relabelling: Relabelling | None) -> Array:
    block = memory.ring.take(rows)
    if relabelling is not None and memory.hindsight is not None:
        memory.hindsight.relabel(block, rows, relabelling)
    return block


def _part(relabelling: Relabelling | None, mine: np.ndarray) -> Relabelling | None:
    return relabelling and Relabelling(relabelling.futures[mine], relabelling.goals[mine])
