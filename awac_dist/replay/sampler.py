"""Which transitions enter a batch: exactly uniform over all shards, or an exact mixture.

The sampler knows where every fragment lies and how long it is, but holds no data. Draws
depend on the seed, the batch's number and the order in which fragments were registered,
never on the number of shards or on timing. The fragments of all sources but "online" lie in the
order of their names, whenever they were registered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from awac_dist.messages import Placement, Relabelling
from awac_dist.replay.table import Places, Table
from awac_dist.types import Array

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

    def relabelling(self, positions: np.ndarray | slice) -> Relabelling | None:
        """What to ask of a shard besides the rows at some positions."""
        if not self.goals.shape[1]:
            return None
        return Relabelling(self.futures[positions], self.goals[positions])


class _Pool(NamedTuple):
    """Sources that are drawn from uniformly together, by the numbers of all transitions."""

    sources: list[str]
    ends: np.ndarray  # [s] of each known source in the pool's own numbers
    shifts: np.ndarray  # [s] from those to the numbers through all tables
    is_round: bool  # of on-policy learning

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Transitions [n] with replacement; of a round as equally often as can be."""
        if not len(self.ends) or not self.ends[-1]:
            raise LookupError(f"no transitions to draw from {self.sources}: load or collect first")
        total = int(self.ends[-1])
        numbers: np.ndarray
        if self.is_round:  # a batch of its size is the whole of it
            numbers = rng.permutation(total)[np.arange(count) % total]
        else:
            numbers = rng.integers(total, size=count)
        if self.shifts.any():
            numbers += self.shifts[np.searchsorted(self.ends, numbers, side="right")]
        return numbers


class Sampler:
    """Draws batches by number.

    Args:
        seed: Of the draws of this sampler.
        online_capacity: Rows of online fragments that are kept in play (a fragment of T transitions
            takes T + 1 rows of its ring); older fragments are forgotten whole, oldest first.
            Prior data is never forgotten.
        sources: Those of the prior data in order -> how much likelier each transition of theirs is
            drawn than one of weight 1, within an "offline" or uniform share: a mixture's own
            shares stay as they are.

    Attributes:
        version: Draws of one and the same batch are equal as long as this stays.
    """

    def __init__(
        self, seed: int, online_capacity: int, sources: Mapping[str, float] | None = None
    ) -> None:
        self._seed, self._online_capacity = seed, online_capacity
        self._order = list(sources or ())
        self._weights = {name: w for name, w in (sources or {}).items() if w != 1.0}
        self._tables: dict[str, Table] = {}
        self._ends = Counter[tuple[int, bool]]()  # by shard and whether online, see `known`
        self._mixture: dict[str, float] = {}
        self._goals: dict[str, float] = {}
        self._newest: int | None = None
        self.version = 0

    def add(self, placements: Iterable[Placement]) -> None:
        """Register fragments; the order of online ones matters to the draws that follow."""
        touched = set[str]()
        for place in placements:
            touched.add(place.source)
            self._table(place.source).append(place)
            half = place.shard, place.source == ONLINE
            self._ends[half] = max(self._ends[half], place.row + place.length + 1)
        self.version += bool(touched)
        for source in touched - {ONLINE}:
            self._tables[source].sort()
        online = self._tables.get(ONLINE)
        while online is not None and online.rows > self._online_capacity:
            online.forget_oldest()

    def _table(self, source: str) -> Table:
        """The table of a source; a new one takes its place: prior data, clone, online."""
        if source not in self._tables:
            self._tables[source] = Table()
            ranks = {name: rank for rank, name in enumerate(self._order)} | {ONLINE: 2 * 10**9}
            names = sorted(self._tables, key=lambda name: ranks.get(name, 10**9))
            self._tables = {name: self._tables[name] for name in names}
        return self._tables[source]

    def known(self, shard: int) -> tuple[int, int]:
        """Prior and online row of a shard from which on nothing was registered."""
        return self._ends[shard, False], self._ends[shard, True]

    def oldest_rows(self, num_shards: int) -> list[int]:
        """The lowest online row that may be drawn of each shard, or from which on one may be."""
        ends = [self.known(shard)[1] for shard in range(num_shards)]
        return self._tables[ONLINE].oldest_rows(ends) if ONLINE in self._tables else ends

    def keys(self) -> dict[str, np.ndarray]:
        """Names of the fragments in play, in order, by source."""
        return {source: table.keys.copy() for source, table in self._tables.items()}

    def sizes(self) -> dict[str, int]:
        """Transitions in play, by source."""
        return {source: table.total for source, table in self._tables.items()}

    def set_mixture(self, mixture: Mapping[str, float], newest: int | None = None) -> None:
        """Draw given shares of each batch from given sources; empty: uniform over all.

        Args:
            mixture: Source -> share. "offline" stands for all sources but "online".
            newest: Of online transitions, only the so many that were registered last; None is all.

        Raises:
            ValueError: The shares do not add up to one, or a source is not known.
        """
        if mixture and abs(sum(mixture.values()) - 1.0) > 1e-9:
            raise ValueError(f"the shares of the mixture add up to {sum(mixture.values())}, not 1")
        unknown = set(mixture) - set(self._tables) - {ONLINE, OFFLINE}
        if unknown:
            raise ValueError(f"no source {sorted(unknown)[0]!r}; there are {sorted(self._tables)}")
        self._mixture, self._newest = dict(mixture), newest
        self.version += 1

    def set_goals(self, shares: Mapping[str, float]) -> None:
        """Give transitions of a goal task goals of these `GOALS`, by share; empty: their own."""
        self._goals = dict(shares)
        self.version += 1

    def draw(self, batch_number: int, batch_size: int, batches: int = 1) -> Draw:
        """Rows of some batches, with replacement; the same whether drawn at once or one by one.

        Of the newest online transitions, where they are a group of the mixture, none is drawn twice
        in a batch before all are.

        Raises:
            LookupError: A source that must give a share holds nothing.
        """
        numbers = range(batch_number, batch_number + batches)
        rngs = [np.random.default_rng((self._seed, BATCH_STREAM, number)) for number in numbers]
        shards, rows, own = self._locate(self._draw_numbers(batch_size, rngs))
        if not self._goals:
            return Draw(shards, rows, np.full(len(rows), np.nan, np.float32), own[:, :0])
        wishes = [self._draw_goals(batch_size, rng) for rng in rngs]
        futures, lenders = map(np.concatenate, zip(*wishes, strict=True))
        goals, lent = np.full_like(own, np.nan), lenders >= 0
        if lent.any():
            _, _, goals[lent] = self._locate(lenders[lent])
        return Draw(shards, rows, futures, goals)

    def _draw_numbers(self, batch_size: int, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Transitions [n] of as many batches as there are generators, batch by batch."""
        groups = self._groups()
        bounds = np.cumsum((0.0, *(share for _, share in groups)))
        # Systematic sampling: every count is within one of its share, exact on average.
        offsets = np.array([rng.random() for rng in rngs])[:, None]
        edges = np.floor(bounds * batch_size + offsets + 1e-9)
        edges[:, -1] = edges[:, 0] + batch_size
        counts = np.diff(edges).astype(int).tolist()
        pools = [self._pool(sources) for sources, _ in groups]
        drawn = [
            pool.draw(count, rng)
            for rng, own in zip(rngs, counts, strict=True)
            for pool, count in zip(pools, own, strict=True)
            if count
        ]
        return np.concatenate(drawn)

    def _draw_goals(self, count: int, rng: np.random.Generator) -> tuple[Array, np.ndarray]:
        """Futures [n] as in `Relabelling`; transitions [n] whose goal is taken, -1 for none."""
        futures, lenders = np.full(count, np.nan, np.float32), np.full(count, -1)
        chosen = rng.choice(len(self._goals), size=count, p=list(self._goals.values()))
        kinds = np.array(list(self._goals))[chosen]
        later, other = kinds == FUTURE, kinds == ENVIRONMENT
        futures[later] = rng.random(int(later.sum()), np.float32)
        if other.any():
            lenders[other] = self._pool(list(self._tables)).draw(int(other.sum()), rng)
        return futures, lenders

    def _groups(self) -> list[tuple[list[str], float]]:
        """Sources that are drawn from uniformly together, and their share of a batch."""
        offline = [source for source in self._tables if source != ONLINE]
        groups = [
            (offline if name == OFFLINE else [name], share) for name, share in self._mixture.items()
        ] or [(list(self._tables), 1.0)]
        return [part for group in groups for part in self._weighted(*group)]

    def _weighted(self, sources: list[str], share: float) -> list[tuple[list[str], float]]:
        """A group, split so that a source's share follows weight x size where weights differ."""
        sizes = {
            source: self._weights.get(source, 1.0) * self._tables[source].total
            for source in sources
            if source in self._tables
        }
        total = sum(sizes.values())
        if not self._weights or not total:  # nothing is refused when its share is drawn
            return [(sources, share)]
        return [([source], share * size / total) for source, size in sizes.items()]

    def _pool(self, sources: list[str]) -> _Pool:
        known = [source for source in sources if source in self._tables]
        sizes = [self._tables[source].total for source in known]
        if self._newest is not None and ONLINE in known:
            place = known.index(ONLINE)
            sizes[place] = min(sizes[place], self._newest)
        ends = np.cumsum(sizes)
        through_all = dict(zip(self._tables, self._table_ends(), strict=True))
        shifts = np.array([through_all[source] for source in known]) - ends
        return _Pool(sources, ends, shifts, self._newest is not None and known == [ONLINE])

    def _table_ends(self) -> np.ndarray:
        """Where each table ends in the numbers of all transitions."""
        return np.cumsum([table.total for table in self._tables.values()])

    def _locate(self, numbers: np.ndarray) -> Places:
        tables = list(self._tables.values())
        shards, rows = np.empty((2, len(numbers)), np.int64)
        goals = np.empty((len(numbers), tables[0].goal_size), np.float32)
        for table, end in zip(tables, self._table_ends(), strict=True):
            start = end - table.total
            mine = np.flatnonzero((numbers >= start) & (numbers < end))
            shards[mine], rows[mine], goals[mine] = table.locate(numbers[mine] - start)
        return shards, rows, goals
