"""RLlib's offline Parquet (Ray 2.60): a file or folder of steps or of packed episodes.

- Steps: one row each, with columns eps_id, obs, actions, rewards, and perhaps new_obs,
  terminateds, truncateds, t. Episodes may be interleaved and go on from file to file; an
  episode's number is the rank of its last row. Without `t` the order of the rows counts.
  Columns that RLlib compressed (base64 of lz4 of a pickle) go through our own unpickler.
- Episodes: one row each, a column `item` with the msgpack of an episode's state. A long
  episode may come in pieces; pieces of one episode share their origin's `episode`.

Ray is not imported. Where another module registered Ray's column types with Arrow, only
what they are stored as is looked at. Nothing is unpickled by Python's or NumPy's unpickler:
`msgpack_numpy` would do so for object arrays, and is not used.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from awac_dist.data import restricted_pickle
from awac_dist.data.formats import FileInfo, Format
from awac_dist.data.parquet import resolve
from awac_dist.data.trajectories import (
    Place,
    assemble,
    check_successors,
    check_widths,
    matrix,
    vector,
)
from awac_dist.errors import InputError
from awac_dist.types import Array, Episode, Origin

REQUIRED = ("eps_id", "obs", "actions", "rewards")
OPTIONAL = ("new_obs", "terminateds", "truncateds", "t")
ITEM = "item"
DEPTH = 2  # RLlib writes <output>/<environment>/<run>/*.parquet
ROWS_PER_READ = 4096
ITEMS_PER_READ = 16
UNPACKED_LIMIT_BYTES = 1 << 24  # of one compressed value
REMEDY = "copy it again"
PLAIN_DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")


def recognises(path: str) -> bool:
    """Whether it is a file, or a folder of nothing but files, with RLlib's columns."""
    try:
        found = _files(path)
        return bool(found) and all(_form(_open(file).schema_arrow) for file in found)
    except (OSError, pa.ArrowException, InputError, ValueError):
        return False


def describe(path: str) -> FileInfo:
    """Sizes, and the number of episodes; reads the columns that tell them apart.

    Raises:
        InputError: It is damaged or a column is missing; names the file and the remedy.
    """
    files, form = _checked_files(path)
    with _arrow_errors(path):
        widths = _widths(files, form)
        if form == ITEM:
            rows = episodes = sum(_open(file).metadata.num_rows for file in files)
        else:
            counts = _Index(files).counts
            rows, episodes = sum(counts), len(counts)
    facts = {"form": "episodes" if form == ITEM else "steps", "rows": f"{rows:,}"}
    return FileInfo(None, *widths, episodes, facts | {"files": str(len(files))})


def read(path: str, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
    """Yield (number, episode) of a share; keeps only the episodes that are not yet whole.

    Raises:
        InputError: An episode is damaged; names the file, the episode, the column, the remedy.
    """
    files, form = _checked_files(path)
    with _arrow_errors(path):
        widths = _widths(files, form)
    episodes = _read_items(files, share) if form == ITEM else _read_steps(files, share)
    with _arrow_errors(path):
        for number, episode, place in episodes:
            check_widths(episode, widths, place)
            yield number, episode


# Files.


def _files(path: str) -> list[str]:
    filesystem, name = resolve(path)
    kind = filesystem.get_file_info(name).type
    if kind == fs.FileType.NotFound:
        raise InputError(f"{path}: there is no such file or folder")
    if kind == fs.FileType.File:
        return [path]
    prefix = path.rstrip("/").removesuffix(name.rstrip("/"))
    return [prefix + file for file in _below(filesystem, name, DEPTH)]


def _below(filesystem: Any, folder: str, depth: int) -> list[str]:
    entries = sorted(filesystem.get_file_info(fs.FileSelector(folder)), key=lambda e: str(e.path))
    found = []
    for entry in entries:
        if entry.type == fs.FileType.Directory and depth:
            found += _below(filesystem, entry.path, depth - 1)
        elif entry.type == fs.FileType.File and entry.path.endswith(".parquet"):
            found.append(str(entry.path))
    return found


@contextmanager
def _arrow_errors(file: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(f"{file}: cannot be read as Parquet: {reason}: {REMEDY}") from error


def _open(file: str) -> pq.ParquetFile:
    filesystem, name = resolve(file)
    with _arrow_errors(file):
        opened = pq.ParquetFile(filesystem.open_input_file(name))
        opened.schema_arrow  # noqa: B018  # Ray's column types, where registered, may fail here
        return opened


def _form(schema: pa.Schema) -> str:
    """Which of the two forms, nothing for neither."""
    if ITEM in schema.names:
        kind = schema.field(ITEM).type
        return ITEM if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else ""
    return "steps" if "eps_id" in schema.names and "obs" in schema.names else ""


def _checked_files(path: str) -> tuple[list[str], str]:
    files = _files(path)
    if not files:
        raise InputError(f"{path}: holds no Parquet files: name the folder that does")
    with _arrow_errors(path):
        forms = {_form(_open(file).schema_arrow) for file in files}
    if len(forms) > 1:
        raise InputError(f"{path}: holds files of several forms: keep each in its own folder")
    form = forms.pop()
    if form != ITEM:
        for file in files:
            _check_columns(file, _open(file).schema_arrow.names)
    return files, form


def _check_columns(file: str, names: list[str]) -> None:
    for name in REQUIRED:
        if name not in names:
            found = ", ".join(map(ascii, names[:12]))
            raise InputError(f"{file}: every episode: {name}: is missing, there is {found}: add it")
    if "dones" in names and "terminateds" not in names:
        raise InputError(
            f"{file}: every episode: dones: may mean terminated or truncated: rename it to "
            "terminateds, or split it into terminateds and truncateds"
        )


def _widths(files: list[str], form: str) -> tuple[int, int]:
    """O and A, from the first row of all."""
    for file in files:
        names = [ITEM] if form == ITEM else list(REQUIRED)
        for batch in _batches(file, names, 1):
            if form == ITEM:
                episode = _from_item(batch[ITEM][0].as_py(), 0, 0, Place(file, "episode 0"))
                return episode.observations.shape[1], episode.actions.shape[1]
            place = Place(file, "episode 0")
            obs, actions = (_matrix([batch[name]], place, name) for name in ("obs", "actions"))
            return obs.shape[1], actions.shape[1]
    return 0, 0


def _batches(file: str, names: list[str], rows: int) -> Iterator[dict[str, pa.Array]]:
    """Batches of those columns that the file has, each as what it is stored as."""
    source = _open(file)
    with _arrow_errors(file):
        present = [name for name in names if name in source.schema_arrow.names]
        for batch in source.iter_batches(rows, columns=present):
            if batch.num_rows:
                yield {name: _stored(batch.column(name)) for name in present}


def _stored(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


# The form with one row a step.


class _Index:
    """Which episode each row belongs to, and how many rows each has."""

    def __init__(self, files: list[str]):
        self._keys: dict[Any, int] = {}  # eps_id -> rank of its first row
        counts, last, row = [0], [0], 0
        for file in files:
            for batch in _batches(file, ["eps_id"], 1 << 16):
                for rank, place in self._ranks(file, batch["eps_id"], grow=True):
                    if rank == len(counts) - 1:
                        counts.append(0)
                        last.append(0)
                    counts[rank] += len(place)
                    last[rank] = row + int(place[-1])
                row += len(batch["eps_id"])
        by_last = np.argsort(np.array(last[:-1], np.int64), kind="stable")
        self._numbers = np.argsort(by_last, kind="stable")
        self.counts = [counts[rank] for rank in by_last]
        self.names = [list(self._keys)[rank] for rank in by_last]

    def rows(self, file: str, column: pa.Array) -> list[tuple[int, Any]]:
        """(number, its rows in the batch) of every episode in a batch, by number."""
        return sorted(
            ((int(self._numbers[rank]), rows) for rank, rows in self._ranks(file, column)),
            key=lambda pair: pair[0],
        )

    def _ranks(self, file: str, column: pa.Array, grow: bool = False) -> Iterator[tuple[int, Any]]:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count or not _is_name(column.type):
            raise InputError(
                f"{file}: every episode: eps_id: a row has none, or it is neither text nor a "
                "whole number: name the episode of each row"
            )
        encoded = column.dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
        for code, key in enumerate(encoded.dictionary.to_pylist()):
            rows = order[bounds[code] : bounds[code + 1]]
            if len(rows):
                yield (
                    (self._keys.setdefault(key, len(self._keys)) if grow else self._keys[key]),
                    rows,
                )


def _is_name(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind))


def _read_steps(files: list[str], share: tuple[int, int]) -> Iterator[tuple[int, Episode, Place]]:
    index, (first, of) = _Index(files), share
    pieces: dict[int, list[dict[str, pa.Array]]] = {}
    for file in files:
        for batch in _batches(file, [*REQUIRED, *OPTIONAL], ROWS_PER_READ):
            for number, rows in index.rows(file, batch["eps_id"]):
                if number % of != first:
                    continue
                taken = {name: column.take(pa.array(rows)) for name, column in batch.items()}
                pieces.setdefault(number, []).append(taken)
                if sum(len(p["eps_id"]) for p in pieces[number]) == index.counts[number]:
                    name = ascii(str(index.names[number])[:40])[1:-1]
                    place = Place(file, f"episode {number} ({name})")
                    yield number, _from_steps(pieces.pop(number), number, place), place


def _from_steps(pieces: list[dict[str, pa.Array]], number: int, place: Place) -> Episode:
    columns = {name: [p[name] for p in pieces if name in p] for name in (*REQUIRED, *OPTIONAL)}
    for name, found in columns.items():
        if found and len(found) < len(pieces):
            raise place.error(name, "is missing in one of its files", "add it")
    order, start = _order(columns["t"], sum(len(p["eps_id"]) for p in pieces), place)
    observations = _matrix(columns["obs"], place, "obs")[order]
    successors = (
        _matrix(columns["new_obs"], place, "new_obs")[order] if columns["new_obs"] else None
    )
    if successors is not None:
        check_successors(observations, successors, place, "new_obs")
    return assemble(
        place,
        observations,
        _matrix(columns["actions"], place, "actions")[order],
        _vector(columns["rewards"], place, "rewards")[order],
        successor=None if successors is None else successors[-1],
        terminated=_ended(columns["terminateds"], order, place, "terminateds"),
        truncated=_ended(columns["truncateds"], order, place, "truncateds"),
        origin=Origin("prior", episode=number, start=start),
    )


def _order(column: list[pa.Array], count: int, place: Place) -> tuple[Any, int]:
    """Rows in order of time, and the first step's time."""
    if not column:
        return np.arange(count), 0
    times = _vector(column, place, "t").astype(np.int64)
    order = np.argsort(times, kind="stable")
    gaps = np.flatnonzero(np.diff(times[order]) != 1)
    if len(gaps):
        before, after = times[order][gaps[0]], times[order][gaps[0] + 1]
        what = f"goes from {before} to {after}"
        raise place.error("t", what, "complete the episode, or give each part its own eps_id")
    return order, int(times[order[0]])


def _ended(column: list[pa.Array], order: Any, place: Place, name: str) -> bool:
    if not column:
        return False
    flags = (
        _vector([pc.fill_null(c.cast(pa.float32()), 0) for c in column], place, name)[order] != 0
    )
    if flags[:-1].any():
        what = f"ends at step {int(flags.argmax())} of {len(flags)} and goes on"
        raise place.error(name, what, "give what follows its own eps_id")
    return bool(flags[-1])


def _matrix(column: list[pa.Array], place: Place, name: str) -> Array:
    return _joined([matrix(_plain(part, place, name), place, name) for part in column], place, name)


def _vector(column: list[pa.Array], place: Place, name: str) -> Array:
    return _joined([vector(_plain(part, place, name), place, name) for part in column], place, name)


def _joined(parts: list[Array], place: Place, name: str) -> Array:
    widths = sorted({part.shape[1:] for part in parts})
    if len(widths) > 1:
        what = f"is ragged: steps of shape {widths[0]} and {widths[1]}"
        raise place.error(name, what, "store equal steps")
    return np.concatenate(parts)


def _plain(column: pa.Array, place: Place, name: str) -> Any:
    """A column as NumPy numbers, or as a list of steps where it is compressed or ragged."""
    kind = column.type
    if column.null_count and not pa.types.is_primitive(kind):
        raise place.error(name, "a step has none", "complete it or leave the episode out")
    if pa.types.is_struct(kind) and {f.name for f in kind} == {"data", "shape"}:
        return _plain(column.field("data"), place, name)  # Ray's column of arrays unlike in shape
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [_unpacked(text, place, name) for text in column.to_pylist()]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _rows(column, place, name)
    if pa.types.is_primitive(kind) and not pa.types.is_temporal(kind):
        values = column.to_numpy(zero_copy_only=False)
        return values if values.dtype.kind != "O" else values.astype(np.float32)  # has nulls
    raise place.error(name, f"is a column of {str(kind)[:60]}", "store a list of floats a step")


def _rows(column: pa.Array, place: Place, name: str) -> Any:
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    values = _plain(column.flatten(), place, name)
    if lengths.min() != lengths.max():
        what = f"is ragged: steps of {lengths.min()} and {lengths.max()} numbers"
        raise place.error(name, what, "store equal steps")
    if isinstance(values, list):
        raise place.error(name, "is a list of text", "store a list of floats a step")
    return values.reshape(len(column), -1) if values.size else values.reshape(len(column), 0)


def _unpacked(text: str, place: Place, name: str) -> Any:
    """What RLlib's compression holds; its pickle goes through our own unpickler."""
    lz4 = _optional("lz4.frame", place.file)
    try:
        packed = base64.b64decode(text.encode("ascii"), validate=True)
        data = lz4.LZ4FrameDecompressor().decompress(packed, max_length=UNPACKED_LIMIT_BYTES)
    except (ValueError, RuntimeError, EOFError) as error:
        raise place.error(name, "is text that RLlib did not compress", REMEDY) from error
    return restricted_pickle.loads(data, f"{place.file}: {place.episode}: {name}")


# The form with one row an episode.


def _read_items(files: list[str], share: tuple[int, int]) -> Iterator[tuple[int, Episode, Place]]:
    (index, of), number = share, 0
    first_rows: dict[Any, int] = {}  # id -> row of the episode's first piece
    for file in files:
        for batch in _batches(file, [ITEM], ITEMS_PER_READ):
            for item in batch[ITEM]:
                place = Place(file, f"episode {number}")
                whole = first_rows.setdefault(_identity(item.as_py(), place), number)
                if number % of == index:
                    yield number, _from_item(item.as_py(), number, whole, place), place
                number += 1


def _from_item(item: Any, number: int, whole: int, place: Place) -> Episode:
    state = _decoded(item, place)
    return assemble(
        place,
        matrix(_recorded(state, "observations", place), place, "observations"),
        matrix(_recorded(state, "actions", place), place, "actions"),
        vector(_recorded(state, "rewards", place), place, "rewards"),
        successor=None,
        terminated=_flag(state, "is_terminated", place),
        truncated=_flag(state, "is_truncated", place),
        origin=Origin("prior", episode=whole, start=_start(state, place)),
    )


def _recorded(state: dict[Any, Any], name: str, place: Place) -> Any:
    """A column without the steps before the episode that RLlib keeps to look back at."""
    buffer = state.get(name)
    if not isinstance(buffer, dict) or not {"data", "lookback"} <= set(buffer):
        raise place.error(name, "is missing", "write the episode again with RLlib")
    data, lookback = buffer["data"], buffer["lookback"]
    if type(lookback) is not int or not isinstance(data, list | np.ndarray) or lookback < 0:
        raise place.error(name, "is no column of an episode", "write the episode again with RLlib")
    return data if isinstance(data, np.ndarray) and not data.ndim else data[lookback:]


def _flag(state: dict[Any, Any], name: str, place: Place) -> bool:
    if not isinstance(state.get(name), bool | np.bool_):
        raise place.error(name, "is missing or not yes or no", "write the episode again with RLlib")
    return bool(state[name])


def _start(state: dict[Any, Any], place: Place) -> int:
    start = state.get("t_started")
    if type(start) is not int or not 0 <= start < 1 << 31:
        raise place.error(
            "t_started", "is missing or no step", "write the episode again with RLlib"
        )
    return start


@contextmanager
def _msgpack_errors(place: Place) -> Iterator[Any]:
    msgpack = _optional("msgpack", place.file)
    try:
        yield msgpack
    except (ValueError, TypeError, LookupError, OverflowError, msgpack.UnpackException) as error:
        raise place.error(ITEM, "is no msgpack of an episode, or damaged", REMEDY) from error


def _identity(item: Any, place: Place) -> Any:
    """The episode's id, without decoding the rest."""
    with _msgpack_errors(place) as msgpack:
        unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=len(item))
        unpacker.feed(item)
        for _ in range(unpacker.read_map_header()):
            if unpacker.unpack() == "id_":
                return str(unpacker.unpack())
            unpacker.skip()
    raise place.error("id_", "is missing", "write the episode again with RLlib")


def _decoded(item: Any, place: Place) -> dict[Any, Any]:
    with _msgpack_errors(place) as msgpack:
        state = msgpack.unpackb(item, object_hook=_array, strict_map_key=False)
    if not isinstance(state, dict):
        raise place.error(ITEM, "is no episode", "write the episode again with RLlib")
    return state


def _array(found: dict[Any, Any]) -> Any:
    """What msgpack_numpy wrote: numbers become arrays, object arrays stay opaque bytes."""
    if b"nd" not in found:
        return found
    code, data = found.get(b"type"), found.get(b"data", b"")
    if found.get(b"kind") or not (isinstance(code, str) and PLAIN_DTYPE.fullmatch(code)):
        return found  # a pickle, text or a structure: a column of it is refused as no numbers
    shape = tuple(found.get(b"shape", ()))
    dtype = np.dtype(code)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError("bytes and shape disagree")
    array = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
    return array.reshape(shape) if found[b"nd"] else array[0]


def _optional(module: str, file: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"{file}: needs the package {module.split('.')[0]}: pip install 'awac_dist[data]'"
        ) from error


FORMAT = Format("RLlib Parquet", recognises, describe, read)
