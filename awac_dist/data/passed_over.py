"""What lies where data is looked for and is not read: whoever meant it should hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pyarrow import fs

PROMISING = (".parquet", ".hdf5", ".h5", ".npz", ".npy", ".pickle", ".pkl")  # names of data


def foreign(path: str) -> str:
    """Of a path or URI that looks like data and is none that we read."""
    return (
        f"{path}: is passed over: none of our formats: "
        "it is damaged or foreign: write it again, or move it away"
    )


def beside_experience(path: str) -> str:
    """Of data in a run's folder that is not the run's."""
    return (
        f"{path}: is passed over: of a run's folder only experience/ is read: "
        "give it as --data, too"
    )


def in_a_folder(filesystem: Any, path: str, info: fs.FileInfo) -> Iterator[str]:
    """Of what lies in a folder and is not read; nothing where no name promises data."""
    if holds_promises(filesystem, info):
        why = "folders in a folder are not looked into"
        yield f"{path}: is passed over: {why}: give it as --data, too"
    elif info.path.endswith(PROMISING):
        yield foreign(path)


def holds_promises(filesystem: Any, info: fs.FileInfo) -> bool:
    """Whether it is a folder with names of data in it."""
    if info.type == fs.FileType.Directory:
        with suppress(OSError):  # it may be nobody's business
            inside = filesystem.get_file_info(fs.FileSelector(info.path))
            return any(its.path.endswith(PROMISING) for its in inside)
    return False
