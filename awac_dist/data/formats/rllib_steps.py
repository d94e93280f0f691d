"""RLlib's offline Parquet with one row a step, as `rllib_parquet` describes it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from awac_dist.data.columns import Place, assemble, check_successors, matrix, vector
from awac_dist.data.formats import restricted_pickle
from awac_dist.data.formats.rllib_files import REMEDY, REQUIRED, batches, optional_package
from awac_dist.errors import InputError
from awac_dist.types import Array, Episode, Origin

OPTIONAL = ("new_obs", "terminateds", "truncateds", "t")
ROWS_PER_READ = 4096
UNPACKED_LIMIT_BYTES = 1 << 24  # of one compressed value


class Index:
    """Which episode each row belongs to, and how many rows each has."""

    def __init__(self, files: list[str]):
        self._keys: dict[Any, int] = {}  # eps_id -> rank of its first row
        counts, last, row = [0], [0], 0
        for file in files:
            for batch in batches(file, ["eps_id"], 1 << 16):
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


def read_steps(files: list[str], share: tuple[int, int]) -> Iterator[tuple[int, Episode, Place]]:
    """Yield (number, episode, place) of a share, each as its last row is read."""
    index, (first, of) = Index(files), share
    fragments: dict[int, list[dict[str, pa.Array]]] = {}
    for file in files:
        for batch in batches(file, [*REQUIRED, *OPTIONAL], ROWS_PER_READ):
            for number, rows in index.rows(file, batch["eps_id"]):
                if number % of != first:
                    continue
                taken = {name: column.take(pa.array(rows)) for name, column in batch.items()}
                fragments.setdefault(number, []).append(taken)
                if sum(len(p["eps_id"]) for p in fragments[number]) == index.counts[number]:
                    name = ascii(str(index.names[number])[:40])[1:-1]
                    place = Place(file, f"episode {number} ({name})")
                    yield number, _from_steps(fragments.pop(number), number, place), place


def _from_steps(fragments: list[dict[str, pa.Array]], number: int, place: Place) -> Episode:
    columns = {name: [p[name] for p in fragments if name in p] for name in (*REQUIRED, *OPTIONAL)}
    for name, found in columns.items():
        if found and len(found) < len(fragments):
            raise place.error(name, "is missing in one of its files", "add it")
    order, start = _order(columns["t"], sum(len(p["eps_id"]) for p in fragments), place)
    observations = stacked_matrix(columns["obs"], place, "obs")[order]
    successors = (
        stacked_matrix(columns["new_obs"], place, "new_obs")[order] if columns["new_obs"] else None
    )
    if successors is not None:
        check_successors(observations, successors, place, "new_obs")
    return assemble(
        place,
        observations,
        stacked_matrix(columns["actions"], place, "actions")[order],
        _stacked_vector(columns["rewards"], place, "rewards")[order],
        successor=None if successors is None else successors[-1],
        terminated=_ended(columns["terminateds"], order, place, "terminateds"),
        truncated=_ended(columns["truncateds"], order, place, "truncateds"),
        origin=Origin("prior", episode=number, start=start),
    )


def _order(column: list[pa.Array], count: int, place: Place) -> tuple[Any, int]:
    """Rows in order of time, and the first step's time."""
    if not column:
        return np.arange(count), 0
    times = _stacked_vector(column, place, "t").astype(np.int64)
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
        _stacked_vector([pc.fill_null(c.cast(pa.float32()), 0) for c in column], place, name)[order]
        != 0
    )
    if flags[:-1].any():
        what = f"ends at step {int(flags.argmax())} of {len(flags)} and goes on"
        raise place.error(name, what, "give what follows its own eps_id")
    return bool(flags[-1])


def stacked_matrix(column: list[pa.Array], place: Place, name: str) -> Array:
    """The fragments of a column of vectors as one, [n, width]."""
    return _joined([matrix(_plain(part, place, name), place, name) for part in column], place, name)


def _stacked_vector(column: list[pa.Array], place: Place, name: str) -> Array:
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
    lz4 = optional_package("lz4.frame", place.file)
    try:
        packed = base64.b64decode(text.encode("ascii"), validate=True)
        data = lz4.LZ4FrameDecompressor().decompress(packed, max_length=UNPACKED_LIMIT_BYTES)
    except (ValueError, RuntimeError, EOFError) as error:
        raise place.error(name, "is text that RLlib did not compress", REMEDY) from error
    return restricted_pickle.loads(data, f"{place.file}: {place.episode}: {name}")
