"""Journals: what the experience log writes before it answers, one record a fragment.

    record = magic, length, CRC-32 of the payload, CRC-32 of these three; then the payload

The payload is an Arrow message: the schema in the first two records, then a record batch for each
fragment, with the columns of our Parquet and how the log came by the fragment. Each record goes to
the system in one unbuffered write, so the death of the process loses nothing that was appended
(there is no fsync: when the machine itself stops, the last seconds may be gone). A record that was
cut short is left out when the journal is read, and so is one that is damaged, which is named; the
next one is found by its magic. Older journals, which had no checksums, are refused.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import pyarrow as pa

from awac_dist.data import parquet
from awac_dist.data.arrow import check_message, check_types
from awac_dist.data.format import FileInfo, Format
from awac_dist.data.fragments import LoggedFragment, join_logged
from awac_dist.data.rows import to_episode
from awac_dist.data.shares import Part, Takes
from awac_dist.errors import InputError, naming, writable
from awac_dist.files import head, read_file
from awac_dist.types import EnvSpec, Episode

SUFFIX = ".journal"
MAGIC = b"\x93awacj2\n"
RECORD = re.compile(re.escape(MAGIC))
STATED = struct.Struct("<8sII")
HEADER_BYTES = STATED.size + 4
OWN = {"source": pa.string(), "row": pa.int64(), "time": pa.int64()}


class Journal:
    """Writes one journal, to a local path at which there is no file yet."""

    def __init__(self, path: str, spec: EnvSpec) -> None:
        self.fragments: list[LoggedFragment] = []  # what it holds
        self.steps = self._size = 0
        self._path, self._spec = path, spec
        with writable(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            for _ in range(2):  # a damaged byte in one of them costs nothing
                self._write(_table([], spec).schema.serialize())
        except InputError:
            self.remove()
            raise

    def append(self, fragment: LoggedFragment) -> None:
        """Write a fragment, which is safe from the death of this process when this returns.

        If it cannot be written, the journal is as it was before.
        """
        (batch,) = _table([fragment], self._spec).to_batches()
        self._write(batch.serialize())
        self.fragments.append(fragment)
        self.steps += len(fragment.episode)

    def remove(self) -> None:
        """Close and remove the file."""
        os.close(self._file)
        Path(self._path).unlink()

    def _write(self, message: pa.Buffer) -> None:
        payload = message.to_pybytes()
        record = _header(len(payload), zlib.crc32(payload)) + payload
        rest = memoryview(record)
        with writable(self._path):
            try:
                while rest:
                    rest = rest[os.write(self._file, rest) :]
            except OSError:
                os.ftruncate(self._file, self._size)
                os.lseek(self._file, self._size, os.SEEK_SET)
                raise
        self._size += len(record)


def _table(fragments: Sequence[LoggedFragment], spec: EnvSpec) -> pa.Table:
    own = {
        name: pa.array([getattr(fragment, name) for fragment in fragments], kind)
        for name, kind in OWN.items()
    }
    return parquet.to_table([fragment.episode for fragment in fragments], spec, **own)


@dataclass
class Contents:
    """What is in a journal."""

    schema: pa.Schema | None = None  # of its records, None if that cannot be read
    fragments: list[LoggedFragment] = field(default_factory=list)  # whole ones, as accepted
    damaged: list[str] = field(default_factory=list)  # where records are not as written
    torn: int = 0  # bytes at the end of one that was never acknowledged


def read(path: str) -> Contents:
    """Read a journal as far as it can be read; refuse a whole record that is no fragment."""
    found = Contents()
    with naming(f"{path}: cannot be read"):
        content = read_file(path)
    for at, payload in _records(content, found):
        with naming(f"{path}: byte {at}"):
            message = pa.ipc.read_message(payload)
            check_message(message)
            if message.type == "schema":
                found.schema = pa.ipc.read_schema(pa.py_buffer(payload))
                check_types(found.schema)
            elif found.schema is None:
                found.damaged.append(f"byte {at}: nothing says any more what its columns are")
            else:
                batch = pa.ipc.read_record_batch(pa.py_buffer(payload), found.schema)
                batch.validate(full=True)
                episode = to_episode(path, len(found.fragments), batch)
                own = [batch.column(name)[0].cast(kind).as_py() for name, kind in OWN.items()]
                if None in own:
                    raise ValueError("it does not say how the log came by it")
                found.fragments.append(LoggedFragment(episode, *own))
    return found


def _records(content: bytes, found: Contents) -> Iterator[tuple[int, bytes]]:
    """Yield (place, payload) of every record that is whole; tells `found` of all others."""
    at = 0
    while at < len(content):
        start, length = at + HEADER_BYTES, _length(content, at)
        if length is None:
            later = (its.start() for its in RECORD.finditer(content, at + 1))
            whole = (place for place in later if _length(content, place) is not None)
            after = next(whole, len(content))
        else:
            after = start + length
        if max(start, after) > len(content):
            found.torn = len(content) - at
            return
        payload = content[start:after]
        if content[at:start] == _header(len(payload), zlib.crc32(payload)):
            yield at, payload
        else:
            found.damaged.append(f"bytes {at} to {after}")
        at = after


def _header(length: int, checksum: int) -> bytes:
    stated = STATED.pack(MAGIC, length, checksum)
    return stated + zlib.crc32(stated).to_bytes(4, "little")


def _length(content: bytes, at: int) -> int | None:
    """Of the payload whose record begins there; None where its header is cut short or damaged."""
    header = content[at : at + HEADER_BYTES]
    if len(header) < HEADER_BYTES:
        return None
    _, length, checksum = STATED.unpack_from(header)
    return int(length) if header == _header(length, checksum) else None


def _looks_like(path: str) -> bool:
    """Whether it is a journal whose Parquet file is not there yet."""
    finished = path.removesuffix(SUFFIX) + ".parquet"
    return path.endswith(SUFFIX) and not head(finished, 1) and bool(_describe(path))


def _describe(path: str) -> FileInfo:
    found = read(path)
    with naming(f"{path}: its columns are not ours"):
        info = None if found.schema is None else parquet.schema_info(found.schema)
    if info is None:
        raise InputError(f"{path}: is no journal, or one of an older version of awac_dist")
    facts = {}
    if found.torn:
        facts["cut short"] = f"{found.torn} bytes of a fragment that was never acknowledged"
    if found.damaged:
        facts["damaged"] = f"{len(found.damaged)} records: {', '.join(found.damaged)}"
    return replace(info, episodes=len(_joined(path, found)), facts=facts)


def _read_episodes(path: str, share: tuple[int, int]) -> Iterator[tuple[int, Episode]]:
    index, of = share
    yield from islice(enumerate(_joined(path, read(path))), index, None, of)


def _read_parts(path: str, takes: Takes) -> Iterator[tuple[int, Episode]]:
    for number, episode in enumerate(_joined(path, read(path))):
        origin, ended = episode.origin, episode.terminated or episode.truncated
        if takes(Part(origin.stream, origin.start, ended)):
            yield number, episode


def _joined(path: str, found: Contents) -> list[Episode]:
    with naming(f"{path}: its fragments do not fit together"):
        return [episode for _, episode, _ in join_logged(found.fragments)]


FORMAT = Format(
    "awac_dist journal", _looks_like, _describe, _read_episodes, (SUFFIX,), reads_parts=_read_parts
)
