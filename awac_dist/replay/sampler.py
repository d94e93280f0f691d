"""Which transitions enter a batch: exactly uniform over all shards, or an exact mixture.

The sampler knows where every piece lies and how long it is, but holds no data. Draws
depend on the seed, the batch's number and the order in which pieces were registered,
never on the number of shards or on timing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from awac_dist.types import Array, Relabelling, Segment

ONLINE = "online"
OFFLINE = "offline"
ROLLOUT, FUTURE, ENVIRONMENT = GOALS = ("rollout", "future", "environment")
BATCH_STREAM = 0xBA7C  # keeps the draws apart from what workers draw from the same seed


class Draw(NamedTuple):
    """Rows to fetch for some batches, in order, and which goals to give them."""

    shards: np.ndarray  # [n]
    rows: np.ndarray  # [n]
    futures: Array  # [n] as in `Relabelling`
    goals: Array  # [n, G], G = 0 where goals stay as they are

    def relabelling(self, positions: np.ndarray) -> Relabelling | None:
        """What to ask of a shard besides the rows at some positions."""
        if not self.goals.shape[1]:
            return None
        return Relabelling(self.futures[positions], self.goals[positions])


class Places(NamedTuple):
    """Where transitions lie, and the goals that their pieces were after."""

    shards: np.ndarray  # [n]
    rows: np.ndarray  # [n]
    goals: Array  # [n, G]


class _Table:
    """Pieces of one source in the order of their arrival, with running totals."""

    def __init__(self) -> None:
        self._columns = np.zeros((3, 64), np.int64)  # shard, row, transitions up to its end
        self._goals = np.zeros((64, 0), np.float32)
        self._keys = np.zeros((64, 0), np.int64)
        self._count = 0
        self._first = 0  # pieces before this one are forgotten
        self._forgotten = 0  # transitions in them

    @property
    def total(self) -> int:
        return self._end - self._forgotten

    @property
    def rows(self) -> int:
        """Rows in the ring: a piece takes one more than it has transitions."""
        return self.total + self._count - self._first

    @property
    def goal_size(self) -> int:
        return self._goals.shape[1]

    @property
    def _end(self) -> int:
        return int(self._columns[2, self._count - 1]) if self._count else 0

    def append(self, segment: Segment) -> None:
        if not self._count:
            self._goals = np.zeros((64, len(segment.goal)), np.float32)
            self._keys = np.zeros((64, len(segment.key)), np.int64)
        if self._count == self._columns.shape[1]:
            self._columns = np.hstack((self._columns, np.zeros_like(self._columns)))
            self._goals = np.vstack((self._goals, np.zeros_like(self._goals)))
            self._keys = np.vstack((self._keys, np.zeros_like(self._keys)))
        end = self._end + segment.length
        self._columns[:, self._count] = (segment.shard, segment.row, end)
        self._goals[self._count] = segment.goal
        self._keys[self._count] = segment.key
        self._count += 1

    @property
    def keys(self) -> np.ndarray:
        """Names [n, K] of the pieces in play, in order."""
        return self._keys[self._first : self._count]

    def forget_oldest(self) -> None:
        self._forgotten = int(self._columns[2, self._first])
        self._first += 1

    def locate(self, positions: np.ndarray) -> Places:
        """Places of transitions numbered 0 to total - 1 in order of arrival."""
        shards, rows, ends = self._columns[:, self._first : self._count]
        positions = positions + self._forgotten
        pieces = np.searchsorted(ends, positions, side="right")
        starts = np.concatenate(([self._forgotten], ends[:-1]))
        goals = self._goals[self._first + pieces]
        return Places(shards[pieces], rows[pieces] + positions - starts[pieces], goals)


class Sampler:
    """Draws batches by number.

    Args:
        seed: Of the draws of this sampler.
        online_capacity: Rows of online pieces that are kept in play (a piece of T transitions
            takes T + 1 rows of its ring); older pieces are forgotten whole, oldest first.
            Prior data is never forgotten.
    """

    def __init__(self, seed: int, online_capacity: int) -> None:
        self._seed = seed
        self._online_capacity = online_capacity
        self._tables: dict[str, _Table] = {}
        self._mixture: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._goals: dict[str, float] = {}

    def add(self, segments: Iterable[Segment]) -> None:
        """Register pieces; their order matters to the draws that follow."""
        for segment in segments:
            self._tables.setdefault(segment.source, _Table()).append(segment)
        online = self._tables.get(ONLINE)
        while online is not None and online.rows > self._online_capacity:
            online.forget_oldest()

    def state(self) -> dict[str, np.ndarray]:
        """Names of the pieces in play, in order, by source: enough to draw as before."""
        return {source: table.keys.copy() for source, table in self._tables.items()}

    def restore(self, state: Mapping[str, np.ndarray], places: Iterable[Segment]) -> list[Segment]:
        """Put the pieces of a `state` in play again, wherever they lie by now.

        Args:
            state: What `state` returned.
            places: Where pieces lie, in any order; they may be more than those of the state.

        Returns:
            The places of pieces that are not in the state.

        Raises:
            LookupError: A piece of the state lies nowhere.
        """
        known = {(place.source, place.key): place for place in places}
        self._tables.clear()
        for source, keys in state.items():
            self._tables[source] = _Table()
            for key in map(tuple, keys.tolist()):
                if (source, key) in known:
                    self._tables[source].append(known.pop((source, key)))
                elif source != ONLINE:  # those may have been evicted since
                    raise LookupError(f"piece {key} of {source} is in no shard any more")
        return list(known.values())

    def sizes(self) -> dict[str, int]:
        """Transitions in play, by source."""
        return {source: table.total for source, table in self._tables.items()}

    def set_mixture(self, mixture: Mapping[str, float]) -> None:
        """Draw given shares of each batch from given sources; empty: uniform over all.

        Args:
            mixture: Source -> share. "offline" stands for all sources but "online".

        Raises:
            ValueError: The shares do not add up to one, or a source is not known.
        """
        if mixture and abs(sum(mixture.values()) - 1.0) > 1e-9:
            raise ValueError(f"the shares of the mixture add up to {sum(mixture.values())}, not 1")
        unknown = set(mixture) - set(self._tables) - {ONLINE, OFFLINE}
        if unknown:
            raise ValueError(f"no source {sorted(unknown)[0]!r}; there are {sorted(self._tables)}")
        self._mixture = dict(mixture)

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Draw each transition of a source so many times likelier than one of weight 1.

        Within an "offline" or uniform share only: a mixture's own shares stay as they are.

        Args:
            weights: Source -> weight above 0; sources that are not named have weight 1.
        """
        self._weights = {source: weight for source, weight in weights.items() if weight != 1.0}

    def set_goals(self, shares: Mapping[str, float]) -> None:
        """Give each transition of a goal task its own goal or another one, by these shares.

        Args:
            shares: "rollout", "future" and "environment" -> share; empty: every goal stays.
        """
        self._goals = dict(shares)

    def draw(self, batch_number: int, batch_size: int) -> Draw:
        """Rows of one batch, with replacement.

        Raises:
            LookupError: A source that must give a share holds nothing.
        """
        rng = np.random.default_rng((self._seed, BATCH_STREAM, batch_number))
        groups, shares = self._groups()
        # Systematic sampling: every count is within one of its share, exact on average.
        edges = np.floor(np.cumsum((0.0, *shares)) * batch_size + rng.random() + 1e-9)
        edges[0], edges[-1] = edges[0], edges[0] + batch_size
        counts = np.diff(edges).astype(int)
        drawn = [self._draw_group(g, n, rng) for g, n in zip(groups, counts, strict=True) if n]
        shards, rows, goals = (np.concatenate(columns) for columns in zip(*drawn, strict=True))
        return self._draw_goals(Places(shards, rows, goals), rng)

    def _draw_goals(self, places: Places, rng: np.random.Generator) -> Draw:
        """Decide transition by transition whose goal it gets."""
        count = len(places.rows)
        futures = np.full(count, np.nan, np.float32)
        if not self._goals:
            return Draw(places.shards, places.rows, futures, np.empty((count, 0), np.float32))
        goals = np.full_like(places.goals, np.nan)
        kinds, shares = list(self._goals), list(self._goals.values())
        kind = rng.choice(len(kinds), size=count, p=shares)
        later = kind == (kinds.index(FUTURE) if FUTURE in kinds else -1)
        other = kind == (kinds.index(ENVIRONMENT) if ENVIRONMENT in kinds else -1)
        futures[later] = rng.random(int(later.sum()), np.float32)
        if other.any():
            everything = list(self._tables)
            goals[other] = self._draw_group(everything, int(other.sum()), rng).goals
        return Draw(places.shards, places.rows, futures, goals)

    def _groups(self) -> tuple[list[list[str]], list[float]]:
        """Lists of sources that are drawn from uniformly together, and their shares."""
        groups, shares = [list(self._tables)], [1.0]
        if self._mixture:
            offline = [source for source in self._tables if source != ONLINE]
            groups = [offline if name == OFFLINE else [name] for name in self._mixture]
            shares = list(self._mixture.values())
        if self._weights:
            return self._weighted(groups, shares)
        return groups, shares

    def _weighted(
        self, groups: list[list[str]], shares: list[float]
    ) -> tuple[list[list[str]], list[float]]:
        """Split each group by source, so that a source's share follows weight x size."""
        split: list[list[str]] = []
        split_shares: list[float] = []
        for group, share in zip(groups, shares, strict=True):
            sizes = [
                self._weights.get(s, 1.0) * self._tables[s].total if s in self._tables else 0.0
                for s in group
            ]
            if sum(sizes):
                split += [[source] for source in group]
                split_shares += [share * size / sum(sizes) for size in sizes]
            else:  # kept, to be refused when its share is drawn
                split.append(group)
                split_shares.append(share)
        return split, split_shares

    def _draw_group(self, sources: Sequence[str], count: int, rng: np.random.Generator) -> Places:
        tables = [self._tables[s] for s in sources if s in self._tables]
        ends = np.cumsum([table.total for table in tables])
        if not len(ends) or not ends[-1]:
            raise LookupError(f"no transitions to draw from {list(sources)}: load or collect first")
        positions = rng.integers(ends[-1], size=count)
        owner = np.searchsorted(ends, positions, side="right")
        shards, rows = np.empty((2, count), np.int64)
        goals = np.empty((count, tables[0].goal_size), np.float32)
        for number, table in enumerate(tables):
            mine = owner == number
            start = ends[number] - table.total
            shards[mine], rows[mine], goals[mine] = table.locate(positions[mine] - start)
        return Places(shards, rows, goals)
