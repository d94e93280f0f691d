"""Pickles and object arrays of trajectories, read by `pickle_machine`: they stay data."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib import format as npy

from awac_dist.data.formats.pickle_machine import EXPANSION, REMEDY, SLACK_BYTES, Machine, Stream
from awac_dist.errors import InputError, first_line
from awac_dist.files import resolve

NPY_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load_pickle(path: str) -> Any:
    """Read a pickle of lists, dicts, tuples, text, numbers and NumPy arrays; refuse all else."""
    with _opened(path) as stream:
        return Machine(stream, path).run()


def loads(data: bytes, place: str) -> Any:
    """The same for a pickle in memory, which errors call `place`."""
    return Machine(Stream(io.BytesIO(data), len(data)), place).run()


def load_npy(path: str) -> list[Any]:
    """Read the entries of an .npy file that holds an array of such objects."""
    with _opened(path) as stream:
        shape, dtype = _npy_header(stream, path)
        if dtype.kind != "O":
            raise InputError(f"{path}: holds an array of {dtype}, not trajectories: {REMEDY}")
        array = Machine(stream, path).run()
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise InputError(f"{path}: its header and its content do not agree: copy it again")
    return list(array.ravel())


def holds_objects(path: str) -> bool:
    """Whether an .npy file holds an array of Python objects, from its header alone."""
    with _opened(path) as stream:
        return _npy_header(stream, path)[1].kind == "O"


def size_limit(path: str) -> int:
    """Bytes that a column of a file may take as an array, from the size of the file."""
    filesystem, name = resolve(path)
    return EXPANSION * int(filesystem.get_file_info(name).size or 0) + SLACK_BYTES


@contextmanager
def _opened(path: str) -> Iterator[Stream]:
    filesystem, name = resolve(path)
    try:
        file = filesystem.open_input_file(name)
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {first_line(error)}") from error
    with file:
        yield Stream(io.BufferedReader(file, 1 << 18), file.size())


def _npy_header(stream: Stream, path: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        shape, _, dtype = NPY_HEADERS[npy.read_magic(stream)](stream)
    except Exception as error:  # NumPy parses it as Python text: any parser's error comes out
        raise InputError(f"{path}: is no .npy file, or damaged: copy it again") from error
    return shape, dtype
