"""What Arrow's files would unpack to, told by what they state before any of it is read."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa

from awac_dist.files import RECORD_BYTES, Budget

WIDTHS = (1, 4, 8, 12, 4, 8, 16, 0)  # of Parquet's physical types; 16 for text: where and how long
FIXED = 7  # the physical type whose width the schema says
LEVEL_BYTES = 4  # by which Parquet tells in which list a number is
REPEATING = re.compile(r"dictionary<|run_end_encoded<|(list|string|binary)_view|(?<!not )\bnull\b")
PAGE_HEADER_BYTES = (256, 1 << 20)  # of most; of one with long statistics
HEADER = 2  # the field of a Message, as Arrow's `Message.fbs` numbers them
ROWS, NODES, COMPRESSION = 0, 1, 3  # of a RecordBatch


def count_parquet(file: Any, budget: Budget, place: str) -> None:
    """Count what all columns of an open Parquet file unpack to, as its footer and its pages say.

    Read by hand: pyarrow ends the process over some footers that are damaged (26.0, `column()`),
    and does not hold its pages to what the footer says.
    """
    size = file.size()
    length = int.from_bytes(file.read_at(4, size - 8), "little")
    footer = _Compact(file.read_at(length, size - 8 - length)).struct()
    leaves = [element for element in footer[2] if 5 not in element]  # 5 has children
    for group in footer[4]:
        for chunk, leaf in zip(group[1], leaves, strict=True):
            stated = chunk[3]
            width = leaf[2] if stated[1] == FIXED else WIDTHS[stated[1]]
            unpacked, values = map(sum, zip((0, 0), *_pages(file, stated), strict=True))
            numbers = max(stated[5], values) * (width + LEVEL_BYTES)
            budget.take(max(stated[6], unpacked, numbers), place)


def _pages(file: Any, stated: dict[int, Any]) -> Iterator[tuple[int, int]]:
    """Bytes that each page of a column unpacks to, and values in it; a dictionary has none."""
    at = min((stated[place] for place in (9, 11) if stated.get(place)), default=0)
    end = at + stated[7]
    while at < end:
        for room in PAGE_HEADER_BYTES:
            header = _Compact(file.read_at(min(room, end - at), at))
            with suppress(IndexError):  # longer than most
                page = header.struct()
                break
        else:
            raise ValueError("a page has no header")
        data = page.get(5) or page.get(8) or {}
        counts = (page[2], data.get(1, 0), page[3])
        if min(counts) < 0:
            raise ValueError("a page has a negative size")
        yield counts[:2]
        at += header.at + page[3]


class _Compact:
    """Reads Thrift's compact protocol; an IndexError where it ends too early."""

    def __init__(self, content: bytes) -> None:
        self._content, self.at = content, 0

    def struct(self) -> dict[int, Any]:
        """The fields by their numbers."""
        found, number = dict[int, Any](), 0
        while head := self._byte():
            delta, kind = divmod(head, 16)
            number = number + delta if delta else self._whole()
            found[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return found

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._whole()
        if kind in (7, 8):
            return self._bytes(8 if kind == 7 else self._varint())
        if kind in (9, 10):  # lists and sets
            count, kind = divmod(self._byte(), 16)
            return [self._value(kind) for _ in range(count if count < 15 else self._varint())]
        if kind == 12:
            return self.struct()
        raise ValueError("its footer is damaged")

    def _whole(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number is too long")

    def _byte(self) -> int:
        self.at += 1
        return self._content[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self._content):
            raise IndexError("it ends too early")
        return self._content[self.at - count : self.at]


def check_ipc(path: str, budget: Budget, place: str) -> None:
    """Count the rows of a local Arrow file; a ValueError if it compresses or repeats them."""
    with pa.memory_map(path) as source:
        source.seek(8)  # the magic
        for message in pa.ipc.MessageReader.open_stream(source):
            check_message(message)
        source.seek(0)
        reader = pa.ipc.open_file(source)
        check_types(reader.schema)
        for number in range(reader.num_record_batches):
            budget.take(reader.get_batch(number).num_rows * RECORD_BYTES, place)


def check_types(schema: pa.Schema) -> None:
    """A ValueError for a column whose type lets a few bytes stand for any number of values."""
    for column in schema:
        if REPEATING.search(str(column.type)):
            raise ValueError(f"{column.name!a} is of {str(column.type)[:60]}: write plain lists")


def check_message(message: pa.Message) -> None:
    """A ValueError for a record batch that is compressed, or whose lengths end the process."""
    content = memoryview(message.metadata)
    (root,) = struct.unpack_from("<I", content)
    header = _field(content, root, HEADER)
    if message.type == "schema" or not header:
        return
    table = header + struct.unpack_from("<I", content, header)[0]
    if message.type != "record batch" or _field(content, table, COMPRESSION):
        raise ValueError("it is compressed: write it as it is")
    rows, nodes = (_field(content, table, number) for number in (ROWS, NODES))
    lengths = [struct.unpack_from("<q", content, rows)[0]] if rows else []
    if nodes:
        nodes += struct.unpack_from("<I", content, nodes)[0]
        (count,) = struct.unpack_from("<I", content, nodes)
        lengths += struct.unpack_from(f"<{2 * count}q", content, nodes + 4)[::2]
    if any(length < 0 for length in lengths):
        raise ValueError("a column has a negative length")


def _field(content: Any, table: int, number: int) -> int:
    """Where a field of a FlatBuffers table is; 0 where it is left out."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, fields)
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", content, fields + entry)[0] if entry < size else 0
    return table + offset if offset else 0
