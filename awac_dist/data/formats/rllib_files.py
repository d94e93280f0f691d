"""The files of RLlib's offline Parquet: which there are, their form, and batches of their columns.

Where another module registered Ray's column types with Arrow, only what they are stored as is
looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from awac_dist.errors import InputError
from awac_dist.files import resolve

REQUIRED = ("eps_id", "obs", "actions", "rewards")  # of the form with one row a step
ITEM = "item"  # the column of the form with one row an episode
DEPTH = 2  # RLlib writes <output>/<environment>/<run>/*.parquet
REMEDY = "copy it again"


def find_files(path: str) -> list[str]:
    """The file itself, or the Parquet files of a folder, in order."""
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
def arrow_errors(file: str) -> Iterator[None]:
    """Turn what Arrow raises over a damaged file into one line that names it."""
    try:
        yield
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(f"{file}: cannot be read as Parquet: {reason}: {REMEDY}") from error


def open_parquet(file: str) -> pq.ParquetFile:
    """Open a Parquet file, a path or URI, and read its schema."""
    filesystem, name = resolve(file)
    with arrow_errors(file):
        opened = pq.ParquetFile(filesystem.open_input_file(name))
        opened.schema_arrow  # noqa: B018  # Ray's column types, where registered, may fail here
        return opened


def form_of(schema: pa.Schema) -> str:
    """Which of the two forms, nothing for neither."""
    if ITEM in schema.names:
        kind = schema.field(ITEM).type
        return ITEM if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else ""
    return "steps" if "eps_id" in schema.names and "obs" in schema.names else ""


def checked_files(path: str) -> tuple[list[str], str]:
    """The files, and the one form that all have; refuses missing columns."""
    files = find_files(path)
    if not files:
        raise InputError(f"{path}: holds no Parquet files: name the folder that does")
    with arrow_errors(path):
        forms = {form_of(open_parquet(file).schema_arrow) for file in files}
    if len(forms) > 1:
        raise InputError(f"{path}: holds files of several forms: keep each in its own folder")
    form = forms.pop()
    if form != ITEM:
        for file in files:
            _check_columns(file, open_parquet(file).schema_arrow.names)
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


def batches(file: str, names: list[str], rows: int) -> Iterator[dict[str, pa.Array]]:
    """Batches of those columns that the file has, each as what it is stored as."""
    source = open_parquet(file)
    with arrow_errors(file):
        present = [name for name in names if name in source.schema_arrow.names]
        for batch in source.iter_batches(rows, columns=present):
            if batch.num_rows:
                yield {name: _stored(batch.column(name)) for name in present}


def _stored(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def optional_package(module: str, file: str) -> Any:
    """A module of a package that only this file needs; its absence is told with the remedy."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"{file}: needs the package {module.split('.')[0]}: pip install 'awac_dist[data]'"
        ) from error
