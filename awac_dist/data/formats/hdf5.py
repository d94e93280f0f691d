"""HDF5 through h5py: files, columns and rows, with errors that name the place and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from awac_dist.data.format import FETCH_AGAIN, naming, needed_package
from awac_dist.errors import InputError
from awac_dist.files import resolve
from awac_dist.types import Array

CACHE_BYTES = 4 * 2**20  # chunks kept unpacked a column: those that two spans share
MOST_COMPRESSION = 1100  # deflate packs no better: a header that claims more is damaged


@contextmanager
def open_hdf5(path: str) -> Iterator[Any]:
    """Open an HDF5 file, a path or URI, for reading; what it raises until it is closed is named."""
    h5py = needed_package("h5py", path)
    with naming(f"{path}: cannot be read as HDF5"):
        filesystem, name = resolve(path)
        source = filesystem.open_input_file(name) if "://" in path else path
        with h5py.File(source, "r", rdcc_nbytes=CACHE_BYTES) as file:
            yield file


def find_column(place: str, group: Any, name: str) -> Any:
    """The dataset of numbers of this name; refuses one that claims more than the file has."""
    with naming(f"{place}: {name} cannot be read"):
        found = group.get(name)
        if not hasattr(found, "dtype"):
            raise InputError(f"{place}: column {name} is missing: add it, or drop this file")
        if found.dtype.kind not in "biuf":
            raise InputError(f"{place}: {name} holds {found.dtype}, not numbers: write float32")
        size = (found.size or 0) * found.dtype.itemsize
        if size > 2**20 + MOST_COMPRESSION * group.file.id.get_filesize():
            raise InputError(f"{place}: {name} claims {size} bytes: {FETCH_AGAIN}")
    return found


def read_rows(place: str, name: str, dataset: Any, start: int, stop: int) -> Array:
    """Rows [start, stop) of a column as float32; [N, 1] comes as it is."""
    with naming(f"{place}: {name}, rows {start} to {stop}, cannot be read"):
        with np.errstate(over="ignore"):  # what float32 cannot hold is told by check_finite
            values = np.asarray(dataset[start:stop], np.float32)
        if len(values) != stop - start:
            raise InputError(f"{place}: {name} ends at row {start + len(values)}: {FETCH_AGAIN}")
    return values
