"""Pickles and object arrays of trajectories, read by `pickle_machine`: they stay data."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib import format as npy

from awac_dist.data.formats.pickle_machine import REMEDY, Machine, Stream
from awac_dist.errors import InputError, naming
from awac_dist.files import Budget, open_input

NPY_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load_pickle(path: str, budget: Budget | None = None) -> Any:
    """Read a pickle of lists, dicts, tuples, text, numbers and NumPy arrays; refuse all else."""
    with _opened(path) as stream:
        return Machine(stream, path, budget).run()


def loads(data: bytes, place: str, budget: Budget | None = None) -> Any:
    """The same for a pickle in memory, which errors call `place`."""
    return Machine(Stream(io.BytesIO(data), len(data)), place, budget).run()


def load_npy(path: str, budget: Budget | None = None) -> list[Any]:
    """Read the entries of an .npy file that holds an array of such objects."""
    with _opened(path) as stream:
        shape, _, dtype = NPY_HEADERS[npy.read_magic(stream)](stream)
        if dtype.kind != "O":
            raise InputError(f"{path}: holds an array of {dtype}, not trajectories: {REMEDY}")
        array = Machine(stream, path, budget).run()
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise InputError(f"{path}: its header and its content do not agree: copy it again")
    return list(array.ravel())


def holds_objects(path: str) -> bool:
    """Whether an .npy file holds an array of Python objects, from its header alone."""
    with _opened(path) as stream:
        return bool(NPY_HEADERS[npy.read_magic(stream)](stream)[2].kind == "O")


@contextmanager
def _opened(path: str) -> Iterator[Stream]:
    what = f"{path}: cannot be opened, or is damaged"
    with naming(what, "copy it again"), open_input(path) as file:
        yield Stream(io.BufferedReader(file, 1 << 18), file.size())
