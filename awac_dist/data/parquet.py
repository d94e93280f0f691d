"""Our own format: Parquet, one row an episode or a fragment of one; docs/data.md has its columns.

Just before the footer, where no reader of Parquet looks, lies the CRC-32 of all other bytes: a
damaged file is refused before its numbers are used. (Parquet's own checksums leave out headers
and footer.)
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from awac_dist.data.arrow import count_parquet
from awac_dist.data.columns import Place, widths
from awac_dist.data.fitting import check_goals
from awac_dist.data.format import FileInfo, Format
from awac_dist.data.fragments import GOALS
from awac_dist.data.rows import NEEDED, ORIGIN_COLUMNS, part_of, to_episode
from awac_dist.data.shares import Takes
from awac_dist.errors import InputError, naming
from awac_dist.files import RECORD_BYTES, Budget, open_input, written_aside
from awac_dist.types import EnvSpec, Episode

TAIL = 8  # bytes behind the footer: its length, and PAR1
SEAL = b"awac_dist CRC-32"  # 4 bytes follow: the checksum
CHUNK = 1 << 20
METADATA_KEY = b"awac_dist.episodes"
VERSION = 1
EPISODES_PER_READ = 16
FLOAT_LEAVES = [
    "observations.list.element.list.element",
    "actions.list.element.list.element",
    "rewards.list.element",
]


@cache  # a fifth of what an insert of 250 steps costs
def schema(spec: EnvSpec) -> pa.Schema:
    """Columns of a file of episodes of one task."""
    goals = [(name, _vectors(spec.goal_size)) for name in GOALS if spec.goal_size]
    columns = [
        ("observations", _vectors(spec.observation_size)),
        ("actions", _vectors(spec.action_size)),
        ("rewards", pa.list_(pa.float32())),
        ("terminated", pa.bool_()),
        ("truncated", pa.bool_()),
        *ORIGIN_COLUMNS.items(),
        ("successes", pa.list_(pa.float32())),
        *goals,
    ]
    stated: dict[str, Any] = {"version": VERSION, "env_id": spec.env_id}
    if np.isfinite((spec.action_low, spec.action_high)).all():
        stated |= {"action_low": spec.action_low, "action_high": spec.action_high}
    return pa.schema(columns, metadata={METADATA_KEY: json.dumps(stated)})


def _vectors(size: int) -> pa.DataType:
    return pa.list_(pa.list_(pa.float32(), size))


def to_table(episodes: Sequence[Episode], spec: EnvSpec, **more: pa.Array) -> pa.Table:
    """Episodes as one Arrow table, with more columns behind those of the episodes."""
    columns = schema(spec)
    table = pa.Table.from_arrays([_column(field, episodes) for field in columns], schema=columns)
    for name, values in more.items():
        table = table.append_column(name, values)
    return table


def write_episodes(path: str, episodes: Iterable[Episode], spec: EnvSpec, **more: pa.Array) -> None:
    """Write a file that is either whole or absent; `path` may be a URI."""
    given = list(episodes)
    for number, episode in enumerate(given):
        check_goals(f"{path}: episode {number}", episode, spec.goal_size)
    table = to_table(given, spec, **more)
    content = _packed(table, "zstd")
    if not _is_readable(content, table.num_rows):
        content = _packed(table, "none")
    end = len(content) - TAIL - int.from_bytes(content[-TAIL:-4], "little")
    crc = zlib.crc32(content)
    with (
        written_aside(path) as (filesystem, aside),
        filesystem.open_output_stream(aside) as file,
    ):
        file.write(content[:end])
        file.write(SEAL + crc.to_bytes(4, "little"))
        file.write(content[end:])


def _packed(table: pa.Table, compression: str) -> memoryview:
    memory = pa.BufferOutputStream()
    pq.write_table(
        table,
        memory,
        compression=compression,
        use_dictionary=False,
        use_byte_stream_split=FLOAT_LEAVES,  # halves what is left of the floats
    )
    return memoryview(memory.getvalue())


def _is_readable(content: memoryview, rows: int) -> bool:
    """Whether a reader would take a file, and not refuse it for all that it unpacks to."""
    budget = Budget(len(content))
    try:
        count_parquet(pa.BufferReader(content), budget, "")
        budget.take(rows * RECORD_BYTES, "")
    except InputError:
        return False
    return True


def _looks_like(path: str) -> bool:
    return schema_info(read_schema(path)) is not None


def read_info(path: str) -> FileInfo:
    """Read what a file says of itself, without more rows than the first."""
    budget = Budget.of(path)
    with arrow_errors(path), open_file(path, budget) as file:
        stated, rows = schema_info(file.schema_arrow), file.metadata.num_rows
        if stated is None:
            needed = ", ".join(NEEDED)
            raise InputError(f"{path}: is Parquet, but was not written by awac_dist: add {needed}")
        budget.take(rows * RECORD_BYTES, path)
    if rows and not (stated.observation_size and stated.action_size):
        first = to_episode(path, *next(read_rows(path)))
        goal_size = 0 if first.desired_goals is None else first.desired_goals.shape[1]
        return FileInfo(stated.env_id, *widths(first), rows, goal_size=goal_size)
    return replace(stated, episodes=rows)


def schema_info(found: pa.Schema) -> FileInfo | None:
    """What the columns of a file of ours say of it, without any episodes; None if not ours.

    Sizes are 0 where the lists may have any, as those that pandas writes.
    """
    if not set(NEEDED) <= set(found.names):
        return None
    observation_size, action_size, goal_size = (
        _width(found.field(name)) if name in found.names else 0
        for name in ("observations", "actions", "desired_goals")
    )
    told = json.loads((found.metadata or {}).get(METADATA_KEY, "{}"))
    env_id = told.get("env_id")
    if not isinstance(env_id, str | None):
        raise ValueError("the task that its metadata name is no text")
    low, high = (tuple(map(float, told.get(f"action_{edge}", ()))) for edge in ("low", "high"))
    bounds = (low, high) if len(low) == len(high) == action_size > 0 else None  # older files: none
    sizes = (observation_size, action_size, 0)
    return FileInfo(env_id, *sizes, goal_size=goal_size, bounds=bounds)


def _width(field: pa.Field) -> int:
    """Of the vectors that a column has lists of, 0 if its type does not say."""
    vector = getattr(field.type, "value_type", None)
    if not hasattr(vector, "value_type"):
        remedy = "write a row an episode, a list of vectors"
        raise ValueError(f"{field.name} is of {field.type}: {remedy}")
    return int(getattr(vector, "list_size", 0))


def read_episodes(path: str, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[int, Episode]]:
    """Yield (row number, episode) of every row that falls to share (index, of how many)."""
    index, of = share
    turns = cycle(range(of))
    return read_parts(path, lambda _: next(turns) == index)


def read_parts(path: str, takes: Takes) -> Iterator[tuple[int, Episode]]:
    """Yield (row number, episode) of every row that is taken."""
    check_whole(path)
    info = read_info(path)
    for number, row in read_rows(path):
        if takes(part_of(path, number, row)):
            episode = to_episode(path, number, row)
            sizes = (info.observation_size, info.action_size)
            Place(path, f"row {number}").check_widths(episode, sizes)
            yield number, episode


def read_rows(path: str) -> Iterator[tuple[int, pa.Table]]:
    """Yield (number in the file, table of it alone) of every row, a few in memory."""
    tables = read_tables(path, EPISODES_PER_READ)
    return enumerate(table.slice(row, 1) for table in tables for row in range(table.num_rows))


def read_tables(path: str, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """So many rows of a file at a time, of those columns that it has, each as it is stored."""
    with arrow_errors(path), open_file(path) as file:
        left, names = file.metadata.num_rows, file.schema_arrow.names
        present = None if columns is None else [name for name in columns if name in names]
        for batch in file.iter_batches(rows, columns=present):
            left -= batch.num_rows
            if batch.num_rows:
                stored = [getattr(column, "storage", column) for column in batch.columns]
                yield pa.table(stored, names=batch.schema.names)
        if left:
            raise ValueError(f"{left} rows are missing")


def check_whole(path: str) -> None:
    """Look at every byte of a file, if it says what they add up to."""
    with arrow_errors(path), open_input(path) as file:
        size = file.size()
        footer = int.from_bytes(file.read_at(4, max(size - TAIL, 0)), "little")
        end = size - TAIL - footer - len(SEAL) - 4
        if end < 0 or file.read_at(len(SEAL), end) != SEAL:
            return
        stated, crc = file.read_at(4, end + len(SEAL)), 0
        for begin, stop in ((0, end), (end + len(SEAL) + 4, size)):
            for at in range(begin, stop, CHUNK):
                crc = zlib.crc32(file.read_at(min(CHUNK, stop - at), at), crc)
        if crc.to_bytes(4, "little") != stated:
            raise InputError(f"{path}: is damaged: its checksum is another one: bring back a copy")


def read_schema(path: str) -> pa.Schema:
    """The columns of a Parquet file, whatever its rows would take."""
    with arrow_errors(path), open_input(path) as source:
        return pq.ParquetFile(source).schema_arrow


def open_file(path: str, budget: Budget | None = None) -> pq.ParquetFile:
    """A Parquet file, for reading, whose columns the budget has; of its own where none is given."""
    with arrow_errors(path):
        source = open_input(path)
        if source.size() <= CHUNK:  # one request to an object store, not one a page
            source = pa.BufferReader(source.read())
        file = pq.ParquetFile(source)
        assert file.schema_arrow is not None  # read now, where a damaged one is reported
        count_parquet(source, budget or Budget.of(path), path)
        return file


def arrow_errors(path: str) -> AbstractContextManager[None]:
    """Turn what Arrow raises over a damaged file into one line that names it."""
    return naming(f"{path}: cannot be read as Parquet", "copy it again")


def _column(field: pa.Field, episodes: Sequence[Episode]) -> pa.Array:
    """A column of some episodes; of arrays [T] or [T, width], null for None."""
    of_origin = field.name in ORIGIN_COLUMNS
    values = [getattr(e.origin if of_origin else e, field.name) for e in episodes]
    if not pa.types.is_list(field.type):
        return pa.array(values, field.type)
    element = field.type.value_type
    shape = (element.list_size,) if pa.types.is_fixed_size_list(element) else ()
    known = [column for column in values if column is not None]
    for column in known:
        if column.shape[1:] != shape:
            raise ValueError(f"{field.name} are {column.shape[1:]} wide, the task's are {shape}")
    ends = np.cumsum([0, *(0 if column is None else len(column) for column in values)])
    flat = np.concatenate([np.zeros(0), *map(np.ravel, known)], dtype=np.float32)
    leaves = pa.FixedSizeListArray.from_arrays(flat, *shape) if shape else pa.array(flat)
    missing = pa.array([column is None for column in values], pa.bool_())
    return pa.ListArray.from_arrays(ends.astype(np.int32), leaves, mask=missing)


FORMAT = Format(
    "awac_dist Parquet",
    _looks_like,
    read_info,
    read_episodes,
    (".parquet",),
    reads_parts=read_parts,
)
