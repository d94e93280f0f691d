"""RLlib's offline Parquet with one row a step, as `rllib_parquet` describes it."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from awac_dist.data.columns import Place
from awac_dist.data.format import naming, needed_package
from awac_dist.data.formats import restricted_pickle
from awac_dist.data.parquet import read_tables
from awac_dist.errors import InputError
from awac_dist.types import Episode, Origin

REQUIRED = ("eps_id", "obs", "actions", "rewards")
COLUMNS = [*REQUIRED, "new_obs", "terminateds", "truncateds", "t"]
ROWS_PER_READ = 4096
UNPACKED_LIMIT_BYTES = 1 << 24  # of one compressed value


class ArrowPlace(Place):
    """Checks columns that are Arrow's."""

    def _numbers(self, column: Any, name: str) -> Any:
        return super()._numbers(self._plain(column, name), name)

    def _plain(self, column: Any, name: str) -> Any:
        """A column as NumPy numbers, or as a list of steps where it is compressed."""
        kind, types = column.type, pa.types
        if column.null_count and not types.is_primitive(kind):
            raise self.error(name, "a step has none", "complete it or leave the episode out")
        if types.is_struct(kind) and {f.name for f in kind} == {"data", "shape"}:
            # Ray's column of arrays unlike in shape
            return self._plain(pc.struct_field(column, "data"), name)
        if types.is_string(kind) or types.is_large_string(kind):
            return [self._unpacked(text, name) for text in column.to_pylist()]
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
        try:
            packed = base64.b64decode(text.encode("ascii"), validate=True)
            data = lz4.LZ4FrameDecompressor().decompress(packed, max_length=UNPACKED_LIMIT_BYTES)
        except (ValueError, RuntimeError, EOFError) as error:
            what = "is text that RLlib did not compress"
            raise self.error(name, what, "copy it again") from error
        return restricted_pickle.loads(data, f"{self.file}: {self.episode}: {name}")


def find_episodes(files: list[str]) -> tuple[dict[Any, int], Counter[Any]]:
    """The number of each episode, and of its rows, by its eps_id."""
    counts: Counter[Any] = Counter()
    last_rows: dict[Any, int] = {}
    for file in files:
        for table in read_tables(file, 1 << 16, ["eps_id"]):
            before = counts.total()
            for id_, rows in _rows_by_id(file, table).items():
                last_rows[id_] = before + rows[-1].as_py()
                counts[id_] += len(rows)
    order = sorted(last_rows, key=last_rows.__getitem__)
    return {id_: number for number, id_ in enumerate(order)}, counts


def _rows_by_id(file: str, table: pa.Table) -> dict[Any, pa.Array]:
    """Which rows each episode has."""
    column, types = table["eps_id"], pa.types
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if column.null_count or not (
        types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind)
    ):
        raise InputError(
            f"{file}: every episode: eps_id: a row has none, or it is neither text nor a "
            "whole number: name the episode of each row"
        )
    rows = pa.table({"id": column, "row": np.arange(len(column))})
    by_id = rows.group_by("id", use_threads=False).aggregate([("row", "list")])
    lists = (found.values for found in by_id["row_list"])
    return dict(zip(by_id["id"].to_pylist(), lists, strict=True))


def read_steps(files: list[str], share: tuple[int, int]) -> Iterator[tuple[int, Episode, Place]]:
    """Yield (number, episode, place) of a share, each as its last row is read."""
    (numbers, counts), (index, of) = find_episodes(files), share
    parts: dict[Any, list[pa.Table]] = {}
    for file in files:
        for table in read_tables(file, ROWS_PER_READ, COLUMNS):
            rows = _rows_by_id(file, table)
            for number, id_ in sorted((numbers[id_], id_) for id_ in rows):
                if number % of != index:
                    continue
                parts.setdefault(id_, []).append(table.drop_columns("eps_id").take(rows[id_]))
                if sum(part.num_rows for part in parts[id_]) == counts[id_]:
                    place = ArrowPlace(file, f"episode {number} ({ascii(str(id_)[:40])[1:-1]})")
                    yield number, _episode(_joined(parts.pop(id_), place), number, place), place


def _joined(parts: list[pa.Table], place: Place) -> pa.Table:
    for name in COLUMNS:
        if len({name in part.column_names for part in parts}) > 1:
            raise place.error(name, "is missing in one of its files", "add it")
    with naming(f"{place.file}: {place.episode}: columns", "store them alike in all files"):
        return pa.concat_tables(parts, promote_options="permissive")


def _episode(table: pa.Table, number: int, place: Place) -> Episode:
    table, start = _in_order(table, place)
    steps, names = table.num_rows, table.column_names
    observations, successor = place.matrix(table["obs"], "obs"), None
    if "new_obs" in names:
        successor = place.successor(observations, table["new_obs"], steps, "new_obs")
    actions = place.matrix(table["actions"], "actions")
    rewards = place.vector(table["rewards"], "rewards")
    ended = {"terminateds": False, "truncateds": False}
    for name in (name for name in ended if name in names):
        flags = pc.fill_null(table[name].cast(pa.float32()), 0)
        ended[name] = place.ends(flags, steps, name, "give what follows its own eps_id")
    return place.assemble(
        observations,
        actions,
        rewards,
        successor=successor,
        terminated=ended["terminateds"],
        truncated=ended["truncateds"],
        origin=Origin("prior", episode=number, start=start),
    )


def _in_order(table: pa.Table, place: Place) -> tuple[pa.Table, int]:
    """The rows in order of time, and the first step's time."""
    if "t" not in table.column_names:
        return table, 0
    found = place.vector(table["t"], "t").astype(np.int64)
    order = np.argsort(found, kind="stable")
    times = found[order]
    gaps = np.flatnonzero(np.diff(times) != 1)
    if len(gaps):
        what = f"goes from {times[gaps[0]]} to {times[gaps[0] + 1]}"
        raise place.error("t", what, "complete the episode, or give each part its own eps_id")
    return table.take(order), int(times[0])
