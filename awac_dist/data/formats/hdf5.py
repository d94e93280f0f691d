"""HDF5 through h5py: files, columns and rows, with errors that name the place and the remedy.

What is read lies in the file: a link to another file, numbers that lie outside or are put together
from other files are refused, for they could be any file of the machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from awac_dist.data.format import needed_package
from awac_dist.errors import FETCH_AGAIN, InputError, naming
from awac_dist.files import Budget, open_input
from awac_dist.floats import as_float32
from awac_dist.types import Array

CACHE_BYTES = 4 * 2**20  # chunks kept unpacked a column: those that two spans share
CHUNK_BYTES = 256  # what a chunk costs besides its numbers
MOST_LINKS = 8  # that lead to one name
SOFT, HARD = 1, 0  # kinds of links, as H5L_type_t has them


@contextmanager
def open_hdf5(path: str) -> Iterator[Any]:
    """Open an HDF5 file, a path or URI, for reading; what it raises until it is closed is named."""
    h5py = needed_package("h5py", path)
    with naming(f"{path}: cannot be read as HDF5"), open_input(path) as stream:
        source = stream if "://" in path else path
        with h5py.File(source, "r", rdcc_nbytes=CACHE_BYTES) as file:
            yield file


def find(group: Any, name: str, links: int = MOST_LINKS) -> Any:
    """What has this name in a group, or below; None if nothing has; it may not leave the file."""
    for part in name.split("/"):
        if not hasattr(group, "keys") or not group.id.links.exists(part.encode()):
            return None
        kind = group.id.links.get_info(part.encode()).type
        if kind not in (HARD, SOFT) or not links:
            raise InputError(
                f"{group.file.filename}: {part!a} is a link to another file, or one too many: "
                "write the numbers themselves into one file"
            )
        if kind == HARD:
            group = group[part]
        else:
            target = group.id.links.get_val(part.encode()).decode()
            start = group.file if target.startswith("/") else group
            group = find(start, target.strip("/"), links - 1)
    return group


def find_column(place: str, group: Any, name: str, budget: Budget, keys: Sequence[str] = ()) -> Any:
    """The dataset of numbers of this name, or those of other keys; the budget has their bytes."""
    parts = {key: _find_numbers(place, group, key, budget) for key in keys or (name,)}
    return SideBySide(f"{place}: {name}", parts) if len(parts) > 1 else parts.popitem()[1]


def _find_numbers(place: str, group: Any, name: str, budget: Budget) -> Any:
    with naming(f"{place}: {name} cannot be read"):
        found = find(group, name)
        if not hasattr(found, "dtype"):
            there = ", ".join(map(ascii, list(group)[:12]))
            remedy = "add it, or say behind the source what it is called: COLUMN=KEY"
            raise InputError(f"{place}: column {name} is missing, there is {there}: {remedy}")
        if found.dtype.kind not in "biuf":
            raise InputError(f"{place}: {name} holds {found.dtype}, not numbers: write float32")
        count_bytes(f"{place}: {name}", found, budget)
    return found


def count_bytes(place: str, dataset: Any, budget: Budget) -> None:
    """Count what a dataset takes when it is read, and refuse one that lies in other files."""
    if dataset.is_virtual or dataset.external:
        raise InputError(f"{place}: its numbers lie in other files: write them into this one")
    size, item = dataset.size or 0, dataset.dtype.itemsize
    chunk = math.prod(dataset.chunks or dataset.shape or (1,)) or 1  # unpacked as a whole
    budget.take(max(size * (item + 4), chunk * item) + size // chunk * CHUNK_BYTES, place)


def read_rows(place: str, name: str, dataset: Any, start: int, stop: int) -> Array:
    """Rows [start, stop) of a column as float32; [N, 1] comes as it is."""
    with naming(f"{place}: {name}, rows {start} to {stop}, cannot be read"):
        values = as_float32(dataset[start:stop])
        if len(values) != stop - start:
            raise InputError(f"{place}: {name} ends at row {start + len(values)}: {FETCH_AGAIN}")
    return values


class SideBySide:
    """Several columns [N, D] or [N] as one of all their widths."""

    chunks = None

    def __init__(self, place: str, columns: dict[str, Any]) -> None:
        self._columns = list(columns.values())
        rows, *others = {(its.shape or (0,))[0] for its in self._columns}
        if others:
            raise InputError(f"{place} {'+'.join(columns)} are not alike in steps: choose others")
        self.shape = (rows, sum(math.prod(its.shape[1:]) for its in self._columns))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        parts = [as_float32(column[rows]) for column in self._columns]
        return np.hstack([part.reshape(len(part), -1) for part in parts])
