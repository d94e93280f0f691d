"""Rows of our Parquet and of journals -> episodes."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from awac_dist.data.fragments import STATES, STEPS
from awac_dist.data.shares import Part
from awac_dist.errors import naming
from awac_dist.types import Array, Episode, Kind, Origin

ORIGIN_COLUMNS = {
    "kind": pa.string(),
    "policy_version": pa.int64(),
    "worker": pa.int32(),
    "incarnation": pa.int32(),
    "episode": pa.int64(),
    "start": pa.int32(),
    "seed": pa.int64(),
}
FLAT = ("rewards", "successes")  # a number a step
REMEDY = "write the columns as docs/data.md has them"
NEEDED = ("observations", "actions", "rewards", "terminated", "truncated")  # may be all there is


def to_episode(path: str, number: int, row: pa.Table | pa.RecordBatch) -> Episode:
    """The episode in a table of one row, which errors call by its number in the file."""
    names = row.schema.names

    def value(name: str) -> Any:
        return row.column(name)[0] if name in names else None

    with naming(f"{path}: row {number}", REMEDY):
        columns: dict[str, Any] = {
            name: _floats(name, value(name)) for name in (*STATES, *STEPS) if name in names
        }
        terminated, truncated = _ends(row)
        return Episode(
            **columns, terminated=terminated, truncated=truncated, origin=_origin(number, row)
        )


def part_of(path: str, number: int, row: pa.Table) -> Part:
    """What such a row says of its place in an episode, without its numbers being read."""
    with naming(f"{path}: row {number}", REMEDY):
        origin = _origin(number, row)
        return Part(origin.stream, origin.start, any(_ends(row)))


def _origin(number: int, row: pa.Table | pa.RecordBatch) -> Origin:
    names = row.schema.names
    known = {name: row.column(name)[0].as_py() for name in ORIGIN_COLUMNS if name in names}
    origin: dict[str, Any] = {"kind": "prior", "episode": number}
    origin |= {name: its for name, its in known.items() if its is not None}
    for name, its in origin.items():
        if its not in get_args(Kind) if name == "kind" else type(its) is not int:
            raise ValueError(f"{name} is {ascii(its)[:40]}")
    return Origin(**origin)


def _ends(row: pa.Table | pa.RecordBatch) -> tuple[bool, bool]:
    terminated, truncated = (row.column(name)[0].as_py() for name in ("terminated", "truncated"))
    if not (isinstance(terminated, bool) and isinstance(truncated, bool)):
        raise ValueError("terminated and truncated are not true or false")
    return terminated, truncated


def _floats(name: str, found: Any) -> Array | None:
    """A list of numbers, or of vectors alike in width, as an array; None for null."""
    if not found.is_valid:
        if name in NEEDED:
            raise ValueError(f"{name} is missing")
        return None
    if not hasattr(found, "values"):
        raise ValueError(f"{name} is of {found.type}, no list")
    values, shape = found.values, [len(found.values)]
    if hasattr(values.type, "value_type"):
        sizes = pc.unique(pc.list_value_length(values)).to_pylist() or [0]
        if len(sizes) > 1 or None in sizes:
            raise ValueError(f"{name} are not alike in width")
        shape, values = [*shape, *sizes], values.flatten()
    if len(shape) != 1 + (name not in FLAT):
        raise ValueError(f"{name} is a list of {found.type.value_type}")
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float32).reshape(shape)
