"""Journals: what the experience log writes before it answers, one record a fragment.

A journal is an Arrow stream, one record batch a fragment, with the columns of our Parquet and how
the log came by the fragment. Each record goes to the system in one unbuffered write, so the death
of the process loses nothing that was appended; a record that was cut short is left out when the
journal is read. There is no fsync: when the machine itself stops (power, kernel), the last
seconds may be gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from awac_dist.data import parquet
from awac_dist.data.format import FileInfo, Format
from awac_dist.data.fragments import LoggedFragment, join_logged
from awac_dist.errors import InputError
from awac_dist.files import first_line, resolve
from awac_dist.types import EnvSpec, Episode

SUFFIX = ".journal"
OWN_COLUMNS = [("source", pa.string()), ("row", pa.int64()), ("time", pa.int64())]


class Journal:
    """Writes one journal.

    Args:
        path: A local path at which there is no file yet.
        spec: The task.

    Raises:
        InputError: The file cannot be written.
    """

    def __init__(self, path: str, spec: EnvSpec) -> None:
        self.path, self._spec = path, spec
        self._schema = parquet.schema(spec)
        for column in OWN_COLUMNS:
            self._schema = self._schema.append(pa.field(*column))
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise _not_written(path, error) from error
        self._size = 0
        try:
            self._write(self._schema.serialize())
        except InputError:
            self.remove()
            raise

    def append(self, fragment: LoggedFragment) -> None:
        """Write a fragment, which is safe from the death of this process when this returns.

        Raises:
            InputError: It cannot be written; the journal is as it was before.
        """
        episode = parquet.to_table([fragment.episode], self._spec)
        own = [pa.array([value]) for value in (fragment.source, fragment.row, fragment.time)]
        columns = [column.chunk(0) for column in episode.columns]
        batch = pa.RecordBatch.from_arrays([*columns, *own], schema=self._schema)
        self._write(batch.serialize())

    def remove(self) -> None:
        """Close and remove the file."""
        os.close(self._file)
        Path(self.path).unlink()

    def _write(self, record: pa.Buffer) -> None:
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise _not_written(self.path, error) from error
        self._size += record.size


def read_fragments(path: str) -> list[LoggedFragment]:
    """The whole fragments of a journal, in the order of their acceptance.

    Raises:
        InputError: A record is whole, but is no fragment.
    """
    return _read(path)[0]


def recognises(path: str) -> bool:
    """Whether it is a journal whose Parquet file is not there yet."""
    if not path.endswith(SUFFIX) or _is_finished(path):
        return False
    try:
        _open(path)
    except InputError:
        return False
    return True


def describe(path: str) -> FileInfo:
    """What a journal says of itself.

    Raises:
        InputError: It is none.
    """
    info = parquet.schema_info(_open(path).schema)
    assert info is not None
    fragments, torn = _read(path)
    facts = {"cut short": f"{torn} bytes of a fragment that was never acknowledged"} if torn else {}
    return replace(info, episodes=len(join_logged(fragments)), facts=facts)


def read_episodes(path: str, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[int, Episode]]:
    """Yield (number, episode) of every episode, fragments joined, that falls to a share.

    Raises:
        InputError: A record is whole, but is no fragment.
    """
    index, of = share
    for number, (_, episode, _) in enumerate(join_logged(read_fragments(path))):
        if number % of == index:
            yield number, episode


def _read(path: str) -> tuple[list[LoggedFragment], int]:
    """The whole fragments, and how many bytes follow them."""
    content = _content(path)
    source = pa.BufferReader(content)
    fragments: list[LoggedFragment] = []
    try:
        stream = pa.ipc.open_stream(source)
    except (pa.ArrowException, OSError):
        return fragments, content.size
    whole = source.tell()
    while (batch := _next_batch(stream)) is not None:
        fragments.append(_fragment(path, len(fragments), batch))
        whole = source.tell()
    return fragments, content.size - whole


def _next_batch(stream: pa.RecordBatchStreamReader) -> pa.RecordBatch | None:
    try:
        return stream.read_next_batch()
    except (StopIteration, pa.ArrowException, OSError):
        return None


def _fragment(path: str, number: int, batch: pa.RecordBatch) -> LoggedFragment:
    try:
        batch.validate(full=True)
        source, row, time = (batch.column(name)[0].as_py() for name, _ in OWN_COLUMNS)
    except (pa.ArrowException, KeyError, IndexError) as error:
        raise InputError(f"{path}: record {number}: {first_line(error)}") from error
    return LoggedFragment(parquet.to_episode(path, number, batch, 0), source, row, time)


def _open(path: str) -> pa.RecordBatchStreamReader:
    try:
        stream = pa.ipc.open_stream(pa.BufferReader(_content(path)))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: is no journal: {first_line(error)}") from error
    if parquet.schema_info(stream.schema) is None:
        raise InputError(f"{path}: is an Arrow stream, but was not written by awac_dist")
    return stream


def _content(path: str) -> pa.Buffer:
    filesystem, name = resolve(path)
    with filesystem.open_input_file(name) as file:
        return file.read_buffer()


def _is_finished(path: str) -> bool:
    filesystem, name = resolve(path.removesuffix(SUFFIX) + ".parquet")
    return bool(filesystem.get_file_info(name).type == fs.FileType.File)


def _not_written(path: str, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written: {error.strerror}: make room, or another folder")


FORMAT = Format("awac_dist journal", recognises, describe, read_episodes, (SUFFIX,))
