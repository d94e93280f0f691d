"""The files of RLlib's offline Parquet: which there are, their form, tables of their columns."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyarrow import fs

from awac_dist.data.parquet import arrow_errors, open_file, read_batches
from awac_dist.errors import InputError
from awac_dist.files import resolve

REQUIRED = ("eps_id", "obs", "actions", "rewards")  # of the form with one row a step
ITEM = "item"  # the column of the form with one row an episode


def find_files(path: str) -> list[str]:
    """The file itself, or the Parquet files in a folder and below, in order."""
    filesystem, name = resolve(path)
    kind = filesystem.get_file_info(name).type
    if kind == fs.FileType.NotFound:
        raise InputError(f"{path}: there is no such file or folder")
    if kind == fs.FileType.File:
        return [path]
    prefix = path.rstrip("/").removesuffix(name.rstrip("/"))
    found = filesystem.get_file_info(fs.FileSelector(name, recursive=True))
    files = [entry.path for entry in found if entry.type == fs.FileType.File]
    return sorted(prefix + file for file in files if file.endswith(".parquet"))


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
        schemas = {file: open_file(file).schema_arrow for file in files}
    forms = {form_of(schema) for schema in schemas.values()}
    if len(forms) > 1:
        raise InputError(f"{path}: holds files of several forms: keep each in its own folder")
    form = forms.pop()
    if form != ITEM:
        for file, schema in schemas.items():
            _check_columns(file, schema.names)
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


def tables(file: str, names: list[str], rows: int) -> Iterator[pa.Table]:
    """So many rows at a time of those columns that the file has, each as what it is stored as."""
    source = open_file(file)
    present = [name for name in names if name in source.schema_arrow.names]
    for batch in read_batches(file, source, rows, present):
        if batch.num_rows:
            yield pa.table({name: _stored(batch.column(name)) for name in present})


def _stored(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column
