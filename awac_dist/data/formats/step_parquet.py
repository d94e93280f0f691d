"""Parquet with one row a step, whose columns have any names: RLlib's, LeRobot's."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from awac_dist.data.columns import Place
from awac_dist.data.format import needed_package
from awac_dist.data.formats import restricted_pickle
from awac_dist.data.parquet import read_schema, read_tables
from awac_dist.errors import InputError
from awac_dist.files import BOUNDS_BYTES, RECORD_BYTES, Budget
from awac_dist.types import Episode, Kind, Origin

ROWS_PER_READ = 4096
UNPACKED_LIMIT_BYTES = 1 << 24  # of one compressed value
ID_BYTES = 2 * BOUNDS_BYTES  # what an episode costs whose rows are looked for
PART_BYTES = 3 * RECORD_BYTES  # what rows of one cost besides their numbers, until it is whole
FOLLOWED = ("next_observations", "successes", "terminals")  # the first that is there tells
Names = Mapping[str, tuple[str, ...]]  # of the file's columns, by what they are to us


class Count(NamedTuple):
    """What some files hold."""

    rows: int
    episodes: int
    left_out: int = 0  # of one step, for nothing is known to follow it

    @property
    def facts(self) -> dict[str, str]:
        """Of a file, for people."""
        left_out = {"episodes of one step without successor, left out": f"{self.left_out:,}"}
        return {"rows": f"{self.rows:,}", **(left_out if self.left_out else {})}


class ArrowPlace(Place):
    """Checks columns that are Arrow's."""

    def _numbers(self, column: Any, name: str) -> Any:
        stored = isinstance(column, pa.Array | pa.ChunkedArray)
        return super()._numbers(self._plain(column, name) if stored else column, name)

    def _plain(self, column: Any, name: str) -> Any:
        """A column as NumPy numbers, or as a list of steps where it is compressed."""
        kind, types = column.type, pa.types
        if column.null_count and not types.is_primitive(kind):
            raise self.error(name, "a step has none", "complete it or leave the episode out")
        if types.is_struct(kind) and {f.name for f in kind} == {"data", "shape"}:
            # Ray's column of arrays unlike in shape
            return self._plain(pc.struct_field(column, "data"), name)
        if types.is_string(kind) or types.is_large_string(kind):
            encoded = column.combine_chunks().dictionary_encode()
            texts = [self._unpacked(text, name) for text in encoded.dictionary.to_pylist()]
            return [texts[at] for at in encoded.indices.to_pylist()]
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            shortest, longest = pc.min_max(pc.list_value_length(column)).as_py().values()
            if shortest != longest:
                what = f"is ragged: steps of {shortest} and {longest} numbers"
                raise self.error(name, what, "store equal steps")
            values = self._plain(pc.list_flatten(column), name)
            if isinstance(values, list):
                raise self.error(name, "is a list of text", "store a list of floats a step")
            return values.reshape(len(column), longest)
        if types.is_primitive(kind) and not types.is_temporal(kind):
            values = column.to_numpy()
            return values if values.dtype.kind != "O" else values.astype(np.float32)  # has nulls
        raise self.error(name, f"is a column of {str(kind)[:60]}", "store a list of floats a step")

    def _unpacked(self, text: str, name: str) -> Any:
        """What RLlib's compression holds; its pickle goes through our own unpickler."""
        lz4 = needed_package("lz4.frame", self.file)
        with self.naming(f"{name}: is text that RLlib did not compress", "copy it again"):
            packed = base64.b64decode(text.encode("ascii"), validate=True)
            data = lz4.LZ4FrameDecompressor().decompress(packed, max_length=UNPACKED_LIMIT_BYTES)
        self.take(len(data))
        return restricted_pickle.loads(data, f"{self.file}: {self.episode}: {name}", self.budget)


class Steps:
    """The rows of some files, in their order, and what their columns are called.

    These are `id` (of the episode), `observations`, `actions`, `rewards`, and where they are there
    `next_observations`, `terminals`, `timeouts`, `successes` and `step` (in the episode).
    """

    def __init__(
        self, files: list[str], names: Names, budget: Budget, kind: Kind = "prior"
    ) -> None:
        self.files, self.names, self._budget, self._kind = files, names, budget, kind
        self._id = names["id"][0]
        self._columns = [key for keys in names.values() for key in keys]

    def count(self) -> Count:
        """What there is, from the ids of the rows and what tells of their ends."""
        numbers, counts = self._find_episodes()
        return Count(counts.total(), len(numbers), len(counts) - len(numbers))

    def widths(self) -> tuple[int, int]:
        """O and A, from the first row of all; 0 where there is none."""
        for file in self.files:
            for row in read_tables(file, 1, self._columns):
                place = ArrowPlace(file, "episode 0", self._budget)
                found = (self._chosen(place, row, name) for name in ("observations", "actions"))
                observations, actions = (place.matrix(*column).shape[1] for column in found)
                return observations, actions
        return 0, 0

    def _chosen(self, place: Place, table: pa.Table, name: str) -> tuple[Any, str]:
        """A column, or several side by side; and what the files call it."""
        keys = self.names[name]
        return place.chosen(name, keys, {key: table[key] for key in keys}), "+".join(keys)

    def read(self, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
        """Yield (number, episode) of a share, each as its last row is read."""
        (numbers, counts), (index, of), sizes = self._find_episodes(), share, self.widths()
        begun = _Begun(counts, self._budget)
        for file in self.files:
            for table in read_tables(file, ROWS_PER_READ, self._columns):
                rows = _rows_by_id(file, table, self._id)
                mine = ((numbers[id_], id_) for id_ in rows if id_ in numbers)
                for number, id_ in sorted(its for its in mine if its[0] % of == index):
                    part = table.drop_columns(self._id).take(rows[id_])
                    if parts := begun.add(id_, part, file):
                        named = f"episode {number} ({ascii(str(id_)[:40])[1:-1]})"
                        place = ArrowPlace(file, named, self._budget)
                        episode = self._episode(self._joined(parts, place), number, place)
                        place.check_widths(episode, sizes)
                        yield number, episode

    def _find_episodes(self) -> tuple[dict[Any, int], Counter[Any]]:
        """The number of each episode, and how many rows each id has.

        An episode is left out, and has no number, if it is one step after which nothing was seen
        and which is no true end.
        """
        counts: Counter[Any] = Counter()
        last_rows: dict[Any, int] = {}
        unfollowed: set[Any] = set()
        for file in self.files:
            for table, followed in self._ids(file):
                before = counts.total()
                for id_, rows in _rows_by_id(file, table, self._id).items():
                    self._budget.take((id_ not in counts) * ID_BYTES, file)
                    last = rows[-1].as_py()
                    last_rows[id_] = before + last
                    counts[id_] += len(rows)
                    if not followed[last]:
                        unfollowed.add(id_)
        kept = [id_ for id_, rows in counts.items() if rows > 1 or id_ not in unfollowed]
        order = sorted(kept, key=last_rows.__getitem__)
        return {id_: number for number, id_ in enumerate(order)}, counts

    def _ids(self, file: str) -> Iterator[tuple[pa.Table, np.ndarray]]:
        """Rows of a file with their ids, and which have a successor, or none to have."""
        there = {*read_schema(file).names}
        known = {name for name, keys in self.names.items() if there.issuperset(keys)}
        told_by = next((name for name in FOLLOWED if name in known), None)
        if told_by in (None, "next_observations"):
            for table in read_tables(file, 1 << 16, [self._id]):
                yield table, np.full(table.num_rows, told_by is not None)
            return
        flag = self.names[told_by][0]
        for table in read_tables(file, 1 << 16, [self._id, flag]):
            yield table, pc.fill_null(table[flag].cast(pa.float32()), 0).to_numpy() != 0

    def _joined(self, parts: list[pa.Table], place: Place) -> pa.Table:
        for name in self._columns:
            if len({name in part.column_names for part in parts}) > 1:
                raise place.error(name, "is missing in one of its files", "add it")
        with place.naming("columns", "store them alike in all files"):
            return pa.concat_tables(parts, promote_options="permissive")

    def _episode(self, table: pa.Table, number: int, place: ArrowPlace) -> Episode:
        steps, there = table.num_rows, {*table.column_names}
        names = {name: keys[0] for name, keys in self.names.items() if there.issuperset(keys)}
        table, start = _in_order(table, names.get("step"), place)
        observations = place.matrix(*self._chosen(place, table, "observations"))
        successor, successes, rewards = None, None, np.zeros(steps, np.float32)
        if "next_observations" in names:
            column, name = self._chosen(place, table, "next_observations")
            successor = place.successor(observations, column, steps, name)
        ended = {"terminals": False, "timeouts": False}
        for name in ended.keys() & names:
            flags = pc.fill_null(table[names[name]].cast(pa.float32()), 0)
            ended[name] = place.ends(flags, steps, names[name], "give what follows its own id")
        if "successes" in names:
            successes = place.decisive(table[names["successes"]].cast(pa.float32()), "successes")
            ended["terminals"] = bool(successes[-1])
        if "rewards" in names:
            rewards = place.vector(table[names["rewards"]], names["rewards"])
        episode = place.assemble(
            observations,
            place.matrix(*self._chosen(place, table, "actions")),
            rewards,
            successor=successor,
            terminated=ended["terminals"],
            truncated=ended["timeouts"],
            origin=Origin(self._kind, episode=number, start=start),
        )
        return replace(episode, successes=None if successes is None else successes[: len(episode)])


class _Begun:
    """The rows of episodes that are not yet whole."""

    def __init__(self, counts: Mapping[Any, int], budget: Budget) -> None:
        self._counts, self._budget = counts, budget
        self._parts: dict[Any, list[pa.Table]] = {}
        self._now = self._most = 0

    def add(self, id_: Any, part: pa.Table, file: str) -> list[pa.Table]:
        """Keep rows of an episode; returns all that it has once they are there, and forgets it."""
        self._parts.setdefault(id_, []).append(part)
        self._now += 1
        self._budget.take(max(self._now - self._most, 0) * PART_BYTES, file)
        self._most = max(self._most, self._now)
        if sum(part.num_rows for part in self._parts[id_]) < self._counts[id_]:
            return []
        self._now -= len(self._parts[id_])
        return self._parts.pop(id_)


def _rows_by_id(file: str, table: pa.Table, name: str) -> dict[Any, pa.Array]:
    """Which rows each episode has."""
    column, types = table[name].combine_chunks(), pa.types
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if column.null_count or not (
        types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind)
    ):
        raise InputError(
            f"{file}: every episode: {name}: a row has none, or it is neither text nor a "
            "whole number: name the episode of each row"
        )
    encoded = column.dictionary_encode()
    rows = pa.table({"id": encoded.indices, "row": np.arange(len(column))})
    by_id = rows.group_by("id", use_threads=False).aggregate([("row", "list")])
    ids = encoded.dictionary.to_pylist()
    lists = zip(by_id["id"].to_pylist(), by_id["row_list"], strict=True)
    return {ids[at]: found.values for at, found in lists}


def _in_order(table: pa.Table, name: str | None, place: Place) -> tuple[pa.Table, int]:
    """The rows in order of time, and the first step's time."""
    if name is None:
        return table, 0
    found = place.decisive(table[name], name).astype(np.int64)
    order = np.argsort(found, kind="stable")
    times = found[order]
    gaps = np.flatnonzero(np.diff(times) != 1)
    if len(gaps):
        what = f"goes from {times[gaps[0]]} to {times[gaps[0] + 1]}"
        raise place.error(name, what, "complete the episode, or give each part its own id")
    return table.take(order), int(times[0])
